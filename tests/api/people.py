"""Users for tests: tokens of each kind, and sessions of the browsable API."""

from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.auth.models import Group, User
from django.contrib.sessions.backends.db import SessionStore
from django.utils import timezone

from api.access import tokens
from api.models import Scope, Token

CSRF = "c" * 32


@dataclass(frozen=True)
class People:
    """One token of a viewer and one of an operator."""

    viewer: str
    operator: str


def make_people() -> People:
    return People(make_token("vera"), make_token("olga", scope="operate"))


def make_token(username: str = "someone", *, scope: str = "read", has_expired: bool = False) -> str:
    secret, token = tokens.make(username, scope=Scope(scope))
    if has_expired:
        Token.objects.filter(pk=token.pk).update(expires_at=timezone.now() - timedelta(seconds=1))
    return secret


def make_session(username: str, *, group: str | None = None, has_csrf: bool = False) -> dict[str, str]:
    """The headers of a browser in which this user is logged in; `has_csrf` adds the CSRF token, as forms do."""
    user, _ = User.objects.get_or_create(username=username)
    if group is not None:
        user.groups.add(Group.objects.get(name=group))
    session = SessionStore()
    session[SESSION_KEY] = str(user.pk)
    session[BACKEND_SESSION_KEY] = settings.AUTHENTICATION_BACKENDS[0]
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session.save()
    cookies = f"sessionid={session.session_key}"
    if not has_csrf:
        return {"Cookie": cookies}
    return {"Cookie": f"{cookies}; csrftoken={CSRF}", "X-CSRFToken": CSRF}
