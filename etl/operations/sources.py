"""The operations on sources: to pause or resume their schedule, to judge what they sent again, to end a stuck run."""

import logging
import time

from etl.exceptions import NotFound, NotPossible
from etl.fence.locking import CheckpointLocked
from etl.models import Run
from etl.operations.quarantine import require_no_stuck_read
from etl.readers.source import Source
from etl.runs import interventions, orders, schedule
from etl.runs.options import Options
from etl.sources.registry import find_source
from etl.storage.refusal_selection import Selection
from etl.storage.transactions import retry_transient
from etl.vocabulary import Trigger

logger = logging.getLogger(__name__)


def release(source_name: str, *, by: str) -> Run | None:
    """Take the source from its current holder, even if that run is stuck, and close the run without a successor.

    Raising the epoch stops a surviving worker from writing. Returns the closed run, or None if no run was running.
    Raises NotPossible.
    """
    try:
        for attempt in retry_transient(time.sleep):
            with attempt:
                run = interventions.release(source_name, by=by)
    except CheckpointLocked as error:
        raise NotPossible(f"{source_name} can't be released just now: {error}.") from error
    logger.warning("%s was released by %s", source_name, by)
    orders.send_waiting_of(source_name)
    return run


def reread(source_name: str, *, by: str, user_id: int | None = None) -> Run:
    """Queue a run that judges the source's present records and open refused ones again, without asking the source.

    Raises NotFound or NotPossible.
    """
    require_rereadable(_find(source_name))
    require_no_stuck_read(source_name)
    return orders.queue(source_name, trigger=Trigger.REPLAY, by=by, options=choose_reread(source_name, user_id))


def choose_reread(source_name: str, user_id: int | None = None) -> Options:
    """Return the options of a run that judges again what the source has sent."""
    return Options(selection=Selection(source=source_name), user=user_id, from_raw=True)


def require_rereadable(source: Source) -> None:
    """Raise NotPossible if the source's class can't read stored records again."""
    if type(source).revive is Source.revive:
        raise NotPossible(f"{source.name} can't read stored records again: its class has no revive.")


def pause(source_name: str) -> None:
    """Stop the schedule from starting runs of the source; queued and running runs continue. Raises NotFound."""
    _switch_schedule(source_name, is_enabled=False)


def resume(source_name: str) -> None:
    """Let the schedule start runs of the source again, at once if one is overdue. Raises NotFound."""
    _switch_schedule(source_name, is_enabled=True)


def _switch_schedule(source_name: str, *, is_enabled: bool) -> None:
    schedule.switch(_find(source_name), is_enabled=is_enabled)


def _find(source_name: str) -> Source:
    source = find_source(source_name)
    if source is None:
        raise NotFound(f"ETL_SOURCES has no source {source_name}.")
    return source
