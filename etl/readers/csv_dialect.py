"""CSV as a dialect of files, and the kind of source that has it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from etl.contracts.forms import FILE_FORM, Form
from etl.local_copy import LocalCopy
from etl.readers.csv_end import breaks_off_in_quotes
from etl.readers.csv_file import CsvContent
from etl.readers.csv_lines import encode
from etl.readers.file_source import FileSource
from etl.readers.source import Source
from etl.records import Record, Refusal, StoredRefusal
from etl.vocabulary import SourceKind


@dataclass(frozen=True, slots=True)
class Csv:
    """CSV: UTF-8, comma, RFC 4180 quotes, a header in its first line."""

    @property
    def kind(self) -> SourceKind:
        return SourceKind.CSV

    @property
    def form(self) -> Form:
        return FILE_FORM

    def open(
        self, copy: LocalCopy, source: Source, *, validators: Mapping[str, str] | None = None, is_proven: bool = True
    ) -> CsvContent:
        return CsvContent(
            copy, source.location, validators or {}, is_proven=is_proven, contract=getattr(source, "contract", None)
        )

    def looks_cut(self, copy: LocalCopy) -> bool:
        return breaks_off_in_quotes(copy)

    def proves_end(self, copy: LocalCopy) -> bool:
        return False

    def revive(self, stored: StoredRefusal) -> Record | Refusal | None:
        """Revive a record from its columns; None for a row of too few or too many, whose column names are unknown."""
        values = json.loads(stored.payload) if stored.payload is not None else None
        if not isinstance(values, dict):
            return None
        return Record(stored.position, stored.line, values, encode(values), stored.original or b"")


class CsvSource(FileSource):
    """A CSV file at `path`. Raw records are kept in `raw_csv_data`."""

    dialect: ClassVar[Csv] = Csv()
