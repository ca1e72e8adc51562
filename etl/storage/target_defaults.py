"""What a new row of a team's table has in columns that its source does not own, and what shows a change of a row."""

import json
from collections.abc import Sequence
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
    given = [str(f.column) for f in fields if f.column in taken or not f.has_db_default()]
    return [name for name in given if name in table.columns]


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
    if value is not None and isinstance(field, models.JSONField):
        return format_value(json.dumps(value, cls=field.encoder))
    # The driver has a class of its own for these two.
    if value is not None and isinstance(field, models.BinaryField):
        return format_value(bytes(value))
    if value is not None and isinstance(field, models.GenericIPAddressField):
        return format_value(field.get_prep_value(value))
    prepared = field.get_db_prep_save(value, connection)
    if isinstance(prepared, bool):
        return "true" if prepared else "false"
    if isinstance(prepared, list):
        return format_value(_write_array(prepared))
    return format_value(prepared)


def _write_array(value: Any) -> str:
    """Return the value as PostgreSQL reads it within an array."""
    if isinstance(value, list):
        return "{" + ",".join(map(_write_array, value)) + "}"
    if value is None:
        return "NULL"
    escaped = str(value).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def list_touched(plan: TargetPlan, owned: Sequence[str], stamp: Stamp) -> tuple[list[str], list[Any]]:
    """Return the columns that show when a row was changed last, and their values."""
    fields = [f for f in plan.into.model._meta.concrete_fields if getattr(f, "auto_now", False)]
    fields = [f for f in fields if f.column not in owned]
    return [str(f.column) for f in fields], [_choose_now(f, stamp) for f in fields]
