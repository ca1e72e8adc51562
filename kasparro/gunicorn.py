"""How gunicorn serves the web process: `gunicorn --config python:kasparro.gunicorn kasparro.wsgi`.

Several processes share what django-prometheus counts through a folder of their own.
"""

import gc
import os
import shutil
import tempfile
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "kasparro.settings")

from django.conf import settings

workers = settings.WEB_PROCESSES
threads = settings.WEB_THREADS
worker_class = "gthread"
timeout = 60
graceful_timeout = 25
keepalive = 30
limit_request_line = 8190  # the most it takes: 5,000 characters are told by us what is wrong with them
accesslog = None  # api/middleware.py logs the line of a request
control_socket_disable = True  # a door that nobody uses, in a home that a container has not
forwarded_allow_ips = ""  # api/middleware.py knows which proxies to believe
_folder = None
if workers > 1:
    _folder = os.environ["PROMETHEUS_MULTIPROC_DIR"] = tempfile.mkdtemp(prefix="kasparro-metrics-")


def post_worker_init(worker: Any) -> None:
    """What is there before the first request stays: the collector need not look at it each time.

    Requests leave few cycles behind: it looks seldom.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def child_exit(server: Any, worker: Any) -> None:
    """Forget a process's gauges; its counters stay."""
    if _folder is not None:
        from prometheus_client.multiprocess import mark_process_dead  # noqa: PLC0415  (it reads the variable above)

        mark_process_dead(worker.pid)


def on_exit(server: Any) -> None:
    """Leave no folder behind."""
    if _folder is not None:
        shutil.rmtree(_folder, ignore_errors=True)
