"""The exit status of a command that runs sources."""

from collections.abc import Sequence
from enum import IntEnum

from etl.execution.outcomes import REFUSED, Outcome
from etl.vocabulary import Status


class ExitStatus(IntEnum):
    """The exit statuses of `ingest`, the first that applies in the order usage, failed, refused, partial."""

    SUCCESS = 0
    FAILED = 1
    USAGE = 2
    PARTIAL = 3
    REFUSED = 4


_ORDER = (ExitStatus.FAILED, ExitStatus.REFUSED, ExitStatus.PARTIAL, ExitStatus.SUCCESS)


def choose_exit_status(outcomes: Sequence[Outcome]) -> ExitStatus:
    """Return the first that applies: failed, refused, partial, success."""
    return min((_choose_exit_status(outcome) for outcome in outcomes), key=_ORDER.index, default=ExitStatus.SUCCESS)


def _choose_exit_status(outcome: Outcome) -> ExitStatus:
    """Return the exit status of one outcome. Any other status, as of a run that could not be closed, is a failure."""
    known = {
        Status.SUCCESS.value: ExitStatus.SUCCESS,
        Status.PARTIAL.value: ExitStatus.PARTIAL,
        REFUSED: ExitStatus.REFUSED,
    }
    if outcome.was_queued:
        return ExitStatus.SUCCESS
    return known.get(outcome.status, ExitStatus.FAILED)
