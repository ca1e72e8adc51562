"""Deadlines for waits that no timeout ends: one thread per process shuts down connections past their deadline.

A socket's timeout starts over with each byte, and libpq does not have a timeout at all: a wait for a slow or frozen
server might never end. To the thread that waits, a connection that was shut down looks closed.
"""

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache

LOOK_SECONDS = 0.1


class Deadline:
    """The time limit for one wait, and the connections to shut down when it passes."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.ends_at = time.monotonic() + seconds
        self.has_passed = False
        self.descriptors: list[int] = []
        """Duplicates: by the deadline a connection may be closed and its number reused for another file."""

    @property
    def seconds_left(self) -> float:
        """The seconds until the deadline passes; 0 afterwards."""
        return max(0.0, self.ends_at - time.monotonic())

    def cover(self, descriptor: int) -> None:
        """Shut this connection down at the deadline, or now if the deadline has passed."""
        with _lock:
            self.descriptors.append(os.dup(descriptor))
        if self.has_passed:
            self.end()

    def end(self) -> None:
        """Shut down all covered connections."""
        self.has_passed = True
        with _lock:
            for descriptor in self.descriptors:
                with suppress(OSError), socket.socket(fileno=os.dup(descriptor)) as connection:
                    connection.shutdown(socket.SHUT_RDWR)


_running: set[Deadline] = set()
_lock = threading.Lock()
"""Guards the duplicates, so that none is used after it was closed."""


@contextmanager
def set_deadline(seconds: float) -> Iterator[Deadline]:
    """Within the block, connections that the deadline covers are shut down after this many seconds."""
    deadline = Deadline(seconds)
    _start_thread(os.getpid())
    _running.add(deadline)
    try:
        yield deadline
    finally:
        _running.discard(deadline)
        with _lock:
            while deadline.descriptors:
                os.close(deadline.descriptors.pop())


@cache
def _start_thread(process: int) -> None:
    """Start the thread once per process, because a fork does not inherit threads."""
    threading.Thread(target=_look_after, name="deadlines", daemon=True).start()


def _look_after() -> None:
    while True:
        time.sleep(LOOK_SECONDS)
        for deadline in _running.copy():
            if deadline.ends_at <= time.monotonic() and not deadline.has_passed:
                deadline.end()
