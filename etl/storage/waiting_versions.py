"""Decides which version counts if a record that has waited is judged again: the waiting one, or what is stored.

A replay knows what the source's last read has found. A record may wait longer: through reads that had only what had
changed, and did not send it again. Nothing is written.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from etl.storage.ledger import UNIFIED, find_by_key
from etl.storage.marks import find_met
from etl.storage.refusal_states import find_superseded
from etl.storage.transactions import bounded_transaction
from etl.vocabulary import ReadOutcome

_FIND_READS = """
    SELECT number, first_sequence FROM etl_reads WHERE source = %s AND number = ANY(%s) AND first_sequence IS NOT NULL
"""
_FIND_LAST_OTHER = "SELECT coalesce(max(number), 0) FROM etl_reads WHERE source = %s AND outcome <> %s"
_FIND_ORIGINS = "SELECT raw_id, coalesce(read_number, 0) FROM etl_quarantine WHERE raw_id = ANY(%s)"

Rows = Mapping[int, tuple[str, int]]
"""External id and read of refused records, by their rows in quarantine."""


def find_outdated(source: str, waiting: Rows, read_number: int) -> set[int]:
    """Return those of the waiting rows of which a later read has refused another version, which is open."""
    with bounded_transaction() as cursor:
        return find_superseded(cursor, source, waiting, read_number=read_number) if waiting else set()


def find_counting(source: str, rows: Rows, waiting: Rows, read_number: int) -> set[int]:
    """Return those of the rows that count like records of the source's last read: it has refused them.

    So do waiting rows that are newer than what is stored.
    """
    with bounded_transaction() as cursor:
        met = find_met(cursor, source, read_number, [*rows])
        return met | _find_newer(cursor, source, {row: waiting[row] for row in waiting if row not in met})


def _find_newer(cursor: Any, source: str, waiting: Rows) -> set[int]:
    """Return those of the rows whose read began after the stored version of their record was written.

    Each read since then must be accepted: it has settled what it found, so it has not accepted their records.
    """
    if not waiting:
        return set()
    cursor.execute(_FIND_READS, [source, sorted({read for _, read in waiting.values()})])
    begins = dict(cursor.fetchall())
    cursor.execute(_FIND_LAST_OTHER, [source, ReadOutcome.ACCEPTED])
    (last_other,) = cursor.fetchone()
    stored = find_by_key(cursor, UNIFIED, source, {external_id for external_id, _ in waiting.values()})
    origins = _find_origins(cursor, [row[6] for row in stored.values()])
    newer = set()
    for row_id, (external_id, read) in waiting.items():
        row = stored.get(external_id)
        if row is not None and read in begins and read > last_other:
            is_older = row[5] <= begins[read] or origins.get(row[6], read) < read
            newer |= {row_id} if is_older else set()
    return newer


def _find_origins(cursor: Any, raw_ids: Sequence[int]) -> dict[int, int]:
    """Return the reads that refused the records which replays have landed as these raw records."""
    cursor.execute(_FIND_ORIGINS, [sorted(raw_ids)])
    return dict(cursor.fetchall())
