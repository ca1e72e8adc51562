"""The operation on reads that a gate has stopped: to accept one."""

import time

from etl.exceptions import NotFound, NotPossible
from etl.fence.locking import PATIENT_ATTEMPTS, CheckpointLocked, lock_checkpoint
from etl.fence.reads import take_as_baseline
from etl.gates import ACCEPTABLE
from etl.models import Checkpoint, JudgedRead, Run
from etl.runs import orders
from etl.sources.registry import find_source
from etl.storage.files import is_last_read_of_file
from etl.storage.reads import accept_read
from etl.storage.transactions import retry_transient
from etl.vocabulary import ReadOutcome, Trigger


def accept(read_id: int, *, by: str, user_id: int | None, trigger: Trigger) -> Run:
    """Accept the read in spite of its verdict: its figures become the baseline, and a run reads the source again.

    Only a source's last judged read can be accepted, or the last read of one of its files, and only if the gates that
    it missed can be overruled. Repeating the request returns the same run. Raises NotFound or NotPossible.
    """
    read = find_read(read_id)
    if find_source(read.source) is None:
        raise NotPossible(f"ETL_SOURCES has no source {read.source}, so nothing can read it again.")
    if read.accepted_at is None:
        _accept(read, user_id)
    return orders.queue(read.source, trigger=trigger, by=by, key=f"accept:{read.pk}")


def find_read(read_id: int) -> JudgedRead:
    """Return the read with this id. Raises NotFound."""
    read = JudgedRead.objects.filter(pk=read_id).first()
    if read is None:
        raise NotFound(f"There is no read {read_id}.")
    return read


def find_obstacle(read: JudgedRead) -> str:
    """Say why the read can't be accepted; empty if it can."""
    if read.outcome == ReadOutcome.ACCEPTED:
        return f"Read {read.number} of {read.source} has already been accepted."
    final = [failure["gate"] for failure in read.verdict if failure["gate"] not in ACCEPTABLE]
    if final:
        gates = " and ".join(final)
        return f"Read {read.number} of {read.source} can't be accepted ({gates}): correct the source or its contract."
    if read.file:
        return "" if is_last_read_of_file(read.source, read.file, read.number) else _report_older(read)
    checkpoint = Checkpoint.objects.filter(source=read.source).first()
    if checkpoint is None or checkpoint.judged_read != read.number:
        return _report_older(read)
    return ""


def _report_older(read: JudgedRead) -> str:
    whose = f"the last read of {read.file}" if read.file else "its last judged read"
    return f"Read {read.number} of {read.source} is not {whose}; older reads can't be accepted."


def _accept(read: JudgedRead, user_id: int | None) -> None:
    try:
        for attempt in retry_transient(time.sleep):
            with attempt:
                _accept_once(read, user_id)
    except CheckpointLocked as error:
        raise NotPossible(f"Read {read.number} of {read.source} can't be accepted just now: {error}.") from error


def _accept_once(read: JudgedRead, user_id: int | None) -> None:
    with lock_checkpoint(read.source, attempts=PATIENT_ATTEMPTS) as cursor:
        read.refresh_from_db()
        if obstacle := find_obstacle(read):
            raise NotPossible(obstacle)
        accept_read(cursor, read.pk, user_id)
        if not read.file:  # files are not compared with each other
            take_as_baseline(cursor, read.source, read.number)
