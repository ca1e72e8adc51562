"""Reads records from JSON text, an array or one value per line; each keeps the text it was sent as, and its line.

An array is never in memory as a whole: a window of text moves over it, and each element is decoded in place. Numbers
stay as written (`Number`), so nothing is rounded on the way to the raw table.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from etl.conf import conf
from etl.contracts.field_type import Number
from etl.exceptions import SourceError
from etl.http.next_pages import report_more_pages
from etl.local_copy import LocalCopy
from etl.readers.content import gather_chunks
from etl.readers.copied_content import CopiedContent
from etl.readers.envelopes import Envelope
from etl.readers.json_array import ArrayReader, has_no_more_text, report_long
from etl.readers.json_decoder import Decoder
from etl.readers.json_path import LINES, Around, Layout, Path, PathNotFound
from etl.readers.json_text import (
    WHITE_SPACE,
    describe_other,
    find_envelope,
    find_start,
    read_head,
    read_last_line,
    report_no_array,
    skip_mark,
)
from etl.readers.json_window import Window
from etl.readers.lookalikes import describe_lookalike
from etl.records import ORIGINAL_BYTES, Chunk, Cursor, Original, Record, Refusal, StoredRefusal

_BLOCK_BYTES = 1 << 20


def accept_all(values: Mapping[str, Any]) -> bool:
    return True


@dataclass(slots=True)
class JsonContent(CopiedContent):
    """A copy of JSON text. A cursor is `{position, line, offset}`, pointing past the last record read.

    `records` is the path to the array, or LINES; without it, the text is an array or lines. `accepts` is the contract's
    judgement, which decides where an array continues after a broken element. Only a page of several (`is_page`) may
    name a next one.
    """

    copy: LocalCopy
    location: str
    must_be_array: bool = False
    validators: Mapping[str, str] = field(default_factory=dict)
    is_proven: bool = True  # a copy of a file has the file's end
    records: Path | Layout | None = None
    accepts: Callable[[Mapping[str, Any]], bool] = accept_all
    is_page: bool = False
    most_bytes: int = field(default_factory=lambda: conf.ETL_MAX_RECORD_BYTES)

    def describe_lookalike(self) -> str:
        return describe_lookalike(self.read_head())

    def find_columns(self) -> None:
        return None

    def read(self, cursor: Cursor | None, batch_size: int) -> Iterator[Chunk]:
        if self.records is LINES:
            return self._read_lines(cursor, batch_size)
        if isinstance(self.records, tuple) and self.records:
            return self._read_array(cursor, batch_size, self._go_to_array(self.records))
        if _first_byte(self.copy) == b"[":
            return self._read_array(cursor, batch_size, None)
        if self.must_be_array or self.records is not None:
            raise SourceError(f"{self.location} did not send a JSON array.")
        return self._read_lines(cursor, batch_size)

    def _read_lines(self, cursor: Cursor | None, batch_size: int) -> Iterator[Chunk]:
        reader = _Lines(self, cursor or {"position": 0, "line": 1, "offset": skip_mark(self.copy.file)})
        return gather_chunks(reader.read(), batch_size, lambda _: reader.describe_cursor())

    def _read_array(self, cursor: Cursor | None, batch_size: int, around: Around | None) -> Iterator[Chunk]:
        window = around.window if around is not None else Window(self.copy.file, skip_mark(self.copy.file))
        start = cursor or {"position": 0, "line": window.line, "offset": window.offset}
        ends_at = around.ends_at if around is not None else has_no_more_text
        reader = ArrayReader(
            self.copy.file, self.location, start, accepts=self.accepts, ends_at=ends_at, most_bytes=self.most_bytes
        )
        return gather_chunks(self._read_to_end(reader, around), batch_size, lambda _: reader.describe_cursor())

    def _read_to_end(self, reader: ArrayReader, around: Around | None) -> Iterator[Record | Refusal]:
        """Yield the elements of the array, then look at what follows it. Raises SourceError."""
        yield from reader.read()
        if around is None:
            if not has_no_more_text(reader.window):  # after an empty array
                raise reader.fail("there is text after the array")
            return
        if not around.leave(reader.window):
            raise reader.fail("the object around the array is cut or broken, or other text follows it")
        if self.is_page:
            return
        if sign := Envelope(around.values, is_whole=True, is_pretty=False).find_next_page():
            raise report_more_pages(self.location, f"its value {sign!r} shows that more follow")

    def _go_to_array(self, path: Path) -> Around:
        try:
            return Around(self.copy.file, find_start(self.copy.file), path)
        except PathNotFound as lack:
            raise report_no_array(self.copy, self.location, path, lack) from None


def revive(stored: StoredRefusal) -> Record | Refusal | None:
    """Decode a refused record from its text like any other; None if the text was truncated and is not valid JSON."""
    if stored.original is not None:
        text = stored.original.decode(errors="surrogateescape")
    elif stored.payload is not None:
        text = stored.payload
    else:
        return None
    if len(text.encode(errors="surrogateescape")) > conf.ETL_MAX_RECORD_BYTES:
        original = Original.of(text.encode(errors="surrogateescape"))
        return Refusal(stored.position, stored.line, report_long(conf.ETL_MAX_RECORD_BYTES), None, original)
    decoder = Decoder()
    value = decoder.decode(text)
    return decoder.make_item(stored.position, stored.line, text, value)


def looks_cut(copy: LocalCopy, records: Path | Layout | None = None) -> bool:
    """Whether the text ends in the middle: an array without closing bracket, or a last line of incomplete JSON."""
    if describe_other(copy):
        return False
    last, is_whole = read_last_line(copy)
    first = _first_byte(copy)
    if isinstance(records, tuple) and records:
        return first == b"{" and not last.endswith(b"}")
    if first == b"[" and records is not LINES:
        return not last.endswith(b"]")
    if (envelope := find_envelope(copy)) is not None:
        return not envelope.is_whole
    if not last:
        return False
    if not is_whole:
        return not last.endswith(b"}")
    value, end = Decoder().decode_at(last.decode(errors="replace"), 0)
    return end is None or isinstance(value, Number)  # 12 may be a truncated 123


def _first_byte(copy: LocalCopy) -> bytes:
    """Return the first byte that is not white space; empty if the file has no such byte."""
    return read_head(copy.file)[:1]


class _Lines:
    """One JSON value per line; blank lines are skipped."""

    def __init__(self, content: JsonContent, start: Cursor) -> None:
        self.file, self.most_bytes = content.copy.file, content.most_bytes
        self.position, self.line, self.offset = start["position"], start["line"], start["offset"]

    def describe_cursor(self) -> Cursor:
        return {"position": self.position, "line": self.line, "offset": self.offset}

    def read(self) -> Iterator[Record | Refusal]:
        decoder, most = Decoder(), self.most_bytes
        self.file.seek(self.offset)
        while raw := self.file.readline(most + 1):
            item: Record | Refusal | None = None
            if len(raw) > most and not raw.endswith(b"\n"):
                item = self._refuse_long_line(raw)
            else:
                self.offset += len(raw)
                text = raw.strip(WHITE_SPACE).decode(errors="surrogateescape")
                if text:
                    item = decoder.make_item(self.position + 1, self.line, text, decoder.decode(text))
            self.line += 1
            if item is not None:
                self.position += 1
                yield item

    def _refuse_long_line(self, raw: bytes) -> Refusal:
        digest, head = hashlib.sha256(raw), raw[:ORIGINAL_BYTES]
        length = len(raw)
        while not raw.endswith(b"\n") and (raw := self.file.readline(_BLOCK_BYTES)):
            digest.update(raw)
            length += len(raw)
        self.offset += length
        original = Original(head, length, digest.digest())
        return Refusal(self.position + 1, self.line, report_long(self.most_bytes), None, original)
