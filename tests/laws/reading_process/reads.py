"""Reads by reading processes, and by a run itself to compare: what the tests of this folder share."""

import os
import signal
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field

import pytest

from etl.drift import Shape
from etl.preparation import Prepared
from etl.readers.content import Content
from etl.readers.source import Source
from etl.reading_process import choice
from etl.reading_process.choice import preparing
from etl.records import Cursor
from tests.processes import list_processes
from tests.reading_sources import CHILD
from tests.settings import RUN_FOLDER

COUNT = 600
CATEGORY = "Things of a kind with a long name. " * 6
"""So wide that a batch does not fit into a pipe: then the reading process waits until its run takes the batch."""


@dataclass
class FakeRun:
    """A run without a database."""

    over: Exception | None = None
    notes: list[str] = field(default_factory=list)

    def shield(self) -> AbstractContextManager[None]:
        return nullcontext()

    def raise_if_over(self) -> None:
        if self.over is not None:
            raise self.over

    def note_retry(self, message: str) -> None:
        self.notes.append(message)


def list_reading_processes() -> list[int]:
    """List the reading processes of this test run."""
    return list_processes(RUN_FOLDER, command=CHILD)


def kill(number: signal.Signals = signal.SIGKILL) -> int:
    """Send the signal to all reading processes, and return their number."""
    found = list_reading_processes()
    for pid in found:
        with suppress(ProcessLookupError):  # it has just ended
            os.kill(pid, number)
    return len(found)


def prepare(source: Source, content: Content, run: FakeRun, cursor: Cursor | None = None) -> list[Prepared]:
    with reading_there():
        return prepare_anywhere(source, content, run, cursor)


@contextmanager
def reading_there() -> Iterator[None]:
    """Fail if a run reads by itself."""

    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("it is read here")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(choice, "prepare", refuse)
        yield


def prepare_anywhere(source: Source, content: Content, run: FakeRun, cursor: Cursor | None = None) -> list[Prepared]:
    with preparing(source, content, cursor, Shape(), run=run) as prepared:
        return list(map(write, prepared))


def write(prepared: Prepared) -> Prepared:
    """Ask for all lines of the batch, so that it can be compared."""
    prepared.judged.lines = prepared.judged.lines.write(range(len(prepared.judged)))
    return prepared


def prepare_here(source: Source, content: Content, cursor: Cursor | None = None) -> list[Prepared]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(choice._Read, "_is_long", lambda read: False)
        return prepare_anywhere(source, content, FakeRun(), cursor)


def prepare_until_error(source: Source, content: Content, run: FakeRun) -> tuple[int, Exception]:
    """Return the number of batches before the error, and the error."""
    count = 0
    with pytest.raises(Exception) as raised, preparing(source, content, None, Shape(), run=run) as prepared:
        for _ in prepared:
            count += 1
    return count, raised.value


def prepare_until_error_here(source: Source, content: Content) -> tuple[int, Exception]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(choice._Read, "_is_long", lambda read: False)
        return prepare_until_error(source, content, FakeRun())
