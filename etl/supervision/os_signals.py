"""Ctrl-C and SIGTERM stop a run in a terminal: at once while it reads and waits, after the commit while it writes."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from etl.exceptions import Interrupted

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interruption:
    """Turns a signal into Interrupted, raised in the main thread: only inside `allow`, and not in its `shield`s.

    Elsewhere a signal is only noted (`is_received`), and raised where it is next allowed.
    """

    def __init__(self) -> None:
        self._is_allowed = False
        self._is_pending = False

    @contextmanager
    def listen(self) -> Iterator[None]:
        """Handle the signals; only in the main thread."""
        former = {number: signal.signal(number, self.receive) for number in SIGNALS}
        try:
            yield
        finally:
            for number, handler in former.items():
                signal.signal(number, handler)

    @contextmanager
    def allow(self) -> Iterator[None]:
        """Let a signal interrupt the block."""
        self._is_allowed = True
        try:
            self.raise_if_received()
            yield
        finally:
            self._is_allowed = False

    @contextmanager
    def shield(self) -> Iterator[None]:
        """Let the block finish. A signal received in it is raised afterwards, if that is allowed there."""
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
        """Raise Interrupted if a signal was received: between two transactions, even a shielded block may stop."""
        if self._is_pending:
            raise Interrupted

    def receive(self, number: int, frame: FrameType | None) -> None:
        """Handle a signal."""
        self._is_pending = True
        if self._is_allowed:
            raise Interrupted
