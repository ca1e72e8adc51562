"""Judges records: accepted by the contract, with hashes of content and values, or refused, with their place. Pure."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import replace

from etl.column_judgement import SliceLines, add_slice, refuse
from etl.contracts.own_code import refuse_raised
from etl.contracts.unified import check_result
from etl.copy_text import NULL, escape, join_values
from etl.hashes import NO_TIME_DIGEST, hash_tagged, hash_values
from etl.readers.content_rule import ContentRule
from etl.readers.mapping import write_unified
from etl.readers.source import Source
from etl.records import (
    Accepted,
    Breach,
    Chunk,
    Judged,
    OwnedFields,
    Record,
    Refusal,
    Skipped,
    UnifiedFields,
    Unwanted,
    WrittenLines,
)

Item = Accepted | Refusal | Skipped


class Judge:
    """Judges the records of one source: accepted by its contract, or refused with their place."""

    def __init__(self, source: Source, file: str = "") -> None:
        self.source, self.file = source, file
        self.time_digest, self.no_time_digest = source.time_digest(), source.target_digest() or NO_TIME_DIGEST
        self.rule = ContentRule(source.contract, source.form, source.ignore)

    def judge_chunk(self, chunk: Chunk) -> Judged:
        """Return the chunk's records as a batch's columns, with its refused records in the order of the source."""
        judged = self._judge_chunk(chunk)
        if self.source.takes_origin:  # equal rows are different records, and so are equal refused ones
            judged.refusals = [number_refusal(refusal) for refusal in judged.refusals]
        return judged

    def _judge_chunk(self, chunk: Chunk) -> Judged:
        if not self.source.is_declared:
            return tabulate(self.judge(chunk.items), is_backward=chunk.is_backward)
        judged, lines = Judged(refusals=list(chunk.refusals), is_backward=chunk.is_backward), SliceLines()
        judged.lines = lines
        for part in chunk.slices:
            lines.pieces.append(add_slice(judged, part, self.source, self.rule, self.time_digest, self.file))
        judged.refusals.sort(key=lambda refusal: refusal.position, reverse=chunk.is_backward)
        if self.source.target is not None:
            judged.places = [place for piece in lines.pieces for place in piece.list_places()]
        if judged.refusals:
            _note_late(judged, (place for piece in lines.pieces for place in piece.list_places()))
        return judged

    def judge(self, items: Iterable[Record | Refusal]) -> list[Item]:
        """Return each item's judgement, in the order of the items."""
        return [item if isinstance(item, Refusal) else self._judge(item) for item in items]

    def _judge(self, record: Record) -> Item:
        unified = self._ask_source(record)
        if isinstance(unified, Unwanted):
            return Skipped(record)
        if isinstance(unified, Breach):
            return refuse(self.source, self.rule, record, unified, self.file)
        content, tag = self.rule.encode(record.values)
        (content_hash,) = hash_tagged([content], [tag])
        (values_hash,) = hash_values([describe_values(unified)])
        digest = self.no_time_digest if unified.event_timestamp is None else self.time_digest
        return Accepted(record, unified, content_hash, values_hash + digest)

    def _ask_source(self, record: Record) -> UnifiedFields | Breach | Unwanted:
        if type(self.source).judge is Source.judge:
            return self.source.judge(self.source.add_origin(record, self.file))
        try:
            result = self.source.judge(self.source.add_origin(record, self.file))
            return result if isinstance(result, Unwanted) else check_result(result, "judge")
        except Exception as error:  # noqa: BLE001  (law 13)
            return refuse_raised(error, "judge", self.source.judge)


def number_refusal(refusal: Refusal) -> Refusal:
    """Return the refusal known by its number too."""
    return replace(refusal, key=hashlib.sha256(b"%d:%s" % (refusal.position, refusal.identity)).digest())


def describe_values(unified: UnifiedFields) -> str:
    """Return name, category, value, currency and event time as COPY text; equal values give equal text.

    For a target of its own the text has the staged values.
    """
    if isinstance(unified, OwnedFields):
        return "\t".join(NULL if text is None else escape(text) for text in unified.texts)
    fields = (unified.name, unified.category, unified.value, unified.currency, unified.event_timestamp)
    return join_values(fields)


def tabulate(items: Sequence[Item], *, is_backward: bool = False) -> Judged:
    """Return judged records as columns."""
    judged, lines = Judged(is_backward=is_backward), WrittenLines()
    judged.lines = lines
    for item in items:
        if isinstance(item, Refusal):
            judged.refusals.append(item)
        elif isinstance(item, Skipped):
            judged.skipped += 1
        else:
            _add(judged, lines, item)
    if judged.refusals:
        _note_late(judged, (item.record.position for item in items if isinstance(item, Accepted)))
    return judged


def _note_late(judged: Judged, places: Iterable[int]) -> None:
    """Note which refused records come after an accepted one with the same id; `places` are those of the accepted."""
    refused = {refusal.external_id for refusal in judged.refusals}
    if refused.isdisjoint(judged.external_ids):
        return
    first: dict[str | None, int] = {}
    for external_id, place in zip(judged.external_ids, places, strict=True):
        if external_id in refused:
            first.setdefault(external_id, place)
    step = -1 if judged.is_backward else 1
    judged.refusals = [
        replace(refusal, is_late=step * first.get(refusal.external_id, refusal.position) < step * refusal.position)
        for refusal in judged.refusals
    ]


def _add(judged: Judged, lines: WrittenLines, item: Accepted) -> None:
    unified, record = item.unified, item.record
    judged.external_ids.append(unified.external_id)
    judged.times.append(write_unified(unified.event_timestamp) or "")
    judged.content_hashes.append(item.content_hash)
    judged.values_hashes.append(item.values_hash)
    external_id = escape(unified.external_id)
    lines.raw.append(f"{external_id}\t{record.position}\t{escape(record.payload)}")
    hashes = rf"\\x{item.content_hash}" + "\t" + rf"\\x{item.values_hash}"
    lines.unified.append(f"{external_id}\t{describe_values(unified)}\t{hashes}")
