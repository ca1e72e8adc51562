"""Reads how a team's own table is made: its columns, its constraints, and where its keys come from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import models

from etl.database import connection

_COLUMNS = """
    SELECT attname, format_type(atttypid, atttypmod), attnotnull, atthasdef OR attidentity <> '',
        attgenerated <> '', CASE WHEN attcollation <> 0 THEN attcollation::regcollation::text END
    FROM pg_attribute WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped ORDER BY attnum
"""
# Those that are called before a row is written: they may change it, or keep it from being written.
_TRIGGERS = """
    SELECT EXISTS (
        SELECT FROM pg_trigger
        WHERE tgrelid = to_regclass(%s) AND NOT tgisinternal AND tgenabled <> 'D' AND tgtype & 3 = 3 AND tgtype & 20 > 0
    )
"""
# A CHECK of a generated column can't be applied to a row that is not in the table yet.
_CHECKS = """
    SELECT conname, pg_get_expr(conbin, conrelid), ARRAY(
        SELECT attname::text FROM pg_attribute WHERE attrelid = conrelid AND attnum = ANY(conkey)
    ) FROM pg_constraint
    WHERE conrelid = to_regclass(%s) AND contype = 'c' AND convalidated AND NOT EXISTS (
        SELECT FROM pg_attribute WHERE attrelid = conrelid AND attnum = ANY(conkey) AND attgenerated <> ''
    ) ORDER BY conname
"""
_DEFERRABLE = """
    SELECT EXISTS (
        SELECT FROM pg_constraint WHERE conrelid = to_regclass(%s) AND contype IN ('p', 'u', 'x') AND condeferrable
    )
"""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table: its type as PostgreSQL writes it, and whether it takes NULL and fills itself.

    `collation` is None if the type has none.
    """

    type: str
    is_required: bool
    has_default: bool
    is_generated: bool
    collation: str | None

    @property
    def declaration(self) -> str:
        """The type and the collation, for a column of another table that compares as this one does."""
        return self.type if self.collation is None else f"{self.type} COLLATE {self.collation}"

    def spell(self, value: str) -> str:
        """Return an SQL expression that is equal only for values of this column that are written alike."""
        return value if self.collation is None else f'{value}::text COLLATE "C"'


@dataclass(frozen=True, slots=True)
class Check:
    """A CHECK: its expression, and the columns that it looks at."""

    expression: str
    columns: Sequence[str]


@dataclass(frozen=True, slots=True)
class TargetTable:
    """A team's table. `name` is quoted; `columns` can be written; `checks` are by the constraints' names.

    `has_deferrable`: a unique or exclusion constraint of it is deferrable. `has_triggers`: some are called before a row
    is inserted or updated.
    """

    name: str
    pk: str
    columns: Mapping[str, Column]
    generated: frozenset[str]
    checks: Mapping[str, Check]
    sequence: str | None
    has_deferrable: bool
    has_triggers: bool


def quote(name: str) -> str:
    """Return the name of a table or column, quoted."""
    return connection.ops.quote_name(name)


def load_table(cursor: Any, model: type[models.Model]) -> TargetTable:
    """Return the table of a model as it is now. Without columns if it does not exist."""
    name, pk = quote(model._meta.db_table), str(model._meta.pk.column)
    found = list_columns(cursor, model)
    columns = {column: each for column, each in found.items() if not each.is_generated}
    cursor.execute(_CHECKS, [name])
    checks = {constraint: Check(*rest) for constraint, *rest in cursor.fetchall()}
    cursor.execute(_DEFERRABLE, [name])
    (has_deferrable,) = cursor.fetchone()
    cursor.execute(_TRIGGERS, [name])
    (has_triggers,) = cursor.fetchone()
    sequence = None
    if pk in columns:
        cursor.execute("SELECT pg_get_serial_sequence(%s, %s)", [name, pk])
        (sequence,) = cursor.fetchone()
    generated = frozenset(found.keys() - columns.keys())
    return TargetTable(name, pk, columns, generated, checks, sequence, has_deferrable, has_triggers)


def list_columns(cursor: Any, model: type[models.Model]) -> dict[str, Column]:
    """Return the columns of a model's table, in its order."""
    cursor.execute(_COLUMNS, [quote(model._meta.db_table)])
    return {name: Column(*rest) for name, *rest in cursor.fetchall()}
