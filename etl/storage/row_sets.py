"""A set of row ids as bitmaps of blocks. The rows of a source have close ids, so millions of them take a few MiB."""

from collections.abc import Iterable, Iterator, Mapping

from etl.storage.marks import MARK_BLOCK_BITS, add_rows, is_marked, list_rows


class RowSet:
    """Row ids in blocks of `MARK_BLOCK_BITS`, like the marks of a read."""

    __slots__ = ("blocks",)

    def __init__(self, rows: Iterable[int] = ()) -> None:
        self.blocks: dict[int, bytearray] = {}
        self.add(rows)

    def add(self, rows: Iterable[int]) -> None:
        """Add these rows."""
        add_rows(self.blocks, rows)

    def add_blocks(self, blocks: Mapping[int, bytes | bytearray]) -> None:
        """Add all rows that these blocks of marks have."""
        for number, bits in blocks.items():
            former = self.blocks.get(number, b"")
            union = int.from_bytes(bits, "little") | int.from_bytes(former, "little")
            self.blocks[number] = bytearray(union.to_bytes(MARK_BLOCK_BITS // 8, "little"))

    def __contains__(self, row_id: int) -> bool:
        return is_marked(self.blocks, row_id)

    def __len__(self) -> int:
        return sum(int.from_bytes(bits, "little").bit_count() for bits in self.blocks.values())

    def __iter__(self) -> Iterator[int]:
        for number in sorted(self.blocks):
            yield from list_rows(number, self.blocks[number])
