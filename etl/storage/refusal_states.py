"""Chooses and changes the states of refused records: after a read, and after a page of a replay. Stores none.

A read that is killed and resumed, or repeated with the same content, finds the same states: they follow from the rows
and from the read's marks alone.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Q, Value
from django.db.models.functions import Coalesce

from etl.models import QuarantinedRecord
from etl.storage.ledger import find_accepted
from etl.storage.marks import find_met, load_block_after
from etl.vocabulary import MarkKind, QuarantineStatus

OPEN, GONE, LANDED = QuarantineStatus.OPEN, QuarantineStatus.GONE, QuarantineStatus.LANDED
REPLAYED = QuarantineStatus.REPLAYED

Changes = Mapping[tuple[QuarantineStatus, QuarantineStatus], Sequence[int]]
"""Rows by the status that they have and the one that they get."""

_Row = tuple[int, str | None, str, str]

_LIST_OPEN = """
    SELECT id, external_id, status, file FROM etl_quarantine
    WHERE source = %s AND status = 'open' AND id > %s ORDER BY id LIMIT %s
"""
_LIST_CLOSED = """
    SELECT id, external_id, status, file FROM etl_quarantine
    WHERE id = ANY(%s) AND status IN ('landed', 'gone', 'replayed')
"""
_CHANGE = """
    UPDATE etl_quarantine
    SET status = %s, read_number = coalesce(%s, read_number), resolved_by_id = NULL, updated_at = %s
    WHERE id = ANY(%s) AND status = %s
"""


@dataclass(frozen=True, slots=True)
class Finished:
    """A read that has seen all its records. `is_whole`: a record that it has not seen is no longer in the source.

    If the source has several files, that concerns only records of the read's `file`.
    """

    source: str
    number: int
    first_sequence: int
    is_whole: bool
    file: str = ""


def change_open(cursor: Any, read: Finished, after: int, most: int) -> tuple[Changes, int | None]:
    """Choose the changes of the next open rows. Returns them and the last row; None if there are no more rows."""
    cursor.execute(_LIST_OPEN, [read.source, after, most])
    rows = cursor.fetchall()
    return _choose(cursor, read, rows), rows[-1][0] if rows else None


def change_met(cursor: Any, read: Finished, after: int) -> tuple[Changes, int | None]:
    """Choose the changes of the closed rows that the next block of the read's marks covers. Returns them and the block.

    Discarded rows stay discarded.
    """
    found = load_block_after(cursor, read.source, read.number, MarkKind.REFUSAL, after)
    if found is None:
        return {}, None
    block, ids = found
    cursor.execute(_LIST_CLOSED, [ids])
    return _choose(cursor, read, cursor.fetchall()), block


def _choose(cursor: Any, read: Finished, rows: Sequence[_Row]) -> Changes:
    ids = [row[0] for row in rows]
    met = find_met(cursor, read.source, read.number, ids)
    late = find_met(cursor, read.source, read.number, ids, MarkKind.LATE)
    accepted = find_accepted(
        cursor,
        read.source,
        {row[1] for row in rows if row[1] is not None},
        read_number=read.number,
        read_sequence=read.first_sequence,
    )
    changes: dict[tuple[QuarantineStatus, QuarantineStatus], list[int]] = defaultdict(list)
    for row_id, external_id, text, file in rows:
        status = QuarantineStatus(text)
        chosen = _choose_status(
            status,
            is_met=row_id in met,
            is_accepted_later=external_id in accepted and row_id not in late,
            is_whole=read.is_whole and file == read.file,
        )
        if chosen is not status:
            changes[status, chosen].append(row_id)
    return changes


def _choose_status(
    status: QuarantineStatus, *, is_met: bool, is_accepted_later: bool, is_whole: bool
) -> QuarantineStatus:
    if is_accepted_later:
        return REPLAYED if status is REPLAYED else LANDED
    if is_met:
        return OPEN
    return GONE if is_whole and status is OPEN else status


def write_changes(cursor: Any, changes: Changes, read_number: int, now: datetime) -> int:
    """Change the rows that still have their former status. Returns how many more are open."""
    grown = 0
    for (former, status), rows in changes.items():
        opened_by = read_number if status is OPEN else None
        cursor.execute(_CHANGE, [status, opened_by, now, list(rows), former])
        grown += cursor.rowcount * ((status is OPEN) - (former is OPEN))
    return grown


@dataclass(frozen=True, slots=True)
class _Found:
    """When a refused record was found: whether by the source's last read, and its first place."""

    is_met: bool
    read_number: int
    position: int

    def is_before(self, other: "_Found") -> bool:
        """Whether it is certain that it was found earlier. Two places are compared only within one read."""
        if self.is_met != other.is_met:
            return other.is_met
        if self.is_met or self.read_number == other.read_number:
            return self.read_number == other.read_number and self.position < other.position
        return self.read_number < other.read_number

    def is_of_older_read(self, other: "_Found") -> bool:
        """Whether it is certain that it was found in an earlier read than the other."""
        is_same = self.read_number == other.read_number if self.is_met == other.is_met else False
        return not is_same and not (self.is_met and other.is_met) and self.is_before(other)


def find_superseded(cursor: Any, source: str, rows: Mapping[int, tuple[str, int]], *, read_number: int) -> set[int]:
    """Return those of the open rows, given with id and read, of whose record a later read has refused another version.

    Rows of one page of a replay are not compared with each other: they land in their order.
    """
    others = QuarantinedRecord.objects.filter(
        source=source, external_id__in={external_id for external_id, _ in rows.values()}, status=OPEN
    )
    columns = ("pk", "external_id", "read_number")
    later = [row for row in others.values_list(*columns) if row[0] not in rows]
    if not later:
        return set()
    met = find_met(cursor, source, read_number, [*rows, *(row[0] for row in later)])
    found = defaultdict(list)
    for row_id, external_id, read in later:
        found[external_id].append(_Found(row_id in met, read or 0, 0))
    return {
        row_id
        for row_id, (external_id, read) in rows.items()
        if any(_Found(row_id in met, read, 0).is_of_older_read(other) for other in found[external_id])
    }


def land_older(
    cursor: Any, source: str, external_ids: Collection[str], *, read_number: int, coming: Q, now: datetime
) -> int:
    """Let the open rows land that were found before a replayed row with the same id. Returns how many there were.

    The replay itself decides on the rows that are `coming`.
    """
    rows = QuarantinedRecord.objects.filter(source=source, external_id__in=external_ids)
    rows = rows.annotate(read=Coalesce("read_number", Value(0)))
    columns = ("pk", "external_id", "read", "position")
    opened = list(rows.filter(status=OPEN).exclude(coming).values_list(*columns))
    if not opened:
        return 0
    replayed = list(rows.filter(status=REPLAYED).values_list(*columns))
    met = find_met(cursor, source, read_number, [row[0] for row in (*opened, *replayed)])
    accepted = defaultdict(list)
    for row_id, external_id, read, position in replayed:
        accepted[external_id].append(_Found(row_id in met, read, position))
    landed = [
        row_id
        for row_id, external_id, read, position in opened
        if any(_Found(row_id in met, read, position).is_before(other) for other in accepted[external_id])
    ]
    return -write_changes(cursor, {(OPEN, LANDED): landed}, read_number, now) if landed else 0
