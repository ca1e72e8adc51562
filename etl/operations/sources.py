"""What operators may do with sources: pause their schedule, resume it, take a source from a stuck run."""

import logging

from etl.exceptions import NotFound, NotPossible
from etl.fence.locking import CheckpointLocked
from etl.models import Run
from etl.runs import ending, orders, schedule
from etl.sources.registry import find_source

logger = logging.getLogger(__name__)


def release(source_name: str, *, by: str) -> Run | None:
    """Take the source from the run that holds it, however stuck, and close that run; it gets no successor.

    Its epoch is raised: a worker that is still alive writes nothing more. Returns the run that was closed, if there
    was one. Raises NotPossible.
    """
    try:
        run = ending.release(source_name, by=by)
    except CheckpointLocked as error:
        raise NotPossible(f"{source_name} can't be released just now: {error}.") from error
    logger.warning("%s was released by %s", source_name, by)
    orders.send_waiting_of(source_name)
    return run


def pause(source_name: str) -> None:
    """Stop the schedule from asking for the source; what is queued or running stays. Raises NotFound."""
    _switch_schedule(source_name, is_enabled=False)


def resume(source_name: str) -> None:
    """Let the schedule ask for the source again, at once if it is overdue. Raises NotFound."""
    _switch_schedule(source_name, is_enabled=True)


def _switch_schedule(source_name: str, *, is_enabled: bool) -> None:
    source = find_source(source_name)
    if source is None:
        raise NotFound(f"ETL_SOURCES has no source {source_name}.")
    schedule.switch(source, is_enabled=is_enabled)
