"""The event log of runs: adds its lines and names the process that runs something."""

import os
import socket
from contextlib import nullcontext

from etl.database import connection
from etl.models import RunEvent
from etl.storage.texts import make_storable
from etl.storage.transactions import bounded_transaction
from etl.vocabulary import EventKind


def add_event(run_id: int, kind: EventKind, message: str) -> None:
    """Add one line to the run's event log, in the caller's transaction if there is one."""
    with nullcontext() if connection.in_atomic_block else bounded_transaction():  # a savepoint would cost two trips
        RunEvent.objects.create(run_id=run_id, kind=kind, message=make_storable(message))


def has_event(run_id: int, kind: EventKind) -> bool:
    """Whether the run's event log has a line of this kind."""
    return RunEvent.objects.filter(run_id=run_id, kind=kind).exists()


def describe_process() -> str:
    """Name this process for the log, by host and pid."""
    return f"{socket.gethostname()}:{os.getpid()}"
