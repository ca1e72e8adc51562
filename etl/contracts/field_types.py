"""Strict field types: each parses a value into the form that the unified table stores, or returns a breach. Pure.

Common parsers are too generous for data that must be trusted: Python's `int` and `Decimal` accept `1_000` and Arabic
digits, pydantic's `int` accepts `True` and `1.0`.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Context, Decimal, InvalidOperation
from typing import Annotated, Any

from etl.records import Breach
from etl.vocabulary import BreachCode

VALUE_DIGITS = 38  # numeric(38,18)
VALUE_DECIMALS = 18
_DECIMAL = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_INTEGER = re.compile(r"-?[0-9]+")
_TIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,9})?)?(?P<zone>Z|[+-][0-9]{2}:?[0-5][0-9])?"
)
_EXACT = Context(prec=2 * VALUE_DIGITS)
SHOWN_CHARACTERS = 60


@dataclass(frozen=True, slots=True)
class Number:
    """A JSON number as it was written: neither rounded nor confused with a string."""

    text: str


@dataclass(frozen=True, slots=True)
class FieldType:
    """A strict type: `parse` returns the parsed value, or a Breach without column."""

    name: str
    parse: Callable[[Any], Any]


def show_value(value: Any) -> str:
    """Format the value for a message, shortened."""
    text = repr(value.text if isinstance(value, Number) else value)
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}…"


def _find_text_breach(text: str) -> Breach | None:
    if "\x00" in text:
        return Breach(BreachCode.NUL_CHARACTER, "holds a NUL character, which PostgreSQL can't store as text")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            return Breach(BreachCode.BAD_ENCODING, f"is not valid Unicode: {show_value(text)}")
    return None


def parse_non_blank(value: Any) -> str | Breach:
    if not isinstance(value, str):
        return Breach(BreachCode.NOT_TEXT, f"must be a string, not {show_value(value)}")
    if not value or value.isspace():
        return Breach(BreachCode.BLANK, "is blank")
    return _find_text_breach(value) or value


def _as_number_text(value: Any) -> str | Breach:
    if isinstance(value, Number):
        return value.text
    if not isinstance(value, str):
        return Breach(BreachCode.NOT_A_NUMBER, f"must be a number, not {show_value(value)}")
    if not value or value.isspace():
        return Breach(BreachCode.BLANK, "is blank")
    return value


def _parse_positive_int(value: Any) -> int | Breach:
    text = _as_number_text(value)
    if isinstance(text, Breach):
        return text
    if not _INTEGER.fullmatch(text):
        return Breach(BreachCode.NOT_AN_INTEGER, f"must be a whole number, not {show_value(text)}")
    if len(text.removeprefix("-")) > VALUE_DIGITS:
        return Breach(BreachCode.OUT_OF_RANGE, f"has more than {VALUE_DIGITS} digits")
    number = int(text)
    return number if number > 0 else Breach(BreachCode.NOT_POSITIVE, f"must be greater than 0, not {text}")


def _parse_positive_decimal(value: Any) -> Decimal | Breach:
    text = _as_number_text(value)
    if isinstance(text, Breach):
        return text
    if not _DECIMAL.fullmatch(text):
        return Breach(BreachCode.NOT_A_NUMBER, f"must be a number, not {show_value(text)}")
    if len(text) > 2 * VALUE_DIGITS:
        return Breach(BreachCode.OUT_OF_RANGE, f"is longer than {2 * VALUE_DIGITS} characters")
    try:
        number = Decimal(text)
    except InvalidOperation:
        return Breach(BreachCode.OUT_OF_RANGE, f"has an exponent that is out of range: {text}")
    if number <= 0:
        return Breach(BreachCode.NOT_POSITIVE, f"must be greater than 0, not {text}")
    if number.adjusted() >= VALUE_DIGITS - VALUE_DECIMALS:
        return Breach(BreachCode.OUT_OF_RANGE, f"must be less than 10^{VALUE_DIGITS - VALUE_DECIMALS}, not {text}")
    if is_too_precise(number):
        return Breach(BreachCode.TOO_PRECISE, f"has more than {VALUE_DECIMALS} decimals: {text}")
    return number


def is_too_precise(number: Decimal) -> bool:
    """Whether the unified table would have to round the number."""
    if number.adjusted() < -VALUE_DECIMALS:  # checked first, because normalize turns 1e-9999999 into 0
        return True
    return -_exponent(number) > VALUE_DECIMALS and -_exponent(number.normalize(_EXACT)) > VALUE_DECIMALS


def _exponent(number: Decimal) -> int:
    exponent = number.as_tuple().exponent
    assert isinstance(exponent, int)  # the pattern above excludes NaN and infinity
    return exponent


def _parse_zoned_time(value: Any) -> datetime | Breach:
    """Parse ISO 8601 with a zone to UTC; digits below a microsecond are dropped."""
    if not isinstance(value, str):
        return Breach(BreachCode.NOT_A_TIME, f"must be an ISO 8601 time, not {show_value(value)}")
    if not value or value.isspace():
        return Breach(BreachCode.BLANK, "is blank")
    match = _TIME.fullmatch(value)
    if match is None:
        return Breach(BreachCode.NOT_A_TIME, f"must be an ISO 8601 time, not {show_value(value)}")
    if match["zone"] is None:
        return Breach(BreachCode.NO_TIME_ZONE, f"must name its time zone (Z or +01:00): {show_value(value)}")
    try:
        return datetime.fromisoformat(value).astimezone(UTC)
    except (ValueError, OverflowError):
        return Breach(BreachCode.OUT_OF_RANGE, f"is not a time that exists: {show_value(value)}")


NonBlank = Annotated[str, FieldType("non_blank", parse_non_blank)]
PositiveInt = Annotated[int, FieldType("positive_int", _parse_positive_int)]
PositiveDecimal = Annotated[Decimal, FieldType("positive_decimal", _parse_positive_decimal)]
ZonedTime = Annotated[datetime, FieldType("zoned_time", _parse_zoned_time)]
