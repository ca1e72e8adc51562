"""Laws of the settings: production requires some of them, and a wrong value stops every command."""

from pathlib import Path

import pytest

from kasparro.environment import Environment
from tests.kasparro.homes import SHELL, manage

PRODUCTION = {
    "DEBUG": "off",
    "SECRET_KEY": "a-key-of-production-that-is-long-enough-0123456789-abcdefghij",
    "ALLOWED_HOSTS": "kasparro.example",
    "DATABASE_URL": "postgres://kasparro:a-password@127.0.0.1:1/kasparro",
    "REDIS_URL": "redis://:a-password@127.0.0.1:1/0",
}


def test_check_deploy_finds_nothing_in_production(home: Path) -> None:
    done = manage(home / "new", "check", "--deploy", "--fail-level", "WARNING", **PRODUCTION)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    "missing",
    [("DATABASE_URL",), ("REDIS_URL",), ("SECRET_KEY", "DATABASE_URL", "REDIS_URL")],
    ids="+".join,
)
def test_production_stops_if_a_setting_is_missing(home: Path, missing: tuple[str, ...]) -> None:
    done = manage(home / "new", "check", **{**PRODUCTION, **dict.fromkeys(missing, "")})
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith(f"manage.py: {', '.join(missing)} must be set when DEBUG is off.")
    assert not (home / "new").exists()


def test_production_refuses_the_key_of_development(home: Path) -> None:
    shown = manage(home, *SHELL, "from django.conf import settings; print(settings.SECRET_KEY)")
    done = manage(home, "check", **{**PRODUCTION, "SECRET_KEY": shown.stdout.strip()})
    assert done.returncode == 1
    assert "SECRET_KEY must be set when DEBUG is off" in done.stderr


def test_a_key_may_begin_with_a_dollar(home: Path) -> None:
    done = manage(
        home,
        *SHELL,
        "from django.conf import settings; print(settings.SECRET_KEY)",
        **{**PRODUCTION, "SECRET_KEY": "$PATH" + PRODUCTION["SECRET_KEY"]},
    )
    assert done.stdout.strip() == "$PATH" + PRODUCTION["SECRET_KEY"]


WRONG = {
    "HTTPS": "perhaps",
    "ETL_BATCH_SIZE": "abc",
    "ETL_LEASE_SECONDS": "0",
    "ETL_BATCH_DEADLINE_SECONDS": "nan",
    "ETL_HTTP_RETRIES": "-1",
    "ETL_HTTP_BACKOFF_SECONDS": "inf",
    "ETL_HTTP_MAX_BYTES": "1.5",
    "ETL_HTTP_MAX_PAGES": "0",
    "ETL_HTTP_ALLOW": "10.0.0.1/8",
    "DATABASE_URL": "mysql://user:a-password@127.0.0.1/kasparro",
    "REDIS_URL": "redis://:a-password@127.0.0.1:port/0",
}


def test_every_wrong_value_fails_the_check_with_an_id_and_a_hint(home: Path) -> None:
    done = manage(home / "new", "check", **WRONG)
    reported = [line for line in done.stderr.splitlines() if "(kasparro.E001)" in line]
    assert done.returncode == 1
    assert [name for name in WRONG if not any(name in line for line in reported)] == []
    assert len(reported) == len(WRONG)
    assert done.stderr.count("HINT: Use ") == len(WRONG)
    assert "a-password" not in done.stdout + done.stderr


@pytest.mark.parametrize("missing", [{}, {"DATABASE_URL": "", "REDIS_URL": ""}], ids=["complete", "incomplete"])
def test_a_debug_that_can_not_be_read_fails_the_check(home: Path, missing: dict[str, str]) -> None:
    done = manage(home / "new", "check", **{**PRODUCTION, **missing, "DEBUG": "maybe"})
    assert done.returncode == 1
    assert "kasparro.E001" in done.stderr
    assert "DEBUG='maybe' can't be used" in done.stderr
    assert "Use on or off." in done.stderr
    assert not (home / "new").exists()


@pytest.mark.parametrize(
    "url",
    [
        "postgres://user:a-password@127.0.0.1:port/kasparro",
        "postgres://user:a-password@127.0.0.1",
    ],
)
def test_a_wrong_database_url_fails_the_check_and_is_not_shown(home: Path, url: str) -> None:
    done = manage(home / "new", "check", DATABASE_URL=url)
    assert done.returncode == 1
    assert "(kasparro.E001) DATABASE_URL is not a PostgreSQL URL" in done.stderr
    assert "a-password" not in done.stdout + done.stderr


@pytest.mark.parametrize("action", ["servers start", "sources"])
def test_no_command_runs_with_a_wrong_value(home: Path, action: str) -> None:
    done = manage(home / "new", *action.split(), ETL_BATCH_SIZE="0")
    assert done.returncode == 1
    assert "kasparro.E001" in done.stderr
    assert not (home / "new").exists()


@pytest.mark.parametrize(
    ("text", "value"),
    [("true", True), ("ON", True), ("Yes", True), ("1", True), ("false", False), ("Off", False), ("no", False)],
)
def test_a_boolean_is_read_from_a_word(monkeypatch: pytest.MonkeyPatch, text: str, value: bool) -> None:
    monkeypatch.setenv("SOMETHING", f" {text} ")
    environment = Environment()
    assert environment.boolean("SOMETHING", default=not value) is value
    assert environment.problems == []


@pytest.mark.parametrize("text", ["", "  "])
def test_an_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("SOMETHING", text)
    environment = Environment()
    assert environment.whole("SOMETHING", 7, least=1) == 7
    assert environment.items("SOMETHING", ["a"]) == ["a"]
    assert environment.problems == []
