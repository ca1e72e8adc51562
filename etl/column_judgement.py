"""Judges records column by column: what judging them one by one gives, but fast. For declared sources. Pure."""

from bisect import bisect_left
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import repeat
from operator import add
from typing import TypeVar, cast

from etl.contracts.forms import is_text
from etl.copy_text import NULL, escape, escape_column
from etl.hashes import NO_TIME_DIGEST, hash_tagged, hash_values
from etl.readers.content_rule import ContentRule
from etl.readers.mapping import (
    FILE_NAME,
    ROW_NUMBER,
    TEXT_LIMITS,
    Column,
    find_null_parts,
    find_unfit,
    list_own_targets,
    take_column,
    write_unified,
)
from etl.readers.parsed_values import list_values
from etl.readers.source import Source
from etl.records import Breach, Judged, Record, Refusal, Slice, UnifiedFields, WrittenLines

FEW = 20
"""If at most a twentieth of a slice is written, payloads are made one by one."""

UNIFIED_VALUES = ("name", "category", "value", "currency", "event_timestamp")

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Piece:
    """The accepted records of a slice: their rows in it, and the parts of their lines."""

    part: Slice
    rows: Sequence[int]
    external_ids: Sequence[str]
    values: Sequence[str]
    content_hashes: Sequence[str]
    values_hashes: Sequence[str]

    def write(self, lines: WrittenLines, indexes: Sequence[int]) -> None:
        """Add the lines of these accepted records."""
        rows = _pick(self.rows, indexes)
        external_ids = escape_column(_pick(self.external_ids, indexes))
        payloads, places = escape_column(self._list_payloads(rows)), _pick(self.part.list_places(), rows)
        columns = (_pick(column, indexes) for column in (self.values, self.content_hashes, self.values_hashes))
        lines.raw += [
            f"{external_id}\t{place}\t{payload}"
            for external_id, place, payload in zip(external_ids, places, payloads, strict=True)
        ]
        lines.unified += [
            f"{external_id}\t{values}\t\\\\x{content_hash}\t\\\\x{values_hash}"
            for external_id, values, content_hash, values_hash in zip(external_ids, *columns, strict=True)
        ]

    def list_places(self) -> Sequence[int]:
        """Return each record's position in the read."""
        return _pick(self.part.list_places(), self.rows)

    def _list_payloads(self, rows: Sequence[int]) -> Sequence[str]:
        if len(rows) * FEW <= len(self.part):
            return [self.part.make_record(row).payload for row in rows]
        return _pick(self.part.list_payloads(), rows)


def _pick(column: Sequence[Item], indexes: Sequence[int]) -> Sequence[Item]:
    return column if len(column) == len(indexes) else [column[index] for index in indexes]


@dataclass(slots=True)
class SliceLines:
    """Lines that are written only for the records that need them: in most reads few have changed."""

    pieces: list[Piece] = field(default_factory=list)

    def write(self, rows: Sequence[int]) -> WrittenLines:
        """Write the lines of these records, whose rows ascend."""
        lines, begin, position = WrittenLines(), 0, 0
        for piece in self.pieces:
            end = begin + len(piece.rows)
            after = bisect_left(rows, end, position)
            if after > position:
                piece.write(lines, [row - begin for row in rows[position:after]])
            begin, position = end, after
        return lines

    def write_again(self, rows: Sequence[int]) -> WrittenLines:
        """Do the same: the slices are still here."""
        return self.write(rows)

    def make_records(self, rows: Sequence[int]) -> list[Record]:
        """Return these records as they were sent."""
        sent = [(piece.part, row) for piece in self.pieces for row in piece.rows]
        return [part.make_record(row) for part, row in map(sent.__getitem__, rows)]

    def drain(self) -> Iterator[WrittenLines]:
        """Write the lines of all records slice by slice, and drop each slice as its lines are written."""
        self.pieces.reverse()
        while self.pieces:
            piece, lines = self.pieces.pop(), WrittenLines()
            piece.write(lines, range(len(piece.rows)))
            yield lines


def add_slice(
    judged: Judged, part: Slice, source: Source, rule: ContentRule, time_digest: str, file: str = ""
) -> Piece:
    """Judge the slice's records, and add the accepted ones to the columns and the refused ones to the refusals.

    `file` is the name of their file, if the source has several. Returns the parts of the accepted records' lines.
    """
    texts, breaches = source.contract.judge_columns(part.take, len(part), source.local_form, names=part.list_names())
    if source.takes_origin:
        texts[FILE_NAME.key] = [file] * len(part)
        texts[ROW_NUMBER.key] = [str(place) for place in part.list_places()]
    unwanted = _find_unwanted(source, part, breaches)
    columns = {target: take_column(mapped, texts, len(part)) for target, mapped in source.unified.items()}
    names: Sequence[str] = UNIFIED_VALUES
    no_time = source.target_digest() or NO_TIME_DIGEST
    if source.target is not None:
        staged, broken = source.target.take_columns(texts, part, source.local_form)
        names, breaches = [f"value {place}" for place in range(len(staged))], broken | breaches
        columns |= dict(zip(names, staged, strict=True))
    breaches = _find_null_parts(source, texts, columns) | breaches
    _check_own_targets(source, part, columns, breaches, unwanted, file)
    for row, breach in _find_long_texts(source, columns).items():
        breaches.setdefault(row, breach)
    (contents, tags), rows = rule.list_contents(part), range(len(part))
    if not breaches and not unwanted:
        return _add_accepted(judged, part, rows, columns, hash_tagged(contents, tags), time_digest, names, no_time)
    for row in sorted(breaches.keys() - unwanted):
        judged.refusals.append(refuse(source, rule, part.make_record(row), breaches[row], file))
    judged.skipped += len(unwanted)
    left_out = sorted(breaches.keys() | unwanted)
    columns = {target: _drop_rows(column, left_out) for target, column in columns.items()}
    good_rows, contents = _drop_rows(rows, left_out), _drop_rows(contents, left_out)
    content_hashes = hash_tagged(contents, _drop_rows(tags, left_out) if tags is not None else None)
    return _add_accepted(judged, part, good_rows, columns, content_hashes, time_digest, names, no_time)


def _drop_rows(column: Sequence[Item], rows: Sequence[int]) -> list[Item]:
    """Return the column without these rows, which ascend."""
    kept = list(column)
    for row in reversed(rows):  # of few records: much faster than to choose each that is kept
        del kept[row]
    return kept


def refuse(source: Source, rule: ContentRule, record: Record, breach: Breach, file: str) -> Refusal:
    """Return the refusal of a well-formed record, with its id if that can be parsed."""
    external_id = source.find_external_id(source.add_origin(record, file))
    return Refusal.of(record, breach, external_id, rule.find_key(record.values))


def _find_unwanted(source: Source, part: Slice, breaches: dict[int, Breach]) -> frozenset[int]:
    """Return the rows that the source does not want, of those without breach. A `skips` that fails adds a breach."""
    if not source.has_skips:
        return frozenset()
    verdicts = {
        row: source.is_unwanted(values)
        for row, values in enumerate(list_values(source.contract, part, source.local_form))
        if row not in breaches
    }
    breaches |= {row: verdict for row, verdict in verdicts.items() if isinstance(verdict, Breach)}
    return frozenset(row for row, verdict in verdicts.items() if verdict is True)


def _check_own_targets(
    source: Source,
    part: Slice,
    columns: dict[str, Column],
    breaches: dict[int, Breach],
    unwanted: Collection[int],
    file: str,
) -> None:
    """Judge by itself each record for which a field type of the source's own gives a text of another form."""
    for target in list_own_targets(source.contract, source.unified):
        texts = [*columns[target]]
        for row in find_unfit(target, texts):
            if row in breaches or row in unwanted:
                continue
            unified = source.judge(source.add_origin(part.make_record(row), file))
            if isinstance(unified, Breach):
                breaches[row] = unified
            elif isinstance(unified, UnifiedFields):
                texts[row] = write_unified(getattr(unified, target))
        columns[target] = texts


def _find_null_parts(source: Source, texts: Mapping[str, Column], columns: Mapping[str, Column]) -> dict[int, Breach]:
    """Find the rows whose id has a null part. They may include refused rows, whose `texts` have no meaning."""
    mapped = source.unified["external_id"]
    if not isinstance(mapped, tuple):
        return {}
    return find_null_parts(source.contract, mapped, "external_id", texts, columns["external_id"])


def _find_long_texts(source: Source, columns: Mapping[str, Column]) -> dict[int, Breach]:
    """Find the rows with a text that is too long for its unified field. If a record has two, the first counts."""
    breaches: dict[int, Breach] = {}
    for target, limit in TEXT_LIMITS.items():
        column = columns.get(target, ())
        if max(map(len, filter(None, column)), default=0) > limit:
            for row, text in enumerate(column):
                if text is not None and len(text) > limit:
                    breaches.setdefault(row, source.report_long_text(target, len(text)))
    return breaches


def _add_accepted(
    judged: Judged,
    part: Slice,
    rows: Sequence[int],
    columns: Mapping[str, Column],
    content_hashes: list[str],
    time_digest: str,
    names: Sequence[str],
    no_time_digest: str,
) -> Piece:
    external_ids = cast("list[str]", [*columns["external_id"]])  # it is a required field
    values = _join_values(columns, names, len(external_ids))
    digests: Iterable[str] = repeat(no_time_digest)
    times = [""] * len(external_ids)
    if "event_timestamp" in columns:
        times = [time or "" for time in columns["event_timestamp"]]
        digests = [time_digest if time else no_time_digest for time in times]
    values_hashes = list(map(add, hash_values(values), digests))
    judged.external_ids += external_ids
    judged.times += times
    judged.content_hashes += content_hashes
    judged.values_hashes += values_hashes
    return Piece(part, rows, external_ids, values, content_hashes, values_hashes)


def _join_values(columns: Mapping[str, Column], names: Sequence[str], count: int) -> list[str]:
    """Return the values of each record as COPY text."""
    shown = [_show(columns[name]) if name in columns else [NULL] * count for name in names]
    return list(map("\t".join, zip(*shown, strict=True)))


def _show(column: Column) -> Sequence[str]:
    """Return the column as COPY text."""
    if is_text(column):
        return escape_column(cast("Sequence[str]", column))
    return [NULL if text is None else escape(text) for text in column]
