"""Finds where an array of records continues after a broken or oversized element.

An element is trusted only if a comma of the array could be in front of it, outside of any array within the broken text;
if it is valid; if the contract accepts it; and, where brackets or quotes before it do not pair, if the text after it
does not close a bracket that was opened before it. All text before it is one refusal.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from etl.readers.json_ahead import Ahead, look_ahead
from etl.readers.json_shortcut import Passed
from etl.readers.json_structure import LONE_QUOTE, Brackets, Scanner
from etl.readers.json_window import Window, find_end_of_blank


@dataclass(frozen=True, slots=True)
class Damage:
    """The end of a broken text: its offset, and whether an element of the array follows it.

    `text` is the broken text, None if it is too long to be held.
    """

    text: str | None
    end: int
    is_followed: bool


class Recovery(Scanner):
    """Scans broken text from a window's index on, and moves the window to the element or bracket after it.

    `accepts(index)` decodes the text at an index of the window and returns whether it is an element to trust, and where
    it ends if that is known. `ends_at(window)` returns whether the text ends well at a place after a closing bracket.
    """

    def __init__(
        self,
        window: Window,
        accepts: Callable[[int], tuple[bool, int | None]],
        ends_at: Callable[[Window], bool],
        look_ahead_bytes: int,
    ) -> None:
        super().__init__(window)
        self.accepts, self.ends_at, self.look_ahead_bytes = accepts, ends_at, look_ahead_bytes
        self.brackets = Brackets()
        self.last_mark = ""
        self.is_odd = False  # brackets or quotes do not pair
        self.is_second_try = self.is_long = False
        self.not_before = 0  # elements before this offset are within an array or object of the broken text
        self.start = window.copy()

    def find_proven(self) -> Damage | None:
        """Find the end if an element follows whose place in the array is proven by the rest of the text."""
        self.is_second_try = True
        found = self._find()
        return found if found is not None and found.is_followed else None

    def find(self, passed: Passed | None = None) -> Damage:
        """Find the end. `passed` is known already, as the beginning of an element that was decoded in vain."""
        if passed is not None:
            self.at = self.before = passed.at
            self.is_odd = passed.is_odd
            for mark in passed.opened:
                self.brackets.open(mark)
        return self._find() or self._try_again() or self._end_with_text()

    def forget(self) -> None:
        self.is_long = True
        super().forget()

    def _find(self) -> Damage | None:
        for mark, begin in self.scan():
            if mark == LONE_QUOTE:
                self.is_odd = True
            elif mark in "{[":
                if mark == "{" and self._may_be_element(begin):
                    is_accepted, end = self._judge(begin)
                    if is_accepted:
                        return self._end(begin, is_followed=True)
                    if end is not None:
                        self.at, self.last_mark = end, "}"
                        continue
                self.brackets.open(mark)
            elif mark in "}]":
                if mark == "]" and not self.brackets.arrays and self._is_last(begin):
                    return self._end(begin, is_followed=False)
                self.is_odd |= not self.brackets.close(mark)
            self.last_mark = mark
        return None

    def _may_be_element(self, begin: int) -> bool:
        """Whether a comma of the array could be here: in no array of the broken text, and not after a colon."""
        if self.brackets.arrays:
            return False
        return self.last_mark != ":" or self.window.text[self.before : begin].strip() != ""

    def _judge(self, begin: int) -> tuple[bool, int | None]:
        if self.not_before and self.window.find_offset(begin) < self.not_before:
            return False, None
        is_accepted, end = self.accepts(begin)
        if not is_accepted or not (self.is_odd or self.is_second_try or len(self.brackets)):
            return is_accepted, end
        found, offset = self._look_ahead(begin)
        if found is Ahead.INNER:
            self.not_before = offset
        if self.is_second_try and found is Ahead.UNKNOWN:
            self.not_before = 1 << 62  # the others would not be known better
        is_fine = found is Ahead.LAST or (found is Ahead.UNKNOWN and not self.is_second_try)
        return is_fine, None if is_fine else end

    def _look_ahead(self, begin: int) -> tuple[Ahead, int]:
        """Return what follows shows of the element at this index, and the offset of the bracket that shows it."""
        window = _copy_at(self.window, begin)
        until = math.inf if self.is_second_try else window.offset + self.look_ahead_bytes
        return look_ahead(window, self.last_mark, self.ends_at, until)

    def _is_last(self, begin: int) -> bool:
        """Whether the array's end is here. After a string that never ends, a bracket proves nothing."""
        text = self.window.text
        rest = find_end_of_blank(text, begin + 1)
        if self.has_open_string or (rest < len(text) and text[rest] not in ",}"):
            return False
        return self.ends_at(_copy_at(self.window, begin + 1))

    def _end(self, begin: int, *, is_followed: bool) -> Damage:
        """Go to the element or bracket after the broken text, which ends before the comma in front of it."""
        window = self.window
        is_after_comma = self.last_mark == "," and not window.text[self.before : begin].strip()
        end = window.find_offset(self.before) - 1 if is_after_comma else window.find_offset(begin)
        text = None if self.is_long else window.text[: self.before - 1 if is_after_comma else begin]
        window.move_to(begin)
        return Damage(text, end, is_followed)

    def _end_with_text(self) -> Damage:
        text = None if self.is_long else self.window.text
        self.window.move_to(len(self.window.text))
        return Damage(text, self.window.offset, is_followed=False)

    def _try_again(self) -> Damage | None:
        """Look again, as if the bracket that the array's end seems to close were part of the damage.

        Then an element is trusted only if the text after it proves its place.
        """
        suspect = self._find_suspect()
        if suspect is None:
            return None
        end, was_long = self.window.copy(), self.is_long
        self.window.jump(suspect)
        self.at = self.before = self.not_before = 0
        self.brackets, self.last_mark = Brackets(), "["
        self.is_second_try = self.is_long = True
        found = self._find()
        if found is None or not found.is_followed:
            self.window.jump(end)
            self.is_long = was_long
            return None
        return found

    def _find_suspect(self) -> Window | None:
        """Find the place after a bracket of the broken text whose array ends where that of the elements may end."""
        scanner, brackets = Scanner(self.start), Brackets()
        window, opened = self.start, (0, 0)
        for mark, begin in scanner.scan():
            if mark in "{[":
                if mark == "[" and not brackets.arrays:
                    opened = window.find_offset(begin + 1), window.line + window.text[:begin].count("\n")
                brackets.open(mark)
            elif mark in "}]":
                was_open = brackets.arrays
                brackets.close(mark)
                is_closed = mark == "]" and was_open and not brackets.arrays
                if is_closed and self.ends_at(_copy_at(window, begin + 1)):
                    return Window(window.file, *opened)
        return None


def _copy_at(window: Window, index: int) -> Window:
    copied = window.copy()
    copied.move_to(index)
    return copied
