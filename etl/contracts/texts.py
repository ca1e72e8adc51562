"""Field types of text: as sent, or trimmed. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from etl.contracts.field_type import FieldType, is_text, show_value
from etl.contracts.forms import Form
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
        return _find_text_breach(value) or value

    def write(self, value: str) -> str:
        return value

    def parse_column(self, column: Sequence[Any], form: Form) -> tuple[list[str | None], dict[int, Breach]]:
        texts: list[str | None] = [*_read_cells(column)]
        return texts, self.parse_rows(column, _find_unusable(_read_cells(column)), texts, form)


@dataclass(frozen=True)
class TextType(FieldType):
    """A string that is not blank, without the blanks around it."""

    name = "text"

    def parse(self, value: Any, form: Form) -> str | Breach:
        return NON_BLANK.parse(value.strip() if isinstance(value, str) else value, form)

    def write(self, value: str) -> str:
        return value

    def parse_column(self, column: Sequence[Any], form: Form) -> tuple[list[str | None], dict[int, Breach]]:
        trimmed = [*map(str.strip, _read_cells(column))]
        texts: list[str | None] = [*trimmed]
        return texts, self.parse_rows(column, _find_unusable(trimmed), texts, form)


def _read_cells(column: Sequence[Any]) -> Sequence[str]:
    """Return the column with an empty string for each value that is not one."""
    return column if is_text(column) else [value if isinstance(value, str) else "" for value in column]


def _find_unusable(texts: Sequence[str]) -> list[int]:
    """Return the rows whose text is blank or can't be stored."""
    is_clean = _find_text_breach("".join(texts)) is None
    if is_clean and all(texts) and not any(map(str.isspace, texts)):
        return []
    return [row for row, text in enumerate(texts) if not text or text.isspace() or not (is_clean or _is_clean(text))]


def _is_clean(text: str) -> bool:
    return _find_text_breach(text) is None


def _find_text_breach(text: str) -> Breach | None:
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
Text = Annotated[str, TextType()]
