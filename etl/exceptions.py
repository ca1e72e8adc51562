"""What ends a run, told apart by what the caller does about it. A bad record is no exception: it is quarantined."""

from datetime import UTC, datetime

from etl.vocabulary import Reason


class RunError(Exception):
    """Ends a run `failed`; `reason` is the column of that name, the text is for people and free of secrets."""

    reason: Reason = Reason.INTERNAL_ERROR

    def __init__(self, message: str, reason: Reason | None = None) -> None:
        super().__init__(message)
        self.reason = reason or self.reason


class SourceError(RunError):
    """The source can't be read as it is now (missing, refused, malformed); the next run may find it mended."""

    reason = Reason.SOURCE_UNREADABLE


class TransientSourceError(SourceError):
    """The source did not answer this time (connection, 429, 5xx, cut body); worth a retry within the run."""

    reason = Reason.SOURCE_UNREACHABLE


class RateLimited(SourceError):
    """The source asks for a longer wait than this run can spend; `retry_at` is when to come back (UTC)."""

    reason = Reason.RATE_LIMITED

    def __init__(self, message: str, retry_at: datetime) -> None:
        super().__init__(message)
        self.retry_at = retry_at

    @property
    def wait_seconds(self) -> float:
        """From now."""
        return max(0.0, (self.retry_at - datetime.now(UTC)).total_seconds())


class LeaseLost(RunError):
    """This run's lease has ended, and nobody has claimed the source yet: it writes nothing more."""

    reason = Reason.LEASE_LOST


class Overtaken(RunError):
    """This run was closed from outside: it writes nothing more, and its source may be somebody else's by now."""

    reason = Reason.ABANDONED


class ReadOpen(RunError):
    """A replay can't begin: a read of its source was cut, and would take what it lands for its own."""

    reason = Reason.READ_OPEN


class NotFound(LookupError):
    """What an operator names does not exist; the text is one sentence for people."""


class NotPossible(Exception):
    """What an operator asks for can't be done as things stand; the text is one sentence for people."""


class HandedOver(Exception):
    """Ends a task, not its run: the run goes back to `queued`, to be gone on with after `wait_seconds`."""

    def __init__(self, message: str, wait_seconds: float = 0) -> None:
        super().__init__(message)
        self.wait_seconds = wait_seconds


class Interrupted(BaseException):
    """Ctrl-C or SIGTERM; no Exception, so that nothing that handles errors swallows it."""
