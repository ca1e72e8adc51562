"""Deadlines for waits that no timeout ends: one thread in a process shuts down the connections whose time is over.

A socket's timeout counts from the last byte, and libpq has none: a trickling or a frozen server would be waited for
without end. A connection that was shut down looks closed to the thread that waits for it.
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
    """The end of one wait, and the connections that it ends."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.ends_at = time.monotonic() + seconds
        self.has_passed = False
        self.descriptors: list[int] = []
        """Copies: a connection may be closed, and its number another file's, when the time comes."""

    def cover(self, descriptor: int) -> None:
        """Shut this connection down when the time comes; now, if it has."""
        with _lock:
            self.descriptors.append(os.dup(descriptor))
        if self.has_passed:
            self.end()

    def end(self) -> None:
        """The time has come."""
        self.has_passed = True
        with _lock:
            for descriptor in self.descriptors:
                with suppress(OSError), socket.socket(fileno=os.dup(descriptor)) as connection:
                    connection.shutdown(socket.SHUT_RDWR)


_running: set[Deadline] = set()
_lock = threading.Lock()
"""Around all copies: none is used after it was closed."""


@contextmanager
def set_deadline(seconds: float) -> Iterator[Deadline]:
    """Inside, what the deadline covers is shut down once the seconds have passed."""
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
    """Once in each process: a forked one has no threads of its parent's."""
    threading.Thread(target=_look_after, name="deadlines", daemon=True).start()


def _look_after() -> None:
    while True:
        time.sleep(LOOK_SECONDS)
        for deadline in _running.copy():
            if deadline.ends_at <= time.monotonic() and not deadline.has_passed:
                deadline.end()
