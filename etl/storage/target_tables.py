"""Reads how a team's own table is made: its columns, its constraints, and where its keys come from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import models

from etl.database import advise_migrating, connection
from etl.exceptions import RunError
from etl.readers.target_plan import TargetPlan
from etl.storage.transactions import bounded_transaction
from etl.vocabulary import Reason

_COLUMNS = """
    SELECT attname, format_type(atttypid, atttypmod), attnotnull, attgenerated <> ''
    FROM pg_attribute WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped ORDER BY attnum
"""
_CHECKS = """
    SELECT conname, pg_get_expr(conbin, conrelid) FROM pg_constraint
    WHERE conrelid = to_regclass(%s) AND contype = 'c' AND convalidated ORDER BY conname
"""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table: its type as PostgreSQL writes it, and whether it takes NULL."""

    type: str
    is_required: bool


@dataclass(frozen=True, slots=True)
class TargetTable:
    """A team's table. `name` is quoted; `columns` can be written; `checks` has the expressions by constraint."""

    name: str
    pk: str
    columns: Mapping[str, Column]
    checks: Mapping[str, str]
    sequence: str | None


def quote(name: str) -> str:
    """Return the name of a table or column, quoted."""
    return connection.ops.quote_name(name)


def load_table(cursor: Any, model: type[models.Model]) -> TargetTable:
    """Return the table of a model as it is now. Without columns if it does not exist."""
    name, pk = quote(model._meta.db_table), str(model._meta.pk.column)
    cursor.execute(_COLUMNS, [name])
    columns = {
        column: Column(kind, not_null) for column, kind, not_null, generated in cursor.fetchall() if not generated
    }
    cursor.execute(_CHECKS, [name])
    checks = dict(cursor.fetchall())
    sequence = None
    if pk in columns:
        cursor.execute("SELECT pg_get_serial_sequence(%s, %s)", [name, pk])
        (sequence,) = cursor.fetchone()
    return TargetTable(name, pk, columns, checks, sequence)


def require_target(plan: TargetPlan) -> None:
    """Raise RunError if the database lacks a table or column of the target's models: the model has changed."""
    with bounded_transaction() as cursor:
        complaints = _list_complaints(cursor, plan)
    if complaints:
        text = (
            f"The target {plan.into.label} has changed: {'; '.join(complaints)}. Run {advise_migrating()}, then again."
        )
        raise RunError(text, Reason.TARGET_CHANGED)


def _list_complaints(cursor: Any, plan: TargetPlan) -> list[str]:
    model = plan.into.model
    complaints = [*_find_missing(cursor, model, [str(field.column) for field in model._meta.concrete_fields])]
    for each in plan.parents:
        complaints += _find_missing(cursor, each.model, [str(each.model._meta.pk.column), *each.natural])
    return complaints


def _find_missing(cursor: Any, model: type[models.Model], columns: Sequence[str]) -> list[str]:
    cursor.execute(_COLUMNS, [quote(model._meta.db_table)])
    found = {row[0] for row in cursor.fetchall()}
    if not found:
        return [f"there is no table {model._meta.db_table}"]
    missing = [column for column in columns if column not in found]
    return [f"the table {model._meta.db_table} has no column {', '.join(missing)}"] if missing else []
