"""Records out of JSON text, an array or one value a line, each as the text it was sent as, with its line.

The array is never held whole: a window of the text moves over it, and each element is decoded where it
stands. Numbers stay as written (`Number`), so nothing is rounded on the way to the raw table.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from etl.contracts import Number
from etl.exceptions import SourceError
from etl.readers.snapshot import Snapshot
from etl.records import ORIGINAL_BYTES, Breach, BreachCode, Chunk, Cursor, Original, Record, Refusal

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
MAX_RECORD_BYTES = 1 << 20
WHITE_SPACE = b" \t\r\n"
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*(?P<closed>")?|[{}\[\],]', re.DOTALL)
_BLANK = re.compile(r"[ \t\r\n]*")


@dataclass(slots=True)
class JsonContent:
    """A snapshot of JSON text; a cursor is `{position, line, offset}` behind the last record read."""

    snapshot: Snapshot
    location: str
    must_be_array: bool = False
    validators: Mapping[str, str] = field(default_factory=dict)

    @property
    def fingerprint(self) -> str:
        return self.snapshot.fingerprint

    @property
    def size(self) -> int:
        return self.snapshot.size

    def read(self, cursor: Cursor | None, batch_size: int) -> Iterator[Chunk]:
        start = cursor or {"position": 0, "line": 1, "offset": _skip_mark(self.snapshot.file)}
        is_array = _first_byte(self.snapshot.file) == b"["
        if self.must_be_array and not is_array:
            raise SourceError(f"{self.location} did not send a JSON array.")
        reader = _Array(self, start) if is_array else _Lines(self, start)
        items: list[Record | Refusal] = []
        try:
            for item in reader.read():
                items.append(item)
                if len(items) == batch_size:
                    yield Chunk(items, reader.describe_cursor())
                    items = []
        except SourceError:
            if items:  # what came before the break is good: it lands first
                yield Chunk(items, reader.describe_cursor())
            raise
        if items:
            yield Chunk(items, reader.describe_cursor())


def looks_cut(snapshot: Snapshot) -> bool:
    """Whether the text ends in the middle: an array without its bracket, or a last line that is no JSON."""
    file = snapshot.file
    file.seek(max(0, snapshot.size - MAX_RECORD_BYTES))
    tail = file.read()
    if _first_byte(file) == b"[":
        return not tail.rstrip(WHITE_SPACE).endswith(b"]")
    if tail.endswith(b"\n") or not tail:
        return False
    return not isinstance(_Decoder().decode(tail.rpartition(b"\n")[2].decode(errors="replace")), Mapping)


def _skip_mark(file: BinaryIO) -> int:
    file.seek(0)
    return len(BYTE_ORDER_MARK) if file.read(len(BYTE_ORDER_MARK)) == BYTE_ORDER_MARK else 0


def _first_byte(file: BinaryIO) -> bytes:
    """The first byte that is no white space; empty in an empty file."""
    file.seek(_skip_mark(file))
    while block := file.read(4096):
        if stripped := block.lstrip(WHITE_SPACE):
            return stripped[:1]
    return b""


class _Decoder:
    """Python's JSON decoder, made strict: numbers as text, doubled keys and NaN noticed, no error raised."""

    def __init__(self) -> None:
        self.complaint: Breach | None = None
        self.decoder = json.JSONDecoder(
            object_pairs_hook=self._build, parse_int=Number, parse_float=Number, parse_constant=self._note_constant
        )

    def _build(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        built = dict(pairs)
        if len(built) != len(pairs):
            keys = [key for key, _ in pairs]
            doubled = next(key for key in keys if keys.count(key) > 1)
            self.complaint = Breach(BreachCode.DUPLICATE_KEY, f"names the key {doubled[:60]!r} twice", doubled[:60])
        return built

    def _note_constant(self, word: str) -> None:
        self.complaint = Breach(BreachCode.MALFORMED, f"is no JSON: {word} is not allowed")

    def decode_at(self, text: str, index: int) -> tuple[Any | Breach, int | None]:
        """The value that begins at `index`, or a breach, and the index behind it (None if that is unknown)."""
        self.complaint = None
        try:
            value, end = self.decoder.raw_decode(text, index)
        except RecursionError:
            return Breach(BreachCode.TOO_DEEP, "is nested too deeply"), None
        except json.JSONDecodeError as error:
            message = f"is no JSON: {error.msg} at character {error.pos - index + 1}"
            return Breach(BreachCode.MALFORMED, message), None
        return self.complaint or value, end

    def decode(self, text: str) -> Any | Breach:
        """The one value of a text."""
        index = _end_of_blank(text, 0)
        value, end = self.decode_at(text, index)
        if end is not None and _end_of_blank(text, end) != len(text):
            return Breach(BreachCode.MALFORMED, f"is no JSON: more text at character {end + 1}")
        return value


def _end_of_blank(text: str, index: int) -> int:
    match = _BLANK.match(text, index)
    assert match is not None  # it matches the empty text too
    return match.end()


def _make_item(position: int, line: int, text: str, value: Any | Breach) -> Record | Refusal:
    """`text` may hold bytes that are no UTF-8, as surrogates."""
    try:
        original = text.encode()
    except UnicodeEncodeError:
        breach = Breach(BreachCode.BAD_ENCODING, "is not valid UTF-8")
        return Refusal(position, line, breach, None, Original.of(text.encode(errors="surrogateescape")))
    if isinstance(value, Breach):
        payload = text if value.code is BreachCode.DUPLICATE_KEY else None
        return Refusal(position, line, value, payload, Original.of(original))
    if not isinstance(value, dict):
        return Refusal(
            position, line, Breach(BreachCode.NOT_AN_OBJECT, "is no JSON object"), text, Original.of(original)
        )
    return Record(position, line, value, text, original)


class _Lines:
    """One JSON value a line; blank lines are passed over."""

    def __init__(self, content: JsonContent, start: Cursor) -> None:
        self.file = content.snapshot.file
        self.position, self.line, self.offset = start["position"], start["line"], start["offset"]

    def describe_cursor(self) -> Cursor:
        return {"position": self.position, "line": self.line, "offset": self.offset}

    def read(self) -> Iterator[Record | Refusal]:
        decoder = _Decoder()
        self.file.seek(self.offset)
        while raw := self.file.readline(MAX_RECORD_BYTES):
            item: Record | Refusal | None = None
            if len(raw) == MAX_RECORD_BYTES and not raw.endswith(b"\n"):
                item = self._refuse_long_line(raw)
            else:
                self.offset += len(raw)
                text = raw.strip(WHITE_SPACE).decode(errors="surrogateescape")
                if text:
                    item = _make_item(self.position + 1, self.line, text, decoder.decode(text))
            self.line += 1
            if item is not None:
                self.position += 1
                yield item

    def _refuse_long_line(self, raw: bytes) -> Refusal:
        digest, head = hashlib.sha256(raw), raw[:ORIGINAL_BYTES]
        length = len(raw)
        while not raw.endswith(b"\n") and (raw := self.file.readline(MAX_RECORD_BYTES)):
            digest.update(raw)
            length += len(raw)
        self.offset += length
        breach = Breach(BreachCode.TOO_LONG, f"is longer than {MAX_RECORD_BYTES} bytes")
        return Refusal(self.position + 1, self.line, breach, None, Original(head, length, digest.digest()))


class _Array:
    """The elements of one JSON array, through a window of text that holds at least one whole element."""

    def __init__(self, content: JsonContent, start: Cursor) -> None:
        self.file = content.snapshot.file
        self.location = content.location
        self.position, self.line = start["position"], start["line"]
        self.is_begun = start["position"] > 0
        self.is_complete = bool(start.get("is_complete"))
        self.text, self.index, self.counted = "", 0, 0
        self.offset = start["offset"]  # in bytes, of the window's begin
        self.carry = b""  # the begun character at the window's end
        self.file.seek(self.offset)
        self.is_at_end = False

    def describe_cursor(self) -> Cursor:
        consumed = len(self.text[: self.index].encode(errors="surrogateescape"))
        cursor = {"position": self.position, "line": self._count_lines(), "offset": self.offset + consumed}
        return cursor | ({"is_complete": True} if self.is_complete else {})

    def read(self) -> Iterator[Record | Refusal]:
        decoder = _Decoder()
        if not self.is_begun and not self._go_to_first():
            return
        while not self.is_complete:
            self._skip_blank()
            if self.text[self.index : self.index + 1] == "]":  # behind a last comma: odd, but nothing is missing
                self.index += 1
                self.is_complete = True
                break
            start, line = self.index, self._count_lines()
            value, end = decoder.decode_at(self.text, start)
            if end is None:
                end = self._find_end(start)
            self.index = end
            text = self.text[start:end]
            item = _make_item(self.position + 1, line, text.rstrip(" \t\r\n"), value)
            self._pass_separator()
            self.position += 1
            yield item
        self._skip_blank()
        if self.index < len(self.text):
            raise self._error("there is more text behind the array")

    def _go_to_first(self) -> bool:
        """Pass the opening bracket; False if the array is empty."""
        self._skip_blank()
        self.index += 1
        self._skip_blank()
        if self.text[self.index : self.index + 1] != "]":
            return True
        self.index += 1
        self.is_complete = True
        return False

    def _pass_separator(self) -> None:
        self._skip_blank()
        separator = self.text[self.index : self.index + 1]
        if separator not in (",", "]") or not separator:
            raise self._error("the array ends in the middle" if not separator else "a comma is missing")
        self.index += 1
        self.is_complete = separator == "]"

    def _skip_blank(self) -> None:
        self.index = _end_of_blank(self.text, self.index)
        while len(self.text) - self.index < MAX_RECORD_BYTES and not self.is_at_end:
            self._move_window()
            self.index = _end_of_blank(self.text, self.index)

    def _move_window(self) -> None:
        self._count_lines()
        self.offset += len(self.text[: self.index].encode(errors="surrogateescape"))
        block = self.file.read(MAX_RECORD_BYTES)
        self.is_at_end = not block
        block = self.carry + block
        whole = len(block) if self.is_at_end else _end_of_whole_characters(block)
        block, self.carry = block[:whole], block[whole:]
        self.text = self.text[self.index :] + block.decode(errors="surrogateescape")
        self.index = self.counted = 0

    def _count_lines(self) -> int:
        self.line += self.text.count("\n", self.counted, self.index)
        self.counted = self.index
        return int(self.line)

    def _find_end(self, start: int) -> int:
        """Where an element that is no JSON ends: at the comma or bracket behind it, if brackets and quotes pair."""
        depth = 0
        for token in _TOKEN.finditer(self.text, start):
            mark = token[0]
            if mark[0] == '"' and not token["closed"]:
                break
            if mark in "{[":
                depth += 1
            elif depth == 0 and mark in ",]":
                return token.start()
            elif mark in "}]":
                depth -= 1
        raise self._error("an element is broken, or longer than the limit, and its end can't be found")

    def _error(self, complaint: str) -> SourceError:
        return SourceError(f"{self.location}: line {self._count_lines()}: {complaint}.")


def _end_of_whole_characters(block: bytes) -> int:
    """The length of the block without a UTF-8 character that is only begun at its end."""
    for back in range(1, min(4, len(block)) + 1):
        byte = block[-back]
        if byte < 0x80:
            return len(block)
        if byte >= 0xC0:
            wanted = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            return len(block) - back if wanted > back else len(block)
    return len(block)
