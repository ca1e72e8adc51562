"""Checks whether the fields that a source's own `unify` returns can be stored. Pure."""

from datetime import UTC, datetime
from decimal import Decimal

from etl.contracts.field_type import show_value
from etl.contracts.forms import JSON_FORM
from etl.contracts.numbers import VALUE_DECIMALS, VALUE_DIGITS, is_too_precise
from etl.contracts.own_code import check_breach
from etl.contracts.texts import NON_BLANK
from etl.records import Breach, UnifiedFields
from etl.vocabulary import BreachCode


def check_result(result: object, what: str) -> UnifiedFields | Breach:
    """Return the result of a source's own code if it can be stored, or the breach that says why not."""
    if isinstance(result, Breach):
        return check_breach(result, what)
    if not isinstance(result, UnifiedFields):
        kind = type(result).__name__
        return Breach(BreachCode.BAD_RESULT, f"{what} must return UnifiedFields or a Breach, not {kind}")
    return find_misfit(result) or result


def find_misfit(fields: UnifiedFields) -> Breach | None:
    """Return why these fields can't be stored, or None. Fields that a mapping makes from shipped types always can."""
    for column in ("external_id", "name", "category", "currency"):
        text = getattr(fields, column)
        is_optional = column in ("category", "currency")
        if text is None and is_optional:
            continue
        result = NON_BLANK.parse(text, JSON_FORM)
        if isinstance(result, Breach) and not (is_optional and result.code is BreachCode.BLANK):
            return Breach(result.code, f"{column} {result.message}", column)
    value, time = fields.value, fields.event_timestamp
    if value is not None:
        if not isinstance(value, Decimal) or not value.is_finite():
            return Breach(BreachCode.NOT_A_NUMBER, f"value must be a finite Decimal, not {show_value(value)}", "value")
        if value and value.adjusted() >= VALUE_DIGITS - VALUE_DECIMALS:
            return Breach(BreachCode.OUT_OF_RANGE, f"value must be less than 10^20, not {show_value(value)}", "value")
        if value and is_too_precise(value):
            return Breach(BreachCode.TOO_PRECISE, f"value has more than {VALUE_DECIMALS} decimals", "value")
    if time is not None and (not isinstance(time, datetime) or time.utcoffset() is None):
        return Breach(
            BreachCode.NO_TIME_ZONE, f"event_timestamp must be a zoned time, not {show_value(time)}", "event_timestamp"
        )
    return _find_time_misfit(time) if time is not None else None


def _find_time_misfit(time: datetime) -> Breach | None:
    try:
        time.astimezone(UTC)
    except (OverflowError, ValueError):
        text = f"event_timestamp is not a time that exists in UTC: {show_value(time)}"
        return Breach(BreachCode.OUT_OF_RANGE, text, "event_timestamp")
    return None
