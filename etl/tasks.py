"""The Celery tasks: names and arguments, nothing else."""

from collections.abc import Mapping
from typing import Any

from celery import shared_task

from etl.execution import sweep as sweeping
from etl.execution.executor import execute_queued
from etl.operations import quarantine
from etl.pruning import prune_in_task
from etl.runs import alert_sending
from etl.storage.refusal_selection import Selection


@shared_task(name="etl.tasks.run")
def run(run_id: int) -> None:
    """Execute a queued run; does nothing if its row says so."""
    execute_queued(run_id)


@shared_task(name="etl.tasks.queue_due")
def queue_due(source: str) -> None:
    """Queue a source's run for its latest due instant."""
    sweeping.queue_due(source)


@shared_task(name="etl.tasks.sweep")
def sweep() -> None:
    """Repair what was missed: schedule entries, due runs, abandoned runs and messages."""
    sweeping.sweep()


@shared_task(name=alert_sending.SEND_TASK)
def send_alerts() -> None:
    """Send the alerts that wait."""
    alert_sending.send_waiting()


@shared_task(name="etl.tasks.prune")
def prune() -> None:
    """Remove rows older than the settings ETL_PRUNE_* say. Its entry in the schedule is disabled at first."""
    prune_in_task()


@shared_task(name=quarantine.DISCARD_TASK)
def discard(selection: Mapping[str, Any], by: str, user_id: int) -> None:
    """Discard the open refused records of the selection."""
    quarantine.discard(Selection.from_json(selection), by=by, user_id=user_id)
