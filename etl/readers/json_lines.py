"""JSON feeds: NDJSON or one JSON array, from a file or an http(s) address."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

from django.conf import settings

from etl.readers.base import Content, Opening, Source, Watch
from etl.readers.http import Request, hide_secrets, open_body
from etl.readers.json_records import JsonContent, looks_cut, revive
from etl.readers.snapshot import copy_file
from etl.records import Kept, Record, Refusal, SourceKind


class JsonLinesSource(Source):
    """NDJSON or one JSON array at `path`: a file (relative to the project's folder) or an http(s) address.

    Kept in `raw_third_source_data`.
    """

    kind = SourceKind.THIRD
    path: ClassVar[str]

    @property
    def location(self) -> str:
        return hide_secrets(self.path) if self._is_remote() else str(settings.BASE_DIR / self.path)

    def _is_remote(self) -> bool:
        return self.path.lower().startswith(("http://", "https://"))

    @contextmanager
    def open(self, opening: Opening, watch: Watch) -> Iterator[Content | None]:
        if not self._is_remote():
            with copy_file(Path(self.location)) as snapshot:
                yield JsonContent(snapshot, self.location)
            return
        with open_body(Request(self.path), opening, watch, looks_cut) as body:
            yield None if body is None else JsonContent(body.snapshot, self.location, validators=body.validators)

    def revive(self, kept: Kept) -> Record | Refusal | None:
        return revive(kept)
