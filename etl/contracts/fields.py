"""What a contract knows of one field: its type, the columns that hold it, and how to read its value from them. Pure."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from etl.contracts.field_type import FieldType, Number
from etl.contracts.forms import Form
from etl.contracts.json_values import JsonType
from etl.contracts.names import Spellings

if TYPE_CHECKING:
    from etl.contracts.contract import Contract

ColumnsByField = Mapping[str, Sequence[str]]
"""For each field that a content has, the names of its columns: one, or several that are joined."""

Take = Callable[[str], Sequence[Any]]
"""Returns the column of this name, with None for a record that lacks it."""


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a contract: its type or nested contract, the Python type of its values, whether it may be null.

    `columns` has the spellings of its column, or of each of several columns that are joined.
    """

    kind: "FieldType | type[Contract]"
    parsed: Any
    is_optional: bool = False
    columns: tuple[Spellings, ...] = ()

    def takes_empty(self, form: Form) -> bool:
        """Whether an empty text stands for null. In a field of any JSON, the empty string is a value like others."""
        is_any_json = isinstance(self.kind, JsonType) and not form.is_file
        return self.is_optional and not is_any_json

    def read(self, values: Mapping[str, Any], names: Sequence[str] | None, form: Form) -> Any:
        """Return the field's value in a record. `names` are its columns in a file; None for JSON."""
        if names is None:
            parts = [_find_value(values, spellings) for spellings in self.columns]
        else:
            parts = [values.get(name) for name in names] or [None]
        return parts[0] if len(self.columns) == 1 else _join_parts(parts, form)

    def take(self, take: Take, names: Sequence[str] | None, count: int, form: Form) -> Sequence[Any]:
        """Return the values of `count` records; the same as `read` gives record by record."""
        if names is None:
            columns = [_merge([take(name) for name in spellings]) for spellings in self.columns]
        else:
            columns = [take(name) for name in names] or [[None] * count]
        if len(self.columns) == 1:
            return columns[0]
        return [_join_parts(parts, form) for parts in zip(*columns, strict=True)]

    def name_columns(self, names: Sequence[str] | None = None) -> str:
        """Return the field's name for messages: as the file has it, else as the contract declares it."""
        return " + ".join(names or [spellings[0] for spellings in self.columns])


def _find_value(values: Mapping[str, Any], spellings: Spellings) -> Any:
    """Return the value of the first spelling that has one."""
    return next((value for name in spellings if (value := values.get(name)) is not None), None)


def _merge(columns: Sequence[Sequence[Any]]) -> Sequence[Any]:
    if len(columns) == 1:
        return columns[0]
    return [next((value for value in values if value is not None), None) for values in zip(*columns, strict=True)]


def _join_parts(parts: Iterable[Any], form: Form) -> Any:
    """Return the parts as one string with a blank between them; None if one is missing or empty.

    Parts that are not strings stay a list, which the field's type refuses.
    """
    texts = [part.text if isinstance(part, Number) else part for part in parts]
    if any(text is None for text in texts):
        return None
    if not all(isinstance(text, str) for text in texts):
        return texts
    if any(not text.strip() or form.is_null(text, is_optional=True) for text in texts):
        return None
    return " ".join(map(str.strip, texts))


@dataclass(frozen=True, slots=True)
class Options:
    """What `field(...)` says of a field, before the contract's class is made."""

    columns: tuple[Spellings, ...] = ()
    also: Spellings = ()
    parameters: Mapping[str, Any] = field(default_factory=dict)

    def name_columns(self, name: str) -> tuple[Spellings, ...]:
        """Return the spellings of the columns of the field of this name."""
        if len(self.columns) > 1:
            return self.columns
        ((first,),) = self.columns or ((name,),)
        return ((first, *self.also),)

    def configure(self, kind: Any) -> Any:
        """Return the type with these parameters. Raises TypeError for one that it does not know."""
        if not isinstance(kind, FieldType):
            if not self.parameters:
                return kind
            raise TypeError(
                f"a nested contract has no {_list(self.parameters)}: give it to the fields of that contract"
            )
        return kind.configure(self.parameters)


def _list(names: Iterable[str]) -> str:
    return ", ".join(map(repr, names))


def make_field(
    *, column: str | None = None, also: Sequence[str] = (), columns: Sequence[str] = (), **parameters: Any
) -> Any:
    """Say more of a field than its type: `paid_on: Date = field(column="Paid on", formats=["%d/%m/%Y"])`.

    `column` is its name in the content, `also` are other spellings, and `columns` several columns whose cells are
    joined with a blank between them. Everything else is a parameter of its type.
    """
    if not isinstance(column, str | None):
        raise TypeError("field(column=…) takes one name; columns=[…] takes several that are joined")
    for word, names in (("also", also), ("columns", columns)):
        if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
            raise TypeError(f"field({word}=…) takes a list of names")
    if columns and (column is not None or also):
        raise TypeError("field(columns=…) names all columns: leave out column and also")
    if len(columns) == 1:
        raise TypeError("field(columns=…) joins two or more columns; column=… names one")
    named = columns or ([column] if column is not None else [])
    return Options(tuple((name,) for name in named), tuple(also), parameters)
