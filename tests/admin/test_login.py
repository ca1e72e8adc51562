"""Logging in is throttled at each password form; a development gets a first superuser."""

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.management import call_command
from django.test import Client

from kasparro.management.commands.up import make_first_superuser

ADDRESSES = ("/admin/login/", "/api/session/login/")


@pytest.fixture(autouse=True)
def people(settings: Any) -> None:
    settings.API_THROTTLE_LOGIN, settings.API_THROTTLE_LOGIN_ADDRESS = "3/minute", "5/minute"
    settings.REDIS_KEY_PREFIX = f"{settings.REDIS_KEY_PREFIX}{id(settings)}:"  # so that tests share no windows
    for name in ("ada", "bob"):
        User.objects.create_user(name, password="right", is_staff=True)


def log_in(address: str, name: str, password: str, *, host: str = "192.0.2.1") -> Any:
    client = Client(SERVER_NAME="localhost", REMOTE_ADDR=host)
    return client.post(address, {"username": name, "password": password, "next": "/admin/"})


@pytest.mark.parametrize("address", ADDRESSES)
def test_after_too_many_failures_even_the_right_password_has_to_wait(address: str) -> None:
    assert [log_in(address, "ada", "wrong").status_code for _ in range(4)] == [200, 200, 200, 429]
    refused = log_in(address, "ada", "right")
    assert refused.status_code == 429
    assert 0 < int(refused.headers["Retry-After"]) <= 60
    assert "Too many failed logins" in refused.content.decode()


def test_failures_of_a_user_name_at_a_host_count_regardless_of_the_form() -> None:
    for number in range(3):
        log_in(ADDRESSES[number % 2], "ada", "wrong", host="192.0.2.9")
    assert log_in(ADDRESSES[0], " ADA", "right", host="192.0.2.9").status_code == 429
    assert log_in(ADDRESSES[0], "bob", "right", host="192.0.2.9").status_code == 302


def test_failures_at_other_hosts_lock_no_user_out() -> None:
    for number in range(20):
        assert log_in(ADDRESSES[number % 2], "ada", "wrong", host=f"192.0.2.{number}").status_code == 200
    assert log_in(ADDRESSES[0], "ada", "right", host="192.0.2.99").status_code == 302


def test_failures_of_a_host_count_regardless_of_the_user_name() -> None:
    for name in ("v", "w", "x", "y", "z"):
        log_in(ADDRESSES[0], name, "wrong")
    assert log_in(ADDRESSES[0], "ada", "right").status_code == 429
    assert log_in(ADDRESSES[0], "ada", "right", host="192.0.2.2").status_code == 302


def test_logins_that_succeed_are_not_counted() -> None:
    assert {log_in(ADDRESSES[0], "ada", "right").status_code for _ in range(8)} == {302}


def test_viewing_the_login_form_is_not_counted() -> None:
    for _ in range(5):
        assert Client(SERVER_NAME="localhost").get(ADDRESSES[0]).status_code == 200


def test_without_redis_no_login_is_throttled(settings: Any) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    assert {log_in(ADDRESSES[0], "ada", "wrong").status_code for _ in range(5)} == {200}
    assert log_in(ADDRESSES[0], "ada", "right").status_code == 302


def test_an_empty_limit_disables_throttling(settings: Any) -> None:
    settings.API_THROTTLE_LOGIN = settings.API_THROTTLE_LOGIN_ADDRESS = ""
    assert {log_in(ADDRESSES[0], "ada", "wrong").status_code for _ in range(5)} == {200}


def test_redis_stores_neither_names_nor_passwords(settings: Any) -> None:
    import redis

    log_in(ADDRESSES[0], "a-password-by-mistake", "wrong")
    keys: Any = redis.Redis.from_url(settings.REDIS_URL).keys("*")
    assert any(b"login" in key.lower() for key in keys)
    assert not any(b"mistake" in key for key in keys)


def test_an_odd_user_name_causes_no_error() -> None:
    for name in ("\x00", "\ufdfa" * 1000, "é", ""):
        assert log_in(ADDRESSES[0], name, "x", host=f"h{ord(name[0]) if name else 0}").status_code in (200, 429)


def test_the_first_superuser_of_a_development_is_created_once(settings: Any) -> None:
    settings.DEBUG = True
    password = make_first_superuser()
    assert password is not None
    user = User.objects.get(username="admin")
    assert user.is_superuser
    assert user.check_password(password)
    validate_password(password, user)
    assert make_first_superuser() is None


def test_a_lost_password_of_the_first_superuser_is_replaced(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.DEBUG = True
    make_first_superuser()
    monkeypatch.setattr("getpass.getpass", lambda prompt: "a-new-and-long-password")
    call_command("changepassword", "admin")
    assert User.objects.get(username="admin").check_password("a-new-and-long-password")


@pytest.mark.parametrize("password", ["short", "password1234", "847362918273", "administrator", "admin-admin"])
def test_a_weak_password_is_refused(password: str) -> None:
    with pytest.raises(ValidationError):
        validate_password(password, User(username="administrator", email="admin@example.org"))


def test_no_first_superuser_is_created_if_there_is_one(settings: Any) -> None:
    settings.DEBUG = True
    User.objects.create_superuser("root", password="x")
    assert make_first_superuser() is None
    assert not User.objects.filter(username="admin").exists()


def test_no_first_superuser_is_created_in_production(settings: Any) -> None:
    settings.DEBUG = False
    assert make_first_superuser() is None
    call_command("check")
