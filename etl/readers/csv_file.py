"""Reads CSV files, a header and then records: in columns, or one record at a time where it needs a closer look."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from etl.contracts.contract import Contract
from etl.local_copy import LocalCopy
from etl.readers import content
from etl.readers.copied_content import CopiedContent
from etl.readers.csv_bulk import Run, read_run
from etl.readers.csv_header import read_header
from etl.readers.csv_lines import Lines, read_items
from etl.readers.csv_syntax import CsvSyntax, Layout
from etl.readers.lookalikes import describe_undeclared
from etl.readers.single_records import SLICE_RECORDS, cut
from etl.records import Chunk, Cursor, Record, Refusal, Slice

BLOCK_BYTES = 256 << 10
"""Lines that are read together have at most this size: less than any record that is refused for its length."""

FEW_LINES = 32
"""Number of lines that are read together after a record that had to be read by itself; it doubles with each success."""


@dataclass(slots=True)
class CsvContent(CopiedContent):
    """A copy of a CSV file. A cursor is `{position, line, offset}`, pointing past the last record read.

    At most `slice_lines` lines are read together; with 0, each record is read by itself. A name that the header has
    twice is an error if the contract uses it, or if there is no contract. A page of several (`is_page`) may be empty:
    it has no records.
    """

    copy: LocalCopy
    location: str
    validators: Mapping[str, str] = field(default_factory=dict)
    slice_lines: int = SLICE_RECORDS
    is_proven: bool = True  # a copy of a file has the file's end
    syntax: CsvSyntax = field(default_factory=CsvSyntax)
    contract: type[Contract] | None = None
    is_page: bool = False

    def describe_lookalike(self) -> str:
        return describe_undeclared(self.read_head(), self.syntax)

    def find_columns(self) -> Sequence[str] | None:
        if self.is_page and not self.size:
            return None
        _, layout = self.open()
        return layout.names

    def read(self, cursor: Cursor | None, batch_size: int) -> Iterator[Chunk]:
        if self.is_page and not self.size:
            return iter(())
        lines, layout = self.open()
        if cursor is not None:
            lines.go_to(cursor["offset"], cursor["line"])
        position = cursor["position"] if cursor is not None else 0
        return _Reading(lines, layout, position, self.slice_lines).read_chunks(batch_size)

    def open(self) -> tuple[Lines, Layout]:
        """Return the lines, at the first one after the header, and the layout of their rows. Raises SourceError."""
        return read_header(self.copy, self.syntax, self.location, self.contract)


class _Reading:
    """The records from a place on. After a record that had to be read by itself, runs of lines begin short."""

    def __init__(self, lines: Lines, layout: Layout, position: int, slice_lines: int) -> None:
        self.lines, self.layout, self.position = lines, layout, position
        self.longest = self.ahead = slice_lines
        self.line_bytes = 64
        self.failures = self.singles = 0

    def read_chunks(self, batch_size: int) -> Iterator[Chunk]:
        """Return chunks of at most this size. A chunk ends early with the record that reaches CHUNK_BYTES."""
        return iter(partial(self._read_chunk, batch_size), None)  # keeps no chunk until the next one is read

    def _read_chunk(self, batch_size: int) -> Chunk | None:
        chunk, first, start = _Gathered(), self.position, self.lines.offset
        while (left := first + batch_size - self.position) and (
            room := max(0, start + content.CHUNK_BYTES - self.lines.offset)
        ):
            if not self._read_run(chunk, left, room) and not self._read_one(chunk):
                break
        return chunk.finish(self.lines.describe_cursor(self.position)) if self.position > first else None

    def _read_run(self, chunk: "_Gathered", count: int, size: int) -> bool:
        """Read a run of records of at most this count and size, and return whether there are any."""
        if self.singles:
            self.singles -= 1
            return False
        wanted = min(self.ahead, count)
        lines = self.lines.look_ahead(wanted, min(self.line_bytes * wanted, size, BLOCK_BYTES))
        if not lines:
            self.line_bytes = min(2 * self.line_bytes, BLOCK_BYTES)
            return False
        self.line_bytes = sum(map(len, lines)) * 5 // 4 // len(lines) + 64
        run = read_run(lines, self.layout, self.position, self.lines.line)
        is_whole = run.line_count == len(lines)
        self.ahead = min(self.longest, 2 * self.ahead if is_whole else max(FEW_LINES, 2 * run.line_count))
        if not run.line_count:  # one of many in a broken file: try it again later and later
            self.singles, self.failures = self.failures, min(2 * self.failures + 1, FEW_LINES)
            return False
        self.failures = 0
        self.lines.skip(lines[: run.line_count])
        self.position += len(run)
        chunk.add_run(run)
        return True

    def _read_one(self, chunk: "_Gathered") -> bool:
        """Read one record, in any form, and return whether there was one."""
        item = next(read_items(self.lines, self.layout, self.position), None)
        if item is None:
            return False
        self.position = item.position
        chunk.add_item(item)
        return True


class _Gathered:
    """A chunk in the making; `loose` are records that were read one by one after the last slice."""

    def __init__(self) -> None:
        self.slices: list[Slice] = []
        self.refusals: list[Refusal] = []
        self.loose: list[Record] = []

    def add_run(self, run: Run) -> None:
        self.refusals += run.refusals
        if run.records is not None:
            self._add_loose()
            self.slices.append(run.records)

    def add_item(self, item: Record | Refusal) -> None:
        if isinstance(item, Record):
            self.loose.append(item)
        else:
            self.refusals.append(item)

    def finish(self, cursor: Cursor) -> Chunk:
        self._add_loose()
        return Chunk(self.slices, self.refusals, cursor)

    def _add_loose(self) -> None:
        self.slices += cut(self.loose)
        self.loose = []
