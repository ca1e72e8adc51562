"""CSV as a dialect of files: all that a source can declare about how its file is written, checked when it is."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar

from etl.contracts.forms import Form
from etl.local_copy import LocalCopy
from etl.readers.csv_end import breaks_off_in_quotes
from etl.readers.csv_file import CsvContent
from etl.readers.csv_lines import encode
from etl.readers.csv_syntax import CsvSyntax
from etl.readers.dialect_options import Option, check_options
from etl.readers.encodings import check_encodable, check_encoding
from etl.readers.file_source import FileSource
from etl.readers.source import Source
from etl.records import Record, Refusal, StoredRefusal
from etl.vocabulary import SourceKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Csv:
    r"""How a CSV file is written. By default: UTF-8, comma, RFC 4180 quotes, a header in its first line.

    `quote=None`: quotes are text. `line_end="\r"`: carriage returns alone end lines; the default takes LF and CRLF.
    `comment`: lines that begin with it are not records. `skip_lines` come before the header, `footer_lines` at the end.
    `names` name the columns of a file without header. `trailing_delimiter`: rows may end with blank cells without a
    name. `trim`: cells are read without the blanks around them. Raises ValueError.
    """

    delimiter: str = ","
    quote: str | None = '"'
    escape: str | None = None
    doubled_quotes: bool = True
    encoding: str = "utf-8"
    line_end: str = "\n"
    comment: str | None = None
    skip_lines: int = 0
    footer_lines: int = 0
    names: Sequence[str] | None = None
    trailing_delimiter: bool = False
    trim: bool = False
    decimal: str = "."
    thousands: str = ""
    null_words: Sequence[str] = ("",)
    true_words: Sequence[str] = ("true",)
    false_words: Sequence[str] = ("false",)

    def __post_init__(self) -> None:
        options: dict[str, Option] = {each.name: getattr(self, each.name) for each in fields(self)}
        for name, value in check_options("Csv", options).items():
            object.__setattr__(self, name, value)
        object.__setattr__(self, "encoding", check_encoding(self.encoding))
        for name in ("delimiter", "quote", "escape", "comment"):
            check_encodable(name, getattr(self, name) or "", self.encoding)

    @property
    def kind(self) -> SourceKind:
        return SourceKind.CSV

    @property
    def form(self) -> Form:
        return make_form(self)

    @property
    def has_siblings(self) -> bool:
        return False

    @property
    def syntax(self) -> CsvSyntax:
        given = {each.name: getattr(self, each.name) for each in fields(CsvSyntax)}
        return CsvSyntax(**given | {"quote": self.quote or ""})

    def describe(self) -> Mapping[str, Any]:
        """Return the options that are not the defaults: with others, the same file may be read differently."""
        return {each.name: value for each in fields(self) if (value := getattr(self, each.name)) != each.default}

    def open(
        self, copy: LocalCopy, source: Source, *, validators: Mapping[str, str] | None = None, is_proven: bool = True
    ) -> CsvContent:
        return CsvContent(
            *(copy, source.location, validators or {}),
            is_proven=is_proven,
            syntax=self.syntax,
            contract=getattr(source, "contract", None),
            is_page=getattr(source, "pages", None) is not None,
        )

    def looks_cut(self, copy: LocalCopy) -> bool:
        return breaks_off_in_quotes(copy, self.syntax)

    def proves_end(self, copy: LocalCopy) -> bool:
        return False

    def revive(self, stored: StoredRefusal) -> Record | Refusal | None:
        """Revive a record from its columns; None for a row of too few or too many, whose column names are unknown."""
        return revive_columns(stored)


def make_form(dialect: Any) -> Form:
    """Return how the values of a file in this dialect are written. An empty cell is null in every file."""
    return Form(
        is_file=True,
        nulls=frozenset(dialect.null_words) | {""},
        trues=frozenset(dialect.true_words),
        falses=frozenset(dialect.false_words),
        decimal_sign=dialect.decimal,
        thousands_sign=dialect.thousands,
    )


def revive_columns(stored: StoredRefusal) -> Record | None:
    """Revive a record from the columns that were kept of it."""
    values = json.loads(stored.payload) if stored.payload is not None else None
    if not isinstance(values, dict):
        return None
    return Record(stored.position, stored.line, values, encode(values), stored.original or b"")


class CsvSource(FileSource):
    """A CSV file at `path`. Raw records are kept in `raw_csv_data`."""

    dialect: ClassVar[Csv] = Csv()
