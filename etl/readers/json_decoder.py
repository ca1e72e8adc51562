"""Decodes one JSON value and makes an item of it: a record, or the refusal of a value that is not a valid object."""

import json
import math
from collections import Counter
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from etl.contracts.field_type import Number
from etl.contracts.json_values import MAX_DEPTH
from etl.readers.json_window import find_end_of_blank
from etl.records import Breach, Original, Record, Refusal, wrap_payload
from etl.vocabulary import BreachCode

_LONGEST_TOKEN = 16
"""An error so near to the end of a text may be due to a word, number or escape that continues after it."""
_CONSTANTS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_COMPLAINTS = {
    "Expecting value": "a value is missing",
    "Expecting ',' delimiter": "a comma or a closing bracket is missing",
    "Expecting ':' delimiter": "a colon is missing",
    "Expecting property name": "a name in double quotes is missing",
    "Unterminated string": "a string is not closed that begins",
    "Invalid control character": "a control character is not escaped",
    "Invalid \\escape": "an escape is unknown",
    "Invalid \\u": "an escape is incomplete",
}
"""Python's words and Kasparro's words."""


class Decoder:
    """Python's JSON decoder, made strict: numbers stay text, and duplicate keys are a breach. It raises nothing.

    The words NaN, Infinity and -Infinity, which many programs write, become floats: no field type accepts a float.
    About the value decoded last: `is_standard` if it has no such word, `is_cut` if it may continue after the end of the
    text, `failed_at` is the index at which it breaks.
    """

    def __init__(self) -> None:
        self.complaint: Breach | None = None
        self.is_standard, self.is_cut, self.failed_at = True, False, 0
        self.decoder = json.JSONDecoder(
            object_pairs_hook=self._build, parse_int=Number, parse_float=Number, parse_constant=self._note_constant
        )

    def _build(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        built = dict(pairs)
        if len(built) != len(pairs):
            counts = Counter(key for key, _ in pairs)
            doubled = next(key for key in counts if counts[key] > 1)
            text = f"names the key {doubled[:60]!r} twice"
            self.complaint = self.complaint or Breach(BreachCode.DUPLICATE_KEY, text, doubled[:60])
        return built

    def _note_constant(self, word: str) -> float:
        self.is_standard = False
        return _CONSTANTS[word]

    def decode_at(self, text: str, index: int) -> tuple[Any | Breach, int | None]:
        """Return the value that begins at `index`, or a breach, and the index after it (None if that is unknown)."""
        self.complaint, self.is_standard, self.is_cut, self.failed_at = None, True, False, index
        try:
            value, end = self.decoder.raw_decode(text, index)
        except RecursionError:
            return _TOO_DEEP, None
        except json.JSONDecodeError as error:
            self.failed_at = error.pos
            self.is_cut = error.pos > len(text) - _LONGEST_TOKEN or error.msg.startswith("Unterminated")
            message = f"is not valid JSON: {_translate(error.msg)} at character {error.pos - index + 1}"
            return Breach(BreachCode.MALFORMED, message), None
        self.is_cut = end == len(text)
        if text.count("{", index, end) + text.count("[", index, end) > MAX_DEPTH and _is_too_deep(value):
            return _TOO_DEEP, end
        return self.complaint or value, end

    def decode(self, text: str) -> Any | Breach:
        """Decode a string that is one JSON value."""
        index = find_end_of_blank(text, 0)
        value, end = self.decode_at(text, index)
        if end is not None and find_end_of_blank(text, end) != len(text):
            return Breach(BreachCode.MALFORMED, f"is not valid JSON: unexpected text at character {end + 1}")
        return value

    def make_item(self, position: int, line: int, text: str, value: Any | Breach) -> Record | Refusal:
        """Make a record or a refusal of the value decoded last. In `text`, bytes that are not UTF-8 are surrogates."""
        try:
            original = text.encode()
        except UnicodeEncodeError:
            breach = Breach(BreachCode.BAD_ENCODING, "is not valid UTF-8")
            return Refusal(position, line, breach, None, Original.of(text.encode(errors="surrogateescape")))
        payload = text if self.is_standard else wrap_payload(text)
        if isinstance(value, Breach):
            kept = payload if value.code is BreachCode.DUPLICATE_KEY else None
            return Refusal(position, line, value, kept, Original.of(original))
        if not isinstance(value, dict):
            breach = Breach(BreachCode.NOT_AN_OBJECT, "is not a JSON object")
            return Refusal(position, line, breach, payload, Original.of(original))
        return Record(position, line, value, payload, original)


@lru_cache
def _translate(complaint: str) -> str:
    return next((ours for words, ours in _COMPLAINTS.items() if complaint.startswith(words)), "it breaks")


_TOO_DEEP = Breach(BreachCode.TOO_DEEP, f"is nested more than {MAX_DEPTH} levels deep")


def _is_too_deep(value: Any) -> bool:
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [child for parent in level for child in _list_children(parent) if isinstance(child, (dict, list))]
    return bool(level)


def _list_children(value: dict[str, Any] | list[Any]) -> Iterable[Any]:
    return value.values() if isinstance(value, dict) else value
