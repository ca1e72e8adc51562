"""Tokens are created in the admin for any user, and a missing group is named."""

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group, User
from django.test import Client

from api.access import tokens
from api.models import Token
from tests.admin.people import make_client

ADD = "/admin/kasparro_api/token/add/"


@pytest.fixture
def superuser() -> Client:
    return make_client("superuser")


def create(client: Client, user: User, **more: str) -> list[str]:
    """Send the form for a token of this user, and return the messages that follow."""
    response = client.post(ADD, {"user": user.pk, "scope": "operate", "_save": "Save", **more}, follow=True)
    assert response.status_code == 200
    return [str(message) for message in response.context["messages"]]


@pytest.mark.parametrize("name", ["DOMAIN\\ann", "Ann Smith", "x y@z"])
def test_a_token_is_created_for_a_user_of_any_name(superuser: Client, name: str) -> None:
    user = User.objects.create(username=name)
    shown, *_ = create(superuser, user, expires_at_0="2099-01-01", expires_at_1="00:00:00")
    token = Token.objects.get()
    assert (token.user, token.scope, str(token.expires_at)) == (user, "operate", "2099-01-01 00:00:00+00:00")
    _, found = tokens.find(shown.rpartition(" ")[2]) or pytest.fail("The token is not found.")
    assert found == user
    assert user.groups.get().name == "operator"
    assert User.objects.count() == 2


def test_a_missing_group_is_named_and_no_token_is_created(superuser: Client) -> None:
    user = User.objects.create(username="ann")
    Group.objects.filter(name="operator").update(name="operators")
    (message,) = create(superuser, user)
    assert message.startswith("There is no group operator,")
    assert not Token.objects.exists()
    assert not LogEntry.objects.exists()
