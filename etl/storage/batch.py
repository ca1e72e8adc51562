"""The rows of one batch: raw and unified, in bulk and in the order of their keys; and what else a batch writes.

Keys are sorted, so that two writers that meet on the same rows wait for each other instead of deadlocking.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from etl.classification import Batch
from etl.models import RAW_MODELS
from etl.records import Accepted, SourceKind
from etl.storage.copy import copy_rows
from etl.storage.lookup import mark_met
from etl.storage.refusals import write_refusals

_UNIFIED = ("name", "category", "value", "currency", "event_timestamp", "content_hash", "raw_id")

_CREATE_UPDATES = """
    CREATE TEMPORARY TABLE IF NOT EXISTS etl_batch_updates (
        id bigint PRIMARY KEY, name text, category text, value numeric(38, 18), currency text,
        event_timestamp timestamptz, content_hash bytea, raw_id bigint
    ) ON COMMIT DELETE ROWS
"""
# Row locks are taken in the order of the keys; the UPDATE alone would take them in that of its plan.
_LOCK_UPDATED = """
    SELECT count(*) FROM (
        SELECT 1 FROM unified_records JOIN etl_batch_updates USING (id)
        ORDER BY unified_records.external_id COLLATE "C" FOR UPDATE OF unified_records
    ) AS locked
"""
_UPDATE = """
    UPDATE unified_records SET
        name = changed.name, category = changed.category, value = changed.value, currency = changed.currency,
        event_timestamp = changed.event_timestamp, content_hash = changed.content_hash, raw_id = changed.raw_id,
        sequence = %s, updated_at = %s
    FROM etl_batch_updates AS changed WHERE unified_records.id = changed.id
"""


def write_batch(
    cursor: Any,
    batch: Batch,
    *,
    source: str,
    kind: SourceKind,
    run_id: int,
    read_number: int,
    sequence: int,
    now: datetime,
) -> int:
    """Write the batch of a read; returns by how much the source's open quarantine has grown.

    `now` is the database's time of this transaction; it is also the event time of a record that has none.
    """
    write_records(cursor, batch, source=source, kind=kind, run_id=run_id, sequence=sequence, now=now)
    if batch.met:
        mark_met(cursor, source, read_number, batch.met)
    return write_refusals(cursor, batch.refusals, source=source, run_id=run_id, read_number=read_number, now=now)


def write_records(
    cursor: Any, batch: Batch, *, source: str, kind: SourceKind, run_id: int, sequence: int, now: datetime
) -> list[int]:
    """Write raw and unified; returns the ids of the raw records, in the order of the batch's versions."""
    raw_ids = _write_raw(cursor, batch.versions, source, RAW_MODELS[kind].table(), run_id, sequence)
    stamp = (now, sequence)
    _insert_unified(cursor, batch, source, raw_ids, stamp)
    _update_unified(cursor, batch, raw_ids, stamp)
    return raw_ids


def _write_raw(
    cursor: Any, versions: Sequence[Accepted], source: str, table: str, run_id: int, sequence: int
) -> list[int]:
    if not versions:
        return []
    cursor.execute("SELECT nextval('raw_record_id') FROM generate_series(1, %s)", [len(versions)])
    raw_ids = [row[0] for row in cursor.fetchall()]
    rows = (
        (raw_id, run_id, source, version.unified.external_id, version.record.position, sequence, version.record.payload)
        for raw_id, version in zip(raw_ids, versions, strict=True)
    )
    columns = ("id", "run_id", "source", "external_id", "position", "sequence", "payload")
    copy_rows(cursor, table, columns, rows)
    return raw_ids


def _describe(version: Accepted, raw_id: int, now: datetime) -> tuple[Any, ...]:
    """The values of the columns `_UNIFIED`."""
    fields = version.unified
    time = fields.event_timestamp or now
    return (fields.name, fields.category, fields.value, fields.currency, time, version.content_hash, raw_id)


def _insert_unified(cursor: Any, batch: Batch, source: str, raw_ids: list[int], stamp: tuple[datetime, int]) -> None:
    if not batch.inserts:
        return
    now, sequence = stamp
    rows = (
        (source, external_id, now, now, sequence, *_describe(batch.versions[index], raw_ids[index], now))
        for external_id, index in sorted(batch.inserts.items())
    )
    columns = ("source", "external_id", "ingested_at", "updated_at", "sequence", *_UNIFIED)
    copy_rows(cursor, "unified_records", columns, rows)


def _update_unified(cursor: Any, batch: Batch, raw_ids: list[int], stamp: tuple[datetime, int]) -> None:
    if not batch.updates:
        return
    now, sequence = stamp
    cursor.execute(_CREATE_UPDATES)
    rows = ((row_id, *_describe(batch.versions[index], raw_ids[index], now)) for row_id, index in batch.updates.items())
    copy_rows(cursor, "etl_batch_updates", ("id", *_UNIFIED), rows)
    cursor.execute(_LOCK_UPDATED)
    cursor.execute(_UPDATE, [sequence, now])
    if cursor.rowcount != len(batch.updates):
        raise RuntimeError(f"{len(batch.updates)} records of {cursor.rowcount} to update are stored: run verify")
