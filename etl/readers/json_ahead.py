"""What the text after an element shows of the array that the element is in, if damage before it leaves that open."""

from collections.abc import Callable
from enum import Enum

from etl.readers.json_structure import LONE_QUOTE, OBJECT, OBJECTS, Brackets, Scanner
from etl.readers.json_window import Window


class Ahead(Enum):
    """What the text after an element shows."""

    INNER = "inner"  # it belongs to an array or object that began before it
    UNKNOWN = "unknown"
    LAST = "last"  # the elements' array ends, and then the whole text does


def look_ahead(window: Window, last_mark: str, ends_at: Callable[[Window], bool], until: float) -> tuple[Ahead, int]:
    """Return what follows the window's index shows, and the offset of the bracket that shows it. The window is moved.

    `last_mark` stood in front of the element. The text is looked at to an offset beyond `until`.
    """
    brackets, last_of_these = Brackets(), ""
    scanner = Scanner(window, takes_objects=True)
    for mark, index in scanner.scan():
        is_inner = brackets.innermost == "{"
        if mark == LONE_QUOTE or (is_inner and (mark == OBJECTS or (mark in ("{", OBJECT) and last_of_these != ":"))):
            break
        if mark in "{[":
            brackets.open(mark)
        elif mark in "}]" and not len(brackets):
            return _judge_closing(window, mark, index, last_mark, ends_at)
        elif mark in "}]" and not brackets.close(mark):
            break
        last_of_these = mark
        if window.offset > until:
            break
    return Ahead.UNKNOWN, 0


def _judge_closing(
    window: Window, mark: str, index: int, last_mark: str, ends_at: Callable[[Window], bool]
) -> tuple[Ahead, int]:
    """Judge a bracket that closes what began before the element: the array itself, or something within it."""
    offset = window.find_offset(index)
    if mark == "}":
        return (Ahead.UNKNOWN if last_mark == "," else Ahead.INNER), offset
    window.move_to(index + 1)
    return (Ahead.LAST if ends_at(window) else Ahead.INNER), offset
