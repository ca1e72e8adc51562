"""The sweep: every minute it repairs missed schedule entries, runs and messages, source by source."""

import logging
from collections.abc import Callable, Iterator, Sequence
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

Step = tuple[str, Callable[[], object]]

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


def _list_steps() -> Iterator[Step]:
    """Yield the steps of a sweep, each with a name for the log. A list is made when the steps before it are done."""
    yield "the schedule entry of the sweep", schedule.make_missing_sweep
    for name, list_steps in _LISTS:
        try:
            steps = [*list_steps()]
        except Exception:
            logger.exception("The sweep failed at listing %s", name)
        else:
            yield from steps


def _list_entries() -> Iterator[Step]:
    for source in list_sources():
        yield f"the schedule entry of {source.name}", partial(_make_entry, source.name)


def _list_due() -> Iterator[Step]:
    for source in list_sources():
        yield f"queueing {source.name}", partial(queue_due, source.name)


def _list_running() -> Iterator[Step]:
    for name in Run.objects.filter(status=Status.RUNNING).values_list("source", flat=True):
        yield f"the abandoned run of {name}", partial(abandon_stale, name)


def _list_messages() -> Iterator[Step]:
    for run_id in orders.list_waiting():
        yield f"the message about run {run_id}", partial(orders.send, run_id)


def _list_standings() -> Iterator[Step]:
    for source in _find_changed():
        yield f"the standing of {source.name}", partial(_note_standing, source)


def _list_alerts() -> Iterator[Step]:
    if alert_sending.has_waiting():
        yield "the alerts", alert_sending.request_sending


def _list_looks() -> Iterator[Step]:
    for source in arrivals.list_looks():
        yield f"the records of {source.name} that wait for rows", partial(arrivals.look, source)


_LISTS: Sequence[tuple[str, Callable[[], Iterator[Step]]]] = (
    ("schedule entries", _list_entries),
    ("due runs", _list_due),
    ("running runs", _list_running),
    ("messages to send", _list_messages),
    ("changed standings", _list_standings),
    ("alerts to send", _list_alerts),
    ("records that wait for rows", _list_looks),  # last: it may take longer than all others together
)


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
