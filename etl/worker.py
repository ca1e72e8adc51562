"""Connects a project's Celery app to the pipeline: the module that creates the app calls `connect(app)`.

The tasks carry their own options, so the app needs no others.
"""

from typing import Any

from celery import Celery
from celery.signals import beat_init, heartbeat_sent, worker_ready, worker_shutdown, worker_shutting_down

from etl import messages
from etl.supervision import liveness, shutdown
from etl.supervision.beat_watch import BeatWatch
from etl.supervision.sweep_watch import SWEEP_TASK, SweepWatch

_sweep_watch = SweepWatch()


def connect(app: Celery) -> None:
    """Let the app's workers find the tasks, queue all due runs at start-up, hand runs over and report their presence.

    Its beat reports its presence too, with any scheduler. A second call changes nothing.
    """
    app.autodiscover_tasks(["etl"])
    worker_ready.connect(_sweep_once)
    worker_shutting_down.connect(_notify_tasks)
    heartbeat_sent.connect(_sign)
    worker_shutdown.connect(_sign_off)
    beat_init.connect(_watch_beat)


def _sweep_once(**kwargs: Any) -> None:
    """Queue all due runs as soon as there is a worker for them."""
    messages.send(SWEEP_TASK)


def _notify_tasks(**kwargs: Any) -> None:
    """Notify running tasks, because Celery's warm shutdown only waits for them."""
    shutdown.begin()


def _sign(sender: Any, **kwargs: Any) -> None:
    """Runs every two seconds in the worker's parent process, even while no task runs."""
    liveness.sign(liveness.name_worker(sender.eventer.hostname))
    _sweep_watch.tick()


def _sign_off(sender: Any, **kwargs: Any) -> None:
    liveness.sign_off(liveness.name_worker(sender.hostname))


def _watch_beat(sender: Any, **kwargs: Any) -> None:
    """Runs in beat's process, or in that of `worker -B`, before the first tick."""
    BeatWatch(sender.scheduler)
