"""Reads CSV files, a header and then records: each with its exact physical line, malformed ones as refusals."""

import csv
import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, ClassVar

from etl.conf import find_base
from etl.contracts.forms import FILE_FORM
from etl.exceptions import SourceError
from etl.local_copy import LocalCopy, copy_file, find_change
from etl.read_context import ReadContext
from etl.readers.content import BYTE_ORDER_MARK, MAX_RECORD_BYTES, Content, Opening, gather_chunks
from etl.readers.source import Source
from etl.records import ORIGINAL_BYTES, Breach, Chunk, Cursor, Original, Record, Refusal, StoredRefusal
from etl.vocabulary import BreachCode, SourceKind

LINE_END = b"\r\n"
"""Not part of a record's original, so a last line that gets its line end later is still the same refused record."""

csv.field_size_limit(MAX_RECORD_BYTES)
_encode = json.JSONEncoder(ensure_ascii=False).encode


class CsvSource(Source):
    """A CSV file (UTF-8, comma, RFC 4180 quotes, a header in its first line) at `path`.

    A relative path starts from the project's folder. Raw records are kept in `raw_csv_data`.
    """

    kind = SourceKind.CSV
    form = FILE_FORM
    path: ClassVar[str]

    @property
    def location(self) -> str:
        return str(find_base() / self.path)

    @contextmanager
    def open(self, opening: Opening, context: ReadContext) -> Iterator[Content | None]:
        with copy_file(Path(self.location)) as copy:
            yield CsvContent(copy, self.location)

    def find_change(self) -> datetime | None:
        return find_change(Path(self.location))

    def revive(self, stored: StoredRefusal) -> Record | Refusal | None:
        """Revive a record from its columns; None for a row of too few or too many, whose column names are unknown."""
        values = json.loads(stored.payload) if stored.payload is not None else None
        if not isinstance(values, dict):
            return None
        return Record(stored.position, stored.line, values, _encode(values), stored.original or b"")


@dataclass(slots=True)
class CsvContent:
    """A copy of a CSV file. A cursor is `{position, line, offset}`, pointing past the last record read."""

    copy: LocalCopy
    location: str
    validators: Mapping[str, str] = field(default_factory=dict)

    @property
    def fingerprint(self) -> str:
        return self.copy.fingerprint

    @property
    def size(self) -> int:
        return self.copy.size

    def read(self, cursor: Cursor | None, batch_size: int) -> Iterator[Chunk]:
        lines = _Lines(self.copy.file)
        header = self._read_header(lines)
        if cursor is not None:
            lines.go_to(cursor["offset"], cursor["line"])
        position = cursor["position"] if cursor is not None else 0
        return gather_chunks(_read_items(lines, header, position), batch_size, lines.describe_cursor)

    def _read_header(self, lines: "_Lines") -> list[str]:
        lines.go_to(0, 0)
        try:
            header = next((row for row in csv.reader(lines, strict=True) if row), [])
        except csv.Error as error:
            raise SourceError(f"{self.location}: the header can't be read: {error}.") from error
        if not header:
            raise SourceError(f"{self.location} is empty: its first line must name the columns.")
        if lines.bad:
            raise SourceError(f"{self.location}: the header is not valid UTF-8.")
        doubled = sorted({name for name in header if header.count(name) > 1})
        if doubled:
            raise SourceError(f"{self.location}: the header names {', '.join(map(repr, doubled))} more than once.")
        return header


class _Lines:
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

    def describe_cursor(self, position: int) -> Cursor:
        """Return where a later read resumes, after the record of this position."""
        return {"position": position, "line": self.line, "offset": self.offset}

    def begin_record(self) -> None:
        self.raw: list[bytes] = []
        self.raw_bytes = 0
        self.bad = False

    def __iter__(self) -> "_Lines":
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


def _read_items(lines: _Lines, header: list[str], position: int) -> Iterator[Record | Refusal]:
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


def _read_row(lines: _Lines, header: list[str], row: list[str], position: int, line: int) -> Record | Refusal:
    original = b"".join(lines.raw).rstrip(LINE_END)
    if len(row) != len(header):
        text = f"has {len(row)} columns, the header names {len(header)}"
        payload = None if lines.bad else _encode(row)
        return Refusal(position, line, Breach(BreachCode.COLUMN_COUNT, text), payload, Original.of(original))
    if lines.bad:
        column = next((name for name, text in zip(header, row, strict=True) if not _is_unicode(text)), "")
        breach = Breach(BreachCode.BAD_ENCODING, f"{column} is not valid UTF-8", column)
        return Refusal(position, line, breach, None, Original.of(original))
    values = dict(zip(header, row, strict=True))
    return Record(position, line, values, _encode(values), original)


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
