"""The structure of JSON text, broken or not: its brackets, commas, colons and strings, without its values.

A string is recognised only if a comma, colon or closing bracket follows it; otherwise its quote stands alone. So an
odd quote does not turn all text after it inside out.
"""

import re
from collections.abc import Iterator
from functools import cache

from etl.readers.json_window import Window

KEPT_CHARACTERS = 16 << 10
"""Text that was scanned is forgotten beyond this length; a string beyond it is skipped without being held."""
MOST_OPEN = 1 << 20
"""Brackets beyond this depth are counted, not kept."""
LONE_QUOTE = "?"
OBJECT, OBJECTS = "o", "oo"
"""One object whose brackets and quotes pair, and several with commas between them."""

BLANK = r"[ \t\r\n]*+"
_TEXT = r'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_WORD = r"[-+.\w]++"
_PAIR = rf"{_TEXT}{BLANK}:{BLANK}(?:{_TEXT}(?={BLANK}[,\]}}])|{_WORD})"
_PAIRS = rf"{_PAIR}(?:{BLANK},{BLANK}{_PAIR})*+"  # one mark for all of them: their contents change nothing
_MARK = rf'\\.|{_PAIRS}|{_TEXT}(?={BLANK}[,:\]}}])|["{{}}\[\],:]'


def _build_nested(levels: int) -> str:
    """Return the pattern of an array or object whose brackets and quotes pair, of at most this number of levels."""
    scalar = value = rf"(?:{_TEXT}(?={BLANK}[,\]}}])|{_WORD})"
    nested = ""
    for _ in range(levels):
        object_ = rf'\{{{BLANK}(?:{_TEXT}{BLANK}:{BLANK}{value}{BLANK}(?:,{BLANK}(?=")|(?=\}})))*+\}}'
        array = rf"\[{BLANK}(?:{value}{BLANK}(?:,{BLANK}(?=[^\],\s])|(?=\])))*+\]"
        nested = rf"(?:{object_}|{array})"
        value = rf"(?:{scalar}|{nested})"
    return nested


_NESTED = _build_nested(3)
PART = (
    rf'(?:{_PAIRS}|[^"\\{{}}\[\],:]++|,(?!{BLANK}\{{)|:{BLANK}{_NESTED}?+|(?=\[){_NESTED}|'
    rf"{_TEXT}(?={BLANK}[,:\]}}])|\\.)"
)
"""Something within an object, broken or not, whose brackets and quotes pair; no object except after a colon."""
ITEM = rf"\{{{PART}*+\}}"
LONE = rf'(?={_TEXT}{BLANK}[^,:\]}} \t\r\n])"'
"""A quote that is no string's, regardless of the text that may follow."""
_TOKEN = _MARK
_TOKEN_OR_OBJECTS = rf"{ITEM}({BLANK},{BLANK}{ITEM})*+|{_MARK}"
_STRING = _TEXT + BLANK


@cache
def compile_late(pattern: str) -> re.Pattern[str]:
    """Compile the pattern when it is first used: that takes long, and only broken JSON needs it."""
    return re.compile(pattern, re.DOTALL)


class Scanner:
    """Yields the marks of a text from a window's index on. The window's index stays 0 while they are yielded.

    `at` is the index after the current mark, `before` the one after the mark before it. A user may move `at` on.
    `has_open_string`: a quote was found that no other follows. With `takes_objects`, an object without damage to its
    structure is one mark.
    """

    def __init__(self, window: Window, *, takes_objects: bool = False) -> None:
        self.window, self.at, self.before, self.has_open_string = window, 0, 0, False
        self.token = compile_late(_TOKEN_OR_OBJECTS if takes_objects else _TOKEN)
        window.forget()

    def scan(self) -> Iterator[tuple[str, int]]:
        r"""Yield each mark with its index: a bracket, comma, colon, `"` for strings, or LONE_QUOTE."""
        window = self.window
        while True:
            text = window.text
            for match in self.token.finditer(text, self.at):
                found, begin = match[0], match.start()
                mark, self.at = found[0], match.end()
                if mark == "\\":
                    continue
                if found == '"':
                    mark = self._judge_quote(begin)
                elif mark == "{" and len(found) > 1:
                    mark = OBJECT if match[1] is None else OBJECTS
                yield mark, begin
                self.before = self.at
                if self.at > KEPT_CHARACTERS:
                    self.forget()
                if window.text is not text or self.at != match.end():
                    break
            else:
                if not self._go_on():
                    return

    def forget(self) -> None:
        """Forget the text before `at`."""
        self.window.move_to(self.at)
        self.window.forget()
        self.before, self.at = max(0, self.before - self.at), 0

    def _go_on(self) -> bool:
        text = self.window.text
        self.at = max(self.at, len(text) - text.endswith("\\"))
        if self.at > KEPT_CHARACTERS:
            self.forget()
        if self.window.extend():
            return True
        self.at = len(text)
        return False

    def _judge_quote(self, begin: int) -> str:
        """Judge a quote that is not known to begin a string: the text may end before that shows."""
        window = self.window
        while not window.is_at_end:
            match = compile_late(_STRING).match(window.text, begin)
            if match is not None and match.end() < len(window.text):
                break
            if len(window.text) - begin > KEPT_CHARACTERS:
                return self._judge_long(begin)
            window.extend()
        match = compile_late(_STRING).match(window.text, begin)
        if match is not None and window.text[match.end() : match.end() + 1] in (",", ":", "]", "}"):
            self.at = match.end()
            return '"'
        self.has_open_string |= match is None
        self.at = begin + 1
        return LONE_QUOTE

    def _judge_long(self, begin: int) -> str:
        self.at = begin
        self.forget()
        ahead = self.window.copy()
        is_closed = ahead.skip_string()
        if is_closed and ahead.skip_blank() in (",", ":", "]", "}"):
            self.window.jump(ahead)
            return '"'
        self.has_open_string |= not is_closed
        self.at = 1
        return LONE_QUOTE


class Brackets:
    """The open brackets of a text. `arrays` counts those of arrays."""

    def __init__(self) -> None:
        self.marks = bytearray()
        self.arrays = self.beyond = 0

    def __len__(self) -> int:
        return len(self.marks)

    @property
    def innermost(self) -> str:
        return chr(self.marks[-1]) if self.marks else ""

    def open(self, mark: str) -> None:
        if len(self.marks) == MOST_OPEN:
            self.beyond += 1
            return
        self.marks.append(ord(mark))
        self.arrays += mark == "["

    def close(self, mark: str) -> bool:
        """Close the innermost bracket of this kind and those within it. Returns False if that is not the innermost."""
        if self.beyond:
            self.beyond -= 1
            return True
        opening = _ARRAY if mark == "]" else _OBJECT
        if self.marks and self.marks[-1] == opening:
            self._pop()
            return True
        if opening == _OBJECT and len(self.marks) == self.arrays:
            self.marks.clear()  # no object is open: this is the end of the one whose beginning is damaged
            self.arrays = 0
        elif opening == _OBJECT or self.arrays:
            while self._pop() != opening:
                pass
        return False

    def _pop(self) -> int:
        mark = self.marks.pop()
        self.arrays -= mark == _ARRAY
        return mark


_ARRAY, _OBJECT = b"[{"
