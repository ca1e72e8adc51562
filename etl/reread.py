"""The path of a present record that is judged again from its raw row, by the current contract, without a request.

present records with their raw rows, page by page ─► judge ─► compare the values
    BEGIN  checkpoint: compare-and-set, or write nothing
           unified: only rows whose values differ; each keeps its raw row ─► counters
    COMMIT

A record that the current contract refuses, skips or gives another id stays as it is: only a read of the source decides.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace

from django.db.models import Q

from etl import landing
from etl.change_detection import classify_reread
from etl.conf import conf
from etl.judgement import Judge, tabulate
from etl.landing import Page
from etl.models import Checkpoint
from etl.readers.source import Source
from etl.records import Accepted, Breach, Cursor, Refusal, Skipped, StoredRefusal
from etl.runs.starting import Started
from etl.storage.present_records import PresentRecord, load_present
from etl.supervision.run_context import RunContext
from etl.vocabulary import BreachCode


@dataclass(frozen=True, slots=True)
class Reached:
    """How far the records are judged: the last external id, and what was left as it is, with the first reason."""

    external_id: str = ""
    left: int = 0
    reason: str = ""

    @classmethod
    def from_cursor(cls, cursor: Cursor | None) -> "Reached | None":
        """Return the place of a run that was handed over; None if it is not yet at the present records."""
        return cls(**cursor) if cursor is not None and "external_id" in cursor else None

    def describe_left(self) -> str:
        """Say which records were left as they are; empty for none."""
        if not self.left:
            return ""
        count = "1 present record keeps its" if self.left == 1 else f"{self.left:,} present records keep their"
        why = "because the current contract does not accept what was stored"
        return f"{count} values, {why}. The first: {self.reason}."


def reread_present(
    source: Source,
    started: Started,
    context: RunContext,
    reached: Reached,
    *,
    batch_number: int,
    report: Callable[[int], None],
) -> Reached:
    """Judge the present records after this place in fenced pages, and return the place of the last.

    `report` takes the number of records of each page. Raises Overtaken or LeaseLost; a page is written as a whole, or
    not at all.
    """
    while records := _load(source, started.checkpoint, reached, context):
        page, reached = _judge(source, records, reached)
        with context.shield():
            landing.land_page(
                started.claim,
                source,
                page,
                read_number=started.checkpoint.read_number,
                batch_number=batch_number,
                user_id=None,
                wait=context.wait,
            )
        context.note_batch()
        batch_number += 1
        report(len(records))
    return reached


def _load(source: Source, checkpoint: Checkpoint, reached: Reached, context: RunContext) -> Sequence[PresentRecord]:
    return context.retry(
        lambda: load_present(
            source.name,
            reached.external_id,
            conf.ETL_BATCH_SIZE,
            read_number=checkpoint.read_number,
            read_sequence=checkpoint.read_sequence,
        )
    )


def _judge(source: Source, records: Sequence[PresentRecord], reached: Reached) -> tuple[Page, Reached]:
    """Return the page of these records, and the place after them."""
    items = [_judge_one(source, record) for record in records]
    known = [(record, item) for record, item in zip(records, items, strict=True) if isinstance(item, Accepted)]
    for record, item in zip(records, items, strict=True):
        if isinstance(item, str):
            reason = reached.reason or f"{record.external_id}: {item}"
            reached = replace(reached, left=reached.left + 1, reason=reason)
    rows = [(record.row_id, record.raw_id, record.values_hash) for record, _ in known]
    batch = classify_reread(tabulate([item for _, item in known]), rows)
    batch.counters.unchanged += len(records) - len(known)
    reached = replace(reached, external_id=records[-1].external_id)
    unmet = [record.raw_id for record in records if not record.is_met and record.row_id in batch.rewrites]
    page = Page(batch, {}, {}, (), {}, reached=asdict(reached), coming=Q(), reread=unmet)
    return page, reached


def _judge_one(source: Source, record: PresentRecord) -> Accepted | str:
    """Judge one record. A text says why it is left as it is."""
    stored = StoredRefusal(record.row_id, record.position, 0, _NO_BREACH, record.payload, record.payload.encode())
    revived = source.revive(stored)
    if revived is None:
        return "its source can't read stored records again"
    for item in Judge(source).judge([revived]):
        if isinstance(item, Skipped):
            break
        if isinstance(item, Refusal):
            return item.breach.message
        if source.takes_origin:  # which file it came from, only its id tells
            return replace(item, unified=replace(item.unified, external_id=record.external_id))
        if item.unified.external_id != record.external_id:
            return f"its id would be {item.unified.external_id}"
        return item
    return "its source skips it now"


_NO_BREACH = Breach(BreachCode.MALFORMED, "")
