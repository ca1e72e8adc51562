"""What a new row of a team's table has in columns that its source does not own, and what shows a change of a row."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from django.db import models
from django.utils import timezone

from etl.copy_text import format_value
from etl.database import connection
from etl.readers.model_types import AnyField
from etl.readers.target_plan import TargetPlan
from etl.records import Stamp
from etl.storage.target_tables import TargetTable


def list_given(plan: TargetPlan, table: TargetTable) -> list[str]:
    """Return the columns that an INSERT names. The database itself fills what it has a default for."""
    taken = plan.filled
    fields = plan.into.model._meta.concrete_fields
    given = [str(f.column) for f in fields if f.column in taken or not (f.has_db_default() or _fills_itself(f, table))]
    return [name for name in given if name in table.columns]


def _fills_itself(field: AnyField, table: TargetTable) -> bool:
    """Whether it is a primary key whose default is known to the database alone, such as a sequence that it shares."""
    is_drawn = field.primary_key and not field.has_default() and table.sequence is None
    return is_drawn and table.pk in table.columns and table.columns[table.pk].has_default


class Defaults:
    """What a new row has in the columns that the source does not own, as COPY text: the defaults of its model."""

    def __init__(self, plan: TargetPlan, table: TargetTable, stamp: Stamp) -> None:
        given = set(list_given(plan, table)).difference(plan.filled)
        fields = [f for f in plan.into.model._meta.concrete_fields if f.column in given]
        self.draws_keys = any(f.primary_key and not f.has_default() for f in fields) and table.sequence is not None
        fields = [f for f in fields if not (f.primary_key and self.draws_keys)]
        self.columns = [str(f.column) for f in fields]
        self.fields, self.stamp = fields, stamp
        self.fixed = None if any(map(_varies, fields)) else self._make()

    def make(self) -> str:
        """Return the values of one new row, each after a tab."""
        return self._make() if self.fixed is None else self.fixed

    def _make(self) -> str:
        return "".join(f"\t{_format(field, _choose_default(field, self.stamp))}" for field in self.fields)


def _varies(field: AnyField) -> bool:
    return field.has_default() and callable(field.default)


def _choose_default(field: AnyField, stamp: Stamp) -> Any:
    if getattr(field, "auto_now", False) or getattr(field, "auto_now_add", False):
        return _choose_now(field, stamp)
    return field.get_default()


def _choose_now(field: AnyField, stamp: Stamp) -> Any:
    if isinstance(field, models.DateTimeField):
        return stamp.now
    local = stamp.now.astimezone(timezone.get_current_timezone())
    return local.date() if isinstance(field, models.DateField) else local.time()


def _format(field: AnyField, value: Any) -> str:
    prepared = _prepare(field, value)
    if isinstance(prepared, bool):
        return "true" if prepared else "false"
    return format_value(_write_array(prepared) if isinstance(prepared, list) else prepared)


def _prepare(field: AnyField, value: Any) -> Any:
    """Return the value as it is stored, an array as a list. The driver has a class of its own for some values."""
    if value is not None and isinstance(field, models.JSONField):
        return json.dumps(value, cls=field.encoder)
    if value is not None and isinstance(field, models.BinaryField):
        return rf"\x{bytes(value).hex()}"
    if value is not None and isinstance(field, models.GenericIPAddressField):
        return field.get_prep_value(value)
    base = getattr(field, "base_field", None)
    if isinstance(value, list | tuple) and isinstance(base, models.Field) and _is_of_driver(base):
        return [_prepare(base, each) for each in value]
    prepared = field.get_db_prep_save(value, connection)
    if isinstance(prepared, dict):
        return _write_hstore(prepared)
    return _write_range(prepared) if hasattr(prepared, "lower_inc") else prepared


def _is_of_driver(field: AnyField) -> bool:
    """Whether the driver has a class for the field's values, or for those in its arrays."""
    base = getattr(field, "base_field", None)
    if isinstance(base, models.Field):
        return _is_of_driver(base)
    return isinstance(field, models.JSONField | models.BinaryField | models.GenericIPAddressField)


def _write_hstore(pairs: Mapping[str, str | None]) -> str:
    """Return the pairs as PostgreSQL reads them in a column of the type hstore."""
    return ",".join(f"{_quote(key)}=>{'NULL' if value is None else _quote(value)}" for key, value in pairs.items())


def _write_range(value: Any) -> str:
    """Return the driver's range as PostgreSQL reads it."""
    if value.isempty:
        return "empty"
    low, high = ("" if end is None else _quote(end) for end in (value.lower, value.upper))
    return f"{'[' if value.lower_inc else '('}{low},{high}{']' if value.upper_inc else ')'}"


def _write_array(value: Any) -> str:
    """Return the value as PostgreSQL reads it within an array."""
    if isinstance(value, list):
        return "{" + ",".join(map(_write_array, value)) + "}"
    if isinstance(value, dict):
        value = _write_hstore(value)
    return "NULL" if value is None else _quote(value)


def _quote(value: Any) -> str:
    escaped = str(value).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def list_touched(plan: TargetPlan, owned: Sequence[str], stamp: Stamp) -> tuple[list[str], list[Any]]:
    """Return the columns that show when a row was changed last, and their values."""
    fields = [f for f in plan.into.model._meta.concrete_fields if getattr(f, "auto_now", False)]
    fields = [f for f in fields if f.column not in owned]
    return [str(f.column) for f in fields], [_choose_now(f, stamp) for f in fields]
