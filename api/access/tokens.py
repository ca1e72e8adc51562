"""Tokens: created, found by their keyed hash, revoked. One query per request finds a token and its permissions."""

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings
from django.contrib.auth.models import Group, User
from django.db import DEFAULT_DB_ALIAS, connection, transaction
from django.utils import timezone

from api.access.groups import GROUPS, OPERATE
from api.models import Scope, Token
from etl.clock import NOW

PREFIX = "kasparro_"
SHOWN_CHARACTERS = len(PREFIX) + 6
LONGEST_TOKEN = 100
LONGEST_LIFE_DAYS = 36_500

_USER_COLUMNS = ("id", "is_superuser", "username", "is_staff", "is_active")
"""In the model's order, because `from_db` goes by position."""

_USER_NAME = re.compile(r"[\w.@+-]{1,150}")
_FIND = "SELECT * FROM api_find_token(%s)"
"""The columns are listed in the migration 0003_find_token."""


@dataclass(frozen=True, slots=True)
class Key:
    """A valid token: the id of its row, and the `etl` permissions of its user."""

    id: int
    scope: str
    permissions: frozenset[str]
    is_of_superuser: bool

    def may(self, permission: str) -> bool:
        """Return whether the token has this permission of the app `etl`."""
        if permission == OPERATE and self.scope != Scope.OPERATE:
            return False
        return self.is_of_superuser or permission in self.permissions


def make(username: str, *, scope: Scope, days: int | None = None) -> tuple[str, Token]:
    """Create a token for the user and return it with its row, which has only its hash.

    The user is created if missing, and joins the scope's group. Raises ValueError for an invalid user name or number of
    days.
    """
    if days is not None and not 1 <= days <= LONGEST_LIFE_DAYS:
        raise ValueError(f"A token is valid for 1 to {LONGEST_LIFE_DAYS} days.")
    if not (_USER_NAME.fullmatch(username)):
        raise ValueError("A user name has 1 to 150 letters, digits and @ . + - _ .")
    secret = PREFIX + secrets.token_urlsafe(32)
    with transaction.atomic():
        user, is_new = User.objects.get_or_create(username=username)
        if is_new:
            user.set_unusable_password()
            user.save(update_fields=["password"])
        user.groups.add(Group.objects.get(name=GROUPS[scope]))
        token = Token.objects.create(
            user=user,
            prefix=secret[:SHOWN_CHARACTERS],
            digest=hash_token(secret),
            scope=scope,
            expires_at=timezone.now() + timedelta(days=days) if days is not None else None,
        )
    return secret, token


def hash_token(secret: str) -> bytes:
    """Return the keyed hash that is stored instead of the token, so that reading the table gives no access."""
    return hmac.digest(settings.SECRET_KEY.encode(), b"api token " + secret.encode(), hashlib.sha256)


def find(secret: str) -> tuple[Key, User] | None:
    """Return the token's key and user, or None if it is unknown or expired, or its user is not active."""
    if not (secret.startswith(PREFIX) and secret.isascii() and len(secret) <= LONGEST_TOKEN):
        return None
    with connection.cursor() as cursor:
        cursor.execute(_FIND, [hash_token(secret)])
        row = cursor.fetchone()
    if row is None:
        return None
    token_id, scope, is_to_be_noted, permissions, *values = row
    if is_to_be_noted:
        Token.objects.filter(pk=token_id).update(last_used_at=NOW)
    user = User.from_db(DEFAULT_DB_ALIAS, _USER_COLUMNS, values)
    return Key(token_id, scope, frozenset(permissions), user.is_superuser), user


def revoke(named: str) -> int:
    """Delete the token with this id, these first characters or this value, if only one matches. Returns the matches."""
    if named.isascii() and named.isdigit() and len(named) < 19:
        matches = Token.objects.filter(pk=int(named))
    elif len(named) > SHOWN_CHARACTERS:
        matches = Token.objects.filter(digest=hash_token(named))
    else:
        matches = Token.objects.filter(prefix__startswith=named)
    ids = list(matches.values_list("pk", flat=True)[:2])
    if len(ids) == 1:
        Token.objects.filter(pk__in=ids).delete()
    return len(ids)
