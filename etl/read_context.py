"""What a read needs from the process that performs it. A run, a task and a preview each have one of their own."""

from typing import Protocol


class ReadContext(Protocol):
    """Waits that end early when the read must, the pace of requests, and a log of retries."""

    max_wait_seconds: float

    def wait(self, seconds: float) -> None:
        """Sleep; raises what ends the run (an interruption, a lost lease) as soon as it happens."""

    def find_pace(self, host: str, limit: str) -> float:
        """Seconds to wait before the next request to this host, by a rate limit such as `10/minute`; 0: go."""

    def note_retry(self, message: str) -> None:
        """Log a retry and keep it as an event of the run."""
