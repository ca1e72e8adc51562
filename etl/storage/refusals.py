"""Stores refused records, each original once at the first place it was found, and their outcome."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib.auth import get_user_model
from django.db.models import Q, QuerySet, Value
from django.db.models.functions import Coalesce

from etl.models import QuarantinedRecord
from etl.readers.content import CHUNK_BYTES
from etl.records import Breach, Refusal, Stamp, StoredRefusal
from etl.storage.bulk_copy import copy_rows
from etl.storage.marks import mark_met
from etl.storage.refusal_selection import Selection
from etl.storage.texts import make_storable
from etl.storage.transactions import bounded_transaction
from etl.vocabulary import BreachCode, MarkKind, QuarantineStatus

_COLUMNS = (
    *("id", "source", "run_id", "read_number", "status", "created_at", "updated_at", "position", "line"),
    *("column_name", "code", "message", "payload", "original", "original_length", "original_sha256"),
)
_REOPEN = """
    UPDATE etl_quarantine SET status = %s, read_number = %s, resolved_by_id = NULL, updated_at = %s
    WHERE id = ANY(%s) AND status = %s
"""
# A record that was already stored keeps the raw record that it became when it landed earlier, if it did.
_SETTLE_LANDED = """
    UPDATE etl_quarantine AS kept
    SET status = %s, resolved_by_id = %s, updated_at = %s, raw_id = coalesce(landed.raw_id, kept.raw_id)
    FROM unnest(%s::bigint[], %s::bigint[]) AS landed (id, raw_id) WHERE kept.id = landed.id
"""
_SETTLE_REFUSED = """
    UPDATE etl_quarantine AS kept
    SET updated_at = %s, code = refused.code, message = refused.message, column_name = refused.column_name
    FROM unnest(%s::bigint[], %s::text[], %s::text[], %s::text[]) AS refused (id, code, message, column_name)
    WHERE kept.id = refused.id
"""
_DISCARD = """
    UPDATE etl_quarantine SET status = %s, resolved_by_id = %s, updated_at = clock_timestamp()
    WHERE id = ANY(%s) AND status = %s
"""


def write_refusals(cursor: Any, refusals: Sequence[Refusal], stamp: Stamp) -> int:
    """Store a read's refusals and mark them as found; a replayed one opens again. Returns how many more are open."""
    source, read_number, now = stamp.source, stamp.read_number, stamp.now
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
    common = (source, stamp.run_id, read_number, QuarantineStatus.OPEN, now, now)
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


@dataclass(frozen=True, slots=True)
class Place:
    """A replay's position among the open rows: the newest read comes first, rows without a read (old releases) last."""

    read_number: int
    id: int


def load_open(
    selection: Selection, source: str, after: Place | None, most: int
) -> tuple[list[StoredRefusal], Place | None]:
    """Return the selection's next open rows, at most `most` and about a chunk's bytes, and the place of the last."""
    # In a transaction only for its settings: whether the rows are still open is checked when they land.
    with bounded_transaction():
        places, size = [], 0
        for read_number, row_id, length in _order_open(selection, source, after)[:most]:
            places.append(Place(read_number, row_id))
            size += length
            if size >= CHUNK_BYTES:
                break
        rows = QuarantinedRecord.objects.in_bulk([place.id for place in places])
    return [_describe_stored(rows[place.id]) for place in places], places[-1] if places else after


def count_open(selection: Selection, source: str) -> int:
    """Count the open rows of the selection."""
    return filter_open(selection).filter(source=source).count()


def filter_open(selection: Selection) -> QuerySet[QuarantinedRecord]:
    """Return the open rows of the selection."""
    return QuarantinedRecord.objects.filter(selection.as_filter(), status=QuarantineStatus.OPEN)


def _order_open(selection: Selection, source: str, after: Place | None) -> Any:
    rows = filter_open(selection).filter(source=source).annotate(read=Coalesce("read_number", Value(0)))
    if after is not None:
        rows = rows.filter(Q(read__lt=after.read_number) | Q(read=after.read_number, pk__gt=after.id))
    return rows.order_by("-read", "pk").values_list("read", "pk", "original_length")


def _describe_stored(row: QuarantinedRecord) -> StoredRefusal:
    original = bytes(row.original)
    return StoredRefusal(
        id=row.pk,
        position=row.position,
        line=row.line,
        breach=Breach(BreachCode(row.code), row.message, row.column_name),
        payload=row.payload,
        original=original if len(original) == row.original_length else None,
    )


def lock_open(cursor: Any, rows: Collection[int]) -> bool:
    """Lock these rows. Returns whether all of them are still open."""
    cursor.execute(
        "SELECT id FROM etl_quarantine WHERE id = ANY(%s) AND status = %s ORDER BY id FOR UPDATE",
        [sorted(rows), QuarantineStatus.OPEN],
    )
    return len(cursor.fetchall()) == len(rows)


def settle(
    cursor: Any,
    *,
    landed: Mapping[int, int | None],
    refused: Mapping[int, Breach],
    user_id: int | None,
    now: datetime,
) -> None:
    """Write a replay's results to locked open rows: landed, with the id of a new raw record, or refused again."""
    resolved = [QuarantineStatus.REPLAYED, _find_user(user_id), now]
    cursor.execute(_SETTLE_LANDED, [*resolved, list(landed), list(landed.values())])
    breaches = list(refused.values())
    columns = (
        list(refused),
        [str(breach.code) for breach in breaches],
        [make_storable(breach.message) for breach in breaches],
        [make_storable(breach.column) for breach in breaches],
    )
    cursor.execute(_SETTLE_REFUSED, [now, *columns])


def discard_open(cursor: Any, selection: Selection, source: str, *, user_id: int | None, most: int) -> int:
    """Discard at most `most` open rows of the selection while the source's checkpoint is locked. Returns the number."""
    rows = list(filter_open(selection).filter(source=source).order_by("pk").values_list("pk", flat=True)[:most])
    cursor.execute(_DISCARD, [QuarantineStatus.DISCARDED, _find_user(user_id), rows, QuarantineStatus.OPEN])
    return int(cursor.rowcount)


def _find_user(user_id: int | None) -> int | None:
    """Return the user's id, or None if the user has been deleted since."""
    if user_id is None:
        return None
    return get_user_model().objects.filter(pk=user_id).values_list("pk", flat=True).first()
