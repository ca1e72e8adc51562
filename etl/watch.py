"""Who watches a run while it reads: waits that end early when the run must, and its audit log."""

import logging
from contextlib import AbstractContextManager

from etl import runs
from etl.checkpoints import Read
from etl.exceptions import LeaseLost
from etl.interruption import Interruption
from etl.lease import Lease
from etl.records import EventKind

logger = logging.getLogger(__name__)

MAX_WAIT_SECONDS = 60
"""The longest a run in a terminal waits for its source before it gives up."""


class RunWatch:
    """The `Watch` of readers/base.py for one run."""

    max_wait_seconds: float = MAX_WAIT_SECONDS

    def __init__(self, lease: Lease, interruption: Interruption) -> None:
        self.lease = lease
        self.interruption = interruption

    def wait(self, seconds: float) -> None:
        """Sleep; an interruption ends it at once, and so does the lease being let go (LeaseLost)."""
        if self.lease.is_let_go.wait(seconds):
            raise LeaseLost(f"{self.lease.claim.source} waited beyond ETL_BATCH_DEADLINE_SECONDS.")

    def shield(self) -> AbstractContextManager[None]:
        """What begins inside is not interrupted."""
        return self.interruption.shield()

    def note_batch(self) -> None:
        """A batch has landed."""
        self.lease.note_batch()

    def note_retry(self, message: str) -> None:
        """Log a retry and keep it as an event of the run, by itself: it is told even if the run fails."""
        logger.warning("%s: %s", self.lease.claim.source, message)
        runs.add_event(self.lease.claim.run_id, EventKind.RETRY, message)

    def note_read(self, read: Read) -> None:
        """Tell that the run goes on with a read that was cut."""
        if read.is_begun and read.cursor is not None:
            message = f"Goes on with read {read.number} behind record {read.cursor['position']}."
            logger.info("%s: %s", self.lease.claim.source, message)
            runs.add_event(self.lease.claim.run_id, EventKind.RESUMED, message)
