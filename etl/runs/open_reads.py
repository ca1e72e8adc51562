"""What later runs must know about an open read of a source: whether there is one, and whether a run will finish it.

The read would treat the records that a replay lands as its own, so a replay waits for its end, and for no other reason.
"""

from dataclasses import dataclass
from datetime import timedelta

from django.db.models import DurationField, ExpressionWrapper, F

from etl.clock import NOW
from etl.exceptions import ReadOpen
from etl.models import Checkpoint, Run, RunEvent
from etl.vocabulary import OPEN_STATUSES, EventKind, Trigger

FIRST_WAIT_SECONDS = 30
MOST_WAIT_SECONDS = 600
"""A waiting replay looks again after these times at the latest; the end of a run that reads wakes it at once."""


@dataclass(frozen=True, slots=True)
class OpenRead:
    """A read that has started and not ended. `is_awaited`: a run that will continue it is queued or running."""

    source: str
    number: int
    is_awaited: bool

    def describe_wait(self) -> str:
        """Say that a replay waits for it."""
        return f"Read {self.number} of {self.source} is open: the replay waits until a run has finished it."

    def describe_obstacle(self) -> str:
        """Say why a replay can't wait for it, and what to do."""
        text = f"Read {self.number} of {self.source} was interrupted"
        if self.is_awaited:
            return (
                f"{text}, and a run is going to finish it. Replay after that, or with --queue, which waits by itself."
            )
        return f"{text}, and no run is queued to finish it. Run `manage.py ingest {self.source}`, then replay."


def find_open_read(source: str) -> OpenRead | None:
    """Return the source's open read, if there is one."""
    numbers = Checkpoint.objects.filter(source=source, is_reading=True).values_list("read_number", flat=True)
    number = numbers.first()
    if number is None:
        return None
    runs = Run.objects.filter(source=source, status__in=OPEN_STATUSES)
    return OpenRead(source, number, is_awaited=runs.exclude(trigger=Trigger.REPLAY).exists())


def find_idle_time(source: str) -> timedelta | None:
    """Return the time since the last run that read something of the source was alive; None without such a run.

    An open read is that run's: its batches have landed until then.
    """
    idle = ExpressionWrapper(NOW - F("heartbeat_at"), DurationField())
    runs = Run.objects.filter(source=source, finished_at__isnull=False, seen__gt=0).order_by("-finished_at")
    return runs.values_list(idle, flat=True).first()


def refuse_replay_while_open(run: Run) -> None:
    """Raise ReadOpen if a read of the claimed run's source is open. Each wait is longer than the one before."""
    opened = find_open_read(run.source)
    if opened is None:
        return
    if run.at_terminal or not opened.is_awaited:
        raise ReadOpen(opened.describe_obstacle())
    waits = RunEvent.objects.filter(run_id=run.pk, kind=EventKind.HANDED_OVER).count()
    raise ReadOpen(opened.describe_wait(), wait_seconds=min(FIRST_WAIT_SECONDS * 2**waits, MOST_WAIT_SECONDS))
