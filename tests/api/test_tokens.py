"""Tokens: printed once, stored as a hash, listed, revoked and expired."""

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.contrib.contenttypes.models import ContentType
from django.core.management import CommandError, call_command
from django.utils import timezone

from api.access import tokens
from api.models import Scope, Token
from tests.api.people import CSRF, make_session, make_token
from tests.api.web import SECRET_KEY, Answer, Web, serving
from tests.listed_source import fetch
from tests.processes import Project

SECRET = re.compile(r"kasparro_[A-Za-z0-9_-]{43}")


def run(project: Project, *arguments: str) -> tuple[int, str, str]:
    done = project.run("token", *arguments, SECRET_KEY=SECRET_KEY)
    return done.returncode, done.stdout, done.stderr


def test_a_token_is_printed_once_and_works_until_it_is_revoked(web: Web, project: Project) -> None:
    status, secret, _ = run(project, "create", "vera")
    assert status == 0
    assert SECRET.fullmatch(secret.removesuffix("\n"))
    secret = secret.strip()
    assert web.ask("/data", token=secret).status == 200
    assert [*User.objects.get(username="vera").groups.values_list("name", flat=True)] == ["viewer"]
    assert not User.objects.get(username="vera").has_usable_password()
    status, listed, _ = run(project, "list")
    assert (status, secret[:15] in listed, secret in listed) == (0, True, False)
    assert run(project, "revoke", secret[:15])[0] == 0
    assert web.ask("/data", token=secret).status == 401
    assert run(project, "revoke", secret[:15])[0] != 0


def test_an_operators_token_may_expire_and_joins_the_group(project: Project) -> None:
    status, secret, _ = run(project, "create", "olga", "--scope", "operate", "--expires", "1")
    token = Token.objects.get(user__username="olga")
    assert (status, token.scope) == (0, "operate")
    assert token.expires_at is not None
    assert abs(token.expires_at - timezone.now() - timedelta(days=1)) < timedelta(minutes=1)
    assert Group.objects.filter(user__username="olga", name="operator").exists()
    assert tokens.find(secret.strip()) is not None


def test_invalid_arguments_of_the_command_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (
        *(("create", ""), ("create", "a b"), ("create", "x" * 151), ("create", "a\nb"), ("create",), ("revoke",)),
        *(("create", "v", "--expires", days) for days in ("0", "-1", "x", "1e9", "99999999999")),
        *(("create", "v", "--scope", "admin"), ("revoke", "nothing"), ("revoke", ""), ("revoke", "9" * 21)),
    ):
        with pytest.raises(CommandError):
            call_command("token", *arguments)
        assert capsys.readouterr().out == "", arguments
    assert not Token.objects.exists()
    assert not User.objects.exists()


def test_the_command_creates_a_token_for_an_existing_user_of_any_name(capsys: pytest.CaptureFixture[str]) -> None:
    user = User.objects.create(username="Ann Smith")
    call_command("token", "create", "Ann Smith")
    _, found = tokens.find(capsys.readouterr().out.strip()) or pytest.fail("The token is not found.")
    assert found == user


def test_the_command_names_a_missing_group(capsys: pytest.CaptureFixture[str]) -> None:
    Group.objects.filter(name="viewer").delete()
    with pytest.raises(CommandError, match="There is no group viewer,"):
        call_command("token", "create", "vera")
    assert capsys.readouterr().out == ""
    assert not Token.objects.exists()
    assert not User.objects.exists()


def test_ambiguous_first_characters_revoke_nothing() -> None:
    make_token("vera")
    make_token("vera")
    assert tokens.revoke("kasparro_") == 2
    assert tokens.revoke("") == 2
    assert Token.objects.count() == 2


def test_only_a_keyed_hash_is_stored() -> None:
    secret = make_token("vera")
    columns = [
        str(bytes(value) if isinstance(value, memoryview) else value) for value in fetch("SELECT * FROM api_tokens")[0]
    ]
    assert secret[:15] in columns
    assert not any(secret in column or secret[15:] in column for column in columns)


def test_with_another_secret_key_a_token_is_invalid(settings: object) -> None:
    secret = make_token("vera")
    assert tokens.find(secret) is not None
    settings.SECRET_KEY = "another"  # type: ignore[attr-defined]
    assert tokens.find(secret) is None


def test_the_use_of_a_token_is_recorded_to_the_minute(web: Web) -> None:
    secret = make_token("vera")
    assert Token.objects.get().last_used_at is None
    web.ask("/data", token=secret)
    first = Token.objects.get().last_used_at
    assert first is not None
    web.ask("/data", token=secret)
    assert Token.objects.get().last_used_at == first


def test_the_admin_creates_a_token_shows_it_once_and_revokes_it(tmp_path: Path) -> None:
    """Uses its own web process: one that cached content types before a flush can't write the admin's log."""
    User.objects.create_superuser("root")
    user = User.objects.create(username="vera")
    browser = make_session("root", has_csrf=True)
    form = {"Content-Type": "application/x-www-form-urlencoded", **browser}
    fields = f"user={user.pk}&scope=operate&expires_at_0=2099-01-01&expires_at_1=00:00:00&_save=Save"
    with serving(tmp_path) as web:

        def post(address: str, fields: str) -> Answer:
            body = f"csrfmiddlewaretoken={CSRF}&{fields}"
            return web.ask(f"/admin/kasparro_api/token/{address}", method="POST", headers=form, body=body)

        made = post("add/", fields)
        assert made.status == 302, made.text[:2000]
        message = made.headers["set-cookie"].partition(";")[0]
        shown = web.ask("/admin/kasparro_api/token/", headers={"Cookie": f"{browser['Cookie']}; {message}"})
        (secret,) = set(SECRET.findall(shown.text))
        token = Token.objects.get()
        assert (token.scope, str(token.expires_at)) == ("operate", "2099-01-01 00:00:00+00:00")
        assert fetch("SELECT object_id, object_repr FROM django_admin_log") == [(str(token.pk), str(token))]
        assert web.ask("/data", token=secret).status == 200
        pages = [web.ask(f"/admin/kasparro_api/token/{page}", headers=browser) for page in ("", f"{token.pk}/change/")]
        assert [page.status for page in pages] == [200, 200]
        assert not any(SECRET.search(page.text) or token.digest.hex() in page.text for page in pages)
        assert post(f"{token.pk}/delete/", "post=yes").status == 302
        assert web.ask("/data", token=secret).status == 401


def may(secret: str, permission: str) -> bool:
    key, _ = tokens.find(secret) or pytest.fail("It is not found.")
    return key.may(permission)


def test_a_token_carries_its_users_permissions_and_those_of_its_groups() -> None:
    secret, token = tokens.make("vera", scope=Scope.READ)
    assert may(secret, "view_run")
    token.user.groups.clear()
    assert not may(secret, "view_run")
    strange = Permission.objects.create(codename="view_run", content_type=ContentType.objects.get(model="group"))
    token.user.user_permissions.add(strange)
    assert not may(secret, "view_run"), "a permission of another app"
    token.user.user_permissions.add(Permission.objects.get(codename="view_run", content_type__app_label="etl"))
    assert may(secret, "view_run")
    assert not may(secret, "view_checkpoint")
    User.objects.update(is_superuser=True)
    assert may(secret, "view_checkpoint")


def test_the_permissions_of_a_token_are_read_for_each_request(django_assert_num_queries: Any) -> None:
    secret, token = tokens.make("vera", scope=Scope.READ)
    assert tokens.find(secret) is not None  # records the use
    with django_assert_num_queries(1):
        key, user = tokens.find(secret) or pytest.fail("The token is not found.")
    assert (key.id, key.may("view_run"), user.pk, user.get_username()) == (token.pk, True, token.user_id, "vera")
    token.user.groups.clear()
    assert not may(secret, "view_run")
    User.objects.update(is_active=False)
    assert tokens.find(secret) is None
    User.objects.update(is_active=True)
    assert tokens.find(secret) is not None
    token.delete()
    assert tokens.find(secret) is None
