"""Tokens: created, found by their keyed hash, revoked. One query per request finds a token and its permissions.

In a project with its own user model it takes a few, which ask that model and the project's authentication backends.
"""

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AbstractBaseUser, Group
from django.db.models import Q

from api.access.groups import GROUPS, OPERATE
from api.models import Scope, Token
from etl.clock import NOW, as_utc
from etl.database import atomic, connect_to

PREFIX = "kasparro_"
SHOWN_CHARACTERS = len(PREFIX) + 6
LONGEST_TOKEN = 100
LONGEST_LIFE_DAYS = 36_500

_USER_COLUMNS = ("id", "is_superuser", "username", "is_staff", "is_active")
"""In the model's order, because `from_db` goes by position."""

_USER_NAME = re.compile(r"[\w.@+-]{1,150}")
_FIND = "SELECT * FROM api_find_token(%s)"
"""The columns are listed in the migration 0003_find_token."""

_LABEL = "etl."


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


class NoGroup(ValueError):
    """A scope's group does not exist, because someone has renamed or deleted it."""


def make(username: str, *, scope: Scope, days: int | None = None) -> tuple[str, Token]:
    """Create a token for the user of this name and return it with its row, which has only its hash.

    A missing user is created, but not one of a project's own model, which may need more than a name. Raises ValueError
    for an invalid name of a new user, an unknown user or an invalid number of days, and NoGroup.
    """
    if days is not None and not 1 <= days <= LONGEST_LIFE_DAYS:
        raise ValueError(f"A token is valid for 1 to {LONGEST_LIFE_DAYS} days.")
    expires_at = datetime.now(UTC) + timedelta(days=days) if days is not None else None
    with atomic(using=connect_to(Token).alias):
        return make_for(_find_or_make_user(username), scope=scope, expires_at=expires_at)


def make_for(user: Any, *, scope: Scope, expires_at: datetime | None) -> tuple[str, Token]:
    """Create a token for the user, whatever its name, and return it with its row, which has only its hash.

    The user joins the scope's group, if the model has groups. Raises NoGroup.
    """
    secret = PREFIX + secrets.token_urlsafe(32)
    with atomic(using=connect_to(Token).alias):
        if hasattr(user, "groups"):
            user.groups.add(_find_group(GROUPS[scope]))
        token = Token.objects.create(
            user=user,
            prefix=secret[:SHOWN_CHARACTERS],
            digest=hash_token(secret),
            scope=scope,
            expires_at=expires_at,
        )
    return secret, token


def _find_group(name: str) -> Group:
    group = Group.objects.filter(name=name).first()
    if group is None:
        raise NoGroup(
            f"There is no group {name}, which the user of the token has to join. If it was renamed, give it back its"
            " name; if it was deleted, create it again with its permissions."
        )
    return group


def _find_or_make_user(username: str) -> Any:
    model: Any = get_user_model()
    users = model._default_manager  # noqa: SLF001  (Django's documented name)
    named = {model.USERNAME_FIELD: username}
    user = users.filter(**named).first()
    if user is not None:
        return user
    if not _is_djangos_own():
        raise ValueError(f"There is no user {username}. Create it first, as your project does.")
    if not _USER_NAME.fullmatch(username):
        raise ValueError("The name of a new user has 1 to 150 letters, digits and @ . + - _ .")
    user, is_new = users.get_or_create(**named)
    if is_new:
        user.set_unusable_password()
        user.save(update_fields=["password"])
    return user


def _is_djangos_own() -> bool:
    return bool(settings.AUTH_USER_MODEL == "auth.User")


def hash_token(secret: str) -> bytes:
    """Return the keyed hash that is stored instead of the token, so that reading the table gives no access."""
    return hmac.digest(settings.SECRET_KEY.encode(), b"api token " + secret.encode(), hashlib.sha256)


def find(secret: str) -> tuple[Key, AbstractBaseUser] | None:
    """Return the token's key and user, or None if it is unknown or expired, or its user is not active."""
    if not (secret.startswith(PREFIX) and secret.isascii() and len(secret) <= LONGEST_TOKEN):
        return None
    return _find_in_one_query(secret) if _is_djangos_own() else _find_by_model(secret)


def _find_in_one_query(secret: str) -> tuple[Key, AbstractBaseUser] | None:
    users = connect_to(Token)
    with users.cursor() as cursor:
        cursor.execute(_FIND, [hash_token(secret)])
        row = cursor.fetchone()
    if row is None:
        return None
    token_id, scope, is_to_be_noted, permissions, *values = row
    if is_to_be_noted:
        _note_use(token_id)
    user: Any = get_user_model().from_db(users.alias, _USER_COLUMNS, values)
    return Key(token_id, scope, frozenset(permissions), user.is_superuser), user


def _find_by_model(secret: str) -> tuple[Key, AbstractBaseUser] | None:
    valid = Q(expires_at=None) | Q(expires_at__gt=NOW)
    token = Token.objects.select_related("user").filter(valid, digest=hash_token(secret)).first()
    user: Any = token.user if token is not None else None
    if token is None or not user.is_active:
        return None
    if token.last_used_at is None or as_utc(token.last_used_at) < datetime.now(UTC) - timedelta(minutes=1):
        _note_use(token.pk)
    granted = user.get_all_permissions() if hasattr(user, "get_all_permissions") else ()
    permissions = frozenset(name.removeprefix(_LABEL) for name in granted if name.startswith(_LABEL))
    return Key(token.pk, token.scope, permissions, getattr(user, "is_superuser", False)), user


def _note_use(token_id: int) -> None:
    Token.objects.filter(pk=token_id).update(last_used_at=NOW)


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
