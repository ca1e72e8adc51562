"""Guesses how a table of text is written: by trying dialects, and counting in which of them most rows fit. Pure."""

import codecs
import csv
import io
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from etl.contracts.amounts import DecimalType
from etl.contracts.forms import Form
from etl.guessing.values import list_null_words, looks_typed
from etl.records import Breach

DELIMITERS = (",", ";", "\t", "|", ":")
SIGNS = (
    *((".", ""), (",", ""), (",", "."), (".", ","), (",", " "), (",", "\u00a0"), (",", "\u202f")),
    *((".", "'"), (".", "\u2019"), (".", " ")),
)
"""Decimal and thousands sign, the plainest first."""
MOST_ROWS = 20_000
_NAMED_SEPARATOR = re.compile(r"sep=(.)\r?\n", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Table:
    """A table as it was found: the options of its dialect that differ from the defaults, its header and its rows."""

    options: dict[str, object]
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    doubts: Sequence[str] = ()

    @property
    def columns(self) -> list[list[str]]:
        return [[row[number] for row in self.rows] for number in range(len(self.header))]


def read_table(data: bytes, *, is_all: bool) -> Table | None:
    """Guess the dialect of the data; None if no dialect makes a table of it."""
    encoding, text = _decode(data)
    if not is_all:
        text = text[: max(text.rfind("\n"), text.rfind("\r")) + 1]
    options: dict[str, object] = {} if encoding == "utf-8" else {"encoding": encoding}
    is_sure = encoding in ("utf-8", "utf-16")
    doubts = [] if is_sure else [f"The text is not UTF-8 and was read as {encoding}: check the accented letters."]
    if "\n" not in text and "\r" in text:
        options["line_end"], text = "\r", text.replace("\r", "\n")
    separator = _NAMED_SEPARATOR.match(text)
    if separator is not None:
        text = text[separator.end() :]
    quoting = _choose_quoting(text)
    tried = [_try(text, delimiter, quoting) for delimiter in DELIMITERS]
    best = max((each for each in tried if each is not None), key=lambda each: each.score, default=None)
    if best is None or (separator is not None and best.delimiter != separator[1]):
        return None
    return _finish(best, {**options, **quoting}, doubts, lines_before=1 if separator is not None else 0)


def _choose_quoting(text: str) -> dict[str, object]:
    """Return how cells are enclosed and marks in them written, where that is not as in RFC 4180."""
    if '"' not in text:
        edges = "".join(map(re.escape, DELIMITERS))
        quoted = re.findall(rf"(?:^|[{edges}])'[^'\n]*'(?=[{edges}\r\n]|\Z)", text, re.MULTILINE)
        return {"quote": "'"} if len(quoted) > 1 else {}
    if '\\"' in text and '""' not in text:
        return {"escape": "\\", "doubled_quotes": False}
    opened = re.search(r'(?:^|[,;\t|:])\s*"', text, re.MULTILINE)
    return {} if opened else {"quote": None}


def _decode(data: bytes) -> tuple[str, str]:
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16", data.decode("utf-16", "replace")
    data = data.removeprefix(codecs.BOM_UTF8)
    try:
        return "utf-8", codecs.getincrementaldecoder("utf-8")().decode(data)  # the last character may be incomplete
    except UnicodeDecodeError:
        pass
    try:
        return "cp1252", data.decode("cp1252")
    except UnicodeDecodeError:
        return "latin-1", data.decode("latin-1")


@dataclass(frozen=True, slots=True)
class _Try:
    """The rows in one dialect. Physical line of each row's begin; `first` and `end` are those of the table."""

    delimiter: str
    rows: Sequence[Sequence[str]]
    lines: Sequence[int]
    width: int
    first: int
    end: int
    comment: str | None
    score: float


def _try(text: str, delimiter: str, quoting: Mapping[str, object]) -> _Try | None:
    comment = "#" if text.lstrip().startswith("#") or "\n#" in text else None
    tried = [_try_with(text, delimiter, quoting, each) for each in dict.fromkeys((None, comment))]
    return max((each for each in tried if each is not None), key=lambda each: each.score, default=None)


def _try_with(text: str, delimiter: str, quoting: Mapping[str, object], comment: str | None) -> _Try | None:
    rows, lines = _split(text, delimiter, quoting, comment)
    widths = Counter(len(row) for row in rows if len(row) > 1)
    if not widths:
        return None
    width = max(widths, key=lambda each: (widths[each] * each, each))
    fits = [len(row) == width for row in rows]
    first = fits.index(True)
    ends_blank = not any(row[-1].strip() for row in rows if len(row) == width)
    if first and ends_blank and len(rows[first - 1]) == width - 1 and all(rows[first - 1]):
        first -= 1  # the header of rows that end with one delimiter more
    end = len(rows) - fits[::-1].index(True)
    inside = rows[first:end]
    share = sum(len(row) == width for row in inside) / len(inside)
    outside = len(rows) - len(inside)
    # Wide rows are rarely an accident. Lines around the table speak against a dialect.
    score = share * width * len(inside) / (1 + outside / 2) * (0.98 if comment else 1)
    return _Try(delimiter, rows, lines, width, first, end, comment, score)


def _split(
    text: str, delimiter: str, quoting: Mapping[str, object], comment: str | None
) -> tuple[list[list[str]], list[int]]:
    rows: list[list[str]] = []
    lines: list[int] = []
    kept = io.StringIO(text, newline="")
    lines_read = list(_leave_out(kept, comment))
    quote, escape = quoting.get("quote", '"'), quoting.get("escape")
    how: Any = csv.QUOTE_NONE if quote is None else csv.QUOTE_MINIMAL
    reader = csv.reader(
        (line for _, line in lines_read),
        delimiter=delimiter,
        quotechar=str(quote or '"'),
        escapechar=str(escape) if escape else None,
        quoting=how,
    )
    begin = 0
    try:
        for row in reader:
            if row:
                rows.append(row)
                lines.append(lines_read[begin][0])
            begin = reader.line_num
            if len(rows) == MOST_ROWS:
                break
    except csv.Error:
        pass
    return rows, lines


def _leave_out(lines: io.StringIO, comment: str | None) -> Iterator[tuple[int, str]]:
    """Yield the lines without the comments, each with the number of physical lines before it."""
    numbered = enumerate(lines)
    return ((number, line) for number, line in numbered if comment is None or not line.startswith(comment))


def _finish(best: _Try, options: dict[str, object], doubts: list[str], *, lines_before: int) -> Table:
    """Return the table with all of its options; `lines_before` is 1 if a first line names the separator."""
    if best.delimiter != ",":
        options["delimiter"] = best.delimiter
    if best.comment:
        options["comment"] = best.comment
    header: Sequence[str]
    rows: list[Sequence[str]]
    header, *rows = best.rows[best.first : best.end]
    has_header = _is_header(header, rows)
    if best.first:
        options["skip_lines"] = best.lines[best.first] + lines_before
        doubts.append(f"Lines skipped before the header: {options['skip_lines']}. Is that always the number?")
    elif lines_before and best.delimiter == ",":
        options["skip_lines"] = lines_before  # a line that names commas is skipped like any other
    footer = len(best.rows) - best.end
    if footer:
        options["footer_lines"] = footer
        doubts.append(f"Lines left out after the last record: {footer}. Is that always the number?")
    if not has_header:
        rows = [header, *rows]
        header = [f"column_{number}" for number in range(1, best.width + 1)]
        options["names"] = header
        doubts.append("The file seems to have no header: give the columns better names.")
    header, cut, trails = _cut_trailing(header, rows)
    if trails:
        options["trailing_delimiter"] = True
    rows = [row for row in cut if len(row) == len(header)]
    options |= _guess_signs(rows, best.delimiter, doubts)
    return Table(options, [name.strip("\ufeff") for name in header], rows, doubts)


def _is_header(first: Sequence[str], rows: Sequence[Sequence[str]]) -> bool:
    """Whether the first row has names: all of them different, and none a number or a date."""
    names = [cell.strip() for cell in first]
    while names and not names[-1]:
        names.pop()
    if not names or any(looks_typed(name) for name in names):
        return False
    return bool(rows) or all(names)


def _cut_trailing(
    header: Sequence[str], rows: Sequence[Sequence[str]]
) -> tuple[Sequence[str], Sequence[Sequence[str]], bool]:
    """Cut columns at the end that have no name and no value."""
    width = len(header)
    while width and not header[width - 1].strip():
        width -= 1
    longer = [row for row in rows if len(row) > width]
    if not longer or any(cell.strip() for row in longer for cell in row[width:]):
        return header, rows, False
    return header[:width], [row[:width] for row in rows], True


def _guess_signs(rows: Sequence[Sequence[str]], delimiter: str, doubts: list[str]) -> dict[str, object]:
    """Choose the signs with which the most columns are numbers."""
    if not rows:
        return {}
    columns = [[row[number] for row in rows[:2000]] for number in range(len(rows[0]))]
    counts = {signs: _count_numbers(columns, *signs) for signs in SIGNS}
    best = max(SIGNS, key=lambda signs: (counts[signs], -SIGNS.index(signs)))
    equal = [signs for signs in SIGNS if counts[signs] == counts[best] and signs != best]
    others = [signs for signs in equal if _differ(columns, signs, best)]
    if others:
        doubts.append(f"Numbers may also be written with decimal={others[0][0]!r}, thousands={others[0][1]!r}.")
    named = dict(zip(("decimal", "thousands"), best, strict=True))
    return {name: sign for name, sign in named.items() if sign != {"decimal": ".", "thousands": ""}[name]}


def _count_numbers(columns: Sequence[Sequence[str]], decimal: str, thousands: str) -> int:
    return sum(_is_number(column, decimal, thousands) for column in columns)


def _is_number(column: Sequence[str], decimal: str, thousands: str) -> bool:
    form = Form(is_file=True, decimal_sign=decimal, thousands_sign=thousands)
    words = list_null_words(column)
    values = [strip_currency(cell) for cell in column if cell.strip() and cell.strip() not in words]
    return bool(values) and all(not isinstance(DecimalType().parse(value, form), Breach) for value in values)


def strip_currency(cell: str) -> str:
    return cell.strip().strip("$€£¥").strip(" \u00a0")


def _differ(columns: Sequence[Sequence[str]], one: tuple[str, str], other: tuple[str, str]) -> bool:
    """Whether a column has values that mean different numbers with these signs."""
    forms = [Form(is_file=True, decimal_sign=signs[0], thousands_sign=signs[1]) for signs in (one, other)]
    return any(
        _is_number(column, *one)
        and _is_number(column, *other)
        and any(
            DecimalType().parse(cell.strip(), forms[0]) != DecimalType().parse(cell.strip(), forms[1])
            for cell in column
            if cell.strip() and not isinstance(DecimalType().parse(cell.strip(), forms[0]), Breach)
        )
        for column in columns
    )
