"""One batch, one transaction: everything that a batch changes, behind the fence, or nothing of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from django.db import connection, transaction

from etl import checkpoints, runs
from etl.checkpoints import Claim, Read
from etl.classification import Batch
from etl.readers.base import Source
from etl.records import Breach, Cursor
from etl.storage.batch import write_batch, write_records
from etl.storage.lookup import drop_marks, mark_met
from etl.storage.refusals import lock_open, settle
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
            _require_landed(cursor, claim, read.batch_number)
            return
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


def _require_landed(cursor: Any, claim: Claim, batch_number: int) -> None:
    """After a refused compare-and-set: all is well if the batch is in, its commit's answer having been lost."""
    if checkpoints.has_landed(cursor, claim, batch_number):
        return
    checkpoints.raise_if_overtaken(cursor, claim)
    raise checkpoints.describe_lost_lease(claim)


@dataclass(frozen=True, slots=True)
class Page:
    """A batch out of quarantine, with what becomes of each row there, by its id.

    `landed` gives the index in the batch's versions, None where nothing is to be written; `reached` is the place
    of the last row.
    """

    batch: Batch
    landed: Mapping[int, int | None]
    refused: Mapping[int, Breach]
    reached: Cursor


class PageChanged(Exception):
    """A row of the page has been discarded since it was loaded: nothing is written, load it anew."""


def land_page(
    claim: Claim,
    source: Source,
    page: Page,
    *,
    read_number: int,
    batch_number: int,
    user_id: int | None,
    wait: Callable[[float], None],
) -> None:
    """Commit a page of a replay, as `land` does a batch; `read_number` is the source's last read's.

    Raises PageChanged, Overtaken or LeaseLost with nothing written.
    """
    retry_transient(lambda: _commit_page(claim, source, page, read_number, batch_number, user_id), wait)


def _commit_page(
    claim: Claim, source: Source, page: Page, read_number: int, batch_number: int, user_id: int | None
) -> None:
    batch = page.batch
    with transaction.atomic(durable=True), connection.cursor() as cursor:
        bound_statements(cursor)
        advanced = checkpoints.advance_replay(
            cursor,
            claim,
            batch_number=batch_number,
            new_records=len(batch.inserts),
            new_versions=len(batch.versions),
        )
        if advanced is None:
            _require_landed(cursor, claim, batch_number)
            return
        sequence, now = advanced
        # Who discards locks the checkpoint first: from here on the rows stand still.
        if not lock_open(cursor, page.landed.keys() | page.refused.keys()):
            raise PageChanged
        raw_ids = write_records(
            cursor, batch, source=claim.source, kind=source.kind, run_id=claim.run_id, sequence=sequence, now=now
        )
        if batch.met:
            mark_met(cursor, claim.source, read_number, batch.met)
        landed = {row: raw_ids[index] if index is not None else None for row, index in page.landed.items()}
        settle(cursor, landed=landed, refused=page.refused, user_id=user_id, now=now)
        runs.count_batch(cursor, claim, batch.counters, page.reached)
        checkpoints.end_batch(cursor, claim, open_quarantine_growth=-len(landed))
