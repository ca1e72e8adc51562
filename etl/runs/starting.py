"""Starts a run: its row and the claim of its source, in one transaction."""

import uuid
from dataclasses import dataclass
from typing import Any

from django.db.models.functions import Coalesce

from etl.clock import NOW
from etl.conf import conf
from etl.fence import claims
from etl.fence.claims import Claim, Holder, SourceHeld
from etl.fence.locking import lock_checkpoint
from etl.http.since import Bounds
from etl.models import Checkpoint, Run
from etl.runs.attempts import TERMINAL_KEY, end_predecessor
from etl.runs.events import add_event, describe_process
from etl.runs.options import PLAIN, Options
from etl.runs.orders import IS_DUE
from etl.vocabulary import EventKind, Status, Trigger


@dataclass(frozen=True, slots=True)
class Started:
    """A run that owns its source, and the checkpoint as the claim found it."""

    claim: Claim
    run: Run
    checkpoint: Checkpoint
    is_full: bool
    window: Bounds | None = None


class NotWaiting(Exception):
    """The queued run no longer waits or is not due: it has been started, closed or postponed."""


def start_at_terminal(source: str, options: Options = PLAIN) -> Started | Holder:
    """Start a run in this process, or return the holder of the source.

    A plain run takes over the source's queued plain run, if there is one.
    """
    trigger = Trigger.REPLAY if options.selection is not None else Trigger.TERMINAL
    try:
        with lock_checkpoint(source, for_claim=True) as cursor:
            claimed = _claim(cursor, source, trigger, options)
            columns = claimed.describe_run(at_terminal=True)
            run_id = _take_queued(source, options, columns) or _insert(source, trigger, options, columns)
            return _begin(cursor, claimed, run_id, "in a terminal")
    except SourceHeld as held:
        return _note_refusal(held.holder)


def start_queued(run: Run) -> Started | Holder:
    """Start a queued run in a worker, or return the holder of its source. Raises NotWaiting."""
    try:
        with lock_checkpoint(run.source, for_claim=True) as cursor:
            claimed = _claim(cursor, run.source, Trigger(run.trigger), Options.from_json(run.options))
            waiting = Run.objects.filter(IS_DUE, pk=run.pk, status=Status.QUEUED)
            if not waiting.update(**claimed.describe_run(at_terminal=False)):
                raise NotWaiting
            return _begin(cursor, claimed, run.pk, "by a worker")
    except SourceHeld as held:
        return _note_refusal(held.holder)


def note_lock_held(source: str) -> None:
    """Log with the source's running run that another run was not started, because the Redis lock is held."""
    for run_id in Run.objects.filter(source=source, status=Status.RUNNING).values_list("pk", flat=True):
        add_event(run_id, EventKind.START_REFUSED, f"{describe_process()} found the lock held and did not start.")


@dataclass(frozen=True, slots=True)
class _Claimed:
    """The source is claimed; its run's row comes next. `resumes_full`: the predecessor was a full read."""

    source: str
    epoch: int
    checkpoint: Checkpoint
    resumes_full: bool

    def describe_run(self, *, at_terminal: bool) -> dict[str, Any]:
        """Return the columns of the run that begins."""
        return {
            "status": Status.RUNNING,
            "epoch": self.epoch,
            "cursor_before": self.checkpoint.cursor,
            "started_at": Coalesce("started_at", NOW),
            "heartbeat_at": NOW,
            "at_terminal": at_terminal,
        }


def _claim(cursor: Any, source: str, trigger: Trigger, options: Options) -> _Claimed:
    epoch = claims.take(cursor, source=source, owner=describe_process(), lease_seconds=conf.ETL_LEASE_SECONDS)
    resumes_full = end_predecessor(cursor, source, trigger, options)
    return _Claimed(source, epoch, Checkpoint.objects.get(source=source), resumes_full)


def _begin(cursor: Any, claimed: _Claimed, run_id: int, where: str) -> Started:
    claim = Claim(claimed.source, run_id, claimed.epoch, conf.ETL_LEASE_SECONDS)
    claims.name_owner_run(cursor, claim)
    add_event(run_id, EventKind.STARTED, f"Started {where} on {describe_process()}, epoch {claimed.epoch}.")
    run = Run.objects.get(pk=run_id)
    options = Options.from_json(run.options)
    return Started(claim, run, claimed.checkpoint, claimed.resumes_full or options.full, options.window)


def _note_refusal(holder: Holder) -> Holder:
    if holder.run_id is not None:
        message = f"{describe_process()} tried to start a run and was refused."
        add_event(holder.run_id, EventKind.START_REFUSED, message)
    return holder


def _insert(source: str, trigger: Trigger, options: Options, columns: dict[str, Any]) -> int:
    key = f"{TERMINAL_KEY}{uuid.uuid4()}"
    started = columns | {"started_at": NOW}
    return Run.objects.create(source=source, key=key, trigger=trigger, options=options.as_json(), **started).pk


def _take_queued(source: str, options: Options, columns: dict[str, Any]) -> int | None:
    """Start the source's queued plain run here. Returns its id, or None if there is no such run or it does not fit."""
    if not options.is_plain:
        return None
    queued = Run.objects.filter(source=source, status=Status.QUEUED, options={}).order_by("pk")
    run_id = queued.values_list("pk", flat=True).first()
    if run_id is None or not queued.filter(pk=run_id).update(**columns):
        return None
    return run_id
