"""Rate limits, counted in Redis for all processes: requests to a host and requests to the API (api/access).

Like the Redis lock they are best effort: while Redis is down, requests are sent unpaced, and a 429 of the host is
waited out. In a project without Redis each process counts its own requests.
"""

import logging
import time
from functools import cache
from typing import TypeVar

import limits
from limits import RateLimitItem
from limits.errors import StorageError
from limits.storage import storage_from_string
from limits.strategies import MovingWindowRateLimiter, RateLimiter

from etl.conf import conf

Limiter = TypeVar("Limiter", bound=RateLimiter)

logger = logging.getLogger(__name__)

PATIENCE_SECONDS = 1
LEAST_WAIT_SECONDS = 0.01

parse = cache(limits.parse)
"""Parse a rate such as 10/minute."""


def find_wait(host: str, limit: str) -> float:
    """Take a place in the host's moving window and return 0, or return the seconds to wait before trying again."""
    if not limit:
        return 0
    try:
        limiter, item = _make_limiter(conf.REDIS_URL), parse(limit)
        if limiter.hit(item, host):
            return 0
        return find_rest(limiter, item, host, least_wait_seconds=LEAST_WAIT_SECONDS)
    except StorageError as error:
        logger.warning(
            "Requests to %s are not paced: Redis can't be reached (%s)", host, type(error.storage_error).__name__
        )
        return 0


def find_rest(limiter: RateLimiter, item: RateLimitItem, client: str, *, least_wait_seconds: float) -> float:
    """Return the seconds until a place in the full window is free. Raises StorageError."""
    return max(least_wait_seconds, limiter.get_window_stats(item, client).reset_time - time.time())


@cache
def _make_limiter(url: str) -> MovingWindowRateLimiter:
    return make_limiter(MovingWindowRateLimiter, url, "kasparro:limits", PATIENCE_SECONDS)


def make_limiter(strategy: type[Limiter], url: str, key_prefix: str, patience_seconds: float) -> Limiter:
    """Return a limiter that counts in this Redis, or in this process if there is none. Its errors are StorageError."""
    address = url.replace("unix://", "redis+unix://", 1) if url.startswith("unix://") else url
    storage = storage_from_string(
        address or "memory://",
        socket_connect_timeout=patience_seconds,
        socket_timeout=patience_seconds,
        key_prefix=key_prefix,
        wrap_exceptions=True,
    )
    return strategy(storage)
