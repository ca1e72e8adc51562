"""Says which field of a record, or which constant, each unified field takes. Pure."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import cache
from typing import Any

from etl.contracts.contract import Contract
from etl.contracts.field_type import FieldType
from etl.contracts.fields import Field
from etl.contracts.forms import JSON_FORM
from etl.contracts.numbers import write_decimal
from etl.contracts.own_types import is_class, is_own
from etl.contracts.texts import NON_BLANK
from etl.contracts.times import ZonedTimeType
from etl.records import Breach
from etl.vocabulary import BreachCode

TEXT_LIMITS = {"external_id": 255, "name": 1000, "category": 255, "currency": 255}
"""Maximum lengths of unified fields: an index entry in PostgreSQL must stay below 2,704 bytes."""

UNIFIED_TYPES: Mapping[str, type] = {
    "external_id": str,
    "name": str,
    "category": str,
    "value": Decimal,
    "currency": str,
    "event_timestamp": datetime,
}
"""The fields that a source can map to, with their Python types."""

SEPARATOR, ESCAPE = "|", "\\"

Column = Sequence[str | None]


@dataclass(frozen=True, slots=True)
class Lowered:
    """The field at `path`, converted to lower case."""

    path: str


@dataclass(frozen=True, slots=True)
class Constant:
    """The same value in every record."""

    value: str | Decimal | datetime


@dataclass(frozen=True, slots=True)
class Origin:
    """The origin of a record as a part of its id: the name of its file, or its number in that file. `key` says which.

    A record's values include its origin under these keys; no path of a field looks like one.
    """

    key: str


FILE_NAME, ROW_NUMBER = Origin("file_name()"), Origin("row_number()")

Part = str | Lowered | Constant | Origin
Mapped = Part | tuple[Part, ...]
"""What a unified field takes: the path of a field, or a form of it; for the id also several of them."""


def lower(path: str) -> Lowered:
    """For a source's `unified`: convert the field at this path to lower case."""
    return Lowered(path)


def constant(value: str | int | Decimal | datetime) -> Constant:
    """For a source's `unified`: the same value in every record."""
    return Constant(Decimal(value) if isinstance(value, int) else value)


def file_name() -> Origin:
    """For the id of a source whose path is a pattern: the name of the record's file."""
    return FILE_NAME


def row_number() -> Origin:
    """For the id of a source whose path is a pattern: the record's number in its file, from 1."""
    return ROW_NUMBER


def takes_origin(mapped: Mapped | None) -> bool:
    """Whether a part of it is the record's file or its number."""
    return any(isinstance(part, Origin) for part in (mapped if isinstance(mapped, tuple) else (mapped,)))


def list_paths(mapped: Mapped) -> list[str]:
    """Return the paths of the fields that are taken."""
    if isinstance(mapped, tuple):
        return [path for part in mapped for path in list_paths(part)]
    if isinstance(mapped, Constant | Origin):
        return []
    return [mapped.path if isinstance(mapped, Lowered) else mapped]


def describe_mapped(mapped: Mapped) -> str:
    """Describe in words what a unified field takes."""
    if isinstance(mapped, tuple):
        return " | ".join(map(describe_mapped, mapped))
    if isinstance(mapped, Origin):
        return mapped.key
    if isinstance(mapped, Lowered):
        return f"{mapped.path}, in lower case"
    return f"always {_write_constant(mapped)}" if isinstance(mapped, Constant) else mapped


def join_parts(parts: Sequence[str]) -> str:
    """Join several strings to one id: `O1|2`. Two different lists of the same length never give the same id.

    A bar or a backslash inside a string gets a backslash before it, so an unescaped bar always separates two strings.
    """
    return SEPARATOR.join(map(_escape, parts))


def _escape(text: str) -> str:
    return text.replace(ESCAPE, ESCAPE * 2).replace(SEPARATOR, ESCAPE + SEPARATOR)


def _escape_column(texts: Sequence[str]) -> Sequence[str]:
    joined = "".join(texts)
    return list(map(_escape, texts)) if ESCAPE in joined or SEPARATOR in joined else texts


def take(contract: type[Contract], mapped: Mapped, target: str, values: Mapping[str, Any]) -> Any:
    """Return what a unified field takes of one record's parsed values. Returns a Breach if a part of an id is null."""
    if isinstance(mapped, tuple):
        return _take_parts(contract, mapped, target, values)
    if isinstance(mapped, Constant):
        return mapped.value
    if isinstance(mapped, Origin):
        return values[mapped.key]
    if isinstance(mapped, Lowered):
        text = _take_text(contract, mapped.path, values)
        return None if text is None else text.lower()
    if target in TEXT_LIMITS:
        return _take_text(contract, mapped, values)
    value = values[mapped]
    return Decimal(value) if target == "value" and isinstance(value, int) else value


def _take_parts(
    contract: type[Contract], parts: Sequence[Part], target: str, values: Mapping[str, Any]
) -> str | Breach:
    texts: list[str] = []
    for part in parts:
        text = take(contract, part, target, values)
        if text is None:
            return _report_null(contract, part, target)
        texts.append(text)
    return join_parts(texts)


def _take_text(contract: type[Contract], path: str, values: Mapping[str, Any]) -> str | None:
    value = values[path]
    if value is None or isinstance(value, str):
        return value
    return _find_type(contract, path).write(value)  # type: ignore[arg-type]  # a class is hashable


@cache
def _find_type(contract: type[Contract], path: str) -> FieldType:
    kind = contract.list_fields()[path].kind
    assert isinstance(kind, FieldType)  # a path leads to a field with a value
    return kind


def take_column(mapped: Mapped, texts: Mapping[str, Column], count: int) -> Column:
    """Return what `take` gives for each of `count` records, as canonical text. None for an id with a null part."""
    if isinstance(mapped, tuple):
        return _join_columns([take_column(part, texts, count) for part in mapped])
    if isinstance(mapped, Constant):
        return [_write_constant(mapped)] * count
    if isinstance(mapped, Origin):
        return texts[mapped.key]
    if isinstance(mapped, Lowered):
        return [text.lower() if text is not None else None for text in texts[mapped.path]]
    return texts[mapped]


def _join_columns(columns: Sequence[Column]) -> Column:
    whole = [[text for text in column if text is not None] for column in columns]
    if all(len(texts) == len(column) for texts, column in zip(whole, columns, strict=True)):
        return list(map(SEPARATOR.join, zip(*map(_escape_column, whole), strict=True)))
    rows = ([text for text in row if text is not None] for row in zip(*columns, strict=True))
    return [join_parts(row) if len(row) == len(columns) else None for row in rows]


def find_null_parts(
    contract: type[Contract], parts: Sequence[Part], target: str, texts: Mapping[str, Column], joined: Column
) -> dict[int, Breach]:
    """Return by row the breach of each record whose id has a part that is null."""
    if None not in joined:
        return {}
    columns = [take_column(part, texts, len(joined)) for part in parts]
    rows = (row for row, text in enumerate(joined) if text is None)
    nulls = {
        row: next(part for part, column in zip(parts, columns, strict=True) if column[row] is None) for row in rows
    }
    return {row: _report_null(contract, part, target) for row, part in nulls.items()}


def _report_null(contract: type[Contract], part: Part, target: str) -> Breach:
    (path,) = list_paths(part)
    column = contract.name_path(path)
    return Breach(BreachCode.MISSING, f"{column} is missing, and it is a part of {target}", column)


def report_long_text(contract: type[Contract], mapped: Mapped, target: str, length: int) -> Breach:
    """Return the breach of a record whose text for this unified field has too many characters."""
    paths = [contract.name_path(path) for path in list_paths(mapped)] or [target]
    names, have = " and ".join(paths), "have together" if len(paths) > 1 else "has"
    text = f"{names} {have} {length} characters, at most {TEXT_LIMITS[target]} fit"
    return Breach(BreachCode.TOO_LONG, text, ", ".join(paths))


def _write_constant(mapped: Constant) -> str:
    value = mapped.value
    if isinstance(value, datetime):
        return ZonedTimeType().write(value)
    return write_decimal(value) if isinstance(value, Decimal) else value


def list_own_targets(contract: type[Contract], unified: Mapping[str, Mapped]) -> list[str]:
    """Return the unified fields that take a value of a field type of the source's own."""
    fields = contract.list_fields()
    targets = ((target, list_paths(mapped)) for target, mapped in unified.items())
    return [target for target, paths in targets if any(_is_own(fields.get(path)) for path in paths)]


def holds_any_own(contract: type[Contract], unified: Mapping[str, Mapped]) -> bool:
    """Whether a number or time comes from an own type whose Python type is not declared: each value must be checked."""
    fields = contract.list_fields()
    paths = [path for target in ("value", "event_timestamp") for path in list_paths(unified.get(target, ()))]
    own = [fields[path] for path in paths if _is_own(fields.get(path))]
    return not all(is_class(field.parsed) for field in own)


def _is_own(field: Field | None) -> bool:
    return field is not None and isinstance(field.kind, FieldType) and is_own(field.kind)


def find_unfit(target: str, column: Column) -> list[int]:
    """Return the rows whose text may not be stored in this unified field. Null is left out."""
    is_fit = _FITS.get(target, _is_fit_text)
    return [row for row, text in enumerate(column) if text is not None and not is_fit(text)]


def _is_fit_text(text: str) -> bool:
    return NON_BLANK.parse(text, JSON_FORM) == text


def _is_fit_number(text: str) -> bool:
    return _NUMBER.fullmatch(text) is not None


def _is_fit_time(text: str) -> bool:
    return _TIME.fullmatch(text) is not None


_NUMBER = re.compile(r"(?!-0\Z)-?(0|[1-9][0-9]{0,19})(\.[0-9]{0,17}[1-9])?")
_TIME = re.compile(r"[1-9][0-9]{3}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{6})?\+00:00")
_FITS = {"value": _is_fit_number, "event_timestamp": _is_fit_time}


def write_unified(value: Any) -> str | None:
    """Return the canonical text of a unified field's value."""
    return None if value is None else _write_constant(Constant(value))
