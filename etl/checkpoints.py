"""The fence and the lease: the only writer of `ingestion_checkpoints`. Every time here is the database's.

A source is owned through its checkpoint's `epoch`. `take` raises it; each batch `advance`s the checkpoint
first, and only where the epoch and the batch number are still the ones its run knows and the lease holds.
Whatever the Redis lock says, whoever sleeps or wakes: at most one run gets past that UPDATE.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db import connection, transaction
from psycopg2.extras import Json

from etl.drift import Shape
from etl.exceptions import LeaseLost, Overtaken
from etl.models import Checkpoint
from etl.records import Cursor

TERMINATE_SECONDS = 1

# A role that may not see another session's start sees NULL: then the session counts as alive.
_OWNER_IS_CONNECTED = """
    EXISTS (
        SELECT FROM pg_stat_activity AS session WHERE session.pid = ingestion_checkpoints.owner_pid
        AND coalesce(session.backend_start, owner_backend_start) = owner_backend_start
    )
"""
_IS_HELD = f"(lease_expires_at > clock_timestamp() AND {_OWNER_IS_CONNECTED})"
_OWN_SESSION = """
    owner_pid = pg_backend_pid(),
    owner_backend_start = (SELECT backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid())
"""
_NEW_LEASE = "lease_expires_at = clock_timestamp() + %(lease_seconds)s * interval '1 second'"

_TAKE = f"""
    UPDATE ingestion_checkpoints
    SET epoch = epoch + 1, owner = %(owner)s, owner_run_id = NULL, {_OWN_SESSION}, {_NEW_LEASE},
        updated_at = clock_timestamp()
    WHERE source = %(source)s AND NOT coalesce({_IS_HELD}, false)
    RETURNING epoch
"""
_TAKE_FROM_OWNER = """
    UPDATE ingestion_checkpoints
    SET epoch = epoch + 1, owner = '', owner_run_id = NULL, owner_pid = NULL, owner_backend_start = NULL,
        lease_expires_at = NULL, updated_at = clock_timestamp()
    WHERE source = %(source)s AND
"""
_REVOKE = f"{_TAKE_FROM_OWNER} NOT coalesce({_IS_HELD}, false)"
_REVOKE_FROM_RUN = f"{_TAKE_FROM_OWNER} owner_run_id = %(run_id)s"
_FIND_HOLDER = f"""
    SELECT owner_run_id, owner, lease_expires_at
    FROM ingestion_checkpoints WHERE source = %(source)s AND {_IS_HELD}
"""
_NEW_COUNTS = """
    record_count = record_count + %(new_records)s, raw_count = raw_count + %(new_versions)s,
    updated_at = clock_timestamp()
"""
_BEHIND_FENCE = """
    WHERE source = %(source)s AND epoch = %(epoch)s AND batch_number = %(batch_number)s
        AND lease_expires_at > clock_timestamp()
    RETURNING sequence, clock_timestamp()
"""
_ADVANCE = f"""
    UPDATE ingestion_checkpoints
    SET batch_number = batch_number + 1, sequence = sequence + %(written)s, {_OWN_SESSION}, {_NEW_LEASE},
        is_reading = true, is_full_read = %(is_full)s, read_number = %(read_number)s,
        read_fingerprint = %(fingerprint)s, read_sequence = %(read_sequence)s,
        read_quarantined = %(read_quarantined)s, read_shape = %(read_shape)s, cursor = %(cursor)s,
        {_NEW_COUNTS}
    {_BEHIND_FENCE}
"""
_ADVANCE_REPLAY = f"""
    UPDATE ingestion_checkpoints
    SET batch_number = batch_number + 1, sequence = sequence + %(written)s, {_OWN_SESSION}, {_NEW_LEASE}, {_NEW_COUNTS}
    {_BEHIND_FENCE}
"""
# Never waits for a row lock: while a batch holds it, the batch itself renews the lease. A renewal that waited
# behind a frozen session would come through when that session is ended, just when the lease must not be renewed.
_RENEW = f"""
    UPDATE ingestion_checkpoints SET {_NEW_LEASE}
    WHERE source = (
        SELECT source FROM ingestion_checkpoints
        WHERE source = %(source)s AND epoch = %(epoch)s AND lease_expires_at > clock_timestamp()
        FOR UPDATE SKIP LOCKED
    )
"""
_RELEASE = """
    UPDATE ingestion_checkpoints
    SET owner = '', owner_run_id = NULL, owner_pid = NULL, owner_backend_start = NULL, lease_expires_at = NULL,
        updated_at = clock_timestamp()
    WHERE source = %(source)s AND epoch = %(epoch)s AND owner_run_id = %(run_id)s
        AND (lease_expires_at > clock_timestamp() OR NOT %(needs_lease)s)
"""
_END_READ = """
    UPDATE ingestion_checkpoints
    SET is_reading = false, is_full_read = false, read_fingerprint = '', read_quarantined = 0, read_shape = NULL,
        cursor = NULL, fingerprint = %(fingerprint)s, validators = %(validators)s
    WHERE source = %(source)s AND epoch = %(epoch)s
"""
_REPAIR_COUNTS = """
    UPDATE ingestion_checkpoints SET
        record_count = (SELECT count(*) FROM unified_records AS r WHERE r.source = ingestion_checkpoints.source),
        raw_count = (SELECT count(*) FROM raw_records AS r WHERE r.source = ingestion_checkpoints.source),
        open_quarantine_count = (SELECT count(*) FROM etl_quarantine AS q
            WHERE q.source = ingestion_checkpoints.source AND q.status = 'open')
    WHERE source = %s
"""
# The session that holds the checkpoint's row: the owner's as it is known, or one whose transaction has the
# row locked since before the lease ended (an owner that had to reconnect).
_END_FROZEN_OWNER = f"""
    SELECT pg_terminate_backend(session.pid, {TERMINATE_SECONDS * 1000})
    FROM ingestion_checkpoints AS checkpoint, pg_stat_activity AS session
    WHERE checkpoint.source = %(source)s AND (%(is_forced)s OR checkpoint.lease_expires_at <= clock_timestamp())
        AND session.pid <> pg_backend_pid()
        AND ((session.pid = checkpoint.owner_pid AND session.backend_start = checkpoint.owner_backend_start)
            OR ((%(is_forced)s OR session.xact_start <= checkpoint.lease_expires_at) AND EXISTS (
                SELECT FROM pg_locks WHERE pg_locks.pid = session.pid AND pg_locks.granted
                AND pg_locks.locktype = 'transactionid' AND pg_locks.transactionid = checkpoint.xmax)))
"""


@dataclass(frozen=True, slots=True)
class Claim:
    """A run's hold on its source: what every write of it has to prove."""

    source: str
    run_id: int
    epoch: int
    lease_seconds: float


@dataclass(frozen=True, slots=True)
class Holder:
    """The run that holds a source, and when its lease ends unless renewed (UTC)."""

    run_id: int | None
    owner: str
    lease_expires_at: datetime


@dataclass(frozen=True, slots=True)
class Read:
    """One pass over a source's content, as far as it has come; each batch gives the next one.

    `is_begun`: a batch of it has landed. `cursor` stands behind that batch, `quarantined` counts the records
    refused so far and `shape` all records observed so far, in whichever run. `first_sequence` is the source's
    sequence when the read began.
    """

    number: int
    fingerprint: str
    is_full: bool
    is_begun: bool
    cursor: Cursor | None
    first_sequence: int
    quarantined: int
    batch_number: int
    shape: Shape = field(default_factory=Shape)


def take(cursor: Any, *, source: str, owner: str, lease_seconds: float) -> int | Holder:
    """Own the source if nobody does: the new epoch, or who holds it. Belongs into the claim's transaction.

    Does not wait for a healthy holder; an ended lease whose row is locked runs into the lock timeout.
    """
    values = {"source": source, "owner": owner, "lease_seconds": lease_seconds}
    Checkpoint.objects.bulk_create([Checkpoint(source=source)], ignore_conflicts=True)
    holder = find_holder(cursor, source)
    if holder is not None:
        return holder
    lock(cursor, source)
    while True:
        cursor.execute(_TAKE, values)
        row = cursor.fetchone()
        if row is not None:
            return int(row[0])
        holder = find_holder(cursor, source)
        if holder is not None:  # else its lease has ended between the two statements
            return holder


def lock(cursor: Any, source: str) -> None:
    """Lock the source's row, so that no batch lands, and see the sessions as they are from now on.

    PostgreSQL shows a transaction the sessions of its first look: an owner that connected while this one waited
    would pass for gone.
    """
    cursor.execute("SELECT FROM ingestion_checkpoints WHERE source = %s FOR UPDATE", [source])
    cursor.execute("SELECT pg_stat_clear_snapshot()")


def find_holder(cursor: Any, source: str) -> Holder | None:
    """Who holds the source now: by the lease, and by whether the owner's session is still there."""
    cursor.execute(_FIND_HOLDER, {"source": source})
    row = cursor.fetchone()
    return Holder(*row) if row is not None else None


def name_owner_run(cursor: Any, claim: Claim) -> None:
    """Tie the claim just made to its run; in the same transaction as `take`."""
    cursor.execute(
        "UPDATE ingestion_checkpoints SET owner_run_id = %s WHERE source = %s AND epoch = %s",
        [claim.run_id, claim.source, claim.epoch],
    )


def end_frozen_owner(source: str, *, is_forced: bool = False) -> None:
    """End the session that keeps the row of an ended lease locked, which no timeout frees inside COPY.

    `is_forced`: though its lease lives; what it has in hand is rolled back, and it writes nothing more.
    """
    with connection.cursor() as cursor:
        cursor.execute(_END_FROZEN_OWNER, {"source": source, "is_forced": is_forced})


def choose_read(checkpoint: Checkpoint, fingerprint: str, *, is_full: bool) -> Read:
    """The open read if it is of the same content, else a new one. A plain read cut by a full one begins anew."""
    is_same = checkpoint.is_reading and checkpoint.read_fingerprint == fingerprint
    if is_same and (checkpoint.is_full_read or not is_full):
        return Read(
            number=checkpoint.read_number,
            fingerprint=fingerprint,
            is_full=checkpoint.is_full_read,
            is_begun=True,
            cursor=checkpoint.cursor,
            first_sequence=checkpoint.read_sequence,
            quarantined=checkpoint.read_quarantined,
            batch_number=checkpoint.batch_number,
            shape=Shape.from_json(checkpoint.read_shape),
        )
    return Read(
        number=checkpoint.read_number + 1,
        fingerprint=fingerprint,
        is_full=is_full,
        is_begun=False,
        cursor=None,
        first_sequence=checkpoint.sequence,
        quarantined=0,
        batch_number=checkpoint.batch_number,
    )


def advance(
    cursor: Any, claim: Claim, read: Read, *, batch_number: int, new_records: int, new_versions: int
) -> tuple[int, datetime] | None:
    """The compare-and-set with which each batch begins: to `read` from the batch before it, as one UPDATE.

    Gives the batch's sequence and time, or None: overtaken, lease ended, or the batch is in already.
    """
    reached = {
        "is_full": read.is_full,
        "read_number": read.number,
        "fingerprint": read.fingerprint,
        "read_sequence": read.first_sequence,
        "read_quarantined": read.quarantined,
        "read_shape": Json(read.shape.as_json()),
        "cursor": Json(read.cursor),
    }
    return _compare_and_set(cursor, _ADVANCE, claim, batch_number, new_records, new_versions, reached)


def advance_replay(
    cursor: Any, claim: Claim, *, batch_number: int, new_records: int, new_versions: int
) -> tuple[int, datetime] | None:
    """The same for a page of a replay, which leaves the last read and its cursor as they are."""
    return _compare_and_set(cursor, _ADVANCE_REPLAY, claim, batch_number, new_records, new_versions, {})


def _compare_and_set(
    cursor: Any,
    statement: str,
    claim: Claim,
    batch_number: int,
    new_records: int,
    new_versions: int,
    reached: Mapping[str, Any],
) -> tuple[int, datetime] | None:
    values = {
        "source": claim.source,
        "epoch": claim.epoch,
        "lease_seconds": claim.lease_seconds,
        "batch_number": batch_number,
        "written": 1 if new_versions else 0,
        "new_records": new_records,
        "new_versions": new_versions,
    }
    cursor.execute(statement, {**values, **reached})
    row = cursor.fetchone()
    return (int(row[0]), row[1]) if row is not None else None


def end_batch(cursor: Any, claim: Claim, *, open_quarantine_growth: int) -> None:
    """The last word of a batch's transaction: the count of the open quarantine, and a lease that counts from now.

    However long the batch took, its run is alive.
    """
    values = {
        "source": claim.source,
        "lease_seconds": claim.lease_seconds,
        "growth": open_quarantine_growth,
    }
    cursor.execute(
        f"UPDATE ingestion_checkpoints SET open_quarantine_count = open_quarantine_count + %(growth)s, {_NEW_LEASE}"
        " WHERE source = %(source)s",
        values,
    )


def shrink_quarantine(cursor: Any, source: str, count: int) -> None:
    """Count so many open refused records less; in the transaction that resolves them, behind the row's lock."""
    cursor.execute(
        "UPDATE ingestion_checkpoints SET open_quarantine_count = open_quarantine_count - %s WHERE source = %s",
        [count, source],
    )


def count_pruned(cursor: Any, source: str, *, raw: int = 0, new: int = 0) -> None:
    """Count raw records less, and new ones whose run goes; in that transaction, behind the row's lock."""
    cursor.execute(
        "UPDATE ingestion_checkpoints SET raw_count = raw_count - %s, pruned_new = pruned_new + %s WHERE source = %s",
        [raw, new, source],
    )


def has_landed(cursor: Any, claim: Claim, batch_number: int) -> bool:
    """After a refused `advance`: whether the batch is in already, its commit's answer having been lost."""
    cursor.execute(
        "SELECT FROM ingestion_checkpoints WHERE source = %s AND epoch = %s AND batch_number = %s",
        [claim.source, claim.epoch, batch_number + 1],
    )
    return cursor.fetchone() is not None


def raise_if_overtaken(cursor: Any, claim: Claim) -> None:
    """After a refused write: raise Overtaken if the run was closed from outside, and so its epoch is over."""
    cursor.execute("SELECT epoch FROM ingestion_checkpoints WHERE source = %s", [claim.source])
    (epoch,) = cursor.fetchone()
    if epoch != claim.epoch:
        raise describe_overtaking(claim)


def describe_overtaking(claim: Claim) -> Overtaken:
    """The error for a run whose epoch is over; who owns the source now does not matter to it."""
    return Overtaken(f"Run {claim.run_id} of {claim.source} was closed from outside; it writes nothing more.")


def describe_lost_lease(claim: Claim) -> LeaseLost:
    """The error for a write that was refused although nobody else has claimed the source."""
    return LeaseLost(
        f"The lease of run {claim.run_id} on {claim.source} has ended"
        f" (ETL_LEASE_SECONDS={claim.lease_seconds:g}): it stood still for too long."
    )


def revoke(cursor: Any, source: str) -> bool:
    """Take the source from an owner whose lease has ended or whose session is gone, for nobody; False if it is held."""
    lock(cursor, source)
    cursor.execute(_REVOKE, {"source": source})
    return bool(cursor.rowcount)


def revoke_from(cursor: Any, source: str, run_id: int) -> None:
    """Take the source from this run, for nobody, however healthy it is; nothing if it is not the owner."""
    cursor.execute(_REVOKE_FROM_RUN, {"source": source, "run_id": run_id})


def revoke_from_anyone(cursor: Any, source: str) -> None:
    """Take the source from whoever owns it, for nobody, however healthy that is; behind the row's lock."""
    cursor.execute(f"{_TAKE_FROM_OWNER} true", {"source": source})


def renew(cursor: Any, claim: Claim) -> bool:
    """Lengthen the lease, unless it has ended or a batch is just renewing it; whether the source is still ours."""
    cursor.execute(_RENEW, {"source": claim.source, "epoch": claim.epoch, "lease_seconds": claim.lease_seconds})
    cursor.execute(
        "SELECT FROM ingestion_checkpoints WHERE source = %s AND epoch = %s AND owner_run_id = %s",
        [claim.source, claim.epoch, claim.run_id],
    )
    return cursor.fetchone() is not None


def let_go(cursor: Any, claim: Claim) -> None:
    """End the lease now: the run has stopped bringing batches, and somebody else may take over."""
    cursor.execute(
        "UPDATE ingestion_checkpoints SET lease_expires_at = clock_timestamp() WHERE source = %s AND epoch = %s",
        [claim.source, claim.epoch],
    )


def release(cursor: Any, claim: Claim, *, needs_lease: bool) -> bool:
    """Give the source up at the end of the run; False if it is not ours any more, or the needed lease has ended."""
    values = {"source": claim.source, "epoch": claim.epoch, "run_id": claim.run_id, "needs_lease": needs_lease}
    cursor.execute(_RELEASE, values)
    return bool(cursor.rowcount)


def end_read(cursor: Any, claim: Claim, *, fingerprint: str, validators: Mapping[str, str]) -> None:
    """The read is through: remember what it read; in the transaction that closes the run."""
    values = {"fingerprint": fingerprint, "validators": Json(dict(validators))}
    cursor.execute(_END_READ, {"source": claim.source, "epoch": claim.epoch, **values})


def repair_counts() -> None:
    """Count anew what is kept; each source's row is locked first, so that no batch lands in between."""
    for source in Checkpoint.objects.values_list("source", flat=True):
        with transaction.atomic(durable=True), connection.cursor() as cursor:
            cursor.execute("SELECT FROM ingestion_checkpoints WHERE source = %s FOR UPDATE", [source])
            cursor.execute(_REPAIR_COUNTS, [source])
