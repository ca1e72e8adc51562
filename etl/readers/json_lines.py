"""JSON feeds: NDJSON or one JSON array, from a file or an http(s) address."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import ClassVar

from etl.conf import find_base
from etl.http.addresses import hide_secrets
from etl.http.client import open_body
from etl.http.request import Request
from etl.local_copy import copy_file, find_change
from etl.read_context import ReadContext
from etl.readers.content import Content, Opening
from etl.readers.json_records import JsonContent, looks_cut, revive
from etl.readers.source import Source
from etl.records import Record, Refusal, StoredRefusal
from etl.vocabulary import SourceKind


class JsonLinesSource(Source):
    """NDJSON or one JSON array at `path`: a file (relative to the project's folder) or an http(s) address.

    Raw records are kept in `raw_third_source_data`.
    """

    kind = SourceKind.THIRD
    path: ClassVar[str]

    @property
    def location(self) -> str:
        return hide_secrets(self.path, self.secrets) if self._is_remote() else str(find_base() / self.path)

    def _is_remote(self) -> bool:
        return self.path.lower().startswith(("http://", "https://"))

    @contextmanager
    def open(self, opening: Opening, context: ReadContext) -> Iterator[Content | None]:
        if not self._is_remote():
            with copy_file(Path(self.location)) as copy:
                yield JsonContent(copy, self.location)
            return
        request = Request(self.path, secrets=tuple(self.secrets))
        with open_body(request, opening.validators, context, looks_cut) as body:
            yield None if body is None else JsonContent(body.copy, self.location, validators=body.validators)

    def find_change(self) -> datetime | None:
        return None if self._is_remote() else find_change(Path(self.location))

    def revive(self, stored: StoredRefusal) -> Record | Refusal | None:
        return revive(stored)
