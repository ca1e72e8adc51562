"""What travels between a run and its reading process: an order in a file, then frames on a pipe.

Everything is pickled: both ends run the same code as the same user, and no one else can write to the file or the pipe.
"""

import pickle
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, BinaryIO

from etl.contracts.contract import Contract
from etl.drift import Shape
from etl.local_copy import LocalCopy, open_shared
from etl.readers.content import Content
from etl.readers.source import Source
from etl.records import Cursor, WrittenLines

HEADER = struct.Struct("!Q")
"""A frame's length in bytes, in front of it."""

GAVE_UP = 75
"""The exit status of a reading process from which nothing was taken for `patience_seconds` (EX_TEMPFAIL)."""


@dataclass(frozen=True, slots=True)
class Order:
    """What to read: a source and its content. From where on is said later, by a Position.

    The source is given by its class, or as itself if another process could not make the same from the class.
    `digest` is the source's, and `log_level` the level from which log records are sent. If it `finds_repeats`, most
    records are new and their lines travel with their batch; otherwise most are stored, and their lines are withheld.
    `begun`: see `prepare`.
    """

    source: type[Source] | Source
    digest: str
    content: Content
    batch_size: int
    finds_repeats: bool
    log_level: int
    begun: datetime | None = None

    @property
    def kind(self) -> type[Source]:
        """The source's class."""
        return type(self.source) if isinstance(self.source, Source) else self.source

    def make_source(self) -> Source:
        """Return the source that the process reads."""
        return self.source if isinstance(self.source, Source) else self.source()


@dataclass(frozen=True, slots=True)
class Ready:
    """The process has loaded the source, and waits for a Position."""


@dataclass(frozen=True, slots=True)
class Position:
    """Where the process begins to read: after the cursor. `shape` is of the records before it.

    `earlier_ids` are the packed ids of each earlier batch (etl/seen_ids.py); None if repeats need not be found.
    """

    cursor: Cursor | None
    shape: Shape
    earlier_ids: Sequence[bytes] | None


@dataclass(frozen=True, slots=True)
class Withheld:
    """Stands for a batch's lines, which the reading process writes when the run has asked for some of them.

    The run asks once for each batch, perhaps for none, before it receives the next one.
    """

    def write(self, rows: Sequence[int]) -> WrittenLines:
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Failure:
    """The error that ended the read, its place, and its traceback for the log."""

    error: Exception
    place: str
    traceback: str


@dataclass(frozen=True, slots=True)
class Inability:
    """Why this process can't read at all, although another one might."""

    message: str


@dataclass(frozen=True, slots=True)
class End:
    """All batches have been sent."""


class _Pickler(pickle.Pickler):
    """Leaves out local copies, whose descriptors the process inherits, and a contract that no module has.

    A source with a target derives its contract from the model; in its place stands the source's class.
    """

    def __init__(self, file: BinaryIO, kind: type[Source]) -> None:
        super().__init__(file, protocol=5)
        self.kind = kind
        self.derived = kind.contract if kind.into is not None else None
        self.descriptors: list[int] = []

    def persistent_id(self, value: Any) -> type[Source] | tuple[int, str, int, str] | None:
        if value is self.derived and value is not None:
            return self.kind
        if not isinstance(value, LocalCopy):
            return None
        value.file.flush()
        self.descriptors.append(value.file.fileno())
        return value.file.fileno(), value.fingerprint, value.size, value.name


class _Unpickler(pickle.Unpickler):
    def persistent_load(self, value: type[Source] | tuple[int, str, int, str]) -> LocalCopy | type[Contract]:
        if isinstance(value, type):
            return value.contract
        descriptor, fingerprint, size, name = value
        return LocalCopy(open_shared(descriptor), fingerprint, size, name)


def write_order(order: Order, file: BinaryIO) -> Sequence[int]:
    """Write the order and return the descriptors that the process must inherit. Any exception: it can't be written."""
    pickler = _Pickler(file, order.kind)
    pickler.dump(order)
    file.flush()
    return pickler.descriptors


def read_order(file: BinaryIO) -> Order:
    """Read the order from the beginning of the file; this imports the source's module."""
    file.seek(0)
    order = _Unpickler(file).load()
    assert isinstance(order, Order)
    return order


def encode(message: object) -> list[bytes]:
    """Return the message as a frame without its header, in parts. Long texts are parts of their own, not copied."""
    frame = _Frame()
    pickle.Pickler(frame, protocol=5).dump(message)
    return frame.parts


class _Frame:
    def __init__(self) -> None:
        self.parts: list[bytes] = []

    def write(self, part: bytes) -> int:
        self.parts.append(part)
        return len(part)


def decode(frame: bytes | bytearray) -> object:
    """Return a frame's message."""
    return pickle.loads(frame)  # noqa: S301  (from our own process, on a pipe that no one else can write to)
