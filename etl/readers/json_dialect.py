"""JSON as a dialect of files and bodies, and the kind of source that has it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from etl.contracts.forms import JSON_FORM, Form
from etl.contracts.json_values import JsonType
from etl.local_copy import LocalCopy
from etl.readers import json_records
from etl.readers.file_source import FileSource
from etl.readers.json_path import Layout, Path, Records, parse_records
from etl.readers.json_records import JsonContent
from etl.readers.json_text import describe_other, proves_end, refuse_other, report_other
from etl.readers.source import Source
from etl.records import Record, Refusal, StoredRefusal
from etl.vocabulary import SourceKind


@dataclass(frozen=True, slots=True)
class Json:
    """JSON whose `records` are the array at a path, or LINES. Without a path: one array, or lines unless it
    `must_be_array`.

    In a contract, `Json` is the type of a field that may be any JSON: in both places it is the format of a text.
    """

    __metadata__: ClassVar = (JsonType(),)  # as of Annotated, for contracts
    records: Records = None
    must_be_array: bool = False

    def __post_init__(self) -> None:
        parse_records(self.records)

    @property
    def path(self) -> Path | Layout | None:
        return parse_records(self.records)

    @property
    def kind(self) -> SourceKind:
        return SourceKind.THIRD

    @property
    def form(self) -> Form:
        return JSON_FORM

    @property
    def has_siblings(self) -> bool:
        return isinstance(self.path, tuple) and bool(self.path)

    def describe(self) -> Mapping[str, Any]:
        path = self.path
        return {} if path is None else {"records": repr(path)}

    def open(
        self, copy: LocalCopy, source: Source, *, validators: Mapping[str, str] | None = None, is_proven: bool = True
    ) -> JsonContent:
        if other := describe_other(copy):
            raise report_other(copy, source.location, other)
        path = self.path
        is_page = getattr(source, "pages", None) is not None
        refuse_other(copy, source, path, must_be_array=self.must_be_array, is_page=is_page)
        return JsonContent(
            copy,
            source.location,
            self.must_be_array,
            validators or {},
            is_proven,
            records=path,
            accepts=Acceptance(source),
            is_page=is_page,
        )

    def looks_cut(self, copy: LocalCopy) -> bool:
        return json_records.looks_cut(copy, self.path)

    def proves_end(self, copy: LocalCopy) -> bool:
        return proves_end(copy, self.path)

    def revive(self, stored: StoredRefusal) -> Record | Refusal | None:
        return json_records.revive(stored)


@dataclass(frozen=True, slots=True)
class Acceptance:
    """Whether a source's contract accepts a record. A field type of the source's own may raise anything."""

    source: Source

    def __call__(self, values: Mapping[str, Any]) -> bool:
        try:
            return self.source.contract.accepts(values, self.source.local_form)
        except Exception:  # noqa: BLE001  (law 13: then the record is not accepted)
            return False


class JsonLinesSource(FileSource):
    """A JSON file at `path`, whose `records` are the array at a path in it, or LINES.

    Without `records` it is NDJSON or one JSON array. Raw records are kept in `raw_third_source_data`.
    """

    dialect: ClassVar[Json] = Json()
    records: ClassVar[Records] = None

    def __init_subclass__(cls, **options: Any) -> None:
        if "records" in vars(cls):
            cls.dialect = replace(cls.dialect, records=cls.records)
        super().__init_subclass__(**options)
