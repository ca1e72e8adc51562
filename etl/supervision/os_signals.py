"""Ctrl-C and SIGTERM of a terminal run: at once while it reads and waits, after the commit while it writes."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from etl.exceptions import Interrupted

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interruption:
    """Turns a signal into Interrupted, raised in the main thread: only inside `allow`, and not in its `shield`s.

    Elsewhere a signal is noted (`is_received`), and raised where it is allowed next.
    """

    def __init__(self) -> None:
        self._is_allowed = False
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
    def allow(self) -> Iterator[None]:
        """What happens inside may be interrupted."""
        self._is_allowed = True
        try:
            self.raise_if_received()
            yield
        finally:
            self._is_allowed = False

    @contextmanager
    def shield(self) -> Iterator[None]:
        """What begins inside ends inside; then the signal that came meanwhile is raised, where it is allowed."""
        was_allowed, self._is_allowed = self._is_allowed, False
        try:
            yield
        finally:
            self._is_allowed = was_allowed
        if was_allowed:
            self.raise_if_received()

    @property
    def is_received(self) -> bool:
        """Whether a signal has been received."""
        return self._is_pending

    def raise_if_received(self) -> None:
        """For the places between two transactions where even what is shielded may stop."""
        if self._is_pending:
            raise Interrupted

    def receive(self, number: int, frame: FrameType | None) -> None:
        """The signal handler."""
        self._is_pending = True
        if self._is_allowed:
            raise Interrupted
