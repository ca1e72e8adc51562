"""How often one may ask: a window a token, a user or an address, counted atomically in Redis for all web processes.

Like the pipeline's pacing it is a courtesy, not a law: without Redis requests go through, with a warning.
"""

import logging
import time
from functools import cache
from typing import Any

from django.conf import settings
from limits import parse
from limits.errors import StorageError
from limits.storage import storage_from_string
from limits.strategies import FixedWindowRateLimiter
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from api.tokens import Key

logger = logging.getLogger(__name__)

PATIENCE_SECONDS = 0.5


class Throttle(BaseThrottle):
    """One window for whoever is known, another, by address, for whoever is not."""

    wait_seconds: float = 0

    def allow_request(self, request: Request, view: Any) -> bool:
        if isinstance(request.auth, Key):
            return self._hit(settings.API_THROTTLE_TOKEN, f"token:{request.auth.id}")
        if request.user.is_authenticated:
            return self._hit(settings.API_THROTTLE_TOKEN, f"user:{request.user.pk}")
        return self.allow_address(request)

    def allow_address(self, request: Request) -> bool:
        """For requests without credentials, or with wrong ones."""
        return self._hit(settings.API_THROTTLE_ADDRESS, f"address:{request.META.get('REMOTE_ADDR', '')}")

    def wait(self) -> float:
        """Seconds until the window ends, for Retry-After."""
        return self.wait_seconds

    def _hit(self, limit: str, who: str) -> bool:
        if not limit:
            return True
        try:
            limiter, item = make_limiter(settings.REDIS_URL, settings.REDIS_KEY_PREFIX), parse(limit)
            if limiter.hit(item, who):
                return True
            self.wait_seconds = max(1.0, limiter.get_window_stats(item, who).reset_time - time.time())
            return False
        except StorageError as error:
            logger.warning(
                "Requests are not throttled: Redis can't be reached (%s)", type(error.storage_error).__name__
            )
            return True


@cache
def make_limiter(url: str, key_prefix: str) -> FixedWindowRateLimiter:
    """What counts in this Redis; its errors are StorageError."""
    address = url.replace("unix://", "redis+unix://", 1) if url.startswith("unix://") else url
    storage = storage_from_string(
        address,
        socket_connect_timeout=PATIENCE_SECONDS,
        socket_timeout=PATIENCE_SECONDS,
        key_prefix=f"{key_prefix}throttle",
        wrap_exceptions=True,
    )
    return FixedWindowRateLimiter(storage)
