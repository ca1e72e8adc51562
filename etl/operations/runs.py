"""The operations on runs: to repeat or cancel one. To request a run, see runs/orders.py."""

import time
from dataclasses import replace

from etl.exceptions import NotFound, NotPossible
from etl.fence.locking import CheckpointLocked
from etl.models import Run
from etl.operations.quarantine import require_no_stuck_read
from etl.runs import interventions, orders
from etl.runs.options import Options
from etl.sources.registry import find_source
from etl.storage.transactions import retry_transient
from etl.vocabulary import Trigger


def run_again(run_id: int, *, by: str, user_id: int) -> Run:
    """Queue a run with the source and options of this one. A plain run that is queued already is returned instead.

    Raises NotFound or NotPossible.
    """
    run = find_run(run_id)
    if find_source(run.source) is None:
        raise NotFound(f"ETL_SOURCES has no source {run.source}.")
    options = Options.from_json(run.options)
    if run.trigger == Trigger.REPLAY:
        require_no_stuck_read(run.source)
        return orders.queue(run.source, trigger=Trigger.REPLAY, by=by, options=replace(options, user=user_id))
    return orders.queue(run.source, trigger=Trigger.ADMIN, by=by, options=options)


def cancel(run_id: int, *, by: str) -> Run:
    """Stop a run: a queued run is closed, a running one writes nothing from now on, and its source is free.

    It gets no successor. `by` names the requester, for the event log. Raises NotFound or NotPossible.
    """
    run = find_run(run_id)
    try:
        for attempt in retry_transient(time.sleep):
            with attempt:
                is_cancelled = interventions.cancel(run, by=by)
    except CheckpointLocked as error:
        raise NotPossible(f"Run {run_id} can't be cancelled just now: {error}.") from error
    run.refresh_from_db()
    if not is_cancelled:
        raise NotPossible(f"Run {run_id} is closed already ({'/'.join(filter(None, (run.status, run.reason)))}).")
    orders.send_waiting_of(run.source)
    return run


def find_run(run_id: int) -> Run:
    """Return the run with this id. Raises NotFound."""
    run = Run.objects.filter(pk=run_id).first()
    if run is None:
        raise NotFound(f"There is no run {run_id}.")
    return run
