"""A reading process as its run sees it: started, its messages received, ended."""

import logging
import os
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from django.conf import ENVIRONMENT_VARIABLE

from etl.exceptions import PLACE
from etl.preparation import Prepared
from etl.reading_process.messages import (
    GAVE_UP,
    HEADER,
    End,
    Failure,
    Inability,
    Order,
    Position,
    Ready,
    Withheld,
    decode,
    encode,
    write_order,
)
from etl.records import WrittenLines

logger = logging.getLogger(__name__)

CHILD = "etl.reading_process"
LOOK_SECONDS = 0.2
"""How often a run that waits for a batch checks whether it is over."""
GRACE_SECONDS = 1
"""How long a process whose pipe is closed may take to end by itself, so that its exit status says why."""
KILL_SECONDS = 5
"""A killed process is waited for no longer: the kernel ends it when the disk or network that it waits for answers."""


class ProcessLost(Exception):
    """The reading process has ended too early, or can't read. The message says why."""

    is_due_to_run = False
    """Whether the run has taken nothing for too long: the process itself has done nothing wrong."""


class ReadingProcess:
    """A process that prepares batches from the position it is given. It is at most one batch ahead of its run.

    It waits `patience_seconds` for the run.

    Raises OSError if it can't be started, and another exception if the order can't be sent to another process.
    """

    def __init__(self, order: Order, patience_seconds: float) -> None:
        with tempfile.TemporaryFile() as file:
            descriptors = write_order(order, file)
            self._process = subprocess.Popen(  # noqa: S603  (Python itself)
                [sys.executable, "-P", "-m", CHILD, str(file.fileno()), str(patience_seconds)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                bufsize=0,
                pass_fds=(file.fileno(), *descriptors),
                env=_make_environment(),
                process_group=0,  # Ctrl-C reaches only the run's process, which decides
            )
        self._poll = select.poll()
        self._poll.register(self._stdout, select.POLLIN)
        assert self._process.stdin is not None
        os.set_blocking(self._process.stdin.fileno(), False)

    @property
    def pid(self) -> int:
        return self._process.pid

    def has_answered(self) -> bool:
        """Whether the process is ready for its position, or lost."""
        return bool(self._poll.poll(0))

    def begin(self, position: Position, raise_if_over: Callable[[], None]) -> None:
        """Wait until the process is ready, and let it read from the position on. Raises ProcessLost."""
        message = self._receive(raise_if_over)
        if isinstance(message, Inability):
            raise ProcessLost(f"The reading process can't read: {message.message}.")
        assert isinstance(message, Ready)
        self._send(position, raise_if_over)

    def receive(self, raise_if_over: Callable[[], None]) -> Iterator[Prepared]:
        """Yield the batches, and call `raise_if_over` while waiting. Raises the read's own errors, and ProcessLost."""
        while not isinstance(message := self._receive(raise_if_over), End):
            if isinstance(message, Prepared):
                yield from self._provide(message, raise_if_over)
            elif isinstance(message, logging.LogRecord):
                _log(message)
            else:
                assert isinstance(message, Failure)
                setattr(message.error, PLACE, message.place)
                message.error.add_note(f"In the reading process:\n{message.traceback}")
                raise message.error
            del message  # before the next one arrives

    def _provide(self, prepared: Prepared, raise_if_over: Callable[[], None]) -> Iterator[Prepared]:
        if not isinstance(prepared.judged.lines, Withheld):
            yield prepared
            return
        lines = prepared.judged.lines = RemoteLines(self, raise_if_over)
        yield prepared
        if not lines.is_asked_for:
            lines.write([])

    def ask(self, rows: Sequence[int], raise_if_over: Callable[[], None]) -> WrittenLines:
        """Ask for lines of the batch received last, exactly once. Raises ProcessLost."""
        self._send(list(rows), raise_if_over)
        if not rows:
            return WrittenLines()
        while isinstance(message := self._receive(raise_if_over), logging.LogRecord):
            _log(message)
        assert isinstance(message, WrittenLines)
        return message

    def end(self) -> None:
        """End the process, even in the middle of its work."""
        self._process.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(KILL_SECONDS)

    @property
    def _stdout(self) -> int:
        assert self._process.stdout is not None
        return self._process.stdout.fileno()

    def _receive(self, raise_if_over: Callable[[], None]) -> object:
        (length,) = HEADER.unpack(self._read(HEADER.size, raise_if_over))
        return decode(self._read(length, raise_if_over))

    def _read(self, length: int, raise_if_over: Callable[[], None]) -> bytearray:
        text = bytearray(length)
        view = memoryview(text)
        while view:
            while not self._poll.poll(LOOK_SECONDS * 1000):
                raise_if_over()
            count = os.readv(self._stdout, [view])
            if not count:
                raise self._describe_loss()
            view = view[count:]
        return text

    def _send(self, message: object, raise_if_over: Callable[[], None]) -> None:
        frame = b"".join(encode(message))
        self._write(HEADER.pack(len(frame)) + frame, raise_if_over)

    def _write(self, text: bytes, raise_if_over: Callable[[], None]) -> None:
        assert self._process.stdin is not None
        descriptor, view = self._process.stdin.fileno(), memoryview(text)
        poll = select.poll()
        poll.register(descriptor, select.POLLOUT)
        while view:
            while not poll.poll(LOOK_SECONDS * 1000):
                raise_if_over()
            try:
                view = view[os.write(descriptor, view) :]
            except BlockingIOError:
                continue
            except BrokenPipeError:
                raise self._describe_loss() from None

    def _describe_loss(self) -> ProcessLost:
        try:
            status = self._process.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            return ProcessLost("The reading process has closed its pipe.")
        if status < 0:
            return ProcessLost(f"The reading process was killed by signal {-status} ({_name_signal(-status)}).")
        loss = ProcessLost(f"The reading process ended with status {status}.")
        loss.is_due_to_run = status == GAVE_UP
        return loss


class RemoteLines:
    """Lines of a batch that the reading process has withheld."""

    def __init__(self, process: ReadingProcess, raise_if_over: Callable[[], None]) -> None:
        self._process, self._raise_if_over = process, raise_if_over
        self.is_asked_for = False

    def write(self, rows: Sequence[int]) -> WrittenLines:
        """Get the lines of these records; can be called once. Raises ProcessLost."""
        self.is_asked_for = True
        return self._process.ask(rows, self._raise_if_over)


def _make_environment() -> dict[str, str]:
    """Return the environment with this process's import path."""
    if ENVIRONMENT_VARIABLE not in os.environ:
        raise OSError(f"{ENVIRONMENT_VARIABLE} is not set")
    path = os.pathsep.join(entry or str(Path.cwd()) for entry in sys.path)
    return {**os.environ, "PYTHONPATH": path}


def _log(record: logging.LogRecord) -> None:
    target = logging.getLogger(record.name)
    if target.isEnabledFor(record.levelno):
        target.handle(record)


def _name_signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return "unknown"
