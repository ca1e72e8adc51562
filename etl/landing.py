"""Commits each batch in one fenced transaction: all of its changes or none of them."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from django.db.models import Q

from etl.change_detection import Batch
from etl.column_judgement import refuse
from etl.fence.batches import (
    Growth,
    count_batch,
    count_page,
    count_removal,
    pass_fence,
    pass_fence_of_replay,
    require_landed,
)
from etl.fence.claims import Claim
from etl.fence.reads import REMOVED, Read
from etl.judgement import number_refusal
from etl.readers.content_rule import ContentRule
from etl.readers.source import Source
from etl.records import Breach, Counters, Cursor, Origins, Refusal, Stamp
from etl.runs.announcements import announce_batch
from etl.runs.heartbeat import add_batch
from etl.storage.batch import write_batch, write_records
from etl.storage.former_refusals import recognize
from etl.storage.marks import drop_marks, mark_met
from etl.storage.refusal_states import land_older
from etl.storage.refusals import Result, lock_replayable, settle
from etl.storage.target_batch import Landed, write_target_batch, write_target_records
from etl.storage.target_removal import remove_rows
from etl.storage.transactions import bounded_transaction, retry_transient
from etl.storage.vanished import remove_records
from etl.vocabulary import MarkKind


class RepeatedRefused(Exception):
    """The target refuses records whose ids come again in their batch, so others count. Nothing is written."""

    def __init__(self, refused: Mapping[int, Refusal]) -> None:
        super().__init__("compare the batch again without these records")
        self.refused = refused


def land(
    claim: Claim,
    source: Source,
    read: Read,
    batch: Batch,
    *,
    reached: Cursor,
    wait: Callable[[float], None],
    origins: Origins | None = None,
) -> Read:
    """Commit the batch, advance the checkpoint past it and return the updated read.

    `origins` are the batch's records as they were sent: a source with a target of its own needs those that the target
    refuses.

    After a transient database error the whole transaction is repeated, through the same fence. If the response to a
    commit was lost, the fence shows that the batch number has advanced, and nothing is written twice. Raises Overtaken
    or LeaseLost if the run no longer owns the source, and RepeatedRefused; nothing is written then.
    """
    following = replace(
        read,
        is_begun=True,
        cursor=reached,
        seen=read.seen + batch.counters.seen,
        quarantined=read.quarantined + batch.counters.quarantined,
        batch_number=read.batch_number + 1,
        met=read.met + batch.found,
    )
    tried: list[Commit] = []
    for attempt in retry_transient(wait):
        with attempt:
            _commit(claim, source, read, following, batch, origins, tried)
    if source.target is None or not tried:
        return following
    announce_batch(claim, source.target.into.model, tried[-1].keys)
    return tried[-1].following


@dataclass(frozen=True, slots=True)
class Commit:
    """What a transaction has tried to commit: the read after it, and the keys of the target's rows."""

    following: Read
    keys: Sequence[str] = ()


def _commit(
    claim: Claim,
    source: Source,
    read: Read,
    following: Read,
    batch: Batch,
    origins: Origins | None,
    tried: list[Commit],
) -> None:
    """Commit the batch, and add what was tried before the commit: its response may be lost."""
    with bounded_transaction(durable=True) as cursor:
        passed = pass_fence(cursor, claim, read, following)
        if passed is None:
            require_landed(cursor, claim, read.batch_number)
            return
        stamp = Stamp(claim.source, source.kind, claim.run_id, read.number, passed.sequence, passed.now, read.file)
        if not read.is_begun:
            drop_marks(cursor, claim.source)
        if source.target is None:
            refused = write_batch(cursor, batch, stamp, read.first_sequence)
        else:
            make = partial(describe_refused, source, batch, origins, read.file)
            landed, refused = write_target_batch(cursor, source.target, batch, stamp, read.first_sequence, make)
            batch, following = landed.batch, _correct(following, batch, landed)
            tried.append(Commit(following, landed.keys))
        waiting = following.waiting - read.waiting
        add_batch(cursor, claim, batch.counters, len(batch.versions), following.cursor or {}, waiting=waiting)
        count_batch(cursor, claim, _describe_growth(batch, refused), following)


def describe_refused(
    source: Source, batch: Batch, origins: Origins | None, file: str, refused: Mapping[int, Breach]
) -> list[Refusal]:
    """Return the refusals of records that the target refuses. Raises RepeatedRefused."""
    if not refused:
        return []
    assert origins is not None
    rows = sorted(refused)
    rule = ContentRule(source.contract, source.form, source.ignore)
    refusals = [
        refuse(source, rule, record, refused[row], file)
        for row, record in zip(rows, origins.make_records(rows), strict=True)
    ]
    refusals = list(map(number_refusal, refusals)) if source.takes_origin else refusals
    refusals = [*recognize(source, refusals, file)]
    counts = Counter(batch.judged.external_ids)
    if any(counts[batch.judged.external_ids[row]] > 1 for row in rows):
        raise RepeatedRefused(dict(zip(rows, refusals, strict=True)))
    return refusals


def _correct(following: Read, sent: Batch, landed: Landed) -> Read:
    """Return the read after a batch of which the target has refused some records."""
    refused = landed.batch.counters.quarantined - sent.counters.quarantined
    before = (refusal.breach for refusal in sent.judged.refusals)
    waiting = following.waiting + count_waiting(landed.refused.values()) + count_waiting(before)
    met = following.met - sent.found + landed.batch.found
    return replace(following, quarantined=following.quarantined + refused, waiting=waiting, met=met)


def count_waiting(breaches: Iterable[Breach]) -> int:
    """Return how many of these records only wait for rows to which they refer."""
    return sum(1 for breach in breaches if breach.awaits)


def _describe_growth(batch: Batch, refused: int) -> Growth:
    return Growth(
        records=len(batch.inserts) + batch.returned,
        versions=len(batch.versions),
        refused=refused,
        writes=bool(batch.versions or batch.rewrites),
        removed=-batch.returned,
    )


def remove(claim: Claim, source: Source, read: Read, rows: Sequence[int], *, wait: Callable[[float], None]) -> Read:
    """Remove these records, which the finished read lacked, in a batch of the read. Returns the updated read.

    The read's cursor counts what it has removed, in any run. Raises Overtaken or LeaseLost; nothing is written then.
    """
    reached = {**(read.cursor or {}), REMOVED: read.removed + len(rows)}
    following = replace(read, is_begun=True, cursor=reached, batch_number=read.batch_number + 1)
    tried: list[Sequence[str]] = []
    for attempt in retry_transient(wait):
        with attempt:
            _commit_removal(claim, source, read, following, rows, tried)
    if source.target is not None and tried:
        announce_batch(claim, source.target.into.model, removed=tried[-1])
    return following


def _commit_removal(
    claim: Claim, source: Source, read: Read, following: Read, rows: Sequence[int], tried: list[Sequence[str]]
) -> None:
    """Commit the removal. The keys of the target's rows are added to `tried` before that, as for a batch."""
    with bounded_transaction(durable=True) as cursor:
        passed = pass_fence(cursor, claim, read, following)
        if passed is None:
            require_landed(cursor, claim, read.batch_number)
            return
        stamp = Stamp(claim.source, source.kind, claim.run_id, read.number, passed.sequence, passed.now)
        if not read.is_begun:  # an empty content that an operator has accepted
            drop_marks(cursor, claim.source)
        if source.target is not None:
            tried.append(remove_rows(cursor, source.target, rows, stamp))
        remove_records(cursor, rows, stamp)
        add_batch(cursor, claim, Counters(removed=len(rows)), 0, following.cursor or {})
        count_removal(cursor, claim, len(rows), following)


@dataclass(frozen=True, slots=True)
class Page:
    """A batch from quarantine, with the outcome of each quarantine row by its id.

    `landed` gives the row's index in the batch's versions, or None if nothing is to be written for it. `unwanted` are
    the rows that the source now skips. `external_ids` are the ids that were found in the rows, and `reached` is the
    place of the last row. The replay takes the rows that are `coming` later. `reread` are the raw rows of records that
    are rewritten although the last read has not met them.
    """

    batch: Batch
    landed: Mapping[int, int | None]
    refused: Mapping[int, Breach]
    unwanted: Sequence[int]
    external_ids: Mapping[int, str]
    reached: Cursor
    coming: Q
    reread: Sequence[int] = ()

    @property
    def closes(self) -> set[int]:
        """The quarantine rows that it closes."""
        return self.landed.keys() | set(self.unwanted)


class PageChanged(Exception):
    """A row of the page has been discarded since the page was loaded. Nothing is written; load the page again."""


def land_page(
    claim: Claim,
    source: Source,
    page: Page,
    *,
    read_number: int,
    batch_number: int,
    user_id: int | None,
    wait: Callable[[float], None],
) -> Page:
    """Commit a page of a replay, as `land` commits a batch. `read_number` is the number of the source's last read.

    Returns the page without the records that the source's own target refuses.
    Raises PageChanged, Overtaken or LeaseLost; nothing is written then.
    """
    tried = [Tried(page)]
    for attempt in retry_transient(wait):
        with attempt:
            _commit_page(claim, source, page, read_number, batch_number, user_id, tried)
    if source.target is not None:
        announce_batch(claim, source.target.into.model, tried[-1].keys)
    return tried[-1].page


@dataclass(frozen=True, slots=True)
class Tried:
    """What a transaction has tried to commit of a page, and the keys of the target's rows."""

    page: Page
    keys: Sequence[str] = ()


def _commit_page(
    claim: Claim,
    source: Source,
    page: Page,
    read_number: int,
    batch_number: int,
    user_id: int | None,
    tried: list[Tried],
) -> None:
    with bounded_transaction(durable=True) as cursor:
        passed = pass_fence_of_replay(cursor, claim, batch_number=batch_number)
        if passed is None:
            require_landed(cursor, claim, batch_number)
            return
        # Discarding locks the checkpoint first, so the rows can't change from here on.
        opened = lock_replayable(cursor, page.closes | page.refused.keys())
        if opened is None:
            raise PageChanged
        stamp = Stamp(claim.source, source.kind, claim.run_id, read_number, passed.sequence, passed.now)
        page, raw_ids = _write_page(cursor, source, page, stamp, tried)
        settle(cursor, _list_results(page, raw_ids), user_id=user_id, now=passed.now)
        older = land_older(
            cursor,
            claim.source,
            set(page.external_ids.values()),
            read_number=read_number,
            coming=page.coming,
            now=passed.now,
        )
        batch, waiting = page.batch, count_waiting(page.refused.values())
        add_batch(cursor, claim, batch.counters, len(batch.versions), page.reached, waiting=waiting)
        count_page(cursor, claim, _describe_growth(batch, -len(opened & page.closes) - older))


def _write_page(
    cursor: Any, source: Source, page: Page, stamp: Stamp, tried: list[Tried]
) -> tuple[Page, Sequence[int]]:
    """Write the page's records and marks. Returns the page as it lands, and the raw row of each version."""
    if source.target is None:
        raw_ids = write_records(cursor, page.batch, stamp)
    else:
        landed = write_target_records(cursor, source.target, page.batch, stamp)
        page, raw_ids = _leave_out(page, landed), landed.raw_ids
        tried.append(Tried(page, landed.keys))
    if page.batch.met:
        mark_met(cursor, stamp.source, stamp.read_number, page.batch.met)
    if page.reread:
        mark_met(cursor, stamp.source, stamp.read_number, page.reread, MarkKind.REREAD)
    return page, raw_ids


def _leave_out(page: Page, landed: Landed) -> Page:
    """Return the page without the records that the target refuses: they stay refused, or as they are."""
    if not landed.refused:
        return page
    batch, rows = landed.batch, [*page.landed]
    places = {index: place for place, index in enumerate(batch.versions)}
    if not rows:  # present records that are judged again
        batch.counters.unchanged += len(landed.refused)
        batch.counters.quarantined -= len(landed.refused)
    dropped = {raw_id for index, raw_id in page.batch.rewrites.values() if index in landed.refused}
    return replace(
        page,
        batch=batch,
        landed={row: places.get(index) for index, row in enumerate(rows) if index not in landed.refused},
        refused={**page.refused, **{rows[index]: breach for index, breach in landed.refused.items() if rows}},
        reread=[raw_id for raw_id in page.reread if raw_id not in dropped],
    )


def _list_results(page: Page, raw_ids: Sequence[int]) -> dict[int, Result]:
    landed = {
        row: Result(page.external_ids[row], raw_id=raw_ids[index] if index is not None else None)
        for row, index in page.landed.items()
    }
    refused = {row: Result(page.external_ids.get(row), breach) for row, breach in page.refused.items()}
    return landed | refused | {row: Result(None, is_unwanted=True) for row in page.unwanted}
