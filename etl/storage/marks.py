"""Marks the unified and quarantine rows that a source's last read has found, as bitmaps of their ids."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from etl.vocabulary import MarkKind

MARK_BLOCK_BITS = 1 << 15
"""Number of rows that a block of 4 KiB covers. The rows of a source have close ids, so a batch touches few blocks."""


def find_met(
    cursor: Any, source: str, read_number: int, rows: Sequence[int], kind: MarkKind = MarkKind.REFUSAL
) -> set[int]:
    """Return which of these rows the read has marked: by default, of `etl_quarantine`, those that it has refused."""
    marks = load_marks(cursor, source, read_number, kind, rows)
    return {row_id for row_id in rows if is_marked(marks, row_id)}


def load_block_after(
    cursor: Any, source: str, read_number: int, kind: MarkKind, after: int
) -> tuple[int, list[int]] | None:
    """Return the number of the next block of marks and the rows that it marks; None after the last one."""
    cursor.execute(
        "SELECT block, bits FROM etl_read_marks"
        " WHERE source = %s AND read_number = %s AND kind = %s AND block > %s ORDER BY block LIMIT 1",
        [source, read_number, kind, after],
    )
    found = cursor.fetchone()
    if found is None:
        return None
    block, bits = found
    return block, list_rows(block, bytearray(bits))


def mark_met(cursor: Any, source: str, read_number: int, rows: Sequence[int], kind: MarkKind = MarkKind.RECORD) -> None:
    """Mark these rows of the kind's table as found by the read, so that this is known after a crash."""
    blocks = load_marks(cursor, source, read_number, kind, rows)
    add_rows(blocks, rows)
    for number in sorted(blocks):
        cursor.execute(
            "INSERT INTO etl_read_marks (source, read_number, kind, block, bits) VALUES (%s, %s, %s, %s, %s)"
            " ON CONFLICT (source, read_number, kind, block) DO UPDATE SET bits = EXCLUDED.bits",
            [source, read_number, kind, number, bytes(blocks[number])],
        )


def drop_marks(cursor: Any, source: str) -> None:
    """Delete the marks of the source's last read, when the next read begins."""
    cursor.execute("DELETE FROM etl_read_marks WHERE source = %s", [source])


def pass_marks_on(cursor: Any, source: str, read_number: int) -> None:
    """Let the marks of the last read count for a read that failed before it found anything: replays go by them."""
    cursor.execute("UPDATE etl_read_marks SET read_number = %s WHERE source = %s", [read_number, source])


def load_marks(cursor: Any, source: str, read_number: int, kind: MarkKind, rows: Sequence[int]) -> dict[int, bytearray]:
    """Return the blocks of marks that cover these rows, by block number."""
    blocks = sorted({row_id // MARK_BLOCK_BITS for row_id in rows})
    if not blocks:
        return {}
    cursor.execute(
        "SELECT block, bits FROM etl_read_marks"
        " WHERE source = %s AND read_number = %s AND kind = %s AND block = ANY(%s)",
        [source, read_number, kind, blocks],
    )
    return {block: bytearray(bits) for block, bits in cursor.fetchall()}


def add_rows(blocks: dict[int, bytearray], rows: Iterable[int]) -> None:
    """Set the bits of these rows. Rows that follow each other are set together: most of a batch's rows do."""
    spans = [sorted(set(rows))]
    while spans:
        span = spans.pop()
        if span and span[-1] - span[0] == len(span) - 1:
            _add_span(blocks, span[0], span[-1])
        elif span:
            middle = len(span) // 2
            spans += [span[:middle], span[middle:]]


def _add_span(blocks: dict[int, bytearray], first: int, last: int) -> None:
    for number, mask in _list_masks(first, last):
        block = blocks.setdefault(number, bytearray(MARK_BLOCK_BITS // 8))
        block[:] = (int.from_bytes(block, "little") | mask).to_bytes(len(block), "little")


def _list_masks(first: int, last: int) -> Iterator[tuple[int, int]]:
    """Yield the number of each block that these rows are in, and their bits there as a number."""
    for number in range(first // MARK_BLOCK_BITS, last // MARK_BLOCK_BITS + 1):
        begin, end = (min(max(row - number * MARK_BLOCK_BITS, 0), MARK_BLOCK_BITS) for row in (first, last + 1))
        yield number, (1 << end) - (1 << begin)


def list_rows(block: int, bits: Iterable[int]) -> list[int]:
    """Return the rows of one block, in order."""
    first = block * MARK_BLOCK_BITS
    return [first + 8 * n + bit for n, byte in enumerate(bits) if byte for bit in range(8) if byte >> bit & 1]


def list_marked(marks: dict[int, bytearray], first: int, last: int) -> list[int]:
    """Return which of these rows, from the first to the last, the read has found."""
    rows: list[int] = []
    for number, mask in _list_masks(first, last):
        bits = int.from_bytes(marks.get(number, b""), "little") & mask
        rows += list_rows(number, bits.to_bytes(MARK_BLOCK_BITS // 8, "little")) if bits else []
    return rows


def is_marked(marks: dict[int, bytearray], row_id: int) -> bool:
    """Whether the read has found this row."""
    block = marks.get(row_id // MARK_BLOCK_BITS)
    place = row_id % MARK_BLOCK_BITS
    return block is not None and bool(block[place >> 3] >> (place & 7) & 1)
