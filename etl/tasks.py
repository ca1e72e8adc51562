"""The tasks by which Celery reaches the pipeline: doors with names and ids, nothing else."""

from celery import shared_task

from etl.operations import queue_due as queue_due_run
from etl.operations import sweep as sweep_everything
from etl.operations import work


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
