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

from etl import messages
from etl.supervision import liveness, shutdown
from etl.supervision.sweep_watch import SweepWatch

_sweep_watch = SweepWatch()
app = Celery("kasparro")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks(["etl"])
app.steps["worker"].add(DjangoStructLogInitStep)  # without it a worker's log lines have no ids


@worker_init.connect
@beat_init.connect
def _prepare(**kwargs: Any) -> None:
    """Refuse to start with a wrong setting, as every command does, and start embedded servers that are down."""
    call_command("check", stdout=io.StringIO())
    settings.EMBEDDED_SERVERS.start_missing()


@setup_logging.connect
def _keep_logging(**kwargs: Any) -> None:
    """Keep the logging of settings.LOGGING. If this signal has a receiver, Celery does not set up its own logging."""


@worker_ready.connect
def _sweep_once(**kwargs: Any) -> None:
    """Run the ETL at start-up: queue all due runs as soon as there is a worker for them."""
    messages.send("etl.tasks.sweep")


@worker_shutting_down.connect
def _notify_tasks(**kwargs: Any) -> None:
    """Notify running tasks, because Celery's warm shutdown only waits for them."""
    shutdown.begin()


@heartbeat_sent.connect
def _sign(sender: Any, **kwargs: Any) -> None:
    """Runs every two seconds in the worker's parent process, even while no task runs."""
    liveness.sign(liveness.name_worker(sender.eventer.hostname))
    _sweep_watch.tick()


@worker_shutdown.connect
def _sign_off(sender: Any, **kwargs: Any) -> None:
    liveness.sign_off(liveness.name_worker(sender.hostname))
