"""Stand-ins for services that a test does not run. The type checker verifies them against the protocols."""

import time
from dataclasses import dataclass, field

from etl.read_context import ReadContext


@dataclass
class RecordingContext:
    """A `ReadContext` that records notes and waits. It sleeps at most `patience` seconds of a wait."""

    max_wait_seconds: float = 60
    seconds_left: float = float("inf")
    patience: float = 0
    notes: list[str] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)
    ends_with: BaseException | None = None
    pages: int = 0

    def wait(self, seconds: float) -> None:
        self.waits.append(seconds)
        if self.ends_with is not None:
            raise self.ends_with
        time.sleep(min(seconds, self.patience))

    def note_page(self) -> None:
        self.pages += 1

    def end_task_if_due(self) -> None:
        pass

    def find_pace(self, host: str, limit: str) -> float:
        return 0

    def note_retry(self, message: str) -> None:
        self.notes.append(message)


_: type[ReadContext] = RecordingContext
