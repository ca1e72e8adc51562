"""Ends or deletes the rows of records that vanished, in a team's own table, before the ledger marks them as removed."""

from collections.abc import Sequence
from functools import partial
from typing import Any

from django.db import DatabaseError, models

from etl.database import connection
from etl.exceptions import RunError
from etl.readers.into import End
from etl.readers.model_types import AnyField
from etl.readers.target_plan import TargetPlan
from etl.records import Stamp
from etl.storage.short_waits import in_short_waits
from etl.storage.target_defaults import list_touched
from etl.storage.target_rows import is_violation
from etl.storage.target_tables import quote
from etl.storage.transactions import describe
from etl.vocabulary import Reason

# A row may have got another record: its key was corrected, or its record has another id now. Then it stays.
_FIND = """
    SELECT target_key FROM unified_records AS gone
    WHERE id = ANY(%(rows)s) AND target = %(target)s AND target_key IS NOT NULL AND NOT EXISTS (
        SELECT FROM unified_records AS other
        WHERE other.target_key = gone.target_key AND other.target = gone.target AND other.source = gone.source
            AND other.removed_at IS NULL AND other.id <> ALL(%(rows)s)
    )
    ORDER BY external_id COLLATE "C"
"""
# What is deleted by the source is no row that the team has deleted: a record that returns gets another one.
_FORGET = "UPDATE unified_records SET target_key = NULL WHERE id = ANY(%s)"


def remove_rows(cursor: Any, plan: TargetPlan, rows: Sequence[int], stamp: Stamp) -> list[str]:
    """Do what the source declares for records that vanished, given by their rows in the ledger.

    Returns the keys of the target's rows. Raises RunError if the table does not allow it; then nothing of the batch is
    removed.
    """
    if plan.into.vanished is None:
        return []
    cursor.execute(_FIND, {"rows": [*rows], "target": plan.into.label})
    keys = [row[0] for row in cursor.fetchall()]
    try:
        in_short_waits(cursor, partial(_remove, cursor, plan, rows, keys, stamp))
    except DatabaseError as error:
        if not is_violation(error):
            raise
        raise _explain(plan, error) from error
    return keys


def _remove(cursor: Any, plan: TargetPlan, rows: Sequence[int], keys: Sequence[str], stamp: Stamp) -> None:
    pk, end = plan.into.model._meta.pk, plan.into.vanished
    table, column = quote(plan.into.model._meta.db_table), quote(str(pk.column))
    chosen = f"{column} = ANY(%s::{_name_type(pk)}[])"
    key = ", ".join(map(quote, plan.key))
    lock = "NO KEY UPDATE" if isinstance(end, End) else "UPDATE"
    cursor.execute(f"SELECT 1 FROM {table} WHERE {chosen} ORDER BY {key} FOR {lock}", [keys])
    cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
    if isinstance(end, End):
        _end(cursor, plan, end, f"{table} WHERE {chosen}", keys, stamp)
    else:
        cursor.execute(f"DELETE FROM {table} WHERE {chosen}", [keys])
        cursor.execute(_FORGET, [[*rows]])


def _explain(plan: TargetPlan, error: DatabaseError) -> RunError:
    constraint = getattr(getattr(error.__cause__, "diag", None), "constraint_name", None)
    why = f"the constraint {constraint}" if constraint else describe(error)
    what, hint = "deleted", "Use end(…) in the place of delete()"
    if isinstance(plan.into.vanished, End):
        what, hint = "ended", "Give end(…) other values"
    text = f"{plan.into.label} does not let rows of records that vanished be {what}: {why}. {hint}."
    return RunError(text, Reason.TARGET_REFUSES)


def _end(cursor: Any, plan: TargetPlan, end: End, chosen: str, keys: Sequence[str], stamp: Stamp) -> None:
    table, _, condition = chosen.partition(" WHERE ")
    meta = plan.into.model._meta
    fields = [meta.get_field(name) for name in end.columns]
    values = [
        field.get_db_prep_save(value, connection)
        for field, value in zip(fields, end.columns.values(), strict=True)
        if isinstance(field, models.Field)
    ]
    names = [quote(str(getattr(field, "column", ""))) for field in fields]
    touched, times = list_touched(plan, [], stamp)
    sets = ", ".join(f"{name} = %s" for name in [*names, *map(quote, touched)])
    old, new = ", ".join(names), ", ".join(["%s"] * len(names))
    cursor.execute(
        f"UPDATE {table} SET {sets} WHERE {condition} AND ROW({old}) IS DISTINCT FROM ROW({new})",
        [*values, *times, keys, *values],
    )


def _name_type(pk: AnyField) -> str:
    return str(pk.rel_db_type(connection))
