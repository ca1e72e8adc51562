"""Ownership of a source: to claim, renew, release and revoke it. Every time here is the database's."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from etl.exceptions import LeaseLost, Overtaken
from etl.models import Checkpoint

# A role that may not see another session's start sees NULL; the session counts as alive then.
_OWNER_IS_CONNECTED = """
    EXISTS (
        SELECT FROM pg_stat_activity AS session WHERE session.pid = ingestion_checkpoints.owner_pid
        AND coalesce(session.backend_start, owner_backend_start) = owner_backend_start
    )
"""
_IS_HELD = f"(lease_expires_at > clock_timestamp() AND {_OWNER_IS_CONNECTED})"
OWN_SESSION = """
    owner_pid = pg_backend_pid(),
    owner_backend_start = (SELECT backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid())
"""
NEW_LEASE = "lease_expires_at = clock_timestamp() + %(lease_seconds)s * interval '1 second'"

_TAKE = f"""
    UPDATE ingestion_checkpoints
    SET epoch = epoch + 1, owner = %(owner)s, owner_run_id = NULL, {OWN_SESSION}, {NEW_LEASE},
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
# Never waits for a row lock: a batch that holds it renews the lease itself. A renewal that waited for a frozen session
# would succeed when that session is ended, exactly when the lease must not be renewed.
_RENEW = f"""
    UPDATE ingestion_checkpoints SET {NEW_LEASE}
    WHERE source = (
        SELECT source FROM ingestion_checkpoints
        WHERE source = %(source)s AND epoch = %(epoch)s AND lease_expires_at > clock_timestamp()
        FOR UPDATE SKIP LOCKED
    )
"""
_RELEASE = """
    UPDATE ingestion_checkpoints
    SET owner = '', owner_run_id = NULL, owner_pid = NULL, owner_backend_start = NULL, lease_expires_at = NULL,
        updated_at = clock_timestamp(){more}
    WHERE source = %(source)s AND epoch = %(epoch)s AND owner_run_id = %(run_id)s
        AND (lease_expires_at > clock_timestamp() OR NOT %(needs_lease)s)
"""


@dataclass(frozen=True, slots=True)
class Claim:
    """A run's claim on its source. Each of the run's writes must prove it."""

    source: str
    run_id: int
    epoch: int
    lease_seconds: float


@dataclass(frozen=True, slots=True)
class Holder:
    """The run that holds a source, and when its lease ends unless it is renewed (UTC)."""

    run_id: int | None
    owner: str
    lease_expires_at: datetime


class SourceHeld(Exception):
    """Another run holds the source: its lease has not ended and its session is connected."""

    def __init__(self, holder: Holder) -> None:
        super().__init__(f"held by run {holder.run_id}")
        self.holder = holder


def make_checkpoint(source: str) -> None:
    """Insert the source's row if it is missing."""
    Checkpoint.objects.bulk_create([Checkpoint(source=source)], ignore_conflicts=True)


def find_holder(cursor: Any, source: str) -> Holder | None:
    """Return the run that holds the source now, with a lease that has not ended and a connected session."""
    cursor.execute(_FIND_HOLDER, {"source": source})
    row = cursor.fetchone()
    return Holder(*row) if row is not None else None


def refuse_if_held(cursor: Any, source: str) -> None:
    """Raise SourceHeld if a run holds the source."""
    holder = find_holder(cursor, source)
    if holder is not None:
        raise SourceHeld(holder)


def take(cursor: Any, *, source: str, owner: str, lease_seconds: float) -> int:
    """Claim the source. Returns its new epoch. The row must be locked. Raises SourceHeld."""
    while True:
        cursor.execute(_TAKE, {"source": source, "owner": owner, "lease_seconds": lease_seconds})
        row = cursor.fetchone()
        if row is not None:
            return int(row[0])
        refuse_if_held(cursor, source)  # otherwise its lease has ended between the two statements


def name_owner_run(cursor: Any, claim: Claim) -> None:
    """Tie the new claim to its run, in the transaction of `take`."""
    cursor.execute(
        "UPDATE ingestion_checkpoints SET owner_run_id = %s WHERE source = %s AND epoch = %s",
        [claim.run_id, claim.source, claim.epoch],
    )


def renew(cursor: Any, claim: Claim) -> bool:
    """Extend the lease, unless it has ended or a batch is renewing it. Returns whether the run owns the source."""
    cursor.execute(_RENEW, {"source": claim.source, "epoch": claim.epoch, "lease_seconds": claim.lease_seconds})
    cursor.execute(
        "SELECT FROM ingestion_checkpoints WHERE source = %s AND epoch = %s AND owner_run_id = %s",
        [claim.source, claim.epoch, claim.run_id],
    )
    return cursor.fetchone() is not None


def end_lease(cursor: Any, claim: Claim) -> None:
    """End the lease now: the run has stopped landing batches, and another run may take over."""
    cursor.execute(
        "UPDATE ingestion_checkpoints SET lease_expires_at = clock_timestamp() WHERE source = %s AND epoch = %s",
        [claim.source, claim.epoch],
    )


@dataclass(frozen=True, slots=True)
class Also:
    """Columns of the checkpoint that are set together with another change: `, name = expression` and its values."""

    columns: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)


NOTHING = Also()


def release(cursor: Any, claim: Claim, *, needs_lease: bool, also: Also = NOTHING) -> bool:
    """Release the source at the end of the run. False if the run no longer owns it, or a needed lease has ended."""
    values = {"source": claim.source, "epoch": claim.epoch, "run_id": claim.run_id, "needs_lease": needs_lease}
    cursor.execute(_RELEASE.format(more=also.columns), {**values, **also.values})
    return bool(cursor.rowcount)


def revoke(cursor: Any, source: str) -> bool:
    """Free the source if its owner's lease has ended or its session is gone; False if not. The row must be locked."""
    cursor.execute(_REVOKE, {"source": source})
    return bool(cursor.rowcount)


def revoke_from_run(cursor: Any, source: str, run_id: int) -> None:
    """Free the source from this run, even a healthy one, if the run owns it. The row must be locked."""
    cursor.execute(_REVOKE_FROM_RUN, {"source": source, "run_id": run_id})


def revoke_from_any_run(cursor: Any, source: str) -> None:
    """Free the source from the run that owns it, even a healthy one. The row must be locked."""
    cursor.execute(f"{_TAKE_FROM_OWNER} true", {"source": source})


def raise_if_overtaken(cursor: Any, claim: Claim) -> None:
    """After a refused write, raise Overtaken if the run was closed from outside, which ends its epoch."""
    cursor.execute("SELECT epoch FROM ingestion_checkpoints WHERE source = %s", [claim.source])
    (epoch,) = cursor.fetchone()
    if epoch != claim.epoch:
        raise describe_overtaking(claim)


def describe_overtaking(claim: Claim) -> Overtaken:
    """Return the error for a run whose epoch has ended."""
    return Overtaken(f"Run {claim.run_id} of {claim.source} was closed from outside; it writes nothing further.")


def describe_lost_lease(claim: Claim) -> LeaseLost:
    """Return the error for a write that was refused although no other run has claimed the source."""
    return LeaseLost(
        f"The lease of run {claim.run_id} on {claim.source} has ended"
        f" (ETL_LEASE_SECONDS={claim.lease_seconds:g}): the run was stalled for too long."
    )
