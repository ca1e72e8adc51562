"""The sweep: every minute it repairs, source by source, missed entries, runs and messages."""

import logging

from django.db import connection

from etl.clock import read_clock
from etl.models import Run
from etl.runs import orders, schedule
from etl.runs.ending import abandon_stale
from etl.sources.registry import find_source, list_sources
from etl.vocabulary import Status, Trigger

logger = logging.getLogger(__name__)


def sweep() -> None:
    """Create missing schedule entries, queue due runs, close abandoned runs and send unsent messages.

    Each source is swept separately, so that one failure does not stop the others. Only one sweep runs at a time; a
    second one returns at once.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(hashtext('kasparro sweep'))")
        (is_alone,) = cursor.fetchone()
        if not is_alone:
            return
        try:
            _sweep()
        finally:
            cursor.execute("SELECT pg_advisory_unlock(hashtext('kasparro sweep'))")


def _sweep() -> None:
    sources = [source.name for source in list_sources()]
    running = list(Run.objects.filter(status=Status.RUNNING).values_list("source", flat=True))
    for step, names in ((_make_entry, sources), (queue_due, sources), (abandon_stale, running)):
        for name in names:
            try:
                step(name)
            except Exception:
                logger.exception("The sweep failed at %s of %s", step.__name__, name)
    orders.send_waiting()


def queue_due(source_name: str) -> None:
    """Queue the source's run for its latest due instant, unless it has already been requested."""
    source = find_source(source_name)
    due = schedule.find_due(source, read_clock()) if source is not None else None
    if due is not None:
        orders.queue(due.source, key=due.key, trigger=Trigger.SCHEDULE, by="its schedule")


def _make_entry(source_name: str) -> None:
    source = find_source(source_name)
    if source is not None:
        schedule.make_missing_entry(source)
