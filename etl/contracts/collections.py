"""Field types that hold others: lists, maps with any keys, and the objects of a contract in them. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from json.encoder import encode_basestring
from typing import TYPE_CHECKING, Any

from etl.contracts.field_type import FieldType, show_value
from etl.contracts.forms import JSON_FORM, Form, set_zone
from etl.contracts.json_values import decode_cell
from etl.contracts.own_types import parse_value
from etl.records import Breach
from etl.vocabulary import BreachCode

if TYPE_CHECKING:
    from etl.contracts.contract import Contract


ANY_ITEM, ANY_KEY = "[]", "[*]"
"""The step to each item of a list, and to each value of a map, in a field path."""


@dataclass(frozen=True)
class Item:
    """What each value in a list or map is: its type, the Python type of its values, and whether it may be null."""

    kind: FieldType
    parsed: Any
    is_optional: bool = False

    def parse(self, value: Any, form: Form, *, place: str, step: str) -> Any:
        """Return the parsed value. A breach begins with its place, `[1]`, and its column with the step."""
        if form.is_null(value, is_optional=self.is_optional) if isinstance(value, str) else value is None:
            return None if self.is_optional else Breach(BreachCode.MISSING, f"{place} is missing", step)
        result = parse_value(self.kind, self.parsed, value, form)
        if not isinstance(result, Breach):
            return result
        blank = "" if result.column else " "
        return Breach(result.code, f"{place}{blank}{result.message}", f"{step}{result.column}")

    def write(self, value: Any) -> str:
        """Write a parsed value as JSON."""
        if value is None:
            return "null"
        text = self.kind.write(value)
        return text if self.kind.writes_json else encode_basestring(text)

    def describe(self) -> str:
        return self.kind.describe() + (" or null" if self.is_optional else "")

    def configure(self, parameters: Mapping[str, Any]) -> "Item":
        return replace(self, kind=self.kind.configure(parameters))


@dataclass(frozen=True)
class ListType(FieldType):
    """A JSON array whose items are all of one type. In a file the cell holds JSON, or items with a separator.

    All parameters but `separator` are those of the items.
    """

    item: Item
    separator: str | None = None

    name = "list"
    writes_json = True

    def describe(self) -> str:
        return f"list of {self.item.describe()}" + (f", separator={self.separator!r}" if self.separator else "")

    def configure(self, parameters: Mapping[str, Any]) -> "ListType":
        inner = dict(parameters)
        separator = inner.pop("separator", self.separator)
        if separator is not None and not (isinstance(separator, str) and separator):
            raise TypeError('separator is a text such as ";"')
        return ListType(self.item.configure(inner), separator)

    def parse(self, value: Any, form: Form) -> list[Any] | Breach:
        items, inner = self._read(value, form)
        if isinstance(items, Breach):
            return items
        if not isinstance(items, list):
            return Breach(BreachCode.NOT_A_LIST, f"must be a list, not {show_value(value)}")
        parsed: list[Any] = []
        for index, each in enumerate(items):
            result = self.item.parse(each, inner, place=f"[{index}]", step=ANY_ITEM)
            if isinstance(result, Breach):
                return result
            parsed.append(result)
        return parsed

    def _read(self, value: Any, form: Form) -> tuple[Any, Form]:
        """Return the items as they were sent, and how they are written."""
        if self.separator is None or not isinstance(value, str) or not value.strip():
            return decode_cell(value, form), _in_json(form)
        return value.split(self.separator), form

    def write(self, value: list[Any]) -> str:
        return "[" + ",".join(map(self.item.write, value)) + "]"


@dataclass(frozen=True)
class MapType(FieldType):
    """A JSON object with any keys, whose values are all of one type. In a file the cell holds JSON.

    The parameters are those of the values.
    """

    key: Item
    item: Item

    name = "map"
    writes_json = True

    def describe(self) -> str:
        return f"map of {self.key.describe()} to {self.item.describe()}"

    def configure(self, parameters: Mapping[str, Any]) -> "MapType":
        return MapType(self.key, self.item.configure(parameters))

    def parse(self, value: Any, form: Form) -> dict[str, Any] | Breach:
        sent = decode_cell(value, form)
        if isinstance(sent, Breach):
            return sent
        if not isinstance(sent, Mapping):
            return Breach(BreachCode.NOT_AN_OBJECT, f"must be an object, not {show_value(value)}")
        parsed: dict[str, Any] = {}
        for name, each in sent.items():
            place = f"[{show_value(name)}]"
            key = self.key.parse(name, JSON_FORM, place=f"{place} as a key", step=ANY_KEY)
            if isinstance(key, Breach):
                return key
            if key in parsed:
                return Breach(BreachCode.DUPLICATE_KEY, f"{place} is there twice", ANY_KEY)
            result = self.item.parse(each, _in_json(form), place=place, step=ANY_KEY)
            if isinstance(result, Breach):
                return result
            parsed[key] = result
        return parsed

    def write(self, value: dict[str, Any]) -> str:
        written = {self.key.kind.write(key): self.item.write(each) for key, each in value.items()}
        return "{" + ",".join(f"{encode_basestring(key)}:{written[key]}" for key in sorted(written)) + "}"


@dataclass(frozen=True)
class ObjectType(FieldType):
    """An object of a contract in a list or map; its parsed value has the fields by their paths."""

    contract: "type[Contract]"

    name = "object"
    writes_json = True

    def describe(self) -> str:
        fields = ", ".join(f"{path}: {kind}" for path, kind in self.contract.describe().items())
        return f"object ({fields})"

    def configure(self, parameters: Mapping[str, Any]) -> "ObjectType":
        for name in parameters:
            raise TypeError(f"a nested contract has no {name!r}: give it to the fields of that contract")
        return self

    def parse(self, value: Any, form: Form) -> dict[str, Any] | Breach:
        if not isinstance(value, Mapping):
            return Breach(BreachCode.NOT_AN_OBJECT, f"must be an object, not {show_value(value)}")
        result = self.contract.judge(value, form)
        if isinstance(result, Breach):
            return Breach(result.code, f".{result.message}", f".{result.column}")
        return result

    def write(self, value: dict[str, Any]) -> str:
        return _write_object(self.contract, value, "")


def _write_object(contract: "type[Contract]", values: Mapping[str, Any], prefix: str) -> str:
    """Write an object as JSON, with the fields that have a value."""
    written: list[str] = []
    for name, field in contract.fields.items():
        path, kind = prefix + name, field.kind
        if isinstance(kind, FieldType):
            text = Item(kind, field.parsed).write(values[path])
        elif all(values[f"{path}.{inner}"] is None for inner in kind.list_fields()):
            text = "null"
        else:
            text = _write_object(kind, values, f"{path}.")
        if text != "null":
            written.append(f"{encode_basestring(field.columns[0][0])}:{text}")
    return "{" + ",".join(written) + "}"


def _in_json(form: Form) -> Form:
    """Return the form of the values inside JSON, in a file too."""
    return set_zone(JSON_FORM, form.zone)


def list_maps(contract: "type[Contract]", parent: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the steps to each map in records of this contract."""
    for field in contract.fields.values():
        for spellings in field.columns:
            for name in spellings:
                yield from _list_maps(field.kind, (*parent, name))


def _list_maps(kind: "FieldType | type[Contract]", steps: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    if isinstance(kind, MapType):
        yield steps
        yield from _list_maps(kind.item.kind, (*steps, ANY_KEY))
    elif isinstance(kind, ListType):
        yield from _list_maps(kind.item.kind, (*steps, ANY_ITEM))
    elif isinstance(kind, ObjectType):
        yield from list_maps(kind.contract, steps)
    elif not isinstance(kind, FieldType):
        yield from list_maps(kind, steps)
