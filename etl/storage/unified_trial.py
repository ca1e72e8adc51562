"""Compares records of a batch with what `unified_records` has of them. Uses a temporary table, and writes no row."""

from collections.abc import Mapping, Sequence
from typing import Any

from etl.change_detection import Batch
from etl.copy_text import join_values
from etl.database import connection
from etl.storage.bulk_copy import copy_lines
from etl.storage.transactions import bounded_transaction

FIELDS = ("name", "category", "value", "currency", "event_timestamp")

_CREATE = """
    CREATE TEMPORARY TABLE etl_unified_trial (
        number integer, id bigint, external_id text, name text, category text, value numeric(38, 18), currency text,
        event_timestamp timestamptz, content_hash bytea, values_hash bytea
    ) ON COMMIT DROP
"""
_COLUMNS = ("number", "id", "external_id", *FIELDS, "content_hash", "values_hash")


def _write(letter: str) -> str:
    """Return SQL for the fields of a record as text."""
    exact = {
        "value": f"trim_scale({letter}.value)::text",
        "event_timestamp": f"to_char({letter}.event_timestamp AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')",
    }
    return ", ".join(exact.get(name, f"{letter}.{name}") for name in FIELDS)


_COMPARE = f"""
    SELECT sent.external_id, kept.id, {_write("kept")}, {_write("sent")}
    FROM etl_unified_trial AS sent LEFT JOIN unified_records AS kept ON kept.id = sent.id ORDER BY sent.number
"""
_FIND_IDS = "SELECT external_id FROM unified_records WHERE id = ANY(%s) ORDER BY id"

Values = Mapping[str, str | None]


def compare_unified(batch: Batch, most: int) -> list[tuple[str, Values | None, Values]]:
    """Return external id, stored values (None for a new record) and new values of the first of each kind.

    There are at most `most` new ones and as many changed ones. A removed record counts as a changed one.
    """
    lines = [(None, batch.lines.unified[place]) for _, place in [*batch.inserts.items()][:most]]
    changed = [(row, batch.lines.unified[place]) for row, place in batch.updates.items()]
    changed += [(row, batch.lines.rewritten[row]) for row in batch.rewrites]
    sent = [*lines, *changed[:most]]
    if not sent:
        return []
    with bounded_transaction() as cursor:
        cursor.execute(_CREATE)
        texts = (f"{join_values((number, row))}\t{line}" for number, (row, line) in enumerate(sent))
        copy_lines(cursor, "etl_unified_trial", _COLUMNS, texts)
        cursor.execute(_COMPARE)
        found = cursor.fetchall()
        connection.set_rollback(True)
    return [_describe(row) for row in found]


def _describe(row: Sequence[Any]) -> tuple[str, Values | None, Values]:
    external_id, stored, *texts = row
    before = dict(zip(FIELDS, texts[: len(FIELDS)], strict=True))
    after = dict(zip(FIELDS, texts[len(FIELDS) :], strict=True))
    return external_id, None if stored is None else before, after


def find_external_ids(rows: Sequence[int]) -> list[str]:
    """Return the external ids of these rows."""
    with bounded_transaction() as cursor:
        cursor.execute(_FIND_IDS, [[*rows]])
        return [row[0] for row in cursor.fetchall()]
