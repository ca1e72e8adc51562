"""Reads one sheet of a workbook through python-calamine, which holds the whole sheet in memory."""

import importlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Any

from etl.contracts.contract import Contract
from etl.contracts.names import list_doubled, number_doubled
from etl.exceptions import SourceError
from etl.local_copy import LocalCopy
from etl.readers.content import gather_chunks
from etl.readers.copied_content import CopiedContent
from etl.readers.excel_cells import CellWriter
from etl.readers.excel_sheet import choose_sheet
from etl.readers.lookalikes import HEAD_BYTES, describe_lookalike
from etl.records import Breach, Chunk, Cursor, Original, Record, Refusal
from etl.vocabulary import BreachCode

encode = json.JSONEncoder(ensure_ascii=False).encode


@dataclass(frozen=True, slots=True)
class Header:
    """The columns of a sheet: by number, their name and whether their days stand for midnights.

    Columns without a name must be blank.
    """

    names: Mapping[int, str]
    moments: frozenset[int]


@dataclass
class ExcelContent(CopiedContent):
    """A copy of a workbook. A cursor is `{position, line, offset}`; `line` is the row of the last record read."""

    copy: LocalCopy
    location: str
    sheet: str | int | None
    header_row: int
    footer_rows: int
    cells: CellWriter
    contract: type[Contract] | None = None
    validators: Mapping[str, str] = field(default_factory=dict)
    is_proven: bool = True
    _loaded: Any = field(default=None, repr=False, compare=False)

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_loaded": None}  # another process loads the sheet itself

    def describe_lookalike(self) -> str:
        return ""  # a file that is not a workbook can't be loaded, and that error names it

    def find_columns(self) -> Sequence[str]:
        return list(self._read_header().names.values())

    def read(self, cursor: Cursor | None, batch_size: int) -> Iterator[Chunk]:
        start = cursor or {"position": 0, "line": self.header_row, "offset": 0}
        header, sheet = self._read_header(), self._load()
        rows: dict[int, int] = {start["position"]: start["line"]}

        def describe_cursor(position: int) -> Cursor:
            row = rows.pop(position)
            return {"position": position, "line": row, "offset": self.size * row // max(_count_rows(sheet), 1)}

        def note(items: Iterator[Record | Refusal]) -> Iterator[Record | Refusal]:
            for item in items:
                rows.clear()
                rows[item.position] = item.line
                yield item

        return gather_chunks(note(self._list_items(header, start)), batch_size, describe_cursor)

    def _list_items(self, header: Header, start: Cursor) -> Iterator[Record | Refusal]:
        sheet, position = self._load(), start["position"]
        end = max(_count_rows(sheet) - self.footer_rows, start["line"])
        for row, cells in enumerate(islice(sheet.iter_rows(), start["line"], end), start=start["line"] + 1):
            if any(cell != "" for cell in cells):
                position += 1
                yield self._make_item(header, cells, sheet.start[1], position, row)

    def _make_item(self, header: Header, cells: Sequence[Any], first: int, position: int, row: int) -> Record | Refusal:
        """Make the record of a row, whose cells begin at column `first`, counted from 0."""
        texts = {
            column: self.cells.write(cell, is_moment=column in header.moments)
            for column, cell in enumerate(cells, start=first)
        }
        loose = [column for column, text in texts.items() if text and column not in header.names]
        if loose:
            message = f"has a value in column {_name_column(loose[0])}, which has no name in row {self.header_row}"
            payload = encode(list(texts.values()))
            original = Original.of(payload.encode(errors="surrogatepass"))
            return Refusal(position, row, Breach(BreachCode.COLUMN_COUNT, message), payload, original)
        values = {name: texts.get(column, "") for column, name in header.names.items()}
        payload = encode(values)
        return Record(position, row, values, payload, payload.encode(errors="surrogatepass"))

    def _read_header(self) -> Header:
        sheet = self._load()
        row = next(islice(sheet.iter_rows(), self.header_row - 1, None), None) if _count_rows(sheet) else None
        texts = [self.cells.write(cell, is_moment=False).strip() for cell in row or ()]
        found = {column: text for column, text in enumerate(texts, start=sheet.start[1] if row else 0) if text}
        if not found:
            place = f"row {self.header_row} of sheet {sheet.name!r}"
            raise SourceError(f"{self.location} has no column names in {place}: declare header_row=.")
        names = list(found.values())
        doubled = self.contract.find_doubled(names) if self.contract is not None else list_doubled(names)
        if doubled:
            raise SourceError(f"{self.location}: the header names {', '.join(map(repr, doubled))} more than once.")
        named = dict(zip(found, number_doubled(names), strict=True))
        moments = self._list_moments(named)
        return Header(named, frozenset(column for column, name in named.items() if name in moments))

    def _list_moments(self, named: Mapping[int, str]) -> set[str]:
        """Return the columns of fields that are times."""
        if self.contract is None:
            return set()
        resolved = self.contract.resolve(tuple(named.values()))
        times = {name for name, each in self.contract.fields.items() if each.parsed is datetime}
        return {column for name in times & resolved.keys() for column in resolved[name]}

    def _load(self) -> Any:
        if self._loaded is None:
            self._loaded = _load(self.copy, self.sheet, self.location)
        return self._loaded


def _load(copy: LocalCopy, wanted: str | int | None, location: str) -> Any:
    """Load a sheet. Raises SourceError if python-calamine is missing or can't read the workbook."""
    try:
        calamine = importlib.import_module("python_calamine")
    except ModuleNotFoundError:
        remedy = "it is an extra, so add python-calamine to your requirements and install it"
        raise SourceError(f"{location} can't be read without the package python-calamine: {remedy}.") from None
    if not copy.read_head(4).startswith(b"PK\x03\x04"):
        found = describe_lookalike(copy.read_head(HEAD_BYTES)) or "a text file"
        raise SourceError(f"{location} is not an .xlsx workbook: this looks like {found}.")
    name = choose_sheet(copy, wanted, location)
    copy.file.seek(0)
    try:
        return calamine.CalamineWorkbook.from_filelike(copy.file).get_sheet_by_name(name)
    except calamine.PasswordError:
        raise SourceError(f"{location} is protected by a password: save it without one.") from None
    except calamine.CalamineError:
        raise SourceError(f"{location} is damaged: python-calamine can't read its sheet {name!r}.") from None


def _count_rows(sheet: Any) -> int:
    return 0 if sheet.end is None else int(sheet.end[0]) + 1


def _name_column(number: int) -> str:
    """Return the letters of a column, counted from 0."""
    letters, number = "", number + 1
    while number:
        number, rest = divmod(number - 1, 26)
        letters = chr(65 + rest) + letters
    return letters
