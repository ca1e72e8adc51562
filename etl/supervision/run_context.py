"""How a run reads: its waits end early when the run must, and its audit log gets what happens."""

import logging
import time
from contextlib import AbstractContextManager

from etl.conf import conf
from etl.exceptions import HandedOver
from etl.fence.reads import Read
from etl.http import rate_limits
from etl.runs.events import add_event
from etl.supervision import shutdown
from etl.supervision.lease import Lease
from etl.supervision.os_signals import Interruption
from etl.vocabulary import EventKind

logger = logging.getLogger(__name__)

MAX_WAIT_SECONDS = 60
"""The longest a run in a terminal waits for its source before it gives up."""

LOOK_SECONDS = 0.2
"""How often a waiting task checks whether its worker is to stop."""


class RunContext:
    """The `ReadContext` of a run: a wait ends early when the run must stop."""

    max_wait_seconds: float = MAX_WAIT_SECONDS

    def __init__(self, lease: Lease, interruption: Interruption) -> None:
        self.lease = lease
        self.interruption = interruption

    def wait(self, seconds: float) -> None:
        """Sleep; an interruption ends it at once, and so does the loss of the source (LeaseLost, Overtaken)."""
        loss = self.lease.wait(seconds)
        self.interruption.raise_if_received()
        if loss is not None:
            raise loss

    def shield(self) -> AbstractContextManager[None]:
        """What begins inside is not interrupted."""
        return self.interruption.shield()

    def note_batch(self) -> None:
        """A batch has landed; raises what ends the run or the task between two batches."""
        self.lease.note_batch()

    def find_pace(self, host: str, limit: str) -> float:
        """See http/rate_limits.py; a wait becomes an event of the run."""
        seconds = rate_limits.find_wait(host, limit)
        if seconds:
            self._add_event(EventKind.WAIT, f"Waits {seconds:.1f} s for its turn at {host} ({limit}).")
        return seconds

    def note_retry(self, message: str) -> None:
        """Log a retry and keep it as an event of the run, in a transaction of its own: it stays if the run fails."""
        logger.warning("%s: %s", self.lease.claim.source, message)
        self._add_event(EventKind.RETRY, message)

    def note_read(self, read: Read) -> None:
        """Log that the run resumes a read that was cut."""
        if read.is_begun and read.cursor is not None:
            message = f"Resumes read {read.number} after record {read.cursor['position']}."
            logger.info("%s: %s", self.lease.claim.source, message)
            self._add_event(EventKind.RESUMED, message)

    def _add_event(self, kind: EventKind, message: str) -> None:
        with self.shield():
            add_event(self.lease.claim.run_id, kind, message)


class TaskContext(RunContext):
    """The context of a run in a worker, which hands over when its task's time is up or its worker is to stop."""

    def __init__(self, lease: Lease, interruption: Interruption) -> None:
        super().__init__(lease, interruption)
        self._ends_at = time.monotonic() + conf.ETL_TASK_SECONDS

    @property
    def max_wait_seconds(self) -> float:  # type: ignore[override]
        """What is left of the task's time."""
        return max(0.0, self._ends_at - time.monotonic())

    def wait(self, seconds: float) -> None:
        if seconds > self.max_wait_seconds:
            raise HandedOver(f"Waits {seconds:.0f} s, longer than the task's time.", seconds)
        ends_at = time.monotonic() + seconds
        while (left := ends_at - time.monotonic()) > 0:
            self._hand_over_if_stopping()
            super().wait(min(left, LOOK_SECONDS))

    def note_batch(self) -> None:
        super().note_batch()
        self._hand_over_if_stopping()
        if not self.max_wait_seconds:
            raise HandedOver(f"The task's time (ETL_TASK_SECONDS={conf.ETL_TASK_SECONDS:g}) is up.")

    def _hand_over_if_stopping(self) -> None:
        if shutdown.has_begun():
            raise HandedOver("The worker stops.")
