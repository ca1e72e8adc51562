"""Names the missing rows for which refused records wait, and finds those that exist now. Nothing is written.

A name is JSON: the model's label, then column and value of its natural key, such as ["shop.Category", "slug", "cars"].
Each name is looked up once, however many records wait for it, and by index (docs/decisions/0049).
"""

import json
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import DatabaseError

from etl.clock import as_utc
from etl.database import connection
from etl.readers.target_plan import OwnedParent, TargetPlan
from etl.storage.transactions import bounded_transaction, find_code

MOST_BYTES = 2000
"""A longer name fits no index, so a record with it does not wait: it is refused."""

PAGE = 5000
"""Number of names that one statement looks up."""

_AWAITED = "source = %s AND status = 'open' AND awaits"
# A loose scan of the index: from each name to the next, past the other records that wait for it.
_LIST_NAMES = f"""
    WITH RECURSIVE names (awaits) AS (
        (SELECT awaits FROM etl_quarantine WHERE {_AWAITED} > %s ORDER BY awaits LIMIT 1)
        UNION ALL
        SELECT (SELECT awaits FROM etl_quarantine WHERE {_AWAITED} > names.awaits ORDER BY awaits LIMIT 1)
        FROM names WHERE names.awaits IS NOT NULL
    )
    SELECT awaits FROM names WHERE awaits IS NOT NULL LIMIT %s
"""
_COUNT = """
    SELECT source, count(*), min(created_at) FROM etl_quarantine
    WHERE source = ANY(%s) AND status = 'open' AND awaits IS NOT NULL GROUP BY source
"""
_BAD_VALUES, _NO_COLUMNS = "22", "42"
"""Classes of errors: a value that its column's type no longer takes, and a table that lacks what its model has."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """How many records of a source wait, and when the first of them was refused (UTC)."""

    count: int
    since: datetime


def count_waiting(sources: Collection[str]) -> dict[str, Waiting]:
    """Return the waiting records of those of the sources that have any."""
    with bounded_transaction() as cursor:
        cursor.execute(_COUNT, [[*sources]])
        return {source: Waiting(count, as_utc(since)) for source, count, since in cursor.fetchall()}


def write_awaited(parent: OwnedParent, columns: Sequence[str]) -> tuple[str, list[str]]:
    """Return SQL for the name of a missing parent with the values of these columns, and its parameters.

    It is NULL if a record does not wait for this parent.
    """
    if parent.missing != "wait":
        return "NULL::text", []
    pairs = ", ".join(f"%s::text, {column}::text" for column in columns)
    name = f"jsonb_build_array(%s::text, {pairs})::text"
    parameters = [parent.model._meta.label, *parent.natural]
    return f"CASE WHEN octet_length({name}) <= {MOST_BYTES} THEN {name} END", [*parameters, *parameters]


def find_arrived(source: str, plan: TargetPlan, most: int) -> list[str]:
    """Return names of rows for which records of the source wait and that exist now, at most `most`.

    A name that the source no longer declares counts too: its records have to be judged again.
    """
    found: list[str] = []
    after: str | None = ""
    while after is not None and len(found) < most:
        names = _list_names(source, after)
        found += _choose(plan, names)
        after = names[-1] if len(names) == PAGE else None
    return found[:most]


def _list_names(source: str, after: str) -> list[str]:
    with bounded_transaction() as cursor:
        cursor.execute(_LIST_NAMES, [source, after, source, PAGE])
        return [row[0] for row in cursor.fetchall()]


def _choose(plan: TargetPlan, names: Sequence[str]) -> list[str]:
    declared = {(each.model._meta.label, each.natural): each for each in plan.parents if each.missing == "wait"}
    asked: Mapping[Any, list[tuple[str, Sequence[str]]]] = defaultdict(list)
    for name in names:
        label, *pairs = json.loads(name)
        asked[label, tuple(pairs[::2])].append((name, pairs[1::2]))
    found: set[str] = set()
    for key, wanted in asked.items():
        found |= _find_existing(declared[key], wanted) if key in declared else {name for name, _ in wanted}
    return [name for name in names if name in found]


def _find_existing(parent: OwnedParent, wanted: Sequence[tuple[str, Sequence[str]]]) -> set[str]:
    types = {str(f.column): str(f.db_type(connection)) for f in parent.model._meta.concrete_fields}
    quote = connection.ops.quote_name
    values = [f"v{number}" for number in range(len(parent.natural))]
    alike = " AND ".join(
        f"p.{quote(column)} = w.{value}::{types[column]}" for column, value in zip(parent.natural, values, strict=True)
    )
    arrays = [[name for name, _ in wanted], *map(list, zip(*(each for _, each in wanted), strict=True))]
    statement = (
        f"SELECT w.name FROM unnest({', '.join(['%s::text[]'] * len(arrays))}) AS w (name, {', '.join(values)})"
        f" CROSS JOIN LATERAL (SELECT 1 FROM {quote(parent.model._meta.db_table)} AS p WHERE {alike} LIMIT 1) AS f"
    )
    try:
        with bounded_transaction() as cursor:
            cursor.execute(statement, arrays)
            return {row[0] for row in cursor.fetchall()}
    except DatabaseError as error:
        code = find_code(error) or ""
        if not code.startswith((_BAD_VALUES, _NO_COLUMNS)):
            raise
        return {name for name, _ in wanted if code.startswith(_BAD_VALUES)}  # they have to be judged again
