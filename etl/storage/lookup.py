"""What is stored of a batch's records, and which of it a read has met already."""

from collections.abc import Iterable, Sequence
from typing import Any

from django.db import connection, transaction

from etl.classification import Version
from etl.readers.base import Source
from etl.records import Accepted, Refusal
from etl.storage.transactions import bound_statements
from etl.vocabulary import MarkKind

MARK_BLOCK_BITS = 1 << 15
"""Rows a block of marks covers: 4 KiB a block. Rows of one source have near ids, so a batch touches few."""

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
    with transaction.atomic(), connection.cursor() as cursor:
        bound_statements(cursor)
        cursor.execute(_FIND_STORED, [source.name, keys])
        rows = cursor.fetchall()
        marks = _load_marks(cursor, source.name, read_number, MarkKind.RECORD, [row[1] for row in rows])
        written = {row[5] for row in rows if row[4] > read_sequence}
        if is_replay and written:
            written -= _find_older(cursor, source.name, read_number, written)
    return {
        external_id: Version(
            id=row_id,
            content_hash=bytes(content_hash),
            event_timestamp=event_timestamp if bytes(content_hash).endswith(time_digest) else None,
            is_met=raw_id in written or _is_marked(marks, row_id),
        )
        for external_id, row_id, content_hash, event_timestamp, _, raw_id in rows
    }


def _find_older(cursor: Any, source: str, read_number: int, raw_ids: set[int]) -> set[int]:
    """Which of these raw records came out of quarantine without that the read had met them there."""
    cursor.execute("SELECT id, raw_id FROM etl_quarantine WHERE raw_id = ANY(%s)", [sorted(raw_ids)])
    origins = dict(cursor.fetchall())
    met = find_met(cursor, source, read_number, list(origins))
    return {raw_id for row_id, raw_id in origins.items() if row_id not in met}


def find_met_refusals(source: str, read_number: int, rows: Sequence[int]) -> set[int]:
    """Which of these rows of `etl_quarantine` the read has refused."""
    with transaction.atomic(), connection.cursor() as cursor:
        bound_statements(cursor)
        return find_met(cursor, source, read_number, rows)


def find_met(cursor: Any, source: str, read_number: int, rows: Sequence[int]) -> set[int]:
    """The same within a transaction."""
    marks = _load_marks(cursor, source, read_number, MarkKind.REFUSAL, rows)
    return {row_id for row_id in rows if _is_marked(marks, row_id)}


def mark_met(cursor: Any, source: str, read_number: int, rows: Sequence[int], kind: MarkKind = MarkKind.RECORD) -> None:
    """Remember that the read has met these rows of the kind's table, so that a crash does not forget it."""
    blocks = _load_marks(cursor, source, read_number, kind, rows)
    for row_id in rows:
        block = blocks.setdefault(row_id // MARK_BLOCK_BITS, bytearray(MARK_BLOCK_BITS // 8))
        place = row_id % MARK_BLOCK_BITS
        block[place >> 3] |= 1 << (place & 7)
    for number in sorted(blocks):
        cursor.execute(
            "INSERT INTO etl_read_marks (source, read_number, kind, block, bits) VALUES (%s, %s, %s, %s, %s)"
            " ON CONFLICT (source, read_number, kind, block) DO UPDATE SET bits = EXCLUDED.bits",
            [source, read_number, kind, number, bytes(blocks[number])],
        )


def drop_marks(cursor: Any, source: str) -> None:
    """Forget what the source's last read has met; the next one begins."""
    cursor.execute("DELETE FROM etl_read_marks WHERE source = %s", [source])


def _load_marks(
    cursor: Any, source: str, read_number: int, kind: MarkKind, rows: Sequence[int]
) -> dict[int, bytearray]:
    blocks = sorted({row_id // MARK_BLOCK_BITS for row_id in rows})
    if not blocks:
        return {}
    cursor.execute(
        "SELECT block, bits FROM etl_read_marks"
        " WHERE source = %s AND read_number = %s AND kind = %s AND block = ANY(%s)",
        [source, read_number, kind, blocks],
    )
    return {block: bytearray(bits) for block, bits in cursor.fetchall()}


def _is_marked(marks: dict[int, bytearray], row_id: int) -> bool:
    block = marks.get(row_id // MARK_BLOCK_BITS)
    place = row_id % MARK_BLOCK_BITS
    return block is not None and bool(block[place >> 3] >> (place & 7) & 1)
