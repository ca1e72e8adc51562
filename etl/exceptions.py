"""Exceptions that end a run, one per reaction of the caller. A bad record raises nothing: it is quarantined."""

import traceback
from datetime import UTC, datetime

from etl.vocabulary import Reason


class RunError(Exception):
    """Ends a run as `failed`. `reason` is the column of that name; the message is for operators and has no secrets."""

    reason: Reason = Reason.INTERNAL_ERROR

    def __init__(self, message: str, reason: Reason | None = None) -> None:
        super().__init__(message)
        self.reason = reason or self.reason


class SourceError(RunError):
    """The source can't be read now (missing, refused, malformed). A later run may succeed once it is fixed."""

    reason = Reason.SOURCE_UNREADABLE


class TransientSourceError(SourceError):
    """The source can't be read this time (connection, 429, 5xx, truncated body); worth a retry within the run."""

    reason = Reason.SOURCE_UNREACHABLE


class RateLimited(SourceError):
    """The source asks for a longer wait than this run can spend. `retry_at` is when to try again (UTC)."""

    reason = Reason.RATE_LIMITED

    def __init__(self, message: str, retry_at: datetime) -> None:
        super().__init__(message)
        self.retry_at = retry_at

    @property
    def wait_seconds(self) -> float:
        """Seconds from now until `retry_at`."""
        return max(0.0, (self.retry_at - datetime.now(UTC)).total_seconds())


class LeaseLost(RunError):
    """This run's lease has ended, though no other run has claimed the source yet. The run writes nothing further."""

    reason = Reason.LEASE_LOST


class Overtaken(RunError):
    """This run was closed from outside. It writes nothing further; another run may own its source by now."""

    reason = Reason.ABANDONED


class ReadOpen(RunError):
    """A replay can't start: an open read of its source would treat the replay's records as its own.

    `wait_seconds`: try again then; None if no run will finish the read by itself.
    """

    reason = Reason.READ_OPEN

    def __init__(self, message: str, *, wait_seconds: float | None = None) -> None:
        super().__init__(message)
        self.wait_seconds = wait_seconds


class NotFound(LookupError):
    """An object that an operator named does not exist. The message is one sentence for the operator."""


class NotPossible(Exception):
    """An operator's request is not possible in the current state. The message is one sentence for the operator."""


class HandedOver(Exception):
    """Ends a task but not its run: the run is queued again, to be resumed after `wait_seconds`."""

    def __init__(self, message: str, wait_seconds: float = 0) -> None:
        super().__init__(message)
        self.wait_seconds = wait_seconds


class Interrupted(BaseException):
    """Ctrl-C or SIGTERM. Not an Exception, so that no error handler swallows it."""


PLACE = "raised_in"
"""The attribute of an error from another process that names its place there."""


def describe_place(error: BaseException) -> str:
    """Return where an error was raised, as `function (file:line)`."""
    if hasattr(error, PLACE):
        return str(getattr(error, PLACE))
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{frame.name} ({frame.filename.rpartition('/')[2]}:{frame.lineno})"
