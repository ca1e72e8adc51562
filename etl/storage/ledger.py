"""The ledger: which records have landed, by source and external id, and which of them a read has already found.

`unified_records` is ledger and values in one. Other ledgers need the columns that the statements here name.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from etl.change_detection import Stored, Version
from etl.readers.source import Source
from etl.records import Judged
from etl.storage.former_rules import hash_by_todays_rule
from etl.storage.marks import find_met, is_marked, list_marked, load_marks
from etl.storage.transactions import bounded_transaction
from etl.vocabulary import MarkKind

# LIMIT makes PostgreSQL look up each key in the index. With a plain join or `= ANY (array)` it reads the source's whole
# index while the table has no statistics, as soon as the keys are few (docs/decisions/0025).
_FIND_BY_KEY = """
    SELECT stored.external_id, id, encode(content_hash, 'hex'), encode(values_hash, 'hex'), event_timestamp, sequence,
        raw_id, removed_at IS NOT NULL
    FROM unnest(%s::text[]) AS wanted (external_id) CROSS JOIN LATERAL (
        SELECT * FROM {ledger} WHERE source = %s AND external_id = wanted.external_id LIMIT 1
    ) AS stored
"""
# A few long values arrive several times as fast as three short ones for each row. Most spans have no gap in their ids.
_FIND_UNMET = """
    SELECT count(*), min(id), CASE WHEN max(id) - min(id) >= count(*) THEN array_agg(id ORDER BY id) END,
        string_agg(encode(content_hash || values_hash, 'hex') || ' ' || external_id, E'\n' ORDER BY id)
    FROM {ledger} WHERE id > %s AND id <= %s AND source = %s AND sequence <= %s AND removed_at IS NULL
"""

WINDOW = 1.25
"""At most this many ids are read by their order for each record of a batch: other sources and refusals leave gaps."""
MARGIN = 1.05
"""How many more ids are read than the last batch's rows lie apart."""
OUTLIERS = 50
"""A fiftieth of a batch's rows may come before the others, and a fiftieth after them: repeated and late records."""

UNIFIED = "unified_records"

Rows = dict[str, tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class Spans:
    """Spans of a source's sequence, each from after its first number to its last one. They ascend and don't overlap."""

    firsts: Sequence[int] = ()
    lasts: Sequence[int] = ()

    def cover(self, sequence: int) -> bool:
        """Whether the number is in one of the spans."""
        place = bisect_left(self.lasts, sequence)
        return place < len(self.lasts) and self.firsts[place] < sequence


NO_SPANS = Spans()


class Lookup:
    """Finds the stored versions for the batches of one read, which may be resumed.

    A source's first read needs to look up only the ids that it meets again. A later read usually has its records in the
    order in which they were stored, and unchanged: their rows have the ids after those of the batch before, which is
    much cheaper than by key. All other records are looked up by key.
    """

    def __init__(
        self,
        source: Source,
        *,
        read_number: int,
        read_sequence: int,
        is_first: bool,
        ledger: str = UNIFIED,
        later_files: Spans = NO_SPANS,
    ) -> None:
        """`is_first`: the source has no records, removed ones included, and this read has landed no batch yet.

        `later_files`: the spans of the source's sequence in which files after the one that is read were landed.
        """
        self.source, self.read_number, self.read_sequence = source, read_number, read_sequence
        self.later_files = later_files
        self.is_first, self.ledger = is_first, ledger
        self.last_id: int | None = None
        self.is_in_order = False
        self.spacing = WINDOW

    def find(self, judged: Judged) -> Stored:
        """Return the stored versions of a batch's records."""
        keys = set(self._choose(judged))
        if not keys:
            return Stored()
        with bounded_transaction() as cursor:
            unchanged = self._find_unchanged(cursor, judged, has_repeats=len(keys) < len(judged))
            rows = find_by_key(cursor, self.ledger, self.source.name, keys.difference(unchanged))
            rows = hash_by_todays_rule(cursor, self.source, rows, judged)
            known = describe_versions(
                cursor, self.source, rows, self.read_number, self.read_sequence, later_files=self.later_files
            )
        self._note_order([*unchanged.values(), *(row[1] for row in rows.values())])
        return Stored(known, unchanged)

    def _note_order(self, found: Sequence[int]) -> None:
        """Note where the next batch's rows begin, if this batch's rows are together, after those of the last one."""
        inner = sorted(found)[len(found) // OUTLIERS : len(found) - len(found) // OUTLIERS]
        if not inner:
            return
        is_dense = inner[-1] - inner[0] < len(found) * WINDOW
        self.is_in_order = is_dense and (self.last_id is None or inner[0] > self.last_id)
        self.spacing = min(WINDOW, MARGIN * (inner[-1] - inner[0] + 1) / len(inner))
        self.last_id = inner[-1]

    def _choose(self, judged: Judged) -> Iterable[str]:
        """Return the ids that may be stored."""
        if self.is_first and judged.repeats is not None:
            return (judged.external_ids[row] for row in judged.repeats)
        return judged.external_ids

    def _find_unchanged(self, cursor: Any, judged: Judged, *, has_repeats: bool) -> dict[str, int]:
        """Read the rows after the last batch's, and return those of records that this batch sends unchanged."""
        if self.last_id is None or self.is_first or not self.is_in_order:
            return {}
        end = self.last_id + round(len(judged) * self.spacing)
        unchanged = self._read_unchanged(cursor, judged, end)
        marks = load_marks(cursor, self.source.name, self.read_number, MarkKind.RECORD, [*unchanged.values()])
        if met := {*list_marked(marks, self.last_id + 1, end)}:
            unchanged = {each: row_id for each, row_id in unchanged.items() if row_id not in met}
        if has_repeats:  # records with the same id are compared one after the other
            for external_id in list_repeated(judged.external_ids):
                unchanged.pop(external_id, None)
        return unchanged

    def _read_unchanged(self, cursor: Any, judged: Judged, end: int) -> dict[str, int]:
        """Return the rows up to this one that have an id and the hashes of a record of the batch."""
        span = [self.last_id, end, self.source.name, self.read_sequence]
        cursor.execute(_FIND_UNMET.format(ledger=self.ledger), span)
        count, first, ids, text = cursor.fetchone()
        lines = text.split("\n") if count else []
        if len(lines) != count:  # an id has a line break: all are looked up by key
            return {}
        columns = zip(judged.content_hashes, judged.values_hashes, judged.external_ids, strict=True)
        sent = dict(zip(map("%s%s %s".__mod__, columns), judged.external_ids, strict=True))
        found = zip(map(sent.get, lines), ids or range(first or 0, (first or 0) + count), strict=True)
        return {external_id: row_id for external_id, row_id in found if external_id is not None}


def list_repeated(external_ids: Iterable[str]) -> list[str]:
    """Return the ids that occur more than once."""
    return [external_id for external_id, count in Counter(external_ids).items() if count > 1]


def find_stored(
    source: Source,
    judged: Judged,
    *,
    read_number: int,
    read_sequence: int,
    is_replay: bool = False,
    ledger: str = UNIFIED,
) -> dict[str, Version]:
    """Return the stored versions of these accepted records, by external id.

    `is_met` is true if the read wrote the version (its sequence is above `read_sequence`, the sequence when the read
    began) or marked it. In a replay, which comes after the read, it is false for a version that an earlier replay
    landed from an older read. It is false for a removed record.
    """
    if not judged.external_ids:
        return {}
    # In a transaction only for its settings: the fenced transaction decides later whether this still holds.
    with bounded_transaction() as cursor:
        rows = find_by_key(cursor, ledger, source.name, judged.external_ids)
        rows = hash_by_todays_rule(cursor, source, rows, judged)
        return describe_versions(cursor, source, rows, read_number, read_sequence, is_replay=is_replay)


def find_accepted(
    cursor: Any,
    source: str,
    external_ids: Collection[str],
    *,
    read_number: int,
    read_sequence: int,
    ledger: str = UNIFIED,
) -> set[str]:
    """Return those of the ids with which this read has accepted a record so far, even one older than the stored one."""
    present = [row for row in find_by_key(cursor, ledger, source, external_ids).values() if not row[7]]
    ids = [row[1] for row in present]
    met = find_met(cursor, source, read_number, ids, MarkKind.RECORD)
    met |= find_met(cursor, source, read_number, ids, MarkKind.PRESENT)
    return {row[0] for row in present if row[5] > read_sequence or row[1] in met}


def find_by_key(cursor: Any, ledger: str, source: str, external_ids: Collection[str]) -> Rows:
    """Return the stored rows of these records, by external id."""
    if not external_ids:
        return {}
    cursor.execute(_FIND_BY_KEY.format(ledger=ledger), [sorted(set(external_ids)), source])
    return {row[0]: row for row in cursor.fetchall()}


def describe_versions(
    cursor: Any,
    source: Source,
    rows: Rows,
    read_number: int,
    read_sequence: int,
    *,
    is_replay: bool = False,
    later_files: Spans = NO_SPANS,
) -> dict[str, Version]:
    """Return the rows as versions, by external id."""
    time_digest = source.time_digest()
    marks = load_marks(cursor, source.name, read_number, MarkKind.RECORD, [row[1] for row in rows.values()])
    written = {row[6] for row in rows.values() if row[5] > read_sequence and not row[7]}
    if is_replay and written:
        written -= _find_older(cursor, source.name, read_number, written)
        written -= find_met(cursor, source.name, read_number, list(written), MarkKind.REREAD)
    return {
        external_id: Version(
            id=row_id,
            raw_id=raw_id,
            content_hash=content_hash,
            values_hash=values_hash,
            event_timestamp=event_timestamp if values_hash.endswith(time_digest) else None,
            is_met=not is_removed and (raw_id in written or is_marked(marks, row_id)),
            is_removed=is_removed,
            is_of_later_file=later_files.cover(sequence),
        )
        for external_id, row_id, content_hash, values_hash, event_timestamp, sequence, raw_id, is_removed in (
            rows.values()
        )
    }


def _find_older(cursor: Any, source: str, read_number: int, raw_ids: set[int]) -> set[int]:
    """Find those of the raw records that came from quarantine rows which the read has not found."""
    cursor.execute("SELECT id, raw_id FROM etl_quarantine WHERE raw_id = ANY(%s)", [sorted(raw_ids)])
    origins = dict(cursor.fetchall())
    met = find_met(cursor, source, read_number, list(origins))
    return {raw_id for row_id, raw_id in origins.items() if row_id not in met}
