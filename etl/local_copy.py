"""Makes a private copy of a file or body, with the hash of exactly those bytes."""

import hashlib
import io
import os
import stat
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from etl.exceptions import SourceError, TransientSourceError

COPY_BYTES = 1 << 20
COPY_ATTEMPTS = 3
SHARED_BUFFER_BYTES = 128 << 10


RECENT = 2.0
"""Seconds in which a file may change again without another time: clocks of file systems tick, some only each second."""


class MissingFile(SourceError):
    """The file does not exist."""


@dataclass(frozen=True, slots=True)
class LocalCopy:
    """An unnamed temporary file, the SHA-256 of its bytes and its size in bytes.

    `name` is the file's name if a pattern has found it, and `stamp` changes with the file; empty if a file with the
    same stamp may have changed.
    """

    file: BinaryIO
    fingerprint: str
    size: int
    name: str = ""
    stamp: str = ""

    def read_head(self, size: int) -> bytes:
        """Return its first bytes, at most `size`."""
        self.file.seek(0)
        return self.file.read(size)


@contextmanager
def open_temporary() -> Iterator[BinaryIO]:
    """Open an unnamed temporary file. Raises SourceError if it can't be created."""
    try:
        file = tempfile.TemporaryFile()  # noqa: SIM115  (closed below, where an error must not hide another)
    except OSError as error:
        raise SourceError(f"Can't create a temporary file in {tempfile.gettempdir()}: {error.strerror}.") from error
    try:
        yield file
    finally:
        with suppress(OSError):  # the write that found the disk full has already raised
            file.close()


@contextmanager
def copy_file(path: Path) -> Iterator[LocalCopy]:
    """Copy the file as it was at one moment. Raises SourceError, or TransientSourceError if it is being written."""
    with open_temporary() as copy, _open_regular(path) as file:
        for _ in range(COPY_ATTEMPTS):
            before = _identify(file)
            fingerprint, size = _copy(file, copy, path)
            if _identify(file) == before and size == os.fstat(file.fileno()).st_size:
                yield LocalCopy(copy, fingerprint, size, stamp=_choose_stamp(file, copy))
                return
        raise TransientSourceError(f"{path} is being written while it is read: try again when it is complete.")


def open_shared(descriptor: int) -> BinaryIO:
    """Open an inherited descriptor for reading, at a position of its own: other processes may be reading it too."""
    return io.BufferedReader(_Shared(descriptor), SHARED_BUFFER_BYTES)


class _Shared(io.RawIOBase):
    """Reads by `pread`, because processes that share a descriptor share its offset too."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._position = 0

    def fileno(self) -> int:
        return self._descriptor

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        bases = {os.SEEK_SET: 0, os.SEEK_CUR: self._position}
        base = bases[whence] if whence in bases else os.fstat(self._descriptor).st_size
        self._position = base + offset
        return self._position

    def readinto(self, buffer: Any) -> int:
        block = os.pread(self._descriptor, len(buffer), self._position)
        buffer[: len(block)] = block
        self._position += len(block)
        return len(block)


def describe_stamp(path: Path) -> str:
    """Return what changes whenever the file is changed or replaced; empty if it is missing."""
    try:
        return _write_stamp(path.stat())
    except OSError:
        return ""


def _write_stamp(status: os.stat_result) -> str:
    return f"{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns} {status.st_dev} {status.st_ino}"


def _choose_stamp(file: BinaryIO, copy: BinaryIO) -> str:
    status = os.fstat(file.fileno())
    is_settled = os.fstat(copy.fileno()).st_mtime - max(status.st_mtime, status.st_ctime) > RECENT
    return _write_stamp(status) if is_settled else ""


def find_written(copy: BinaryIO) -> datetime:
    """Return when the temporary file was written (UTC)."""
    return datetime.fromtimestamp(os.fstat(copy.fileno()).st_mtime, UTC)


def find_change(path: Path) -> datetime | None:
    """When the file was written or put there (UTC); None if it is missing."""
    try:
        status = path.stat()
    except OSError:
        return None
    return datetime.fromtimestamp(max(status.st_mtime, status.st_ctime), UTC)


def _open_regular(path: Path) -> BinaryIO:
    try:
        # Without O_NONBLOCK, opening a named pipe would wait for a writer.
        file = open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK))  # noqa: SIM115
    except FileNotFoundError:
        raise MissingFile(f"{path} does not exist: put the file there or change the setting that names it.") from None
    except OSError as error:
        raise SourceError(f"{path} can't be read: {error.strerror}.") from error
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise SourceError(f"{path} is not a regular file.")
    return file


def _identify(file: BinaryIO) -> tuple[int, int, int]:
    status = os.fstat(file.fileno())
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _copy(file: BinaryIO, copy: BinaryIO, path: Path) -> tuple[str, int]:
    file.seek(0)
    return write_copy(iter(partial(file.read, COPY_BYTES), b""), copy, str(path))


def write_copy(blocks: Iterable[bytes], copy: BinaryIO, location: str) -> tuple[str, int]:
    """Write the blocks into the temporary file. Returns their fingerprint and size. Raises SourceError."""
    copy.seek(0)
    copy.truncate()
    digest, size = hashlib.sha256(), 0
    try:
        for block in blocks:
            digest.update(block)
            size += copy.write(block)
        copy.flush()
    except OSError as error:
        raise SourceError(f"{location} can't be copied to {tempfile.gettempdir()}: {error.strerror}.") from error
    return digest.hexdigest(), size
