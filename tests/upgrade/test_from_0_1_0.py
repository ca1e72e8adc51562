"""A database of release 0.1.0 can be upgraded, and its sources continue from where that release stopped."""

from collections.abc import Iterator
from typing import Any

import pytest

from sandbox.server import Sandbox
from tests.processes import Project
from tests.upgrade.inputs import write_inputs
from tests.upgrade.restored import SECRET_KEY, TOKEN, fetch, multiply, restore

SOURCES = ("coingecko_api", "listings_json", "products_csv", "vendors_csv")
EDITION_3 = {"seen": 1027, "new": 5, "updated": 50, "unchanged": 950, "duplicate": 2, "quarantined": 20}
REST_OF_EDITION_2 = {"seen": 722, "new": 0, "updated": 36, "unchanged": 669, "duplicate": 2, "quarantined": 15}
"""After the 300 records that the killed run had read. The two duplicates repeat two of those 300."""


@pytest.fixture
def database(project: Project) -> Iterator[str]:
    """The URL of a restored database, which the project's commands use."""
    with restore() as url:
        project.environment |= {"DATABASE_URL": url, "SECRET_KEY": SECRET_KEY}
        yield url


@pytest.fixture
def upgraded(project: Project, database: str) -> str:
    migrate(project)
    return database


def migrate(project: Project) -> None:
    done = project.run("migrate", "-v0")
    assert done.returncode == 0, done.stderr


def assert_sound(project: Project) -> None:
    done = project.run("verify")
    assert done.returncode == 0, done.stdout + done.stderr


def ingest_all(project: Project) -> list[dict[str, Any]]:
    """Ingest edition 3 of each source, but of the products edition 2, whose read was interrupted."""
    (older := project.folder / "older").mkdir()
    products = write_inputs(older, edition=2)["PRODUCTS_CSV"]
    files = write_inputs(project.folder, edition=3) | {"PRODUCTS_CSV": products}
    with Sandbox(project.folder / "coins.json") as sandbox:
        return project.ingest("--all", COINGECKO_BASE_URL=sandbox.url, **files)


def count_by(url: str, columns: str, rows: str) -> dict[Any, int]:
    """Count the rows by their values in these columns; `rows` follows FROM."""
    return {row[:-1]: row[-1] for row in fetch(url, f"SELECT {columns}, count(*) FROM {rows} GROUP BY {columns}")}


def test_the_label_api_becomes_kasparro_api(upgraded: str) -> None:
    labels = {label for (label,) in fetch(upgraded, "SELECT app_label FROM django_content_type")}
    assert ("api" in labels, "kasparro_api" in labels) == (False, True)
    of_the_label = "FROM django_content_type AS type WHERE type.app_label = 'kasparro_api'"
    assert fetch(upgraded, f"SELECT type.id, type.model {of_the_label}") == [(15, "token")]  # the row it always was
    permissions = "SELECT count(*) FROM auth_permission WHERE content_type_id = 15 AND codename LIKE '%_token'"
    assert fetch(upgraded, permissions) == [(4,)]
    migrations = "SELECT DISTINCT app FROM django_migrations WHERE app IN ('api', 'kasparro_api')"
    assert fetch(upgraded, migrations) == [("kasparro_api",)]
    assert fetch(upgraded, "SELECT count(*) FROM api_tokens") == fetch(upgraded, "SELECT 1::bigint")


def test_the_dump_contains_every_state_that_an_upgrade_must_keep(database: str) -> None:
    assert count_by(database, "source", "unified_records") == {(source,): 1000 for source in SOURCES}
    assert set(count_by(database, "status, reason", "etl_runs")) == {
        ("queued", ""),
        ("running", ""),
        ("success", ""),
        ("success", "unchanged"),
        ("partial", "records_refused"),
        *(("failed", reason) for reason in ("abandoned", "cancelled", "interrupted", "rate_limited", "read_open")),
        *(("failed", f"source_{reason}") for reason in ("refused", "unreachable", "unreadable")),
        ("failed", "unknown_source"),
    }
    assert count_by(database, "status", "etl_quarantine") == {("open",): 72, ("replayed",): 11, ("discarded",): 11}
    assert fetch(database, "SELECT source, cursor->>'position' FROM ingestion_checkpoints WHERE is_reading") == [
        ("products_csv", "300")
    ]
    assert count_by(database, "kind", "etl_read_marks WHERE source = 'products_csv'") == {
        ("record",): 1,
        ("refusal",): 1,
    }


def test_migrations_leave_it_sound(project: Project, upgraded: str) -> None:
    assert_sound(project)


def test_each_source_continues(project: Project, upgraded: str) -> None:
    waiting = dict(fetch(upgraded, "SELECT source, id FROM etl_runs WHERE status = 'queued' AND trigger <> 'replay'"))
    outcomes = {outcome["source"]: outcome for outcome in ingest_all(project)}
    counters = {source: {name: outcome[name] for name in EDITION_3} for source, outcome in outcomes.items()}
    assert counters == dict.fromkeys(SOURCES, EDITION_3) | {"products_csv": REST_OF_EDITION_2}
    assert {source: outcomes[source]["run"] for source in waiting} == waiting
    assert fetch(upgraded, "SELECT id FROM etl_runs WHERE status = 'running'") == []  # the killed run is closed
    assert_sound(project)


def test_a_token_is_still_valid(project: Project, upgraded: str) -> None:
    done = project.run("token", "revoke", TOKEN)
    assert done.returncode == 0, done.stderr


def test_ten_times_as_many_records_can_be_upgraded_too(project: Project, database: str) -> None:
    for source in SOURCES:
        multiply(database, source, 10)
    migrate(project)
    assert count_by(database, "source", "unified_records") == {(source,): 10_000 for source in SOURCES}
    assert_sound(project)
