"""Decides which failed attempts to repeat, how long to wait before the next one, and when the time is used up."""

import random
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Self

import urllib3

from etl.conf import conf
from etl.exceptions import RateLimited, SourceError, TransientSourceError
from etl.http.limits import RETRIED_STATUSES
from etl.http.request import Request
from etl.read_context import ReadContext
from etl.vocabulary import Reason

SHARE_OF_BATCH_DEADLINE = 0.9
LEAST_SHARE_OF_AN_ATTEMPT = 0.01
LEAST_POLL_SECONDS = 0.5
MOST_DOUBLINGS = 30


class AttemptFailed(Exception):
    """An attempt failed, but another may succeed. The message gives the cause, without credentials.

    `wait` is the number of seconds that the server asks to wait, `excerpt` the beginning of its own text about the
    failure, which only the last error shows.
    """

    def __init__(self, message: str, wait: float = 0, excerpt: str = "") -> None:
        super().__init__(message)
        self.wait = wait
        self.excerpt = excerpt

    def describe(self) -> str:
        """Return the cause with the server's own text."""
        return f"{self}: {self.excerpt}" if self.excerpt else str(self)


class NotReady(AttemptFailed):
    """The server has accepted the request, and its response comes later (202)."""


class Unauthorized(SourceError):
    """The server has refused the credentials (401). Renewed ones may be accepted."""


@dataclass(slots=True)
class TimeBudget:
    """The time for all attempts of one request and their waits: the request's deadline, if it has one.

    It ends at the `latest` so early that a batch can land before the run loses its source. The waits for a place in the
    rate limit only count for that: the source causes the others.
    """

    seconds: float
    ends_at: float
    latest: float
    limit: str

    @classmethod
    def of(cls, context: ReadContext, deadline: float | None = None) -> Self:
        """Return the budget of a request that begins now."""
        now = time.monotonic()
        most = max(0.0, context.seconds_left) * SHARE_OF_BATCH_DEADLINE
        seconds = min(most, deadline) if deadline is not None else most
        limit = " of ETL_BATCH_DEADLINE_SECONDS" if seconds == most else ", the source's deadline"
        return cls(seconds, now + seconds, now + most, limit)

    @property
    def left(self) -> float:
        """The seconds that are left."""
        return max(0.0, min(self.ends_at, self.latest) - time.monotonic())

    @property
    def left_for_turn(self) -> float:
        """The seconds that are left to wait for a place in the rate limit."""
        return max(0.0, self.latest - time.monotonic())

    def pause(self, seconds: float) -> None:
        """Don't count these seconds."""
        self.ends_at += seconds

    def refuse_if_short(self, wait: float, failure: AttemptFailed, request: Request) -> None:
        """Raise TransientSourceError if too little is left after this wait for another attempt."""
        if self.left - wait < self.seconds * LEAST_SHARE_OF_AN_ATTEMPT:
            is_late = isinstance(failure, NotReady)
            raise TransientSourceError(
                f"{request.location} {'was not ready in time' if is_late else 'failed'}: the time for a request and"
                f" its retries is used up ({round(self.seconds, 1):g} s{self.limit})."
                f" The last attempt: {failure.describe()}.",
                Reason.NOT_READY if is_late else None,
            ) from None


class SourceRetry(urllib3.Retry):
    """urllib3's Retry with our messages; etl/http/limits.py reads what the server asks to wait.

    Backoff is exponential with jitter: ETL_HTTP_BACKOFF_SECONDS · 2ⁿ, at most ETL_HTTP_BACKOFF_CAP_SECONDS.
    """

    most: int = 0

    @classmethod
    def of(cls, request: Request) -> Self:
        most = conf.ETL_HTTP_RETRIES if request.retries is None else request.retries
        retry = cls(
            total=most,
            backoff_factor=conf.ETL_HTTP_BACKOFF_SECONDS,
            backoff_max=conf.ETL_HTTP_BACKOFF_CAP_SECONDS,
            status_forcelist=RETRIED_STATUSES,
            redirect=False,
        )
        retry.most = most
        return retry

    @property
    def number(self) -> int:
        """Number of retries so far, including the current one."""
        return len(self.history)

    def after(self, failure: AttemptFailed, request: Request) -> "SourceRetry":
        """Return the retry that follows this failure. Raises TransientSourceError after the last one."""
        try:
            following = self.increment("GET", request.location, error=_as_urllib3(failure))
        except urllib3.exceptions.HTTPError:
            tries = f"after {self.most} {'retry' if self.most == 1 else 'retries'}"
            raise TransientSourceError(f"{request.location} failed {tries}: {failure.describe()}.") from None
        following.most = self.most
        return following

    def get_backoff_time(self) -> float:
        """Return 50 to 100 % of the exponential step, so that clients don't all retry at the same time."""
        step: float = min(self.backoff_max, self.backoff_factor * 2 ** max(0, self.number - 1))
        return step * random.uniform(0.5, 1)  # noqa: S311  (jitter, not a secret)


def find_poll_time(failure: NotReady, number: int) -> float:
    """Return the seconds to wait before this request for a response that comes later: what the server asks for.

    Otherwise each wait is twice as long as the one before, up to the longest between two retries.
    """
    step: float = conf.ETL_HTTP_BACKOFF_SECONDS * 2 ** min(number - 1, MOST_DOUBLINGS)
    return max(failure.wait or min(conf.ETL_HTTP_BACKOFF_CAP_SECONDS, step), LEAST_POLL_SECONDS)


def _as_urllib3(failure: AttemptFailed) -> Exception:
    return urllib3.exceptions.ProtocolError(str(failure))


def describe_long_wait(seconds: float, failure: AttemptFailed, request: Request) -> RateLimited:
    """Return the error for a wait that is longer than the read can spend."""
    retry_at = datetime.now(UTC) + timedelta(seconds=seconds)
    return RateLimited(
        f"{request.location} requires a wait of {seconds:.0f} s ({failure.describe()}):"
        f" try again at {retry_at:%Y-%m-%d %H:%M:%S} UTC.",
        retry_at,
    )
