"""Queries for pages of the unified table, by key, so that each page costs the same, regardless of its depth.

PostgreSQL encodes each row as JSON. Rows are ordered by keys that never change, so that no page skips or repeats a
row that exists throughout, even while ingests write.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from etl.clock import write_time_in_sql
from etl.database import connection

FIELDS = (
    "id, source, external_id, name, category, trim_scale(value)::text AS value, currency,"
    f" {write_time_in_sql('event_timestamp')} AS event_timestamp, {write_time_in_sql('ingested_at')} AS ingested_at,"
    f" {write_time_in_sql('updated_at')} AS updated_at, {write_time_in_sql('removed_at')} AS removed_at,"
    " sequence, raw_id, target, target_key"
)

ORDERINGS: Mapping[str, tuple[tuple[str, ...], tuple[type, ...]]] = {
    "id": (("id",), (int,)),
    "external_id": (("source", "external_id"), (str, str)),
}
"""The key of each ordering, by name: the columns of a unique index, and their types."""

_OPERATORS = {"exact": "=", "gte": ">=", "lte": "<=", "lt": "<", "icontains": "ILIKE"}


class Scope(StrEnum):
    """Whether a list has the records that a complete read lacked, in the words of the parameter `removed`."""

    PRESENT = "false"
    ALL = "true"
    REMOVED = "only"

    @property
    def condition(self) -> str:
        return {Scope.PRESENT: "removed_at IS NULL", Scope.ALL: "", Scope.REMOVED: "removed_at IS NOT NULL"}[self]

    @property
    def kept_count(self) -> str:
        """The checkpoint's columns that count such records."""
        counts = {Scope.PRESENT: "record_count", Scope.REMOVED: "removed_count"}
        return counts.get(self, "record_count + removed_count")


@dataclass(frozen=True, slots=True)
class Condition:
    """One filter: a column of `unified_records`, a lookup of `_OPERATORS`, and the value."""

    column: str
    lookup: str
    value: Any

    def as_sql(self) -> tuple[str, Any]:
        value = self.value
        if self.lookup == "icontains":
            escaped = value.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
            value = f"%{escaped}%"
        return f"{self.column} {_OPERATORS[self.lookup]} %s", value


@dataclass(frozen=True, slots=True)
class Order:
    """An ordering by key; `is_descending` reverses it."""

    name: str
    is_descending: bool

    @property
    def columns(self) -> tuple[str, ...]:
        return ORDERINGS[self.name][0]

    @property
    def types(self) -> tuple[type, ...]:
        return ORDERINGS[self.name][1]


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows in reading order, each as its key and its JSON text.

    `count` is the stored count of the checkpoints; None if it was not requested or no row was found.
    """

    found: list[tuple[Sequence[Any], str]]
    count: int | None


def read_rows(
    conditions: Sequence[Condition],
    order: Order,
    *,
    limit: int,
    scope: Scope = Scope.PRESENT,
    after: Sequence[Any] | None = None,
    is_downward: bool = False,
    offset: int = 0,
    kept_count_of: str | None = None,
) -> Rows:
    """Return the rows after a key, from low keys to high ones or, if `is_downward`, from high to low.

    `kept_count_of` names a source, or is empty for all; the result then includes the stored count of their records.
    """
    where, values = _describe_conditions(conditions, scope)
    columns = ", ".join(order.columns)
    if after is not None:
        key = _narrow_key(conditions, order, after)
        where.append(f"({', '.join(key)}) {'<' if is_downward else '>'} ({', '.join(['%s'] * len(key))})")
        values += key.values()
    direction = "DESC" if is_downward else "ASC"
    ordered = ", ".join(f"{column} {direction}" for column in order.columns)
    count, count_values = _describe_kept_count(kept_count_of, scope)
    statement = (
        f"SELECT {columns}, row_to_json(page)::text, {count} FROM (SELECT {FIELDS} FROM unified_records"
        f"{_join_conditions(where)} ORDER BY {ordered} LIMIT {limit} OFFSET {offset}) AS page"
    )
    with connection.cursor() as cursor:
        cursor.execute(statement, [*count_values, *values])
        rows = cursor.fetchall()
    width = len(order.columns)
    return Rows([(row[:width], row[width]) for row in rows], rows[0][width + 1] if rows else None)


def _describe_conditions(conditions: Sequence[Condition], scope: Scope) -> tuple[list[str], list[Any]]:
    described = [condition.as_sql() for condition in conditions]
    texts = [text for text, _ in described] + ([scope.condition] if scope.condition else [])
    return texts, [value for _, value in described]


def _join_conditions(where: Sequence[str]) -> str:
    return f" WHERE {' AND '.join(where)}" if where else ""


def _narrow_key(conditions: Sequence[Condition], order: Order, after: Sequence[Any]) -> dict[str, Any]:
    """Leave `source` out of the key if a condition fixes it. With both, PostgreSQL's index scan would start at the
    source's first row instead of at the key.
    """
    key = dict(zip(order.columns, after, strict=True))
    if len(key) > 1 and any(condition.column == "source" and condition.lookup == "exact" for condition in conditions):
        del key["source"]
    return key


def _describe_kept_count(source: str | None, scope: Scope) -> tuple[str, list[str]]:
    if source is None:
        return "NULL::bigint", []
    narrowed = " WHERE source = %s" if source else ""
    kept = f"(SELECT coalesce(sum({scope.kept_count}), 0)::bigint FROM ingestion_checkpoints{narrowed})"
    return kept, [source] if source else []


def read_kept_count(source: str, scope: Scope = Scope.PRESENT) -> int:
    """Return the number of records of the source, or of all sources if it is empty, as stored with each batch."""
    statement, values = _describe_kept_count(source, scope)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {statement}", values)
        (count,) = cursor.fetchone()
        return int(count)


def count_rows(conditions: Sequence[Condition], scope: Scope = Scope.PRESENT) -> int:
    """Count the matching rows one by one."""
    where, values = _describe_conditions(conditions, scope)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM unified_records{_join_conditions(where)}", values)
        (count,) = cursor.fetchone()
        return int(count)


def read_row(row_id: int) -> str | None:
    """Return one record as JSON text, or None if it does not exist."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT row_to_json(page)::text FROM (SELECT {FIELDS} FROM unified_records WHERE id = %s) AS page",
            [row_id],
        )
        row = cursor.fetchone()
        return str(row[0]) if row is not None else None


def read_changes(source: str, after: Sequence[int], limit: int) -> tuple[list[str], Sequence[int]]:
    """Return the source's records after (sequence, id), in commit order, and the position of the last one.

    Gap-free: a batch gets its sequence while it holds the lock on the source's checkpoint, so a reader that sees one
    sequence sees all earlier ones. A record that changes again, is removed or returns moves to its new sequence.
    `sequence > 0` selects the index.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT sequence, id, row_to_json(page)::text FROM (SELECT {FIELDS} FROM unified_records"
            " WHERE source = %s AND sequence > 0 AND (sequence, id) > (%s, %s) ORDER BY sequence, id LIMIT %s) AS page",
            [source, *after, limit],
        )
        rows = cursor.fetchall()
    return [row[2] for row in rows], rows[-1][:2] if rows else after
