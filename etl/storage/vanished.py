"""Finds and removes the stored records that a complete read lacked: it neither accepted nor refused them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from etl.records import Stamp
from etl.storage.ledger import UNIFIED, find_by_key
from etl.storage.marks import is_marked, list_rows, load_marks
from etl.storage.row_sets import RowSet
from etl.storage.transactions import bounded_transaction
from etl.vocabulary import MarkKind

PAGE = 50_000
"""How many rows one statement of the scan returns."""

# A read's runs are the running one, those that ended since it began, and those that were handed over and wait for their
# next task. No replay takes place in between.
_COUNT_PRESENT = """
    SELECT record_count, (
        SELECT coalesce(sum(new), 0) FROM etl_runs AS run
        WHERE run.source = kept.source AND run.trigger <> 'replay'
        AND (run.status IN ('queued', 'running') OR run.finished_at >= kept.read_begun_at)
    )::bigint
    FROM ingestion_checkpoints AS kept WHERE source = %s
"""
_LIST_BLOCKS = "SELECT block, bits FROM etl_read_marks WHERE source = %s AND read_number = %s AND kind = %s"
# Rows from before release 0.2.0 have no id, even if it could be parsed.
_FIND_REFUSED = """
    SELECT id, external_id, read_number, CASE WHEN external_id IS NULL THEN payload::text END
    FROM etl_quarantine WHERE source = %s AND id BETWEEN %s AND %s
"""
_COUNT_UNWRITTEN = """
    SELECT count(*) FROM {ledger} WHERE id = ANY(%s) AND source = %s AND sequence <= %s AND removed_at IS NULL
"""
# By the index of the change feed, which `sequence > 0` selects.
_LIST_UNWRITTEN = """
    SELECT sequence, id FROM {ledger}
    WHERE source = %s AND sequence > 0 AND sequence <= %s AND (sequence, id) > (%s, %s) AND removed_at IS NULL
    ORDER BY sequence, id LIMIT %s
"""
_LOCK = """
    SELECT count(*) FROM (
        SELECT 1 FROM unified_records WHERE id = ANY(%s) ORDER BY external_id COLLATE "C" FOR UPDATE
    ) AS locked
"""
_REMOVE = """
    UPDATE unified_records SET removed_at = %s, updated_at = %s, sequence = %s
    WHERE id = ANY(%s) AND removed_at IS NULL
"""

Place = tuple[int, int]
START: Place = (0, 0)


@dataclass(slots=True)
class Excused:
    """Records that the read has not accepted, and that are present anyway.

    `rows`: it has refused them, or met them only in a version that is older than the stored one. `unidentified` counts
    the refused records that it was the first to meet and whose id could not be parsed: each may be any stored record.
    """

    rows: RowSet = field(default_factory=RowSet)
    unidentified: int = 0


@dataclass(frozen=True, slots=True)
class Search:
    """The search for the records that one read lacked, in short statements. The read's records are not among them.

    A row counts as met if the read has marked it, or written it: then its sequence is above `first_sequence`, the
    source's sequence when the read began. `identify` returns the id in a refused record's payload, if it can be parsed.
    """

    source: str
    read_number: int
    first_sequence: int
    identify: Callable[[str], str | None]
    ledger: str = UNIFIED

    def count_present(self) -> tuple[int, int]:
        """Return the number of present records, as the checkpoint counts them, and how many the read has added."""
        with bounded_transaction() as cursor:
            cursor.execute(_COUNT_PRESENT, [self.source])
            present, new = cursor.fetchone()
            return int(present), int(new)

    def find_excused(self) -> Excused:
        """Return the records that the read has refused, or met only in an outdated version."""
        excused = Excused()
        with bounded_transaction() as cursor:
            excused.rows.add_blocks(self._load_blocks(cursor, MarkKind.PRESENT))
            for block, bits in self._load_blocks(cursor, MarkKind.REFUSAL).items():
                self._add_refused(cursor, excused, list_rows(block, bits))
        return excused

    def _load_blocks(self, cursor: Any, kind: MarkKind) -> dict[int, bytearray]:
        cursor.execute(_LIST_BLOCKS, [self.source, self.read_number, kind])
        return {block: bytearray(bits) for block, bits in cursor.fetchall()}

    def _add_refused(self, cursor: Any, excused: Excused, marked: Sequence[int]) -> None:
        cursor.execute(_FIND_REFUSED, [self.source, marked[0], marked[-1]])
        refused = set(marked)
        found = [
            (external_id or (self.identify(payload) if payload is not None else None), number)
            for row_id, external_id, number, payload in cursor.fetchall()
            if row_id in refused
        ]
        excused.unidentified += sum(external_id is None and number == self.read_number for external_id, number in found)
        identified = {external_id for external_id, _ in found if external_id is not None}
        stored = find_by_key(cursor, self.ledger, self.source, identified)
        excused.rows.add(row[1] for row in stored.values())

    def count_excused(self, excused: Excused) -> int:
        """Return how many of these rows the read has neither written nor marked as accepted."""
        count = 0
        with bounded_transaction() as cursor:
            for block, bits in excused.rows.blocks.items():
                rows = self._drop_met(cursor, list_rows(block, bits))
                cursor.execute(_COUNT_UNWRITTEN.format(ledger=self.ledger), [rows, self.source, self.first_sequence])
                count += cursor.fetchone()[0]
        return count

    def find_vanished(self, excused: Excused, after: Place) -> tuple[Sequence[int], Place | None]:
        """Look at the next PAGE of rows. Returns the vanished ones, and the place of the last row; None at the end."""
        with bounded_transaction() as cursor:
            cursor.execute(_LIST_UNWRITTEN.format(ledger=self.ledger), [self.source, self.first_sequence, *after, PAGE])
            found = cursor.fetchall()
            rows = [
                row_id for row_id in self._drop_met(cursor, [row[1] for row in found]) if row_id not in excused.rows
            ]
        return rows, found[-1] if len(found) == PAGE else None

    def _drop_met(self, cursor: Any, rows: Sequence[int]) -> list[int]:
        marks = load_marks(cursor, self.source, self.read_number, MarkKind.RECORD, rows)
        return [row_id for row_id in rows if not is_marked(marks, row_id)]


def remove_records(cursor: Any, rows: Sequence[int], stamp: Stamp) -> None:
    """Remove these present records: their rows stay, with `removed_at` and the batch's sequence."""
    cursor.execute(_LOCK, [rows])
    cursor.execute(_REMOVE, [stamp.now, stamp.now, stamp.sequence, rows])
    if cursor.rowcount != len(rows):
        removed, total = cursor.rowcount, len(rows)
        raise RuntimeError(f"Only {removed} of the {total} records to remove are present; run `manage.py verify`.")
