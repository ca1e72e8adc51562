"""Derives field types from a model's fields: what the column can hold and the field's validators accept, no more."""

import re
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from decimal import Decimal as Exact
from typing import Any, TypeAlias

from django.conf import settings
from django.core import validators
from django.core.exceptions import ValidationError
from django.db import models

from etl.contracts.addresses import UuidType
from etl.contracts.amounts import DecimalType, IntegerType
from etl.contracts.field_type import FieldType
from etl.contracts.forms import FILE_FORM, JSON_FORM
from etl.contracts.instants import TimeType
from etl.contracts.json_values import JsonType
from etl.contracts.limits import Called, LimitedType, NarrowedType, Validator
from etl.contracts.texts import IdentifierType, TextType
from etl.contracts.times import DateType
from etl.contracts.words import BooleanType, ChoiceType
from etl.database import connection
from etl.records import Breach

_NUMBERS = (models.IntegerField, models.DecimalField, models.FloatField)
_OF_STORAGE = ("get_prep_value", "get_db_prep_value", "get_db_prep_save", "pre_save", "db_type", "get_placeholder")
_OF_VALUES = ("to_python", "clean", "validate", "run_validators")

AnyField: TypeAlias = "models.Field[Any, Any]"


class Underivable(TypeError):
    """A model's field for which there is no field type, or that a source can't own. The message is one sentence."""


def derive_type(field: AnyField) -> FieldType:
    """Return the type of the values that this field's column can hold. Raises Underivable."""
    if _has_own_code(field):
        name = type(field).__name__
        raise Underivable(f"{name_field(field)} is a {name}, whose own code decides what is stored")
    derive = next((found for kind, found in _DERIVATIONS.items() if isinstance(field, kind)), None)
    if getattr(field, "generated", False) or (derive is None and not field.choices):
        name = type(field).__name__
        raise Underivable(f"{name_field(field)} is a {name}, which a source can't own")
    base, limits = derive(field) if derive is not None else (IdentifierType(), {})
    if field.choices:
        return _derive_choice(field, base)
    called = tuple(Called(_describe_validator(each), _guard(each)) for each in _list_validators(field))
    if isinstance(field, models.GenericIPAddressField):
        called += (Called("no zone", _refuse_zone),)
    return LimitedType(base, called=called, **limits) if called or limits else base


def name_field(field: AnyField) -> str:
    return f"{field.model._meta.label}.{field.name}"


def _has_own_code(field: AnyField) -> bool:
    """Whether a class outside Django converts, judges or stores values: its code is not called."""
    kinds = [kind for kind in type(field).__mro__ if not kind.__module__.startswith(("django.", "builtins"))]
    return any(name in vars(kind) for kind in kinds for name in (*_OF_STORAGE, *_OF_VALUES))


def list_slow(field: AnyField) -> list[str]:
    """Return the validators whose code is called for each value. An expression alone is as fast as a type's pattern."""
    called = () if field.choices else _list_validators(field)
    return [_describe_validator(each) for each in called if _find_search(each) is None]


def _derive_choice(field: AnyField, base: FieldType) -> FieldType:
    values = [value for value, _ in field.flatchoices if value not in (None, "")]
    if isinstance(base, TextType):
        _check_words(field, values)
    valid = [value for value in values if _is_valid(field, value)]
    if not valid:
        raise Underivable(f"{name_field(field)} has no choice that its validators accept")
    if isinstance(base, TextType):
        return ChoiceType(tuple(map(str, valid)))
    return NarrowedType(base, (ChoiceType(tuple(_write_choice(field, base, value) for value in valid)),))


def _check_words(field: AnyField, values: Sequence[Any]) -> None:
    if not all(isinstance(value, str | int) and str(value).strip() for value in values):
        raise Underivable(f"{name_field(field)} has choices that are neither words nor whole numbers")


def _write_choice(field: AnyField, base: FieldType, choice: Any) -> str:
    """Return the canonical text of a choice: a record may write its value in any way that the type accepts."""
    if isinstance(base, JsonType):
        parsed = base.parse(choice, JSON_FORM)
    else:
        value = field.to_python(choice)
        parsed = base.parse(value.isoformat() if isinstance(value, date) else str(value), FILE_FORM)
    if isinstance(parsed, Breach):
        raise Underivable(f"{name_field(field)} has the choice {choice!r}, which {parsed.message}")
    return base.write(parsed)


def _is_valid(field: AnyField, choice: Any) -> bool:
    """Whether the field's validators accept this choice: they are called for the choices, not for each value."""
    try:
        field.run_validators(field.to_python(choice))
    except Exception:  # noqa: BLE001  (a validator that fails accepts nothing)
        return False
    return True


def _derive_text(field: AnyField) -> tuple[FieldType, dict[str, Any]]:
    own = (each.limit_value for each in field.validators if type(each) is validators.MaxLengthValidator)
    limits = [limit for limit in (field.max_length, *own) if isinstance(limit, int)]
    # A JSON number is text too: 007 and 7 stay what they are.
    return IdentifierType(max_length=min(limits, default=None)), {}


def _refuse_zone(address: str) -> str | None:
    """Django accepts the zone of an IPv6 address; PostgreSQL's `inet` does not."""
    return "PostgreSQL stores no zone of an address, such as %eth0" if "%" in address else None


def _derive_integer(field: AnyField) -> tuple[FieldType, dict[str, Any]]:
    bounds = connection.ops.integer_field_range(field.get_internal_type())
    least, most = _narrow(field, *bounds)
    return IntegerType(min=least, max=most), {}


def _derive_decimal(field: AnyField) -> tuple[FieldType, dict[str, Any]]:
    assert isinstance(field, models.DecimalField)
    least, most = _narrow(field, None, None)
    return DecimalType(min=least, max=most), {"digits": field.max_digits, "decimals": field.decimal_places}


def _derive_float(field: AnyField) -> tuple[FieldType, dict[str, Any]]:
    least, most = _narrow(field, None, None)
    return DecimalType(min=least, max=most), {}


def _derive_time(field: AnyField) -> tuple[FieldType, dict[str, Any]]:
    if not settings.USE_TZ:
        raise Underivable(f"{name_field(field)} has no time zone while USE_TZ is off, so it can't be owned")
    return TimeType(), {}


def _derive_day(field: AnyField) -> tuple[FieldType, dict[str, Any]]:
    if isinstance(field, models.DateTimeField):
        return _derive_time(field)
    return DateType(), {}


def _narrow(field: AnyField, least: Any, most: Any) -> tuple[Any, Any]:
    """Return the bounds with those of the field's own validators, unless a callable gives them."""
    for each in field.validators:
        limit = getattr(each, "limit_value", None)
        if _is_number(limit):
            if type(each) is validators.MinValueValidator:
                least = limit if least is None else max(least, limit)
            elif type(each) is validators.MaxValueValidator:
                most = limit if most is None else min(most, limit)
    return least, most


def _is_number(limit: Any) -> bool:
    return isinstance(limit, int | Exact) and not isinstance(limit, bool)


def _list_validators(field: AnyField) -> Iterator[Callable[[Any], None]]:
    """List the validators that no derived type replaces."""
    return (each for each in field.validators if not _is_replaced(field, each))


def _is_replaced(field: AnyField, validator: Any) -> bool:
    """Whether the derived type refuses what this validator of Django refuses. A project's own class is called."""
    kind, limit = type(validator), getattr(validator, "limit_value", None)
    if kind in (validators.MinValueValidator, validators.MaxValueValidator):
        return _is_number(limit) and isinstance(field, _NUMBERS)
    if kind is validators.MaxLengthValidator:
        return isinstance(limit, int) and isinstance(field, models.CharField | models.TextField)
    if kind is validators.DecimalValidator and isinstance(field, models.DecimalField):
        return (validator.max_digits, validator.decimal_places) == (field.max_digits, field.decimal_places)
    return kind is validators.ProhibitNullCharactersValidator


def _describe_validator(validator: Any) -> str:
    name = getattr(validator, "__qualname__", type(validator).__qualname__)
    given = [getattr(validator, part, None) for part in ("regex", "limit_value", "code")]
    shown = [getattr(part, "pattern", part) for part in given if isinstance(part, str | int | Exact) or part]
    return f"{name}({', '.join(map(str, shown))})"


def _guard(validator: Callable[[Any], None]) -> Validator:
    find = _find_search(validator)

    def check(value: Any) -> str | None:
        if find is not None and isinstance(value, str) and find(value):
            return None
        try:
            validator(value)
        except ValidationError as error:
            return " ".join(error.messages)
        return None

    return check


def _find_search(validator: Any) -> Callable[[str], Any] | None:
    """Return the search after which Django's own RegexValidator accepts a text: to call it takes 20 times as long."""
    if type(validator) is not validators.RegexValidator or validator.inverse_match:
        return None
    regex: Any = validator.regex
    return re.compile(regex.pattern, regex.flags).search


_DERIVATIONS: dict[type[AnyField], Callable[[AnyField], tuple[FieldType, dict[str, Any]]]] = {
    models.BooleanField: lambda _: (BooleanType(), {}),
    models.DecimalField: _derive_decimal,
    models.FloatField: _derive_float,
    models.IntegerField: _derive_integer,
    models.DateField: _derive_day,
    models.UUIDField: lambda _: (UuidType(), {}),
    models.JSONField: lambda _: (JsonType(), {}),
    models.CharField: _derive_text,
    models.TextField: _derive_text,
    models.GenericIPAddressField: _derive_text,
}
