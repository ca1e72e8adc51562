"""Field types of text: as sent, or trimmed. Pure."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import compress, count
from operator import not_
from typing import Annotated, Any

from etl.contracts.field_type import FieldType, Number, show_value
from etl.contracts.forms import Form, is_text
from etl.records import Breach
from etl.vocabulary import BreachCode


@dataclass(frozen=True)
class NonBlankType(FieldType):
    """A string that is not blank, kept as it was sent."""

    name = "non_blank"

    def parse(self, value: Any, form: Form) -> str | Breach:
        if not isinstance(value, str):
            return Breach(BreachCode.NOT_TEXT, f"must be a string, not {show_value(value)}")
        if not value or value.isspace():
            return Breach(BreachCode.BLANK, "is blank")
        return find_text_breach(value) or value

    def write(self, value: str) -> str:
        return value

    def parse_column(self, column: Sequence[Any], form: Form) -> tuple[list[str | None], dict[int, Breach]]:
        cells = _read_cells(column)
        texts: list[str | None] = [*cells]
        return texts, self.parse_rows(column, _find_unusable(cells), texts, form)


@dataclass(frozen=True)
class TextType(FieldType):
    """A string that is not blank, without the blanks around it unless `trim` is false.

    It has at most `max_length` characters, and the regular expression `pattern` matches all of it.
    """

    trim: bool = True
    max_length: int | None = None
    pattern: str | None = None

    name = "text"

    def __post_init__(self) -> None:
        if self.max_length is not None and not (isinstance(self.max_length, int) and self.max_length > 0):
            raise TypeError(f"max_length is a whole number above 0, not {self.max_length!r}")
        if self.pattern is not None:
            _compile(self.pattern)

    def parse(self, value: Any, form: Form) -> str | Breach:
        text = self.read_cell(value)
        result = NON_BLANK.parse(text.strip() if self.trim and isinstance(text, str) else text, form)
        return result if isinstance(result, Breach) else self._find_misfit(result) or result

    def accepts(self, value: Any, form: Form) -> bool:
        if self.max_length is None and self.pattern is None and _is_plain(value):
            return True
        return super().accepts(value, form)

    def _find_misfit(self, text: str) -> Breach | None:
        if self.max_length is not None and len(text) > self.max_length:
            return Breach(BreachCode.TOO_LONG, f"has {len(text)} characters, at most {self.max_length} are accepted")
        if self.pattern is not None and not _compile(self.pattern).fullmatch(text):
            return Breach(BreachCode.PATTERN, f"must match {self.pattern}, not {show_value(text)}")
        return None

    def read_cell(self, value: Any) -> Any:
        """Return what is judged instead of the value."""
        return value

    def write(self, value: str) -> str:
        return value

    def parse_column(self, column: Sequence[Any], form: Form) -> tuple[list[str | None], dict[int, Breach]]:
        cells = _read_cells(column if is_text(column) else [self.read_cell(value) for value in column])
        trimmed = [*map(str.strip, cells)] if self.trim else cells
        texts: list[str | None] = [*trimmed]
        return texts, self.parse_rows(column, self._find_suspects(trimmed), texts, form)

    def _find_suspects(self, texts: Sequence[str]) -> Iterable[int]:
        rows = _find_unusable(texts)
        if self.pattern is None and (self.max_length is None or max(map(len, texts), default=0) <= self.max_length):
            return rows
        return {*rows, *(row for row, text in enumerate(texts) if self._find_misfit(text) is not None)}


@dataclass(frozen=True)
class IdentifierType(TextType):
    """A text or a JSON number, kept as text: 007, 7 and 1.0 are three identifiers, and JSON's 1 and "1" are one."""

    name = "identifier"

    def parse(self, value: Any, form: Form) -> str | Breach:
        if not isinstance(value, str | Number):
            return Breach(BreachCode.NOT_TEXT, f"must be a string or a number, not {show_value(value)}")
        return super().parse(value, form)

    def read_cell(self, value: Any) -> Any:
        return value.text if isinstance(value, Number) else value


@cache
def _compile(pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except (re.error, TypeError):
        raise TypeError(f"pattern is not a regular expression: {pattern!r}") from None


def _read_cells(column: Sequence[Any]) -> Sequence[str]:
    """Return the column with an empty string for each value that is not one."""
    return column if is_text(column) else [value if isinstance(value, str) else "" for value in column]


def _find_unusable(texts: Sequence[str]) -> list[int]:
    """Return the rows whose text is blank or can't be stored."""
    if find_text_breach("".join(texts)) is None:
        return [*compress(count(), map(not_, map(str.strip, texts)))]
    return [row for row, text in enumerate(texts) if not text or text.isspace() or not _is_clean(text)]


def _is_plain(value: Any) -> bool:
    """Whether the value is a text that every type of text accepts which demands no more."""
    return isinstance(value, str) and value.isascii() and "\x00" not in value and value != "" and not value.isspace()


def _is_clean(text: str) -> bool:
    return find_text_breach(text) is None


def find_text_breach(text: str) -> Breach | None:
    """Return why PostgreSQL can't store the text, or None."""
    if "\x00" in text:
        return Breach(BreachCode.NUL_CHARACTER, "holds a NUL character, which PostgreSQL can't store as text")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            return Breach(BreachCode.BAD_ENCODING, f"is not valid Unicode: {show_value(text)}")
    return None


NON_BLANK = NonBlankType()
NonBlank = Annotated[str, NON_BLANK]
TEXT = TextType()
Text = Annotated[str, TEXT]
Identifier = Annotated[str, IdentifierType()]
