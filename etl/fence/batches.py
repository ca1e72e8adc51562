"""Fences a batch: its first statement compares and sets the checkpoint, its last updates the counts."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from etl.fence.claims import NEW_LEASE, OWN_SESSION, Claim, describe_lost_lease, raise_if_overtaken
from etl.fence.reads import Read

_NEXT_BATCH = f"SET batch_number = batch_number + 1, {OWN_SESSION}, {NEW_LEASE}, updated_at = clock_timestamp()"
_ONLY_AS_OWNER = """
    WHERE source = %(source)s AND epoch = %(epoch)s AND batch_number = %(batch_number)s
        AND lease_expires_at > clock_timestamp()
    RETURNING sequence + 1, clock_timestamp()
"""
_PASS = f"""
    UPDATE ingestion_checkpoints {_NEXT_BATCH},
        is_reading = true, is_full_read = %(is_full)s, read_number = %(read_number)s,
        read_fingerprint = %(fingerprint)s, read_sequence = %(read_sequence)s, cursor = %(cursor)s,
        read_begun_at = CASE WHEN %(begins)s THEN clock_timestamp() ELSE read_begun_at END
    {_ONLY_AS_OWNER}
"""
_PASS_REPLAY = f"UPDATE ingestion_checkpoints {_NEXT_BATCH} {_ONLY_AS_OWNER}"
_COUNT = f"""
    UPDATE ingestion_checkpoints
    SET sequence = sequence + %(sequences)s,
        record_count = record_count + %(records)s, removed_count = removed_count + %(removed)s,
        raw_count = raw_count + %(versions)s, open_quarantine_count = open_quarantine_count + %(refused)s, {NEW_LEASE}
        {{more}}
    WHERE source = %(source)s
"""
_COUNT_READ = _COUNT.format(
    more=", read_seen = %(read_seen)s, read_quarantined = %(read_quarantined)s, read_waiting = %(read_waiting)s,"
    " read_met = %(read_met)s,"
    " read_shape = %(read_shape)s"
)
_COUNT_REPLAY = _COUNT.format(more="")


@dataclass(frozen=True, slots=True)
class Passed:
    """The batch has passed the fence: the sequence for its rows, and the database's time in its transaction."""

    sequence: int
    now: datetime


@dataclass(frozen=True, slots=True)
class Growth:
    """How many rows a batch has added: present records, raw rows, open refused rows and removed records.

    A number is negative if there are fewer of them now. `writes`: the batch has added or changed a unified row, so its
    sequence is used up.
    """

    records: int
    versions: int
    refused: int
    writes: bool
    removed: int = 0


def pass_fence(cursor: Any, claim: Claim, read: Read, following: Read) -> Passed | None:
    """Begin a batch: compare the checkpoint with the read's batch number, and set it to the state after the batch.

    Returns None if the run was overtaken, its lease has ended, or the batch has already landed.
    """
    reached = {
        "is_full": following.is_full,
        "read_number": following.number,
        "fingerprint": following.fingerprint,
        "read_sequence": following.first_sequence,
        "cursor": json.dumps(following.cursor),
        "begins": not read.is_begun,
    }
    return _compare_and_set(cursor, _PASS, claim, read.batch_number, reached)


def pass_fence_of_replay(cursor: Any, claim: Claim, *, batch_number: int) -> Passed | None:
    """Begin a page of a replay, which does not change the last read and its cursor."""
    return _compare_and_set(cursor, _PASS_REPLAY, claim, batch_number, {})


def _compare_and_set(
    cursor: Any, statement: str, claim: Claim, batch_number: int, reached: Mapping[str, Any]
) -> Passed | None:
    own = {"source": claim.source, "epoch": claim.epoch, "lease_seconds": claim.lease_seconds}
    cursor.execute(statement, {**own, "batch_number": batch_number, **reached})
    row = cursor.fetchone()
    return Passed(int(row[0]), row[1]) if row is not None else None


def require_landed(cursor: Any, claim: Claim, batch_number: int) -> None:
    """After a failed compare-and-set, check that the batch has landed, so that only its commit's response was lost.

    Raises Overtaken or LeaseLost if it has not.
    """
    cursor.execute(
        "SELECT FROM ingestion_checkpoints WHERE source = %s AND epoch = %s AND batch_number = %s",
        [claim.source, claim.epoch, batch_number + 1],
    )
    if cursor.fetchone() is None:
        raise_if_overtaken(cursor, claim)
        raise describe_lost_lease(claim)


def count_batch(cursor: Any, claim: Claim, growth: Growth, following: Read) -> None:
    """Count what a batch has added, as its last statement. The lease starts again now, after the batch's work."""
    read = {
        "read_seen": following.seen,
        "read_quarantined": following.quarantined,
        "read_waiting": following.waiting,
        "read_met": following.met,
        "read_shape": json.dumps(following.shape.as_json()),
    }
    cursor.execute(_COUNT_READ, {**_describe(claim, growth), **read})


def count_removal(cursor: Any, claim: Claim, count: int, following: Read) -> None:
    """Count a batch of removed records, as its last statement."""
    growth = Growth(records=-count, versions=0, refused=0, writes=True, removed=count)
    count_batch(cursor, claim, growth, following)


def count_page(cursor: Any, claim: Claim, growth: Growth) -> None:
    """Count what a page of a replay has added, as its last statement."""
    cursor.execute(_COUNT_REPLAY, _describe(claim, growth))


def count_settled(cursor: Any, claim: Claim, opened: int) -> None:
    """Count how many more refused records are open after a page of a settlement, as its last statement."""
    cursor.execute(_COUNT_REPLAY, _describe(claim, Growth(records=0, versions=0, refused=opened, writes=False)))


def _describe(claim: Claim, growth: Growth) -> dict[str, Any]:
    return {
        "source": claim.source,
        "lease_seconds": claim.lease_seconds,
        "sequences": 1 if growth.writes else 0,
        "records": growth.records,
        "versions": growth.versions,
        "refused": growth.refused,
        "removed": growth.removed,
    }
