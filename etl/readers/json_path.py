"""Where the records of a JSON text are: the path to their array, declared by a source and followed in the text."""

import re
from collections.abc import Iterator, Sequence
from enum import Enum
from typing import Any, BinaryIO

from etl.readers.envelopes import Left, Scan
from etl.readers.json_structure import LONE_QUOTE, Scanner
from etl.readers.json_window import Window

Path = tuple[str, ...]
"""The keys from the body to the array; none if the body itself is the array."""

_LONGEST_TOKEN = 64 << 10
_LONGEST_KEPT = 1000
_TOKEN = re.compile(r'"(?:[^"\\]++|\\.)*+"|[{}\[\],:]|[^\s{}\[\],:"]++', re.DOTALL)
_KEY = re.compile(r'"((?:[^"\\]|\\.)+)"|([^."]+)')
_MOST_NAMES = 10
_SHORTENED = '"…"'.encode()


class Layout(Enum):
    """A layout of records that is not a path."""

    LINES = "lines"

    def __repr__(self) -> str:
        return self.name


LINES = Layout.LINES
"""For `records`: NDJSON, one record per line."""

Records = str | Sequence[str] | Layout | None
"""What a source declares: a path, LINES, or nothing."""


def parse_records(records: Records) -> Path | Layout | None:
    """Return the declared path as keys. A key with a dot is quoted, or the path is a tuple. Raises TypeError."""
    if records is None or isinstance(records, Layout):
        return records
    if not isinstance(records, str):
        if not all(isinstance(key, str) for key in records):
            raise TypeError(f"records = {records!r}: use text, a tuple of keys, or LINES")
        return tuple(records)
    keys: list[str] = []
    at = 0
    while at < len(records):
        match = _KEY.match(records, at + bool(keys))
        if match is None or (keys and records[at] != "."):
            raise TypeError(f"records = {records!r}: use keys separated by dots, and quote a key with a dot or a quote")
        keys.append(re.sub(r"\\(.)", r"\1", match[1]) if match[1] is not None else match[2])
        at = match.end()
    return tuple(keys)


def show_path(path: Sequence[str]) -> str:
    """Return the path as a source would declare it."""
    return ".".join(key if _KEY.fullmatch(key) and '"' not in key else _quote(key) for key in path)


def _quote(key: str) -> str:
    escaped = key.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


class PathNotFound(Exception):
    """The path leads to no array. The message completes "it has no array at 'data':"."""


def is_closed_object(file: BinaryIO, offset: int, path: Path) -> bool:
    """Whether the text is one object, with an array at the path, and all of its brackets are closed at its end."""
    try:
        around = Around(file, offset, path)
        _WindowScan(around.window).skip_next()
    except (ValueError, PathNotFound):
        return False
    return around.leave(around.window)


class Around:
    """The objects around an array: their values before it and after it. Arrays and long strings are left out."""

    def __init__(self, file: BinaryIO, offset: int, path: Path) -> None:
        """Go to the array. Raises PathNotFound."""
        self.path = path
        self.window = Window(file, offset)
        self.values: dict[str, Any] = {}
        self._enter()

    def _enter(self) -> None:
        """Go to the array's opening bracket, and take the values before it."""
        scan, values = _WindowScan(self.window), self.values
        try:
            for level, key in enumerate(self.path):
                self._expect("{", self.path[:level])
                scan.take()
                if not _go_to_key(scan, values, key, level + 1):
                    raise PathNotFound(_describe_lack(key, self.path[:level], values))
                inner: dict[str, Any] = {}
                values[key] = Left.ARRAY if level + 1 == len(self.path) else inner
                values = inner
        except (ValueError, RecursionError):
            raise PathNotFound(f"its text breaks off or is not valid JSON at line {self.window.line}") from None
        self._expect("[", self.path)

    def _expect(self, bracket: str, path: Sequence[str]) -> None:
        mark = self.window.skip_blank()
        if mark != bracket:
            where = repr(show_path(path)) if path else "the body"
            raise PathNotFound(f"{where} is {_KINDS.get(mark, 'a number') if mark else 'missing'}")

    def leave(self, window: Window) -> bool:
        """Take the values after the array, whose closing bracket is in front of the window's index.

        Returns False unless all that is open is closed and nothing follows.
        """
        scan = _WindowScan(window)
        try:
            for level in reversed(range(len(self.path))):
                self._fill(scan, level)
        except (ValueError, RecursionError):
            return False
        return window.skip_blank() == ""

    def _fill(self, scan: Scan, level: int) -> None:
        holder = self.values
        for key in self.path[:level]:
            holder = holder[key]
        inner = holder.pop(self.path[level])
        scan.fill(holder, level + 1)
        is_doubled = self.path[level] in holder
        holder[self.path[level]] = inner
        if is_doubled:  # the records of the second one would be lost
            raise ValueError

    def ends_at(self, window: Window) -> bool:
        """Whether the text ends well after an array that is closed in front of the window's index."""
        copied = Around.__new__(Around)
        copied.path, copied.values = self.path, _copy_objects(self.values)
        return copied.leave(window)


_KINDS = {"{": "an object", "[": "an array", '"': "text", "n": "null", "t": "true", "f": "false"}


def _copy_objects(values: dict[str, Any]) -> dict[str, Any]:
    return {key: _copy_objects(value) if isinstance(value, dict) else value for key, value in values.items()}


def _go_to_key(scan: Scan, values: dict[str, Any], key: str, level: int) -> bool:
    """Go to the value of this key, in an object whose beginning is taken. Returns False if the object lacks it."""
    return next((True for name in scan.take_names(values, level) if name == key), False)


def _describe_lack(key: str, path: Sequence[str], values: dict[str, Any]) -> str:
    where = repr(show_path(path)) if path else "the body"
    names = ", ".join(map(repr, list(values)[:_MOST_NAMES])) + (", …" if len(values) > _MOST_NAMES else "")
    return f"{where} has no {key!r}, only {names}" if names else f"{where} is an empty object"


class _WindowScan(Scan):
    """Takes tokens from a window that moves over a file. A long text is taken as `…`."""

    def __init__(self, window: Window) -> None:
        super().__init__()
        self.window = window

    def take(self) -> bytes:
        window = self.window
        if not window.skip_blank():
            raise ValueError
        while True:
            match = _TOKEN.match(window.text, window.index)
            if match is not None and (match.end() < len(window.text) or window.is_at_end):
                window.move_to(match.end())
                token = match[0]
                is_long = len(token) > _LONGEST_KEPT and token[0] == '"'
                return _SHORTENED if is_long else token.encode(errors="surrogateescape")
            if window.is_at_end or len(window.text) - window.index > _LONGEST_TOKEN:
                return self._take_long()
            window.extend()

    def _take_long(self) -> bytes:
        if self.window.text[self.window.index] != '"' or not self.window.skip_string():
            raise ValueError
        return _SHORTENED

    def skip_next(self) -> None:
        """Skip the array or object that begins here."""
        self.skip(self.take())

    def skip(self, opening: bytes) -> Left:
        """Skip the rest of an array or object."""
        is_empty = self.window.skip_blank() == "]"
        depth = 1
        scanner = Scanner(self.window)
        for mark in _list_marks(scanner):
            depth += 1 if mark in "{[" else -1 if mark in "}]" else 0
            if not depth:
                self.window.move_to(scanner.at)
                return Left.EMPTY if is_empty or opening != b"[" else Left.ARRAY
        raise ValueError


def _list_marks(scanner: Scanner) -> Iterator[str]:
    for mark, _ in scanner.scan():
        if mark == LONE_QUOTE:
            raise ValueError
        yield mark
