"""Builds the contract of a target: from a model's fields, or from a contract of the source, narrowed by them. Pure.

It also says what of a record the target's fields take, and what they leave for `rest()`.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from django.db import models

from etl.contracts.contract import Contract
from etl.contracts.field_type import FieldType, Number
from etl.contracts.fields import Field
from etl.contracts.forms import Form
from etl.contracts.json_values import JsonType
from etl.contracts.limits import LimitedType, NarrowedType
from etl.contracts.names import Spellings
from etl.contracts.texts import TextType
from etl.readers.model_types import AnyField
from etl.records import Breach

_JSON = JsonType()

Leaf = tuple[tuple[str, ...], str, Field]
"""A field of a contract: the names of the objects around it, its own name, and how it is read."""


@dataclass(frozen=True)
class LoweredType(FieldType):
    """What the `base` accepts once it is in lower case: for `lower(…)`, which stores that."""

    base: FieldType

    @property
    def name(self) -> str:
        return self.base.name

    @property
    def writes_json(self) -> bool:  # type: ignore[override]  # as its base does
        return self.base.writes_json

    def describe(self) -> str:
        return f"{self.base.describe()}, in lower case"

    def parse(self, value: Any, form: Form) -> Any:
        return self.base.parse(_lower(value), form)

    def write(self, value: Any) -> str:
        return self.base.write(value)

    def parse_column(self, column: Sequence[Any], form: Form) -> tuple[list[str | None], dict[int, Breach]]:
        return self.base.parse_column([*map(_lower, column)], form)


def lower_text(kind: FieldType) -> FieldType:
    """Return the type of `lower(…)` for a column of this type. Only a text is judged in lower case."""
    base = kind.base if isinstance(kind, LimitedType) else kind
    return LoweredType(kind) if isinstance(base, TextType) else kind


def _lower(value: Any) -> Any:
    if isinstance(value, Number):
        return Number(value.text.lower())
    return value.lower() if isinstance(value, str) else value


@dataclass(frozen=True, slots=True)
class TakenField:
    """A field of a contract whose value is taken: all of it, or only the `inner` fields of an object.

    `columns` has the spellings of each of its columns.
    """

    name: str
    columns: tuple[Spellings, ...]
    inner: "tuple[TakenField, ...]" = ()


def list_taken(contract: type[Contract], paths: Collection[str], prefix: str = "") -> tuple[TakenField, ...]:
    """Return the fields that hold the values at these paths of the contract."""
    found = []
    for name, field in contract.fields.items():
        path = prefix + name
        if isinstance(field.kind, FieldType):
            if path in paths:
                found.append(TakenField(name, field.columns))
        elif inner := list_taken(field.kind, paths, f"{path}."):
            found.append(TakenField(name, field.columns, inner))
    return tuple(found)


def leave_rest(values: Mapping[str, Any], taken: Sequence[TakenField]) -> dict[str, Any]:
    """Return what is left of a JSON record without the values that are taken. An object that has no others goes too."""
    left = dict(values)
    for field in taken:
        for spellings in field.columns:
            _take(left, values, spellings, field.inner)
    return left


def _take(left: dict[str, Any], values: Mapping[str, Any], spellings: Spellings, inner: Sequence[TakenField]) -> None:
    """Take the value of the first spelling that has one, as a contract does."""
    for name in spellings:
        value = left.pop(name, None)
        if inner and isinstance(value, Mapping) and (kept := leave_rest(value, inner)):
            left[name] = kept
        if values.get(name) is not None:
            return


def allow_absence(field: AnyField) -> tuple[bool, str | None]:
    """Return whether a record may lack the field's value, and the text that is stored then."""
    if field.has_default():
        default = field.default() if field.default in (dict, list) else field.default
        if not callable(default):
            return default is not None or field.null, None if default is None else _write_default(field, default)
    if field.null:
        return True, None
    if field.blank and field.empty_strings_allowed and isinstance(field, models.CharField | models.TextField):
        return True, ""
    return False, None


def _write_default(field: AnyField, default: Any) -> str:
    if isinstance(default, bool):
        return "true" if default else "false"
    if isinstance(field, models.JSONField):
        return _JSON.write(default)
    return str(getattr(default, "value", default))  # an enumeration's member stands for its value


def build_contract(name: str, leaves: Sequence[Leaf]) -> type[Contract]:
    """Return the contract that has these fields."""
    contract: type[Contract] = type(name, (Contract,), {})
    contract.fields = dict(_list_fields(name, leaves))
    return contract


def _list_fields(name: str, leaves: Sequence[Leaf]) -> Iterator[tuple[str, Field]]:
    groups: dict[str, list[Leaf]] = {}
    for steps, leaf, field in leaves:
        if not steps:
            yield leaf, field
        else:
            groups.setdefault(steps[0], []).append((steps[1:], leaf, field))
    for step, inner in groups.items():
        is_optional = all(field.is_optional for _, _, field in inner)
        yield f"{step}{{}}", Field(build_contract(f"{name}.{step}", inner), dict, is_optional, ((step,),))


def narrow(contract: type[Contract], narrowed: Mapping[str, Sequence[FieldType]], prefix: str = "") -> type[Contract]:
    """Return the contract with types that also refuse what the columns can't hold."""
    copy: type[Contract] = type(contract.__name__, (Contract,), {"__module__": contract.__module__})
    fields: dict[str, Field] = {}
    for name, field in contract.fields.items():
        path = prefix + name
        if isinstance(field.kind, FieldType):
            kinds = narrowed.get(path)
            kind: Any = NarrowedType(field.kind, tuple(kinds), field.parsed) if kinds else field.kind
        else:
            kind = narrow(field.kind, narrowed, f"{path}.")
        fields[name] = replace(field, kind=kind)
    copy.fields = fields
    return copy
