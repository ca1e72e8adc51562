"""Field types of numbers: exact, in ASCII digits, as wide as the unified table's `value`. Pure."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Context, Decimal, InvalidOperation
from functools import cache
from typing import Annotated, Any

from etl.contracts.field_type import FieldType, Number, PatternType, find_other_rows, show_value
from etl.contracts.forms import Form, is_text
from etl.records import Breach
from etl.vocabulary import BreachCode

VALUE_DIGITS = 38  # numeric(38,18)
VALUE_DECIMALS = 18
_DECIMAL = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_INTEGER = re.compile(r"-?[0-9]+")
_EXACT = Context(prec=2 * VALUE_DIGITS)
# What needs no parsing: no padding, no exponent and not 0. Only a decimal's zeros at the end are left to cut off.
_PLAIN_INTEGERS = re.compile(r"(?:[1-9][0-9]{0,37}+\n)*+")
_PLAIN_DECIMALS = re.compile(r"(?:(?:[1-9][0-9]{0,19}+(?:\.[0-9]{1,18}+)?+|0\.(?!0++\n)[0-9]{1,18}+)\n)*+")


class NumberType(PatternType):
    """A number, as text or as a JSON number. A file may write it with its dialect's signs."""

    writes_json = True
    is_whole = False

    def read_cell(self, value: Any) -> str:
        return value.text if isinstance(value, Number) else super().read_cell(value)

    def takes_plain(self, form: Form) -> bool:
        return not _has_own_signs(form)

    def parse_column(self, column: Sequence[Any], form: Form) -> tuple[list[str | None], dict[int, Breach]]:
        if not _has_own_signs(form):
            return super().parse_column(column, form)
        if not is_text(column):
            return FieldType.parse_column(self, column, form)
        decimal, thousands = form.decimal_sign, form.thousands_sign
        cells, joined = self._join(column)
        texts: list[str | None] = [*write_plain_numbers(cells, joined, decimal, thousands)]
        plain = compile_plain(decimal, thousands, is_whole=self.is_whole, is_positive=True)
        return texts, self.parse_rows(column, find_other_rows(joined, plain), texts, form)


@dataclass(frozen=True)
class PositiveIntType(NumberType):
    """A whole number greater than 0, of at most 38 digits."""

    name = "positive_int"
    is_whole = True
    plain = _PLAIN_INTEGERS

    def parse(self, value: Any, form: Form) -> int | Breach:
        sent = _read_number(value)
        if isinstance(sent, Breach):
            return sent
        text = _replace_signs(sent, form)
        if not _INTEGER.fullmatch(text):
            return Breach(BreachCode.NOT_AN_INTEGER, f"must be a whole number, not {show_value(sent)}")
        if len(text.removeprefix("-")) > VALUE_DIGITS:
            return Breach(BreachCode.OUT_OF_RANGE, f"has more than {VALUE_DIGITS} digits")
        number = int(text)
        return number if number > 0 else Breach(BreachCode.NOT_POSITIVE, f"must be greater than 0, not {sent}")


@dataclass(frozen=True)
class PositiveDecimalType(NumberType):
    """A decimal number greater than 0, which numeric(38,18) holds without rounding."""

    name = "positive_decimal"
    plain = _PLAIN_DECIMALS

    def parse(self, value: Any, form: Form) -> Decimal | Breach:
        sent = _read_number(value)
        if isinstance(sent, Breach):
            return sent
        text = _replace_signs(sent, form)
        if not _DECIMAL.fullmatch(text):
            return Breach(BreachCode.NOT_A_NUMBER, f"must be a number, not {show_value(sent)}")
        if len(text) > 2 * VALUE_DIGITS:
            return Breach(BreachCode.OUT_OF_RANGE, f"is longer than {2 * VALUE_DIGITS} characters")
        try:
            number = Decimal(text)
        except InvalidOperation:
            return Breach(BreachCode.OUT_OF_RANGE, f"has an exponent that is out of range: {sent}")
        if number <= 0:
            return Breach(BreachCode.NOT_POSITIVE, f"must be greater than 0, not {sent}")
        if number.adjusted() >= VALUE_DIGITS - VALUE_DECIMALS:
            return Breach(BreachCode.OUT_OF_RANGE, f"must be less than 10^{VALUE_DIGITS - VALUE_DECIMALS}, not {sent}")
        if is_too_precise(number):
            return Breach(BreachCode.TOO_PRECISE, f"has more than {VALUE_DECIMALS} decimals: {sent}")
        return number

    def write(self, value: Decimal) -> str:
        return write_decimal(value)

    def write_plain(self, cells: list[str], joined: str) -> list[str]:
        if "0\n" not in joined:
            return cells
        return [cell.rstrip("0").rstrip(".") if "." in cell and cell[-1] == "0" else cell for cell in cells]


def _read_number(value: Any) -> str | Breach:
    """Return the number as it was sent, not blank."""
    if isinstance(value, Number):
        return value.text
    if not isinstance(value, str):
        return Breach(BreachCode.NOT_A_NUMBER, f"must be a number, not {show_value(value)}")
    if not value or value.isspace():
        return Breach(BreachCode.BLANK, "is blank")
    return value


def _has_own_signs(form: Form) -> bool:
    return form.is_file and (form.decimal_sign != "." or form.thousands_sign != "")


def _replace_signs(text: str, form: Form) -> str:
    return replace_signs(text, form.decimal_sign, form.thousands_sign) if form.is_file else text


def replace_signs(text: str, decimal: str, thousands: str) -> str:
    """Return the number with a point and without thousands signs. A sign in a wrong place leaves it no number."""
    if (decimal, thousands) == (".", ""):
        return text
    if thousands and _compile_grouped(decimal, thousands).fullmatch(text):
        text = text.replace(thousands, "")
    return text.translate(str.maketrans(f".{decimal}", f"{decimal}."))


@cache
def _compile_grouped(decimal_sign: str, thousands_sign: str) -> re.Pattern[str]:
    decimal, thousands = re.escape(decimal_sign), re.escape(thousands_sign)
    return re.compile(rf"[+-]?[0-9]{{1,3}}({thousands}[0-9]{{3}})+({decimal}[0-9]+)?([eE][+-]?[0-9]+)?")


@cache
def compile_plain(decimal: str, thousands: str, *, is_whole: bool, is_positive: bool = False) -> re.Pattern[str]:
    """Compile the numbers that need no parsing: no padding, no plus sign, no exponent, and no minus sign before 0."""
    point, group = re.escape(decimal), re.escape(thousands)
    width = VALUE_DIGITS - VALUE_DECIMALS
    grouped = rf"[1-9][0-9]{{0,2}}+(?:{group}[0-9]{{3}}){{1,5}}+(?![0-9])|" if thousands else ""
    decimals = "" if is_whole else rf"(?:{point}[0-9]{{1,{VALUE_DECIMALS}}}+)?+"
    zero = rf"0(?:{point}0*+)?+\n"
    sign = rf"(?!{zero})" if is_positive else rf"(?:-(?!{zero}))?+"
    number = rf"{sign}(?:{grouped}[1-9][0-9]{{0,{width - 1}}}+|0){decimals}"
    return re.compile(rf"(?:{number}\n)*+")


def write_plain_numbers(cells: list[str], joined: str, decimal: str, thousands: str) -> list[str]:
    """Return plain numbers with these signs in their canonical form."""
    if thousands and thousands in joined:
        joined = joined.replace(thousands, "")
    if decimal != ".":
        joined = joined.replace(decimal, ".")
    if (decimal, thousands) != (".", ""):
        cells = joined.split("\n")[:-1]
    if "0\n" not in joined:
        return cells
    return [cell.rstrip("0").rstrip(".") if "." in cell and cell[-1] == "0" else cell for cell in cells]


def write_decimal(number: Decimal) -> str:
    """Write a finite number without exponent and without zeros at the end of its decimals; -0 is 0."""
    text = format(number, "f")
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text == "-0" else text


def is_too_precise(number: Decimal) -> bool:
    """Whether the unified table would have to round the number."""
    if number.adjusted() < -VALUE_DECIMALS:  # checked first, because normalize turns 1e-9999999 into 0
        return True
    return -_exponent(number) > VALUE_DECIMALS and -_exponent(number.normalize(_EXACT)) > VALUE_DECIMALS


def _exponent(number: Decimal) -> int:
    exponent = number.as_tuple().exponent
    assert isinstance(exponent, int)  # the pattern above excludes NaN and infinity
    return exponent


PositiveInt = Annotated[int, PositiveIntType()]
PositiveDecimal = Annotated[Decimal, PositiveDecimalType()]
