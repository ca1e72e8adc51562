"""Shows strings from outside verbatim and harmless: without markup, invisible characters or changes of direction."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.utils.html import format_html
from django.utils.safestring import SafeString

MOST_CHARACTERS = 64 << 10
"""The most characters of a payload that are shown; a longer one is truncated and not compared."""
MOST_FIELDS = 500
MOST_DEPTH = 50
_LAYOUT = "\n\t"
_FIRST_PICTURE = 0x2400


class _Verbatim(str):
    """A JSON number as it was written."""

    __slots__ = ()


def make_visible(text: str, *, keep: str = "") -> str:
    """Replace each character that is invisible or changes the direction by a visible sign, except those in `keep`."""
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() or character in keep else _show(character) for character in text
    )


def _show(character: str) -> str:
    code = ord(character)
    return chr(_FIRST_PICTURE + code) if code < 0x20 else f"⟨U+{code:04X}⟩"


def show_text(text: object, *, most: int | None = None) -> SafeString:
    """Render a string in one line, isolated in its direction and truncated after `most` characters."""
    visible = make_visible(str(text))
    if most is not None and len(visible) > most:
        visible = f"{visible[:most]}…"
    return format_html("<bdi>{}</bdi>", visible)


def show_original(original: bytes) -> str:
    r"""Decode bytes: invalid UTF-8 becomes \xff, control characters become signs, line ends a sign and a new line."""
    visible = make_visible(original.decode("utf-8", errors="backslashreplace"), keep="\n")
    return visible.replace("\n", "␊\n")


def show_payload(text: str) -> str:
    """Return the payload, truncated if it is long."""
    visible = make_visible(text[:MOST_CHARACTERS], keep=_LAYOUT)
    return visible if len(text) <= MOST_CHARACTERS else f"{visible}…"


def flatten(payload: str | None) -> dict[str, str] | None:
    """Map each field path to its value in JSON (numbers as sent). None if the payload is invalid or too long."""
    if payload is None or len(payload) > MOST_CHARACTERS:
        return None
    try:
        value = json.loads(payload, parse_int=_Verbatim, parse_float=_Verbatim, parse_constant=_Verbatim)
    except (ValueError, RecursionError):
        return None
    fields: dict[str, str] = {}
    for path, leaf in _walk("", value, 0):
        if len(fields) == MOST_FIELDS:
            fields["…"] = "and more"
            break
        fields[path] = leaf
    return fields


def _walk(path: str, value: Any, depth: int) -> Iterator[tuple[str, str]]:
    if depth < MOST_DEPTH and isinstance(value, dict) and value:
        for name, child in value.items():
            yield from _walk(f"{path}.{name}" if path else name, child, depth + 1)
    elif depth < MOST_DEPTH and isinstance(value, list) and value:
        for index, child in enumerate(value):
            yield from _walk(f"{path}[{index}]", child, depth + 1)
    elif isinstance(value, _Verbatim):
        yield path, str(value)
    elif isinstance(value, dict | list):
        yield path, ("{…}" if value else "{}") if isinstance(value, dict) else "[…]" if value else "[]"
    else:
        yield path, json.dumps(value, ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class Difference:
    """One field path of two values or shapes; `kind` is added, removed, changed or same."""

    path: str
    before: str | None
    after: str | None

    @property
    def kind(self) -> str:
        if self.before is None:
            return "added"
        if self.after is None:
            return "removed"
        return "same" if self.before == self.after else "changed"


def compare_fields(before: dict[str, str], after: dict[str, str]) -> list[Difference]:
    """Return the paths of both, in the order of `after`, followed by the removed paths."""
    paths = [*after, *(path for path in before if path not in after)]
    return [Difference(path, before.get(path), after.get(path)) for path in paths]
