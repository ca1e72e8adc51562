"""The Celery application: `celery -A kasparro worker`, `celery -A kasparro beat`."""

import io
import os
from typing import Any

from celery import Celery
from celery.signals import beat_init, setup_logging, worker_init, worker_ready, worker_shutting_down

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "kasparro.settings")

from django.conf import settings
from django.core.management import call_command

from etl import shutdown

app = Celery("kasparro")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks(["etl"])


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
