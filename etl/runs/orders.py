"""Requests runs: the row is the order, the message about it is only a hint.

Two requests with the same key give the same run. A request for a plain run while one is queued gives the queued run.
"""

import logging
import uuid
from collections.abc import Sequence

from django.db import Error, OperationalError
from django.db.models import F, Q
from kombu.exceptions import OperationalError as BrokerError

from etl import messages
from etl.clock import NOW, from_now
from etl.conf import conf
from etl.database import connection, on_commit
from etl.models import Run, RunKey
from etl.runs.events import add_event
from etl.runs.options import PLAIN, Options
from etl.storage.transactions import bounded_transaction, describe, is_lock_timeout
from etl.vocabulary import EventKind, Status, Trigger

logger = logging.getLogger(__name__)

RUN_TASK = "etl.tasks.run"
MANY_SENDS = 10
SELDOM = 5
"""After that many messages the next ones wait this many times as long."""

LOCK_SECONDS = 3
"""How long a request waits for another one, and how long one whose process is frozen keeps others waiting."""

IS_DUE = Q(not_before=None) | Q(not_before__lte=NOW)
"""The condition that a queued run is due."""

_FIND_LOCK_HOLDER = """
    SELECT session.pid, session.state, extract(epoch FROM clock_timestamp() - session.xact_start)
    FROM unnest(%s::text[]) AS wanted (name) CROSS JOIN hashtextextended(wanted.name, 0) AS number
    JOIN pg_locks AS held ON held.locktype = 'advisory' AND held.granted AND held.objsubid = 1
        AND held.classid::bigint = (number >> 32) & 4294967295 AND held.objid::bigint = number & 4294967295
    JOIN pg_stat_activity AS session USING (pid)
"""


class RequestsLocked(OperationalError):
    """Another session keeps requests for a source's runs locked."""


def queue(source: str, *, trigger: Trigger, by: str, key: str = "", options: Options = PLAIN, attempt: int = 1) -> Run:
    """Return the run for this key: the one it gave earlier, the source's queued plain run, or a new one.

    Without a key, each call is a separate request. `by` names the requester, for the event log. Full reads and replays
    are never merged. The message is sent after the commit. Raises RequestsLocked.
    """
    key = key or f"{trigger}:{uuid.uuid4()}"
    locks = (f"kasparro key {key}", f"kasparro source {source}")  # in this order: two requests can't deadlock
    try:
        with bounded_transaction(lock_seconds=LOCK_SECONDS, idle_seconds=LOCK_SECONDS) as cursor:
            for lock in locks:
                cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [lock])
            run = find_answer(key)
            if run is None and options.is_plain:
                run = _merge(source, key, attempt)
            return run or _insert(source, key, trigger, by, options, attempt)
    except OperationalError as error:
        if not is_lock_timeout(error):
            raise
        raise RequestsLocked(_describe_lock(source, locks)) from None


def find_answer(key: str) -> Run | None:
    """Return the run that answered this key, or None if the key is new."""
    return Run.objects.filter(Q(key=key) | Q(further_keys__key=key)).first()


def _merge(source: str, key: str, attempt: int) -> Run | None:
    """Let the source's queued plain run answer this key too. Returns it, or None if there is none."""
    # Locked, so that it can't be started before this answer is committed.
    waiting = Run.objects.select_for_update().filter(source=source, status=Status.QUEUED, options={})
    run = waiting.order_by("pk").first()
    if run is not None:
        RunKey.objects.create(key=key, run=run)
        Run.objects.filter(pk=run.pk, attempt__lt=attempt).update(attempt=attempt)
    return run


def _insert(source: str, key: str, trigger: Trigger, by: str, options: Options, attempt: int) -> Run:
    columns = {"source": source, "key": key, "trigger": trigger, "options": options.as_json(), "attempt": attempt}
    run = Run.objects.create(**columns, status=Status.QUEUED)
    add_event(run.pk, EventKind.QUEUED, f"Queued by {by}.")
    on_commit(lambda: send(run.pk))
    return run


def _describe_lock(source: str, locks: Sequence[str]) -> str:
    """Describe the lock, and the session that holds it if one still does."""
    with connection.cursor() as cursor:
        cursor.execute(_FIND_LOCK_HOLDER, [list(locks)])
        row = cursor.fetchone()
    if row is None:
        return f"A run of {source} that waits is locked by another session: see pg_locks."
    pid, state, seconds = row
    return (
        f"Requests for runs of {source} are locked by session {pid} ({state}, its transaction lasts {seconds:.0f} s)."
    )


def send(run_id: int) -> bool:
    """Send the message about a queued run that is due; False if none was sent.

    It is sent again after ETL_RESEND_SECONDS, and after ten messages after five times as long, so that a lost message
    delays the run by no more than that. Without a broker nothing is lost: the sweeper sends the unsent messages.
    """
    unsent = Q(sent_at=None) | Q(sent_at__lt=from_now(-conf.ETL_RESEND_SECONDS), sends__lt=MANY_SENDS)
    unsent |= Q(sent_at__lt=from_now(-conf.ETL_RESEND_SECONDS * SELDOM))
    with bounded_transaction():
        waiting = Run.objects.filter(IS_DUE, unsent, pk=run_id, status=Status.QUEUED)
        if not waiting.update(sent_at=NOW, sends=F("sends") + 1):
            return False
    try:
        messages.send(RUN_TASK, run_id)
    except (BrokerError, OSError) as error:
        logger.warning(
            "The message about run %d could not be sent to the broker (%s); the sweep sends it later.", run_id, error
        )
        forget_sending(run_id)
        return False
    return True


def forget_sending(run_id: int) -> None:
    """Allow another message about the run to be sent at once, because the last one had no effect."""
    with bounded_transaction():
        Run.objects.filter(pk=run_id, status=Status.QUEUED).update(sent_at=None)


def list_waiting() -> list[int]:
    """Return the ids of the queued runs of all sources, oldest first."""
    return list(Run.objects.filter(status=Status.QUEUED).order_by("pk").values_list("pk", flat=True))


def _wake_replays(source: str) -> None:
    waiting = Run.objects.filter(source=source, status=Status.QUEUED, trigger=Trigger.REPLAY)
    with bounded_transaction():
        waiting.exclude(not_before=None).update(not_before=None)


def send_waiting_of(source: str, *, wakes_replays: bool = False) -> None:
    """Send the messages about the runs queued for this source, which has just been released. Never raises.

    `wakes_replays`: a run that reads has ended, and replays wait for nothing else.
    """
    try:
        waiting = list(Run.objects.filter(source=source, status=Status.QUEUED).order_by("pk"))
        if wakes_replays and any(run.trigger == Trigger.REPLAY and run.not_before for run in waiting):
            _wake_replays(source)
        for run in waiting:
            send(run.pk)
    except Error as error:
        logger.warning("The messages about the runs queued for %s were not sent: %s", source, describe(error))
