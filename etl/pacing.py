"""The rate limit of a host, shared by all workers through Redis: a moving window of so many requests.

Like the lock it is a courtesy, not a law: without Redis requests go out unpaced, and the host's own 429 is
waited out.
"""

import logging
import time
from functools import cache

from django.conf import settings
from limits import RateLimitItem, parse
from limits.errors import StorageError
from limits.storage import storage_from_string
from limits.strategies import MovingWindowRateLimiter

logger = logging.getLogger(__name__)

PATIENCE_SECONDS = 1
LEAST_WAIT_SECONDS = 0.01


def find_wait(host: str, limit: str) -> float:
    """Seconds to wait before asking this host once more; 0 takes a place in the window, now."""
    if not limit:
        return 0
    item = parse(limit)
    try:
        limiter = _make_limiter(settings.REDIS_URL)
        if limiter.hit(item, host):
            return 0
        return max(LEAST_WAIT_SECONDS, _find_reset(limiter, item, host) - time.time())
    except StorageError as error:
        logger.warning(
            "Requests to %s are not paced: Redis can't be reached (%s)", host, type(error.storage_error).__name__
        )
        return 0


def _find_reset(limiter: MovingWindowRateLimiter, item: RateLimitItem, host: str) -> float:
    """When the oldest request leaves the window, seconds since 1970."""
    return limiter.get_window_stats(item, host).reset_time


@cache
def _make_limiter(url: str) -> MovingWindowRateLimiter:
    address = url.replace("unix://", "redis+unix://", 1) if url.startswith("unix://") else url
    storage = storage_from_string(
        address,
        socket_connect_timeout=PATIENCE_SECONDS,
        socket_timeout=PATIENCE_SECONDS,
        key_prefix="kasparro:limits",
        wrap_exceptions=True,
    )
    return MovingWindowRateLimiter(storage)
