"""Authentication by a token in `Authorization: Token …` or `X-API-Key: …`. Sessions are left to DRF."""

from typing import Any

from django.contrib.auth.models import AbstractBaseUser
from django.http import HttpRequest
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request
from structlog.contextvars import bind_contextvars

from api.access import tokens
from api.access.tokens import Key

KEYWORD = "token"


class TokenAuthentication(BaseAuthentication):
    """Authenticates by a token of api/access/tokens.py, whose key becomes `request.auth`."""

    def authenticate(self, request: Request) -> tuple[AbstractBaseUser, Key] | None:
        secret = find_secret(request)
        if secret is None:
            return None
        found = tokens.find(secret)
        if found is None:
            raise AuthenticationFailed("The token is unknown, revoked or expired, or its user is not active.")
        key, user = found
        bind_contextvars(user_id=user.pk)
        return user, key

    def authenticate_header(self, request: Request) -> str:
        """Make refusals a 401 with WWW-Authenticate."""
        return "Token"


def find_secret(request: Request | HttpRequest) -> str | None:
    """Return the token that was sent, or None. Raises AuthenticationFailed if its header is malformed."""
    given = request.META.get("HTTP_AUTHORIZATION")
    if given is not None:
        keyword, _, secret = given.partition(" ")
        if keyword.lower() != KEYWORD or not secret.strip():
            raise AuthenticationFailed("Send `Authorization: Token …` or `X-API-Key: …`.")
        return str(secret.strip())
    given = request.META.get("HTTP_X_API_KEY")
    return str(given.strip()) if given is not None else None


class TokenScheme(OpenApiAuthenticationExtension):
    """Describes the token in the schema."""

    target_class = TokenAuthentication
    name = ["token", "apiKey"]

    def get_security_requirement(self, auto_schema: Any) -> list[dict[str, list[str]]]:
        return [{name: []} for name in self.name]

    def get_security_definition(self, auto_schema: Any) -> list[dict[str, str]]:
        return [
            {"type": "apiKey", "in": "header", "name": "Authorization", "description": "`Token …`"},
            {"type": "apiKey", "in": "header", "name": "X-API-Key"},
        ]
