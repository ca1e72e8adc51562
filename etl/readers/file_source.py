"""A source whose content is a file: at a path or at an http(s) address, in the format that its dialect says."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import copy as copy_object
from dataclasses import replace
from datetime import datetime
from typing import Any, ClassVar, Self

from etl.conf import find_base
from etl.http.addresses import hide_secrets
from etl.local_copy import MissingFile
from etl.read_context import ReadContext
from etl.readers.containers import unpack
from etl.readers.content import Content, OpenedFile, Opening
from etl.readers.dialect import Dialect
from etl.readers.http_content import open_response
from etl.readers.http_source import HttpSource
from etl.readers.places import DiskPlace, FoundFile, StoragePlace, find_place, is_pattern
from etl.records import Record, Refusal, StoredRefusal


class FileSource(HttpSource):
    """A file in a `dialect` at `path`.

    That is a path (relative to the project's folder), a file in a Django storage (`storage://imports/payments.csv`, by
    the storage's alias in STORAGES) or an http(s) address.

    It may be packed by gzip or zip. At an address: override `headers` to send credentials.
    """

    path: str
    dialect: ClassVar[Dialect]

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "dialect" in vars(cls):
            cls.kind, cls.form = cls.dialect.kind, cls.dialect.form

    @property
    def location(self) -> str:
        return hide_secrets(self.path, self.secrets) if self._is_remote() else self.place.location

    @property
    def place(self) -> DiskPlace | StoragePlace:
        """Where the file is, unless it is at an address."""
        return find_place(self.path, find_base())

    def _is_remote(self) -> bool:
        return self.path.lower().startswith(("http://", "https://"))

    @contextmanager
    def open(self, opening: Opening, context: ReadContext) -> Iterator[Content | None]:
        if self.has_pattern:
            with self.open_file(self._find_first()) as opened:
                yield opened.content
            return
        if not self._is_remote():
            with self.place.copy(self.place.path) as packed, unpack(packed, self.location) as copy:
                yield self.dialect.open(copy, self)
            return
        request = self.make_request(self.path)
        with open_response(self, self.dialect, request, opening, context, whole=self.whole) as response:
            yield response.content if response is not None else None

    @property
    def has_pattern(self) -> bool:
        return is_pattern(self.path)

    def list_files(self) -> Sequence[FoundFile]:
        return self.place.list_files()

    @contextmanager
    def open_file(self, file: FoundFile) -> Iterator[OpenedFile]:
        where = self.place.locate(file.path)
        with self.place.copy(file.path) as packed, unpack(replace(packed, name=file.name), where) as copy:
            yield OpenedFile(self.dialect.open(copy, self._at(where)), packed.stamp)

    def _at(self, path: str) -> Self:
        """Return this source for one of its files, so that messages name the file."""
        found = copy_object(self)
        found.path = path
        return found

    def _find_first(self) -> FoundFile:
        """Return the first file, for a look at the source that is not a run."""
        files = self.place.list_files()
        if not files:
            raise MissingFile(f"{self.location}: no file has such a name.")
        return files[0]

    def find_change(self) -> datetime | None:
        return None if self._is_remote() else self.place.find_change()

    def revive(self, stored: StoredRefusal) -> Record | Refusal | None:
        return self.dialect.revive(stored)

    @classmethod
    def describe_reading(cls) -> Mapping[str, Any]:
        return cls.dialect.describe()
