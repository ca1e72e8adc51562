"""Builds the contract of a target: from a model's fields, or from a contract of the source, narrowed by them. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from django.db import models

from etl.contracts.contract import Contract
from etl.contracts.field_type import FieldType
from etl.contracts.fields import Field
from etl.contracts.json_values import JsonType
from etl.contracts.limits import NarrowedType
from etl.readers.model_types import AnyField

_JSON = JsonType()

Leaf = tuple[tuple[str, ...], str, Field]
"""A field of a contract: the names of the objects around it, its own name, and how it is read."""


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
