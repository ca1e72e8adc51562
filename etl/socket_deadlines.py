"""Deadlines for waits that no timeout ends: one thread per process shuts down connections past their deadline.

A socket's timeout starts over with each byte, and libpq does not have a timeout at all: a wait for a slow or frozen
server might never end. To the thread that waits, a connection that was shut down looks closed.
"""

import os
import socket
import threading
import time
from contextlib import suppress
from functools import cache
from typing import Self
from weakref import finalize

LOOK_SECONDS = 0.1


class Duplicate:
    """A duplicate of a connection's descriptor, because a connection may be closed and its number reused by another.

    It is closed once nothing refers to it.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = os.dup(descriptor)
        finalize(self, os.close, self._descriptor).atexit = False

    def shut_down(self) -> None:
        """Shut the connection down, if it is still open."""
        with suppress(OSError), socket.socket(fileno=os.dup(self._descriptor)) as connection:
            connection.shutdown(socket.SHUT_RDWR)


class Deadline:
    """The time limit for a block of code, and the connections to shut down when it passes."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.ends_at = time.monotonic() + seconds
        self.has_passed = False
        self._covered: list[Duplicate] = []

    def __enter__(self) -> Self:
        _start_thread(os.getpid())
        _running.add(self)
        return self

    def __exit__(self, *error: object) -> None:
        _running.discard(self)
        self._covered.clear()

    @property
    def seconds_left(self) -> float:
        """The seconds until the deadline passes; 0 afterwards."""
        return max(0.0, self.ends_at - time.monotonic())

    def cover(self, connection: Duplicate) -> None:
        """Shut this connection down at the deadline, or now if the deadline has passed."""
        self._covered.append(connection)
        if self.has_passed:
            self.end()

    def end(self) -> None:
        """Shut down all covered connections."""
        self.has_passed = True
        for connection in self._covered.copy():
            connection.shut_down()


_running: set[Deadline] = set()


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
