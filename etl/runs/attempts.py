"""Abandoned runs: closed from outside, and followed by a successor, up to three attempts."""

from typing import Any

from django.db.models import Q

from etl.clock import from_now
from etl.conf import conf
from etl.fence import claims
from etl.fence.locking import lock_checkpoint
from etl.models import Run
from etl.runs import orders
from etl.runs.ending import abandoned, write_ending
from etl.runs.events import describe_process
from etl.runs.options import Options
from etl.vocabulary import Reason, Status, Trigger

MAX_ATTEMPTS = 3
TERMINAL_KEY = "terminal:"
"""Begins the key of a run that a terminal did not find queued."""


def end_predecessor(cursor: Any, source: str, trigger: Trigger, options: Options) -> bool:
    """Close the run that a new claim found running, in the claim's transaction.

    Queues its successor if the new run does not resume it: a read does not resume a replay, nor a replay a read, and a
    read of a window only one of the same window.
    Returns whether it was a full read that the new run resumes, even if no batch of it has landed.
    """
    former = Run.objects.filter(source=source, status=Status.RUNNING).first()
    if former is None:
        return False
    has_other_window = Options.from_json(former.options).window != options.window
    if Trigger.REPLAY in (trigger, former.trigger) or has_other_window:
        _abandon(cursor, former, f"{describe_process()}, which had other work")
        return False
    text = "Its process had died or stalled; the next run resumed it."
    ending = abandoned(Reason.ABANDONED, text, by=f"{describe_process()}, which resumed it")
    write_ending(cursor, source, ending, former.pk)
    return Options.from_json(former.options).full


def abandon_stale(source: str) -> None:
    """Close the source's running run if its heartbeat has stopped and its lease has ended, and queue its successor.

    The same transaction raises the epoch. The third attempt is the last: reason `gave_up`.
    """
    if _find_stale(source) is None:
        return
    with lock_checkpoint(source) as cursor:
        stale = _find_stale(source)
        if stale is not None and claims.revoke(cursor, source):
            _abandon(cursor, stale, "the sweeper")


def _find_stale(source: str) -> Run | None:
    # A heartbeat in the future was written before the database's clock was set back.
    has_stopped = Q(heartbeat_at__lt=from_now(-conf.ETL_LEASE_SECONDS))
    has_stopped |= Q(heartbeat_at__gt=from_now(2 * conf.ETL_LEASE_SECONDS))
    return Run.objects.filter(has_stopped, source=source, status=Status.RUNNING).first()


def _abandon(cursor: Any, run: Run, by: str) -> None:
    """Close a running run whose epoch this transaction has ended, and queue its successor unless it gave up.

    A run that started in a terminal without being queued gets none: a person sees it end.
    """
    reason = Reason.GAVE_UP if run.attempt >= MAX_ATTEMPTS else Reason.ABANDONED
    ending = abandoned(reason, "Its process had died or stalled.", by=by)
    write_ending(cursor, run.source, ending, run.pk)
    if reason is Reason.ABANDONED and not run.key.startswith(TERMINAL_KEY):
        orders.queue(
            run.source,
            key=f"successor:{run.pk}",
            trigger=Trigger(run.trigger),
            by=f"the process that found run {run.pk} abandoned, as its successor",
            options=Options.from_json(run.options),
            attempt=run.attempt + 1,
        )
