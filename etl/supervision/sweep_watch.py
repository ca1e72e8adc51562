"""Sends the sweep's task from a worker's main process if no sweep has started recently, so schedules don't need beat.

Beat sends nothing if it is down or if its clock once ran ahead; the sweep still queues the runs that are due.
"""

import logging
import threading
import time

from django.db import Error
from kombu.exceptions import OperationalError as BrokerError

from etl import messages
from etl.database import connection
from etl.fence.task_leases import SWEEP
from etl.storage.transactions import describe

logger = logging.getLogger(__name__)

SWEEP_TASK = "etl.tasks.sweep"
LOOK_SECONDS = 60
OVERDUE_SECONDS = 90

# A time in the future counts as overdue as well: the database's clock was set back after that sweep.
_IS_OVERDUE = """
    SELECT abs(extract(epoch FROM clock_timestamp() - max(taken_at))) > %s
    FROM etl_task_leases WHERE name = %s
"""


class SweepWatch:
    """Checks once a minute, in a thread, because an unresponsive database must not block the worker's main process."""

    def __init__(self) -> None:
        self._next_look = time.monotonic() + LOOK_SECONDS
        self._thread: threading.Thread | None = None

    def tick(self) -> None:
        """Start a check if the last one was a minute ago; called every few seconds."""
        if time.monotonic() < self._next_look or (self._thread is not None and self._thread.is_alive()):
            return
        self._next_look = time.monotonic() + LOOK_SECONDS
        self._thread = threading.Thread(target=look, name="sweep watch", daemon=True)
        self._thread.start()


def look() -> None:
    """Send the sweep's task if the sweep is overdue; never raises."""
    try:
        if is_overdue():
            messages.send(SWEEP_TASK)
    except (Error, BrokerError, OSError) as error:
        logger.warning("Could not check whether a sweep is overdue: %s", describe(error))


def is_overdue() -> bool:
    """Whether no sweep started in the last 90 seconds, by the database's clock; uses a separate session."""
    own = connection.copy()
    try:
        with own.cursor() as cursor:
            cursor.execute(_IS_OVERDUE, [OVERDUE_SECONDS, SWEEP])
            (is_late,) = cursor.fetchone()
            return is_late is None or bool(is_late)
    finally:
        own.close()
