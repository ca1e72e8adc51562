"""Field types of words: yes or no, and one of several choices. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any

from etl.contracts.field_type import FieldType, Number, show_value
from etl.contracts.forms import Form, is_text
from etl.records import Breach
from etl.vocabulary import BreachCode

MOST_SHOWN = 10


class WordType(FieldType):
    """A type whose values are few words; a column is judged by looking its cells up."""

    def list_words(self, form: Form) -> Mapping[str, Any]:
        """Return what each word stands for."""
        raise NotImplementedError

    def parse_column(self, column: Sequence[Any], form: Form) -> tuple[list[str | None], dict[int, Breach]]:
        if not is_text(column):
            return super().parse_column(column, form)
        written = {word: self.write(value) for word, value in self.list_words(form).items()}
        texts: list[str | None] = [*map(written.get, column)]
        return texts, self.parse_rows(column, [row for row, text in enumerate(texts) if text is None], texts, form)

    def _show_words(self, words: Sequence[str]) -> str:
        shown = ", ".join(map(repr, words[:MOST_SHOWN]))
        return f"{shown} and others" if len(words) > MOST_SHOWN else shown


@dataclass(frozen=True)
class BooleanType(WordType):
    """True or false: JSON's own values, or in a file the words of its dialect, in any case.

    `trues` and `falses` are words of the field's own, in JSON too.
    """

    trues: Sequence[str] | None = None
    falses: Sequence[str] | None = None

    name = "boolean"
    writes_json = True

    def __post_init__(self) -> None:
        for words in (self.trues, self.falses):
            if words is not None and not (isinstance(words, tuple) and all(isinstance(word, str) for word in words)):
                raise TypeError('trues and falses are lists of words: trues=["Y"]')

    def parse(self, value: Any, form: Form) -> bool | Breach:
        if isinstance(value, bool):
            return value
        text = value.text if isinstance(value, Number) else value
        words = self.list_words(form)
        if isinstance(text, str) and words:
            if not text.strip():
                return Breach(BreachCode.BLANK, "is blank")
            found = words.get(text.strip().casefold())
            if found is not None:
                return found
        accepted = self._show_words(sorted(words)) if words else "true or false"
        return Breach(BreachCode.NOT_A_BOOLEAN, f"must be {accepted}, not {show_value(value)}")

    def list_words(self, form: Form) -> Mapping[str, bool]:
        return _list_words(self, form)

    def write(self, value: bool) -> str:  # noqa: FBT001  (a parsed value like any other)
        return "true" if value else "false"


@lru_cache(maxsize=256)
def _list_words(kind: BooleanType, form: Form) -> Mapping[str, bool]:
    trues = kind.trues if kind.trues is not None else form.trues if form.is_file else ()
    falses = kind.falses if kind.falses is not None else form.falses if form.is_file else ()
    return {word.strip().casefold(): False for word in falses} | {word.strip().casefold(): True for word in trues}


@dataclass(frozen=True)
class ChoiceType(WordType):
    """One of several words. `choices` is a list of them, or gives for each word what it is translated to."""

    choices: Sequence[str] | Sequence[tuple[str, str]] = ()

    name = "choice"

    def __post_init__(self) -> None:
        if not isinstance(self.choices, tuple) or not all(map(_is_choice, self.choices)):
            raise TypeError('choices is a list of words, or a translation of words: choices={"P": "paid"}')

    def configure(self, parameters: Mapping[str, Any]) -> "ChoiceType":
        kind = super().configure(parameters)
        if not kind.choices:
            raise TypeError('say which words there are: field(choices=["paid", "open"])')
        return kind

    def parse(self, value: Any, form: Form) -> str | Breach:
        text = value.text if isinstance(value, Number) else value
        words = self.list_words(form)
        if not isinstance(text, str):
            return Breach(BreachCode.NOT_A_CHOICE, f"must be {self._show(words)}, not {show_value(value)}")
        if not text or text.isspace():
            return Breach(BreachCode.BLANK, "is blank")
        found = words.get(text.strip())
        if found is None:
            return Breach(BreachCode.NOT_A_CHOICE, f"must be {self._show(words)}, not {show_value(value)}")
        return found

    def list_words(self, form: Form) -> Mapping[str, str]:
        return _list_choices(self)

    def _show(self, words: Mapping[str, str]) -> str:
        return f"one of {self._show_words(list(words))}"

    def write(self, value: str) -> str:
        return value


def _is_choice(choice: Any) -> bool:
    words = choice if isinstance(choice, tuple) else (choice,)
    return len(words) <= 2 and all(isinstance(word, str) and word.strip() for word in words)


@lru_cache(maxsize=256)
def _list_choices(kind: ChoiceType) -> Mapping[str, str]:
    pairs = (choice if isinstance(choice, tuple) else (choice, choice) for choice in kind.choices)
    return {word.strip(): meaning for word, meaning in pairs}


Boolean = Annotated[bool, BooleanType()]
Choice = Annotated[str, ChoiceType()]
