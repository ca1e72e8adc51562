"""A contract: the fields that a source's record must have, and the judgement of one record or of many. Pure."""

import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from types import NoneType, UnionType
from typing import Any, ClassVar, Literal, Union, get_args, get_origin, get_type_hints

from etl.contracts.collections import Item, ListType, MapType, ObjectType, list_maps
from etl.contracts.field_type import FieldType, show_value
from etl.contracts.fields import ColumnsByField, Field, Options, Take
from etl.contracts.forms import JSON_FORM, Form
from etl.contracts.names import find_columns, list_doubled, trim_name
from etl.contracts.own_types import accepts_value, parse_column, parse_value
from etl.contracts.words import ChoiceType
from etl.records import Breach
from etl.vocabulary import BreachCode

CONTRACT_FORMAT = 1
"""Part of every contract's digest. Raise it when a type's meaning changes: then each source is read again in full."""

Texts = dict[str, list[str | None]]
"""Columns of canonical text by field path; None for a field without a value."""


class Contract:
    """Declares what one record must look like: a subclass gives each field a field type or another contract.

    Fields that the contract does not name are kept in the raw record and otherwise ignored. A named field is
    required unless its type is `X | None`: then it is None if it is absent, null or empty, in a file also if it is a
    null word.
    """

    fields: ClassVar[Mapping[str, Field]] = {}

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "fields" in inspect.get_annotations(cls):
            raise TypeError(f"{cls.__name__}.fields: the contract itself uses this name, so a record's field can't")
        cls.fields = dict(_make_fields(cls))

    @classmethod
    def judge(cls, values: Mapping[str, Any], form: Form = JSON_FORM) -> dict[str, Any] | Breach:
        """Return the parsed values by field path (`price.amount`), or the first breach in the contract's order."""
        parsed: dict[str, Any] = {}
        return cls.judge_into(parsed, values, form) or parsed

    @classmethod
    def judge_into(
        cls, parsed: dict[str, Any], values: Mapping[str, Any], form: Form, prefix: str = "", shown: str = ""
    ) -> Breach | None:
        """Judge a record, or an object in it: its fields' paths begin with `prefix`, and with `shown` in messages."""
        columns = cls.resolve(tuple(values)) if form.is_file else None
        for name, field in cls.fields.items():
            path, kind = prefix + name, field.kind
            names = columns.get(name, ()) if columns is not None else None
            value = field.read(values, names, form)
            if form.is_null(value, is_optional=field.takes_empty(form)):
                if not field.is_optional:
                    return _report_missing(shown + field.name_columns(names))
                parsed |= dict.fromkeys(_list_paths(path, kind))
            elif isinstance(kind, FieldType):
                result = parse_value(kind, field.parsed, value, form)
                if isinstance(result, Breach):
                    return _name_column(result, shown + field.name_columns(names))
                parsed[path] = result
            elif not isinstance(value, Mapping):
                return _report_no_object(shown + field.name_columns(names), value)
            elif breach := kind.judge_into(parsed, value, form, f"{path}.", f"{shown}{field.name_columns(names)}."):
                return breach
        return None

    @classmethod
    def accepts(cls, values: Mapping[str, Any], form: Form = JSON_FORM) -> bool:
        """Whether `judge` gives no breach for a JSON record, but fast."""
        for column, field, takes_empty in _list_columns(cls):  # type: ignore[arg-type]  # a class has a hash
            value = values.get(column) if column is not None else field.read(values, None, form)
            if value is None or (takes_empty and value == ""):
                if not field.is_optional:
                    return False
            elif isinstance(field.kind, FieldType):
                if not accepts_value(field.kind, field.parsed, value, form):
                    return False
            elif not isinstance(value, Mapping) or not field.kind.accepts(value, form):
                return False
        return True

    @classmethod
    def parse_field(cls, path: str, values: Mapping[str, Any], form: Form = JSON_FORM) -> Any:
        """Return one field's parsed value, regardless of the other fields; None if it is missing, null or refused."""
        name, _, rest = path.partition(".")
        field = cls.fields[name]
        value = field.read(values, cls.resolve(tuple(values)).get(name, ()) if form.is_file else None, form)
        if form.is_null(value, is_optional=field.takes_empty(form)):
            return None
        if isinstance(field.kind, FieldType):
            result = parse_value(field.kind, field.parsed, value, form)
            return None if isinstance(result, Breach) else result
        return field.kind.parse_field(rest, value, form) if isinstance(value, Mapping) else None

    @classmethod
    def judge_columns(
        cls,
        take: Take,
        count: int,
        form: Form = JSON_FORM,
        *,
        names: Sequence[str] | None = None,
        prefix: str = "",
        shown: str = "",
    ) -> tuple[Texts, dict[int, Breach]]:
        """Judge `count` records by columns: the same as `judge` gives record by record, but fast.

        `take(name)` returns a column of `count` values, None if a record lacks it; `names` are all names that a file
        has, None if each field has its exact name. Returns the columns of canonical text by field path, and by row the
        first breach in the contract's order; rows count from 0. The text of a refused row has no meaning.
        """
        texts: Texts = {}
        breaches: dict[int, Breach] = {}
        columns = cls.resolve(tuple(names)) if form.is_file and names is not None else None
        for name, field in cls.fields.items():
            found_names = columns.get(name, ()) if columns is not None else None
            column = field.take(take, found_names, count, form)
            place = _Place(prefix + name, shown + field.name_columns(found_names))
            found, broken = _judge_column(field, place, column, count, form)
            texts |= found
            breaches = broken | breaches  # if a row has two breaches, the earlier field's stays
        return texts, breaches

    @classmethod
    def resolve(cls, names: tuple[str, ...]) -> ColumnsByField:
        """Return the columns of each field in a file with these names, without the fields that it lacks."""
        return _resolve(cls, names)  # type: ignore[arg-type]  # a class has a hash

    @classmethod
    def find_declared(cls, names: Sequence[str], *, is_file: bool) -> dict[str, str]:
        """Return the declared name of each column of the contract that a content with these names has."""
        spelled = [spellings for field in cls.fields.values() for spellings in field.columns]
        if not is_file:
            there = [(next((name for name in spellings if name in names), None), spellings[0]) for spellings in spelled]
            return {name: declared for name, declared in there if name is not None}
        columns = cls.resolve(tuple(names))
        pairs = [zip(found, cls.fields[name].columns, strict=True) for name, found in columns.items()]
        return {name: spellings[0] for each in pairs for name, spellings in each}

    @classmethod
    def find_respelled(cls, names: Sequence[str], *, is_file: bool) -> dict[str, str]:
        """Return the declared name of each column that has another one. Blanks around a name don't count."""
        found = cls.find_declared(names, is_file=is_file)
        return {name: declared for name, declared in found.items() if trim_name(name) != trim_name(declared)}

    @classmethod
    def find_missing(cls, names: Sequence[str]) -> list[str]:
        """Return the required columns that a file with these names lacks; all if all are optional and none is there."""
        found = _find_columns(cls, names)
        lacking = [
            (field.is_optional, spellings[0])
            for name, field in cls.fields.items()
            for part, spellings in enumerate(field.columns)
            if (name, part) not in found
        ]
        required = [column for is_optional, column in lacking if not is_optional]
        return required or ([column for _, column in lacking] if not found else [])

    @classmethod
    def list_names(cls) -> list[str]:
        """Return every name that a column of a field may have."""
        return [name for field in cls.fields.values() for spellings in field.columns for name in spellings]

    @classmethod
    def name_path(cls, path: str) -> str:
        """Return the field of this path as the contract names its column; the path itself if there is no such field."""
        name, _, rest = path.partition(".")
        field = cls.fields.get(name)
        if field is None:
            return path
        if not rest or isinstance(field.kind, FieldType):
            return field.name_columns()
        return f"{field.name_columns()}.{field.kind.name_path(rest)}"

    @classmethod
    def list_maps(cls) -> list[tuple[str, ...]]:
        """Return the steps to each map, which may have any keys: `("lines", "[]", "prices")`."""
        return list(list_maps(cls))

    @classmethod
    def find_doubled(cls, names: Sequence[str]) -> list[str]:
        """Return the names that a file has more than once and that a field uses."""
        used = set(_find_columns(cls, names).values())
        return [name for name in list_doubled(names) if name in used]

    @classmethod
    def describe(cls) -> dict[str, str]:
        """Return the type name of each field path, in the contract's order; optional nested contracts are named too."""
        described: dict[str, str] = {}
        for name, field in cls.fields.items():
            null = " or null" if field.is_optional else ""
            if isinstance(field.kind, FieldType):
                described[name] = field.kind.describe() + null + _describe_columns(name, field)
                continue
            if null or _describe_columns(name, field):
                described[name] = "object" + null + _describe_columns(name, field)
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


@lru_cache(maxsize=256)
def _resolve(contract: type[Contract], names: tuple[str, ...]) -> ColumnsByField:
    found = _find_columns(contract, names)
    columns = {
        name: [found[name, part] for part in range(len(field.columns)) if (name, part) in found]
        for name, field in contract.fields.items()
    }
    return {name: each for name, each in columns.items() if len(each) == len(contract.fields[name].columns)}


@lru_cache(maxsize=256)
def _list_columns(contract: type[Contract]) -> list[tuple[str | None, Field, bool]]:
    """Return each field with its column in JSON, None if it may have several, and whether it takes an empty text."""
    names = [[name for spellings in field.columns for name in spellings] for field in contract.fields.values()]
    fields = zip(names, contract.fields.values(), strict=True)
    return [(each[0] if len(each) == 1 else None, field, field.takes_empty(JSON_FORM)) for each, field in fields]


def _find_columns(contract: type[Contract], names: Sequence[str]) -> dict[tuple[str, int], str]:
    """Return the name of each column that is there, by field and number of its part."""
    fields = contract.fields.items()
    wanted = {(name, part): each for name, field in fields for part, each in enumerate(field.columns)}
    return find_columns(wanted, names)


def _make_fields(contract: type[Contract]) -> Iterator[tuple[str, Field]]:
    """Yield the fields by name. What `field(...)` gave leaves the class, or it would hide attributes of Contract."""
    hints = {name: hint for name, hint in get_type_hints(contract, include_extras=True).items() if name != "fields"}
    declared = {name: value for name, value in vars(contract).items() if isinstance(value, Options)}
    bases = [base for base in contract.__mro__[1:] if issubclass(base, Contract)]
    for name in declared:
        if name not in hints:
            raise TypeError(f"{contract.__name__}.{name} has field(…), but no type: write {name}: Text = field(…)")
        delattr(contract, name)
    for name, hint in hints.items():
        if get_origin(hint) is ClassVar:
            continue
        inherited = next((base.fields[name] for base in bases if name in base.fields), None)
        if inherited is not None and name not in declared and name not in inspect.get_annotations(contract):
            yield name, inherited
        else:
            options = declared.get(name) or getattr(contract, name, None)  # a mixin keeps its own
            yield name, _make_field(contract, name, hint, options if isinstance(options, Options) else Options())


def _make_field(contract: type[Contract], name: str, hint: Any, options: Options) -> Field:
    inner, is_optional = _take_null(hint)
    try:
        found = _find_kind(inner)
        if found is None:
            raise TypeError(f"use a type of etl.sources or another Contract, not {hint!r}")
        kind, parsed = found
        return Field(options.configure(kind), parsed, is_optional, options.name_columns(name))
    except (TypeError, ValueError) as error:
        raise TypeError(f"{contract.__name__}.{name}: {error}") from error


def _find_kind(hint: Any) -> tuple[FieldType | type[Contract], Any] | None:
    """Return the type or nested contract that an annotation stands for, and the Python type of its values."""
    if isinstance(hint, type) and issubclass(hint, Contract):
        return hint, dict
    if get_origin(hint) is Literal:
        return ChoiceType(get_args(hint)), str
    if get_origin(hint) in (list, dict):
        return _find_collection(get_origin(hint), get_args(hint))
    for extra in getattr(hint, "__metadata__", ()):
        if isinstance(extra, FieldType):
            return extra, next(iter(get_args(hint)), object)
    return None


def _find_collection(origin: Any, hints: Sequence[Any]) -> tuple[FieldType, Any] | None:
    """Return the type of a list or map, whose items may be optional."""
    items = [item for item in map(_find_item, hints) if item is not None]
    if len(items) < len(hints):
        return None
    if origin is list:
        return ListType(items[0]), list
    key, item = items
    if key.parsed is not str or key.is_optional:
        raise TypeError("the keys of a map are strings: dict[Text, Decimal]")
    return MapType(key, item), dict


def _find_item(hint: Any) -> Item | None:
    inner, is_optional = _take_null(hint)
    found = _find_kind(inner)
    if found is None:
        return None
    kind, parsed = found
    return Item(kind if isinstance(kind, FieldType) else ObjectType(kind), parsed, is_optional)


def _take_null(hint: Any) -> tuple[Any, bool]:
    """Return the type of `X | None`, and whether None is one of the alternatives."""
    alternatives = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    kinds = [kind for kind in alternatives if kind is not NoneType]
    return kinds[0] if len(kinds) == 1 else None, len(alternatives) > 1


def _describe_columns(name: str, field: Field) -> str:
    """Return which columns hold the field, if its own name doesn't say it."""
    if field.columns == ((name,),):
        return ""
    return " from " + " + ".join(" or ".join(map(repr, spellings)) for spellings in field.columns)


@dataclass(frozen=True, slots=True)
class _Place:
    """A field's path in the contract, and its name in messages."""

    path: str
    shown: str


def _judge_column(
    field: Field, place: _Place, column: Sequence[Any], count: int, form: Form
) -> tuple[Texts, dict[int, Breach]]:
    """Judge one field of all records, including the records that lack it."""
    rows = form.find_values(column, is_optional=field.takes_empty(form))
    if len(rows) == count:
        return _judge_values(field, place, column, form)
    texts, breaches = _judge_rows(field, place, column, rows, form)
    if not field.is_optional:
        breaches |= {row: _report_missing(place.shown) for row in set(range(count)).difference(rows)}
    return texts, breaches


def _judge_rows(
    field: Field, place: _Place, column: Sequence[Any], rows: Sequence[int], form: Form
) -> tuple[Texts, dict[int, Breach]]:
    """Judge the values of these rows only; the other rows have the text None and no breach."""
    texts, breaches = _judge_values(field, place, [column[row] for row in rows], form)
    spread: Texts = {each: [None] * len(column) for each in texts}
    for each, found in texts.items():
        for row, text in zip(rows, found, strict=True):
            spread[each][row] = text
    return spread, {rows[index]: breach for index, breach in breaches.items()}


def _judge_values(field: Field, place: _Place, column: Sequence[Any], form: Form) -> tuple[Texts, dict[int, Breach]]:
    """Judge a column without nulls."""
    kind = field.kind
    if isinstance(kind, FieldType):
        texts, breaches = parse_column(kind, field.parsed, column, form)
        return {place.path: texts}, {row: _name_column(breach, place.shown) for row, breach in breaches.items()}
    objects = [row for row, value in enumerate(column) if isinstance(value, Mapping)]
    if len(objects) == len(column):
        inner = {"prefix": f"{place.path}.", "shown": f"{place.shown}."}
        return kind.judge_columns(lambda name: [value.get(name) for value in column], len(column), form, **inner)
    found, broken = _judge_rows(field, place, column, objects, form)
    others = set(range(len(column))).difference(objects)
    return found, broken | {row: _report_no_object(place.shown, column[row]) for row in others}


def _list_paths(path: str, kind: FieldType | type[Contract]) -> list[str]:
    return [path] if isinstance(kind, FieldType) else [f"{path}.{inner}" for inner in kind.list_fields()]


def _report_missing(path: str) -> Breach:
    return Breach(BreachCode.MISSING, f"{path} is missing", path)


def _report_no_object(path: str, value: Any) -> Breach:
    return Breach(BreachCode.NOT_AN_OBJECT, f"{path} must be an object, not {show_value(value)}", path)


def _name_column(breach: Breach, path: str) -> Breach:
    """Return the breach with the name of its field. In a list, the breach's column begins with its place."""
    blank = "" if breach.column.startswith("[") else " "
    return Breach(breach.code, f"{path}{blank}{breach.message}", path + breach.column if not blank else path)
