"""Keeps a run's lease, heartbeat and lock alive while its batches keep coming, from a separate thread."""

import logging
import threading
import time
from types import TracebackType
from typing import Self

from django.core.management.base import CommandError
from django.db import Error

from etl.conf import conf
from etl.database import connection
from etl.exceptions import LeaseLost, RunError
from etl.fence import claims
from etl.fence.claims import Claim
from etl.fence.redis_lock import SourceLock
from etl.runs.heartbeat import beat
from etl.storage.transactions import bounded_transaction, describe

logger = logging.getLogger(__name__)

MOST_RENEWAL_SECONDS = 5
"""For any length of the lease, a waiting run that is closed from outside stops within this time."""

JOIN_SECONDS = 5
"""A renewal that hangs in the database must not keep the run from ending; its thread dies with the process."""


class Lease:
    """A context manager that renews the claim's lease after a third of its length, and at least every 5 s.

    If no batch lands and no page comes for ETL_BATCH_DEADLINE_SECONDS, it ends the lease, so that a reader that hangs
    loses its source. That ends the run's waits, and so does closing the run from outside.
    """

    def __init__(self, claim: Claim, lock: SourceLock) -> None:
        self.claim = claim
        self.lock = lock
        self._loss: RunError | None = None
        self._is_lost = threading.Event()
        self._stopping = threading.Event()
        self._last_progress = time.monotonic()
        self._thread = threading.Thread(target=self._keep, name=f"lease of {claim.source}", daemon=True)

    def __enter__(self) -> Self:
        self.lock.hold()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._thread.join(JOIN_SECONDS)
        self.lock.release()

    def note_progress(self) -> None:
        """Note that a batch has landed, or a page of a walk has come: the deadline starts again."""
        self._last_progress = time.monotonic()

    @property
    def seconds_left(self) -> float:
        """The seconds until the batch deadline; below 0 after it."""
        return self._last_progress + conf.ETL_BATCH_DEADLINE_SECONDS - time.monotonic()

    def wait(self, seconds: float) -> RunError | None:
        """Sleep while the run owns the source. If it has lost the source, return the error that ends the run."""
        self._is_lost.wait(seconds)
        return self._loss

    def _lose(self, loss: RunError) -> None:
        self._loss = loss
        self._is_lost.set()

    def _keep(self) -> None:
        try:
            while not self._stopping.wait(self._next_wait()):
                if self.seconds_left <= 0:
                    self._end_lease()
                    return
                if not self._renew():
                    return
        finally:
            connection.close()

    def _next_wait(self) -> float:
        return max(0.0, min(self.claim.lease_seconds / 3, MOST_RENEWAL_SECONDS, self.seconds_left))

    def _renew(self) -> bool:
        """Renew lease, heartbeat and lock. False if the run has lost the source: the lock is another run's then."""
        try:
            with bounded_transaction() as cursor:
                is_owner = claims.renew(cursor, self.claim)
                beat(cursor, self.claim)
            if not is_owner:
                self._lose(claims.describe_overtaking(self.claim))
                return False
        except (Error, CommandError) as error:  # CommandError: an embedded server that does not come back
            logger.warning("The lease of %s was not renewed this time: %s", self.claim.source, describe(error))
            connection.close()
        self.lock.hold()
        return True

    def _end_lease(self) -> None:
        self._lose(LeaseLost(f"{self.claim.source} landed no batch within ETL_BATCH_DEADLINE_SECONDS."))
        logger.warning(
            "%s landed no batch for %g s, so its lease ends now.", self.claim.source, conf.ETL_BATCH_DEADLINE_SECONDS
        )
        try:
            with bounded_transaction() as cursor:
                claims.end_lease(cursor, self.claim)
        except Error as error:
            logger.warning("The lease can't be ended now, but will expire: %s", describe(error))
