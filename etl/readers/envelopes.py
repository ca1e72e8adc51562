"""What a JSON object around the records says: an error, more pages, and where the records are. Pure.

The object is scanned, not decoded: arrays are left out.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

MOST_BYTES = 8 << 20
"""At most this much of an object is scanned."""
MOST_LEVELS = 6
MOST_NAMES = 10_000
"""More names than this are not kept; the names of arrays are."""

_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+"?|[{}\[\],:]|[^\s{}\[\],:"]++', re.DOTALL)
_BRACKET = re.compile(rb'"(?:[^"\\]++|\\.)*+"?|[{}\[\]]', re.DOTALL)

_NEXT = re.compile(r"(@?odata\.?)?next(page)?(url|uri|link|href|cursor|token|offset|key|id|number)?")
_HAS_MORE = re.compile(r"(has|is)?(more|next|truncated)(pages?|items|results|records|data)?|hasmorepages?")
_ABOUT_PAGES = {"meta", "metadata", "responsemetadata", "pagination", "paging", "pager", "page"}
_ABOUT_PAGES |= {"pages", "pageinfo", "links", "cursors"}
_ERRORS = {"error", "errors", "errormessage", "errordescription", "errorcode", "fault", "exception"}
_MESSAGES = {"message", "msg", "detail", "details", "reason", "title"}


class Left(Enum):
    """Stands for an array that was left out."""

    ARRAY = "array"
    EMPTY = "empty"


@dataclass(frozen=True, slots=True)
class Envelope:
    """The values of an object; `is_whole` if it ends and nothing follows, `is_pretty` if it takes several lines."""

    values: Mapping[str, Any]
    is_whole: bool
    is_pretty: bool

    def find_next_page(self) -> str:
        """Return the path of a value that shows more pages, such as `meta.next_cursor`; empty if there is none."""
        return next(_find_signs(self.values, ""), "")

    def find_arrays(self) -> list[str]:
        """Return the paths of the arrays that have elements, those of fewest levels first."""
        return sorted(_find_arrays(self.values, ""), key=lambda path: path.count("."))

    @property
    def is_error(self) -> bool:
        """Whether it reports an error instead of records."""
        names = {_simplify(name) for name, value in self.values.items() if value and value is not Left.EMPTY}
        return bool(names & _ERRORS) or (bool(names & _MESSAGES) and not self.find_arrays())


def read_envelope(text: bytes) -> Envelope:
    """Read the JSON object with which the text begins."""
    is_pretty = b"\n" in text.strip()
    scan = Scan(text)
    values: dict[str, Any] = {}
    try:
        is_object = scan.take() == b"{"
        if is_object:
            scan.fill(values, 1)
        return Envelope(values, is_object and not text[scan.at :].strip(), is_pretty)
    except (ValueError, RecursionError):
        return Envelope(values, is_whole=False, is_pretty=is_pretty)


class Scan:
    """Takes the tokens of a text, and the values of objects in it."""

    def __init__(self, text: bytes = b"") -> None:
        self.text, self.at, self.taken = text, 0, 0

    def take(self) -> bytes:
        """Take the next token. Raises ValueError at the end of the text."""
        match = _TOKEN.search(self.text, self.at)
        if match is None:
            raise ValueError
        self.at = match.end()
        return match[0]

    def fill(self, values: dict[str, Any], level: int) -> None:
        """Take the rest of an object. Raises ValueError where it breaks off."""
        for _ in self.take_names(values, level):
            pass

    def take_names(self, values: dict[str, Any], level: int) -> Iterator[str]:
        """Yield each name in the rest of an object, then take its value. Raises ValueError where it breaks off."""
        while (token := self.take()) != b"}":
            if token == b",":
                continue
            name = json.loads(token)
            if not isinstance(name, str) or self.take() != b":":
                raise ValueError
            yield name
            value = self._take_value(level)
            self.taken += 1
            if self.taken <= MOST_NAMES or value is Left.ARRAY:
                values[name] = value

    def _take_value(self, level: int) -> Any:
        token = self.take()
        if token == b"{" and level < MOST_LEVELS:
            inner: dict[str, Any] = {}
            self.fill(inner, level + 1)
            return inner
        if token in (b"{", b"["):
            return self.skip(token)
        return json.loads(token)

    def skip(self, opening: bytes) -> Left:
        """Skip the rest of an array, or of an object that is too deep."""
        begin, depth = self.at, 1
        while depth:
            match = _BRACKET.search(self.text, self.at)
            if match is None:
                raise ValueError
            self.at = match.end()
            depth += 1 if match[0] in (b"{", b"[") else -1 if match[0] in (b"}", b"]") else 0
        return Left.ARRAY if opening == b"[" and self.text[begin : self.at - 1].strip() else Left.EMPTY


def _simplify(name: str) -> str:
    return re.sub(r"[_\s-]", "", name).lower()


def _find_signs(values: Mapping[str, Any], path: str) -> Iterator[str]:
    """Yield the paths of the signs of a next page in an object, and in the objects within it that describe pages."""
    names = {name: _simplify(name) for name in values}
    flags = [name for name in values if _HAS_MORE.fullmatch(names[name]) and isinstance(values[name], bool)]
    yield from (f"{path}{name}" for name in flags if values[name])
    is_last = any(values[name] is False for name in flags)  # some servers send a cursor with the last page too
    for name, value in values.items():
        if _NEXT.fullmatch(names[name]) and _is_given(value) and not is_last:
            yield f"{path}{name}"
        elif isinstance(value, Mapping) and (names[name] in _ABOUT_PAGES or any(_find_arrays(value, ""))):
            yield from _find_signs(value, f"{path}{name}.")


def _is_given(value: Any) -> bool:
    if isinstance(value, Mapping):  # such as {"href": …}
        return any(_is_given(inner) for inner in value.values())
    return bool(value) and value is not Left.EMPTY


def _find_arrays(values: Mapping[str, Any], path: str) -> Iterator[str]:
    for name, value in values.items():
        if value is Left.ARRAY:
            yield f"{path}{name}"
        elif isinstance(value, Mapping):
            yield from _find_arrays(value, f"{path}{name}.")
