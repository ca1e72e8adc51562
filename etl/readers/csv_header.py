"""Finds where a CSV file's records begin and end, and which columns they have: its header, or the names declared."""

import csv
from collections.abc import Sequence

from etl.contracts.contract import Contract
from etl.contracts.names import list_doubled, number_doubled
from etl.exceptions import SourceError
from etl.local_copy import LocalCopy
from etl.readers.csv_lines import BadByte, Lines, show_encoding
from etl.readers.csv_syntax import CsvSyntax, Layout, describe_csv_error
from etl.readers.encodings import Encoding, find_encoding, find_other_mark
from etl.readers.lookalikes import HEAD_BYTES, describe_undeclared
from etl.readers.physical_lines import LineCutter


def read_header(
    copy: LocalCopy, syntax: CsvSyntax, location: str, contract: type[Contract] | None
) -> tuple[Lines, Layout]:
    """Return the lines, at the first one after the header, and the layout of their rows. Raises SourceError."""
    return _Header(copy, syntax, location, contract).read()


class _Header:
    def __init__(self, copy: LocalCopy, syntax: CsvSyntax, location: str, contract: type[Contract] | None) -> None:
        self.copy, self.syntax, self.location, self.contract = copy, syntax, location, contract

    def read(self) -> tuple[Lines, Layout]:
        encoding = self._find_encoding()
        comment = (self.syntax.comment or "").encode(encoding.name)
        lines = Lines(self.copy, LineCutter(encoding, self.syntax.line_end), comment)
        self._skip_preamble(lines)
        footer = lines.cutter.find_footer(lines.file, lines.offset, lines.end, self.syntax.footer_lines)
        lines.end = footer
        lines.takes_open_end = self.syntax.escape is None  # an escape may precede an end that is not there
        lines.go_to(lines.offset, lines.line)
        header = list(self.syntax.names) if self.syntax.names is not None else self._read_names(lines)
        names = self._name_columns(header)
        surplus = len(header) - len(names) + self.syntax.trailing_delimiter
        return lines, Layout(
            names=names,
            surplus=surplus,
            cutter=lines.cutter,
            parameters=self.syntax.list_parameters(),
            quote=self.syntax.quote.encode(encoding.name),
            comment=comment,
            is_trimmed=self.syntax.trim,
        )

    def _find_encoding(self) -> Encoding:
        head = self.copy.read_head(HEAD_BYTES)
        declared = self.syntax.encoding
        if declared != "utf-8" and (other := find_other_mark(declared, head)):
            raise self._fail(f"it begins with the byte order mark of {other}, but encoding={declared!r} is declared")
        found = find_encoding(declared, head)
        if found is None:
            remedy = 'declare encoding="utf-16-le" or "utf-16-be" if it is UTF-16 without a byte order mark'
            raise self._fail(f"it does not begin with a UTF-16 byte order mark: {remedy}")
        return found

    def _skip_preamble(self, lines: Lines) -> None:
        for number in range(self.syntax.skip_lines):
            if not lines.skip_line():
                raise self._fail(f"its {number} lines are fewer than skip_lines={self.syntax.skip_lines} says")
        if self.syntax.delimiter != "," and not self.syntax.skip_lines:
            self._skip_named_separator(lines)

    def _skip_named_separator(self, lines: Lines) -> None:
        """Go past a first line `sep=;` that names the declared delimiter. Another one is no column, and is named."""
        offset, line = lines.offset, lines.line
        first = lines.look_ahead(1, HEAD_BYTES)
        text = lines.encoding.strip_line_end(first[0]) if first else b""
        if text.lower() == f"sep={self.syntax.delimiter}".encode(lines.encoding.name).lower():
            lines.skip_line()
        else:
            lines.go_to(offset, line)

    def _read_names(self, lines: Lines) -> list[str]:
        """Read the first line that is neither blank nor a comment."""
        rows = csv.reader(lines, **self.syntax.list_parameters())
        row: list[str] = []
        try:
            while not row:
                lines.begin_record()
                row = next(rows)
        except StopIteration:
            raise self._report_no_header() from None
        except csv.Error as error:
            raise self._fail(f"the header can't be read: {describe_csv_error(error)}") from None
        if lines.bad:
            raise self._fail(self._describe_bad(lines.bad, lines.encoding.name))
        if any("\0" in name for name in row):
            raise self._fail("the header has NUL characters")
        return [*map(str.strip, row)] if self.syntax.trim else row

    def _report_no_header(self) -> SourceError:
        skipped, footer = self.syntax.skip_lines, self.syntax.footer_lines
        if skipped or footer:
            return self._fail(f"it has no header: skip_lines={skipped} and footer_lines={footer} leave no line for it")
        return SourceError(f"{self.location} is empty: its first line must name the columns.")

    def _describe_bad(self, bad: BadByte, encoding: str) -> str:
        if self._find_lookalike():
            return f"the header is not valid {show_encoding(encoding)}"
        return f'the header {bad.describe(encoding)}; declare the encoding of the file, such as encoding="cp1252"'

    def _name_columns(self, header: list[str]) -> Sequence[str]:
        """Return a name for each column. If a name is there twice, the later one gets a number."""
        while self.syntax.trailing_delimiter and len(header) > 1 and not header[-1]:
            header = header[:-1]
        if header.count("") > 1:
            remedy = "declare trailing_delimiter=True if they are blank in each row too"
            raise self._fail(f"{header.count('')} columns of the header have no name: {remedy}")
        doubled = self.contract.find_doubled(header) if self.contract is not None else list_doubled(header)
        if doubled:
            raise self._fail(f"the header names {', '.join(map(repr, doubled))} more than once")
        return number_doubled(header)

    def _fail(self, message: str) -> SourceError:
        found = self._find_lookalike()
        return SourceError(f"{self.location}: {message}{f'; this looks like {found}' if found else ''}.")

    def _find_lookalike(self) -> str:
        return describe_undeclared(self.copy.read_head(HEAD_BYTES), self.syntax)
