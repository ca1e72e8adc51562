"""Request limits, one window per token, user or address, counted atomically in Redis for all web processes.

Like the pipeline's pacing they are best effort: without Redis, requests pass with a warning.
"""

import logging
from functools import cache
from typing import Any

from limits.errors import StorageError
from limits.strategies import FixedWindowRateLimiter
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from api.access import places
from api.access.tokens import Key
from api.conf import conf
from etl.conf import conf as pipeline_conf
from etl.http import rate_limits

logger = logging.getLogger(__name__)

PATIENCE_SECONDS = 0.5
LEAST_WAIT_SECONDS = 1.0


class Throttle(BaseThrottle):
    """Counts by token or user, and anonymous requests by address."""

    wait_seconds: float = 0

    def allow_request(self, request: Request, view: Any) -> bool:
        if isinstance(request.auth, Key):
            return self._is_free(conf.API_THROTTLE_TOKEN, f"token:{request.auth.id}")
        if request.user.is_authenticated:
            return self._is_free(conf.API_THROTTLE_TOKEN, f"user:{request.user.pk}")
        return self._is_free(conf.API_THROTTLE_ADDRESS, f"address:{request.META.get('REMOTE_ADDR', '')}")

    def wait(self) -> float:
        """Return the seconds until the window ends, for Retry-After."""
        return self.wait_seconds

    def _is_free(self, limit: str, client: str) -> bool:
        try:
            self.wait_seconds = find_wait(limit, client)
        except StorageError as error:
            logger.warning(
                "Requests are not throttled: Redis can't be reached (%s)", type(error.storage_error).__name__
            )
        return self.wait_seconds == 0


def find_wait(limit: str, client: str) -> float:
    """Count a request. Returns the seconds to wait if it exceeds the limit, otherwise 0. Raises StorageError."""
    if not limit:
        return 0
    limiter, item = make_limiter(), rate_limits.parse(limit)
    if places.take(limiter.storage, item, client):
        return 0
    return rate_limits.find_rest(limiter, item, client, least_wait_seconds=LEAST_WAIT_SECONDS)


def make_limiter() -> FixedWindowRateLimiter:
    """Return the API's limiter, which counts in the Redis of the settings."""
    return _make_limiter(pipeline_conf.REDIS_URL, pipeline_conf.REDIS_KEY_PREFIX)


@cache
def _make_limiter(url: str, key_prefix: str) -> FixedWindowRateLimiter:
    return rate_limits.make_limiter(FixedWindowRateLimiter, url, f"{key_prefix}throttle", PATIENCE_SECONDS)
