"""The shortcut over a broken element: one regular expression instead of a loop over its marks.

It finds exactly what `json_recovery` finds, or nothing. If brackets or quotes do not pair, it leaves to its caller what
the text after the element shows.
"""

from collections.abc import Callable
from dataclasses import dataclass

from etl.readers.json_structure import BLANK, ITEM, KEPT_CHARACTERS, LONE, PART, compile_late
from etl.readers.json_window import Window

_NEXT = rf"((?:\}}{BLANK})*+),{BLANK}(?=\{{)"  # closing brackets, and a comma in front of an object
_PAIRED = rf"{PART}*+{_NEXT}"
# No array around ends so: only a comma or brace may follow it, and an object has a name after a comma.
_STRAY = rf"\](?={BLANK}[^,}} \t\r\n]|{PART}*+(?:{BLANK}\}})*+{BLANK},{BLANK}\{{)"
_ODD = rf"(?:{PART}|{LONE}|{_STRAY})*+{_NEXT}"
_OTHER_DAMAGE = rf"(?:{ITEM}|{PART}|,)*+(?:\}}|{LONE}|\{{{PART}*+(?:{LONE}|,{BLANK}\{{|\]))"


@dataclass(slots=True)
class Passed:
    """A broken text up to an index: the brackets open there, and whether brackets or quotes do not pair."""

    at: int = 0
    opened: str = ""
    is_odd: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """The indexes of the broken text's end and of the element after it. `is_paired`: brackets and quotes before it are.

    If they are not, the element may be within an array of the broken text.
    """

    end: int
    begin: int
    is_paired: bool


def shows_other_damage(window: Window) -> bool:
    """Whether other damage follows the window's index before a bracket that shows where an element after a comma is.

    Then `look_ahead` finds nothing.
    """
    return compile_late(_OTHER_DAMAGE).match(window.text, window.index) is not None


def pass_over(window: Window, accepts: Callable[[int], tuple[bool, int | None]], passed: Passed) -> Found | None:
    """Return where the broken text ends, if the shortcut leads there.

    The window's index is 0, where the broken text begins. `accepts` is that of `Recovery`. `passed` is moved to the
    last certain place, where `Recovery` continues.
    """
    while passed.at <= KEPT_CHARACTERS:
        text = window.text
        is_odd = False
        match = compile_late(_PAIRED).match(text, passed.at)
        if match is None:
            is_odd = True
            match = compile_late(_ODD).match(text, passed.at)
        if match is None:
            return None
        begin, closed = match.end(), match[1].count("}")
        is_odd |= passed.is_odd or closed > len(passed.opened)
        opened = passed.opened[closed:]
        is_accepted, end = accepts(begin)
        if is_accepted:
            return Found(match.end(1), begin, is_paired=not (is_odd or opened))
        passed.is_odd = is_odd
        passed.at, passed.opened = (begin + 1, opened + "{") if end is None else (end, opened)
    return None
