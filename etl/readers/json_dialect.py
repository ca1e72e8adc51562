"""JSON as a dialect of files and bodies, and the kind of source that has it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from etl.contracts.forms import JSON_FORM, Form
from etl.local_copy import LocalCopy
from etl.readers import json_records
from etl.readers.file_source import FileSource
from etl.readers.json_records import JsonContent
from etl.readers.json_text import describe_other, is_closed_array, refuse_other, report_other
from etl.readers.source import Source
from etl.records import Record, Refusal, StoredRefusal
from etl.vocabulary import SourceKind


@dataclass(frozen=True, slots=True)
class Json:
    """One JSON array, or NDJSON unless it `must_be_array`."""

    must_be_array: bool = False

    @property
    def kind(self) -> SourceKind:
        return SourceKind.THIRD

    @property
    def form(self) -> Form:
        return JSON_FORM

    def describe(self) -> Mapping[str, Any]:
        return {}

    def open(
        self, copy: LocalCopy, source: Source, *, validators: Mapping[str, str] | None = None, is_proven: bool = True
    ) -> JsonContent:
        if other := describe_other(copy):
            raise report_other(copy, source.location, other)
        refuse_other(copy, source, must_be_array=self.must_be_array)
        return JsonContent(copy, source.location, self.must_be_array, validators or {}, is_proven)

    def looks_cut(self, copy: LocalCopy) -> bool:
        return json_records.looks_cut(copy)

    def proves_end(self, copy: LocalCopy) -> bool:
        return is_closed_array(copy)

    def revive(self, stored: StoredRefusal) -> Record | Refusal | None:
        return json_records.revive(stored)


class JsonLinesSource(FileSource):
    """NDJSON or one JSON array at `path`. Raw records are kept in `raw_third_source_data`."""

    dialect: ClassVar[Json] = Json()
