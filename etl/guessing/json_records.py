"""Finds the records in a sample of JSON: an array, lines, or an array inside an object. Pure."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from etl.contracts.field_type import Number


@dataclass(frozen=True, slots=True)
class FoundRecords:
    """The records, and the path to their array; empty for an array at the top, and for lines."""

    records: Sequence[Mapping[str, Any]]
    path: str = ""
    is_lines: bool = False


def find_records(data: bytes, *, is_all: bool, is_named_lines: bool = False) -> FoundRecords | None:
    """Return the records in the data; None if it is not JSON with objects.

    `is_named_lines`: the file's name says that each line is a record.
    """
    text = data.decode("utf-8-sig", "replace").strip()
    if not text.startswith(("{", "[")):
        return None
    if text.startswith("{") and (lines := _read_lines(text, is_all=is_all, is_named=is_named_lines)):
        return FoundRecords(lines, is_lines=True)
    value = _decode(text)
    if value is None and text.startswith("["):
        value = _read_elements(text)
    return _find_array(value)


def _decode(text: str) -> Any:
    try:
        return json.loads(text, parse_int=Number, parse_float=Number)
    except ValueError:
        return None


def _read_lines(text: str, *, is_all: bool, is_named: bool) -> list[Mapping[str, Any]]:
    """Return the objects of NDJSON; empty if most lines are not objects."""
    lines = [line for line in text.split("\n") if line.strip()]
    lines = lines if is_all else lines[:-1]
    values = [_decode(line) for line in lines]
    objects = [value for value in values if isinstance(value, dict)]
    is_lines = len(objects) * 2 > len(lines) and (len(lines) > 1 or is_named or not _has_array(objects))
    return [*objects] if is_lines else []


def _has_array(objects: Sequence[Mapping[str, Any]]) -> bool:
    return any(_find_array(value) is not None for value in objects)


def _read_elements(text: str) -> list[Any]:
    """Return the elements of an array whose end is not in the sample."""
    decoder, place, found = json.JSONDecoder(parse_int=Number, parse_float=Number), 1, []
    while place < len(text):
        while place < len(text) and text[place] in " \t\r\n,":
            place += 1
        try:
            value, place = decoder.raw_decode(text, place)
        except ValueError:
            break
        found.append(value)
    return found


def _find_array(value: Any, path: str = "") -> FoundRecords | None:
    """Return the array of objects that is nearest to the top."""
    if isinstance(value, list):
        objects = [each for each in value if isinstance(each, dict)]
        return FoundRecords(objects, path) if objects else None
    if not isinstance(value, dict):
        return None
    inner = {key: each for key, each in value.items() if isinstance(each, list | dict)}
    for key, each in sorted(inner.items(), key=lambda pair: isinstance(pair[1], dict)):
        found = _find_array(each, f"{path}.{key}" if path else key)
        if found is not None:
            return found
    return None
