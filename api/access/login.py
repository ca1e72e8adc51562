"""Limits failed logins by address, and by user name at an address, counted in Redis for all web processes.

A user name alone has no limit: anyone could lock its user out by failing from many addresses.

It covers every page that takes a password: the admin's and the browsable API's. Without Redis, logins are not
limited, like requests to the API.
"""

import hashlib
import logging
import math
import unicodedata
from collections.abc import Callable
from contextlib import suppress

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.template.loader import render_to_string
from django.urls import NoReverseMatch, reverse
from limits.errors import StorageError

from api.access import throttling
from api.caching import keep_from_caches
from api.conf import conf
from etl.http import rate_limits

logger = logging.getLogger(__name__)

LOGIN_VIEWS = ("admin:login", "rest_framework:login")

Answer = Callable[[HttpRequest], HttpResponseBase]


def throttle_logins(get_response: Answer) -> Answer:
    """Respond with 429 after too many failures.

    Each attempt is counted before the password is checked, and uncounted unless it was wrong, so that concurrent
    attempts can't exceed the limit.
    """

    def middleware(request: HttpRequest) -> HttpResponseBase:
        if request.method != "POST" or request.path not in _list_login_pages():
            return get_response(request)
        windows = _list_windows(request)
        wait_seconds = _count(windows)
        if wait_seconds:
            return _refuse(request, wait_seconds)
        response = get_response(request)
        if response.status_code != 200:  # after a wrong password the form is shown again, with 200
            _uncount(windows)
        return response

    return middleware


def _list_login_pages() -> list[str]:
    """Return the addresses of the login pages that the project has."""
    pages = []
    for view in LOGIN_VIEWS:
        with suppress(NoReverseMatch):
            pages.append(reverse(view))
    return pages


def _list_windows(request: HttpRequest) -> list[tuple[str, str]]:
    """Return the windows as limit and name, without those that have no limit.

    A user name is hashed: Redis must not get names, or passwords typed by mistake.
    """
    name = unicodedata.normalize("NFKC", request.POST.get("username", "")).strip().casefold()
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()
    address = request.META.get("REMOTE_ADDR", "")
    windows = [
        (conf.API_THROTTLE_LOGIN, f"login:user:{digest}:{address}"),
        (conf.API_THROTTLE_LOGIN_ADDRESS, f"login:address:{address}"),
    ]
    return [(limit, name) for limit, name in windows if limit]


def _count(windows: list[tuple[str, str]]) -> float:
    """Count an attempt. Returns the seconds to wait if it exceeds the limit, otherwise 0."""
    try:
        return max([throttling.find_wait(limit, name) for limit, name in windows], default=0)
    except StorageError as error:
        logger.warning("Logins are not throttled: Redis can't be reached (%s)", type(error.storage_error).__name__)
        return 0


def _uncount(windows: list[tuple[str, str]]) -> None:
    try:
        storage = throttling.make_limiter().storage
        for limit, name in windows:
            item = rate_limits.parse(limit)
            storage.incr(item.key_for(name), item.get_expiry(), amount=-1)
    except StorageError as error:
        logger.warning(
            "A successful login stays counted as failed: Redis can't be reached (%s)",
            type(error.storage_error).__name__,
        )


def _refuse(request: HttpRequest, wait_seconds: float) -> HttpResponse:
    logger.warning("A login was refused after too many failures.")
    minutes = math.ceil(wait_seconds / 60)
    page = render_to_string("kasparro_api/login_refused.html", {"minutes": minutes, "address": request.path}, request)
    response = HttpResponse(page, status=429, headers={"Retry-After": str(math.ceil(wait_seconds))})
    keep_from_caches(response)
    return response
