"""Removes superseded raw records and settled refusals.

Rows are found page by page, by primary key and without a lock. The statement that removes them checks each one again,
while the checkpoint is locked, so that no batch lands in between.
"""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from etl.models import RAW_MODELS
from etl.storage.marks import find_met

RAW_TABLES = tuple(model.table() for model in RAW_MODELS.values())
QUARANTINE = "etl_quarantine"

# A raw record is removed if its run was closed before that time, `keep` newer versions of the record exist, and neither
# the unified record nor a refused record that landed as it refers to it. {table} is one of RAW_TABLES.
_IS_SUPERSEDED = """
    old.source = ANY(%(sources)s)
    AND EXISTS (SELECT FROM etl_runs AS run WHERE run.id = old.run_id AND run.finished_at < %(before)s)
    AND %(keep)s = (SELECT count(*) FROM (
        SELECT FROM {table} AS newer
        WHERE newer.source = old.source AND newer.external_id = old.external_id AND newer.id > old.id LIMIT %(keep)s
    ) AS newest)
    AND NOT EXISTS (
        SELECT FROM unified_records AS record
        WHERE record.source = old.source AND record.external_id = old.external_id AND record.raw_id = old.id)
    AND NOT EXISTS (
        SELECT FROM etl_quarantine AS refused WHERE refused.raw_id = old.id AND refused.id <> ALL(%(foreseen)s))
"""
# A refused record is removed if it was settled before that time and no replay needs to know which stored record came
# from it (storage/ledger.py asks that for records landed since the last read began). An open read may still find it.
_IS_SETTLED = """
    old.source = ANY(%(sources)s) AND old.status <> 'open' AND old.updated_at < %(before)s
    AND NOT EXISTS (
        SELECT FROM ingestion_checkpoints AS checkpoint
        WHERE checkpoint.source = old.source AND (checkpoint.is_reading OR EXISTS (
            SELECT FROM raw_records AS landed
            WHERE landed.id = old.raw_id AND landed.sequence > checkpoint.read_sequence)))
"""
_RAW_COLUMNS = "id, run_id, source, external_id"
_QUARANTINE_COLUMNS = "id, run_id, source, status, updated_at, raw_id"
_FIND = """
    WITH page AS MATERIALIZED (
        SELECT {columns} FROM {table} WHERE id > %(after_id)s ORDER BY id LIMIT %(most)s
    )
    SELECT max(id), NULL, NULL FROM page
    UNION ALL SELECT id, source, run_id FROM page AS old WHERE {condition}
"""
_REMOVE = "DELETE FROM {table} AS old WHERE id = ANY(%(ids)s) AND {condition} RETURNING run_id"


@dataclass(frozen=True, slots=True)
class Limits:
    """The rows to remove: in these sources, closed or settled `before`, except a record's newest `keep` versions.

    `foreseen` are ids of refused records that a dry run treats as removed.
    """

    sources: Sequence[str]
    before: datetime
    keep: int = 0
    foreseen: Collection[int] = ()

    def as_values(self) -> dict[str, Any]:
        return {
            "sources": list(self.sources),
            "before": self.before,
            "keep": self.keep,
            "foreseen": list(self.foreseen),
        }


@dataclass(frozen=True, slots=True)
class Found:
    """A page of a table: its last id (None after the last row), and the run of each row to remove, by source and id."""

    end: int | None
    rows: dict[str, dict[int, int]]


def find(cursor: Any, table: str, limits: Limits, *, after_id: int, most: int) -> Found:
    """Find the rows to remove among the table's next `most` rows, in a `bounded_transaction`."""
    columns = _QUARANTINE_COLUMNS if table == QUARANTINE else _RAW_COLUMNS
    statement = _FIND.format(table=table, columns=columns, condition=_choose_condition(table))
    cursor.execute(statement, {**limits.as_values(), "after_id": after_id, "most": most})
    (end, _, _), *rows = sorted(cursor.fetchall(), key=lambda row: row[1] is not None)
    found: dict[str, dict[int, int]] = {}
    for row_id, source, run_id in rows:
        found.setdefault(source, {})[row_id] = run_id
    if table == QUARANTINE:
        for source, ids in found.items():
            for row_id in _find_met_by_last_read(cursor, source, list(ids)):
                del ids[row_id]
    return Found(end, {source: ids for source, ids in found.items() if ids})


def remove(cursor: Any, table: str, limits: Limits, source: str, ids: Collection[int]) -> Counter[int]:
    """Remove the source's rows that still qualify, while its checkpoint is locked. Returns the number per run."""
    if table == QUARANTINE:
        ids = set(ids) - _find_met_by_last_read(cursor, source, list(ids))
    statement = _REMOVE.format(table=table, condition=_choose_condition(table))
    cursor.execute(statement, {**limits.as_values(), "sources": [source], "ids": sorted(ids)})
    return Counter(run_id for (run_id,) in cursor.fetchall())


def _choose_condition(table: str) -> str:
    return _IS_SETTLED if table == QUARANTINE else _IS_SUPERSEDED.format(table=table)


def _find_met_by_last_read(cursor: Any, source: str, ids: Sequence[int]) -> set[int]:
    """Find the records that the source still sends: without their rows, the next read would open them as new ones."""
    cursor.execute("SELECT read_number FROM ingestion_checkpoints WHERE source = %s", [source])
    row = cursor.fetchone()
    return find_met(cursor, source, row[0], ids) if row is not None else set()
