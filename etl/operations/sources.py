"""The operations on sources: to pause or resume their schedule, and to take a source from a stuck run."""

import logging

from etl.exceptions import NotFound, NotPossible
from etl.fence.locking import CheckpointLocked
from etl.models import Run
from etl.runs import interventions, orders, schedule
from etl.sources.registry import find_source

logger = logging.getLogger(__name__)


def release(source_name: str, *, by: str) -> Run | None:
    """Take the source from its current holder, even if that run is stuck, and close the run without a successor.

    Raising the epoch stops a surviving worker from writing. Returns the closed run, or None if no run was running.
    Raises NotPossible.
    """
    try:
        run = interventions.release(source_name, by=by)
    except CheckpointLocked as error:
        raise NotPossible(f"{source_name} can't be released just now: {error}.") from error
    logger.warning("%s was released by %s", source_name, by)
    orders.send_waiting_of(source_name)
    return run


def pause(source_name: str) -> None:
    """Stop the schedule from starting runs of the source; queued and running runs continue. Raises NotFound."""
    _switch_schedule(source_name, is_enabled=False)


def resume(source_name: str) -> None:
    """Let the schedule start runs of the source again, at once if one is overdue. Raises NotFound."""
    _switch_schedule(source_name, is_enabled=True)


def _switch_schedule(source_name: str, *, is_enabled: bool) -> None:
    source = find_source(source_name)
    if source is None:
        raise NotFound(f"ETL_SOURCES has no source {source_name}.")
    schedule.switch(source, is_enabled=is_enabled)
