"""How an execution ended, as a command shows it: its run's row, or why there is none."""

from dataclasses import dataclass, field

from django.db import Error

from etl.clock import as_utc
from etl.database import connection
from etl.execution.failure_reasons import explain
from etl.fence.claims import Claim, Holder
from etl.models import Run
from etl.vocabulary import COUNTERS, Reason, Status

REFUSED = "refused"
"""The status of an ingest that found its source held. It has no run, so this is not a vocabulary.Status."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an ingest ended: its run's row, or for `refused` the run that holds the source. Times in seconds.

    `waiting` of the quarantined records only wait for rows to which they refer. `was_queued`: it was left to a worker.
    """

    run: int | None
    source: str
    status: str
    reason: str
    counters: dict[str, int] = field(default_factory=lambda: dict.fromkeys(COUNTERS, 0))
    duration_s: float = 0.0
    message: str = ""
    was_queued: bool = False
    waiting: int = 0

    def __str__(self) -> str:
        """Describe the outcome in one line."""
        name = f"{self.status} ({self.reason})" if self.reason else self.status
        counted = {counter: f"{number:,} {counter}" for counter, number in self.counters.items() if number}
        if self.waiting:
            counted["quarantined"] += f" ({self.waiting:,} waiting)"
        return f"{name}: {', '.join(counted.values())}" if counted else name

    def as_json(self) -> dict[str, object]:
        """Return the object that `ingest --json` prints."""
        named: dict[str, object] = {"run": self.run, "source": self.source}
        return named | self.as_log_fields()

    def as_log_fields(self) -> dict[str, object]:
        """Return the fields of the log line that a run ends with."""
        named: dict[str, object] = {"status": self.status, "reason": self.reason}
        return named | self.counters | {"waiting": self.waiting, "duration_s": self.duration_s}


def describe_run(claim: Claim, ended: Run | None, error: BaseException | None = None) -> Outcome:
    """Return the outcome from the run's row, which is read unless it is known as it has `ended`.

    If the row can't be read, return it from the error that ended the run.
    """
    try:
        run = ended or Run.objects.get(pk=claim.run_id)
    except Error:
        connection.close()
        return describe_lost(claim, error)
    counters = {name: getattr(run, name) for name in COUNTERS}
    is_open = run.status == Status.RUNNING
    message = f"Run {run.pk} could not be closed; the next run of its source closes it." if is_open else run.error
    duration_s = run.duration_s or 0.0
    return Outcome(run.pk, run.source, run.status, run.reason, counters, duration_s, message, waiting=run.waiting)


def describe_lost(claim: Claim, error: BaseException | None) -> Outcome:
    """The outcome of a run whose row can't be read, by the error that ended it."""
    reason, text = explain(error) if error is not None else (Reason.DATABASE_ERROR, "The database can't be reached.")
    return Outcome(claim.run_id, claim.source, Status.FAILED, reason, message=text)


def describe_queued(run: Run) -> Outcome:
    """The outcome of an ingest that only queued its run."""
    return Outcome(run.pk, run.source, run.status, run.reason, was_queued=True)


def describe_refusal(source: str, holder: Holder) -> Outcome:
    """Return the outcome of an ingest whose source another run holds."""
    message = (
        f"{source} is held by run {holder.run_id} ({holder.owner});"
        f" its lease ends at {as_utc(holder.lease_expires_at):%Y-%m-%d %H:%M:%S} UTC unless it is renewed."
    )
    return Outcome(holder.run_id, source, REFUSED, Reason.HELD, message=message)
