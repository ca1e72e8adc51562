"""Excel workbooks as a dialect of files: one sheet, a row of names, and typed cells that become text."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar

from etl.contracts.forms import Form
from etl.local_copy import LocalCopy
from etl.readers.csv_dialect import make_form, revive_columns
from etl.readers.dialect_options import Option, check_options
from etl.readers.excel_cells import CellWriter
from etl.readers.excel_file import ExcelContent
from etl.readers.file_source import FileSource
from etl.readers.source import Source
from etl.records import Record, Refusal, StoredRefusal
from etl.vocabulary import SourceKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Excel:
    """How a workbook (.xlsx, .xlsm) is laid out. By default: its only sheet, with the names in the first row.

    `sheet` is a name, or a number from 1 on. `header_row` names the columns; rows above it are not records, and neither
    are the last `footer_rows`. Signs and words are those of cells with text. Raises ValueError.
    """

    sheet: str | int | None = None
    header_row: int = 1
    footer_rows: int = 0
    decimal: str = "."
    thousands: str = ""
    null_words: Sequence[str] = ("",)
    true_words: Sequence[str] = ("true",)
    false_words: Sequence[str] = ("false",)

    def __post_init__(self) -> None:
        options: dict[str, Option] = {each.name: getattr(self, each.name) for each in fields(self)}
        for name, value in check_options("Excel", options).items():
            object.__setattr__(self, name, value)

    @property
    def kind(self) -> SourceKind:
        return SourceKind.CSV

    @property
    def form(self) -> Form:
        return make_form(self)

    @property
    def has_siblings(self) -> bool:
        return False

    def describe(self) -> Mapping[str, Any]:
        """Return what kind of file it is, and the options that are not the defaults."""
        own = {each.name: value for each in fields(self) if (value := getattr(self, each.name)) != each.default}
        return {"excel": True, **own}

    def open(
        self, copy: LocalCopy, source: Source, *, validators: Mapping[str, str] | None = None, is_proven: bool = True
    ) -> ExcelContent:
        contract = getattr(source, "contract", None)
        cells = CellWriter(self.decimal, _choose("true", self.true_words), _choose("false", self.false_words))
        return ExcelContent(
            *(copy, source.location, self.sheet, self.header_row, self.footer_rows, cells, contract),
            validators=validators or {},
            is_proven=is_proven,
        )

    def looks_cut(self, copy: LocalCopy) -> bool:
        return False

    def proves_end(self, copy: LocalCopy) -> bool:
        return True  # the directory at its end lists all parts, and each has a checksum

    def revive(self, stored: StoredRefusal) -> Record | Refusal | None:
        return revive_columns(stored)


def _choose(word: str, words: Sequence[str]) -> str:
    return word if word in words or not words else words[0]


class ExcelSource(FileSource):
    """A sheet of the workbook at `path`. Raw records are kept in `raw_csv_data`."""

    dialect: ClassVar[Excel] = Excel()
