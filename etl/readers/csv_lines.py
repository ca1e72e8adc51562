"""Reads CSV records one by one, each with its exact physical line and bytes, malformed ones as refusals."""

import csv
import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from etl.local_copy import LocalCopy
from etl.readers.content import MAX_RECORD_BYTES
from etl.readers.csv_syntax import Layout, describe_csv_error
from etl.readers.encodings import ESCAPE
from etl.readers.physical_lines import LineCutter
from etl.records import ORIGINAL_BYTES, Breach, Cursor, Original, Record, Refusal
from etl.vocabulary import BreachCode

csv.field_size_limit(MAX_RECORD_BYTES)
encode = json.JSONEncoder(ensure_ascii=False).encode
"""Returns a record's payload."""


@dataclass(frozen=True, slots=True)
class BadByte:
    """The first byte of a record that its encoding does not have; `offset` counts from the record's beginning."""

    byte: int
    offset: int

    def describe(self, encoding: str) -> str:
        return f"is not valid {show_encoding(encoding)}: 0x{self.byte:02X}, byte {self.offset + 1} of the row"


def show_encoding(name: str) -> str:
    return name.upper().removesuffix("-LE").removesuffix("-BE") if name.startswith("utf") else name


class Lines:
    """Physical lines of a file as strings, for csv.reader, which takes just the lines of one record at a time.

    `raw` collects the bytes of the current record, `offset` and `line` point past the last line read, and `bad` is the
    record's first byte that the encoding does not have (such bytes become surrogates). Lines before a record that begin
    with `comment` are given as blank. There are no lines from the offset `end` on.
    """

    def __init__(self, copy: LocalCopy, cutter: LineCutter | None = None, comment: bytes = b"") -> None:
        self.file, self.cutter, self.comment = copy.file, cutter or LineCutter(), comment
        self.encoding, self.width, self.mark = self.cutter.encoding, self.cutter.encoding.width, self.cutter.mark
        byte_order_mark = self.encoding.mark
        self.start = len(byte_order_mark) if byte_order_mark and copy.read_head(4).startswith(byte_order_mark) else 0
        self.end = copy.size
        self.takes_open_end = True  # whether a last line without its end may be read together with others
        self.go_to(self.start, 0)

    def go_to(self, offset: int, line: int) -> None:
        self.file.seek(offset)
        self.offset, self.line = offset, line
        self.begin_record()

    def look_ahead(self, count: int, size: int) -> list[bytes]:
        """Return at most this many of the next whole lines, without their ends, from at most as many bytes."""
        self.file.seek(self.offset)
        block = self.file.read(min(size + size % self.width, self.end - self.offset))
        self.file.seek(self.offset)
        lines = self.cutter.split(block, count)
        rest = lines.pop()
        if self.takes_open_end and rest and len(lines) < count and self.offset + len(block) == self.end:
            lines.append(rest)  # the file's last line has no end
        return lines

    def skip(self, lines: Sequence[bytes]) -> None:
        """Go past these lines, one or more that `look_ahead` returned."""
        after = self.offset + sum(map(len, lines)) + (len(lines) - 1) * self.width
        has_end = after < self.end
        self.go_to(after + has_end * self.width, self.line + len(lines) - 1 + has_end)

    def describe_cursor(self, position: int) -> Cursor:
        """Return where a later read resumes, after the record of this position."""
        return {"position": position, "line": self.line, "offset": self.offset}

    def begin_record(self) -> None:
        self.raw: list[bytes] = []
        self.raw_bytes = 0
        self.bad: BadByte | None = None

    def __iter__(self) -> "Lines":
        return self

    def __next__(self) -> str:
        line = self._read(MAX_RECORD_BYTES - self.raw_bytes + 1)
        if not line:
            raise StopIteration
        if self.comment and not self.raw and line.startswith(self.comment):
            self.skip_line()
            return "\n"
        self.raw.append(line)
        self.raw_bytes += len(line)
        if self.raw_bytes > MAX_RECORD_BYTES:  # before csv.reader treats the truncated line as a record
            raise csv.Error(f"the record is longer than {MAX_RECORD_BYTES} bytes")
        self.offset += len(line)
        self.line += line.endswith(self.mark)
        try:
            return line.decode(self.encoding.name)
        except UnicodeDecodeError as error:
            start = min(error.start, len(line) - 1)
            self.bad = self.bad or BadByte(line[start], self.raw_bytes - len(line) + start)
            return line.decode(self.encoding.name, ESCAPE)

    def _read(self, limit: int) -> bytes:
        return self.cutter.read_line(self.file, min(limit, self.end - self.file.tell()))

    def skip_line(self) -> bool:
        """Go past one line of any length, and return whether there was one."""
        self.file.seek(self.offset)
        has_line = is_whole = False
        while not is_whole and (block := self._read(MAX_RECORD_BYTES)):
            has_line, is_whole = True, block.endswith(self.mark)
        self.go_to(self.file.tell(), self.line + is_whole)
        return has_line

    def take_one_line(self, offset: int, line: int) -> Original:
        """Take only the physical line at this place, of any length: an unclosed quote must not swallow the file."""
        self.file.seek(offset)
        digest, head, length, is_whole = hashlib.sha256(), b"", 0, False
        while not is_whole and (block := self._read(MAX_RECORD_BYTES)):
            is_whole = block.endswith(self.mark)
            content = self.encoding.strip_line_end(block) if is_whole else block
            digest.update(content)
            head = head or content[:ORIGINAL_BYTES]
            length += len(content)
        self.go_to(self.file.tell(), line + 1)
        return Original(head, length, digest.digest())


def read_items(lines: Lines, layout: Layout, position: int) -> Iterator[Record | Refusal]:
    """Yield the items from the next line on; `position` is that of the item before."""
    rows = csv.reader(lines, **layout.parameters)
    while True:
        lines.begin_record()
        first_offset, first_line = lines.offset, lines.line
        try:
            row = next(rows, None)
        except csv.Error as error:
            position += 1
            breach = Breach(BreachCode.MALFORMED, f"is not a valid CSV record: {describe_csv_error(error)}")
            original = lines.take_one_line(first_offset, first_line)
            yield Refusal(position, first_line + 1, breach, None, original)
            continue
        if row is None:
            return
        if row:
            position += 1
            yield _read_row(lines, layout, row, position, first_line + 1)


def _read_row(lines: Lines, layout: Layout, row: list[str], position: int, line: int) -> Record | Refusal:
    original = layout.strip(b"".join(lines.raw))
    cells = layout.fit(row)
    if cells is None:
        refusal = refuse_columns(row, layout, position, line, original)
        return replace(refusal, payload=None) if lines.bad else refusal
    if lines.bad:
        column = next((name for name, text in zip(layout.names, cells, strict=True) if not _is_unicode(text)), "")
        breach = Breach(BreachCode.BAD_ENCODING, f"{column} {lines.bad.describe(lines.encoding.name)}", column)
        return Refusal(position, line, breach, None, Original.of(original))
    values = dict(zip(layout.names, cells, strict=True))
    return Record(position, line, values, encode(values), original)


def refuse_columns(row: Sequence[str], layout: Layout, position: int, line: int, original: bytes) -> Refusal:
    """Return the refusal of a row that does not have a column for each name in the header."""
    breach = Breach(BreachCode.COLUMN_COUNT, f"has {len(row)} columns, the header names {len(layout.names)}")
    return Refusal(position, line, breach, encode(row), Original.of(original))


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
