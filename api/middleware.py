"""What happens to every request before anything else looks at it: its address, its id, when it came."""

import ipaddress
import random
import re
import time
import uuid
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.contrib.messages.middleware import MessageMiddleware
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.utils.functional import SimpleLazyObject
from django_prometheus.middleware import PrometheusAfterMiddleware
from django_structlog.middlewares import RequestMiddleware
from django_structlog.middlewares.request import logger
from structlog.contextvars import bind_contextvars, clear_contextvars

from api import errors

METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
_DESK = "/admin/"
"""Where kasparro/urls.py has it."""

_WELL_FORMED_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
PROBED = frozenset(("/health", "/health/live", "/api/v1/health", "/api/v1/health/live"))
_FORWARDED = ("HTTP_X_FORWARDED_FOR", "HTTP_X_FORWARDED_PROTO", "HTTP_X_FORWARDED_HOST", "HTTP_FORWARDED")

Answer = Callable[[HttpRequest], HttpResponseBase]


def identify(get_response: Answer) -> Answer:
    """Give the request its id (a well-formed X-Request-ID is taken) and its address, and the answer that id.

    X-Forwarded-For and -Proto are believed from TRUSTED_PROXIES alone, and dropped otherwise. Platforms ask for health
    by the container's address, which no ALLOWED_HOSTS can name: there any host is good, as nothing is made of it.
    """

    def middleware(request: HttpRequest) -> HttpResponseBase:
        given = request.META.get("HTTP_X_REQUEST_ID", "")
        request_id = given if _WELL_FORMED_ID.fullmatch(given) else _make_id()
        request.META["HTTP_X_REQUEST_ID"] = request_id
        request.META.pop("HTTP_X_CORRELATION_ID", None)
        request.request_id = request_id  # type: ignore[attr-defined]
        request.began = time.perf_counter()  # type: ignore[attr-defined]
        _believe_proxies(request)
        if request.path in PROBED and settings.ALLOWED_HOSTS:
            request.META["HTTP_HOST"] = _choose_host(settings.ALLOWED_HOSTS[0])
        if request.method in METHODS:
            response = get_response(request)
        else:
            response = errors.answer(request, 405, code="method_not_allowed", detail="There is no such method.")
        response.headers["X-Request-ID"] = request_id
        return response

    return middleware


def _make_id() -> str:
    """A UUID; it names and need not be hard to guess."""
    return str(uuid.UUID(int=random.getrandbits(128), version=4))


def _choose_host(allowed: str) -> str:
    """A host name that this entry of ALLOWED_HOSTS allows."""
    return "localhost" if allowed == "*" else allowed.removeprefix(".")


def _believe_proxies(request: HttpRequest) -> None:
    forwarded = {name: request.META.pop(name) for name in _FORWARDED if name in request.META}
    if not forwarded or not settings.TRUSTED_PROXIES or not _is_trusted(request.META.get("REMOTE_ADDR", "")):
        return
    hops = [hop.strip() for hop in forwarded.get("HTTP_X_FORWARDED_FOR", "").split(",") if hop.strip()]
    for hop in reversed(hops):
        if not _is_address(hop):
            break
        request.META["REMOTE_ADDR"] = hop
        if not _is_trusted(hop):
            break
    if forwarded.get("HTTP_X_FORWARDED_PROTO", "").strip().lower() == "https":
        request.META["wsgi.url_scheme"] = "https"
        request.META["HTTP_X_FORWARDED_PROTO"] = "https"


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _is_trusted(text: str) -> bool:
    return _is_address(text) and any(ipaddress.ip_address(text) in network for network in settings.TRUSTED_PROXIES)


class LogRequests(RequestMiddleware):
    """django-structlog's line a request, without its query (which may hold what is nobody's business).

    What the library does beyond that, and for nobody here (a line at the start, two signals), costs as much again.
    """

    def prepare(self, request: HttpRequest) -> None:
        """Whatever is logged from here on has the id and the address that `identify` found."""
        request_id: str = request.request_id  # type: ignore[attr-defined]
        bind_contextvars(request_id=request_id, ip=request.META.get("REMOTE_ADDR", ""))

    def handle_response(self, request: HttpRequest, response: HttpResponse) -> None:
        """The line, and the end of the ids."""
        if response.streaming or hasattr(request, "_raised_exception"):
            super().handle_response(request, response)
            return
        self.bind_user_id(request)
        level = self._log_level_for_status_code(response.status_code)
        logger.log(level, "request_finished", code=response.status_code, request=self.format_request(request))
        clear_contextvars()

    @staticmethod
    def bind_user_id(request: HttpRequest) -> None:
        """Whoever was found to ask; the library would look a session up for its line, also in a database in trouble."""
        user = getattr(request, "user", None)
        if isinstance(user, SimpleLazyObject):
            user = getattr(request, "_cached_user", None)
        bind_contextvars(user_id=user.pk if user is not None else None)

    @staticmethod
    def format_request(request: HttpRequest) -> str:
        return f"{request.method} {errors.make_printable(request.path)}"


class Messages(MessageMiddleware):
    """Django's messages, which only the desk has."""

    def __call__(self, request: HttpRequest) -> Any:
        return super().__call__(request) if request.path.startswith(_DESK) else self.get_response(request)


class CountRequests(PrometheusAfterMiddleware):  # type: ignore[misc]
    """django-prometheus' counters, each looked up once: the names, methods and statuses are few."""

    def __init__(self, get_response: Answer) -> None:
        super().__init__(get_response)
        self._labelled: dict[tuple[Any, ...], Any] = {}

    def label_metric(self, metric: Any, request: HttpRequest, response: Any = None, **labels: str) -> Any:
        key = (metric, *labels.values())
        if (labelled := self._labelled.get(key)) is None:
            labelled = self._labelled[key] = super().label_metric(metric, request, response, **labels)
        return labelled
