"""Field types with further limits: a column's decimals, validators, a model's type after a contract's own. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from etl.contracts.field_type import FieldType, show_value
from etl.contracts.forms import FILE_FORM, Form
from etl.contracts.own_code import refuse_raised
from etl.contracts.own_types import parse_column, parse_value
from etl.contracts.texts import TextType
from etl.records import Breach
from etl.vocabulary import BreachCode

Validator = Callable[[Any], str | None]
"""Returns what is wrong with a parsed value, or None."""


@dataclass(frozen=True)
class Called:
    """A validator that is called for each value; `described` identifies it in a contract's digest."""

    described: str
    check: Validator


@dataclass(frozen=True)
class LimitedType(FieldType):
    """What the `base` accepts, with at most `digits` digits and `decimals` decimals, if no validator refuses it."""

    base: FieldType
    digits: int | None = None
    decimals: int | None = None
    called: tuple[Called, ...] = ()

    @property
    def name(self) -> str:
        return self.base.name

    @property
    def writes_json(self) -> bool:  # type: ignore[override]  # as its base does
        return self.base.writes_json

    def describe(self) -> str:
        limits = [f"{name}={value}" for name, value in (("digits", self.digits), ("decimals", self.decimals)) if value]
        limits += ["decimals=0"] if self.decimals == 0 else []
        limits += [each.described for each in self.called]
        return f"{self.base.describe()}[{', '.join(limits)}]"

    def parse(self, value: Any, form: Form) -> Any:
        parsed = self.base.parse(value, form)
        return parsed if isinstance(parsed, Breach) else self._find_misfit(parsed) or parsed

    def _find_misfit(self, parsed: Any) -> Breach | None:
        if isinstance(parsed, Decimal) and (breach := self._judge_places(parsed)):
            return breach
        for each in self.called:
            try:
                complaint = each.check(parsed)
            except Exception as error:  # noqa: BLE001  (law 13)
                return refuse_raised(error, f"can't be validated: {each.described}", each.check)
            if complaint is not None:
                return Breach(BreachCode.NOT_VALID, f"is not valid: {complaint} ({show_value(parsed)})")
        return None

    def _judge_places(self, number: Decimal) -> Breach | None:
        whole, _, decimals = self.base.write(abs(number)).partition(".")
        if self.decimals is not None and len(decimals) > self.decimals:
            text = f"has {len(decimals)} decimals, at most {self.decimals} are stored"
            return Breach(BreachCode.TOO_PRECISE, text)
        width = None if self.digits is None else self.digits - (self.decimals or 0)
        if width is not None and len(whole.lstrip("0")) > width:
            return Breach(BreachCode.OUT_OF_RANGE, f"must have at most {width} digits before the decimal sign")
        return None

    def write(self, value: Any) -> str:
        return self.base.write(value)

    def parse_column(self, column: Sequence[Any], form: Form) -> tuple[list[str | None], dict[int, Breach]]:
        texts, breaches = self.base.parse_column(column, form)
        rows = self._find_misfits(texts) if self.called else self._find_suspects(texts)
        return texts, breaches | self.parse_rows(column, [row for row in rows if row not in breaches], texts, form)

    def _find_misfits(self, texts: Sequence[str | None]) -> Sequence[int]:
        """Return the rows that a validator may refuse: all of them, unless the text itself is the parsed value."""
        if not isinstance(self.base, TextType):
            return range(len(texts))
        return [row for row, text in enumerate(texts) if text is not None and self._find_misfit(text) is not None]

    def _find_suspects(self, texts: Sequence[str | None]) -> list[int]:
        """Return the rows that may have too many digits. Canonical text has no zeros that could be left out."""
        decimals = 0 if self.decimals is None else self.decimals
        width = None if self.digits is None else self.digits - decimals
        suspects = []
        for row, text in enumerate(texts):
            if text is not None:
                whole, _, fraction = text.partition(".")
                if len(fraction) > decimals or (width is not None and len(whole) > width):
                    suspects.append(row)
        return suspects


@dataclass(frozen=True)
class NarrowedType(FieldType):
    """What a contract's own type accepts, if each of the columns that take it can hold it too."""

    base: FieldType
    columns: tuple[FieldType, ...]
    parsed: Any = object

    @property
    def name(self) -> str:
        return self.base.name

    @property
    def writes_json(self) -> bool:  # type: ignore[override]  # as its base does
        return self.base.writes_json

    def describe(self) -> str:
        return " and ".join(kind.describe() for kind in (self.base, *self.columns))

    def parse(self, value: Any, form: Form) -> Any:
        parsed = parse_value(self.base, self.parsed, value, form)
        return parsed if isinstance(parsed, Breach) else self._find_misfit(self.base.write(parsed)) or parsed

    def _find_misfit(self, text: str) -> Breach | None:
        results = (kind.parse(text, FILE_FORM) for kind in self.columns)
        return next((result for result in results if isinstance(result, Breach)), None)

    def write(self, value: Any) -> str:
        return self.base.write(value)

    def parse_column(self, column: Sequence[Any], form: Form) -> tuple[list[str | None], dict[int, Breach]]:
        texts, breaches = parse_column(self.base, self.parsed, column, form)
        good = [row for row in range(len(texts)) if row not in breaches]
        found = [texts[row] for row in good]
        for kind in self.columns:
            _, broken = kind.parse_column(found, FILE_FORM)
            breaches = {good[index]: breach for index, breach in broken.items()} | breaches
        for row in breaches:
            texts[row] = None
        return texts, breaches
