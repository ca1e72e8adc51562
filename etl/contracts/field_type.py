"""What a field type is: one object that parses a value or a whole column of them. Pure.

Common parsers are too generous for data that must be trusted: Python's `int` and `Decimal` accept `1_000` and Arabic
digits, pydantic's `int` accepts `True` and `1.0`. The types are in `texts.py`, `numbers.py` and `times.py`.
"""

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from itertools import islice
from typing import Any, ClassVar, Self

from etl.contracts.forms import Form, is_text
from etl.records import Breach

SHOWN_CHARACTERS = 60


@dataclass(frozen=True, slots=True)
class Number:
    """A JSON number as it was written: neither rounded nor confused with a string."""

    text: str


def show_value(value: Any) -> str:
    """Format the value for a message, shortened. What JSON has types for is shown in JSON's words."""
    text = _write_shown(value)
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}…"


def _write_shown(value: Any, depth: int = 0) -> str:
    if isinstance(value, Number):
        return value.text
    if value is None or isinstance(value, bool | float):
        return json.dumps(value)
    if depth == SHOWN_CHARACTERS or not isinstance(value, dict | list):
        return "…" if depth == SHOWN_CHARACTERS else repr(value)
    if isinstance(value, list):
        return f"[{', '.join(_write_shown(item, depth + 1) for item in value[:SHOWN_CHARACTERS])}]"
    items = islice(value.items(), SHOWN_CHARACTERS)
    return f"{{{', '.join(f'{name!r}: {_write_shown(item, depth + 1)}' for name, item in items)}}}"


class FieldType(ABC):
    """What one field must be. A subclass has a name and `parse`; a contract uses it as `Annotated[parsed, Own()]`.

    `parsed` is the Python type that `parse` returns. Instances don't change. A type with parameters is a frozen
    dataclass; its fields have defaults, and `field(...)` sets them.
    """

    writes_json: ClassVar[bool] = False
    """Whether the canonical text is JSON, such as a number's. Others are quoted where they are items of a list."""

    @property
    @abstractmethod
    def name(self) -> str:
        """The type's name, without its parameters."""

    def describe(self) -> str:
        """Return the name with the parameters that were given. The contract's digest has it: another text means that
        the content is judged again.
        """
        given = {name: value for name, value in _list_parameters(self).items() if value is not _DEFAULT}
        shown = ", ".join(f"{name}={value!r}" for name, value in given.items())
        return f"{self.name}({shown})" if shown else self.name

    def configure(self, parameters: Mapping[str, Any]) -> Self:
        """Return this type with the parameters of a `field(...)`. Raises TypeError for one that it does not know."""
        known = _list_parameters(self)
        for name in parameters:
            if name not in known:
                others = f"its parameters: {', '.join(known)}" if known else "it takes no parameters"
                raise TypeError(f"the type {self.name} has no parameter {name!r}; {others}")
        given = {name: _freeze(value) for name, value in parameters.items()}
        return replace(self, **given) if is_dataclass(self) and given else self

    @abstractmethod
    def parse(self, value: Any, form: Form) -> Any:
        """Return the parsed value, or a Breach without column.

        The value is a string in a file; in JSON a string, Number, bool, dict or list. It is never None: the contract
        itself judges what is missing. The result is not None either.
        """

    def accepts(self, value: Any, form: Form) -> bool:
        """Whether `parse` gives no breach. A type overrides it to be fast."""
        return not isinstance(self.parse(value, form), Breach)

    def write(self, value: Any) -> str:
        """Return a parsed value's canonical text, as PostgreSQL reads it. Equal values give equal text."""
        return str(value)

    def parse_column(self, column: Sequence[Any], form: Form) -> tuple[list[str | None], dict[int, Breach]]:
        """Return a canonical text per row (None for a row that breaks) and the breaches by row, counted from 0.

        A type overrides it to be fast, and must give the same as `parse` and `write` do row by row.
        """
        texts: list[str | None] = [None] * len(column)
        return texts, self.parse_rows(column, range(len(column)), texts, form)

    def parse_rows(
        self, column: Sequence[Any], rows: Iterable[int], texts: list[str | None], form: Form
    ) -> dict[int, Breach]:
        """Parse these rows of the column one by one. Set their canonical text and return their breaches."""
        breaches: dict[int, Breach] = {}
        for row in rows:
            result = self.parse(column[row], form)
            if isinstance(result, Breach):
                texts[row], breaches[row] = None, result
            else:
                texts[row] = self.write(result)
        return breaches


_DEFAULT = object()


def _list_parameters(kind: FieldType) -> dict[str, Any]:
    """Return the type's parameters in their order, with _DEFAULT for those that were not given."""
    if not is_dataclass(kind):
        return {}
    values = {each.name: (getattr(kind, each.name), each.default) for each in fields(kind) if each.init}
    return {name: _DEFAULT if value == default else value for name, (value, default) in values.items()}


def _freeze(value: Any) -> Any:
    """Return a list as a tuple and a mapping as pairs: types don't change, and equal ones have equal hashes."""
    if isinstance(value, Mapping):
        return tuple(value.items())
    return tuple(value) if isinstance(value, list) else value


class PatternType(FieldType):
    """A field type that judges a column by one pattern: cells that match it are accepted, the others are parsed.

    The pattern is matched against all cells of a column at once, each followed by a line feed.
    """

    @property
    @abstractmethod
    def plain(self) -> re.Pattern[str]:
        """The pattern of a run of plain cells, each with its line feed; it also matches the empty string."""

    def takes_plain(self, form: Form) -> bool:
        """Whether what the pattern matches is always accepted."""
        return True

    def accepts(self, value: Any, form: Form) -> bool:
        cell = self.read_cell(value)
        if cell and "\n" not in cell and self.takes_plain(form):
            match = self.plain.match(f"{cell}\n")
            if match is not None and match.end() > len(cell):
                return True
        return super().accepts(value, form)

    def write_plain(self, cells: list[str], joined: str) -> list[str]:
        """Return the canonical text of each plain cell, row by row. The results for other rows are ignored."""
        return cells

    def read_cell(self, value: Any) -> str:
        """Return the text of a JSON value for the pattern; empty if only `parse` can judge it."""
        return value if isinstance(value, str) else ""

    def parse_column(self, column: Sequence[Any], form: Form) -> tuple[list[str | None], dict[int, Breach]]:
        cells, joined = self._join(column)
        texts: list[str | None] = [*self.write_plain(cells, joined)]
        return texts, self.parse_rows(column, find_other_rows(joined, self.plain), texts, form)

    def _join(self, column: Sequence[Any]) -> tuple[list[str], str]:
        """Return the cells, and all of them as one text. A cell of several lines is left empty."""
        cells = [*column] if is_text(column) else [self.read_cell(value) for value in column]
        joined = "\n".join([*cells, ""])
        if joined.count("\n") != len(cells):
            cells = ["" if "\n" in cell else cell for cell in cells]
            joined = "\n".join([*cells, ""])
        return cells, joined


def find_other_rows(joined: str, plain: re.Pattern[str]) -> list[int]:
    """Return the rows that the pattern does not match."""
    rows: list[int] = []
    row = start = 0
    while True:
        match = plain.match(joined, start)
        assert match is not None  # it matches the empty string too
        if match.end() == len(joined):
            return rows
        row += joined.count("\n", start, match.end())
        rows.append(row)
        row += 1
        start = joined.index("\n", match.end()) + 1
