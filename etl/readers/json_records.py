"""Reads records from JSON text, an array or one value per line; each keeps the text it was sent as, and its line.

An array is never in memory as a whole: a window of text moves over it, and each element is decoded in place. Numbers
stay as written (`Number`), so nothing is rounded on the way to the raw table.
"""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from etl.contracts.field_type import Number
from etl.exceptions import SourceError
from etl.local_copy import LocalCopy
from etl.readers.content import BYTE_ORDER_MARK, MAX_RECORD_BYTES, gather_chunks
from etl.readers.json_text import WHITE_SPACE, describe_other, find_envelope, read_head, read_last_line
from etl.readers.lookalikes import HEAD_BYTES, describe_lookalike
from etl.records import ORIGINAL_BYTES, Breach, Chunk, Cursor, Original, Record, Refusal, StoredRefusal
from etl.vocabulary import BreachCode

MAX_DEPTH = 200
"""Levels of nested objects and arrays. The limit is fixed because Python's depends on the caller and fails late."""
_TOKEN = re.compile(r'"(?:[^"\\]++|\\.)*+(?P<closed>")?|[{}\[\],]', re.DOTALL)
_BLANK = re.compile(r"[ \t\r\n]*")


@dataclass(slots=True)
class JsonContent:
    """A copy of JSON text. A cursor is `{position, line, offset}`, pointing past the last record read."""

    copy: LocalCopy
    location: str
    must_be_array: bool = False
    validators: Mapping[str, str] = field(default_factory=dict)
    is_proven: bool = True  # a copy of a file has the file's end

    @property
    def fingerprint(self) -> str:
        return self.copy.fingerprint

    @property
    def size(self) -> int:
        return self.copy.size

    @property
    def file(self) -> str:
        return self.copy.name

    def read_head(self) -> bytes:
        return self.copy.read_head(HEAD_BYTES)

    def describe_lookalike(self) -> str:
        return describe_lookalike(self.read_head())

    def find_columns(self) -> None:
        return None

    def read(self, cursor: Cursor | None, batch_size: int) -> Iterator[Chunk]:
        start = cursor or {"position": 0, "line": 1, "offset": _skip_mark(self.copy.file)}
        is_array = _first_byte(self.copy.file) == b"["
        if self.must_be_array and not is_array:
            raise SourceError(f"{self.location} did not send a JSON array.")
        reader = _Array(self, start) if is_array else _Lines(self, start)
        return gather_chunks(reader.read(), batch_size, lambda _: reader.describe_cursor())


def revive(stored: StoredRefusal) -> Record | Refusal | None:
    """Decode a refused record from its text like any other; None if the text was truncated and is not valid JSON."""
    text = stored.original.decode(errors="surrogateescape") if stored.original is not None else stored.payload
    return _make_item(stored.position, stored.line, text, _Decoder().decode(text)) if text is not None else None


def looks_cut(copy: LocalCopy) -> bool:
    """Whether the text ends in the middle: an array without closing bracket, or a last line of incomplete JSON."""
    if describe_other(copy):
        return False
    last = read_last_line(copy)
    if _first_byte(copy.file) == b"[":
        return not last.endswith(b"]")
    if (envelope := find_envelope(copy)) is not None:
        return not envelope.is_whole
    if not last:
        return False
    value, end = _Decoder().decode_at(last.decode(errors="replace"), 0)
    return end is None or isinstance(value, Number)  # 12 may be a truncated 123


def _skip_mark(file: BinaryIO) -> int:
    file.seek(0)
    return len(BYTE_ORDER_MARK) if file.read(len(BYTE_ORDER_MARK)) == BYTE_ORDER_MARK else 0


def _first_byte(file: BinaryIO) -> bytes:
    """Return the first byte that is not white space; empty if the file has no such byte."""
    return read_head(file)[:1]


class _Decoder:
    """Python's JSON decoder, made strict: numbers stay text, duplicate keys and NaN are breaches, nothing is raised."""

    def __init__(self) -> None:
        self.complaint: Breach | None = None
        self.decoder = json.JSONDecoder(
            object_pairs_hook=self._build, parse_int=Number, parse_float=Number, parse_constant=self._note_constant
        )

    def _build(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        built = dict(pairs)
        if len(built) != len(pairs):
            counts = Counter(key for key, _ in pairs)
            doubled = next(key for key in counts if counts[key] > 1)
            # An invalid word takes precedence: the text of this breach is stored as JSON.
            self.complaint = self.complaint or Breach(
                BreachCode.DUPLICATE_KEY, f"names the key {doubled[:60]!r} twice", doubled[:60]
            )
        return built

    def _note_constant(self, word: str) -> None:
        self.complaint = Breach(BreachCode.MALFORMED, f"is not valid JSON: {word} is not allowed")

    def decode_at(self, text: str, index: int) -> tuple[Any | Breach, int | None]:
        """Return the value that begins at `index`, or a breach, and the index after it (None if that is unknown)."""
        self.complaint = None
        try:
            value, end = self.decoder.raw_decode(text, index)
        except RecursionError:
            return _TOO_DEEP, None
        except json.JSONDecodeError as error:
            message = f"is not valid JSON: {error.msg} at character {error.pos - index + 1}"
            return Breach(BreachCode.MALFORMED, message), None
        if text.count("{", index, end) + text.count("[", index, end) > MAX_DEPTH and _is_too_deep(value):
            return _TOO_DEEP, end
        return self.complaint or value, end

    def decode(self, text: str) -> Any | Breach:
        """Decode a string that is one JSON value."""
        index = _end_of_blank(text, 0)
        value, end = self.decode_at(text, index)
        if end is not None and _end_of_blank(text, end) != len(text):
            return Breach(BreachCode.MALFORMED, f"is not valid JSON: unexpected text at character {end + 1}")
        return value


_TOO_DEEP = Breach(BreachCode.TOO_DEEP, f"is nested more than {MAX_DEPTH} levels deep")


def _is_too_deep(value: Any) -> bool:
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [child for parent in level for child in _list_children(parent) if isinstance(child, (dict, list))]
    return bool(level)


def _list_children(value: dict[str, Any] | list[Any]) -> Iterable[Any]:
    return value.values() if isinstance(value, dict) else value


def _end_of_blank(text: str, index: int) -> int:
    match = _BLANK.match(text, index)
    assert match is not None  # it matches the empty string too
    return match.end()


def _make_item(position: int, line: int, text: str, value: Any | Breach) -> Record | Refusal:
    """Make a record or a refusal. `text` may contain bytes that are not UTF-8, as surrogates."""
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
            position, line, Breach(BreachCode.NOT_AN_OBJECT, "is not a JSON object"), text, Original.of(original)
        )
    return Record(position, line, value, text, original)


class _Lines:
    """One JSON value per line; blank lines are skipped."""

    def __init__(self, content: JsonContent, start: Cursor) -> None:
        self.file = content.copy.file
        self.position, self.line, self.offset = start["position"], start["line"], start["offset"]

    def describe_cursor(self) -> Cursor:
        return {"position": self.position, "line": self.line, "offset": self.offset}

    def read(self) -> Iterator[Record | Refusal]:
        decoder = _Decoder()
        self.file.seek(self.offset)
        while raw := self.file.readline(MAX_RECORD_BYTES + 1):
            item: Record | Refusal | None = None
            if len(raw) > MAX_RECORD_BYTES and not raw.endswith(b"\n"):
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
    """The elements of one JSON array, read through a window of text that holds at least one complete element.

    `offset` (in bytes) and `line` give the place of `index`. A cursor points after an element and before its comma, so
    that a read resumed from it finds a broken separator again.
    """

    def __init__(self, content: JsonContent, start: Cursor) -> None:
        self.file = content.copy.file
        self.location = content.location
        self.position, self.line, self.offset = start["position"], start["line"], start["offset"]
        self.reached = start
        self.text, self.index = "", 0
        self.carry = b""  # the incomplete character at the window's end
        self.file.seek(self.offset)
        self.is_at_end = False

    def describe_cursor(self) -> Cursor:
        return self.reached

    def read(self) -> Iterator[Record | Refusal]:
        decoder = _Decoder()
        while self._go_to_next():
            start, line = self.index, self.line
            value, end = decoder.decode_at(self.text, start)
            if end is None or end - start > MAX_RECORD_BYTES:  # the result must not depend on the window's end
                end = self._find_end(start)
            self._move_to(end)
            self.position += 1
            self.reached = {"position": self.position, "line": self.line, "offset": self.offset}
            yield _make_item(self.position, line, self.text[start:end].rstrip(" \t\r\n"), value)
        self._skip_blank()
        if self.index < len(self.text):
            raise self._error("there is text after the array")

    def _go_to_next(self) -> bool:
        """Skip the bracket or comma in front of the next element. Returns False if no element follows."""
        self._skip_blank()
        separator = self.text[self.index : self.index + 1]
        if separator not in (("[",) if self.position == 0 else (",", "]")):
            raise self._error("a comma is missing" if separator else "the array ends in the middle")
        self._move_to(self.index + 1)
        if separator == "]":
            return False
        self._skip_blank()
        if self.text[self.index : self.index + 1] != "]":
            return True
        self._move_to(self.index + 1)  # an empty array, or a trailing comma: odd, but nothing is missing
        return False

    def _skip_blank(self) -> None:
        self._move_to(_end_of_blank(self.text, self.index))
        while len(self.text) - self.index < MAX_RECORD_BYTES and not self.is_at_end:
            self._move_window()
            self._move_to(_end_of_blank(self.text, self.index))

    def _move_to(self, index: int) -> None:
        if index > self.index:
            passed = self.text[self.index : index]
            self.offset += len(passed) if passed.isascii() else len(passed.encode(errors="surrogateescape"))
            self.line += passed.count("\n")
            self.index = index

    def _move_window(self) -> None:
        block = self.file.read(MAX_RECORD_BYTES)
        self.is_at_end = not block
        block = self.carry + block
        whole = len(block) if self.is_at_end else _end_of_whole_characters(block)
        block, self.carry = block[:whole], block[whole:]
        self.text = self.text[self.index :] + block.decode(errors="surrogateescape")
        self.index = 0

    def _find_end(self, start: int) -> int:
        """Find where an invalid element ends: at the comma or bracket after it, if brackets and quotes pair."""
        depth = 0
        for token in _TOKEN.finditer(self.text, start, start + MAX_RECORD_BYTES + 1):
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
        return SourceError(f"{self.location}: line {self.line}: {complaint}.")


def _end_of_whole_characters(block: bytes) -> int:
    """Return the length of the block without an incomplete UTF-8 character at its end."""
    for back in range(1, min(4, len(block)) + 1):
        byte = block[-back]
        if byte < 0x80:
            return len(block)
        if byte >= 0xC0:
            wanted = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            return len(block) - back if wanted > back else len(block)
    return len(block)
