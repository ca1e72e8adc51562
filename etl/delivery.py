"""One batch, one transaction: everything that a batch changes, behind the fence, or nothing of it."""

from collections.abc import Callable
from dataclasses import replace

from django.db import connection, transaction

from etl import checkpoints, runs
from etl.checkpoints import Claim, Read
from etl.classification import Batch
from etl.readers.base import Source
from etl.records import Cursor
from etl.storage.batch import write_batch
from etl.storage.lookup import drop_marks
from etl.storage.transactions import bound_statements, retry_transient


def land(
    claim: Claim, source: Source, read: Read, batch: Batch, *, reached: Cursor, wait: Callable[[float], None]
) -> Read:
    """Commit the batch and move the checkpoint behind it; the read as it stands then.

    A transient database error sends the whole transaction again, behind the same fence. If the answer to a
    commit was lost, the fence tells: the batch number has moved on, and nothing is sent twice. Raises
    Overtaken or LeaseLost with nothing written.
    """
    following = replace(
        read,
        is_begun=True,
        cursor=reached,
        quarantined=read.quarantined + batch.counters.quarantined,
        batch_number=read.batch_number + 1,
    )
    retry_transient(lambda: _commit(claim, source, read, following, batch), wait)
    return following


def _commit(claim: Claim, source: Source, read: Read, following: Read, batch: Batch) -> None:
    with transaction.atomic(durable=True), connection.cursor() as cursor:
        bound_statements(cursor)
        advanced = checkpoints.advance(
            cursor,
            claim,
            following,
            batch_number=read.batch_number,
            new_records=len(batch.inserts),
            new_versions=len(batch.versions),
        )
        if advanced is None:
            if checkpoints.has_landed(cursor, claim, read.batch_number):
                return
            checkpoints.raise_if_overtaken(cursor, claim)
            raise checkpoints.describe_lost_lease(claim)
        sequence, now = advanced
        if not read.is_begun:
            drop_marks(cursor, claim.source)
        growth = write_batch(
            cursor,
            batch,
            source=claim.source,
            kind=source.kind,
            run_id=claim.run_id,
            read_number=read.number,
            sequence=sequence,
            now=now,
        )
        runs.count_batch(cursor, claim, batch.counters, following.cursor or {})
        checkpoints.end_batch(cursor, claim, open_quarantine_growth=growth)
