"""Ends a run, by its own process or from outside. One function changes the row; the ending is a value."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.db.models import Q

from etl.clock import NOW, from_now
from etl.conf import conf
from etl.drift import Shape, describe_changes
from etl.fence import claims
from etl.fence.claims import Claim
from etl.fence.locking import FORCING_ATTEMPTS, PATIENT_ATTEMPTS, lock_checkpoint
from etl.fence.reads import end_read
from etl.models import Run
from etl.runs import orders
from etl.runs.announcements import announce
from etl.runs.audit_log import add_event, describe_process
from etl.runs.options import Options
from etl.storage.snapshots import write_snapshot
from etl.storage.texts import make_storable
from etl.storage.transactions import bounded_transaction
from etl.vocabulary import EventKind, Reason, Status, Trigger

logger = logging.getLogger(__name__)

MAX_ATTEMPTS = 3
TERMINAL_KEY = "terminal:"
"""Begins the key of a run that a terminal did not find queued."""

_OPEN = (Status.QUEUED, Status.RUNNING)


@dataclass(frozen=True, slots=True)
class ReadEnd:
    """The results of a finished read that the next one is compared with; no shape if nothing was read."""

    fingerprint: str
    validators: Mapping[str, str]
    shape: Shape | None = None


@dataclass(frozen=True, slots=True)
class Ending:
    """How a run ends: the columns of its row, and the event in its log."""

    columns: Mapping[str, Any]
    event: EventKind
    message: str

    @property
    def closes(self) -> bool:
        """Whether the run is closed; a run that is handed over waits to be resumed."""
        return self.event is EventKind.CLOSED


def _closed(status: Status, reason: Reason, error: str, message: str) -> Ending:
    columns = {"status": status, "reason": reason, "error": make_storable(error), "finished_at": NOW}
    return Ending(columns, EventKind.CLOSED, message)


def finished(status: Status, reason: Reason = Reason.NONE) -> Ending:
    """Everything is read or replayed: success or partial."""
    return _closed(status, reason, "", f"Closed {'/'.join(filter(None, (status, reason)))}.")


def failed(reason: Reason, error: str) -> Ending:
    """An error or a signal ended the run."""
    return _closed(Status.FAILED, reason, error, f"Closed failed/{reason}.")


def handed_over(message: str, *, wait_seconds: float = 0) -> Ending:
    """The task ends but not the run: another task resumes it after `wait_seconds`."""
    not_before = from_now(wait_seconds) if wait_seconds > 0 else None
    columns = {"status": Status.QUEUED, "not_before": not_before, "sent_at": None}
    return Ending(columns, EventKind.HANDED_OVER, message)


def abandoned(reason: Reason, error: str, *, by: str) -> Ending:
    """The run's process is gone or frozen, and its epoch has ended."""
    return _closed(Status.FAILED, reason, error, f"Closed failed/{reason} by {by}.")


def cancelled(by: str) -> Ending:
    """An operator stopped the run."""
    text = f"Cancelled by {by}."
    return _closed(Status.FAILED, Reason.CANCELLED, text, text)


def released(by: str) -> Ending:
    """An operator took the run's source away."""
    text = f"Its lease was released by {by}."
    return _closed(Status.FAILED, Reason.RELEASED, text, text)


def unstartable(reason: Reason, error: str) -> Ending:
    """The run is queued and can't be executed."""
    return _closed(Status.FAILED, reason, error, f"Closed failed/{reason}: {error}")


def end(claim: Claim, ending: Ending, *, read_end: ReadEnd | None = None) -> None:
    """End the run by its own process and release its source, in one transaction. Only a run's first end counts.

    With `read_end` the read ends too, which needs a lease that has not ended, and its shape is judged. Raises Overtaken
    or LeaseLost.
    """
    with bounded_transaction(durable=True) as cursor:
        if not claims.release(cursor, claim, needs_lease=read_end is not None):
            claims.raise_if_overtaken(cursor, claim)
            if not Run.objects.filter(pk=claim.run_id, status=Status.RUNNING).exists():
                return  # this process ended it earlier, or with a commit whose response was lost
            raise claims.describe_lost_lease(claim)
        if read_end is not None:
            end_read(cursor, claim, fingerprint=read_end.fingerprint, validators=read_end.validators)
            _note_drift(claim, read_end)
        _write(cursor, claim.source, ending, pk=claim.run_id, epoch=claim.epoch, status=Status.RUNNING)


def end_unstartable(run: Run, reason: Reason, error: str) -> None:
    """Close a queued run that can't be executed."""
    with bounded_transaction(durable=True) as cursor:
        _write(cursor, run.source, unstartable(reason, error), pk=run.pk, status=Status.QUEUED)


def end_predecessor(cursor: Any, source: str, trigger: Trigger) -> bool:
    """Close the run that a new claim found running, in the claim's transaction.

    Queues its successor if the new run does not resume it: a read does not resume a replay, nor a replay a read.
    Returns whether it was a full read that the new run resumes, even if no batch of it has landed.
    """
    former = Run.objects.filter(source=source, status=Status.RUNNING).first()
    if former is None:
        return False
    if Trigger.REPLAY in (trigger, former.trigger):
        _abandon(cursor, former, f"{describe_process()}, which had other work")
        return False
    text = "Its process had died or stalled; the next run resumed it."
    ending = abandoned(Reason.ABANDONED, text, by=f"{describe_process()}, which resumed it")
    _write(cursor, source, ending, pk=former.pk, status=Status.RUNNING)
    return Options.from_json(former.options).full


def abandon_stale(source: str) -> None:
    """Close the source's running run if its heartbeat has stopped and its lease has ended, and queue its successor.

    The same transaction raises the epoch. The third attempt is the last: reason `gave_up`.
    """
    if _find_stale(source) is None:
        return
    with lock_checkpoint(source) as cursor:
        stale = _find_stale(source)
        if stale is not None and claims.revoke(cursor, source):
            _abandon(cursor, stale, "the sweeper")


def cancel(run: Run, *, by: str) -> bool:
    """Close a queued or running run, end its epoch and free its source, in one transaction.

    Returns False if the run is already closed. Raises CheckpointLocked if a batch takes longer than half a minute.
    """
    # Locks the checkpoint's row first, like every batch, start and end. From here on the run's status can't change.
    with lock_checkpoint(run.source, attempts=PATIENT_ATTEMPTS) as cursor:
        _take_turn(cursor, run.source)
        is_open = Run.objects.select_for_update().filter(pk=run.pk, status__in=_OPEN).exists()
        if is_open:
            claims.revoke_from_run(cursor, run.source, run.pk)
            _write(cursor, run.source, cancelled(by), pk=run.pk)
        return is_open


def release(source: str, *, by: str) -> Run | None:
    """Take the source from the run that owns it, and close that run. Returns the closed run, or None.

    Its worker writes nothing further. Raises CheckpointLocked.
    """
    with lock_checkpoint(source, attempts=PATIENT_ATTEMPTS, forces_after=FORCING_ATTEMPTS) as cursor:
        _take_turn(cursor, source)
        claims.revoke_from_any_run(cursor, source)
        run = Run.objects.select_for_update().filter(source=source, status=Status.RUNNING).first()
        if run is not None:
            _write(cursor, source, released(by), pk=run.pk)
        return run


def _find_stale(source: str) -> Run | None:
    # A heartbeat that lies ahead was written before the database's clock was set back.
    has_stopped = Q(heartbeat_at__lt=from_now(-conf.ETL_LEASE_SECONDS))
    has_stopped |= Q(heartbeat_at__gt=from_now(2 * conf.ETL_LEASE_SECONDS))
    return Run.objects.filter(has_stopped, source=source, status=Status.RUNNING).first()


def _abandon(cursor: Any, run: Run, by: str) -> None:
    """Close a running run whose epoch this transaction has ended, and queue its successor unless it gave up.

    A run that started in a terminal without being queued gets none: a person sees it end.
    """
    reason = Reason.GAVE_UP if run.attempt >= MAX_ATTEMPTS else Reason.ABANDONED
    ending = abandoned(reason, "Its process had died or stalled.", by=by)
    _write(cursor, run.source, ending, pk=run.pk, status=Status.RUNNING)
    if reason is Reason.ABANDONED and not run.key.startswith(TERMINAL_KEY):
        orders.queue(
            run.source,
            key=f"successor:{run.pk}",
            trigger=Trigger(run.trigger),
            by=f"the process that found run {run.pk} abandoned, as its successor",
            options=Options.from_json(run.options),
            attempt=run.attempt + 1,
        )


def _take_turn(cursor: Any, source: str) -> None:
    """Let only this transaction close runs of the source, until its commit. Call it before any run's row is locked.

    So `finished_at` follows the order of the commits, and a receiver of `run_closed` sees every earlier run closed.
    """
    cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"kasparro end {source}"])


def _write(cursor: Any, source: str, ending: Ending, **only_if: Any) -> None:
    """Change the run's row if the condition still holds. No other function ends a run."""
    if ending.closes:
        _take_turn(cursor, source)
    run_id = only_if["pk"]
    if Run.objects.filter(**only_if).update(**ending.columns):
        add_event(run_id, ending.event, ending.message)
        if ending.closes:
            transaction.on_commit(lambda: announce(run_id))


def _note_drift(claim: Claim, read_end: ReadEnd) -> None:
    """Store the changes of the read's shape, and report them: an event of the run, and a warning after the commit."""
    changes = write_snapshot(claim.source, claim.run_id, read_end.shape) if read_end.shape is not None else []
    if changes:
        message = f"The source's shape has changed: {describe_changes(changes)}."
        add_event(claim.run_id, EventKind.DRIFT, message)
        transaction.on_commit(lambda: logger.warning("%s: %s", claim.source, message))
