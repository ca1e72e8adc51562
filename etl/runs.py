"""Runs as rows: started with their claim in one transaction, counted with each batch, closed once."""

import os
import socket
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db import DatabaseError, OperationalError, connection, transaction
from django.db.models import Func
from psycopg2.extras import Json

from etl import checkpoints
from etl.checkpoints import Claim, Holder
from etl.exceptions import Overtaken
from etl.models import Checkpoint, Run, RunEvent
from etl.records import Counters, Cursor, EventKind, Reason, Status, Trigger
from etl.storage.lookup import drop_marks
from etl.storage.transactions import bound_statements, is_lock_timeout

CLAIM_LOCK_SECONDS = 0.25
CLAIM_ATTEMPTS = 20


@dataclass(frozen=True, slots=True)
class Started:
    """A run that owns its source, and the checkpoint as the claim found it."""

    claim: Claim
    checkpoint: Checkpoint
    is_full: bool


def describe_owner() -> str:
    """This process, for people: host and pid."""
    return f"{socket.gethostname()}:{os.getpid()}"


def start_at_terminal(source: str, *, full: bool) -> Started | Holder:
    """Start a run here and now, or say who holds the source. Run row and claim are one transaction.

    Takes the source's queued plain run along, if there is one and this is no full read. Closes the run whose
    lease has ended or whose session is gone; ends the session of a frozen one that keeps its row locked.
    """
    for _ in range(CLAIM_ATTEMPTS):
        try:
            with transaction.atomic(durable=True), connection.cursor() as cursor:
                bound_statements(cursor, lock_timeout_seconds=CLAIM_LOCK_SECONDS)
                return _start(cursor, source, {"full": True} if full else {})
        except OperationalError as error:
            if not is_lock_timeout(error):
                raise
            checkpoints.end_frozen_owner(source)
    raise DatabaseError(f"the checkpoint of {source} stays locked by another session: see pg_locks")


def _start(cursor: Any, source: str, options: dict[str, Any]) -> Started | Holder:
    taken = checkpoints.take(cursor, source=source, owner=describe_owner(), lease_seconds=settings.ETL_LEASE_SECONDS)
    if isinstance(taken, Holder):
        message = f"{describe_owner()} wanted to start and was refused."
        add_event(taken.run_id, EventKind.START_REFUSED, message)
        return taken
    _abandon_running(cursor, source)
    checkpoint = Checkpoint.objects.get(source=source)
    begin = {
        "status": Status.RUNNING,
        "at_terminal": True,
        "epoch": taken,
        "cursor_before": checkpoint.cursor,
        "started_at": Func(function="clock_timestamp"),
        "heartbeat_at": Func(function="clock_timestamp"),
    }
    run_id = _take_queued(checkpoint, options, begin) or _insert(source, options, begin)
    claim = Claim(source, run_id, taken, settings.ETL_LEASE_SECONDS)
    checkpoints.name_owner_run(cursor, claim)
    add_event(run_id, EventKind.STARTED, f"Started in a terminal by {describe_owner()}, epoch {taken}.")
    return Started(claim, checkpoint, is_full=bool(options.get("full")))


def _abandon_running(cursor: Any, source: str) -> None:
    """Close what still calls itself running; the epoch was raised in this transaction."""
    cursor.execute(
        "UPDATE etl_runs SET status = %s, reason = %s, finished_at = clock_timestamp(), error = %s"
        " WHERE source = %s AND status = %s RETURNING id",
        [
            *(Status.FAILED, Reason.ABANDONED, "Its process was gone or stood still; the next run went on."),
            *(source, Status.RUNNING),
        ],
    )
    for (run_id,) in cursor.fetchall():
        add_event(run_id, EventKind.CLOSED, f"Closed failed/abandoned by {describe_owner()}, which went on.")


def _insert(source: str, options: dict[str, Any], begin: dict[str, Any]) -> int:
    key = f"terminal:{uuid.uuid4()}"
    return Run.objects.create(source=source, key=key, trigger=Trigger.TERMINAL, options=options, **begin).pk


def _take_queued(checkpoint: Checkpoint, options: dict[str, Any], begin: dict[str, Any]) -> int | None:
    """The queued plain run of the source, begun here; None if there is none or this run is not plain."""
    if options:
        return None
    queued = Run.objects.filter(source=checkpoint.source, status=Status.QUEUED, options={})
    run_id = queued.values_list("pk", flat=True).first()
    if run_id is None or not queued.filter(pk=run_id).update(**begin):
        return None
    return run_id


def add_event(run_id: int, kind: EventKind, message: str) -> None:
    """One line in the run's audit log."""
    RunEvent.objects.create(run_id=run_id, kind=kind, message=message)


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
        raise Overtaken(f"Run {claim.run_id} of {claim.source} was closed from outside.")


@dataclass(frozen=True, slots=True)
class ReadEnd:
    """What a read that is through leaves on the checkpoint for the next one to compare with."""

    fingerprint: str
    validators: Mapping[str, str]


def close(
    claim: Claim, status: Status, reason: Reason = Reason.NONE, *, error: str = "", read_end: ReadEnd | None = None
) -> None:
    """Close the run and give its source up, in one transaction. The first close of a run stands.

    With `read_end` the read ends too, for which the lease must live. Raises Overtaken or LeaseLost.
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
            drop_marks(cursor, claim.source)
        running = Run.objects.filter(pk=claim.run_id, epoch=claim.epoch, status=Status.RUNNING)
        now = Func(function="clock_timestamp")
        if running.update(status=status, reason=reason, error=error, finished_at=now, heartbeat_at=now):
            add_event(claim.run_id, EventKind.CLOSED, f"Closed {'/'.join(filter(None, (status, reason)))}.")


def _is_closed(claim: Claim) -> bool:
    return not Run.objects.filter(pk=claim.run_id, status=Status.RUNNING).exists()
