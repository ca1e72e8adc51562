"""Where the files of a source are: on a disk or in a Django storage, one by its name or several by a pattern.

A file that a pattern finds is known by its name: its path from the last folder that the pattern names in full.
"""

import glob
import os
import posixpath
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from django.core.exceptions import SuspiciousOperation
from django.core.files.storage import InvalidStorageError, Storage, storages

from etl.exceptions import RunError, SourceError, TransientSourceError
from etl.local_copy import (
    COPY_ATTEMPTS,
    COPY_BYTES,
    RECENT,
    LocalCopy,
    MissingFile,
    copy_file,
    describe_stamp,
    find_change,
    find_written,
    open_temporary,
    write_copy,
)

STORAGE = "storage://"
_MAGIC = re.compile(r"[*?]")


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A file that a pattern has found: its name, the path that opens it, and the stamp that shows whether it changed.

    Files are ordered by the bytes of their names. An empty stamp says nothing.
    """

    name: str
    path: str
    stamp: str


class Place(Protocol):
    """One file, or the files of a pattern."""

    @property
    def location(self) -> str:
        """The place for messages."""

    def list_files(self) -> list[FoundFile]:
        """Return the files that the pattern finds, in the order of their names. Raises SourceError."""

    def locate(self, path: str) -> str:
        """Return a file's place for messages."""

    def copy(self, path: str) -> Any:
        """Provide a local copy of the file, as it was at one moment. Raises SourceError."""

    def find_change(self) -> datetime | None:
        """Return when the file, or the newest of the files, last changed; None if that is not known."""


def is_pattern(path: str) -> bool:
    """Whether the path may find several files."""
    return not path.lower().startswith(("http://", "https://")) and bool(_MAGIC.search(path))


def split_pattern(path: str) -> tuple[str, str]:
    """Return the folder that the pattern names in full, and the pattern below it."""
    parts = path.split("/")
    first = next(number for number, part in enumerate(parts) if _MAGIC.search(part))
    return "/".join(parts[:first]), "/".join(parts[first:])


@dataclass(frozen=True, slots=True)
class DiskPlace:
    """Files on a disk."""

    path: str

    @property
    def location(self) -> str:
        return self.path

    def locate(self, path: str) -> str:
        return path

    def copy(self, path: str) -> Any:
        return copy_file(Path(path))

    def find_change(self) -> datetime | None:
        if not is_pattern(self.path):
            return find_change(Path(self.path))
        return max(filter(None, (find_change(path) for path in self._find().values())), default=None)

    def list_files(self) -> list[FoundFile]:
        folder, _ = split_pattern(self.path)
        if not Path(folder or "/").is_dir():
            raise SourceError(f"{folder} does not exist or is not a folder: create it, or change `path`.")
        found = self._find()
        return [FoundFile(name, str(found[name]), describe_stamp(found[name])) for name in sorted(found)]

    def _find(self) -> dict[str, Path]:
        folder, pattern = split_pattern(self.path)
        names = glob.glob(pattern, root_dir=folder or "/", recursive=True)  # noqa: PTH207  (pathlib's finds hidden ones)
        paths = {_show(name): Path(folder or "/") / name for name in names}
        return {name: path for name, path in paths.items() if not path.is_dir()}


def _show(name: str) -> str:
    """Return a file's name as text that a database can store, even if it is not valid UTF-8."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


@dataclass(frozen=True, slots=True)
class StoragePlace:
    """Files in one of the project's storages (STORAGES), by their names in it."""

    alias: str
    path: str

    @classmethod
    def parse(cls, path: str) -> "StoragePlace":
        """Return the place of an address such as storage://imports/payments.csv."""
        alias, _, name = path[len(STORAGE) :].partition("/")
        return cls(alias, name)

    @property
    def location(self) -> str:
        return self.locate(self.path)

    def locate(self, path: str) -> str:
        return f"{STORAGE}{self.alias}/{path}"

    def find_change(self) -> datetime | None:
        return None

    @contextmanager
    def copy(self, path: str) -> Iterator[LocalCopy]:
        with open_temporary() as copy:
            for _ in range(COPY_ATTEMPTS):
                before = self._describe(path)
                with self._guard(path):
                    file = self._find_storage().open(path, "rb")
                with file:
                    fingerprint, size = write_copy(self._read(file, path), copy, self.locate(path))
                if self._describe(path) == before:
                    stamp = before if self._is_settled(path, find_written(copy)) else ""
                    yield LocalCopy(copy, fingerprint, size, stamp=stamp)
                    return
            text = f"{self.locate(path)} is being written while it is read: try again when it is complete."
            raise TransientSourceError(text)

    def list_files(self) -> list[FoundFile]:
        folder, pattern = split_pattern(self.path)
        with self._guard(self.path):
            names = sorted(set(_walk(self._find_storage(), folder, pattern.split("/"))))
        return list(self._describe_all(folder, names))

    def _describe_all(self, folder: str, names: list[str]) -> Iterator[FoundFile]:
        for name in names:
            path = posixpath.join(folder, name)
            with suppress(MissingFile):  # deleted since the folder was listed
                yield FoundFile(name, path, self._describe(path))

    def _find_storage(self) -> Storage:
        return storages[self.alias]

    def _read(self, file: Any, path: str) -> Iterator[bytes]:
        with self._guard(path):
            yield from iter(partial(file.read, COPY_BYTES), b"")

    def _describe(self, path: str) -> str:
        """Return the file's stamp; empty if the storage does not know when it was changed."""
        with self._guard(path):
            size, changed = self._find_storage().size(path), self._find_modified(path)
        return f"{size} {changed.isoformat()}" if changed is not None else ""

    def _find_modified(self, path: str) -> datetime | None:
        try:
            return self._find_storage().get_modified_time(path)
        except NotImplementedError:
            return None

    def _is_settled(self, path: str, written: datetime) -> bool:
        """Whether a later change must show in the file's time: some storages give it in whole seconds."""
        with self._guard(path):
            changed = self._find_modified(path)
        if changed is None:
            return False
        aware = changed if changed.tzinfo is not None else changed.astimezone()
        return written - aware > timedelta(seconds=RECENT)

    @contextmanager
    def _guard(self, path: str) -> Iterator[None]:
        """Turn any error of a storage into a SourceError. A storage's own words may show a key."""
        where = self.locate(path)
        try:
            yield
        except RunError:
            raise
        except InvalidStorageError:
            known = ", ".join(map(repr, storages.backends))
            raise SourceError(f"{where}: STORAGES has no usable storage {self.alias!r}; it has {known}.") from None
        except FileNotFoundError:
            raise MissingFile(f"{where} does not exist: put the file there or change `path`.") from None
        except (SuspiciousOperation, ValueError):
            raise SourceError(f"{where} is not a name that the storage {self.alias!r} permits.") from None
        except IsADirectoryError:
            raise SourceError(f"{where} is a folder, not a file.") from None
        except Exception as error:  # noqa: BLE001  (each storage has errors of its own)
            remedy = "check its options in STORAGES, its permissions and the network"
            text = f"{where}: the storage {self.alias!r} failed with {type(error).__name__}; {remedy}."
            raise TransientSourceError(text) from None


def _walk(storage: Storage, folder: str, parts: list[str]) -> Iterator[str]:
    """Yield the names of the files below the folder that the parts of a pattern find, as `glob` does on a disk."""
    part, *rest = parts
    folders, files = storage.listdir(folder)
    if not rest:
        yield from (name for name in files if name and _fits(name, "*" if part == "**" else part))
        return
    if part == "**":
        yield from _walk(storage, folder, rest)
    for name in folders:
        if _fits(name, "*" if part == "**" else part):
            below = _walk(storage, posixpath.join(folder, name), parts if part == "**" else rest)
            yield from (posixpath.join(name, each) for each in below)


def _fits(name: str, part: str) -> bool:
    """Whether the name fits one part of a pattern. Hidden files must be asked for: many are still being uploaded."""
    return fnmatchcase(name, part) and (part.startswith(".") or not name.startswith("."))


def find_place(path: str, base: Path) -> DiskPlace | StoragePlace:
    """Return the place of a path that is not an http(s) address."""
    return StoragePlace.parse(path) if path.startswith(STORAGE) else DiskPlace(str(base / path))
