"""The services that a read needs from its process. A run, a task and a preview each provide their own."""

from typing import Protocol


class ReadContext(Protocol):
    """Waits that end early when the read has to end, the pace of requests, and a log of retries."""

    max_wait_seconds: float

    @property
    def seconds_left(self) -> float:
        """The seconds until the run loses its source, unless a batch lands (ETL_BATCH_DEADLINE_SECONDS)."""

    def wait(self, seconds: float) -> None:
        """Sleep. If something ends the run (an interruption, a lost lease), raise it at once."""

    def note_page(self) -> None:
        """Note that all pages up to the next one have come: the time that is left starts again.

        If something ends the run, raise it.
        """

    def end_task_if_due(self) -> None:
        """Raise HandedOver if another task is to continue the run. Call it when there are records to land."""

    def find_pace(self, host: str, limit: str) -> float:
        """Return the seconds to wait before the next request to this host, by a rate limit such as `10/minute`."""

    def note_retry(self, message: str) -> None:
        """Log a retry, and store it as an event of the run if there is a run."""
