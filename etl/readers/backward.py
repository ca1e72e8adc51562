"""Reads a content from its end, for sources whose last record of an id counts: blocks backwards, records backwards.

Cursors lead only forward, so the content is scanned once for the beginnings of its blocks. A block has at most
BLOCK_RECORDS records and about CHUNK_BYTES for every batch size; only the places of blocks are kept, and about
one block and one batch are in memory. Records and refusals keep the positions and lines that they have in the content.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from etl.readers import content
from etl.readers.content import Content
from etl.readers.single_records import RecordSlice
from etl.records import Chunk, Cursor, Record, Refusal, Slice

BLOCK_RECORDS = 5000


@dataclass(frozen=True, slots=True)
class BackwardSlice:
    """A whole slice with its records in the opposite order."""

    part: Slice

    def __len__(self) -> int:
        return len(self.part)

    def take(self, name: str) -> Sequence[Any]:
        return self.part.take(name)[::-1]

    def list_names(self) -> Sequence[str]:
        return self.part.list_names()

    def list_columns(self) -> Mapping[str, Sequence[Any]] | None:
        columns = self.part.list_columns()
        return {name: column[::-1] for name, column in columns.items()} if columns is not None else None

    def list_contents(self) -> Sequence[bytes]:
        return self.part.list_contents()[::-1]

    def list_places(self) -> Sequence[int]:
        return self.part.list_places()[::-1]

    def list_payloads(self) -> Sequence[str]:
        return self.part.list_payloads()[::-1]

    def make_record(self, index: int) -> Record:
        return self.part.make_record(len(self.part) - 1 - index)


@dataclass(frozen=True, slots=True)
class _Block:
    """Where a block begins, the positions of its first and its last record, and the bytes before and after it."""

    cursor: Cursor | None
    first: int
    last: int
    begin: int
    end: int


def read_backward(forward: Content, cursor: Cursor | None, batch_size: int) -> Iterator[Chunk]:
    """Yield chunks of at most `batch_size` items from the end on, or from before the cursor's position.

    An error in the content is raised before anything is yielded: what it hides could be the versions that count.
    """
    after = cursor["position"] if cursor is not None else None
    if after == 1:
        return
    gathered = _Gathered()
    blocks = list(_find_blocks(forward, after))
    for block in reversed(blocks):
        if gathered.count and gathered.size + block.end - block.begin > content.CHUNK_BYTES:
            yield gathered.finish(forward.size - block.end)
        chunk = _read_block(forward, block)
        high = block.last if after is None else min(block.last, after - 1)
        while high >= block.first:
            low = max(block.first, high - (batch_size - gathered.count) + 1)
            gathered.add(chunk, low, high)
            if gathered.count == batch_size:
                yield gathered.finish(forward.size - (block.begin if low == block.first else block.end))
            high = low - 1
        gathered.size += block.end - block.begin
        del chunk  # before the next one is read
    if gathered.count:
        yield gathered.finish(forward.size)


def _find_blocks(forward: Content, after: int | None) -> Iterator[_Block]:
    """Yield the blocks, up to the one with the record before the position `after`."""
    cursor: Cursor | None = None
    position = begin = 0
    for chunk in forward.read(None, BLOCK_RECORDS):
        last, end = chunk.cursor["position"], chunk.cursor["offset"]
        yield _Block(cursor, position + 1, last, begin, end)
        if after is not None and last >= after - 1:
            return
        cursor, position, begin = chunk.cursor, last, end


def _read_block(forward: Content, block: _Block) -> Chunk:
    """Read a block again: the same reader returns the same records."""
    slices: list[Slice] = []
    refusals: list[Refusal] = []
    for chunk in forward.read(block.cursor, block.last - block.first + 1):
        slices += chunk.slices
        refusals += chunk.refusals
        if chunk.cursor["position"] >= block.last:
            break
    return Chunk(slices, refusals)


@dataclass(slots=True)
class _Gathered:
    """A chunk in the making, with its records in the order of the read."""

    slices: list[Slice] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)
    count: int = 0
    size: int = 0
    lowest: int = 0

    def add(self, chunk: Chunk, low: int, high: int) -> None:
        """Add the records of these positions, both included."""
        for part in reversed(chunk.slices):
            self._add_slice(part, low, high)
        refused = [refusal for refusal in reversed(chunk.refusals) if low <= refusal.position <= high]
        self.refusals += refused
        self.count += high - low + 1
        self.lowest = low

    def _add_slice(self, part: Slice, low: int, high: int) -> None:
        places = part.list_places()
        start, end = bisect_left(places, low), bisect_right(places, high)
        if start == 0 and end == len(part):
            self.slices.append(BackwardSlice(part))
        elif start < end:
            self.slices.append(RecordSlice([part.make_record(index) for index in range(end - 1, start - 1, -1)]))

    def finish(self, offset: int) -> Chunk:
        """Return the chunk, and begin another one. `offset` counts the bytes that are read, from the end."""
        chunk = Chunk(self.slices, self.refusals, {"position": self.lowest, "offset": offset}, is_backward=True)
        self.slices, self.refusals, self.count, self.size = [], [], 0, 0
        return chunk
