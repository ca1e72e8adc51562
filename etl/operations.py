"""What an operator may do. Commands, and later API and admin, are doors to these functions."""

import logging
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field

from django.db import Error, connection

from etl import runs
from etl.checkpoints import Claim, Holder
from etl.exceptions import Interrupted, LeaseLost, Overtaken, RunError
from etl.interruption import Interruption
from etl.lease import Lease
from etl.locks import SourceLock
from etl.models import Run
from etl.pipeline import Progress, run_source
from etl.readers.base import Source
from etl.records import COUNTERS, EventKind, Reason, Status
from etl.runs import Started
from etl.storage.transactions import describe, retry_transient
from etl.watch import RunWatch

logger = logging.getLogger(__name__)

REFUSED = "refused"
"""The status of an ingest that found its source held: no run, so not one of records.Status."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an ingest ended: its run's row, or for `refused` the run that holds the source. Times in seconds."""

    run: int | None
    source: str
    status: str
    reason: str
    counters: dict[str, int] = field(default_factory=lambda: dict.fromkeys(COUNTERS, 0))
    duration_s: float = 0.0
    message: str = ""

    def as_json(self) -> dict[str, object]:
        """The object that `ingest --json` prints."""
        described = {"run": self.run, "source": self.source, "status": self.status, "reason": self.reason}
        return described | self.counters | {"duration_s": self.duration_s}


def ingest(source: Source, *, full: bool, interruption: Interruption, report: Callable[[Progress], None]) -> Outcome:
    """Bring the source up to date here and now, in this process; every way of ending is an Outcome."""
    started: Started | Holder | None = None
    try:
        with interruption.shield():
            started = retry_transient(lambda: runs.start_at_terminal(source.name, full=full), time.sleep)
        if isinstance(started, Holder):
            return _describe_refusal(source, started)
        with Lease(started.claim, SourceLock(source.name, started.claim.lease_seconds)) as lease:
            run_source(source, started, RunWatch(lease, interruption), report)
    except (Exception, Interrupted) as error:
        if not isinstance(started, Started):
            raise
        with interruption.finish():
            _close_failed(started.claim, error)
            return _describe_run(started.claim, error)
    return _describe_run(started.claim)


def _describe_refusal(source: Source, holder: Holder) -> Outcome:
    message = (
        f"{source.name} is held by run {holder.run_id} ({holder.owner});"
        f" its lease ends at {holder.lease_expires_at:%Y-%m-%d %H:%M:%S} UTC unless it is renewed."
    )
    return Outcome(holder.run_id, source.name, REFUSED, Reason.HELD, message=message)


def _close_failed(claim: Claim, error: BaseException) -> None:
    """Close the run with what ended it. If even that fails, the next claim closes it."""
    reason, text = _explain(error)
    try:
        if isinstance(error, Overtaken):
            runs.add_event(claim.run_id, EventKind.OVERTAKEN, text)
        else:
            retry_transient(lambda: runs.close(claim, Status.FAILED, reason, error=text), time.sleep)
    except (Overtaken, LeaseLost) as loss:
        runs.add_event(claim.run_id, EventKind.OVERTAKEN, str(loss))
    except Error as failure:
        logger.error("Run %d could not be closed (%s); the next run closes it.", claim.run_id, describe(failure))


def _explain(error: BaseException) -> tuple[Reason, str]:
    """Reason and text of what ended a run; texts of unknown errors are kept out, they may show a secret."""
    if isinstance(error, RunError):
        return error.reason, str(error)
    if isinstance(error, Interrupted):
        return Reason.INTERRUPTED, "Stopped by Ctrl-C or SIGTERM; the next run goes on from here."
    if isinstance(error, Error):
        return Reason.DATABASE_ERROR, describe(error)
    frame = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{type(error).__name__} in {frame.name} ({frame.filename.rpartition('/')[2]}:{frame.lineno})"
    logger.error("A defect: %s", where, exc_info=error)
    return Reason.INTERNAL_ERROR, f"{where}: a defect of the source's code or of Kasparro's; the log has more."


def _describe_run(claim: Claim, error: BaseException | None = None) -> Outcome:
    try:
        run = Run.objects.get(pk=claim.run_id)
    except Error:
        connection.close()
        reason, text = _explain(error) if error is not None else (Reason.DATABASE_ERROR, "The database is gone.")
        return Outcome(claim.run_id, claim.source, Status.FAILED, reason, message=text)
    duration = (run.finished_at - run.started_at).total_seconds() if run.finished_at and run.started_at else 0.0
    counters = {name: getattr(run, name) for name in COUNTERS}
    return Outcome(run.pk, run.source, run.status, run.reason, counters, round(duration, 3), run.error)
