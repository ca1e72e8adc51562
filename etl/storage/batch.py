"""Writes one batch: raw and unified rows in bulk, in the order of their keys, with marks and refusals.

Keys are sorted, so that two writers of the same rows wait for each other instead of deadlocking.
"""

from collections.abc import Sequence
from typing import Any

from etl.change_detection import Batch
from etl.copy_text import join_values
from etl.models import RAW_MODELS
from etl.records import Stamp
from etl.storage.bulk_copy import copy_lines
from etl.storage.marks import mark_met
from etl.storage.refusals import find_late, write_refusals
from etl.vocabulary import MarkKind

_RAW = ("id", "run_id", "source", "sequence", "external_id", "position", "payload")
_RECORD = ("external_id", "name", "category", "value", "currency", "event_timestamp", "content_hash", "values_hash")

# Usually no other session draws ids in the meantime, and the first id is enough.
_DRAW_RAW_IDS = """
    SELECT min(id), CASE WHEN max(id) - min(id) >= count(*) THEN array_agg(id) END
    FROM (SELECT nextval('raw_record_id') AS id FROM generate_series(1, %s)) AS drawn
"""
_CREATE_UPDATES = """
    CREATE TEMPORARY TABLE IF NOT EXISTS etl_batch_updates (
        id bigint PRIMARY KEY, raw_id bigint, external_id text, name text, category text, value numeric(38, 18),
        currency text, event_timestamp timestamptz, content_hash bytea, values_hash bytea
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
        event_timestamp = changed.event_timestamp, content_hash = changed.content_hash,
        values_hash = changed.values_hash, raw_id = changed.raw_id, sequence = %s, updated_at = %s, removed_at = NULL,
        target = NULL, target_key = NULL
    FROM etl_batch_updates AS changed WHERE unified_records.id = changed.id
"""


def write_batch(cursor: Any, batch: Batch, stamp: Stamp, read_sequence: int) -> int:
    """Write the batch of a read, which began at this sequence. Returns by how much the open quarantine has grown."""
    refusals = batch.judged.refusals
    late = find_late(cursor, refusals, stamp, read_sequence)
    write_records(cursor, batch, stamp)
    write_met(cursor, batch, stamp)
    return write_refusals(cursor, refusals, stamp, late, is_backward=batch.judged.is_backward)


def write_met(cursor: Any, batch: Batch, stamp: Stamp) -> None:
    """Mark the records that the read has found and that stay as they are."""
    if batch.met:
        mark_met(cursor, stamp.source, stamp.read_number, batch.met)
    if batch.outdated:
        mark_met(cursor, stamp.source, stamp.read_number, batch.outdated, MarkKind.PRESENT)


def write_records(cursor: Any, batch: Batch, stamp: Stamp) -> Sequence[int]:
    """Write raw and unified. Returns the ids of the raw records, in the order of the batch's versions."""
    raw_ids = write_raw(cursor, batch, stamp)
    _insert_unified(cursor, batch, raw_ids, stamp)
    _update_unified(cursor, batch, raw_ids, stamp)
    return raw_ids


def write_raw(cursor: Any, batch: Batch, stamp: Stamp) -> Sequence[int]:
    """Write the batch's versions to the raw table, and return their ids."""
    if not batch.versions:
        return []
    raw_ids = _draw_raw_ids(cursor, len(batch.versions))
    of_batch = join_values((stamp.run_id, stamp.source, stamp.sequence))
    lines = (f"{raw_id}\t{of_batch}\t{line}" for raw_id, line in zip(raw_ids, batch.lines.raw, strict=True))
    copy_lines(cursor, RAW_MODELS[stamp.kind].table(), _RAW, lines)
    return raw_ids


def _draw_raw_ids(cursor: Any, count: int) -> Sequence[int]:
    cursor.execute(_DRAW_RAW_IDS, [count])
    first, others = cursor.fetchone()
    return range(first, first + count) if others is None else others


def _insert_unified(cursor: Any, batch: Batch, raw_ids: Sequence[int], stamp: Stamp) -> None:
    inserts, unified = batch.inserts, batch.lines.unified
    if not inserts:
        return
    of_batch = join_values((stamp.source, stamp.now, stamp.now, stamp.sequence))
    lines = (f"{of_batch}\t{raw_ids[place]}\t{unified[place]}" for _, place in sorted(inserts.items()))
    columns = ("source", "ingested_at", "updated_at", "sequence", "raw_id", *_RECORD)
    copy_lines(cursor, "unified_records", columns, lines)


def _update_unified(cursor: Any, batch: Batch, raw_ids: Sequence[int], stamp: Stamp) -> None:
    unified, rewritten = batch.lines.unified, batch.lines.rewritten
    lines = [f"{row}\t{raw_ids[place]}\t{unified[place]}" for row, place in batch.updates.items()]
    lines += [f"{row}\t{raw_id}\t{rewritten[row]}" for row, (_, raw_id) in batch.rewrites.items()]
    if not lines:
        return
    cursor.execute(_CREATE_UPDATES)
    copy_lines(cursor, "etl_batch_updates", ("id", "raw_id", *_RECORD), lines)
    cursor.execute(_LOCK_UPDATED)
    cursor.execute(_UPDATE, [stamp.sequence, stamp.now])
    if cursor.rowcount != len(lines):
        stored, total = cursor.rowcount, len(lines)
        raise RuntimeError(f"Only {stored} of the {total} records to update are stored; run `manage.py verify`.")
