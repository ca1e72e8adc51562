"""Who watches a run while it reads: waits that end early when the run must, and its audit log."""

import logging
import time
from contextlib import AbstractContextManager

from django.conf import settings

from etl import pacing, runs, shutdown
from etl.checkpoints import Read
from etl.exceptions import HandedOver
from etl.interruption import Interruption
from etl.lease import Lease
from etl.records import EventKind

logger = logging.getLogger(__name__)

MAX_WAIT_SECONDS = 60
"""The longest a run in a terminal waits for its source before it gives up."""

LOOK_SECONDS = 0.2
"""How often a waiting task looks whether its worker is to stop."""


class RunWatch:
    """The `Watch` of readers/base.py for one run."""

    max_wait_seconds: float = MAX_WAIT_SECONDS

    def __init__(self, lease: Lease, interruption: Interruption) -> None:
        self.lease = lease
        self.interruption = interruption

    def wait(self, seconds: float) -> None:
        """Sleep; an interruption ends it at once, and so does the loss of the source (LeaseLost, Overtaken)."""
        loss = self.lease.wait(seconds)
        self.interruption.raise_if_come()
        if loss is not None:
            raise loss

    def shield(self) -> AbstractContextManager[None]:
        """What begins inside is not interrupted."""
        return self.interruption.shield()

    def note_batch(self) -> None:
        """A batch has landed; raises what ends the run or the task between two batches."""
        self.lease.note_batch()

    def find_pace(self, host: str, limit: str) -> float:
        """See pacing.py; a wait is told in the run's log."""
        seconds = pacing.find_wait(host, limit)
        if seconds:
            with self.shield():
                message = f"Waits {seconds:.1f} s for its turn at {host} ({limit})."
                runs.add_event(self.lease.claim.run_id, EventKind.WAIT, message)
        return seconds

    def note_retry(self, message: str) -> None:
        """Log a retry and keep it as an event of the run, by itself: it is told even if the run fails."""
        logger.warning("%s: %s", self.lease.claim.source, message)
        with self.shield():
            runs.add_event(self.lease.claim.run_id, EventKind.RETRY, message)

    def note_read(self, read: Read) -> None:
        """Tell that the run goes on with a read that was cut."""
        if read.is_begun and read.cursor is not None:
            message = f"Goes on with read {read.number} behind record {read.cursor['position']}."
            logger.info("%s: %s", self.lease.claim.source, message)
            with self.shield():
                runs.add_event(self.lease.claim.run_id, EventKind.RESUMED, message)


class TaskWatch(RunWatch):
    """The watch of a run in a worker: it hands over when its task's time is up or its worker is to stop."""

    def __init__(self, lease: Lease, interruption: Interruption) -> None:
        super().__init__(lease, interruption)
        self._ends_at = time.monotonic() + settings.ETL_TASK_SECONDS

    @property
    def max_wait_seconds(self) -> float:  # type: ignore[override]
        """What is left of the task's time."""
        return max(0.0, self._ends_at - time.monotonic())

    def wait(self, seconds: float) -> None:
        if seconds > self.max_wait_seconds:
            raise HandedOver(f"Waits {seconds:.0f} s, longer than the task's time.", seconds)
        ends_at = time.monotonic() + seconds
        while (left := ends_at - time.monotonic()) > 0:
            self._refuse_if_stopping()
            super().wait(min(left, LOOK_SECONDS))

    def note_batch(self) -> None:
        super().note_batch()
        self._refuse_if_stopping()
        if not self.max_wait_seconds:
            raise HandedOver(f"The task's time (ETL_TASK_SECONDS={settings.ETL_TASK_SECONDS:g}) is up.")

    def _refuse_if_stopping(self) -> None:
        if shutdown.has_begun():
            raise HandedOver("The worker stops.")
