"""The shortcut over a broken element: one regular expression instead of a loop over its marks.

It finds exactly what `json_recovery` finds, or nothing: it decides only what the text in memory shows.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from etl.readers.json_structure import BLANK, ITEM, KEPT_CHARACTERS, LONE, PART
from etl.readers.json_window import Window

_NEXT = rf"((?:\}}{BLANK})*+),{BLANK}(?=\{{)"  # closing brackets, and a comma in front of an object
_PAIRED = re.compile(rf"{PART}*+{_NEXT}", re.DOTALL)
_ODD = re.compile(rf"(?:{PART}|{LONE})*+{_NEXT}", re.DOTALL)
_OTHER_DAMAGE = re.compile(
    rf"(?:{ITEM}|{PART}|,)*+(?:\}}|{LONE}|\{{{PART}*+(?:{LONE}|,{BLANK}\{{))",
    re.DOTALL,
)


@dataclass(slots=True)
class Passed:
    """A broken text up to an index: the brackets open there, and whether brackets or quotes do not pair."""

    at: int = 0
    opened: str = ""
    is_odd: bool = False


def pass_over(
    window: Window, accepts: Callable[[int], tuple[bool, int | None]], passed: Passed
) -> tuple[int, int] | None:
    """Return the indexes of the broken text's end and of the element after it, if the shortcut leads there.

    The window's index is 0, where the broken text begins. `accepts` is that of `Recovery`. `passed` is moved to the
    last certain place, where `Recovery` continues.
    """
    while passed.at <= KEPT_CHARACTERS:
        text = window.text
        is_odd = False
        match = _PAIRED.match(text, passed.at)
        if match is None:
            is_odd = True
            match = _ODD.match(text, passed.at)
        if match is None:
            return None
        begin, closed = match.end(), match[1].count("}")
        is_odd |= passed.is_odd or closed > len(passed.opened)
        opened = passed.opened[closed:]
        is_accepted, end = accepts(begin)
        if is_accepted and end is not None:
            if (is_odd or opened) and _OTHER_DAMAGE.match(window.text, end) is None:
                return None
            return match.end(1), begin
        passed.is_odd = is_odd
        passed.at, passed.opened = (begin + 1, opened + "{") if end is None else (end, opened)
    return None
