"""The Celery application: `celery -A kasparro worker`, `celery -A kasparro beat`."""

import io
import os
from typing import Any

from celery import Celery
from celery.signals import (
    beat_init,
    heartbeat_sent,
    setup_logging,
    worker_init,
    worker_ready,
    worker_shutdown,
    worker_shutting_down,
)

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "kasparro.settings")

from django.conf import settings
from django.core.management import call_command
from django_structlog.celery.steps import DjangoStructLogInitStep

from etl.supervision import liveness, shutdown
from etl.supervision.sweep_watch import SweepWatch

_sweep_watch = SweepWatch()
app = Celery("kasparro")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks(["etl"])
app.steps["worker"].add(DjangoStructLogInitStep)  # without it a worker's lines have no ids


@worker_init.connect
@beat_init.connect
def _prepare(**kwargs: Any) -> None:
    """Refuse to start on a wrong setting, as every command does; see to it that the embedded servers run."""
    call_command("check", stdout=io.StringIO())
    settings.EMBEDDED_SERVERS.start_missing()


@setup_logging.connect
def _keep_logging(**kwargs: Any) -> None:
    """Logs go where settings.LOGGING says: with a receiver for this signal Celery sets up none of its own."""


@worker_ready.connect
def _sweep_once(**kwargs: Any) -> None:
    """The ETL runs at start-up: whatever is due is queued as soon as there is a worker for it."""
    app.send_task("etl.tasks.sweep")


@worker_shutting_down.connect
def _tell_tasks(**kwargs: Any) -> None:
    """Celery's warm shutdown waits for its tasks but tells them nothing."""
    shutdown.begin()


@heartbeat_sent.connect
def _sign(sender: Any, **kwargs: Any) -> None:
    """Every two seconds, in the worker's parent process, whether or not a task runs."""
    liveness.sign(liveness.name_worker(sender.eventer.hostname))
    _sweep_watch.tick()


@worker_shutdown.connect
def _sign_off(sender: Any, **kwargs: Any) -> None:
    liveness.sign_off(liveness.name_worker(sender.hostname))
