"""The Celery tasks: names, arguments and options. Each option is set here, so that no project's settings change it."""

from collections.abc import Mapping
from typing import Any

from celery import shared_task

from etl.conf import conf
from etl.execution import sweep as sweeping
from etl.execution.executor import execute_queued
from etl.operations import quarantine
from etl.pruning import prune_in_task
from etl.runs import alert_sending
from etl.storage.refusal_selection import Selection

# A task hands its run over after ETL_TASK_SECONDS; the limits only stop a task that hangs.
SOFT_LIMIT_SECONDS = conf.ETL_TASK_SECONDS + conf.ETL_BATCH_DEADLINE_SECONDS
OPTIONS: dict[str, Any] = {
    "acks_late": True,
    "acks_on_failure_or_timeout": True,
    "reject_on_worker_lost": True,
    "soft_time_limit": SOFT_LIMIT_SECONDS,
    "time_limit": SOFT_LIMIT_SECONDS + 60,
    "ignore_result": True,
    "store_errors_even_if_ignored": False,
    "track_started": False,
    "serializer": "json",
}


@shared_task(name="etl.tasks.run", **OPTIONS)
def run(run_id: int) -> None:
    """Execute a queued run; does nothing if its row says so."""
    execute_queued(run_id)


@shared_task(name="etl.tasks.queue_due", **OPTIONS)
def queue_due(source: str) -> None:
    """Queue a source's run for its latest due instant."""
    sweeping.queue_due(source)


@shared_task(name="etl.tasks.sweep", **OPTIONS)
def sweep() -> None:
    """Repair what was missed: schedule entries, due runs, abandoned runs and messages."""
    sweeping.sweep()


@shared_task(name=alert_sending.SEND_TASK, **OPTIONS)
def send_alerts() -> None:
    """Send the alerts that wait."""
    alert_sending.send_waiting()


@shared_task(name="etl.tasks.prune", **OPTIONS)
def prune() -> None:
    """Remove rows older than the settings ETL_PRUNE_* say. Its entry in the schedule is disabled at first."""
    prune_in_task()


@shared_task(name=quarantine.DISCARD_TASK, **OPTIONS)
def discard(selection: Mapping[str, Any], by: str, user_id: int) -> None:
    """Discard the open refused records of the selection."""
    quarantine.discard(Selection.from_json(selection), by=by, user_id=user_id)
