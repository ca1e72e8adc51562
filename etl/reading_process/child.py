"""What a reading process does. It writes to its pipe and nowhere else.

It ends when its run's process does, whose end of stdin is then closed, and when nothing is taken from its pipe for
PATIENCE seconds, because its run's process is frozen. It holds at most one batch that the run has not taken.
"""

import gc
import logging
import os
import pickle
import select
import signal
import sys
import threading
import traceback
from collections.abc import Iterator, Sequence
from io import TextIOWrapper
from logging.handlers import QueueHandler
from queue import Empty, SimpleQueue
from typing import BinaryIO, TypeVar

from django.apps import apps
from django.conf import settings
from django.core.exceptions import AppRegistryNotReady

from etl.column_judgement import SliceLines
from etl.exceptions import describe_place
from etl.local_copy import open_shared
from etl.preparation import Prepared, prepare
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
    read_order,
)
from etl.records import Lines, PackedLines, WrittenLines
from etl.seen_ids import recall

Value = TypeVar("Value")

MOST_OBJECTS = 10_000
"""If more objects are left than this after a batch, they are collected: there may be cycles among them."""


class Pipe:
    """The pipe to the run's process. Ends this process if nothing is taken from it, or if no reader is left."""

    def __init__(self, patience_seconds: float) -> None:
        self.descriptor = os.dup(1)
        os.dup2(2, 1)  # what a source prints must not disturb the frames
        if isinstance(sys.stdout, TextIOWrapper):
            sys.stdout.reconfigure(line_buffering=True)  # this process may end without a flush
        os.set_blocking(self.descriptor, False)
        self.patience_ms = patience_seconds * 1000
        self.poll = select.poll()
        self.poll.register(self.descriptor, select.POLLOUT)
        self.lock = threading.Lock()

    def send(self, message: object) -> None:
        """Send a message, and wait until it is taken."""
        self.send_frame(encode(message))

    def send_frame(self, frame: list[bytes]) -> None:
        """Send the frame, and drop each of its parts as it is taken."""
        with self.lock:
            self._write(HEADER.pack(sum(map(len, frame))))
            frame.reverse()
            while frame:
                self._write(frame.pop())

    def _write(self, text: bytes) -> None:
        view = memoryview(text)
        while view:
            if not self.poll.poll(self.patience_ms):
                os._exit(GAVE_UP)
            try:
                view = view[os.write(self.descriptor, view) :]
            except BlockingIOError:
                continue
            except BrokenPipeError:
                os._exit(0)


class LogHandler(QueueHandler):
    """Sends log records to the run's process, which logs them like its own."""

    def __init__(self, pipe: Pipe) -> None:
        super().__init__(SimpleQueue())  # not used
        self.pipe = pipe

    def enqueue(self, record: logging.LogRecord) -> None:
        self.pipe.send(record)


def main() -> None:
    descriptor, patience_seconds = int(sys.argv[1]), float(sys.argv[2])
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    pipe = Pipe(patience_seconds)
    answers = Answers(pipe, patience_seconds)
    try:
        order = load(descriptor)
        digest = order.make_source().digest()
    except Exception as error:  # noqa: BLE001  (any error of a source's module: its run can read without this process)
        pipe.send(Inability(f"{type(error).__name__}: {error}"))
        return
    if digest != order.digest:
        pipe.send(Inability(f"its code of {order.source.name} is not the run's"))
        return
    pipe.send(Ready())
    logging.root.setLevel(order.log_level)
    logging.root.handlers = [LogHandler(pipe)]
    send_batches(order, answers.wait_for_position(), pipe, answers)


class Answers:
    """Takes the run's position from stdin, and then gives it the lines that it asks for there.

    A thread does so while the next batch is prepared. This process ends as soon as no process can write to its stdin.
    """

    def __init__(self, pipe: Pipe, patience_seconds: float) -> None:
        self.pipe, self.patience_seconds = pipe, patience_seconds
        self.withheld: Lines | None = None
        self.positions: SimpleQueue[Position] = SimpleQueue()
        self.given: SimpleQueue[None] = SimpleQueue()
        threading.Thread(target=self._listen, daemon=True).start()

    def wait_for_position(self) -> Position:
        """Wait until the run has said where to begin."""
        return self._wait(self.positions)

    def wait(self) -> None:
        """Wait until the run has asked for the lines of the batch sent last, and has got them."""
        self._wait(self.given)

    def _wait(self, queue: SimpleQueue[Value]) -> Value:
        try:
            return queue.get(timeout=self.patience_seconds)
        except Empty:
            os._exit(GAVE_UP)

    def _listen(self) -> None:
        try:
            with open(0, "rb", closefd=False) as stdin:
                while (message := read_message(stdin)) is not None:
                    self._take(message)
        except Exception:  # noqa: BLE001  (the run prepares the batch again, and meets the same error)
            traceback.print_exc()
            os._exit(1)
        os._exit(0)

    def _take(self, message: object) -> None:
        if isinstance(message, Position):
            self.positions.put(message)
        else:
            assert isinstance(message, list)
            self._answer(message)

    def _answer(self, rows: Sequence[int]) -> None:
        lines, self.withheld = self.withheld, None
        assert lines is not None
        if rows:
            self.pipe.send(lines.write(rows))
        self.given.put(None)


def read_message(stdin: BinaryIO) -> object | None:
    """Return the run's next message: its position, or the records whose lines it needs. None at the end of stdin."""
    header = stdin.read(HEADER.size)
    if len(header) < HEADER.size:
        return None
    (length,) = HEADER.unpack(header)
    frame = stdin.read(length)
    return decode(frame) if len(frame) == length else None


def load(descriptor: int) -> Order:
    """Read the order. Few sources import models; for them the apps are loaded, which takes most of a second."""
    file = open_shared(descriptor)
    try:
        return read_order(file)
    except AppRegistryNotReady:
        apps.populate(settings.INSTALLED_APPS)
        return read_order(file)


def send_batches(order: Order, position: Position, pipe: Pipe, answers: Answers) -> None:
    """Send all batches, and then the end or the error. A batch is sent when the run has the lines of the one before."""
    # A batch makes almost no cycles, so they are collected when it is gone and there is little to look at.
    gc.freeze()
    is_withheld = False
    try:
        for lines, frame in encode_batches(order, position):
            if is_withheld:
                answers.wait()
            answers.withheld, is_withheld = lines, lines is not None
            pipe.send_frame(frame)
            del lines, frame
            if gc.get_count()[0] > MOST_OBJECTS:
                gc.collect()
        end: End | Failure = End()
    except Exception as error:  # noqa: BLE001  (boundary: the run's process raises it again)
        end = make_failure(error)
    if is_withheld:
        answers.wait()
    pipe.send(end)


def encode_batches(order: Order, position: Position) -> Iterator[tuple[Lines | None, list[bytes]]]:
    """Yield each batch as a frame, and its lines if they are withheld."""
    batches = prepare(
        order.make_source(),
        order.content,
        position.cursor,
        position.shape,
        order.batch_size,
        seen_ids=recall(position.earlier_ids),
        begun=order.begun,
    )
    # A loop would keep each batch until the next one is prepared.
    yield from map(encode_whole if order.finds_repeats else encode_without_lines, batches)


def encode_whole(prepared: Prepared) -> tuple[None, list[bytes]]:
    lines = prepared.judged.lines
    assert isinstance(lines, SliceLines | WrittenLines)
    prepared.judged.lines = PackedLines.of(lines.drain())
    return None, encode(prepared)


def encode_without_lines(prepared: Prepared) -> tuple[Lines, list[bytes]]:
    lines, prepared.judged.lines = prepared.judged.lines, Withheld()
    return lines, encode(prepared)


def make_failure(error: Exception) -> Failure:
    """Describe the error. One that can't be pickled becomes a RuntimeError with its text."""
    place, text = describe_place(error), "".join(traceback.format_exception(error))
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301  (our own)
    except Exception:  # noqa: BLE001  (an exception's class may define anything)
        error = RuntimeError(f"{type(error).__name__}: {error}")
    return Failure(error, place, text)
