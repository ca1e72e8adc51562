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

SHARE_OF_BATCH_DEADLINE = 0.9
LEAST_SHARE_OF_AN_ATTEMPT = 0.01


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


class Unauthorized(SourceError):
    """The server has refused the credentials (401). Renewed ones may be accepted."""


@dataclass(frozen=True, slots=True)
class TimeBudget:
    """The time for all attempts of one request and their waits. It leaves some, in which a batch can land."""

    seconds: float
    ends_at: float

    @classmethod
    def of(cls, context: ReadContext) -> Self:
        """Return the budget of a request that begins now."""
        seconds = max(0.0, context.seconds_left) * SHARE_OF_BATCH_DEADLINE
        return cls(seconds, time.monotonic() + seconds)

    @property
    def left(self) -> float:
        """The seconds that are left."""
        return max(0.0, self.ends_at - time.monotonic())

    def refuse_if_short(self, wait: float, failure: AttemptFailed, request: Request) -> None:
        """Raise TransientSourceError if too little is left after this wait for another attempt."""
        if self.left - wait < self.seconds * LEAST_SHARE_OF_AN_ATTEMPT:
            raise TransientSourceError(
                f"{request.location} failed: the time for a request and its retries is used up"
                f" ({round(self.seconds, 1):g} s of ETL_BATCH_DEADLINE_SECONDS)."
                f" The last attempt: {failure.describe()}."
            ) from None


class SourceRetry(urllib3.Retry):
    """urllib3's Retry with our messages; etl/http/limits.py reads what the server asks to wait.

    Backoff is exponential with jitter: ETL_HTTP_BACKOFF_SECONDS · 2ⁿ, at most ETL_HTTP_BACKOFF_CAP_SECONDS.
    """

    most: int = 0

    @classmethod
    def from_settings(cls) -> Self:
        retry = cls(
            total=conf.ETL_HTTP_RETRIES,
            backoff_factor=conf.ETL_HTTP_BACKOFF_SECONDS,
            backoff_max=conf.ETL_HTTP_BACKOFF_CAP_SECONDS,
            status_forcelist=RETRIED_STATUSES,
            redirect=False,
        )
        retry.most = conf.ETL_HTTP_RETRIES
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
