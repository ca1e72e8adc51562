"""How often one may ask: a window a token, a user or an address, counted atomically in Redis for all web processes.

Like the pipeline's pacing it is a courtesy, not a law: without Redis requests go through, with a warning.

A wide window is counted in lots: a process takes a thousandth of it at once, and hands it out by itself. So whoever
may ask a hundred times a second does not ask Redis each time; what is left of a lot at the window's end is lost.
"""

import logging
import threading
import time
from dataclasses import dataclass
from functools import cache
from typing import Any

from django.conf import settings
from limits import RateLimitItem
from limits.errors import StorageError
from limits.strategies import FixedWindowRateLimiter
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from api.tokens import Key
from etl.http import rate_limits

logger = logging.getLogger(__name__)

PATIENCE_SECONDS = 0.5
LEAST_WAIT_SECONDS = 1.0
LOTS = 1000
"""Of a window; one with fewer than two places a lot is counted one by one."""

MOST_KEPT = 10_000


class Throttle(BaseThrottle):
    """One window for whoever is known, another, by address, for whoever is not."""

    wait_seconds: float = 0

    def allow_request(self, request: Request, view: Any) -> bool:
        if isinstance(request.auth, Key):
            return self._is_free(settings.API_THROTTLE_TOKEN, f"token:{request.auth.id}")
        if request.user.is_authenticated:
            return self._is_free(settings.API_THROTTLE_TOKEN, f"user:{request.user.pk}")
        return self.allow_address(request)

    def allow_address(self, request: Request) -> bool:
        """For requests without credentials, or with wrong ones."""
        return self._is_free(settings.API_THROTTLE_ADDRESS, f"address:{request.META.get('REMOTE_ADDR', '')}")

    def wait(self) -> float:
        """Seconds until the window ends, for Retry-After."""
        return self.wait_seconds

    def _is_free(self, limit: str, who: str) -> bool:
        try:
            self.wait_seconds = find_wait(limit, who)
        except StorageError as error:
            logger.warning(
                "Requests are not throttled: Redis can't be reached (%s)", type(error.storage_error).__name__
            )
        return self.wait_seconds == 0


@dataclass(slots=True)
class Lot:
    """Places of one's window that this process has taken: how many are left, and when the window ends (Unix time)."""

    left: int
    ends_at: float


_lots: dict[tuple[str, str], Lot] = {}
_lots_lock = threading.Lock()


def find_wait(limit: str, who: str) -> float:
    """Count a request; the seconds to wait if it is one too many, else 0. Raises StorageError."""
    if not limit:
        return 0
    item = rate_limits.parse(limit)
    places = item.amount // LOTS
    if places < 2:
        return count(item, who)
    with _lots_lock:
        lot = _lots.get((limit, who))
        if lot is not None and lot.left and time.time() < lot.ends_at:
            lot.left -= 1
            return 0
    wait_seconds = count(item, who, places)
    if not wait_seconds:
        ends_at = make_limiter().get_window_stats(item, who).reset_time
        with _lots_lock:
            if len(_lots) >= MOST_KEPT:
                _lots.clear()
            lot = _lots.get((limit, who))
            if lot is not None and time.time() < lot.ends_at:
                lot.left += places - 1  # another thread was out of places too
            else:
                _lots[limit, who] = Lot(places - 1, ends_at)
    return wait_seconds


def count(item: RateLimitItem, who: str, places: int = 1) -> float:
    """Count in Redis; the seconds to wait if there are not so many places, else 0. Raises StorageError."""
    return rate_limits.count(make_limiter(), item, who, places=places, least_wait_seconds=LEAST_WAIT_SECONDS)


def make_limiter() -> FixedWindowRateLimiter:
    """What counts for the API in the Redis of the settings."""
    return _make_limiter(settings.REDIS_URL, settings.REDIS_KEY_PREFIX)


@cache
def _make_limiter(url: str, key_prefix: str) -> FixedWindowRateLimiter:
    return rate_limits.make_limiter(FixedWindowRateLimiter, url, f"{key_prefix}throttle", PATIENCE_SECONDS)
