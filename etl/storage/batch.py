"""Writes one batch: raw and unified rows in bulk, in the order of their keys, with marks and refusals.

Keys are sorted, so that two writers of the same rows wait for each other instead of deadlocking.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from etl.change_detection import Batch
from etl.models import RAW_MODELS
from etl.records import Accepted, Stamp
from etl.storage.bulk_copy import copy_rows
from etl.storage.marks import mark_met
from etl.storage.refusals import write_refusals

_UNIFIED = ("name", "category", "value", "currency", "event_timestamp", "content_hash", "raw_id")

_CREATE_UPDATES = """
    CREATE TEMPORARY TABLE IF NOT EXISTS etl_batch_updates (
        id bigint PRIMARY KEY, name text, category text, value numeric(38, 18), currency text,
        event_timestamp timestamptz, content_hash bytea, raw_id bigint
    ) ON COMMIT DELETE ROWS
"""
# Takes the row locks in the order of the keys; the UPDATE would take them in the order of its plan.
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


def write_batch(cursor: Any, batch: Batch, stamp: Stamp) -> int:
    """Write the batch of a read. Returns by how much the source's open quarantine has grown."""
    write_records(cursor, batch, stamp)
    if batch.met:
        mark_met(cursor, stamp.source, stamp.read_number, batch.met)
    return write_refusals(cursor, batch.refusals, stamp)


def write_records(cursor: Any, batch: Batch, stamp: Stamp) -> list[int]:
    """Write raw and unified. Returns the ids of the raw records, in the order of the batch's versions."""
    raw_ids = _write_raw(cursor, batch.versions, stamp)
    _insert_unified(cursor, batch, raw_ids, stamp)
    _update_unified(cursor, batch, raw_ids, stamp)
    return raw_ids


def _write_raw(cursor: Any, versions: Sequence[Accepted], stamp: Stamp) -> list[int]:
    if not versions:
        return []
    cursor.execute("SELECT nextval('raw_record_id') FROM generate_series(1, %s)", [len(versions)])
    raw_ids = [row[0] for row in cursor.fetchall()]
    of_batch = (stamp.run_id, stamp.source, stamp.sequence)
    rows = (
        (raw_id, *of_batch, version.unified.external_id, version.record.position, version.record.payload)
        for raw_id, version in zip(raw_ids, versions, strict=True)
    )
    columns = ("id", "run_id", "source", "sequence", "external_id", "position", "payload")
    copy_rows(cursor, RAW_MODELS[stamp.kind].table(), columns, rows)
    return raw_ids


def _describe(version: Accepted, raw_id: int, now: datetime) -> tuple[Any, ...]:
    """Return the values of the columns `_UNIFIED`."""
    fields = version.unified
    time = fields.event_timestamp or now
    return (fields.name, fields.category, fields.value, fields.currency, time, version.content_hash, raw_id)


def _insert_unified(cursor: Any, batch: Batch, raw_ids: list[int], stamp: Stamp) -> None:
    if not batch.inserts:
        return
    of_batch = (stamp.source, stamp.now, stamp.now, stamp.sequence)
    rows = (
        (*of_batch, external_id, *_describe(batch.versions[index], raw_ids[index], stamp.now))
        for external_id, index in sorted(batch.inserts.items())
    )
    columns = ("source", "ingested_at", "updated_at", "sequence", "external_id", *_UNIFIED)
    copy_rows(cursor, "unified_records", columns, rows)


def _update_unified(cursor: Any, batch: Batch, raw_ids: list[int], stamp: Stamp) -> None:
    if not batch.updates:
        return
    cursor.execute(_CREATE_UPDATES)
    rows = (
        (row_id, *_describe(batch.versions[index], raw_ids[index], stamp.now))
        for row_id, index in batch.updates.items()
    )
    copy_rows(cursor, "etl_batch_updates", ("id", *_UNIFIED), rows)
    cursor.execute(_LOCK_UPDATED)
    cursor.execute(_UPDATE, [stamp.sequence, stamp.now])
    if cursor.rowcount != len(batch.updates):
        stored, total = cursor.rowcount, len(batch.updates)
        raise RuntimeError(f"Only {stored} of the {total} records to update are stored; run `manage.py verify`.")
