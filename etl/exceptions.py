"""Exceptions that end a run, one per reaction of the caller. A bad record raises nothing: it is quarantined."""

import dis
import traceback
import types
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


class AddressRefused(SourceError):
    """The server responds with 400, 404 or 410: it does not know what the address names, such as an expired cursor."""

    reason = Reason.SOURCE_REFUSED


class CursorRefused(AddressRefused):
    """The server does not know the page at which an interrupted walk would continue. The walk has to start over."""


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
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not frame.filename.startswith("<frozen ")]  # Python's own import machinery
    return _describe_frame((own or frames)[-1])


def describe_misuse(error: BaseException) -> str:
    """Return why a declaration of a source is refused, and where it stands; empty for any other error.

    Only a text that the language of sources itself has raised is shown: Python's may show values of a row.
    """
    frames = [*traceback.walk_tb(error.__traceback__)]
    outside = [frame for frame in frames if not frame[0].f_globals.get("__name__", "").startswith(_LANGUAGE)]
    if not frames or not outside or frames[-1] in outside or not _is_raised(error):
        return ""
    return f"{error}, in {_describe_frame(traceback.StackSummary.extract(iter(outside[-1:]))[0])}"


def _is_raised(error: BaseException) -> bool:
    """Whether a raise statement, not Python itself, is the origin of the error and of what its text may quote."""
    last: types.TracebackType | None = error.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    if last is None or last.tb_frame.f_code.co_code[last.tb_lasti] != _RAISE:
        return False
    return error.__cause__ is None or _is_raised(error.__cause__)


def _describe_frame(frame: traceback.FrameSummary) -> str:
    return f"{frame.name} ({frame.filename.rpartition('/')[2]}:{frame.lineno})"


_LANGUAGE = ("etl.contracts.", "etl.readers.", "etl.gates", "etl.http.")
_RAISE = dis.opmap["RAISE_VARARGS"]
