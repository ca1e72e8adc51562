"""Ctrl-C and SIGTERM of a terminal run: at once while reading and waiting, after the commit while writing."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from etl.exceptions import Interrupted

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interruption:
    """Turns a signal into Interrupted, raised in the main thread: never inside a `shield`, but at its end."""

    def __init__(self) -> None:
        self._shields = 0
        self._is_pending = False

    @contextmanager
    def listen(self) -> Iterator[None]:
        """Take over the signals; only in the main thread."""
        former = {number: signal.signal(number, self.receive) for number in SIGNALS}
        try:
            yield
        finally:
            for number, handler in former.items():
                signal.signal(number, handler)

    @contextmanager
    def shield(self) -> Iterator[None]:
        """What begins inside ends inside; then the signal that came meanwhile is raised."""
        self._shields += 1
        try:
            yield
        finally:
            self._shields -= 1
        if self._is_pending and not self._shields:
            raise Interrupted

    @contextmanager
    def finish(self) -> Iterator[None]:
        """As `shield`, for what must still be done after an interruption: nothing is raised at its end."""
        self._shields += 1
        try:
            yield
        finally:
            self._shields -= 1

    @property
    def has_come(self) -> bool:
        """Whether a signal has been received."""
        return self._is_pending

    def receive(self, number: int, frame: FrameType | None) -> None:
        """The signal handler."""
        self._is_pending = True
        if not self._shields:
            raise Interrupted
