"""How a CSV file is written: what its dialect declares, and, once its header is read, its columns. Pure."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from etl.readers.physical_lines import LineCutter

_ADVICE: Mapping[str, str] = {
    "unexpected end of data": "a quote in it is never closed",
    "'": "text follows a closing quote",  # "',' expected after '"'": the signs are those of the dialect
    "new-line character": "it contains an unquoted carriage return or line feed",
    "field larger": "a field is too long",
    "the record is longer": "",
}


@dataclass(frozen=True, slots=True)
class CsvSyntax:
    """What a dialect declares of a file's text; etl/readers/csv_dialect.py says what each option means."""

    delimiter: str = ","
    quote: str = '"'
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

    def list_parameters(self) -> dict[str, Any]:
        """Return the parameters of csv.reader, without those that are its defaults anyway."""
        given: dict[str, Any] = {"strict": True}
        if self.delimiter != ",":
            given["delimiter"] = self.delimiter
        if not self.quote:
            given |= {"quoting": csv.QUOTE_NONE, "quotechar": None}
        elif self.quote != '"':
            given["quotechar"] = self.quote
        if self.escape is not None:
            given["escapechar"] = self.escape
        if not self.doubled_quotes:
            given["doublequote"] = False
        if self.trim:
            given["skipinitialspace"] = True
        return given


@dataclass(frozen=True, slots=True)
class Layout:
    """A file's columns, and how its rows are parsed. A row may have `surplus` blank cells after the columns."""

    names: Sequence[str]
    surplus: int = 0
    cutter: LineCutter = field(default_factory=LineCutter)
    parameters: Mapping[str, Any] = field(default_factory=lambda: {"strict": True})
    quote: bytes = b'"'
    comment: bytes = b""
    is_trimmed: bool = False

    def decode(self, lines: list[bytes]) -> Iterator[str]:
        """Decode lines that are without their ends."""
        return self.cutter.encoding.decode(lines, self.cutter.mark)

    def decode_one(self, line: bytes) -> str:
        return line.decode(self.cutter.encoding.name)

    def strip(self, original: bytes) -> bytes:
        """Return a record's bytes without line ends at their end."""
        return self.cutter.encoding.strip_line_end(original)

    def fit(self, row: list[str]) -> list[str] | None:
        """Return the cells of the columns; None if there are too few or too many."""
        if self.is_trimmed:
            row = [*map(str.strip, row)]
        if len(row) == len(self.names):
            return row
        width = len(self.names)
        return row[:width] if width < len(row) <= width + self.surplus and not any(row[width:]) else None

    def fit_columns(self, rows: list[list[str]]) -> Sequence[Sequence[str]] | None:
        """Return the columns of rows that all fit and have one length; None otherwise."""
        lengths, width = set(map(len, rows)), len(self.names)
        if len(lengths) > 1 or not width <= len(rows[0]) <= width + self.surplus:
            return None
        columns: Sequence[Sequence[str]] = list(zip(*rows, strict=True))
        if self.is_trimmed:
            columns = [tuple(map(str.strip, column)) for column in columns]
        if len(columns) == width:
            return columns
        return None if any(map(any, columns[width:])) else columns[:width]


def describe_csv_error(error: csv.Error) -> str:
    """Say in plain words why csv.reader refuses a record."""
    text = str(error)
    found = next((advice for start, advice in _ADVICE.items() if text.startswith(start)), "its quotes are wrong")
    return found or text
