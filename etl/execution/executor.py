"""Executes runs: at once in a terminal, or a queued run in a worker. However a run ends, it is closed."""

import logging
import math
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from django.db import Error
from structlog.contextvars import bound_contextvars

from etl.conf import conf
from etl.database import connection
from etl.exceptions import HandedOver, Interrupted, LeaseLost, Overtaken, RateLimited, ReadOpen, RunError
from etl.execution.failure_reasons import explain
from etl.execution.garbage_collection import relaxed_garbage_collection
from etl.execution.outcomes import Outcome, describe_lost, describe_refusal, describe_run
from etl.fence.claims import Claim, Holder
from etl.fence.redis_lock import SourceLock
from etl.file_pipeline import run_files
from etl.models import Run
from etl.pipeline import Progress, run_source
from etl.readers.source import Source
from etl.replay import run_replay
from etl.runs import arrivals, ending, orders
from etl.runs.ending import Ending, end_unstartable
from etl.runs.events import add_event
from etl.runs.options import PLAIN, Options
from etl.runs.starting import NotWaiting, Started, note_lock_held, start_at_terminal, start_queued
from etl.sources.registry import find_source, is_incomplete
from etl.storage.refusal_selection import Selection
from etl.storage.target_changes import require_target
from etl.storage.transactions import describe, is_silent, retry_transient
from etl.supervision.hand_over import TaskContext
from etl.supervision.lease import Lease
from etl.supervision.os_signals import Interruption
from etl.supervision.run_context import RunContext
from etl.vocabulary import EventKind, Reason, Status, Trigger

logger = logging.getLogger(__name__)

SIGNAL_SECONDS = 5
"""After Ctrl-C or SIGTERM a silent database is tried again for no longer."""


def execute_here(
    source: Source,
    options: Options = PLAIN,
    *,
    interruption: Interruption,
    report: Callable[[Progress], None],
) -> Outcome:
    """Run the source at once, in this process. Every way of ending gives an Outcome.

    Before a run that reads, records that waited for rows land if these exist now.
    """
    tried: Selection | None = None
    while options.selection is None and (arrived := _find_arrived(source)) not in (None, tried):
        tried = arrived
        outcome = _execute_here(source, Options(selection=arrived), interruption, _report_nothing)
        if outcome.reason == Reason.INTERRUPTED:
            return outcome
        if outcome.status not in (Status.SUCCESS, Status.PARTIAL):
            break
    return _execute_here(source, options, interruption, report)


def _find_arrived(source: Source) -> Selection | None:
    for attempt in retry_transient(time.sleep):
        with attempt:
            found = arrivals.find(source)
    return found


def _execute_here(
    source: Source, options: Options, interruption: Interruption, report: Callable[[Progress], None]
) -> Outcome:
    for attempt in retry_transient(time.sleep):
        with attempt:
            started = start_at_terminal(source.name, options)
    if isinstance(started, Holder):
        return describe_refusal(source.name, started)
    claim, error, ended = started.claim, None, None
    try:
        with Lease(claim, SourceLock(source.name, claim.lease_seconds)) as lease, interruption.allow():
            ended = _perform(source, started, RunContext(lease, interruption), report)
    except (Exception, Interrupted) as raised:  # noqa: BLE001  (boundary: any exception closes the run)
        error = raised
        if not _end(claim, _choose_failure(raised), raised):
            return describe_lost(claim, raised)
    orders.send_waiting_of(source.name, wakes_replays=options.selection is None)
    arrivals.queue_after(source, claim.run_id)
    return describe_run(claim, ended, error)


def execute_queued(run_id: int) -> None:
    """Execute a queued run in a worker. A message has arrived, but only the row says what to do.

    A run that is not queued, is not due, or whose source another run holds stays as it is.
    """
    run = Run.objects.filter(pk=run_id, status=Status.QUEUED).first()
    if run is not None:
        with bound_contextvars(run_id=run_id, source=run.source):  # for each line logged during the run
            _execute_queued(run)


def _execute_queued(run: Run) -> None:
    source = find_source(run.source)
    if source is None:
        _leave_or_end(run)
        return
    lock = SourceLock(source.name, conf.ETL_LEASE_SECONDS)
    if run.trigger != Trigger.REPLAY:
        _queue_arrived(source)
    started = _start(run, lock)
    if started is None:
        # The message is used up. The holder sends another one when it ends, or the sweeper does within a minute.
        orders.forget_sending(run.pk)
        return
    has_answered, ended = _execute(source, started, lock)
    if has_answered:
        outcome = describe_run(started.claim, ended)
        logger.info("%s: run %d is %s", source.name, run.pk, outcome, extra=outcome.as_log_fields())
        orders.send_waiting_of(source.name, wakes_replays=run.trigger != Trigger.REPLAY)
        arrivals.queue_after(source, run.pk)


def _queue_arrived(source: Source) -> None:
    """Queue a replay of the records that waited for rows which exist now. It takes its turn after this run."""
    try:
        arrivals.queue(source)
    except Error as error:
        logger.warning("The waiting records of %s could not be checked: %s", source.name, describe(error))


def _leave_or_end(run: Run) -> None:
    """End a run whose source is not listed; leave it in the queue while the entry that may give it can't be read."""
    if not is_incomplete():
        end_unstartable(run, Reason.UNKNOWN_SOURCE, f"{run.source} is not in ETL_SOURCES.")


def _start(run: Run, lock: SourceLock) -> Started | None:
    """Start the run. Returns None if it can't be started now."""
    if lock.is_held():
        note_lock_held(run.source)
        return None
    try:
        for attempt in retry_transient(time.sleep):
            with attempt:
                started = start_queued(run)
    except NotWaiting:
        return None
    return started if isinstance(started, Started) else None


def _execute(source: Source, started: Started, lock: SourceLock) -> tuple[bool, Run | None]:
    """Return whether the database has answered to the end, and the closed run's row if it is known."""
    try:
        with Lease(started.claim, lock) as lease:
            return True, _perform(source, started, TaskContext(lease, Interruption()), _report_nothing)
    except Exception as error:  # noqa: BLE001  (boundary: any exception closes the run)
        return _end(started.claim, _choose_hand_over(error) or _choose_failure(error), error), None


def _perform(source: Source, started: Started, context: RunContext, report: Callable[[Progress], None]) -> Run | None:
    if source.target is not None:
        context.retry(partial(require_target, source.target))
    read = run_files if source.has_pattern else run_source
    perform = run_replay if started.run.trigger == Trigger.REPLAY else read
    with relaxed_garbage_collection():
        return perform(source, started, context, report)


def _report_nothing(progress: Progress) -> None:
    """A worker shows no progress bar; the run's row has its progress."""


def _choose_hand_over(error: Exception) -> Ending | None:
    """Return the ending that puts a worker's run back into the queue, if the error calls for that."""
    if isinstance(error, HandedOver | RateLimited):
        return ending.handed_over(str(error), wait_seconds=error.wait_seconds)
    if isinstance(error, ReadOpen) and error.wait_seconds is not None:
        return ending.handed_over(str(error), wait_seconds=error.wait_seconds)
    return None


def _choose_failure(error: BaseException) -> Ending:
    return ending.failed(*explain(error))


def _end(claim: Claim, how: Ending, error: BaseException) -> bool:
    """End the run after the error. If even that fails, the next claim closes it; False if the database is silent.

    After a signal a silent database is not waited for: connecting may time out once.
    """
    if not isinstance(error, RunError | HandedOver):
        connection.close()  # it may be unusable if the error interrupted a transaction at an odd place
    patience = SIGNAL_SECONDS if isinstance(error, Interrupted) else math.inf
    try:
        if isinstance(error, Overtaken):
            raise error
        for attempt in retry_transient(time.sleep, silence_ends=time.monotonic() + patience):
            with attempt:
                ending.end(claim, how)
    except (Overtaken, LeaseLost) as loss:
        with suppress(Error):  # only a note: the run is closed by another one in any case
            add_event(claim.run_id, EventKind.OVERTAKEN, str(loss))
    except Error as failure:
        logger.error("Run %d could not be closed (%s); the next run closes it.", claim.run_id, describe(failure))
        return not is_silent(failure)
    return True
