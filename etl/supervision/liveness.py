"""Lists the workers and beats that are alive: each reports to Redis every few seconds. No decision depends on it.

So an error of Redis never disturbs the process that reports. The times are from Redis' own clock: processes on many
hosts are measured by one clock, and no skew makes a live worker look dead, or a dead one alive.
"""

import logging
import time
from dataclasses import dataclass
from functools import cache

import redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from etl.conf import conf

logger = logging.getLogger(__name__)

BEAT = "beat"
IDLE_BEAT = "beat without the sweep"
"""A beat whose schedule lacks the sweep, such as one with a schedule in a file: it queues no run of ours."""

BEATS = (BEAT, IDLE_BEAT)
SIGN_SECONDS = 5
ALIVE_SECONDS = 30
"""A process that has not reported for this time is not alive."""

PATIENCE_SECONDS = 1
_WORKER = "worker:"

# One sorted set: a name's score is the time of its last report. Each report removes the names that are not alive.
_SIGN = """
    local now = redis.call('TIME')
    now = now[1] + now[2] / 1000000
    redis.call('ZADD', KEYS[1], now, ARGV[1])
    redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[2])
    redis.call('EXPIRE', KEYS[1], ARGV[2])
"""
_signed: dict[str, float] = {}


@dataclass(frozen=True, slots=True)
class Alive:
    """Workers by name, and beat, with the seconds since the last report of each; None for a beat that is not alive."""

    workers: list[tuple[str, float]]
    beat_age_s: float | None
    idle_beat_age_s: float | None = None


def is_used() -> bool:
    """Whether there is a Redis to report to."""
    return bool(conf.REDIS_URL)


def name_worker(hostname: str) -> str:
    """Return the name under which the worker with this Celery host name reports."""
    return f"{_WORKER}{hostname}"


def sign(name: str) -> None:
    """Report that `name` is alive, at most every five seconds. Never raises; does nothing without a Redis."""
    if not conf.REDIS_URL:
        return
    now = time.monotonic()
    if name in _signed and now - _signed[name] < SIGN_SECONDS:
        return
    _signed[name] = now
    try:
        _connect(conf.REDIS_URL).eval(_SIGN, 1, _key(), name, ALIVE_SECONDS)
    except RedisError as error:
        logger.debug("%s could not report that it is alive: %s", name, type(error).__name__)


def sign_off(name: str) -> None:
    """Report that `name` has ended. Never raises."""
    if not conf.REDIS_URL:
        return
    try:
        _connect(conf.REDIS_URL).zrem(_key(), name)
    except RedisError as error:
        logger.debug("%s could not report that it has ended: %s", name, type(error).__name__)


def find_alive() -> Alive | None:
    """Return the processes that are alive, in one round trip; None if no Redis responds within a second."""
    if not conf.REDIS_URL:
        return None
    client = _connect(conf.REDIS_URL)  # held until the end: a client that nothing refers to closes its connections
    try:
        with client.pipeline(transaction=False) as pipeline:
            pipeline.time()
            pipeline.zrange(_key(), 0, -1, withscores=True)
            (seconds, microseconds), signed = pipeline.execute()
    except RedisError:
        return None
    now = seconds + microseconds / 1_000_000
    ages = {name.decode(): max(0.0, now - at) for name, at in signed if now - at < ALIVE_SECONDS}
    workers = sorted((name.removeprefix(_WORKER), age) for name, age in ages.items() if name.startswith(_WORKER))
    return Alive(workers, ages.get(BEAT), ages.get(IDLE_BEAT))


def _key() -> str:
    return f"{conf.REDIS_KEY_PREFIX}alive"


@cache
def _connect(url: str) -> redis.Redis:
    return redis.Redis.from_url(
        url,
        socket_timeout=PATIENCE_SECONDS,
        socket_connect_timeout=PATIENCE_SECONDS,
        retry=Retry(NoBackoff(), 0),
    )
