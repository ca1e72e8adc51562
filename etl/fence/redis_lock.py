"""The advisory Redis lock of a source. It avoids pointless starts; only the fence guarantees the law.

So nothing here ever fails a run: without Redis, there is only a warning, and none if the project has no Redis.
"""

import logging

import redis
from redis.backoff import NoBackoff
from redis.exceptions import LockError, RedisError
from redis.retry import Retry

from etl.conf import conf

logger = logging.getLogger(__name__)

PATIENCE_SECONDS = 1


class SourceLock:
    """The lock of one source, held with a token of its own for `seconds` after each renewal."""

    def __init__(self, source: str, seconds: float) -> None:
        self.source = source
        self.is_used = bool(conf.REDIS_URL)
        self.client = redis.Redis.from_url(
            conf.REDIS_URL or "redis://",
            socket_timeout=PATIENCE_SECONDS,
            socket_connect_timeout=PATIENCE_SECONDS,
            retry=Retry(NoBackoff(), 0),
        )
        # With thread_local, the thread that renews would not know the token.
        self.lock = self.client.lock(
            f"{conf.REDIS_KEY_PREFIX}lock:{source}", timeout=seconds, blocking=False, thread_local=False
        )
        self.is_warned = False

    def is_held(self) -> bool:
        """Whether a process holds the lock now; False if Redis can't be asked."""
        try:
            return self.is_used and bool(self.client.exists(self.lock.name))
        except RedisError as error:
            self._warn(error)
            return False

    def hold(self) -> None:
        """Take or renew the lock. Only the owner of the lease calls this, so another token is a leftover."""
        if not self.is_used:
            return
        try:
            if not self._renew():
                self.client.delete(self.lock.name)
                self.lock.acquire()
        except RedisError as error:
            self._warn(error)

    def release(self) -> None:
        """Release the lock if this process still holds it."""
        try:
            if self.lock.local.token is not None:
                self.lock.release()
        except LockError:
            pass  # it has expired, or another process holds it by now
        except RedisError as error:
            self._warn(error)
        finally:
            self.client.close()

    def _renew(self) -> bool:
        try:
            return self.lock.local.token is not None and bool(self.lock.reacquire())
        except LockError:
            return False

    def _warn(self, error: RedisError) -> None:
        if not self.is_warned:
            logger.warning(
                "Redis can't be reached (%s): %s runs without its lock; the fence in the database keeps it safe.",
                type(error).__name__,
                self.source,
            )
        self.is_warned = True
