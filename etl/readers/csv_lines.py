"""Reads CSV records one by one, each with its exact physical line and bytes, malformed ones as refusals."""

import csv
import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import BinaryIO

from etl.readers.content import BYTE_ORDER_MARK, MAX_RECORD_BYTES
from etl.records import ORIGINAL_BYTES, Breach, Cursor, Original, Record, Refusal
from etl.vocabulary import BreachCode

LINE_END = b"\r\n"
"""Not part of a record's original, so a last line that gets its line end later is still the same refused record."""

csv.field_size_limit(MAX_RECORD_BYTES)
encode = json.JSONEncoder(ensure_ascii=False).encode
"""Returns a record's payload."""


class Lines:
    """Physical lines of a file as strings, for csv.reader, which takes just the lines of one record at a time.

    `raw` collects the bytes of the current record, `offset` and `line` point past the last line read, and `bad` says
    whether a line of the record was not valid UTF-8 (its bytes are kept as surrogates).
    """

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.go_to(0, 0)

    def go_to(self, offset: int, line: int) -> None:
        self.file.seek(offset)
        self.offset, self.line = offset, line
        self.begin_record()

    def look_ahead(self, count: int, size: int) -> list[bytes]:
        """Return at most this many of the next whole lines, without their line feeds, from at most as many bytes."""
        self.file.seek(self.offset)
        block = self.file.read(size)
        self.file.seek(self.offset)
        lines = block.split(b"\n", count)
        rest = lines.pop()
        if rest and len(lines) < count and len(block) < size:
            lines.append(rest)  # the file's last line has none
        return lines

    def skip(self, lines: Sequence[bytes]) -> None:
        """Go past these lines, one or more that `look_ahead` returned."""
        self.file.seek(self.offset + sum(map(len, lines)) + len(lines) - 1)
        line_feed = self.file.read(1)
        self.go_to(self.file.tell(), self.line + len(lines) - 1 + len(line_feed))

    def describe_cursor(self, position: int) -> Cursor:
        """Return where a later read resumes, after the record of this position."""
        return {"position": position, "line": self.line, "offset": self.offset}

    def begin_record(self) -> None:
        self.raw: list[bytes] = []
        self.raw_bytes = 0
        self.bad = False

    def __iter__(self) -> "Lines":
        return self

    def __next__(self) -> str:
        line = self.file.readline(MAX_RECORD_BYTES - self.raw_bytes + 1)
        if not line:
            raise StopIteration
        self.raw.append(line)
        self.raw_bytes += len(line)
        if self.raw_bytes > MAX_RECORD_BYTES:  # before csv.reader treats the truncated line as a record
            raise csv.Error(f"the record is longer than {MAX_RECORD_BYTES} bytes")
        if self.offset == 0 and line.startswith(BYTE_ORDER_MARK):
            self.offset, line = len(BYTE_ORDER_MARK), line[len(BYTE_ORDER_MARK) :]
        self.offset += len(line)
        self.line += line.endswith(b"\n")
        try:
            return line.decode()
        except UnicodeDecodeError:
            self.bad = True
            return line.decode(errors="surrogateescape")

    def take_one_line(self, offset: int, line: int) -> Original:
        """Take only the physical line at this place, of any length: an unclosed quote must not swallow the file."""
        self.file.seek(offset)
        digest, head, length, is_whole = hashlib.sha256(), b"", 0, False
        while not is_whole and (block := self.file.readline(MAX_RECORD_BYTES)):
            is_whole = block.endswith(b"\n")
            content = block.rstrip(LINE_END) if is_whole else block
            digest.update(content)
            head = head or content[:ORIGINAL_BYTES]
            length += len(content)
        self.go_to(self.file.tell(), line + 1)
        return Original(head, length, digest.digest())


def read_items(lines: Lines, header: Sequence[str], position: int) -> Iterator[Record | Refusal]:
    """Yield the items from the next line on; `position` is that of the item before."""
    rows = csv.reader(lines, strict=True)
    while True:
        lines.begin_record()
        first_offset, first_line = lines.offset, lines.line
        try:
            row = next(rows, None)
        except csv.Error as error:
            position += 1
            breach = Breach(BreachCode.MALFORMED, f"is not a valid CSV record: {error}")
            original = lines.take_one_line(first_offset, first_line)
            yield Refusal(position, first_line + 1, breach, None, original)
            continue
        if row is None:
            return
        if row:
            position += 1
            yield _read_row(lines, header, row, position, first_line + 1)


def _read_row(lines: Lines, header: Sequence[str], row: list[str], position: int, line: int) -> Record | Refusal:
    original = b"".join(lines.raw).rstrip(LINE_END)
    if len(row) != len(header):
        refusal = refuse_columns(row, len(header), position, line, original)
        return replace(refusal, payload=None) if lines.bad else refusal
    if lines.bad:
        column = next((name for name, text in zip(header, row, strict=True) if not _is_unicode(text)), "")
        breach = Breach(BreachCode.BAD_ENCODING, f"{column} is not valid UTF-8", column)
        return Refusal(position, line, breach, None, Original.of(original))
    values = dict(zip(header, row, strict=True))
    return Record(position, line, values, encode(values), original)


def refuse_columns(row: Sequence[str], width: int, position: int, line: int, original: bytes) -> Refusal:
    """Return the refusal of a row that does not have a column for each name in the header."""
    breach = Breach(BreachCode.COLUMN_COUNT, f"has {len(row)} columns, the header names {width}")
    return Refusal(position, line, breach, encode(row), Original.of(original))


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
