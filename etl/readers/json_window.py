"""A window of text that moves over a file of JSON, and knows the place of its index. It understands no JSON."""

import re
from typing import BinaryIO

STEP_BYTES = 16 << 10
"""A window grows by at least this much. It stays short, because Python counts lines from its start for each error."""
_BLANK = re.compile(r"[ \t\r\n]*+")
_REST_OF_STRING = re.compile(r'(?:[^"\\]++|\\.)*+', re.DOTALL)


def find_end_of_blank(text: str, index: int) -> int:
    """Return the index of the first character from `index` on that is not white space."""
    match = _BLANK.match(text, index)
    assert match is not None  # it matches the empty string too
    return match.end()


class Window:
    """A text of which `index` is at byte `offset` of the file and on `line`. Bytes that are not UTF-8 are surrogates.

    Several windows may share a file. The text continues at `next_offset`, after `carry`, an incomplete character.
    """

    __slots__ = ("carry", "file", "index", "is_at_end", "line", "next_offset", "offset", "text")

    def __init__(self, file: BinaryIO, offset: int, line: int = 1) -> None:
        self.file, self.offset, self.line = file, offset, line
        self.text, self.index, self.is_at_end = "", 0, False
        self.next_offset, self.carry = offset, b""

    def extend(self) -> bool:
        """Read on, and forget what is before the index, which becomes 0. Returns False if there is no more text."""
        if self.is_at_end:
            return False
        self.forget()
        self.file.seek(self.next_offset)
        block = self.file.read(max(STEP_BYTES, len(self.text)))
        self.next_offset += len(block)
        self.is_at_end = not block
        block = self.carry + block
        whole = len(block) if self.is_at_end else _find_end_of_characters(block)
        self.carry = block[whole:]
        self.text += block[:whole].decode(errors="surrogateescape")
        return True

    def forget(self) -> None:
        """Forget the text before the index, which becomes 0."""
        if self.index:
            self.text, self.index = self.text[self.index :], 0

    def move_to(self, index: int) -> None:
        if index > self.index:
            passed = self.text[self.index : index]
            self.offset += _count_bytes(passed)
            self.line += passed.count("\n")
            self.index = index

    def find_offset(self, index: int) -> int:
        """Return the offset of another index."""
        return self.offset + _count_bytes(self.text[self.index : index])

    def jump(self, other: "Window") -> None:
        """Go where another window of the same file is."""
        self.offset, self.line, self.is_at_end = other.offset, other.line, other.is_at_end
        self.text, self.index = other.text[other.index :], 0
        self.next_offset, self.carry = other.next_offset, other.carry

    def copy(self) -> "Window":
        """Return another window at the same place."""
        window = Window(self.file, self.offset, self.line)
        window.jump(self)
        return window

    def skip_blank(self) -> str:
        """Skip white space. Returns the character after it, or nothing at the end of the text."""
        while True:
            self.move_to(find_end_of_blank(self.text, self.index))
            if self.index < len(self.text):
                return self.text[self.index]
            if not self.extend():
                return ""

    def skip_string(self) -> bool:
        """Skip the string that begins here, however long it is. Returns False if it never ends."""
        self.move_to(self.index + 1)
        while True:
            match = _REST_OF_STRING.match(self.text, self.index)
            assert match is not None  # it matches the empty string too
            self.move_to(match.end())
            if self.text[self.index : self.index + 1] == '"':
                self.move_to(self.index + 1)
                return True
            if not self.extend():
                self.move_to(len(self.text))
                return False


def _count_bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode(errors="surrogateescape"))


def _find_end_of_characters(block: bytes) -> int:
    """Return the length of the block without an incomplete UTF-8 character at its end."""
    for back in range(1, min(4, len(block)) + 1):
        byte = block[-back]
        if byte < 0x80:
            return len(block)
        if byte >= 0xC0:
            wanted = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            return len(block) - back if wanted > back else len(block)
    return len(block)
