"""Slices of records that were read one by one: the plain form, for any reader."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from etl.readers.canonical import encode_canonically
from etl.records import Chunk, Cursor, Record, Refusal, Slice

SLICE_RECORDS = 1000
"""Slices of this length stay in the processor's cache, and Python's allocator reuses their memory."""


@dataclass(frozen=True, slots=True)
class RecordSlice:
    """Records that were read one by one."""

    records: Sequence[Record]

    def __len__(self) -> int:
        return len(self.records)

    def take(self, name: str) -> Sequence[Any]:
        return [record.values.get(name) for record in self.records]

    def list_names(self) -> Sequence[str]:
        return list(self.records[0].values) if self.records else []

    def list_columns(self) -> Mapping[str, Sequence[Any]] | None:
        return None

    def list_contents(self) -> Sequence[bytes]:
        return [encode_canonically(record.values) for record in self.records]

    def list_places(self) -> Sequence[int]:
        return [record.position for record in self.records]

    def list_payloads(self) -> Sequence[str]:
        return [record.payload for record in self.records]

    def make_record(self, index: int) -> Record:
        return self.records[index]


def make_chunk(items: Iterable[Record | Refusal], cursor: Cursor) -> Chunk:
    """Make a chunk of items that were read one by one."""
    taken = list(items)
    records = [item for item in taken if isinstance(item, Record)]
    return Chunk(list(cut(records)), [item for item in taken if isinstance(item, Refusal)], cursor)


def cut(records: Sequence[Record]) -> Iterator[Slice]:
    """Cut the records into slices."""
    for start in range(0, len(records), SLICE_RECORDS):
        yield RecordSlice(records[start : start + SLICE_RECORDS])
