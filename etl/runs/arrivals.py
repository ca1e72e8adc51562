"""Finds waiting records whose rows exist now, and queues replays of them: they take the path of every replay.

Nothing is queued if none of the rows exists, or while a read of the source is open: its end looks again.
"""

import logging

from django.db import Error

from etl.fence import task_leases
from etl.models import Checkpoint, Run
from etl.readers.source import Source
from etl.runs import orders
from etl.runs.events import describe_process
from etl.runs.options import Options
from etl.sources.registry import list_sources
from etl.storage.refusal_selection import Selection
from etl.storage.transactions import describe
from etl.storage.waiting import find_arrived
from etl.vocabulary import OPEN_STATUSES, Trigger

logger = logging.getLogger(__name__)

MOST_ROWS = 1000
"""For how many rows one replay takes the records that wait for them; the end of the replay looks for more."""

SWEEP_SECONDS = 600
"""How often the sweep looks for rows that a team's own code has created."""

BY = "the arrival of rows to which its records refer"


def find(source: Source) -> Selection | None:
    """Return the source's waiting records whose rows exist now; None if there are none, or a read is open."""
    target = source.target
    if target is None or not _may_wait(source) or _is_reading(source):
        return None
    arrived = find_arrived(source.name, target, MOST_ROWS)
    return Selection(source=source.name, awaits=tuple(arrived)) if arrived else None


def _is_reading(source: Source) -> bool:
    return Checkpoint.objects.filter(source=source.name, is_reading=True).exists()


def queue(source: Source) -> Run | None:
    """Queue a replay of the source's waiting records whose rows exist now, unless one is queued or running."""
    selection = find(source)
    open_runs = Run.objects.filter(source=source.name, status__in=OPEN_STATUSES)
    if selection is None or open_runs.filter(options__selection__has_key="awaits").exists():
        return None
    return orders.queue(source.name, trigger=Trigger.REPLAY, by=BY, options=Options(selection=selection))


def queue_after(source: Source, run_id: int) -> None:
    """Queue what can land because this run has ended: records that waited for its rows. Never raises.

    A replay of waiting records looks for more of them. Where no source could wait, nothing is asked of the database.
    """
    children = _list_children(source)
    if not children and not _may_wait(source):
        return
    try:
        run = Run.objects.get(pk=run_id)
        for each in _choose_affected(source, run, children):
            queue(each)
    except Error as error:
        logger.warning("The records that wait for rows of %s were not looked for: %s", source.name, describe(error))


def _list_children(source: Source) -> list[Source]:
    """Return the sources whose records may wait for rows that this source writes."""
    if source.target is None:
        return []
    model = source.target.into.model
    return [each for each in list_sources() if _may_wait(each, model)]


def _may_wait(source: Source, model: type | None = None) -> bool:
    """Whether records of the source may wait for rows of this model, or of any."""
    parents = source.target.parents if source.target is not None else ()
    return any(each.missing == "wait" and model in (None, each.model) for each in parents)


def _choose_affected(source: Source, run: Run, children: list[Source]) -> list[Source]:
    affected = children if run.new + run.updated > 0 else []
    selection = Options.from_json(run.options).selection
    if selection is not None and selection.awaits and source.name not in {each.name for each in affected}:
        return [*affected, source]
    return affected


def list_looks() -> list[Source]:
    """Return the sources for which the sweep looks: those whose records may wait for rows."""
    return [each for each in list_sources() if _may_wait(each)]


def look(source: Source) -> None:
    """Queue a replay for this source, once in SWEEP_SECONDS: a team's own code may have created the rows.

    Each source has a lease of its own: after a slow look the next sweep goes on with the other sources.
    """
    name = f"{task_leases.ARRIVALS} {source.name}"
    if task_leases.take(name, owner=describe_process(), seconds=SWEEP_SECONDS):
        queue(source)
