"""The sweep: every minute it repairs missed schedule entries, runs and messages, source by source."""

import logging
from collections.abc import Callable, Iterator
from functools import partial

from etl.clock import read_clock
from etl.fence import task_leases
from etl.models import AnnouncedStanding, Run
from etl.readers.source import Source
from etl.runs import alert_sending, alerts, arrivals, orders, schedule
from etl.runs.attempts import abandon_stale
from etl.runs.backoff import find_next_tries
from etl.runs.ending import take_turn
from etl.runs.events import describe_process
from etl.runs.standings import find_standings
from etl.sources.registry import find_source, list_sources
from etl.storage.transactions import bounded_transaction
from etl.vocabulary import Status, Trigger

logger = logging.getLogger(__name__)

LEASE_SECONDS = 60
"""The longest time for which a sweep with a frozen or dead process can block others."""


def sweep() -> None:
    """Create missing schedule entries, queue due runs, close abandoned runs, send unsent messages and alerts.

    Each source is swept separately, so that one failure does not stop the others. Only one sweep runs at a time: a
    second one returns at once while the first one's lease lives.
    """
    held = task_leases.take(task_leases.SWEEP, owner=describe_process(), seconds=LEASE_SECONDS)
    if held is None:
        return
    for name, step in _list_steps():
        try:
            step()
        except Exception:
            logger.exception("The sweep failed at %s", name)
        if not held.renew():
            logger.warning("The sweep took longer than its lease at %s: the next sweep does the rest.", name)
            return
    held.give_up()


def _list_steps() -> Iterator[tuple[str, Callable[[], object]]]:
    """Yield the steps of a sweep, each with a name for the log."""
    yield "the schedule entry of the sweep", schedule.make_missing_sweep
    sources = [source.name for source in list_sources()]
    for name in sources:
        yield f"the schedule entry of {name}", partial(_make_entry, name)
    for name in sources:
        yield f"queueing {name}", partial(queue_due, name)
    for name in Run.objects.filter(status=Status.RUNNING).values_list("source", flat=True):
        yield f"the abandoned run of {name}", partial(abandon_stale, name)
    for run_id in orders.list_waiting():
        yield f"the message about run {run_id}", partial(orders.send, run_id)
    for source in _find_changed():
        yield f"the standing of {source.name}", partial(_note_standing, source)
    if alert_sending.has_waiting():
        yield "the alerts", alert_sending.request_sending
    for source in arrivals.list_looks():  # last, because it may take longer than all others together
        yield f"the records of {source.name} that wait for rows", partial(arrivals.look, source)


def queue_due(source_name: str) -> None:
    """Queue the source's run for its latest due instant, unless it was requested already or the source backs off."""
    source = find_source(source_name)
    now = read_clock()
    due = schedule.find_due(source, now) if source is not None else None
    if source is None or due is None:
        return
    next_try = find_next_tries([source], {due.source: due}).get(due.source)
    if next_try is None or next_try <= now:
        orders.queue(due.source, key=due.key, trigger=Trigger.SCHEDULE, by="its schedule")


def _make_entry(source_name: str) -> None:
    source = find_source(source_name)
    if source is not None:
        schedule.make_missing_entry(source)
        schedule.note_entry(source)


def _find_changed() -> list[Source]:
    """Return the sources whose standing is not the announced one."""
    sources = list_sources()
    announced = AnnouncedStanding.objects.in_bulk([source.name for source in sources])
    found = find_standings([source.name for source in sources], sources)
    return [
        source
        for source, each in zip(sources, found, strict=True)
        if alerts.needs_note(each, announced.get(source.name))
    ]


def _note_standing(source: Source) -> None:
    with bounded_transaction(durable=True) as cursor:
        take_turn(cursor, source.name)
        alerts.note_standing(cursor, source)
