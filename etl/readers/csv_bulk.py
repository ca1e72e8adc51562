"""CSV records in columns: physical lines parsed together, as long as nothing among them needs a closer look. Pure.

Well-formed records and rows of the wrong length are read here. A run ends before the first record that csv.reader
refuses, that can't be decoded, or that the lines at hand do not complete; etl/readers/csv_lines.py reads that one.
"""

import csv
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import repeat
from json.encoder import encode_basestring

from etl.readers.csv_lines import encode, refuse_columns
from etl.readers.csv_syntax import Layout
from etl.records import Record, Refusal

_ESCAPED = bytes([*range(0x20), *b'"\\'])
"""What JSON writes as an escape."""


@dataclass(slots=True)
class CsvSlice:
    """Records of a CSV file: a column of cells for each name in the header.

    `places` are the records' positions, `lines` the physical lines on which they begin, and `originals` their bytes,
    perhaps with line ends.
    """

    names: Sequence[str]
    columns: Sequence[Sequence[str]]
    places: Sequence[int]
    lines: Sequence[int]
    originals: Sequence[bytes]
    layout: Layout | None = None
    _quoted: list[Sequence[str] | None] | None = field(default=None, repr=False, compare=False)

    def __len__(self) -> int:
        return len(self.places)

    def take(self, name: str) -> Sequence[str | None]:
        return self.columns[self.names.index(name)] if name in self.names else [None] * len(self)

    def list_names(self) -> Sequence[str]:
        return self.names

    def list_columns(self) -> Mapping[str, Sequence[str]]:
        return dict(zip(self.names, self.columns, strict=True))

    def list_contents(self) -> Sequence[bytes]:
        """Return what `encode_canonically` gives for each record."""
        order = sorted(range(len(self.names)), key=self.names.__getitem__)
        return list(map(str.encode, self._join(order, comma=",", colon=":")))

    def list_places(self) -> Sequence[int]:
        return self.places

    def list_payloads(self) -> Sequence[str]:
        return self._join(range(len(self.names)), comma=", ", colon=": ")

    def make_record(self, index: int) -> Record:
        values = {name: column[index] for name, column in zip(self.names, self.columns, strict=True)}
        original = self.originals[index]
        original = self.layout.strip(original) if self.layout is not None else original
        return Record(self.places[index], self.lines[index], values, encode(values), original)

    def _join(self, order: Sequence[int], *, comma: str, colon: str) -> list[str]:
        """Return each record as a JSON object with its fields in this order."""
        if self._quoted is None:
            self._quoted = [_quote(column) for column in self.columns]
        parts: list[Sequence[str] | repeat[str]] = []
        before = "{"
        for index in order:
            quoted = self._quoted[index]
            mark = "" if quoted else '"'
            parts += [
                repeat(f"{before}{encode_basestring(self.names[index])}{colon}{mark}"),
                quoted or self.columns[index],
            ]
            before = f"{mark}{comma}"
        return list(map("".join, zip(*parts, repeat(before.removesuffix(comma) + "}"))))


def _quote(column: Sequence[str]) -> Sequence[str] | None:
    """Return the cells as JSON strings; None if quotation marks around each cell are enough."""
    text = "".join(column).encode()
    return list(map(encode_basestring, column)) if len(text.translate(None, _ESCAPED)) < len(text) else None


@dataclass(frozen=True, slots=True)
class Run:
    """Records read together: well-formed ones, those of the wrong length, and the number of lines they take."""

    records: CsvSlice | None = None
    refusals: Sequence[Refusal] = ()
    line_count: int = 0

    def __len__(self) -> int:
        return (len(self.records) if self.records is not None else 0) + len(self.refusals)


def read_run(lines: list[bytes], layout: Layout, position: int, line: int) -> Run:
    """Read as many of the lines as can be read together. They have no line ends; no record may continue after the last.

    `position` and `line` are those before the first one.
    """
    rows, ends = _parse(lines, layout)
    while rows and not rows[-1]:  # a cursor points after a record, not after the blank lines that follow it
        rows.pop()
    if not rows:
        return Run()
    ends = ends[: len(rows)]
    if columns := layout.fit_columns(rows):
        places = range(position + 1, position + 1 + len(rows))
        first_lines, originals = _place(ends, lines, layout, line)
        return Run(CsvSlice(layout.names, columns, places, first_lines, originals, layout), (), ends[-1])
    return _sort_out(rows, ends, lines, layout, position, line)


def _parse(lines: list[bytes], layout: Layout) -> tuple[list[list[str]], Sequence[int]]:
    """Return the rows, blank ones and comments included, and the number of lines up to the end of each."""
    if not _has_open_quote(lines, layout):
        with suppress(csv.Error, UnicodeDecodeError):
            rows = list(csv.reader(layout.decode(_blank_comments(lines, layout.comment)), **layout.parameters))
            if len(rows) == len(lines):
                return rows, range(1, len(rows) + 1)
    rows, ends = [], list[int]()
    reader = csv.reader(_feed(lines, layout, ends), **layout.parameters)
    with suppress(csv.Error, UnicodeDecodeError):
        for row in reader:
            rows.append(row)
            ends.append(reader.line_num)
    return rows, ends


def _has_open_quote(lines: list[bytes], layout: Layout) -> bool:
    """Whether a line has an odd number of quotes, as the first and the last line of a record of several lines."""
    if not layout.quote or layout.quote not in b"".join(lines):
        return False
    return 1 in map((1).__and__, map(bytes.count, lines, repeat(layout.quote)))


def _place(ends: Sequence[int], lines: list[bytes], layout: Layout, line: int) -> tuple[Sequence[int], Sequence[bytes]]:
    """Return each row's first physical line and its bytes."""
    if isinstance(ends, range):
        return range(line + 1, line + 1 + len(ends)), lines[: len(ends)]
    mark, starts = layout.cutter.mark, [0, *ends[:-1]]
    originals = [
        lines[start] if end == start + 1 else mark.join(lines[start:end])
        for start, end in zip(starts, ends, strict=True)
    ]
    return [line + 1 + start for start in starts], originals


def _blank_comments(lines: list[bytes], comment: bytes) -> list[bytes]:
    return [b"" if line.startswith(comment) else line for line in lines] if comment else lines


def _feed(lines: list[bytes], layout: Layout, ends: Sequence[int]) -> Iterator[str]:
    """Yield the lines with their ends. A comment is one only where a record could begin; `ends` tells where that is."""
    line_end = layout.cutter.line_end
    if not layout.comment:
        with suppress(UnicodeDecodeError):
            yield from [text + line_end for text in layout.decode(lines)]
            return
    for number, line in enumerate(lines):
        is_comment = layout.comment and line.startswith(layout.comment) and number == (ends[-1] if ends else 0)
        yield "\n" if is_comment else layout.decode_one(line) + line_end


def _sort_out(
    rows: list[list[str]], ends: Sequence[int], lines: Sequence[bytes], layout: Layout, position: int, line: int
) -> Run:
    """Return the run of rows that are not all records of one line."""
    good: list[list[str]] = []
    places: list[int] = []
    first_lines: list[int] = []
    originals: list[bytes] = []
    refusals: list[Refusal] = []
    mark = layout.cutter.mark
    for row, start, end in zip(rows, [0, *ends[:-1]], ends, strict=True):
        if not row:
            continue
        position += 1
        first_line = line + start + 1
        original = mark.join(lines[start:end])
        if (cells := layout.fit(row)) is not None:
            good.append(cells)
            places.append(position)
            first_lines.append(first_line)
            originals.append(original)
        else:
            refusals.append(refuse_columns(row, layout, position, first_line, layout.strip(original)))
    columns: Sequence[Sequence[str]] = list(zip(*good, strict=True))
    records = CsvSlice(layout.names, columns, places, first_lines, originals, layout) if good else None
    return Run(records, refusals, ends[-1])
