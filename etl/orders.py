"""Asking for a run: the row is the order, the message about it only a hint.

Asking twice with the same key gives the same run; asking for a plain run while one waits gives that one.
"""

import logging
from collections.abc import Mapping
from typing import Any

from celery import current_app
from django.db import Error, connection, transaction
from django.db.models import Func, Q
from kombu.exceptions import OperationalError as BrokerError

from etl.models import Run, RunEvent, RunKey
from etl.records import EventKind, Status, Trigger
from etl.storage.transactions import describe

logger = logging.getLogger(__name__)

RUN_TASK = "etl.tasks.run"
RESEND_MINUTES = 5

_NOW = Func(function="clock_timestamp")


def queue(
    source: str,
    *,
    key: str,
    trigger: Trigger,
    by: str,
    options: Mapping[str, Any] | None = None,
    attempt: int = 1,
) -> Run:
    """The run that answers this key: an earlier answer, the source's waiting plain run, or a new one.

    `by` says who asks, for the audit log. Full reads and replays (`options`) are orders of their own. The
    message goes out after the commit.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        for lock in (f"key {key}", f"source {source}"):  # always in this order, so that askers can't deadlock
            cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"kasparro {lock}"])
        run = _find_answer(key)
        if run is not None:
            return run
        run = None if options else _find_waiting(source)
        if run is not None:
            RunKey.objects.create(key=key, run=run)
            Run.objects.filter(pk=run.pk, attempt__lt=attempt).update(attempt=attempt)
            return run
        run = Run.objects.create(
            source=source, key=key, trigger=trigger, status=Status.QUEUED, options=dict(options or {}), attempt=attempt
        )
        RunEvent.objects.create(run=run, kind=EventKind.QUEUED, message=f"Queued by {by}.")
        transaction.on_commit(lambda: send(run.pk))
        return run


def _find_answer(key: str) -> Run | None:
    return Run.objects.filter(Q(key=key) | Q(further_keys__key=key)).first()


def _find_waiting(source: str) -> Run | None:
    # Locked: it can't be started, and so stop waiting, before this answer stands.
    waiting = Run.objects.select_for_update().filter(source=source, status=Status.QUEUED, options={})
    return waiting.order_by("pk").first()


def send(run_id: int) -> bool:
    """Send the message about a queued run that is due, at most every five minutes; False if there is no need.

    Without a broker nothing is lost: the sweeper sends what has not been sent.
    """
    due = Q(not_before=None) | Q(not_before__lte=_NOW)
    unsent = Q(sent_at=None) | Q(sent_at__lt=_ago(RESEND_MINUTES))
    if not Run.objects.filter(due, unsent, pk=run_id, status=Status.QUEUED).update(sent_at=_NOW):
        return False
    try:
        current_app.send_task(RUN_TASK, args=[run_id], retry=False)
    except (BrokerError, OSError) as error:
        logger.warning("The message about run %d could not be sent (%s): the sweeper will.", run_id, error)
        Run.objects.filter(pk=run_id).update(sent_at=None)
        return False
    return True


def forget_sending(run_id: int) -> None:
    """The message about a run has come to nothing: another may be sent at once."""
    Run.objects.filter(pk=run_id, status=Status.QUEUED).update(sent_at=None)


def send_waiting() -> int:
    """Send the messages of all queued runs that are due and have not been sent lately; how many."""
    waiting = Run.objects.filter(status=Status.QUEUED).order_by("pk").values_list("pk", flat=True)
    return sum(send(run_id) for run_id in waiting)


def send_waiting_of(source: str) -> None:
    """Send for what waits for this source, which has just been given up; never raises."""
    try:
        for run_id in (
            Run.objects.filter(source=source, status=Status.QUEUED).order_by("pk").values_list("pk", flat=True)
        ):
            send(run_id)
    except Error as error:
        logger.warning("What waits for %s was not sent for: %s", source, describe(error))


def _ago(minutes: int) -> Func:
    return Func(function="clock_timestamp", template=f"(%(function)s() - interval '{minutes} minutes')")
