"""The tasks by which Celery reaches the pipeline: doors with names and ids, nothing else."""

from collections.abc import Mapping
from typing import Any

from celery import shared_task
from django.contrib.auth import get_user_model

from etl import quarantine
from etl.operations import queue_due as queue_due_run
from etl.operations import sweep as sweep_everything
from etl.operations import work
from etl.pruning import prune_in_task
from etl.selection import Selection


@shared_task(name="etl.tasks.run")
def run(run_id: int) -> None:
    """Execute a queued run; does nothing if its row says so."""
    work(run_id)


@shared_task(name="etl.tasks.queue_due")
def queue_due(source: str) -> None:
    """Queue a source's run for its latest due instant."""
    queue_due_run(source)


@shared_task(name="etl.tasks.sweep")
def sweep() -> None:
    """Put right what was missed."""
    sweep_everything()


@shared_task(name="etl.tasks.prune")
def prune() -> None:
    """Remove what is older than the settings ETL_PRUNE_* say; its entry in the schedule is disabled at first."""
    prune_in_task()


@shared_task(name=quarantine.DISCARD_TASK)
def discard(selection: Mapping[str, Any], by: str, user_id: int) -> None:
    """Discard the open refused records of the selection."""
    user = get_user_model().objects.filter(pk=user_id).first()
    quarantine.discard(Selection.from_json(selection), by=by, user=user)
