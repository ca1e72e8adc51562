"""Finds which versions of a batch's records are stored, and whether this read has already accepted them."""

from collections.abc import Collection
from typing import Any

from etl.change_detection import Version
from etl.readers.source import Source
from etl.storage.marks import find_met, is_marked, load_marks
from etl.storage.transactions import bounded_transaction
from etl.vocabulary import MarkKind

# The join makes PostgreSQL look up each key in the index, with or without statistics. `= ANY (array)` makes it read
# the source's whole index while the table has no statistics (docs/decisions/0023).
_FIND_STORED = """
    SELECT stored.external_id, id, content_hash, values_hash, event_timestamp, sequence, raw_id
    FROM unnest(%s::text[]) AS wanted (external_id)
    JOIN unified_records AS stored ON stored.source = %s AND stored.external_id = wanted.external_id
"""


def find_stored(
    source: Source,
    external_ids: Collection[str],
    *,
    read_number: int,
    read_sequence: int,
    is_replay: bool = False,
) -> dict[str, Version]:
    """Return the stored versions of these records, by external id.

    `is_met` is true if the read wrote the version (its sequence is above `read_sequence`, the sequence when the read
    began) or marked it. In a replay, which comes after the read, it is false for a version that an earlier replay
    landed from an older read.
    """
    keys = sorted(set(external_ids))
    if not keys:
        return {}
    time_digest = source.time_digest()
    # In a transaction only for its settings: the fenced transaction decides later whether this still holds.
    with bounded_transaction() as cursor:
        cursor.execute(_FIND_STORED, [keys, source.name])
        rows = cursor.fetchall()
        marks = load_marks(cursor, source.name, read_number, MarkKind.RECORD, [row[1] for row in rows])
        written = {row[6] for row in rows if row[5] > read_sequence}
        if is_replay and written:
            written -= _find_older(cursor, source.name, read_number, written)
    return {
        external_id: Version(
            id=row_id,
            raw_id=raw_id,
            content_hash=bytes(content_hash),
            values_hash=bytes(values_hash),
            event_timestamp=event_timestamp if bytes(values_hash).endswith(time_digest) else None,
            is_met=raw_id in written or is_marked(marks, row_id),
        )
        for external_id, row_id, content_hash, values_hash, event_timestamp, _, raw_id in rows
    }


def _find_older(cursor: Any, source: str, read_number: int, raw_ids: set[int]) -> set[int]:
    """Find those of the raw records that came from quarantine rows which the read has not found."""
    cursor.execute("SELECT id, raw_id FROM etl_quarantine WHERE raw_id = ANY(%s)", [sorted(raw_ids)])
    origins = dict(cursor.fetchall())
    met = find_met(cursor, source, read_number, list(origins))
    return {raw_id for row_id, raw_id in origins.items() if row_id not in met}
