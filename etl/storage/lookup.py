"""Finds which versions of a batch's records are stored, and whether this read has already accepted them."""

from collections.abc import Collection, Iterable
from typing import Any

from etl.change_detection import Version
from etl.readers.source import Source
from etl.records import Judged
from etl.storage.marks import find_met, is_marked, load_marks
from etl.storage.transactions import bounded_transaction
from etl.vocabulary import MarkKind

_COLUMNS = "stored.external_id, id, content_hash, values_hash, event_timestamp, sequence, raw_id"
# The join makes PostgreSQL look up each key in the index, with or without statistics. `= ANY (array)` makes it read
# the source's whole index while the table has no statistics (docs/decisions/0023).
_FIND_BY_KEY = f"""
    SELECT {_COLUMNS} FROM unnest(%s::text[]) AS wanted (external_id)
    JOIN unified_records AS stored ON stored.source = %s AND stored.external_id = wanted.external_id
"""
_FIND_BY_ID = f"SELECT {_COLUMNS} FROM unified_records AS stored WHERE id > %s AND id <= %s AND source = %s"

WINDOW = 1.25
"""How many ids are read by their order, for each record of a batch: some of a batch's records may have been refused."""
LEAST_SHARE = 0.5
"""Unless this share of a batch was found by the order of ids, the read goes on by keys."""

Rows = dict[str, tuple[Any, ...]]


class Lookup:
    """Finds the stored versions for the batches of one read, which may be resumed.

    A source's first read needs to look up only the ids that it meets again. A later read usually has its records in the
    order in which they were stored, so a batch's rows have the ids after those of the batch before; that is much
    cheaper than by key. The records that are not among them are looked up by key.
    """

    def __init__(self, source: Source, *, read_number: int, read_sequence: int, is_first: bool) -> None:
        """`is_first`: the source has no records, and this read has landed no batch yet."""
        self.source, self.read_number, self.read_sequence = source, read_number, read_sequence
        self.is_first = is_first
        self.last_id: int | None = None
        self.is_in_order = True

    def find(self, judged: Judged) -> dict[str, Version]:
        """Return the stored versions of a batch's records, by external id, as `find_stored` does."""
        keys = set(self._choose(judged))
        if not keys:
            return {}
        with bounded_transaction() as cursor:
            rows = self._find_in_order(cursor, keys)
            rows |= find_by_key(cursor, self.source.name, keys.difference(rows))
            known = describe_versions(cursor, self.source, rows, self.read_number, self.read_sequence)
        if rows:
            self.last_id = max(row[1] for row in rows.values())
        return known

    def _choose(self, judged: Judged) -> Iterable[str]:
        """Return the ids that may be stored."""
        if self.is_first and judged.repeats is not None:
            return (judged.external_ids[row] for row in judged.repeats)
        return judged.external_ids

    def _find_in_order(self, cursor: Any, keys: Collection[str]) -> Rows:
        """Read the rows after the last batch's, and keep those of this batch."""
        if self.last_id is None or self.is_first or not self.is_in_order:
            return {}
        end = self.last_id + round(len(keys) * WINDOW)
        cursor.execute(_FIND_BY_ID, [self.last_id, end, self.source.name])
        rows = {row[0]: row for row in cursor.fetchall() if row[0] in keys}
        self.is_in_order = len(rows) >= len(keys) * LEAST_SHARE
        return rows


def find_stored(
    source: Source, external_ids: Collection[str], *, read_number: int, read_sequence: int, is_replay: bool = False
) -> dict[str, Version]:
    """Return the stored versions of these records, by external id.

    `is_met` is true if the read wrote the version (its sequence is above `read_sequence`, the sequence when the read
    began) or marked it. In a replay, which comes after the read, it is false for a version that an earlier replay
    landed from an older read.
    """
    if not external_ids:
        return {}
    # In a transaction only for its settings: the fenced transaction decides later whether this still holds.
    with bounded_transaction() as cursor:
        rows = find_by_key(cursor, source.name, external_ids)
        return describe_versions(cursor, source, rows, read_number, read_sequence, is_replay=is_replay)


def find_by_key(cursor: Any, source: str, external_ids: Collection[str]) -> Rows:
    """Return the stored rows of these records, by external id."""
    if not external_ids:
        return {}
    cursor.execute(_FIND_BY_KEY, [sorted(set(external_ids)), source])
    return {row[0]: row for row in cursor.fetchall()}


def describe_versions(
    cursor: Any, source: Source, rows: Rows, read_number: int, read_sequence: int, *, is_replay: bool = False
) -> dict[str, Version]:
    """Return the rows as versions, by external id."""
    time_digest = source.time_digest()
    marks = load_marks(cursor, source.name, read_number, MarkKind.RECORD, [row[1] for row in rows.values()])
    written = {row[6] for row in rows.values() if row[5] > read_sequence}
    if is_replay and written:
        written -= _find_older(cursor, source.name, read_number, written)
    return {
        external_id: Version(
            id=row_id,
            raw_id=raw_id,
            content_hash=bytes(content_hash),
            values_hash=(stored_values := bytes(values_hash)),
            event_timestamp=event_timestamp if stored_values.endswith(time_digest) else None,
            is_met=raw_id in written or is_marked(marks, row_id),
        )
        for external_id, row_id, content_hash, values_hash, event_timestamp, _, raw_id in rows.values()
    }


def _find_older(cursor: Any, source: str, read_number: int, raw_ids: set[int]) -> set[int]:
    """Find those of the raw records that came from quarantine rows which the read has not found."""
    cursor.execute("SELECT id, raw_id FROM etl_quarantine WHERE raw_id = ANY(%s)", [sorted(raw_ids)])
    origins = dict(cursor.fetchall())
    met = find_met(cursor, source, read_number, list(origins))
    return {raw_id for row_id, raw_id in origins.items() if row_id not in met}
