"""The tasks by which Celery reaches the pipeline: doors with names and ids, nothing else."""

from celery import shared_task

from etl.operations import queue_due as queue_due_run
from etl.operations import sweep as sweep_everything
from etl.operations import work
from etl.pruning import prune_in_task


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
