"""Logging in: throttled where a password is asked for, and the first superuser of a development."""

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client

from kasparro.management.commands.up import make_first_superuser

ADDRESSES = ("/admin/login/", "/api/session/login/")


@pytest.fixture(autouse=True)
def people(settings: Any) -> None:
    settings.API_THROTTLE_LOGIN = "3/minute"
    settings.REDIS_KEY_PREFIX = f"{settings.REDIS_KEY_PREFIX}{id(settings)}:"  # windows of this test alone
    for name in ("ada", "bob"):
        User.objects.create_user(name, password="right", is_staff=True)


def log_in(address: str, name: str, password: str, *, host: str = "192.0.2.1") -> Any:
    client = Client(SERVER_NAME="localhost", REMOTE_ADDR=host)
    return client.post(address, {"username": name, "password": password, "next": "/admin/"})


@pytest.mark.parametrize("address", ADDRESSES)
def test_who_fails_too_often_has_to_wait_even_with_the_right_password(address: str) -> None:
    assert [log_in(address, "ada", "wrong").status_code for _ in range(4)] == [200, 200, 200, 429]
    refused = log_in(address, "ada", "right")
    assert refused.status_code == 429
    assert 0 < int(refused.headers["Retry-After"]) <= 60
    assert "Too many failed logins" in refused.content.decode()


def test_a_user_name_is_kept_whatever_the_address_and_the_way_in() -> None:
    for number in range(3):
        log_in(ADDRESSES[number % 2], "ada", "wrong", host=f"192.0.2.{number}")
    assert log_in(ADDRESSES[0], " ADA", "right", host="192.0.2.9").status_code == 429
    assert log_in(ADDRESSES[0], "bob", "right", host="192.0.2.9").status_code == 302


def test_an_address_is_kept_whatever_the_user_name() -> None:
    for name in ("x", "y", "z"):
        log_in(ADDRESSES[0], name, "wrong")
    assert log_in(ADDRESSES[0], "ada", "right").status_code == 429
    assert log_in(ADDRESSES[0], "ada", "right", host="192.0.2.2").status_code == 302


def test_logins_that_succeed_are_not_counted() -> None:
    assert {log_in(ADDRESSES[0], "ada", "right").status_code for _ in range(8)} == {302}


def test_looking_at_the_login_is_not_counted() -> None:
    for _ in range(5):
        assert Client(SERVER_NAME="localhost").get(ADDRESSES[0]).status_code == 200


def test_without_redis_nobody_is_kept_out(settings: Any) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    assert {log_in(ADDRESSES[0], "ada", "wrong").status_code for _ in range(5)} == {200}
    assert log_in(ADDRESSES[0], "ada", "right").status_code == 302


def test_an_empty_limit_is_none(settings: Any) -> None:
    settings.API_THROTTLE_LOGIN = ""
    assert {log_in(ADDRESSES[0], "ada", "wrong").status_code for _ in range(5)} == {200}


def test_redis_learns_neither_names_nor_passwords(settings: Any) -> None:
    import redis

    log_in(ADDRESSES[0], "a-password-by-mistake", "wrong")
    keys: Any = redis.Redis.from_url(settings.REDIS_URL).keys("*")
    assert any(b"login" in key.lower() for key in keys)
    assert not any(b"mistake" in key for key in keys)


def test_a_name_that_is_no_text_is_no_defect() -> None:
    for name in ("\x00", "\ufdfa" * 1000, "é", ""):
        assert log_in(ADDRESSES[0], name, "x", host=f"h{ord(name[0]) if name else 0}").status_code in (200, 429)


def test_the_first_superuser_of_a_development_is_made_once(settings: Any) -> None:
    settings.DEBUG = True
    password = make_first_superuser()
    assert password is not None
    user = User.objects.get(username="admin")
    assert user.is_superuser
    assert user.check_password(password)
    assert make_first_superuser() is None


def test_where_somebody_is_a_superuser_none_is_made(settings: Any) -> None:
    settings.DEBUG = True
    User.objects.create_superuser("root", password="x")
    assert make_first_superuser() is None
    assert not User.objects.filter(username="admin").exists()


def test_in_production_none_is_made(settings: Any) -> None:
    settings.DEBUG = False
    assert make_first_superuser() is None
    call_command("check")
