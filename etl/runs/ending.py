"""Ends a run: one function changes the row, the ending is a value. From outside: attempts.py and interventions.py."""

import json
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from etl.clock import read_clock
from etl.contracts.names import describe_respelled
from etl.database import connection, on_commit
from etl.drift import Change, describe_changes
from etl.fence import claims
from etl.fence.batches import pass_fence_of_replay, require_landed
from etl.fence.claims import Claim
from etl.fence.counts import count_opened
from etl.fence.reads import FilesEnd, ReadEnd, UnchangedEnd, end_files, end_read, note_unchanged
from etl.gates import GateFailure, Verdict, choose_status
from etl.models import Run
from etl.records import Counters, Stamp
from etl.runs.alerts import note_closed_run
from etl.runs.announcements import announce
from etl.runs.events import add_event
from etl.runs.heartbeat import add_batch
from etl.storage.files import FileEnd, note_found, note_stamp, write_file
from etl.storage.marks import drop_marks, pass_marks_on
from etl.storage.reads import EndedRead, write_read
from etl.storage.refusals import write_refusals
from etl.storage.snapshots import find_changes, write_snapshot
from etl.storage.texts import make_storable
from etl.storage.transactions import bounded_transaction, take_last_result
from etl.vocabulary import EventKind, Reason, Status

logger = logging.getLogger(__name__)

SHOWN_FILES = 10
"""How many of the files that have failed a run names."""


# The event is in the same statement, and the turn in the same message, which saves round trips.
_END = """
    WITH ended AS (
        UPDATE etl_runs SET status = %(status)s, {columns} WHERE id = %(run_id)s AND status = ANY(%(open)s)
            AND (epoch = %(epoch)s OR %(epoch)s IS NULL)
        RETURNING *
    ), noted AS (
        INSERT INTO etl_run_events (run_id, kind, message) SELECT id, %(event)s, %(message)s FROM ended
    )
    SELECT * FROM ended
"""
_TAKE_TURN = "SELECT pg_advisory_xact_lock(hashtextextended(%(turn)s, 0))"
_CLOSE = f"{_TAKE_TURN}; " + _END.format(
    columns="reason = %(reason)s, error = %(error)s, verdict = %(verdict)s, is_unchanged = %(is_unchanged)s,"
    " finished_at = clock_timestamp()"
)
_HAND_OVER = _END.format(
    columns="sent_at = NULL, not_before ="
    " CASE WHEN %(wait_seconds)s > 0 THEN clock_timestamp() + %(wait_seconds)s * interval '1 second' END"
)


@dataclass(frozen=True, slots=True)
class Ending:
    """How a run ends: the columns of its row, and the event in its log."""

    status: Status
    event: EventKind
    message: str
    reason: Reason = Reason.NONE
    error: str = ""
    verdict: Verdict = ()
    is_unchanged: bool = False
    wait_seconds: float = 0

    @property
    def closes(self) -> bool:
        """Whether the run is closed; a run that is handed over waits to be resumed."""
        return self.event is EventKind.CLOSED


def _closed(status: Status, reason: Reason, error: str, message: str) -> Ending:
    return Ending(status, EventKind.CLOSED, message, reason, error)


def finished(status: Status, reason: Reason = Reason.NONE) -> Ending:
    """Everything is read or replayed: success or partial."""
    return _closed(status, reason, "", f"Closed {'/'.join(filter(None, (status, reason)))}.")


def judged(verdict: Verdict, quarantined: int, waiting: int = 0, *, is_unchanged: bool = False) -> Ending:
    """The content has a verdict, of this read or of an earlier one.

    `quarantined` counts the records refused now, `waiting` those among them that wait for a row to which they refer.
    """
    plain = choose_plain_ending(quarantined, waiting, is_unchanged=is_unchanged)
    if not verdict:
        return replace(plain, is_unchanged=is_unchanged)
    gravest, status = verdict[0], choose_status(verdict)
    repeated = " The content is unchanged since this verdict." if is_unchanged else ""
    text = "".join(f" {failure.message}" for failure in verdict)[1:] + repeated
    ended = _closed(status, gravest.gate, text, f"Closed {status}/{gravest.gate}: {text}")
    return replace(ended, verdict=verdict, is_unchanged=is_unchanged)


def failed_files(failures: Sequence[tuple[str, Sequence[GateFailure]]], found: int) -> Ending:
    """Some files of the source can't be read, or have a verdict: the `failures`. The others of those `found` landed."""
    named = [
        replace(each, message=each.message if name in each.message else f"{name}: {each.message}")
        for name, verdict in failures
        for each in verdict
    ]
    shown = " ".join(each.message for each in named[:SHOWN_FILES])
    others = f" And {len(named) - SHOWN_FILES} more." if len(named) > SHOWN_FILES else ""
    text = f"{len(failures):,} of {found:,} files failed; the others have landed. {shown}{others}"
    gravest = named[0].gate
    ended = _closed(Status.FAILED, gravest, text, f"Closed {Status.FAILED}/{gravest}: {text}")
    return replace(ended, verdict=tuple(named[:SHOWN_FILES]))


def choose_plain_ending(quarantined: int, waiting: int = 0, *, is_unchanged: bool = False) -> Ending:
    """Return how a run ends that no gate has stopped, given the number of records that were refused."""
    if quarantined and quarantined == waiting:
        return finished(Status.PARTIAL, Reason.PARENTS_MISSING)
    if quarantined:
        return finished(Status.PARTIAL, Reason.RECORDS_REFUSED)
    return finished(Status.SUCCESS, Reason.UNCHANGED if is_unchanged else Reason.NONE)


def reread(quarantined: int, waiting: int, left: str) -> Ending:
    """Refused records and, if asked for, present ones are judged again.

    `quarantined` counts those that are refused again, `waiting` those among them that wait for a row to which they
    refer. `left` says which present records stay as they are, if there are any.
    """
    if not left:
        return choose_plain_ending(quarantined, waiting)
    status, reason = Status.PARTIAL, Reason.RECORDS_REFUSED
    return _closed(status, reason, left, f"Closed {status}/{reason}: {left}")


def failed(reason: Reason, error: str) -> Ending:
    """An error or a signal ended the run."""
    return _closed(Status.FAILED, reason, error, f"Closed failed/{reason}.")


def handed_over(message: str, *, wait_seconds: float = 0) -> Ending:
    """The task ends but not the run: another task resumes it after `wait_seconds`."""
    return Ending(Status.QUEUED, EventKind.HANDED_OVER, message, wait_seconds=wait_seconds)


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


def end(claim: Claim, ending: Ending, *, read_end: ReadEnd | UnchangedEnd | FilesEnd | None = None) -> Run | None:
    """End the run by its own process and release its source, in one transaction. Only a run's first end counts.

    With `read_end` the read ends too, which needs a lease that has not ended, and the shape of an accepted read is
    compared with the one before. Returns the run's row after its first end. Raises Overtaken or LeaseLost.
    """
    also = note_unchanged(read_end) if isinstance(read_end, UnchangedEnd) else claims.NOTHING
    with bounded_transaction(durable=True) as cursor:
        if not claims.release(cursor, claim, needs_lease=read_end is not None, also=also):
            claims.raise_if_overtaken(cursor, claim)
            if not Run.objects.filter(pk=claim.run_id, status=Status.RUNNING).exists():
                return None  # this process ended it earlier, or with a commit whose response was lost
            raise claims.describe_lost_lease(claim)
        changes = _end_what_was_read(cursor, claim, read_end)
        return write_ending(cursor, claim.source, ending, claim.run_id, epoch=claim.epoch, changes=changes)


def _end_what_was_read(
    cursor: Any, claim: Claim, read_end: ReadEnd | UnchangedEnd | FilesEnd | None
) -> Sequence[Change]:
    """Return what the run has changed in the source's shape."""
    if isinstance(read_end, ReadEnd):
        return _end_read(cursor, claim, read_end)
    if isinstance(read_end, FilesEnd):
        end_files(cursor, claim, read_end)
        note_found(cursor, claim.source, read_end.names)
        return find_changes(claim.run_id)
    return []


def end_file(claim: Claim, batch_number: int, end: FileEnd, read_end: ReadEnd | None = None) -> None:
    """End a file's part of the run in one transaction, through the fence: its read, if it has one, and its row.

    The run continues with the next file. Raises Overtaken or LeaseLost; nothing is written then.
    """
    with _fenced(claim, batch_number) as cursor:
        if cursor is None:
            return
        if read_end is not None:
            _end_read(cursor, claim, read_end)
        write_file(cursor, claim.source, claim.run_id, end)


def note_same_file(claim: Claim, batch_number: int, name: str, stamp: str) -> None:
    """Note through the fence that a file has the content that is known, under this stamp."""
    with _fenced(claim, batch_number) as cursor:
        if cursor is not None:
            note_stamp(cursor, claim.source, claim.run_id, name, stamp)


@contextmanager
def _fenced(claim: Claim, batch_number: int) -> Iterator[Any]:
    """Open a transaction, pass the fence and yield its cursor; None if it has been committed already."""
    with bounded_transaction(durable=True) as cursor:
        if pass_fence_of_replay(cursor, claim, batch_number=batch_number) is None:
            require_landed(cursor, claim, batch_number)
            yield None
        else:
            yield cursor


def end_unstartable(run: Run, reason: Reason, error: str) -> None:
    """Close a queued run that can't be executed."""
    with bounded_transaction(durable=True) as cursor:
        write_ending(cursor, run.source, unstartable(reason, error), run.pk, only_if=(Status.QUEUED,))


def take_turn(cursor: Any, source: str) -> None:
    """Let only this transaction close runs of the source, until its commit. Call it before any run's row is locked.

    So `finished_at` follows the order of the commits, and a receiver of `run_closed` sees every earlier run closed.
    """
    cursor.execute(_TAKE_TURN, {"turn": _name_turn(source)})


def _name_turn(source: str) -> str:
    return f"kasparro end {source}"


def write_ending(
    cursor: Any,
    source: str,
    ending: Ending,
    run_id: int,
    *,
    only_if: Sequence[Status] = (Status.RUNNING,),
    epoch: int | None = None,
    changes: Sequence[Change] = (),
) -> Run | None:
    """Change the run's row if it still has one of the statuses, and this epoch. No other function ends a run.

    `changes` are those of the source's shape that the read has brought. Returns the changed row.
    """
    values = {
        "run_id": run_id,
        "epoch": epoch,
        "open": list(only_if),
        "turn": _name_turn(source),
        "status": ending.status,
        "reason": ending.reason,
        "error": make_storable(ending.error),
        "verdict": json.dumps([failure.as_json() for failure in ending.verdict]),
        "is_unchanged": ending.is_unchanged,
        "wait_seconds": ending.wait_seconds,
        "event": ending.event,
        "message": make_storable(ending.message),
    }
    with connection.execute_wrapper(take_last_result):
        ended = next(iter(Run.objects.raw(_CLOSE if ending.closes else _HAND_OVER, values)), None)
    if ended is not None and ending.closes:
        note_closed_run(cursor, ended, changes)
        on_commit(lambda: announce(ended))
    return ended


def _end_read(cursor: Any, claim: Claim, read_end: ReadEnd) -> Sequence[Change]:
    """Close the read. Returns what has changed in the source's shape."""
    read = read_end.read
    write_read(cursor, claim.source, claim.run_id, _describe_read(read_end))
    if not read.is_begun and read_end.is_accepted:
        drop_marks(cursor, claim.source)
    elif not read.is_begun:
        pass_marks_on(cursor, claim.source, read.number)
    if read_end.refusals:
        _write_refusals(cursor, claim, read_end)
    end_read(cursor, claim, read_end)
    return _note_drift(claim, read_end) if read_end.is_accepted else []


def _describe_read(end: ReadEnd) -> EndedRead:
    read, kept = end.read, len(end.refusals)
    return EndedRead(
        number=read.number,
        content=read.content,
        fingerprint=read.fingerprint,
        file=read.file,
        is_proven=end.is_proven,
        is_whole=end.is_whole,
        is_complete=end.is_complete,
        outcome=end.outcome,
        verdict=end.verdict,
        seen=read.seen,
        quarantined=read.quarantined + kept,
        met=read.met,
        removed=read.removed,
        first_sequence=read.first_sequence,
    )


def _write_refusals(cursor: Any, claim: Claim, read_end: ReadEnd) -> None:
    """Keep the first refused records of a read that failed before its first batch."""
    read = read_end.read
    stamp = Stamp(claim.source, read_end.kind, claim.run_id, read.number, 0, read_clock(), read.file)
    count_opened(cursor, claim.source, write_refusals(cursor, read_end.refusals, stamp))
    add_batch(cursor, claim, Counters(quarantined=len(read_end.refusals)), 0, {})


def _note_drift(claim: Claim, end: ReadEnd) -> Sequence[Change]:
    """Store the changes of the read's shape, and report them: an event of the run, and a warning after the commit."""
    shape, contract = end.read.shape, end.contract
    changes, respelled = write_snapshot(claim.source, claim.run_id, shape, contract, is_delta=end.is_delta)
    if respelled:
        add_event(claim.run_id, EventKind.DRIFT, f"Column names: {describe_respelled(respelled)}.")
    if changes:
        message = f"The source's shape has changed: {describe_changes(changes)}."
        add_event(claim.run_id, EventKind.DRIFT, message)
        on_commit(lambda: logger.warning("%s: %s", claim.source, message))
    return changes
