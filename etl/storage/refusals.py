"""Stores refused records, each original once at the first place it was found, and the outcome of replay and discard.

A read only adds rows and marks what it found; refusal_states.py changes the others when it has ended.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib.auth import get_user_model
from django.db.models import Q, QuerySet, Value
from django.db.models.functions import Coalesce

from etl.models import Checkpoint, JudgedRead, QuarantinedRecord
from etl.readers.content import CHUNK_BYTES
from etl.records import Breach, Refusal, Stamp, StoredRefusal
from etl.storage.bulk_copy import copy_rows
from etl.storage.ledger import find_accepted
from etl.storage.marks import find_met, mark_met
from etl.storage.refusal_selection import Selection
from etl.storage.texts import make_storable
from etl.storage.transactions import bounded_transaction
from etl.vocabulary import BreachCode, MarkKind, QuarantineStatus, ReadOutcome

_COLUMNS = (
    *("id", "source", "run_id", "read_number", "status", "created_at", "updated_at", "position", "line"),
    *(
        "file",
        "external_id",
        "column_name",
        "code",
        "message",
        "payload",
        "original",
        "original_length",
        "original_sha256",
        "awaits",
    ),
)
# LIMIT makes PostgreSQL look up each original in the index, with or without statistics (docs/decisions/0025).
_FIND_BY_ORIGINAL = """
    SELECT wanted.sha256, known.id FROM unnest(%s::bytea[]) AS wanted (sha256) CROSS JOIN LATERAL (
        SELECT id FROM etl_quarantine WHERE source = %s AND file = %s AND original_sha256 = wanted.sha256 LIMIT 1
    ) AS known
"""
# A record that was already stored keeps the raw record that it became when it landed earlier, if it did.
_FIND_BY_ID = """
    SELECT known.id, wanted.external_id FROM unnest(%s::text[]) AS wanted (external_id) CROSS JOIN LATERAL (
        SELECT id FROM etl_quarantine WHERE source = %s AND external_id = wanted.external_id ORDER BY id DESC LIMIT 10
    ) AS known
"""
_SETTLE_LANDED = """
    UPDATE etl_quarantine AS kept
    SET status = %s, resolved_by_id = %s, updated_at = %s, raw_id = coalesce(landed.raw_id, kept.raw_id),
        external_id = landed.external_id
    FROM unnest(%s::bigint[], %s::bigint[], %s::text[]) AS landed (id, raw_id, external_id) WHERE kept.id = landed.id
"""
_SETTLE_REFUSED = """
    UPDATE etl_quarantine AS kept
    SET updated_at = %s, code = refused.code, message = refused.message, column_name = refused.column_name,
        external_id = coalesce(refused.external_id, kept.external_id), awaits = nullif(refused.awaits, '')
    FROM unnest(%s::bigint[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[])
        AS refused (id, code, message, column_name, external_id, awaits)
    WHERE kept.id = refused.id
"""
# The same record again may wait for another row than before, wait no longer, or begin to wait.
_CHANGE_REASON = """
    UPDATE etl_quarantine AS kept
    SET updated_at = %s, code = refused.code, message = refused.message, column_name = refused.column_name,
        awaits = nullif(refused.awaits, '')
    FROM unnest(%s::bigint[], %s::text[], %s::text[], %s::text[], %s::text[])
        AS refused (id, code, message, column_name, awaits)
    WHERE kept.id = refused.id AND kept.awaits IS DISTINCT FROM nullif(refused.awaits, '')
        AND kept.status <> 'discarded'
"""
_SETTLE_UNWANTED = "UPDATE etl_quarantine SET status = %s, updated_at = %s WHERE id = ANY(%s)"
_DISCARD = """
    UPDATE etl_quarantine SET status = %s, resolved_by_id = %s, updated_at = clock_timestamp()
    WHERE id = ANY(%s) AND status = %s
"""


def find_refused(
    cursor: Any, source: str, read_number: int, ids: Collection[str], hashes: Collection[bytes]
) -> set[str | bytes]:
    """Return those of the ids, and of the hashes of originals, that the read has refused so far."""
    cursor.execute(_FIND_BY_ORIGINAL, [sorted(hashes), source, ""])
    originals = {row_id: bytes(sha256) for sha256, row_id in cursor.fetchall()}
    cursor.execute(_FIND_BY_ID, [sorted(ids), source])
    named = dict(cursor.fetchall())
    met = find_met(cursor, source, read_number, [*originals, *named])
    return {originals[row] for row in met & originals.keys()} | {named[row] for row in met & named.keys()}


def find_late(cursor: Any, refusals: Sequence[Refusal], stamp: Stamp, read_sequence: int) -> set[str]:
    """Return the ids of refused records with which the read's earlier batches have accepted a record.

    `read_sequence` is the source's sequence when the read began.
    """
    ids = {refusal.external_id for refusal in refusals if refusal.external_id is not None}
    return find_accepted(cursor, stamp.source, ids, read_number=stamp.read_number, read_sequence=read_sequence)


def write_refusals(
    cursor: Any,
    refusals: Sequence[Refusal],
    stamp: Stamp,
    late: Collection[str] = (),
    *,
    is_backward: bool = False,
) -> int:
    """Store a read's refusals and mark them as found. Returns how many more are open.

    `late` are the ids with which earlier batches have accepted a record. `is_backward`: the read began at the end.
    """
    source, read_number, now = stamp.source, stamp.read_number, stamp.now
    first: dict[bytes, Refusal] = {}
    for refusal in refusals:
        first.setdefault(refusal.identity, refusal)
    if not first:
        return 0
    cursor.execute(_FIND_BY_ORIGINAL, [sorted(first), source, stamp.file])
    ids = {bytes(sha256): row_id for sha256, row_id in cursor.fetchall()}
    _change_reasons(cursor, {row_id: first[sha256].breach for sha256, row_id in ids.items()}, now)
    added = [refusal for sha256, refusal in first.items() if sha256 not in ids]  # a replay takes them in this order
    new_ids = _draw_ids(cursor, len(added))
    common = (source, stamp.run_id, read_number, QuarantineStatus.OPEN, now, now)
    rows = ((row_id, *common, *_describe(refusal, stamp.file)) for row_id, refusal in zip(new_ids, added, strict=True))
    if added:
        copy_rows(cursor, "etl_quarantine", _COLUMNS, rows)
    ids |= {refusal.identity: row_id for row_id, refusal in zip(new_ids, added, strict=True)}
    mark_met(cursor, source, read_number, list(ids.values()), MarkKind.REFUSAL)
    # If a read began at the end of its content, a record accepted after a refusal comes before it in the content.
    passed = {
        refusal.identity for refusal in refusals if (refusal.is_late or refusal.external_id in late) is not is_backward
    }
    mark_met(cursor, source, read_number, [ids[sha256] for sha256 in passed], MarkKind.LATE)
    return len(added)


def _change_reasons(cursor: Any, breaches: Mapping[int, Breach], now: datetime) -> None:
    """Give stored rows their new reasons, if that changes for what they wait."""
    if breaches:
        cursor.execute(_CHANGE_REASON, [now, *_list_reasons(breaches), [each.awaits for each in breaches.values()]])


def _list_reasons(breaches: Mapping[int, Breach]) -> list[list[Any]]:
    """Return the rows, codes, messages and columns as arrays."""
    return [
        [*breaches],
        [str(breach.code) for breach in breaches.values()],
        [make_storable(breach.message) for breach in breaches.values()],
        [make_storable(breach.column) for breach in breaches.values()],
    ]


def _draw_ids(cursor: Any, count: int) -> list[int]:
    cursor.execute(
        "SELECT nextval(pg_get_serial_sequence('etl_quarantine', 'id')) FROM generate_series(1, %s)", [count]
    )
    return [row[0] for row in cursor.fetchall()]


def _describe(refusal: Refusal, file: str) -> tuple[Any, ...]:
    breach, original = refusal.breach, refusal.original
    return (
        *(refusal.position, refusal.line, file, refusal.external_id),
        *(make_storable(breach.column), breach.code, make_storable(breach.message)),
        *(refusal.payload, original.head, original.length, refusal.identity, breach.awaits or None),
    )


@dataclass(frozen=True, slots=True)
class Place:
    """A replay's position among the rows that it takes.

    The newest read comes first, rows without a read (old releases) last.
    """

    read_number: int
    id: int


def load_replayable(
    selection: Selection, source: str, digest: str, after: Place | None, most: int
) -> tuple[list[StoredRefusal], Place | None]:
    """Return the selection's next rows, at most `most` and about a chunk's bytes, and the place of the last."""
    # In a transaction only for its settings: whether the rows may still be replayed is checked when they land.
    with bounded_transaction():
        waiting = _place(filter_replayable(selection, source, digest))
        if after is not None:
            waiting = waiting.filter(is_after(after))
        places, size = [], 0
        ordered = waiting.order_by("-read", "pk").values_list("read", "pk", "original_length")
        for read_number, row_id, length in ordered[:most]:
            places.append(Place(read_number, row_id))
            size += length
            if size >= CHUNK_BYTES:
                break
        rows = QuarantinedRecord.objects.in_bulk([place.id for place in places])
    return [_describe_stored(rows[place.id]) for place in places], places[-1] if places else after


def find_coming(selection: Selection, after: Place) -> Q:
    """Return the condition on rows with their `read` that a replay of the selection takes after this place, if open."""
    return selection.as_filter() & is_after(after)


def is_after(place: Place) -> Q:
    """Return the condition on rows with their `read` that come after this place."""
    return Q(read__lt=place.read_number) | Q(read=place.read_number, pk__gt=place.id)


def _place(rows: QuerySet[QuarantinedRecord]) -> Any:
    return rows.annotate(read=Coalesce("read_number", Value(0)))


def filter_open(selection: Selection) -> QuerySet[QuarantinedRecord]:
    """Return the open rows of the selection."""
    return QuarantinedRecord.objects.filter(selection.as_filter(), status=QuarantineStatus.OPEN)


def filter_replayable(selection: Selection, source: str, digest: str) -> QuerySet[QuarantinedRecord]:
    """Return the source's rows that a replay of the selection takes, for a source whose contract has this digest.

    These are the open rows; the gone ones only if the selection names them, or was refused by another contract.
    """
    is_wanted = Q(status=QuarantineStatus.OPEN)
    if selection.awaits:
        return QuarantinedRecord.objects.filter(selection.as_filter(), is_wanted, source=source)
    if selection.ids or selection.gone:
        is_wanted |= Q(status=QuarantineStatus.GONE)
    else:
        is_wanted |= _find_gone_under_other(source, digest)
    return QuarantinedRecord.objects.filter(selection.as_filter(), is_wanted, source=source)


def _find_gone_under_other(source: str, digest: str) -> Q:
    """Return the condition on gone rows that no contract with this digest has judged.

    Such a row was neither in a read under this contract nor replayed under it. So it has not changed since the first
    of the reads with this contract ended; without such a read, no gone row has been judged by it.
    """
    fingerprint = Checkpoint.objects.filter(source=source).values_list("fingerprint", flat=True).first()
    if not fingerprint:
        return Q(pk__in=())
    if not fingerprint.startswith(f"{digest}:"):
        return Q(status=QuarantineStatus.GONE)
    reads = JudgedRead.objects.filter(source=source, outcome=ReadOutcome.ACCEPTED)
    other = reads.exclude(fingerprint__startswith=f"{digest}:").order_by("-number").first()
    first = reads.filter(number__gt=other.number).order_by("number").first() if other is not None else None
    if first is None:
        return Q(pk__in=())
    return Q(status=QuarantineStatus.GONE, updated_at__lte=first.ended_at)


def _describe_stored(row: QuarantinedRecord) -> StoredRefusal:
    original = bytes(row.original)
    return StoredRefusal(
        id=row.pk,
        position=row.position,
        line=row.line,
        breach=Breach(BreachCode(row.code), row.message, row.column_name),
        payload=row.payload,
        original=original if len(original) == row.original_length else None,
        file=row.file,
        read_number=row.read_number or 0,
        waits=row.awaits is not None,
    )


def lock_replayable(cursor: Any, rows: Collection[int]) -> set[int] | None:
    """Lock these rows and return those that are open; None if one of them is neither open nor gone."""
    cursor.execute(
        "SELECT id, status FROM etl_quarantine WHERE id = ANY(%s) AND status IN (%s, %s) ORDER BY id FOR UPDATE",
        [sorted(rows), QuarantineStatus.OPEN, QuarantineStatus.GONE],
    )
    statuses = dict(cursor.fetchall())
    if len(statuses) < len(rows):
        return None
    return {row_id for row_id, status in statuses.items() if status == QuarantineStatus.OPEN}


@dataclass(frozen=True, slots=True)
class Result:
    """The result of replaying one row, with the id that was found in it.

    `breach`: the row is refused again. `is_unwanted`: the source now skips it. Otherwise it has landed, with the id of
    a new raw record if there is one.
    """

    external_id: str | None
    breach: Breach | None = None
    raw_id: int | None = None
    is_unwanted: bool = False

    @property
    def has_landed(self) -> bool:
        return self.breach is None and not self.is_unwanted


def settle(cursor: Any, results: Mapping[int, Result], *, user_id: int | None, now: datetime) -> None:
    """Write a replay's results to locked rows. A row that is refused again stays open or gone, with its new reason.

    A row that is not wanted is gone, as it is after a read: it is not among the records of its source.
    """
    landed = {row_id: result for row_id, result in results.items() if result.has_landed}
    refused = {row_id: result.breach for row_id, result in results.items() if result.breach is not None}
    of_landed = [result.raw_id for result in landed.values()], [result.external_id for result in landed.values()]
    resolved = [QuarantineStatus.REPLAYED, _find_user(user_id), now]
    cursor.execute(_SETTLE_LANDED, [*resolved, list(landed), *of_landed])
    ids, awaited = [results[row_id].external_id for row_id in refused], [each.awaits for each in refused.values()]
    cursor.execute(_SETTLE_REFUSED, [now, *_list_reasons(refused), ids, awaited])
    unwanted = [row_id for row_id, result in results.items() if result.is_unwanted]
    cursor.execute(_SETTLE_UNWANTED, [QuarantineStatus.GONE, now, unwanted])


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
