"""What an operator may do. Commands, and later API and admin, are doors to these functions."""

import logging
import time
import traceback
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from billiard.exceptions import SoftTimeLimitExceeded
from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser
from django.db import Error, connection
from structlog.contextvars import bound_contextvars

from etl import orders, runs, schedule
from etl.checkpoints import Claim, Holder
from etl.exceptions import (
    HandedOver,
    Interrupted,
    LeaseLost,
    NotFound,
    NotPossible,
    Overtaken,
    RateLimited,
    ReadOpen,
    RunError,
)
from etl.interruption import Interruption
from etl.lease import Lease
from etl.locks import SourceLock
from etl.models import Run, SchemaChange
from etl.pipeline import Progress, run_source
from etl.readers.base import Source
from etl.records import COUNTERS, EventKind, Reason, Status, Trigger
from etl.replay import run_replay
from etl.runs import Started
from etl.selection import Selection
from etl.sources.registry import find_source, list_sources
from etl.storage.snapshots import acknowledge_change
from etl.storage.transactions import describe, retry_transient
from etl.watch import RunWatch, TaskWatch

logger = logging.getLogger(__name__)

READ_OPEN_SECONDS = 30
"""After so long a replay that waits for the end of a cut read looks again."""

REFUSED = "refused"
"""The status of an ingest that found its source held: no run, so not one of records.Status."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an ingest ended: its run's row, or for `refused` the run that holds the source. Times in seconds."""

    run: int | None
    source: str
    status: str
    reason: str
    counters: dict[str, int] = field(default_factory=lambda: dict.fromkeys(COUNTERS, 0))
    duration_s: float = 0.0
    message: str = ""

    def as_json(self) -> dict[str, object]:
        """The object that `ingest --json` prints."""
        described = {"run": self.run, "source": self.source, "status": self.status, "reason": self.reason}
        return described | self.counters | {"duration_s": self.duration_s}


def ingest(source: Source, *, full: bool, interruption: Interruption, report: Callable[[Progress], None]) -> Outcome:
    """Bring the source up to date here and now, in this process; every way of ending is an Outcome."""
    started = retry_transient(
        lambda: runs.start_at_terminal(source.name, full=full, and_then=_queue_successor), time.sleep
    )
    return _execute_here(source, started, interruption, report)


def replay_here(
    source: Source,
    selection: Selection,
    *,
    user: AbstractBaseUser | None = None,
    interruption: Interruption,
    report: Callable[[Progress], None],
) -> Outcome:
    """Replay the source's open refused records of the selection here and now, as `ingest` reads it."""
    options = selection.as_options(user.pk if user is not None else None)
    started = retry_transient(
        lambda: runs.start_at_terminal(source.name, replay=options, and_then=_queue_successor), time.sleep
    )
    return _execute_here(source, started, interruption, report)


def _execute_here(
    source: Source, started: Started | Holder, interruption: Interruption, report: Callable[[Progress], None]
) -> Outcome:
    if isinstance(started, Holder):
        return _describe_refusal(source, started)
    claim, error = started.claim, None
    try:
        with Lease(claim, SourceLock(source.name, claim.lease_seconds)) as lease, interruption.allow():
            _choose_work(started)(source, started, RunWatch(lease, interruption), report)
    except (Exception, Interrupted) as raised:  # noqa: BLE001  (a door: whatever ends a run closes it)
        error = raised
        _close_failed(claim, raised)
    orders.send_waiting_of(source.name)
    return _describe_run(claim, error)


def order(source: Source, *, full: bool) -> Outcome:
    """Queue a run for a worker; a plain one that waits already is the answer."""
    run = orders.queue(
        source.name,
        key=f"command:{uuid.uuid4()}",
        trigger=Trigger.COMMAND,
        by=f"a command on {runs.describe_owner()}",
        options={"full": True} if full else {},
    )
    return Outcome(run.pk, source.name, run.status, run.reason)


def work(run_id: int) -> None:
    """Execute a queued run in a worker: a message about it has come, and only the row says what to do.

    A run that is not waiting, or not due, or whose source another run holds, is left as it is.
    """
    run = Run.objects.filter(pk=run_id, status=Status.QUEUED).first()
    if run is not None:
        with bound_contextvars(run_id=run_id, source=run.source):  # in each line that is logged meanwhile
            _work(run)


def _work(run: Run) -> None:
    source = find_source(run.source)
    if source is None:
        runs.close_queued(run, Reason.UNKNOWN_SOURCE, f"{run.source} is not in ETL_SOURCES.")
        return
    lock = SourceLock(source.name, settings.ETL_LEASE_SECONDS)
    started: Started | Holder | None = None
    if lock.is_held():
        runs.note_refused(source.name)
    else:
        started = retry_transient(lambda: runs.start_queued(run, and_then=_queue_successor), time.sleep)
    if not isinstance(started, Started):
        # Its message is used up: the holder sends for it when it ends, or the sweeper within a minute.
        orders.forget_sending(run.pk)
    else:
        _execute(source, started, lock)
        outcome = _describe_run(started.claim)
        logger.info("%s: run %d is %s", source.name, run.pk, describe_outcome(outcome))
        orders.send_waiting_of(source.name)


def _execute(source: Source, started: Started, lock: SourceLock) -> None:
    claim = started.claim
    try:
        with Lease(claim, lock) as lease:
            _choose_work(started)(source, started, TaskWatch(lease, Interruption()), _report_nothing)
    except HandedOver as handed:
        _hand_over(claim, str(handed), handed.wait_seconds)
    except RateLimited as limited:
        _hand_over(claim, str(limited), limited.wait_seconds)
    except ReadOpen as error:
        _hand_over(claim, str(error), READ_OPEN_SECONDS)
    except Exception as error:  # noqa: BLE001  (a door: whatever ends a run closes it)
        _close_failed(claim, error)


def _choose_work(started: Started) -> Callable[[Source, Started, RunWatch, Callable[[Progress], None]], None]:
    return run_replay if started.run.trigger == Trigger.REPLAY else run_source


def _report_nothing(progress: Progress) -> None:
    """Nobody looks on; the run's row tells how far it has come."""


def _hand_over(claim: Claim, message: str, wait_seconds: float) -> None:
    try:
        retry_transient(lambda: runs.hand_over(claim, message, wait_seconds=wait_seconds), time.sleep)
    except Overtaken as error:
        runs.add_event(claim.run_id, EventKind.OVERTAKEN, str(error))


def cancel(run_id: int, *, by: str) -> Run:
    """Stop a run: a queued one is closed, a running one writes nothing from now on, and its source is free.

    Nobody succeeds it. `by` says who asks, for the audit log. Raises NotFound or NotPossible.
    """
    run = Run.objects.filter(pk=run_id).first()
    if run is None:
        raise NotFound(f"There is no run {run_id}.")
    try:
        is_cancelled = runs.cancel(run, by=by)
    except runs.CheckpointLocked as error:
        raise NotPossible(f"Run {run_id} can't be cancelled just now: {error}.") from error
    run.refresh_from_db()
    if not is_cancelled:
        raise NotPossible(f"Run {run_id} is closed already ({'/'.join(filter(None, (run.status, run.reason)))}).")
    orders.send_waiting_of(run.source)
    return run


def release(source_name: str, *, by: str) -> Run | None:
    """Take the source from whoever holds it, however stuck, and close its running run; nobody succeeds that one.

    The epoch is raised: a worker that still lives writes nothing more. Gives the run that was closed, if there was
    one. Raises NotPossible.
    """
    try:
        run = runs.release(source_name, by=by)
    except runs.CheckpointLocked as error:
        raise NotPossible(f"{source_name} can't be released just now: {error}.") from error
    logger.warning("%s was released by %s", source_name, by)
    orders.send_waiting_of(source_name)
    return run


def run_again(run_id: int, *, by: str, user: AbstractBaseUser) -> Run:
    """Queue a run as this one was: its source and options; a plain one that waits already is the answer.

    Raises NotFound or NotPossible.
    """
    run = Run.objects.filter(pk=run_id).first()
    if run is None:
        raise NotFound(f"There is no run {run_id}.")
    is_replay = run.trigger == Trigger.REPLAY
    options = {**run.options, "user": user.pk} if is_replay else run.options
    return order_by_hand(run.source, by=by, options=options, is_replay=is_replay)


def order_by_hand(source_name: str, *, by: str, options: Mapping[str, Any], is_replay: bool = False) -> Run:
    """Queue a run of this source for somebody at the admin. Raises NotFound."""
    if find_source(source_name) is None:
        raise NotFound(f"ETL_SOURCES has no source {source_name}.")
    trigger = Trigger.REPLAY if is_replay else Trigger.ADMIN
    return orders.queue(source_name, key=f"{trigger}:{uuid.uuid4()}", trigger=trigger, by=by, options=options)


def pause(source_name: str) -> None:
    """Let the schedule ask for the source no more; what is queued or running stays. Raises NotFound."""
    _switch_schedule(source_name, is_enabled=False)


def resume(source_name: str) -> None:
    """Let the schedule ask for the source again, at once if it is overdue. Raises NotFound."""
    _switch_schedule(source_name, is_enabled=True)


def _switch_schedule(source_name: str, *, is_enabled: bool) -> None:
    source = find_source(source_name)
    if source is None:
        raise NotFound(f"ETL_SOURCES has no source {source_name}.")
    schedule.switch(source, is_enabled=is_enabled)


def acknowledge(change_id: int, user: AbstractBaseUser) -> SchemaChange:
    """Note that this user knows of the change; the first acknowledgement stands. Raises NotFound."""
    change = acknowledge_change(change_id, user.pk)
    if change is None:
        raise NotFound(f"There is no schema change {change_id}.")
    return change


def sweep() -> None:
    """Put right what may have been missed: schedule entries, due runs, abandoned runs, messages.

    Each source by itself: one that fails does not keep the others from being swept. One sweep at a time: a
    second one leaves it to the first.
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
    for step, names in ((_make_entry, sources), (queue_due, sources), (_abandon_stale, runs.list_running())):
        for name in names:
            try:
                step(name)
            except Exception:
                logger.exception("The sweep failed at %s of %s", step.__name__, name)
    orders.send_waiting()


def queue_due(source_name: str) -> None:
    """Queue the source's run for its latest due instant, unless that has been asked for already."""
    source = find_source(source_name)
    due = schedule.find_due(source, runs.read_clock()) if source is not None else None
    if due is not None:
        orders.queue(due.source, key=due.key, trigger=Trigger.SCHEDULE, by="its schedule")


def _make_entry(source_name: str) -> None:
    source = find_source(source_name)
    if source is not None:
        schedule.make_missing_entry(source)


def _abandon_stale(source_name: str) -> None:
    runs.abandon_stale(source_name, and_then=_queue_successor)


def _queue_successor(run: Run) -> None:
    """In the transaction that abandons the run: it can't end between the two."""
    if not run.at_terminal and run.reason != Reason.GAVE_UP:
        orders.queue(
            run.source,
            key=f"successor:{run.pk}",
            trigger=Trigger(run.trigger),
            by=f"whoever found run {run.pk} abandoned, as its successor",
            options=run.options,
            attempt=run.attempt + 1,
        )


def describe_outcome(outcome: Outcome) -> str:
    """The outcome in one line."""
    name = f"{outcome.status} ({outcome.reason})" if outcome.reason else outcome.status
    counted = ", ".join(f"{number:,} {counter}" for counter, number in outcome.counters.items() if number)
    return f"{name}: {counted}" if counted else name


def _describe_refusal(source: Source, holder: Holder) -> Outcome:
    message = (
        f"{source.name} is held by run {holder.run_id} ({holder.owner});"
        f" its lease ends at {holder.lease_expires_at:%Y-%m-%d %H:%M:%S} UTC unless it is renewed."
    )
    return Outcome(holder.run_id, source.name, REFUSED, Reason.HELD, message=message)


def _close_failed(claim: Claim, error: BaseException) -> None:
    """Close the run with what ended it. If even that fails, the next claim closes it."""
    reason, text = _explain(error)
    if not isinstance(error, RunError):
        connection.close()  # what cut a transaction at an odd place may have left it in pieces
    try:
        if isinstance(error, Overtaken):
            runs.add_event(claim.run_id, EventKind.OVERTAKEN, text)
        else:
            retry_transient(lambda: runs.close(claim, Status.FAILED, reason, error=text), time.sleep)
    except (Overtaken, LeaseLost) as loss:
        runs.add_event(claim.run_id, EventKind.OVERTAKEN, str(loss))
    except Error as failure:
        logger.error("Run %d could not be closed (%s); the next run closes it.", claim.run_id, describe(failure))


def _explain(error: BaseException) -> tuple[Reason, str]:
    """Reason and text of what ended a run; texts of unknown errors are kept out, they may show a secret."""
    if isinstance(error, RunError):
        return error.reason, str(error)
    if isinstance(error, Interrupted):
        return Reason.INTERRUPTED, "Stopped by Ctrl-C or SIGTERM; the next run goes on from here."
    if isinstance(error, Error):
        return Reason.DATABASE_ERROR, describe(error)
    if isinstance(error, SoftTimeLimitExceeded):
        return Reason.TIMED_OUT, "The task's soft time limit was reached; the next run goes on from here."
    if isinstance(error, MemoryError):
        return Reason.OUT_OF_MEMORY, "Out of memory; a smaller ETL_BATCH_SIZE needs less."
    frame = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{type(error).__name__} in {frame.name} ({frame.filename.rpartition('/')[2]}:{frame.lineno})"
    logger.error("A defect: %s", where, exc_info=error)
    return Reason.INTERNAL_ERROR, f"{where}: a defect of the source's code or of Kasparro's; the log has more."


def _describe_run(claim: Claim, error: BaseException | None = None) -> Outcome:
    try:
        run = Run.objects.get(pk=claim.run_id)
    except Error:
        connection.close()
        reason, text = _explain(error) if error is not None else (Reason.DATABASE_ERROR, "The database is gone.")
        return Outcome(claim.run_id, claim.source, Status.FAILED, reason, message=text)
    counters = {name: getattr(run, name) for name in COUNTERS}
    return Outcome(run.pk, run.source, run.status, run.reason, counters, run.duration_s or 0.0, run.error)
