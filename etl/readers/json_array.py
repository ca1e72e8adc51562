"""Reads the elements of one JSON array through a window; a broken or oversized one costs only itself."""

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

from etl.exceptions import SourceError
from etl.readers.json_ahead import Ahead, look_ahead
from etl.readers.json_decoder import Decoder
from etl.readers.json_recovery import Damage, Recovery
from etl.readers.json_shortcut import Found, Passed, pass_over, shows_other_damage
from etl.readers.json_window import Window
from etl.records import ORIGINAL_BYTES, Breach, Cursor, Original, Record, Refusal
from etl.vocabulary import BreachCode

_RESERVE_CHARACTERS = 4 << 10
"""The window is extended if less is left: an element that does not fit is decoded twice."""
_BLOCK_BYTES = 1 << 20
_WHITE_SPACE = b" \t\r\n"
_SEEN_CHARACTERS = 512
_ODD_FOLLOWER = re.compile(
    r'[ \t\r\n]{0,50}+(?:[:}]|,[ \t\r\n]{0,50}+"((?:[^"\\]|\\.){0,300}+)"[ \t\r\n]{0,50}+:)', re.DOTALL
)
"""What follows a value that is only the beginning of a broken element; within _SEEN_CHARACTERS."""
_SURROGATE = re.compile(r"[\ud800-\udfff]")  # a byte that is not UTF-8
_COMMA_IS_MISSING = Breach(BreachCode.MALFORMED, "is not valid JSON: a comma is missing")


@dataclass(slots=True)
class _Doubt:
    """A broken text whose brackets or quotes do not pair, so that the elements after it may be within it.

    They are read, but held back until the text after them shows where they are: from the `first` of those held on.
    `reached`, `offset` and `line` are the place of the broken text, `begin` is the offset of the element after it.
    """

    breach: Breach
    reached: Cursor
    offset: int
    line: int
    passed: Passed
    begin: int
    first: int


class ArrayReader:
    """The elements of an array that begins, or was left, at a cursor's place.

    A cursor points after an element and before its comma, so that a read resumed from it finds a broken separator
    again; after a broken text, it points to the element `found` to follow. `accepts` is the contract's judgement.
    `ends_at(window)` returns whether the text ends well after the array's closing bracket.
    """

    def __init__(
        self,
        file: BinaryIO,
        location: str,
        start: Cursor,
        *,
        accepts: Callable[[Mapping[str, Any]], bool],
        ends_at: Callable[[Window], bool],
        most_bytes: int,
    ) -> None:
        self.location, self.accepts, self.ends_at, self.most_bytes = location, accepts, ends_at, most_bytes
        self.window = Window(file, start["offset"], start["line"])
        self.position, self.is_found = start["position"], start.get("found", False)
        self.reached = self.given = start  # after the item that was read last, and after the one yielded last
        self.held: list[tuple[Record | Refusal, Cursor]] = []
        self.doubt: _Doubt | None = None
        self.decoder = Decoder()
        self.kept: tuple[Any, int, bool] | None = None  # the element found after a broken text, decoded
        self.reserve = _RESERVE_CHARACTERS

    def describe_cursor(self) -> Cursor:
        return self.given

    def read(self) -> Iterator[Record | Refusal]:
        """Yield the elements, and leave the window after the closing bracket. Raises SourceError."""
        try:
            while (item := self._read_next()) is not None:
                if self.doubt is None and not self.held:
                    self.given = self.reached
                    yield item
                else:
                    self.held.append((item, self.reached))
                    if self.doubt is None or self.doubt.first:
                        yield from self._give()
        except SourceError:
            self.doubt = None
            yield from self._give()
            raise
        yield from self._give()
        self.window.move_to(self.window.index + 1)

    def _give(self) -> Iterator[Record | Refusal]:
        """Yield the items held that are certain."""
        count = len(self.held) if self.doubt is None else self.doubt.first
        for item, reached in self.held[:count]:
            self.given = reached
            yield item
        del self.held[:count]
        if self.doubt is not None:
            self.doubt.first = 0

    def _read_next(self) -> Record | Refusal | None:
        window = self.window
        is_separated = self._go_to_next()
        is_due = self.doubt is not None and (not is_separated or window.offset > self.doubt.begin + self.most_bytes)
        if is_due and (refusal := self._take_back()):
            return refusal
        if is_separated is None:
            return None
        while len(window.text) - window.index < self.reserve and window.extend():
            pass
        return self._read_element() if is_separated else self._pass_odd_separator()

    def _take_back(self) -> Refusal | None:
        """End the doubt. If the next text shows that the elements held are within the broken one, refuse them with it.

        Otherwise they are elements of the array: what shows nothing speaks for them.
        """
        doubt, window = self.doubt, self.window
        assert doubt is not None
        self.doubt = None
        if shows_other_damage(window):
            return None
        found, inner_until = look_ahead(window.copy(), ",", self.ends_at, doubt.begin + self.most_bytes)
        if found is not Ahead.INNER:
            return None
        del self.held[doubt.first :]
        self.reached, self.position, self.kept = doubt.reached, doubt.reached["position"], None
        window.jump(Window(window.file, doubt.offset, doubt.line))
        while len(window.text) <= doubt.passed.at and window.extend():
            pass
        recovery = self._make_recovery()
        recovery.not_before = inner_until
        return self._refuse(doubt.offset, doubt.line, doubt.breach, recovery.find(doubt.passed))

    def fail(self, complaint: str) -> SourceError:
        return SourceError(f"{self.location}: line {self.window.line}: {complaint}.")

    def _go_to_next(self) -> bool | None:
        """Go to the next element. Returns False if it lacks its comma, and None if there is no other."""
        window = self.window
        if self.is_found:
            self.is_found = False
            return True
        mark = window.skip_blank()
        if not mark:
            raise self.fail("the array ends in the middle")
        if mark == "]" and self.position:
            return None if self._is_at_end() else False
        if mark != ("," if self.position else "["):
            return False
        window.move_to(window.index + 1)
        mark = window.skip_blank()
        if not mark:
            raise self.fail("the array ends in the middle")
        return None if mark == "]" else True  # an empty array, or a trailing comma: odd, but nothing is missing

    def _is_at_end(self) -> bool:
        window = self.window.copy()
        window.move_to(window.index + 1)
        return self.ends_at(window)

    def _pass_odd_separator(self) -> Refusal:
        """Refuse what stands in the place of a comma. After a closing bracket, records need a proof to be trusted."""
        if self.window.skip_blank() != "]":
            return self._recover(_COMMA_IS_MISSING, is_first_known=False)
        offset, line, after = self.window.offset, self.window.line, self.window.copy()
        damage = self._make_recovery().find_proven()
        if damage is None:
            after.move_to(after.index + 1)
            after.skip_blank()
            self.window.jump(after)
            raise self.fail("there is text after the array")
        return self._refuse(offset, line, _COMMA_IS_MISSING, damage)

    def _read_element(self) -> Record | Refusal:
        line = self.window.line
        value, end = self._take_kept() or self._decode(self.window.index)
        if end is None:
            return self._recover(value, is_first_known=True)
        while len(self.window.text) - end < _SEEN_CHARACTERS and not self.window.is_at_end:
            end -= self.window.index
            self.window.extend()
        odd = _ODD_FOLLOWER.match(self.window.text, end)
        if odd is not None and not _begins_another(odd[1], value):
            return self._recover(_report_follower(end - self.window.index), is_first_known=True)
        text = self.window.text[self.window.index : end]
        if len(text) * 2 > self.reserve:
            self.reserve = min(len(text) * 2, self.most_bytes)
        self.window.move_to(end)
        self._advance()
        return self.decoder.make_item(self.position, line, text, value)

    def _take_kept(self) -> tuple[Any, int] | None:
        if self.kept is None:
            return None
        value, length, self.decoder.is_standard = self.kept
        self.kept = None
        return value, self.window.index + length

    def _advance(self) -> None:
        self.position += 1
        self.reached = {"position": self.position, "line": self.window.line, "offset": self.window.offset}

    def _decode(self, at: int) -> tuple[Any | Breach, int | None]:
        """Decode the value at this index, of the window extended as far as that needs; the window's index is not moved.

        An index of the window changes when the window is extended, unless the window's index is 0.
        """
        window, decoder, most = self.window, self.decoder, self.most_bytes
        ahead = at - window.index
        while True:
            value, end = decoder.decode_at(window.text, window.index + ahead)
            if not decoder.is_cut or window.is_at_end:
                break
            if len(window.text) - window.index - ahead > most + _RESERVE_CHARACTERS:
                return report_long(most), None
            window.extend()
        begin = window.index + ahead
        reach = decoder.failed_at if end is None else end
        if reach - begin > most or (end is not None and self._is_long(begin, end)):
            return report_long(most), None
        return value, end

    def _is_long(self, begin: int, end: int) -> bool:
        """Whether the text has too many bytes, though not too many characters."""
        if (end - begin) * 4 <= self.most_bytes:
            return False
        return len(self.window.text[begin:end].encode(errors="surrogateescape")) > self.most_bytes

    def _recover(self, breach: Breach, *, is_first_known: bool) -> Refusal:
        """Make one refusal of all text up to the next element that can be trusted, or the array's end."""
        window = self.window
        offset, line = window.offset, window.line
        window.forget()
        opened = window.text[:1] if is_first_known and window.text[:1] in ("{", "[") else ""
        passed = Passed(len(opened), opened)
        found = pass_over(window, self._accepts_at, passed) if is_first_known and opened != "[" else None
        is_due = self.doubt is not None and (found is None or not found.is_paired)
        if is_due and (refusal := self._take_back()):
            return refusal
        if found is None:
            return self._refuse(offset, line, breach, self._make_recovery().find(passed if is_first_known else None))
        if not found.is_paired:
            begin = window.find_offset(found.begin)
            self.doubt = _Doubt(breach, self.reached, offset, line, passed, begin, first=len(self.held))
        return self._refuse(offset, line, breach, self._go_to_found(found))

    def _go_to_found(self, found: Found) -> Damage:
        window = self.window
        text = window.text[: found.end]
        window.move_to(found.end)
        damage = Damage(text, window.offset, is_followed=True)
        window.move_to(found.begin)
        return damage

    def _make_recovery(self) -> Recovery:
        return Recovery(self.window, self._accepts_at, self.ends_at, self.most_bytes)

    def _refuse(self, offset: int, line: int, breach: Breach, damage: Damage) -> Refusal:
        self._advance()
        if not damage.is_followed:
            self.kept = None
        else:
            self.is_found = True
            self.reached = {**self.reached, "found": True}
        return Refusal(self.position, line, breach, None, self._keep(offset, damage))

    def _accepts_at(self, index: int) -> tuple[bool, int | None]:
        value, end = self._decode(index)
        if end is None:
            return False, None
        is_accepted = isinstance(value, dict) and _is_utf8(self.window.text[index:end]) and self.accepts(value)
        self.kept = (value, end - index, self.decoder.is_standard) if is_accepted else None
        return is_accepted, end

    def _keep(self, start: int, damage: Damage) -> Original:
        if damage.text is not None:
            return Original.of(damage.text.rstrip(" \t\r\n").encode(errors="surrogateescape"))
        return _hash(self.window.file, start, damage.end)


def _begins_another(key: str | None, value: Any) -> bool:
    """Whether a key after a value belongs to another element, whose first bracket is missing: the value has it too."""
    return key is not None and isinstance(value, dict) and key in value


def _is_utf8(text: str) -> bool:
    return text.isascii() or not _SURROGATE.search(text)


def _report_follower(length: int) -> Breach:
    return Breach(BreachCode.MALFORMED, f"is not valid JSON: unexpected text at character {length + 1}")


def report_long(most_bytes: int) -> Breach:
    return Breach(BreachCode.TOO_LONG, f"is longer than {most_bytes} bytes")


def _hash(file: BinaryIO, start: int, end: int) -> Original:
    """Return the original of a text that is too long to be held, without the white space at its end."""
    tail = min(end - start, _BLOCK_BYTES)
    file.seek(end - tail)
    end -= tail - len(file.read(tail).rstrip(_WHITE_SPACE))
    file.seek(start)
    digest, head, left = hashlib.sha256(), b"", end - start
    while left and (block := file.read(min(left, _BLOCK_BYTES))):
        head = head or block[:ORIGINAL_BYTES]
        digest.update(block)
        left -= len(block)
    return Original(head, end - start, digest.digest())


def has_no_more_text(window: Window) -> bool:
    """Whether nothing follows the array: it is the whole text."""
    return window.skip_blank() == ""
