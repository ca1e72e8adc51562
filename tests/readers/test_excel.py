"""What a source can declare of a workbook, how its cells become text, and which workbooks are refused."""

import io
import json
import sys
import zipfile
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import openpyxl
import pytest

from etl.exceptions import SourceError
from etl.judgement import Judge
from etl.readers import excel_sheet
from etl.readers.excel_file import ExcelContent
from etl.records import Accepted, Breach, Record, Refusal, StoredRefusal
from etl.sources import Boolean, Contract, Date, Decimal, Excel, ExcelSource, Identifier, Text, Time
from etl.vocabulary import BreachCode
from tests.factories import hold, read_items

Rows = Sequence[Sequence[Any]]


def write(*sheets: Rows, first: str = "A1") -> bytes:
    """Return a workbook with these sheets, named Sheet1, Sheet2 …"""
    book = openpyxl.Workbook()
    book.remove(book.active)
    for number, rows in enumerate(sheets, start=1):
        sheet = book.create_sheet(f"Sheet{number}")
        corner = sheet[first]
        for row, cells in enumerate(rows):
            for column, value in enumerate(cells):
                sheet.cell(corner.row + row, corner.column + column).value = value
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()


class Anything(Contract):
    id: Text


class Things(ExcelSource):
    name = "things"
    path = "things.xlsx"
    every = timedelta(hours=1)
    contract = Anything
    unified = {"external_id": "id", "name": "id"}


def open_book(book: bytes, **options: Any) -> ExcelContent:
    class Declared(Things):
        dialect = Excel(**options)

    return Declared.dialect.open(hold(book), Declared())


def describe(items: Sequence[Record | Refusal]) -> list[tuple[int, Any]]:
    """Return each item's row, and its values or breach code."""
    return [
        (item.line, list(item.values.values()) if isinstance(item, Record) else item.breach.code.value)
        for item in items
    ]


PLAIN: Rows = [["id", "name"], ["A1", "Bolt"], [None, None], ["A2", None]]
EXAMPLES: list[tuple[dict[str, Any], bytes, list[str], list[tuple[int, Any]]]] = [
    ({}, write(PLAIN), ["id", "name"], [(2, ["A1", "Bolt"]), (4, ["A2", ""])]),
    ({}, write(PLAIN, first="C1"), ["id", "name"], [(2, ["A1", "Bolt"]), (4, ["A2", ""])]),
    ({"header_row": 3}, write(PLAIN, first="B3"), ["id", "name"], [(4, ["A1", "Bolt"]), (6, ["A2", ""])]),
    ({"header_row": 2}, write([["Report"], ["id"], ["A1"]]), ["id"], [(3, ["A1"])]),
    ({"footer_rows": 1}, write([["id"], ["A1"], ["Total"]]), ["id"], [(2, ["A1"])]),
    ({"sheet": "Sheet2"}, write([["x"]], PLAIN), ["id", "name"], [(2, ["A1", "Bolt"]), (4, ["A2", ""])]),
    ({"sheet": 1}, write([["id"], [1]], PLAIN), ["id"], [(2, ["1"])]),
    (
        {},
        write([["id", None, "name"], [1, None, 2], [3, "?", 4]]),
        ["id", "name"],
        [(2, ["1", "2"]), (3, "column_count")],
    ),
    ({}, write([["id"]]), ["id"], []),
    ({}, write([["id", "year", "year"], [1, 2, 3]]), ["id", "year", "year (2)"], [(2, ["1", "2", "3"])]),
]


@pytest.mark.parametrize(("options", "book", "names", "expected"), EXAMPLES, ids=range(len(EXAMPLES)))
def test_an_option_means_what_it_says(
    options: dict[str, Any], book: bytes, names: list[str], expected: list[tuple[int, Any]]
) -> None:
    content = open_book(book, **options)
    assert (list(content.find_columns()), describe(read_items(content))) == (names, expected)


@pytest.mark.parametrize(
    ("options", "cell", "text"),
    [
        ({}, "007", "007"),
        ({}, " x ", " x "),
        ({}, 7, "7"),
        ({}, 7.0, "7"),
        ({}, -1.5, "-1.5"),
        ({}, 0.0000001, "0.0000001"),
        ({}, 1e21, "1000000000000000000000"),
        ({"decimal": ","}, 1.5, "1,5"),
        ({}, True, "true"),
        ({"true_words": ["ja"], "false_words": ["nein"]}, False, "nein"),
        ({}, date(2024, 5, 1), "2024-05-01"),
        ({}, datetime(2024, 5, 1, 10, 30), "2024-05-01T10:30:00"),  # noqa: DTZ001  (Excel has no zones)
        ({}, time(10, 30), "10:30:00"),
        ({}, timedelta(hours=30, minutes=1), "30:01:00"),
    ],
)
def test_a_cell_becomes_the_text_that_a_field_reads(options: dict[str, Any], cell: Any, text: str) -> None:
    (record,) = read_items(open_book(write([["id"], [cell]]), **options))
    assert isinstance(record, Record)
    assert record.values == {"id": text}
    assert (record.payload, record.original) == (json.dumps({"id": text}), json.dumps({"id": text}).encode())


class Delivery(Contract):
    id: Identifier
    price: Decimal
    day: Date
    at: Time
    ok: Boolean


class Deliveries(ExcelSource):
    name = "deliveries"
    path = "deliveries.xlsx"
    every = timedelta(hours=1)
    contract = Delivery
    zone = "Europe/Berlin"
    unified = {"external_id": "id", "name": "id", "value": "price", "event_timestamp": "at"}


def test_typed_cells_are_what_the_contract_expects() -> None:
    noon, midnight = datetime(2024, 5, 1, 12), datetime(2024, 5, 2)  # noqa: DTZ001
    book = write(
        [["id", "price", "day", "at", "ok"], [7, 2.5, noon.date(), noon, True], [8, 1, midnight, midnight, False]]
    )
    source = Deliveries()
    items = read_items(source.dialect.open(hold(book), source))
    judged = [source.contract.judge(item.values, source.local_form) for item in items if isinstance(item, Record)]
    assert [each if isinstance(each, Breach) else (each["id"], each["day"], each["at"]) for each in judged] == [
        ("7", date(2024, 5, 1), datetime(2024, 5, 1, 10, tzinfo=UTC)),
        ("8", date(2024, 5, 2), datetime(2024, 5, 1, 22, tzinfo=UTC)),
    ]


def test_a_value_in_a_column_without_a_name_is_refused_by_row_and_column() -> None:
    content = open_book(write([["id", "name"], ["A1", "x", None, "note"]]))
    (refusal,) = read_items(content)
    assert isinstance(refusal, Refusal)
    assert (refusal.breach.code, refusal.line) == (BreachCode.COLUMN_COUNT, 2)
    assert refusal.breach.message == "has a value in column D, which has no name in row 1"
    assert json.loads(refusal.payload or "") == ["A1", "x", "", "note"]


@pytest.mark.parametrize("batch_size", [1, 2, 3, 10])
def test_a_read_resumed_at_any_cursor_gives_the_same(batch_size: int) -> None:
    book = write([["id"], *([number] if number % 3 else [None] for number in range(1, 12))])
    whole = read_items(open_book(book))
    taken: list[Record | Refusal] = []
    for chunk in open_book(book).read(None, batch_size):
        taken += chunk.items
        cursor = json.loads(json.dumps(chunk.cursor))
        assert taken + read_items(open_book(book), cursor, batch_size=batch_size) == whole
    assert taken == whole


def test_a_refused_record_is_revived_as_it_was_read() -> None:
    (record,) = read_items(open_book(write([["id"], [7]])))
    assert isinstance(record, Record)
    breach = Breach(BreachCode.BLANK, "x", "id")
    assert Excel().revive(StoredRefusal(1, 1, 2, breach, record.payload, record.original)) == record


def test_records_land_with_their_places() -> None:
    (accepted,) = Judge(Things()).judge(read_items(open_book(write([["id"], ["A1"]]))))
    assert isinstance(accepted, Accepted)
    assert (accepted.unified.external_id, accepted.record.line) == ("A1", 2)


# Workbooks that can't be read


def cut(book: bytes) -> bytes:
    return book[: len(book) // 2]


def damage(book: bytes) -> bytes:
    """Change a byte of the sheet's packed text."""
    with zipfile.ZipFile(io.BytesIO(book)) as archive:
        info = archive.getinfo("xl/worksheets/sheet1.xml")
    at = info.header_offset + 30 + len(info.filename) + 20
    return book[:at] + bytes([book[at] ^ 0xFF]) + book[at + 1 :]


BOOK = write(PLAIN)


@pytest.mark.parametrize(
    ("options", "book", "complaint"),
    [
        ({}, cut(BOOK), "is not an .xlsx workbook, or it is cut off or damaged"),
        ({}, damage(BOOK), "is not an .xlsx workbook, or it is cut off or damaged"),
        ({}, b"id,name\n1,x\n", "is not an .xlsx workbook: this looks like a text file"),
        ({}, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(504), "this looks like a spreadsheet (xls)"),
        ({}, b"<html>", "this looks like an HTML page"),
        ({}, write(PLAIN, PLAIN), "has several sheets, and sheet= is not declared. Its sheets: 'Sheet1', 'Sheet2'"),
        ({"sheet": "Data"}, BOOK, "has no sheet 'Data'. Its sheets: 'Sheet1'"),
        ({"sheet": 2}, BOOK, "has no sheet 2. Its sheets: 'Sheet1'"),
        ({}, write([]), "has no column names in row 1 of sheet 'Sheet1': declare header_row="),
        ({"header_row": 9}, BOOK, "has no column names in row 9 of sheet 'Sheet1'"),
        ({}, write([["id", "id"]]), "the header names 'id' more than once"),
    ],
)
def test_a_workbook_that_can_not_be_read_says_why(options: dict[str, Any], book: bytes, complaint: str) -> None:
    with pytest.raises(SourceError) as caught:
        read_items(open_book(book, **options))
    assert complaint in str(caught.value)


def test_a_cell_far_outside_the_table_is_refused_before_the_sheet_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(excel_sheet, "MAX_CELLS", 5000)  # without the check, the sheet of the real limit takes 12 GB
    book = openpyxl.Workbook()
    book.active["A1"], book.active["GR1000"] = "id", "x"
    file = io.BytesIO()
    book.save(file)
    with pytest.raises(SourceError, match=r"reaches over 1,000 rows and 200 columns, and at most 5,000 cells"):
        open_book(file.getvalue()).find_columns()


def test_a_sheet_that_unpacks_to_too_much_is_refused(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.ETL_UNPACKED_MAX_BYTES = 1 << 20
    monkeypatch.setattr(excel_sheet, "_BLOCK_BYTES", 1000)
    with pytest.raises(SourceError, match="unpacks to more than 1,048,576 bytes"):
        open_book(write([["id"], *([f"{number} {'x' * 50}"] for number in range(20_000))])).find_columns()


def test_a_workbook_with_too_much_text_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(excel_sheet, "MAX_TEXT_BYTES", 50)
    book = io.BytesIO(BOOK)
    with zipfile.ZipFile(book, "a") as archive:  # as Excel writes it, which keeps the texts of all sheets in one part
        archive.writestr("xl/sharedStrings.xml", f"<sst>{'x' * 50}</sst>")
    with pytest.raises(SourceError, match="has more than 50 bytes of text: save the sheet as CSV"):
        open_book(book.getvalue()).find_columns()


def test_without_the_extra_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "python_calamine", None)
    with pytest.raises(SourceError, match="without the package python-calamine: it is an extra, so add"):
        open_book(BOOK).find_columns()


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda: Excel(sheet=0), "Excel(sheet=0): must be a sheet's name, or its number from 1 on"),
        (lambda: Excel(sheet=""), "Excel(sheet=''): must be a sheet's name, or its number from 1 on"),
        (lambda: Excel(header_row=0), "Excel(header_row=0): must be a row's number, from 1 on"),
        (lambda: Excel(footer_rows=-1), "Excel(footer_rows=-1): must be a whole number, 0 or more"),
        (lambda: Excel(decimal=",", thousands=","), "Excel(decimal=',', thousands=','): they are the same character"),
    ],
)
def test_a_declaration_that_cannot_be_meant_is_refused_at_once(make: Callable[[], Excel], complaint: str) -> None:
    with pytest.raises(ValueError, match="Excel") as caught:
        make()
    assert str(caught.value) == complaint
