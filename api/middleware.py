"""Gives every request a client address, an id, a start time and one log line at its end."""

import logging
import random
import re
import sys
import time
import uuid
from collections.abc import Callable
from typing import Any

import structlog
from django.conf import settings
from django.contrib.auth import get_user
from django.core.signals import got_request_exception
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponseBase
from django.utils.functional import SimpleLazyObject
from structlog.contextvars import bind_contextvars, clear_contextvars

from api import errors
from api.client_address import apply_forwarded

logger = structlog.get_logger(__name__)

METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
_WELL_FORMED_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
PROBED = frozenset(("/health", "/health/live", "/api/v1/health", "/api/v1/health/live"))

Answer = Callable[[HttpRequest], HttpResponseBase]


def identify(get_response: Answer) -> Answer:
    """Give the request an id (a well-formed X-Request-ID is kept) and a client address; return the id in the response.

    X-Forwarded-For and -Proto are used only from TRUSTED_PROXIES, and dropped otherwise. Platforms request health by
    the container's address, which ALLOWED_HOSTS can't list, so health accepts any host; it makes no use of the host.
    """

    def middleware(request: HttpRequest) -> HttpResponseBase:
        given = request.META.get("HTTP_X_REQUEST_ID", "")
        request_id = given if _WELL_FORMED_ID.fullmatch(given) else _make_id()
        request.META["HTTP_X_REQUEST_ID"] = request_id
        request.META.pop("HTTP_X_CORRELATION_ID", None)
        stamp(request, request_id)
        apply_forwarded(request)
        if request.path in PROBED and settings.ALLOWED_HOSTS:
            request.META["HTTP_HOST"] = _choose_host(settings.ALLOWED_HOSTS[0])
        if request.method in METHODS:
            response = get_response(request)
        else:
            response = errors.answer(request, 405, code="method_not_allowed", detail="There is no such method.")
        response.headers["X-Request-ID"] = request_id
        return response

    return middleware


def stamp(request: HttpRequest, request_id: str = "") -> None:
    """Give the request an id and a start time, unless it has them."""
    if not hasattr(request, "request_id"):
        request.request_id = request_id or _make_id()  # type: ignore[attr-defined]
    if not hasattr(request, "began"):
        request.began = time.perf_counter()  # type: ignore[attr-defined]


def _make_id() -> str:
    """Return a UUID. It only identifies the request, so it need not be hard to guess."""
    return str(uuid.UUID(int=random.getrandbits(128), version=4))


def _choose_host(allowed: str) -> str:
    """Return a host name that this entry of ALLOWED_HOSTS allows."""
    return "localhost" if allowed == "*" else allowed.removeprefix(".")


def log_requests(get_response: Answer) -> Answer:
    """Log one line per request, without its query, which may be private; add the request's ids to all its lines."""

    def middleware(request: HttpRequest) -> HttpResponseBase:
        clear_contextvars()
        bind_contextvars(request_id=request.request_id, ip=request.META.get("REMOTE_ADDR", ""), user_id=None)  # type: ignore[attr-defined]
        response = get_response(request)
        error = getattr(request, "error", None)
        logger.log(
            _choose_level(response.status_code),
            "request_failed" if error else "request_finished",
            code=response.status_code,
            request=f"{request.method} {errors.make_printable(request.path)}",
            duration_ms=round((time.perf_counter() - request.began) * 1000, 3),  # type: ignore[attr-defined]
            **({"exc_info": error} if error else {}),
        )
        clear_contextvars()
        return response

    return middleware


@receiver(got_request_exception)
def _keep_error(request: HttpRequest, **kwargs: Any) -> None:
    """Store an unhandled error for the request's log line."""
    request.error = sys.exception()  # type: ignore[attr-defined]


def _choose_level(status: int) -> int:
    return logging.ERROR if status >= 500 else logging.WARNING if status >= 400 else logging.INFO


def name_user(get_response: Answer) -> Answer:
    """Add the session user's id to the request's log lines, but only once the user is read: a line costs no query."""

    def middleware(request: HttpRequest) -> HttpResponseBase:
        request.user = SimpleLazyObject(lambda: _find_user(request))  # type: ignore[assignment]
        return get_response(request)

    return middleware


def _find_user(request: HttpRequest) -> Any:
    user = get_user(request)
    bind_contextvars(user_id=user.pk)
    return user
