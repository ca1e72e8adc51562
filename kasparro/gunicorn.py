"""The configuration of gunicorn: `gunicorn --config python:kasparro.gunicorn kasparro.wsgi`.

If there are several web processes, they share django-prometheus' counters through a temporary folder.
"""

import gc
import os
import shutil
import tempfile
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "kasparro.settings")

from django.conf import settings
from gunicorn.glogging import Logger

from kasparro import logs


class LineLogger(Logger):  # type: ignore[misc]  # gunicorn has no types
    """Writes gunicorn's own lines like all others. Its own format has the time of day in a zone, and no JSON."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        for handler in self.error_log.handlers:
            handler.setFormatter(logs.make_formatter(settings.LOG_FORMAT))


logger_class = LineLogger
workers = settings.WEB_PROCESSES
threads = settings.WEB_THREADS
worker_class = "gthread"
timeout = 60
graceful_timeout = 25
keepalive = 30
limit_request_line = 8190  # gunicorn's maximum, so that the API itself can say what is wrong with a long query
accesslog = None  # api/middleware.py logs the line of a request
control_socket_disable = True  # unused, and a container has no home folder for it
forwarded_allow_ips = ""  # api/middleware.py knows which proxies to believe
_folder = None
if workers > 1:
    _folder = os.environ["PROMETHEUS_MULTIPROC_DIR"] = tempfile.mkdtemp(prefix="kasparro-metrics-")


def post_worker_init(worker: Any) -> None:
    """Tune Python's garbage collector.

    Objects created before the first request stay, so it need not scan them. Requests create few cycles, so it runs
    rarely.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def child_exit(server: Any, worker: Any) -> None:
    """Remove the gauges of a process that has ended; its counters stay."""
    if _folder is not None:
        from prometheus_client.multiprocess import mark_process_dead  # noqa: PLC0415  (it reads the variable above)

        mark_process_dead(worker.pid)


def on_exit(server: Any) -> None:
    """Remove the folder of the counters."""
    if _folder is not None:
        shutil.rmtree(_folder, ignore_errors=True)
