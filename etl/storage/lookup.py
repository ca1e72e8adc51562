"""Which versions of a batch's records are stored, and whether this read has accepted them already."""

from collections.abc import Iterable
from typing import Any

from etl.readers.base import Source
from etl.record_outcomes import Version
from etl.records import Accepted, Refusal
from etl.storage.marks import find_met, is_marked, load_marks
from etl.storage.transactions import bounded_transaction
from etl.vocabulary import MarkKind

_FIND_STORED = """
    SELECT external_id, id, content_hash, event_timestamp, sequence, raw_id
    FROM unified_records WHERE source = %s AND external_id = ANY(%s)
"""


def find_stored(
    source: Source,
    judged: Iterable[Accepted | Refusal],
    *,
    read_number: int,
    read_sequence: int,
    is_replay: bool = False,
) -> dict[str, Version]:
    """The stored versions of a batch's accepted records, by external id.

    Met are those that the read wrote (by their sequence, `read_sequence` is the one it began at) or marked. For a
    replay, which comes behind the read, those are not that an earlier replay brought from an older read.
    """
    keys = sorted({item.unified.external_id for item in judged if isinstance(item, Accepted)})
    if not keys:
        return {}
    time_digest = source.time_digest()
    # In a transaction for its settings alone: only the fenced one, later, decides whether this still holds.
    with bounded_transaction() as cursor:
        cursor.execute(_FIND_STORED, [source.name, keys])
        rows = cursor.fetchall()
        marks = load_marks(cursor, source.name, read_number, MarkKind.RECORD, [row[1] for row in rows])
        written = {row[5] for row in rows if row[4] > read_sequence}
        if is_replay and written:
            written -= _find_older(cursor, source.name, read_number, written)
    return {
        external_id: Version(
            id=row_id,
            content_hash=bytes(content_hash),
            event_timestamp=event_timestamp if bytes(content_hash).endswith(time_digest) else None,
            is_met=raw_id in written or is_marked(marks, row_id),
        )
        for external_id, row_id, content_hash, event_timestamp, _, raw_id in rows
    }


def _find_older(cursor: Any, source: str, read_number: int, raw_ids: set[int]) -> set[int]:
    """Which of these raw records came out of quarantine without that the read had met them there."""
    cursor.execute("SELECT id, raw_id FROM etl_quarantine WHERE raw_id = ANY(%s)", [sorted(raw_ids)])
    origins = dict(cursor.fetchall())
    met = find_met(cursor, source, read_number, list(origins))
    return {raw_id for row_id, raw_id in origins.items() if row_id not in met}
