"""A contract: the fields that a source's record must have, and the judgement of one record or of many. Pure."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import NoneType, UnionType
from typing import Any, ClassVar, Union, get_args, get_origin, get_type_hints

from etl.contracts.field_type import FieldType, show_value
from etl.contracts.forms import JSON_FORM, Form
from etl.records import Breach
from etl.vocabulary import BreachCode

CONTRACT_FORMAT = 1
"""Part of every contract's digest. Raise it when a type's meaning changes: then each source is read again in full."""

Texts = dict[str, list[str | None]]
"""Columns of canonical text by field path; None for a field without a value."""


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a contract: its type or nested contract, the Python type of its values, whether it may be null."""

    kind: "FieldType | type[Contract]"
    parsed: Any
    is_optional: bool = False


class Contract:
    """Declares what one record must look like: a subclass gives each field a field type or another contract.

    Fields that the contract does not name are kept in the raw record and otherwise ignored. A named field is
    required unless its type is `X | None`: then it is None if it is absent or null, in a file also if it is empty
    or a null word.
    """

    fields: ClassVar[Mapping[str, Field]] = {}

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "fields" in inspect.get_annotations(cls):
            raise TypeError(f"{cls.__name__}.fields: the contract itself uses this name, so a record's field can't")
        hints = get_type_hints(cls, include_extras=True)
        cls.fields = {name: _make_field(cls, name, hint) for name, hint in hints.items() if name != "fields"}

    @classmethod
    def judge(cls, values: Mapping[str, Any], form: Form = JSON_FORM) -> dict[str, Any] | Breach:
        """Return the parsed values by field path (`price.amount`), or the first breach in the contract's order."""
        parsed: dict[str, Any] = {}
        return cls.judge_into(parsed, values, form, "") or parsed

    @classmethod
    def judge_into(cls, parsed: dict[str, Any], values: Mapping[str, Any], form: Form, prefix: str) -> Breach | None:
        for name, field in cls.fields.items():
            path, kind = prefix + name, field.kind
            value = values.get(name)
            if form.is_null(value, is_optional=field.is_optional):
                if not field.is_optional:
                    return _report_missing(path)
                parsed |= dict.fromkeys(_list_paths(path, kind))
            elif isinstance(kind, FieldType):
                result = kind.parse(value, form)
                if isinstance(result, Breach):
                    return _name_column(result, path)
                parsed[path] = result
            elif not isinstance(value, Mapping):
                return _report_no_object(path, value)
            elif breach := kind.judge_into(parsed, value, form, f"{path}."):
                return breach
        return None

    @classmethod
    def parse_field(cls, path: str, values: Mapping[str, Any], form: Form = JSON_FORM) -> Any:
        """Return one field's parsed value, whatever the others are; None if it is missing, null or breaks."""
        name, _, rest = path.partition(".")
        field, value = cls.fields[name], values.get(name)
        if form.is_null(value, is_optional=field.is_optional):
            return None
        if isinstance(field.kind, FieldType):
            result = field.kind.parse(value, form)
            return None if isinstance(result, Breach) else result
        return field.kind.parse_field(rest, value, form) if isinstance(value, Mapping) else None

    @classmethod
    def judge_columns(
        cls, take: Callable[[str], Sequence[Any]], count: int, form: Form = JSON_FORM, prefix: str = ""
    ) -> tuple[Texts, dict[int, Breach]]:
        """Judge `count` records by columns: the same as `judge` gives record by record, but fast.

        `take(name)` returns a field's column of `count` values, None if a record lacks it. Returns the columns of
        canonical text by field path, and by row the first breach in the contract's order; rows count from 0. The text
        of a refused row has no meaning.
        """
        texts: Texts = {}
        breaches: dict[int, Breach] = {}
        for name, field in cls.fields.items():
            found, broken = _judge_column(field, prefix + name, take(name), count, form)
            texts |= found
            breaches = broken | breaches  # of two breaches in a row, the earlier field's stays
        return texts, breaches

    @classmethod
    def describe(cls) -> dict[str, str]:
        """Return the type name of each field path, in the contract's order; optional nested contracts are named too."""
        described: dict[str, str] = {}
        for name, field in cls.fields.items():
            null = " or null" if field.is_optional else ""
            if isinstance(field.kind, FieldType):
                described[name] = field.kind.name + null
                continue
            if null:
                described[name] = "object" + null
            described |= {f"{name}.{path}": kind for path, kind in field.kind.describe().items()}
        return described

    @classmethod
    def list_fields(cls) -> dict[str, Field]:
        """Return the fields that hold a value, by path. Everything in an optional nested contract is optional."""
        listed: dict[str, Field] = {}
        for name, field in cls.fields.items():
            if isinstance(field.kind, FieldType):
                listed[name] = field
                continue
            for path, inner in field.kind.list_fields().items():
                listed[f"{name}.{path}"] = replace(inner, is_optional=inner.is_optional or field.is_optional)
        return listed


def _make_field(contract: type[Contract], name: str, hint: Any) -> Field:
    alternatives = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    kinds = [kind for kind in alternatives if kind is not NoneType]
    if len(kinds) == 1:
        (kind,) = kinds
        is_optional = len(alternatives) > 1
        if isinstance(kind, type) and issubclass(kind, Contract):
            return Field(kind, dict, is_optional)
        for extra in getattr(kind, "__metadata__", ()):
            if isinstance(extra, FieldType):
                return Field(extra, get_args(kind)[0], is_optional)
    raise TypeError(f"{contract.__name__}.{name}: use a type of etl.contracts or another Contract, not {hint!r}")


def _judge_column(
    field: Field, path: str, column: Sequence[Any], count: int, form: Form
) -> tuple[Texts, dict[int, Breach]]:
    """Judge one field of all records, including the records that lack it."""
    rows = form.find_values(column, is_optional=field.is_optional)
    if len(rows) == count:
        return _judge_values(field.kind, path, column, form)
    texts, breaches = _judge_rows(field.kind, path, column, rows, form)
    if not field.is_optional:
        breaches |= {row: _report_missing(path) for row in set(range(count)).difference(rows)}
    return texts, breaches


def _judge_rows(
    kind: FieldType | type[Contract], path: str, column: Sequence[Any], rows: Sequence[int], form: Form
) -> tuple[Texts, dict[int, Breach]]:
    """Judge the values of these rows only; the other rows have the text None and no breach."""
    texts, breaches = _judge_values(kind, path, [column[row] for row in rows], form)
    spread: Texts = {each: [None] * len(column) for each in texts}
    for each, found in texts.items():
        for row, text in zip(rows, found, strict=True):
            spread[each][row] = text
    return spread, {rows[index]: breach for index, breach in breaches.items()}


def _judge_values(
    kind: FieldType | type[Contract], path: str, column: Sequence[Any], form: Form
) -> tuple[Texts, dict[int, Breach]]:
    """Judge a column without nulls."""
    if isinstance(kind, FieldType):
        texts, breaches = kind.parse_column(column, form)
        return {path: texts}, {row: _name_column(breach, path) for row, breach in breaches.items()}
    objects = [row for row, value in enumerate(column) if isinstance(value, Mapping)]
    if len(objects) == len(column):
        return kind.judge_columns(lambda name: [value.get(name) for value in column], len(column), form, f"{path}.")
    found, broken = _judge_rows(kind, path, column, objects, form)
    others = set(range(len(column))).difference(objects)
    return found, broken | {row: _report_no_object(path, column[row]) for row in others}


def _list_paths(path: str, kind: FieldType | type[Contract]) -> list[str]:
    return [path] if isinstance(kind, FieldType) else [f"{path}.{inner}" for inner in kind.list_fields()]


def _report_missing(path: str) -> Breach:
    return Breach(BreachCode.MISSING, f"{path} is missing", path)


def _report_no_object(path: str, value: Any) -> Breach:
    return Breach(BreachCode.NOT_AN_OBJECT, f"{path} must be an object, not {show_value(value)}", path)


def _name_column(breach: Breach, path: str) -> Breach:
    return Breach(breach.code, f"{path} {breach.message}", path)
