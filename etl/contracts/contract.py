"""A contract: the fields that a source's record must have, and the judgement of one record. Pure."""

import inspect
from collections.abc import Mapping
from typing import Any, ClassVar, get_type_hints

from etl.contracts.field_types import FieldType, show_value
from etl.records import Breach
from etl.vocabulary import BreachCode

CONTRACT_FORMAT = 1
"""Part of every contract's digest. Raise it when a type's meaning changes: then each source is read again in full."""


class Contract:
    """Declares what one record must look like: a subclass gives each field a field type or another contract.

    Fields that the contract does not name are kept in the raw record and otherwise ignored. Every named
    field is required.
    """

    fields: ClassVar[Mapping[str, "FieldType | type[Contract]"]] = {}

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "fields" in inspect.get_annotations(cls):
            raise TypeError(f"{cls.__name__}.fields: the contract itself uses this name, so a record's field can't")
        hints = get_type_hints(cls, include_extras=True)
        cls.fields = {name: _find_field_type(cls, name, hint) for name, hint in hints.items() if name != "fields"}

    @classmethod
    def judge(cls, values: Mapping[str, Any]) -> dict[str, Any] | Breach:
        """Return the parsed values by field path (`price.amount`), or the first breach in the contract's order."""
        parsed: dict[str, Any] = {}
        return cls.judge_into(parsed, values, "") or parsed

    @classmethod
    def judge_into(cls, parsed: dict[str, Any], values: Mapping[str, Any], prefix: str) -> Breach | None:
        for name, field_type in cls.fields.items():
            path = prefix + name
            value = values.get(name)
            if value is None:
                return Breach(BreachCode.MISSING, f"{path} is missing", path)
            if isinstance(field_type, FieldType):
                result = field_type.parse(value)
                if isinstance(result, Breach):
                    return Breach(result.code, f"{path} {result.message}", path)
                parsed[path] = result
            elif not isinstance(value, Mapping):
                return Breach(BreachCode.NOT_AN_OBJECT, f"{path} must be an object, not {show_value(value)}", path)
            elif breach := field_type.judge_into(parsed, value, f"{path}."):
                return breach
        return None

    @classmethod
    def describe(cls) -> dict[str, str]:
        """Return the type name of each field path, in the contract's order."""
        described: dict[str, str] = {}
        for name, field_type in cls.fields.items():
            if isinstance(field_type, FieldType):
                described[name] = field_type.name
            else:
                described |= {f"{name}.{path}": kind for path, kind in field_type.describe().items()}
        return described


def _find_field_type(contract: type[Contract], name: str, hint: Any) -> "FieldType | type[Contract]":
    if isinstance(hint, type) and issubclass(hint, Contract):
        return hint
    for extra in getattr(hint, "__metadata__", ()):
        if isinstance(extra, FieldType):
            return extra
    raise TypeError(f"{contract.__name__}.{name}: use a type of etl.contracts or another Contract, not {hint!r}")
