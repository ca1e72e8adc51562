"""How values are written: typed in JSON, as text in a file, with the words and signs of the file's dialect. Pure."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from typing import Any


@dataclass(frozen=True, slots=True)
class Form:
    """How the values of a source are written. Everything after `is_file` is for files only: JSON has types.

    Null words are compared after trimming, so they have no blanks around them. A sign is one character, `zone` an IANA
    name.
    """

    is_file: bool = False
    nulls: frozenset[str] = frozenset({""})
    trues: frozenset[str] = frozenset({"true"})
    falses: frozenset[str] = frozenset({"false"})
    decimal_sign: str = "."
    thousands_sign: str = ""
    zone: str | None = None

    def is_null(self, value: Any, *, is_optional: bool) -> bool:
        """Whether the value stands for null. An empty text of a required field does not: it is blank."""
        if value is None:
            return True
        if not self.is_file:
            return is_optional and value == ""
        word = value.strip()
        return word in self.nulls and (is_optional or word != "")

    def find_values(self, column: Sequence[Any], *, is_optional: bool) -> Sequence[int]:
        """Return the rows whose value is not null, in order."""
        words = self._list_null_words(is_optional=is_optional)
        if words:
            cells = [*map(str.strip, column)] if is_text(column) else [cell and cell.strip() for cell in column]
            words |= {None}
            if words.isdisjoint(cells):
                return range(len(column))
            return [row for row, cell in enumerate(cells) if cell not in words]
        nulls = (None, "") if is_optional and not self.is_file else (None,)
        if all(column) or not any(null in column for null in nulls):
            return range(len(column))
        return [row for row, value in enumerate(column) if value not in nulls]

    def describe(self) -> list[str]:
        """Return what differs from the usual form, for the digest of a contract."""
        usual = Form(is_file=self.is_file)
        parts = {each.name: (getattr(self, each.name), getattr(usual, each.name)) for each in fields(self)}
        shown = {name: sorted(value) if isinstance(value, frozenset) else value for name, (value, _) in parts.items()}
        return [f"{name}={shown[name]!r}" for name, (value, default) in parts.items() if value != default]

    def _list_null_words(self, *, is_optional: bool) -> frozenset[str | None]:
        if not self.is_file:
            return _NO_WORDS
        return self.nulls if is_optional else self.nulls - _EMPTY_WORD


def is_text(column: Sequence[Any]) -> bool:
    """Whether all values of the column are strings."""
    with suppress(TypeError):
        "".join(column)  # several times as fast as to ask each value for its type
        return True
    return False


@lru_cache(maxsize=256)
def set_zone(form: Form, zone: str | None) -> Form:
    """Return the form with this zone for times that name none; without one it stays as it is."""
    return form if zone is None else replace(form, zone=zone)


_NO_WORDS: frozenset[str] = frozenset()
_EMPTY_WORD = frozenset({""})
JSON_FORM = Form()
FILE_FORM = Form(is_file=True)
