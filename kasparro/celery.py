"""The Celery application: `celery -A kasparro worker`, `celery -A kasparro beat`."""

import io
import os
from typing import Any

from celery import Celery
from celery.signals import beat_init, setup_logging, worker_init

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "kasparro.settings")

from django.conf import settings
from django.core.management import call_command
from django_structlog.celery.steps import DjangoStructLogInitStep

from etl.worker import connect

app = Celery("kasparro")
app.config_from_object("django.conf:settings", namespace="CELERY")
connect(app)
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
