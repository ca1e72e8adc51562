"""Runs as rows: started with their claim in one transaction, counted with each batch, closed once."""

import logging
import os
import socket
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from django.conf import settings
from django.db import DatabaseError, OperationalError, connection, transaction
from django.db.models import Func, Q, Value
from django.db.models.functions import Coalesce
from psycopg2.extras import Json

from etl import checkpoints
from etl.checkpoints import Claim, Holder
from etl.drift import Shape, describe_changes
from etl.models import Checkpoint, Run, RunEvent
from etl.records import Counters, Cursor, EventKind, Reason, Status, Trigger
from etl.signals import run_closed
from etl.storage.snapshots import write_snapshot
from etl.storage.texts import make_storable
from etl.storage.transactions import bound_statements, is_lock_timeout

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

CLAIM_LOCK_SECONDS = 0.25
CLAIM_ATTEMPTS = 20
CLAIM_IDLE_SECONDS = 1
"""A process that is frozen inside its claim keeps others out for no longer."""

FORCING_ATTEMPTS = 12
"""Three seconds: a batch in hand may end before the session of an owner is ended that is to be released."""

PATIENT_ATTEMPTS = 120
"""Half a minute: who does not want the source for himself waits for the owner's batch."""

MOST_ATTEMPTS = 3
_NOW = Func(function="clock_timestamp")

# Not those that a person has stopped, nor replays, which do not ask the source.
TELLS = ~Q(reason__in=(Reason.CANCELLED, Reason.RELEASED, Reason.INTERRUPTED)) & ~Q(trigger=Trigger.REPLAY)
"""The closed runs that tell how their source does."""


@dataclass(frozen=True, slots=True)
class Started:
    """A run that owns its source, and the checkpoint as the claim found it."""

    claim: Claim
    run: Run
    checkpoint: Checkpoint
    is_full: bool


def describe_owner() -> str:
    """This process, for people: host and pid."""
    return f"{socket.gethostname()}:{os.getpid()}"


def _do_no_more(run: Run) -> None:
    """Nobody wants to know of the abandoned run."""


def start_at_terminal(
    source: str,
    *,
    full: bool = False,
    replay: Mapping[str, Any] | None = None,
    and_then: Callable[[Run], None] = _do_no_more,
) -> Started | Holder:
    """Start a run here and now, or say who holds the source. Run row and claim are one transaction.

    Takes the source's queued plain run along, if there is one and this is plain too. `replay` are the options of
    a replay. `and_then`: see `start_queued`.
    """
    options = replay or ({"full": True} if full else {})
    trigger = Trigger.REPLAY if replay else Trigger.TERMINAL

    def choose_row(begin: Mapping[str, Any]) -> int:
        begin = {**begin, "at_terminal": True}
        return _take_queued(source, options, begin) or _insert(source, trigger, options, begin)

    started = _start(source, choose_row, "in a terminal", trigger, and_then)
    assert started is not None, "a row that is missing was inserted"
    return started


def start_queued(run: Run, *, and_then: Callable[[Run], None] = _do_no_more) -> Started | Holder | None:
    """Start a queued run in a worker, or say who holds its source; None if it is not waiting any more.

    Abandons the run that held the source; where this one does not go on with it (a read does not with a replay),
    `and_then` is called with it in the same transaction.
    """

    def choose_row(begin: Mapping[str, Any]) -> int | None:
        is_due = Q(not_before=None) | Q(not_before__lte=_NOW)
        waiting = Run.objects.filter(is_due, pk=run.pk, status=Status.QUEUED)
        return run.pk if waiting.update(**begin, at_terminal=False) else None

    return _start(run.source, choose_row, "by a worker", Trigger(run.trigger), and_then)


def note_refused(source: str) -> None:
    """Tell the source's running run that another was not even tried, since its lock is held."""
    for run_id in Run.objects.filter(source=source, status=Status.RUNNING).values_list("pk", flat=True):
        add_event(run_id, EventKind.START_REFUSED, f"{describe_owner()} found the lock held and did not start.")


class CheckpointLocked(DatabaseError):
    """Somebody else's session keeps the source's checkpoint locked, and is no owner whose lease has ended."""


class _NotWaiting(Exception):
    """The row that was to be started is not there: roll the claim back."""


ChooseRow = Callable[[Mapping[str, Any]], int | None]


def _start(
    source: str, choose_row: ChooseRow, where: str, trigger: Trigger, and_then: Callable[[Run], None]
) -> Started | Holder | None:
    """Claim the source and begin the row that `choose_row` gives, in one transaction.

    Closes the run whose lease has ended or whose session is gone; ends the session of a frozen one that keeps
    the checkpoint locked.
    """
    try:
        return past_frozen_owner(source, lambda cursor: _claim(cursor, source, choose_row, where, trigger, and_then))
    except _NotWaiting:
        return None


def past_frozen_owner(
    source: str, work: Callable[[Any], Result], *, attempts: int = CLAIM_ATTEMPTS, forces_after: int | None = None
) -> Result:
    """Do the work, a transaction that needs the source's row, ending the session of an owner that is frozen.

    Raises CheckpointLocked if a healthy one keeps the row for too long; after `forces_after` attempts its session
    is ended too.
    """
    for attempt in range(attempts):
        try:
            with transaction.atomic(durable=True), connection.cursor() as cursor:
                bound_statements(cursor, lock_timeout_seconds=CLAIM_LOCK_SECONDS, idle_seconds=CLAIM_IDLE_SECONDS)
                return work(cursor)
        except OperationalError as error:
            if not is_lock_timeout(error):
                raise
            is_forced = forces_after is not None and attempt >= forces_after
            checkpoints.end_frozen_owner(source, is_forced=is_forced)
    raise CheckpointLocked(f"the checkpoint of {source} stays locked by another session: see pg_locks")


def _claim(
    cursor: Any, source: str, choose_row: ChooseRow, where: str, trigger: Trigger, and_then: Callable[[Run], None]
) -> Started | Holder:
    taken = checkpoints.take(cursor, source=source, owner=describe_owner(), lease_seconds=settings.ETL_LEASE_SECONDS)
    if isinstance(taken, Holder):
        if taken.run_id is not None:
            add_event(taken.run_id, EventKind.START_REFUSED, f"{describe_owner()} wanted to start and was refused.")
        return taken
    was_full = _abandon_running(source, trigger, and_then)
    checkpoint = Checkpoint.objects.get(source=source)
    run_id = choose_row(
        {
            "status": Status.RUNNING,
            "epoch": taken,
            "cursor_before": checkpoint.cursor,
            "started_at": Coalesce("started_at", _NOW),
            "heartbeat_at": _NOW,
        }
    )
    if run_id is None:
        raise _NotWaiting
    claim = Claim(source, run_id, taken, settings.ETL_LEASE_SECONDS)
    checkpoints.name_owner_run(cursor, claim)
    add_event(run_id, EventKind.STARTED, f"Started {where} on {describe_owner()}, epoch {taken}.")
    run = Run.objects.get(pk=run_id)
    return Started(claim, run, checkpoint, is_full=was_full or bool(run.options.get("full")))


def _abandon_running(source: str, trigger: Trigger, and_then: Callable[[Run], None]) -> bool:
    """Close what still calls itself running; the epoch was raised in this transaction.

    Gives whether that was a full read that this run goes on with, even if no batch of it had landed.
    """
    former = Run.objects.filter(source=source, status=Status.RUNNING).first()
    if former is None:
        return False
    if Trigger.REPLAY in (trigger, former.trigger):
        text = "Its process was gone or stood still."
        _close_abandoned(former, _choose_reason(former), text, f"{describe_owner()}, which had other work")
        and_then(former)
        return False
    text = "Its process was gone or stood still; the next run went on."
    _close_abandoned(former, Reason.ABANDONED, text, f"{describe_owner()}, which went on")
    return bool(former.options.get("full"))


def _insert(source: str, trigger: Trigger, options: Mapping[str, Any], begin: Mapping[str, Any]) -> int:
    key = f"terminal:{uuid.uuid4()}"
    values = {**begin, "started_at": _NOW}
    return Run.objects.create(source=source, key=key, trigger=trigger, options=dict(options), **values).pk


def _take_queued(source: str, options: Mapping[str, Any], begin: Mapping[str, Any]) -> int | None:
    """The queued plain run of the source, begun here; None if there is none or this run is not plain."""
    if options:
        return None
    queued = Run.objects.filter(source=source, status=Status.QUEUED, options={}).order_by("pk")
    run_id = queued.values_list("pk", flat=True).first()
    if run_id is None or not queued.filter(pk=run_id).update(**begin):
        return None
    return run_id


def add_event(run_id: int, kind: EventKind, message: str) -> None:
    """One line in the run's audit log."""
    RunEvent.objects.create(run_id=run_id, kind=kind, message=make_storable(message))


def beat(cursor: Any, claim: Claim) -> None:
    """Show that the run lives; passes over a row that a batch has locked, which says so itself."""
    cursor.execute(
        "UPDATE etl_runs SET heartbeat_at = clock_timestamp() WHERE id = (SELECT id FROM etl_runs"
        " WHERE id = %s AND epoch = %s AND status = 'running' FOR NO KEY UPDATE SKIP LOCKED)",
        [claim.run_id, claim.epoch],
    )


def count_batch(cursor: Any, claim: Claim, counters: Counters, reached: Cursor) -> None:
    """Add a batch to its run, in the batch's own transaction; raises Overtaken if the run is closed."""
    columns = counters.as_columns()
    added = ", ".join(f"{name} = {name} + %({name})s" for name in columns)
    cursor.execute(
        f"UPDATE etl_runs SET {added}, cursor_after = %(reached)s, heartbeat_at = clock_timestamp()"
        " WHERE id = %(run_id)s AND epoch = %(epoch)s AND status = 'running'",
        {**columns, "reached": Json(reached), "run_id": claim.run_id, "epoch": claim.epoch},
    )
    if not cursor.rowcount:
        raise checkpoints.describe_overtaking(claim)


def count_pruned(cursor: Any, raw_of_runs: Mapping[int, int]) -> None:
    """Note of closed runs how many of their raw records go; in the transaction that removes them."""
    cursor.execute(
        "UPDATE etl_runs SET pruned_raw = pruned_raw + gone.count"
        " FROM unnest(%s::bigint[], %s::bigint[]) AS gone (run_id, count) WHERE etl_runs.id = gone.run_id",
        [list(raw_of_runs), list(raw_of_runs.values())],
    )


@dataclass(frozen=True, slots=True)
class ReadEnd:
    """What a read that is through leaves for the next one to compare with; no shape if nothing was read."""

    fingerprint: str
    validators: Mapping[str, str]
    shape: Shape | None = None


def close(
    claim: Claim, status: Status, reason: Reason = Reason.NONE, *, error: str = "", read_end: ReadEnd | None = None
) -> None:
    """Close the run and give its source up, in one transaction. The first close of a run stands.

    With `read_end` the read ends too, for which the lease must live, and its shape is judged. Raises Overtaken
    or LeaseLost.
    """
    with transaction.atomic(durable=True), connection.cursor() as cursor:
        bound_statements(cursor)
        if not checkpoints.release(cursor, claim, needs_lease=read_end is not None):
            checkpoints.raise_if_overtaken(cursor, claim)
            if _is_closed(claim):  # by ourselves, earlier or with an answer that was lost
                return
            raise checkpoints.describe_lost_lease(claim)
        if read_end is not None:
            checkpoints.end_read(cursor, claim, fingerprint=read_end.fingerprint, validators=read_end.validators)
            _note_drift(claim, read_end)
        story = f"Closed {'/'.join(filter(None, (status, reason)))}."
        _line_up(cursor, claim.source)
        _end(claim.run_id, Q(epoch=claim.epoch, status=Status.RUNNING), status, reason, error=error, story=story)


def _line_up(cursor: Any, source: str) -> None:
    """Those who close runs of one source come in a row, from here to their commit; before any run's row is locked.

    So the order of `finished_at` is that of the commits, and whoever is told of a run sees every earlier one closed.
    """
    cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"kasparro end {source}"])


def _end(run_id: int, condition: Q, status: Status, reason: Reason, *, error: str, story: str) -> None:
    """Close the run's row if it is still as the condition says: the only place that does, so that all are told of."""
    values = {"status": status, "reason": reason, "error": make_storable(error)}
    if Run.objects.filter(condition, pk=run_id).update(**values, finished_at=_NOW):
        add_event(run_id, EventKind.CLOSED, story)
        transaction.on_commit(lambda: _announce(run_id))


def _announce(run_id: int) -> None:
    """Tell whoever listens; nothing that goes wrong here reaches who has closed the run."""
    try:
        for receiver, error in run_closed.send_robust(sender=Run, run=Run.objects.get(pk=run_id)):
            if isinstance(error, Exception):
                name = getattr(receiver, "__qualname__", type(receiver).__qualname__)
                logger.warning("%s was told that run %d is closed, and raised %s", name, run_id, type(error).__name__)
    except Exception as error:  # noqa: BLE001  (a door: whatever listens or fails, the run is closed)
        logger.warning("Who listens was not told that run %d is closed: %s", run_id, type(error).__name__)


def find_former(run: Run) -> Run | None:
    """The source's run that was closed before this one, of those that tell how the source does; None for the first."""
    former = Run.objects.filter(TELLS, source=run.source, finished_at__lt=run.finished_at)
    return former.order_by("-finished_at").first()


def _note_drift(claim: Claim, read_end: ReadEnd) -> None:
    """Keep what the read's shape changes, and tell it: an event of the run, and a warning behind the commit."""
    changes = write_snapshot(claim.source, claim.run_id, read_end.shape) if read_end.shape is not None else []
    if changes:
        message = f"The source's shape has changed: {describe_changes(changes)}."
        add_event(claim.run_id, EventKind.DRIFT, message)
        transaction.on_commit(lambda: logger.warning("%s: %s", claim.source, message))


def _is_closed(claim: Claim) -> bool:
    return not Run.objects.filter(pk=claim.run_id, status=Status.RUNNING).exists()


def hand_over(claim: Claim, message: str, *, wait_seconds: float = 0) -> None:
    """Give the source up and put the run back to `queued`, to be gone on with after so many seconds.

    Raises Overtaken.
    """
    with transaction.atomic(durable=True), connection.cursor() as cursor:
        bound_statements(cursor)
        if not checkpoints.release(cursor, claim, needs_lease=False):
            checkpoints.raise_if_overtaken(cursor, claim)
            return  # the answer to our own commit was lost
        not_before = _in(wait_seconds) if wait_seconds > 0 else None
        running = Run.objects.filter(pk=claim.run_id, epoch=claim.epoch, status=Status.RUNNING)
        if running.update(status=Status.QUEUED, not_before=not_before, sent_at=None):
            add_event(claim.run_id, EventKind.HANDED_OVER, message)


def _in(seconds: float) -> Func:
    return Func(
        Value(seconds),
        function="clock_timestamp",
        template="(clock_timestamp() + %(expressions)s * interval '1 second')",
    )


def close_queued(run: Run, reason: Reason, error: str) -> None:
    """Close a run that waits and can't be executed."""
    story = f"Closed failed/{reason}: {error}"
    with transaction.atomic(durable=True), connection.cursor() as cursor:
        bound_statements(cursor)
        _line_up(cursor, run.source)
        _end(run.pk, Q(status=Status.QUEUED), Status.FAILED, reason, error=error, story=story)


def list_running() -> list[str]:
    """The sources that have a running run."""
    return list(Run.objects.filter(status=Status.RUNNING).values_list("source", flat=True))


def read_clock() -> datetime:
    """The database's time, UTC."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        (now,) = cursor.fetchone()
        return now  # type: ignore[no-any-return]


def abandon_stale(source: str, *, and_then: Callable[[Run], None]) -> None:
    """Close the source's running run from outside if its heartbeat has stopped and its lease is over.

    The epoch is raised, and `and_then` called with the closed run, in the same transaction. The third attempt is
    the last: reason `gave_up`.
    """
    past_frozen_owner(source, lambda cursor: _abandon(cursor, source, and_then))


def _abandon(cursor: Any, source: str, and_then: Callable[[Run], None]) -> None:
    long_ago = _in(-settings.ETL_LEASE_SECONDS)
    stale = Run.objects.filter(source=source, status=Status.RUNNING, heartbeat_at__lt=long_ago).first()
    if stale is None or not checkpoints.revoke(cursor, source):
        return
    _close_abandoned(stale, _choose_reason(stale), "Its process was gone or stood still.", "the sweeper")
    and_then(stale)


def _choose_reason(stale: Run) -> Reason:
    return Reason.GAVE_UP if stale.attempt >= MOST_ATTEMPTS else Reason.ABANDONED


def _close_abandoned(run: Run, reason: Reason, error: str, by: str) -> None:
    """Close a running run whose epoch is over by this transaction."""
    with connection.cursor() as cursor:
        _line_up(cursor, run.source)
    story = f"Closed failed/{reason} by {by}."
    _end(run.pk, Q(status=Status.RUNNING), Status.FAILED, reason, error=error, story=story)
    run.refresh_from_db()


def cancel(run: Run, *, by: str) -> bool:
    """Close a run that waits or runs; its epoch is over and its source free in the same transaction.

    False if it is closed already. Raises CheckpointLocked if one batch lasts longer than half a minute.
    """
    return past_frozen_owner(run.source, lambda cursor: _cancel(cursor, run, by), attempts=PATIENT_ATTEMPTS)


def _cancel(cursor: Any, run: Run, by: str) -> bool:
    # The checkpoint's row first, as every batch, start and close does: then the run's status stands still.
    checkpoints.lock(cursor, run.source)
    _line_up(cursor, run.source)
    status = Run.objects.select_for_update().values_list("status", flat=True).get(pk=run.pk)
    if status not in (Status.QUEUED, Status.RUNNING):
        return False
    checkpoints.revoke_from(cursor, run.source, run.pk)
    text = f"Cancelled by {by}."
    _end(run.pk, Q(status=status), Status.FAILED, Reason.CANCELLED, error=text, story=text)
    return True


def release(source: str, *, by: str) -> Run | None:
    """Take the source from whoever owns it, and close the run that is running; that run, if there was one.

    In one transaction, behind which its worker writes nothing more. Raises CheckpointLocked.
    """
    return past_frozen_owner(
        source, lambda cursor: _release(cursor, source, by), attempts=PATIENT_ATTEMPTS, forces_after=FORCING_ATTEMPTS
    )


def _release(cursor: Any, source: str, by: str) -> Run | None:
    checkpoints.lock(cursor, source)
    _line_up(cursor, source)
    checkpoints.revoke_from_anyone(cursor, source)
    run = Run.objects.select_for_update().filter(source=source, status=Status.RUNNING).first()
    if run is not None:
        text = f"Its lease was released by {by}."
        _end(run.pk, Q(status=Status.RUNNING), Status.FAILED, Reason.RELEASED, error=text, story=text)
    return run
