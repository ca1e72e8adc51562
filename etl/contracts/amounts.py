"""Field types of numbers of any sign: whole or decimal, exact, with bounds and a file's own signs. Pure."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Context, InvalidOperation
from decimal import Decimal as Exact
from functools import cache
from typing import Annotated, Any

from etl.contracts.field_type import FieldType, Number, PatternType, find_other_rows, show_value
from etl.contracts.forms import Form, is_text
from etl.contracts.numbers import (
    VALUE_DECIMALS,
    VALUE_DIGITS,
    compile_plain,
    is_too_precise,
    replace_signs,
    write_decimal,
    write_plain_numbers,
)
from etl.records import Breach
from etl.vocabulary import BreachCode

_WHOLE = re.compile(r"[+-]?[0-9]+")
_DECIMAL = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]+)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_WIDTH = VALUE_DIGITS - VALUE_DECIMALS
_EXACT = Context(prec=2 * VALUE_DIGITS)
Bound = int | str | Exact


@dataclass(frozen=True)
class AmountType(PatternType):
    """A number of any sign. `min` and `max` are the least and the greatest that is accepted.

    It is rounded only if `round_to` says to how many decimals, half to even; a number that would become 0 is refused.
    `decimal` and `thousands` are its signs if they differ from the file's; in JSON they are for numbers in strings.
    `currency` is a sign that may precede or follow the number. With `parentheses`, (12.50) is -12.50.
    """

    min: Bound | None = None
    max: Bound | None = None
    decimal: str | None = None
    thousands: str | None = None
    currency: str | None = None
    parentheses: bool = False
    round_to: int | None = None

    wanted = "a number"
    code = BreachCode.NOT_A_NUMBER
    is_whole = False
    writes_json = True

    def __post_init__(self) -> None:
        for bound in (self.min, self.max):
            _read_bound(bound)
        if self.currency is not None and not (isinstance(self.currency, str) and self.currency.strip()):
            raise TypeError("currency is a sign such as $")
        for sign in (self.decimal, self.thousands):
            if sign is not None and (not isinstance(sign, str) or len(sign) > 1 or sign.isalnum() or sign in "+-"):
                raise TypeError(f"decimal and thousands are one sign each, not {sign!r}")
        if self.round_to is not None and (self.is_whole or self.round_to not in range(VALUE_DECIMALS + 1)):
            raise TypeError(f"round_to is a number of decimals from 0 to {VALUE_DECIMALS}, and for Decimal only")

    @property
    def plain(self) -> re.Pattern[str]:
        return compile_plain(".", "", is_whole=self.is_whole)

    def read_cell(self, value: Any) -> str:
        return value.text if isinstance(value, Number) else super().read_cell(value)

    def takes_plain(self, form: Form) -> bool:
        return self.min is None and self.max is None and self._find_signs(form) == (".", "")

    def parse(self, value: Any, form: Form) -> Any:
        if isinstance(value, Number):
            return self._parse_text(value.text, value.text)
        if not isinstance(value, str):
            return Breach(self.code, f"must be {self.wanted}, not {show_value(value)}")
        text = value.strip()
        if not text:
            return Breach(BreachCode.BLANK, "is blank")
        return self._parse_text(replace_signs(self._take_marks(text), *self._find_signs(form)), value)

    def _parse_text(self, text: str, sent: str) -> Any:
        if not (_WHOLE if self.is_whole else _DECIMAL).fullmatch(text):
            return Breach(self.code, f"must be {self.wanted}, not {show_value(sent)}")
        number = _read_exactly(text, sent, self.round_to)
        if isinstance(number, Breach):
            return number
        return self._find_misfit(number) or (int(number) if self.is_whole else number)

    def _find_misfit(self, number: Exact) -> Breach | None:
        least, most = _read_bound(self.min), _read_bound(self.max)
        if least is not None and number < least:
            return Breach(BreachCode.OUT_OF_RANGE, f"must be at least {self.min}, not {write_decimal(number)}")
        if most is not None and number > most:
            return Breach(BreachCode.OUT_OF_RANGE, f"must be at most {self.max}, not {write_decimal(number)}")
        return None

    def _take_marks(self, text: str) -> str:
        """Return the number without its currency, and with a minus sign in place of parentheses."""
        sign = ""
        if self.parentheses and text[0] == "(" and text[-1] == ")" and text[1:2] not in ("+", "-"):
            sign, text = "-", text[1:-1].strip()
        if self.currency is None:
            return sign + text
        if text[:1] in ("+", "-"):
            sign, text = sign + text[:1], text[1:].lstrip()
        if text.startswith(self.currency):
            return sign + text.removeprefix(self.currency).lstrip()
        return sign + text.removesuffix(self.currency).rstrip()

    def _find_signs(self, form: Form) -> tuple[str, str]:
        """Return the signs of a text: the field's own, else the file's."""
        decimal, thousands = (form.decimal_sign, form.thousands_sign) if form.is_file else (".", "")
        decimal = decimal if self.decimal is None else self.decimal
        thousands = thousands if self.thousands is None else self.thousands
        return decimal, "" if thousands == decimal else thousands

    def write(self, value: Any) -> str:
        return str(value) if self.is_whole else write_decimal(value)

    def parse_column(self, column: Sequence[Any], form: Form) -> tuple[list[str | None], dict[int, Breach]]:
        decimal, thousands = self._find_signs(form)
        has_other_signs = (decimal, thousands) != (".", "") and not is_text(column)  # a JSON number's are not a text's
        if has_other_signs or self.round_to is not None:
            return FieldType.parse_column(self, column, form)
        cells, joined = self._join(column)
        texts: list[str | None] = [*write_plain_numbers(cells, joined, decimal, thousands)]
        rows = find_other_rows(joined, compile_plain(decimal, thousands, is_whole=self.is_whole))
        breaches = self.parse_rows(column, rows, texts, form)
        if self.min is not None or self.max is not None:
            breaches |= self.parse_rows(column, self._find_outside(texts), texts, form)
        return texts, breaches

    def _find_outside(self, texts: Sequence[str | None]) -> list[int]:
        least, most = _read_bound(self.min), _read_bound(self.max)
        numbers = ((row, Exact(text)) for row, text in enumerate(texts) if text is not None)
        return [
            row
            for row, number in numbers
            if (least is not None and number < least) or (most is not None and number > most)
        ]


@dataclass(frozen=True)
class IntegerType(AmountType):
    """A whole number of any sign, of at most 20 digits."""

    name = "integer"
    wanted = "a whole number"
    code = BreachCode.NOT_AN_INTEGER
    is_whole = True


@dataclass(frozen=True)
class DecimalType(AmountType):
    """A decimal number of any sign, which numeric(38,18) holds."""

    name = "decimal"


@cache
def _read_bound(bound: Bound | None) -> Exact | None:
    if bound is None:
        return None
    if isinstance(bound, bool) or not isinstance(bound, int | str | Exact):
        raise TypeError(f'min and max are whole numbers, or decimal numbers as strings ("0.01"), not {bound!r}')
    try:
        return Exact(bound)
    except InvalidOperation:
        raise TypeError(f"min and max are numbers, not {bound!r}") from None


def _read_exactly(text: str, sent: str, round_to: int | None) -> Exact | Breach:
    """Return the number if numeric(38,18) holds it, or holds it after rounding."""
    if len(text) > 2 * VALUE_DIGITS:
        return Breach(BreachCode.OUT_OF_RANGE, f"is longer than {2 * VALUE_DIGITS} characters")
    try:
        number = Exact(text)
    except InvalidOperation:
        return Breach(BreachCode.OUT_OF_RANGE, f"has an exponent that is out of range: {show_value(sent)}")
    if not number:
        return Exact(0)
    if round_to is not None and number.adjusted() < _WIDTH:  # so that rounding has room
        number = _round(number, round_to)
    if not number:
        return Breach(BreachCode.TOO_PRECISE, f"is 0 when it is rounded to {round_to} decimals: {sent}")
    if number.adjusted() >= _WIDTH:
        return Breach(BreachCode.OUT_OF_RANGE, f"must have at most {_WIDTH} digits before the decimal sign: {sent}")
    if is_too_precise(number):
        return Breach(BreachCode.TOO_PRECISE, f"has more than {VALUE_DECIMALS} decimals: {sent}")
    return number


def _round(number: Exact, decimals: int) -> Exact:
    """Return the number with this many decimals; 0 if it is too small for them."""
    if number.adjusted() < -decimals - 1:
        return Exact(0)
    return number.quantize(Exact(1).scaleb(-decimals), ROUND_HALF_EVEN, _EXACT)


Integer = Annotated[int, IntegerType()]
Decimal = Annotated[Exact, DecimalType()]
