"""The context in which a run reads: its waits end early when the run must stop, and events go to its event log."""

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TypeVar

from etl.fence.reads import Read
from etl.http import rate_limits
from etl.runs.events import add_event
from etl.storage.transactions import retry_transient
from etl.supervision.lease import Lease
from etl.supervision.os_signals import Interruption
from etl.vocabulary import EventKind

logger = logging.getLogger(__name__)

Done = TypeVar("Done")

MAX_WAIT_SECONDS = 60
"""The longest time that a run in a terminal waits for its source before it fails."""


class RunContext:
    """The `ReadContext` of a run: a wait ends early when the run must stop."""

    max_wait_seconds: float = MAX_WAIT_SECONDS

    def __init__(self, lease: Lease, interruption: Interruption) -> None:
        self.lease = lease
        self.interruption = interruption
        self.noted_wait = 0.0

    @property
    def seconds_left(self) -> float:
        """The seconds until the run loses its source, unless a batch lands."""
        return self.lease.seconds_left

    def wait(self, seconds: float) -> None:
        """Sleep. An interruption or the loss of the source (LeaseLost, Overtaken) is raised at once."""
        self._raise_if_over(seconds)

    def raise_if_over(self) -> None:
        """Raise what a wait would raise now."""
        self._raise_if_over(0)

    def _raise_if_over(self, seconds: float) -> None:
        loss = self.lease.wait(seconds)
        self.interruption.raise_if_received()
        if loss is not None:
            raise loss

    def shield(self) -> AbstractContextManager[None]:
        """Let the block finish before an interruption is raised."""
        return self.interruption.shield()

    def retry(self, step: Callable[[], Done]) -> Done:
        """Return what a step with the database gives. An interruption waits for it; a transient error repeats it."""
        with self.shield():
            for attempt in retry_transient(self.wait):
                with attempt:
                    done = step()
        return done

    def note_batch(self) -> None:
        """Note that a batch has landed. Raises if the run or its task has to end between two batches."""
        self.lease.note_progress()

    def note_page(self) -> None:
        """Note that all pages so far have come: the next one has the whole batch deadline. Raises what a wait would."""
        self.lease.note_progress()
        self.raise_if_over()

    def end_task_if_due(self) -> None:
        """A run in a terminal is no task."""

    def find_pace(self, host: str, limit: str) -> float:
        """Return the wait that http/rate_limits.py finds.

        It is stored as an event of the run if it is twice as long as those before: a walk may wait for each request.
        """
        seconds = rate_limits.find_wait(host, limit)
        if seconds > 2 * self.noted_wait:
            self.noted_wait = seconds
            self._add_event(EventKind.WAIT, f"Waiting {seconds:.1f} s for the next request to {host} ({limit}).")
        return seconds

    def note_retry(self, message: str) -> None:
        """Log a retry, and store it as an event of the run in its own transaction, so that it survives a failure."""
        logger.warning("%s: %s", self.lease.claim.source, message)
        self._add_event(EventKind.RETRY, message)

    def note_read(self, read: Read) -> None:
        """Log that the run resumes an interrupted read."""
        if read.is_begun and read.cursor is not None:
            message = f"Resuming read {read.number} after record {read.cursor['position']}."
            logger.info("%s: %s", self.lease.claim.source, message)
            self._add_event(EventKind.RESUMED, message)

    def note_restart(self, message: str) -> None:
        """Log that the run does not resume an interrupted walk, and store it as an event of the run."""
        logger.warning("%s: %s", self.lease.claim.source, message)
        self._add_event(EventKind.RESTARTED, message)

    def note_removal(self, message: str) -> None:
        """Log what the read removes, or why it removes nothing, and store it as an event of the run."""
        logger.info("%s: %s", self.lease.claim.source, message)
        self._add_event(EventKind.REMOVED, message)

    def _add_event(self, kind: EventKind, message: str) -> None:
        with self.shield():
            add_event(self.lease.claim.run_id, kind, message)
