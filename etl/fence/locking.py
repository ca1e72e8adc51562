"""Locks a source's checkpoint from outside its run, past an owner that is frozen.

PostgreSQL does not release a lock of a client that is frozen inside COPY, so its session has to be ended.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from django.db import DatabaseError, OperationalError

from etl.database import connection
from etl.fence.claims import make_checkpoint, refuse_if_held
from etl.storage.transactions import Preface, bounded_transaction, is_lock_timeout

LOCK_SECONDS = 0.25
ATTEMPTS = 20
PATIENT_ATTEMPTS = 120
"""Half a minute, to wait for the owner's batch if the source itself is not claimed."""

FORCING_ATTEMPTS = 12
"""Three seconds, in which a batch in progress may end before the owner's session is ended by force."""

IDLE_SECONDS = 1
"""A process that freezes while it holds the lock blocks others for at most this time."""

TERMINATE_SECONDS = 1

_LOCK = """
    WITH locked AS MATERIALIZED (SELECT FROM ingestion_checkpoints WHERE source = %s FOR UPDATE)
    SELECT count(*), pg_stat_clear_snapshot() FROM locked
"""
# Finds the session that holds the checkpoint's row: the owner's known session, or a session whose transaction has
# locked the row since before the lease ended (an owner that had to reconnect).
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


class CheckpointLocked(DatabaseError):
    """Another session keeps the source's checkpoint locked, and is not an owner whose lease has ended."""


@contextmanager
def lock_checkpoint(
    source: str,
    *,
    attempts: int = ATTEMPTS,
    forces_after: int | None = None,
    for_claim: bool = False,
    by_key: bool = True,
) -> Iterator[Any]:
    """Open a transaction in which no batch of the source lands, and yield its cursor.

    Ends the session of an owner that keeps the row locked although its lease has ended; after `forces_after` attempts,
    even the session of a healthy owner. Raises CheckpointLocked after the last attempt. A missing row is inserted.
    `for_claim` raises SourceHeld as soon as a healthy run holds the source. `by_key`: see `bounded_transaction`.
    """
    for attempt in range(attempts):
        try:
            cursor, opened = _open_locked(source, for_claim=for_claim, by_key=by_key)
        except OperationalError as error:
            if not is_lock_timeout(error):
                raise
            _end_frozen_owner(source, is_forced=forces_after is not None and attempt >= forces_after)
        else:
            break
    else:
        raise CheckpointLocked(f"the checkpoint of {source} stays locked by another session: see pg_locks")
    patience = Preface(f"SET LOCAL lock_timeout = '{round(attempts * LOCK_SECONDS)}s'")
    with opened, connection.execute_wrapper(patience):
        yield cursor


def _open_locked(source: str, *, for_claim: bool, by_key: bool) -> tuple[Any, ExitStack]:
    with ExitStack() as opened:
        cursor = opened.enter_context(
            bounded_transaction(by_key=by_key, lock_seconds=LOCK_SECONDS, idle_seconds=IDLE_SECONDS, durable=True)
        )
        if for_claim:
            make_checkpoint(source)
            refuse_if_held(cursor, source)
        while not _lock(cursor, source):
            # Without a row nothing would be locked: a first run could claim the source beside this transaction.
            make_checkpoint(source)
        return cursor, opened.pop_all()


def _lock(cursor: Any, source: str) -> bool:
    """Lock the row, and refresh the transaction's view of sessions. Returns False if there is no row.

    PostgreSQL keeps showing a transaction the sessions that it saw first: an owner that connected during the wait for
    the lock would seem to be gone.
    """
    cursor.execute(_LOCK, [source])
    return bool(cursor.fetchone()[0])


def _end_frozen_owner(source: str, *, is_forced: bool) -> None:
    """End the session that keeps the row locked, and roll back its batch. `is_forced`: even if its lease is alive."""
    with connection.cursor() as cursor:
        cursor.execute(_END_FROZEN_OWNER, {"source": source, "is_forced": is_forced})
