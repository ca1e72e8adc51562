"""JSON feeds: NDJSON or one JSON array, from a file or an http(s) address."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import ClassVar

from etl.conf import find_base
from etl.http.addresses import hide_secrets
from etl.http.request import Request
from etl.local_copy import copy_file, find_change
from etl.read_context import ReadContext
from etl.readers.content import Content, Opening
from etl.readers.json_http import Whole, open_json
from etl.readers.json_records import JsonContent, revive
from etl.readers.json_text import refuse_other
from etl.readers.source import Source
from etl.records import Record, Refusal, StoredRefusal
from etl.vocabulary import SourceKind


class JsonLinesSource(Source):
    """NDJSON or one JSON array at `path`: a file (relative to the project's folder) or an http(s) address.

    Raw records are kept in `raw_third_source_data`. With `whole = "unproven"` it accepts a body whose end nothing
    proves.
    """

    kind = SourceKind.THIRD
    path: ClassVar[str]
    whole: ClassVar[Whole] = "proven"

    @property
    def location(self) -> str:
        return hide_secrets(self.path, self.secrets) if self._is_remote() else str(find_base() / self.path)

    def _is_remote(self) -> bool:
        return self.path.lower().startswith(("http://", "https://"))

    @contextmanager
    def open(self, opening: Opening, context: ReadContext) -> Iterator[Content | None]:
        if not self._is_remote():
            with copy_file(Path(self.location)) as copy:
                refuse_other(copy, self)
                yield JsonContent(copy, self.location)
            return
        request = Request(self.path, secrets=tuple(self.secrets))
        with open_json(self, request, opening, context, whole=self.whole, must_be_array=False) as content:
            yield content

    def find_change(self) -> datetime | None:
        return None if self._is_remote() else find_change(Path(self.location))

    def revive(self, stored: StoredRefusal) -> Record | Refusal | None:
        return revive(stored)
