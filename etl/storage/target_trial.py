"""Tries a batch on a team's own table and undoes it, to learn what a run would change there, and what is refused.

The transaction is rolled back and not read-only: only the table's own constraints and triggers can say what it takes,
and they look at rows that are written. Keys of new rows come from the end of their range, because a number drawn from a
sequence stays drawn. Each batch is a transaction of its own, so that the locks of a trial last as long as a batch's.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from etl.change_detection import Batch
from etl.database import connection
from etl.readers.target_plan import OwnedParent, TargetPlan
from etl.records import Breach, Stamp
from etl.storage.target_batch import settle_written, write_target_rows
from etl.storage.target_removal import remove_rows
from etl.storage.target_tables import TargetTable, quote
from etl.storage.transactions import bounded_transaction

Row = Mapping[str, str | None]
"""A row's values by the names of the model's fields, as text; a foreign key that the source owns as its row's key."""

_LAST_KEYS = {"smallint": 2**15 - 1, "integer": 2**31 - 1}
_LAST_KEY = 2**63 - 1
_FIND_KEYS = "SELECT id, external_id, target_key FROM unified_records WHERE id = ANY(%s) AND target = %s ORDER BY id"


@dataclass(frozen=True, slots=True)
class Trial:
    """What a batch would do: `landed` is the batch without the records that the target refuses, given by their index.

    `keys` has the key of each written record's row, by its index. `before` and `after` are these rows by key; a row is
    missing where it does not exist.
    """

    landed: Batch
    refused: Mapping[int, Breach]
    keys: Mapping[int, str]
    before: Mapping[str, Row]
    after: Mapping[str, Row]


@dataclass(frozen=True, slots=True)
class Removal:
    """What would become of the rows of records that vanished: their keys by external id, and the rows by key."""

    keys: Mapping[str, str | None]
    before: Mapping[str, Row]
    after: Mapping[str, Row]


def try_batch(plan: TargetPlan, batch: Batch, stamp: Stamp) -> Trial:
    """Write the rows of a batch, look at them, and undo it. Raises RunError as the batch would."""
    with _undone() as cursor:
        written, known = write_target_rows(cursor, plan, batch, stamp, choose_last_keys)
        landed, refused = settle_written(batch, written, known)
        after = _read_rows(cursor, plan, [*written.keys.values()])
    with bounded_transaction() as cursor:
        before = _read_rows(cursor, plan, [*written.keys.values()])
    return Trial(landed, refused, written.keys, before, after)


def try_removal(plan: TargetPlan, rows: Sequence[int], stamp: Stamp) -> Removal:
    """Do what the source declares for records that vanished, look at it, and undo it. Raises RunError."""
    with _undone() as cursor:
        cursor.execute(_FIND_KEYS, [[*rows], plan.into.label])
        keys = {external_id: key for _, external_id, key in cursor.fetchall()}
        wanted = [key for key in keys.values() if key is not None]
        before = _read_rows(cursor, plan, wanted)
        remove_rows(cursor, plan, rows, stamp)
        after = _read_rows(cursor, plan, wanted)
    return Removal(keys, before, after)


@contextmanager
def _undone() -> Iterator[Any]:
    with bounded_transaction() as cursor:
        yield cursor
        connection.set_rollback(True)


def choose_last_keys(cursor: Any, table: TargetTable, count: int) -> Sequence[int]:
    """Return the last keys that the column can hold: no sequence has come so far, and none is advanced."""
    last = _LAST_KEYS.get(table.columns[table.pk].type, _LAST_KEY)
    return range(last, last - count, -1)


def _read_rows(cursor: Any, plan: TargetPlan, keys: Sequence[str]) -> dict[str, Row]:
    """Return the rows with these keys. What shows when a row was changed last is left out."""
    meta = plan.into.model._meta
    parents = {each.name: each for each in plan.parents}
    fields = [f for f in meta.concrete_fields if not f.primary_key and not getattr(f, "auto_now", False)]
    values = [_write_text(str(field.column), parents.get(str(field.column))) for field in fields]
    pk, table = quote(str(meta.pk.column)), quote(meta.db_table)
    kind = meta.pk.rel_db_type(connection)
    cursor.execute(
        f"SELECT t.{pk}::text, {', '.join(values)} FROM {table} AS t WHERE t.{pk} = ANY(%s::{kind}[])", [[*keys]]
    )
    names = [field.name for field in fields]
    return {key: dict(zip(names, texts, strict=True)) for key, *texts in cursor.fetchall()}


def _write_text(column: str, parent: OwnedParent | None) -> str:
    own = f"t.{quote(column)}::text"
    if parent is None:
        return own
    natural = ", ".join(f"p.{quote(name)}" for name in parent.natural)
    table, referred = quote(parent.model._meta.db_table), quote(parent.referred)
    shown = f"SELECT concat_ws(', ', {natural}) FROM {table} AS p WHERE p.{referred} = t.{quote(column)}"
    return f"coalesce(({shown}), {own})"
