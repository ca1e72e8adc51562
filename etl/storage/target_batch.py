"""Writes one batch of a source with a target of its own: the target's rows, raw, ledger, marks and refusals.

`unified_records` is the ledger: it has the target and the key of the row there, and no values.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from etl.change_detection import Batch, drop_refused
from etl.copy_text import escape, format_value, join_values
from etl.readers.target_plan import TargetPlan
from etl.records import Breach, Refusal, Stamp
from etl.storage.batch import write_met, write_raw
from etl.storage.bulk_copy import copy_lines
from etl.storage.refusals import find_late, write_refusals
from etl.storage.target_rows import DrawKeys, StagedRow, Written, draw_keys, write_rows

Refuse = Callable[[Mapping[int, Breach]], list[Refusal]]
"""Makes the refusals of these records of the batch, given by their index among the judged ones."""

_LOCK = """
    SELECT id, CASE WHEN target = %s THEN target_key END, removed_at IS NOT NULL FROM unified_records
    WHERE id = ANY(%s) ORDER BY external_id COLLATE "C" FOR UPDATE
"""
_CREATE_UPDATES = """
    CREATE TEMPORARY TABLE IF NOT EXISTS etl_ledger_updates (
        id bigint PRIMARY KEY, raw_id bigint, target_key text, content_hash bytea, values_hash bytea
    ) ON COMMIT DELETE ROWS
"""
_UPDATE = """
    UPDATE unified_records SET
        name = external_id, category = NULL, value = NULL, currency = NULL, event_timestamp = NULL,
        content_hash = changed.content_hash, values_hash = changed.values_hash, raw_id = changed.raw_id, target = %s,
        target_key = changed.target_key, sequence = %s, updated_at = %s, removed_at = NULL
    FROM etl_ledger_updates AS changed WHERE unified_records.id = changed.id
"""
_INSERTED = (
    *("source", "ingested_at", "updated_at", "sequence", "target", "raw_id", "target_key"),
    *("external_id", "name", "content_hash", "values_hash"),
)


@dataclass(frozen=True, slots=True)
class Landed:
    """What a batch has become: itself without the records that the target refuses, which are given by their index.

    `refused_rows` are the rows of the ledger among them. `raw_ids` are those of the batch's versions. `keys` are the
    keys of the rows of the target.
    """

    batch: Batch
    refused: Mapping[int, Breach]
    raw_ids: Sequence[int]
    keys: Sequence[str]


def write_target_batch(
    cursor: Any, plan: TargetPlan, batch: Batch, stamp: Stamp, read_sequence: int, refuse: Refuse
) -> tuple[Landed, int]:
    """Write the batch of a read, which began at this sequence. Returns by how much the open quarantine has grown."""
    written, known = write_target_rows(cursor, plan, batch, stamp)
    landed, refused = settle_written(batch, written, known)
    refusals = [*batch.judged.refusals, *refuse(refused)]
    refusals.sort(key=lambda refusal: refusal.position, reverse=batch.judged.is_backward)
    late = find_late(cursor, refusals, stamp, read_sequence)
    raw_ids = _write_ledger(cursor, plan, landed, written, stamp)
    write_met(cursor, landed, stamp)
    grown = write_refusals(cursor, refusals, stamp, late, is_backward=batch.judged.is_backward)
    return Landed(landed, refused, raw_ids, written.list_present()), grown


def write_target_records(cursor: Any, plan: TargetPlan, batch: Batch, stamp: Stamp) -> Landed:
    """Write the records of a page of a replay."""
    written, known = write_target_rows(cursor, plan, batch, stamp)
    landed, refused = settle_written(batch, written, known)
    raw_ids = _write_ledger(cursor, plan, landed, written, stamp)
    return Landed(landed, refused, raw_ids, written.list_present())


def write_target_rows(
    cursor: Any, plan: TargetPlan, batch: Batch, stamp: Stamp, draw: DrawKeys = draw_keys
) -> tuple[Written, Mapping[int, tuple[str | None, bool]]]:
    """Write the target's rows, numbered by the records' indexes. Returns also key and state of the ledger's rows."""
    rows = sorted([*batch.updates, *batch.rewrites])
    known: dict[int, tuple[str | None, bool]] = {}
    if rows:
        cursor.execute(_LOCK, [plan.into.label, rows])
        known = {row_id: (key, is_removed) for row_id, key, is_removed in cursor.fetchall()}
    if len(known) != len(rows):
        text = f"Only {len(known)} of the {len(rows)} records to update are stored; run `manage.py verify`."
        raise RuntimeError(text)
    lines, versions = batch.lines, batch.versions
    staged = [StagedRow(versions[place], None, _cut(lines.unified[place])) for place in batch.inserts.values()]
    staged += [
        StagedRow(versions[place], known[row][0], _cut(lines.unified[place])) for row, place in batch.updates.items()
    ]
    staged += [
        StagedRow(index, known[row][0], _cut(lines.rewritten[row])) for row, (index, _) in batch.rewrites.items()
    ]
    staged.sort(key=lambda row: row.number)
    return write_rows(cursor, plan, staged, stamp, draw), known


def _cut(line: str) -> str:
    """Return the staged values of a line: what is between the external id and the hashes."""
    return line.partition("\t")[2].rsplit("\t", 2)[0]


def settle_written(
    batch: Batch, written: Written, known: Mapping[int, tuple[str | None, bool]]
) -> tuple[Batch, Mapping[int, Breach]]:
    """Return the batch without the records that the target refuses, and those."""
    if not written.refused:
        return batch, {}
    removed = {row for row, (_, is_removed) in known.items() if is_removed}
    return drop_refused(batch, written.refused.keys(), removed), written.refused


def _write_ledger(cursor: Any, plan: TargetPlan, batch: Batch, written: Written, stamp: Stamp) -> Sequence[int]:
    raw_ids = write_raw(cursor, batch, stamp)
    _insert(cursor, plan, batch, written, raw_ids, stamp)
    _update(cursor, plan, batch, written, raw_ids, stamp)
    return raw_ids


def _insert(
    cursor: Any, plan: TargetPlan, batch: Batch, written: Written, raw_ids: Sequence[int], stamp: Stamp
) -> None:
    if not batch.inserts:
        return
    of_batch = join_values((stamp.source, stamp.now, stamp.now, stamp.sequence, plan.into.label))
    unified, versions, keys = batch.lines.unified, batch.versions, written.keys
    lines = (
        f"{of_batch}\t{raw_ids[place]}\t{escape(keys[versions[place]])}\t{_name(unified[place])}"
        for _, place in sorted(batch.inserts.items())
    )
    copy_lines(cursor, "unified_records", _INSERTED, lines)


def _name(line: str) -> str:
    """Return external id, name and hashes of a line: a record has its id as its name."""
    external_id = line.partition("\t")[0]
    _, content_hash, values_hash = line.rsplit("\t", 2)
    return f"{external_id}\t{external_id}\t{content_hash}\t{values_hash}"


def _update(
    cursor: Any, plan: TargetPlan, batch: Batch, written: Written, raw_ids: Sequence[int], stamp: Stamp
) -> None:
    changed = [
        (row, raw_ids[place], batch.versions[place], batch.lines.unified[place]) for row, place in batch.updates.items()
    ]
    changed += [(row, raw_id, index, batch.lines.rewritten[row]) for row, (index, raw_id) in batch.rewrites.items()]
    if not changed:
        return
    cursor.execute(_CREATE_UPDATES)
    lines = (
        "\t".join([f"{row}\t{raw_id}\t{format_value(written.keys[index])}", *line.rsplit("\t", 2)[1:]])
        for row, raw_id, index, line in changed
    )
    copy_lines(cursor, "etl_ledger_updates", ("id", "raw_id", "target_key", "content_hash", "values_hash"), lines)
    cursor.execute(_UPDATE, [plan.into.label, stamp.sequence, stamp.now])
