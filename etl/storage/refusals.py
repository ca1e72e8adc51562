"""The rows of refused records: each original once, at the first place where it was met, and what becomes of it."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from etl.records import MarkKind, QuarantineStatus, Refusal
from etl.storage.copy import copy_rows
from etl.storage.lookup import mark_met
from etl.storage.texts import make_storable

_COLUMNS = (
    *("id", "source", "run_id", "read_number", "status", "created_at", "updated_at", "position", "line"),
    *("column_name", "code", "message", "payload", "original", "original_length", "original_sha256"),
)
_REOPEN = """
    UPDATE etl_quarantine SET status = %s, read_number = %s, resolved_by_id = NULL, updated_at = %s
    WHERE id = ANY(%s) AND status = %s
"""


def write_refusals(
    cursor: Any, refusals: Sequence[Refusal], *, source: str, run_id: int, read_number: int, now: datetime
) -> int:
    """Keep what a read refuses, and mark it as met; one that was replayed opens again. How many more are open."""
    first = {refusal.original.sha256: refusal for refusal in reversed(refusals)}
    if not first:
        return 0
    cursor.execute(
        "SELECT original_sha256, id, status FROM etl_quarantine WHERE source = %s AND original_sha256 = ANY(%s)",
        [source, sorted(first)],
    )
    kept = {bytes(sha256): (row_id, status) for sha256, row_id, status in cursor.fetchall()}
    replayed = sorted(row_id for row_id, status in kept.values() if status == QuarantineStatus.REPLAYED)
    reopened = 0
    if replayed:
        cursor.execute(_REOPEN, [QuarantineStatus.OPEN, read_number, now, replayed, QuarantineStatus.REPLAYED])
        reopened = cursor.rowcount
    added = sorted((first[sha256] for sha256 in first.keys() - kept.keys()), key=lambda refusal: refusal.position)
    new_ids = _draw_ids(cursor, len(added))
    common = (source, run_id, read_number, QuarantineStatus.OPEN, now, now)
    rows = ((row_id, *common, *_describe(refusal)) for row_id, refusal in zip(new_ids, added, strict=True))
    if added:
        copy_rows(cursor, "etl_quarantine", _COLUMNS, rows)
    mark_met(cursor, source, read_number, [*new_ids, *(row_id for row_id, _ in kept.values())], MarkKind.REFUSAL)
    return len(added) + reopened


def _draw_ids(cursor: Any, count: int) -> list[int]:
    cursor.execute(
        "SELECT nextval(pg_get_serial_sequence('etl_quarantine', 'id')) FROM generate_series(1, %s)", [count]
    )
    return [row[0] for row in cursor.fetchall()]


def _describe(refusal: Refusal) -> tuple[Any, ...]:
    breach, original = refusal.breach, refusal.original
    return (
        *(refusal.position, refusal.line, make_storable(breach.column), breach.code, make_storable(breach.message)),
        *(refusal.payload, original.head, original.length, original.sha256),
    )
