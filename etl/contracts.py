"""What a source's record must be: strict field types, and the judgement of one record. Pure; needs no database.

The types are ours because common parsers are too generous for data one wants to trust: Python's `int` and
`Decimal` take `1_000` and Arabic digits, pydantic's `int` takes `True` and `1.0`. A type parses a value to
what the unified table stores, or gives the breach.
"""

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Context, Decimal, InvalidOperation
from typing import Annotated, Any, ClassVar, get_type_hints

from etl.records import Breach, BreachCode, UnifiedFields

CONTRACT_FORMAT = 1
"""Part of every contract's digest: raise it when a type's meaning changes, and each source is read anew."""

VALUE_DIGITS = 38  # numeric(38,18)
VALUE_DECIMALS = 18
_DECIMAL = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_INTEGER = re.compile(r"-?[0-9]+")
_TIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,9})?)?(?P<zone>Z|[+-][0-9]{2}:?[0-5][0-9])?"
)
_EXACT = Context(prec=2 * VALUE_DIGITS)
_SHOWN_CHARACTERS = 60


@dataclass(frozen=True, slots=True)
class Number:
    """A JSON number as it was written: neither rounded nor confused with a text."""

    text: str


@dataclass(frozen=True, slots=True)
class FieldType:
    """A strict type: `parse` gives the parsed value, or a Breach without column."""

    name: str
    parse: Callable[[Any], Any]


def _shown(value: Any) -> str:
    text = repr(value.text if isinstance(value, Number) else value)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…"


def _find_text_breach(text: str) -> Breach | None:
    if "\x00" in text:
        return Breach(BreachCode.NUL_CHARACTER, "holds a NUL character, which PostgreSQL can't store as text")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            return Breach(BreachCode.BAD_ENCODING, f"is not valid Unicode: {_shown(text)}")
    return None


def _parse_non_blank(value: Any) -> str | Breach:
    if not isinstance(value, str):
        return Breach(BreachCode.NOT_TEXT, f"must be a text, not {_shown(value)}")
    if not value or value.isspace():
        return Breach(BreachCode.BLANK, "is blank")
    return _find_text_breach(value) or value


def _as_number_text(value: Any) -> str | Breach:
    if isinstance(value, Number):
        return value.text
    if not isinstance(value, str):
        return Breach(BreachCode.NOT_A_NUMBER, f"must be a number, not {_shown(value)}")
    if not value or value.isspace():
        return Breach(BreachCode.BLANK, "is blank")
    return value


def _parse_positive_int(value: Any) -> int | Breach:
    text = _as_number_text(value)
    if isinstance(text, Breach):
        return text
    if not _INTEGER.fullmatch(text):
        return Breach(BreachCode.NOT_AN_INTEGER, f"must be a whole number, not {_shown(text)}")
    if len(text.removeprefix("-")) > VALUE_DIGITS:
        return Breach(BreachCode.OUT_OF_RANGE, f"has more than {VALUE_DIGITS} digits")
    number = int(text)
    return number if number > 0 else Breach(BreachCode.NOT_POSITIVE, f"must be greater than 0, not {text}")


def _parse_positive_decimal(value: Any) -> Decimal | Breach:
    text = _as_number_text(value)
    if isinstance(text, Breach):
        return text
    if not _DECIMAL.fullmatch(text):
        return Breach(BreachCode.NOT_A_NUMBER, f"must be a number, not {_shown(text)}")
    if len(text) > 2 * VALUE_DIGITS:
        return Breach(BreachCode.OUT_OF_RANGE, f"is longer than {2 * VALUE_DIGITS} characters")
    try:
        number = Decimal(text)
    except InvalidOperation:
        return Breach(BreachCode.OUT_OF_RANGE, f"has an exponent that no number can have: {text}")
    if number <= 0:
        return Breach(BreachCode.NOT_POSITIVE, f"must be greater than 0, not {text}")
    if number.adjusted() >= VALUE_DIGITS - VALUE_DECIMALS:
        return Breach(BreachCode.OUT_OF_RANGE, f"must be less than 10^{VALUE_DIGITS - VALUE_DECIMALS}, not {text}")
    if _is_too_precise(number):
        return Breach(BreachCode.TOO_PRECISE, f"has more than {VALUE_DECIMALS} decimals: {text}")
    return number


def _is_too_precise(number: Decimal) -> bool:
    if number.adjusted() < -VALUE_DECIMALS:  # told first: normalize makes 0 of 1e-9999999
        return True
    return -_exponent(number) > VALUE_DECIMALS and -_exponent(number.normalize(_EXACT)) > VALUE_DECIMALS


def _exponent(number: Decimal) -> int:
    exponent = number.as_tuple().exponent
    assert isinstance(exponent, int)  # the grammar above lets no NaN or infinity through
    return exponent


def _parse_zoned_time(value: Any) -> datetime | Breach:
    """ISO 8601 with a zone, as UTC; digits below a microsecond are cut."""
    if not isinstance(value, str):
        return Breach(BreachCode.NOT_A_TIME, f"must be an ISO 8601 time, not {_shown(value)}")
    if not value or value.isspace():
        return Breach(BreachCode.BLANK, "is blank")
    match = _TIME.fullmatch(value)
    if match is None:
        return Breach(BreachCode.NOT_A_TIME, f"must be an ISO 8601 time, not {_shown(value)}")
    if match["zone"] is None:
        return Breach(BreachCode.NO_TIME_ZONE, f"must name its time zone (Z or +01:00): {_shown(value)}")
    try:
        return datetime.fromisoformat(value).astimezone(UTC)
    except (ValueError, OverflowError):
        return Breach(BreachCode.OUT_OF_RANGE, f"is no time that exists: {_shown(value)}")


NonBlank = Annotated[str, FieldType("non_blank", _parse_non_blank)]
PositiveInt = Annotated[int, FieldType("positive_int", _parse_positive_int)]
PositiveDecimal = Annotated[Decimal, FieldType("positive_decimal", _parse_positive_decimal)]
ZonedTime = Annotated[datetime, FieldType("zoned_time", _parse_zoned_time)]


class Contract:
    """What one record must look like: a subclass names its fields with the types above or other contracts.

    Fields that the contract does not name are kept in the raw record and otherwise ignored. Every named
    field is required.
    """

    fields: ClassVar[Mapping[str, "FieldType | type[Contract]"]] = {}

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "fields" in inspect.get_annotations(cls):
            raise TypeError(f"{cls.__name__}.fields: this name is the contract's own; no field of a record can have it")
        hints = get_type_hints(cls, include_extras=True)
        cls.fields = {name: _find_field_type(cls, name, hint) for name, hint in hints.items() if name != "fields"}

    @classmethod
    def judge(cls, values: Mapping[str, Any]) -> dict[str, Any] | Breach:
        """The parsed values by field path (`price.amount`), or the first breach in the contract's order."""
        parsed: dict[str, Any] = {}
        return cls.judge_into(parsed, values, "") or parsed

    @classmethod
    def judge_into(cls, parsed: dict[str, Any], values: Mapping[str, Any], prefix: str) -> Breach | None:
        for name, field_type in cls.fields.items():
            path = prefix + name
            value = values.get(name)
            if value is None:
                return Breach(BreachCode.MISSING, f"{path} is missing", path)
            if isinstance(field_type, FieldType):
                result = field_type.parse(value)
                if isinstance(result, Breach):
                    return Breach(result.code, f"{path} {result.message}", path)
                parsed[path] = result
            elif not isinstance(value, Mapping):
                return Breach(BreachCode.NOT_AN_OBJECT, f"{path} must be an object, not {_shown(value)}", path)
            elif breach := field_type.judge_into(parsed, value, f"{path}."):
                return breach
        return None

    @classmethod
    def describe(cls) -> dict[str, str]:
        """Field path → type name, in the contract's order."""
        described: dict[str, str] = {}
        for name, field_type in cls.fields.items():
            if isinstance(field_type, FieldType):
                described[name] = field_type.name
            else:
                described |= {f"{name}.{path}": kind for path, kind in field_type.describe().items()}
        return described


def _find_field_type(contract: type[Contract], name: str, hint: Any) -> "FieldType | type[Contract]":
    if isinstance(hint, type) and issubclass(hint, Contract):
        return hint
    for extra in getattr(hint, "__metadata__", ()):
        if isinstance(extra, FieldType):
            return extra
    raise TypeError(f"{contract.__name__}.{name}: use a type of etl.contracts or another Contract, not {hint!r}")


def find_misfit(fields: UnifiedFields) -> Breach | None:
    """Why what a source's own `unify` made can't be stored as it is; None if it can. Mappings give only what fits."""
    for column in ("external_id", "name", "category", "currency"):
        text = getattr(fields, column)
        is_optional = column in ("category", "currency")
        if text is None and is_optional:
            continue
        result = _parse_non_blank(text)
        if isinstance(result, Breach) and not (is_optional and result.code is BreachCode.BLANK):
            return Breach(result.code, f"{column} {result.message}", column)
    value, time = fields.value, fields.event_timestamp
    if value is not None:
        if not isinstance(value, Decimal) or not value.is_finite():
            return Breach(BreachCode.NOT_A_NUMBER, f"value must be a finite Decimal, not {_shown(value)}", "value")
        if value and value.adjusted() >= VALUE_DIGITS - VALUE_DECIMALS:
            return Breach(BreachCode.OUT_OF_RANGE, f"value must be less than 10^20, not {_shown(value)}", "value")
        if -_exponent(value.normalize(_EXACT)) > VALUE_DECIMALS:
            return Breach(BreachCode.TOO_PRECISE, f"value has more than {VALUE_DECIMALS} decimals", "value")
    if time is not None and (not isinstance(time, datetime) or time.utcoffset() is None):
        return Breach(
            BreachCode.NO_TIME_ZONE, f"event_timestamp must be a zoned time, not {_shown(time)}", "event_timestamp"
        )
    return None
