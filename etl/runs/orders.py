"""Requests runs: the row is the order, the message about it is only a hint.

Two requests with the same key give the same run. A request for a plain run while one is queued gives the queued run.
"""

import logging
import uuid

from celery import current_app
from django.db import Error, connection, transaction
from django.db.models import Q
from kombu.exceptions import OperationalError as BrokerError

from etl.clock import NOW, from_now
from etl.models import Run, RunKey
from etl.runs.events import add_event
from etl.runs.options import PLAIN, Options
from etl.storage.transactions import describe
from etl.vocabulary import EventKind, Status, Trigger

logger = logging.getLogger(__name__)

RUN_TASK = "etl.tasks.run"
RESEND_SECONDS = 300
IS_DUE = Q(not_before=None) | Q(not_before__lte=NOW)
"""The condition that a queued run is due."""


def queue(source: str, *, trigger: Trigger, by: str, key: str = "", options: Options = PLAIN, attempt: int = 1) -> Run:
    """Return the run for this key: the one it gave earlier, the source's queued plain run, or a new one.

    Without a key, each call is a separate request. `by` names the requester, for the audit log. Full reads and replays
    are never merged. The message is sent after the commit.
    """
    key = key or f"{trigger}:{uuid.uuid4()}"
    with transaction.atomic(), connection.cursor() as cursor:
        for lock in (f"key {key}", f"source {source}"):  # always in this order, so that two requests can't deadlock
            cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"kasparro {lock}"])
        run = _find_answer(key)
        if run is not None:
            return run
        run = _find_waiting(source) if options.is_plain else None
        if run is not None:
            RunKey.objects.create(key=key, run=run)
            Run.objects.filter(pk=run.pk, attempt__lt=attempt).update(attempt=attempt)
            return run
        run = Run.objects.create(
            source=source,
            key=key,
            trigger=trigger,
            status=Status.QUEUED,
            options=options.as_json(),
            attempt=attempt,
        )
        add_event(run.pk, EventKind.QUEUED, f"Queued by {by}.")
        transaction.on_commit(lambda: send(run.pk))
        return run


def _find_answer(key: str) -> Run | None:
    return Run.objects.filter(Q(key=key) | Q(further_keys__key=key)).first()


def _find_waiting(source: str) -> Run | None:
    # Locked, so that it can't be started before this answer is committed.
    waiting = Run.objects.select_for_update().filter(source=source, status=Status.QUEUED, options={})
    return waiting.order_by("pk").first()


def send(run_id: int) -> bool:
    """Send the message about a queued run that is due, at most every five minutes. False if none was sent.

    Without a broker nothing is lost: the sweeper sends the unsent messages.
    """
    unsent = Q(sent_at=None) | Q(sent_at__lt=from_now(-RESEND_SECONDS))
    if not Run.objects.filter(IS_DUE, unsent, pk=run_id, status=Status.QUEUED).update(sent_at=NOW):
        return False
    try:
        current_app.send_task(RUN_TASK, args=[run_id], retry=False)
    except (BrokerError, OSError) as error:
        logger.warning("The message about run %d could not be sent (%s); the sweeper will send it.", run_id, error)
        Run.objects.filter(pk=run_id).update(sent_at=None)
        return False
    return True


def forget_sending(run_id: int) -> None:
    """Allow another message about the run to be sent at once, because the last one had no effect."""
    Run.objects.filter(pk=run_id, status=Status.QUEUED).update(sent_at=None)


def send_waiting() -> int:
    """Send the messages about all queued runs that are due, unless sent recently. Returns their number."""
    return _send_all(Q())


def send_waiting_of(source: str) -> None:
    """Send the messages about the runs queued for this source, which has just been released. Never raises."""
    try:
        _send_all(Q(source=source))
    except Error as error:
        logger.warning("The messages about the runs queued for %s were not sent: %s", source, describe(error))


def _send_all(condition: Q) -> int:
    waiting = Run.objects.filter(condition, status=Status.QUEUED).order_by("pk").values_list("pk", flat=True)
    return sum(send(run_id) for run_id in waiting)
