"""Laws of the names for files and bodies that are not what their source declares."""

import gzip
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from etl.exceptions import SourceError
from etl.readers.content import Opening
from etl.readers.csv_dialect import CsvSource
from etl.readers.json_dialect import JsonLinesSource
from etl.readers.lookalikes import describe_lookalike, describe_not_json
from etl.records import Record, Refusal
from etl.sources.coingecko import Coin
from etl.vocabulary import Reason
from tests.factories import read_items
from tests.fakes import RecordingContext

ROWS = "sku,title,price\nA1,Bolt,1.50\nA2,Nut,0.50\n"
MARK = b"\xef\xbb\xbf"


def make_zip(*names: str) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name in names:
            archive.writestr(name, "content")
    return packed.getvalue()


LOOKALIKES = [
    (b"<!doctype html><html><body><h1>Please log in</h1></body></html>", "an HTML page"),
    (MARK + b"\r\n  <!DOCTYPE HTML PUBLIC ...>", "an HTML page"),
    (b"<html lang='en'>", "an HTML page"),
    (b"<!-- cached -->\n<html>", "an HTML page"),
    (b'<?xml version="1.0"?><!DOCTYPE html PUBLIC ""><html xmlns="">', "an HTML page"),
    (b"<h1>502 Bad Gateway</h1>", "an HTML page"),
    (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', "XML"),
    (b"<rss>", "XML"),
    (ROWS.encode("utf-16"), "UTF-16 text"),
    (ROWS.encode("utf-16-le"), "UTF-16 text"),
    (ROWS.encode("utf-16-be"), "UTF-16 text"),
    (ROWS.encode("utf-32"), "UTF-32 text"),
    (ROWS.encode("utf-32-le"), "UTF-32 text"),
    (ROWS.encode("utf-32-be"), "UTF-32 text"),
    (b"\xff\xfea\0", "UTF-16 text"),
    (gzip.compress(ROWS.encode(), mtime=0), "a gzip file"),
    (make_zip("[Content_Types].xml", "xl/workbook.xml"), "a spreadsheet (zip)"),
    (make_zip("rows.csv"), "a zip file"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(504), "a spreadsheet (xls)"),
    (b"%PDF-1.7\n", "a PDF"),
    (b"PAR1\x15\x04", "a Parquet file"),
    (b"\x28\xb5\x2f\xfd\x00", "a zstd file"),
    (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\n", "a Git LFS pointer to the file"),
    (b"sku,title\nA1,Bo\0lt\n", "binary data"),
    (b'[{"id": 1}]', "JSON"),
    (b'{"id": 1}\n{"id": 2}\n', "JSON"),
    (b"{\n", "JSON"),
    (b"[", "JSON"),
    (b"[]", "JSON"),
    (b"sku;title;price\nA1;Bolt;1,50\n", "a file separated by semicolons"),
    (b'sku;title;price\r\nA1;"Bolt, 4 mm, zinc, long";1,50\r\n', "a file separated by semicolons"),
    (MARK + b"sku;title;price", "a file separated by semicolons"),
    (b"sku\ttitle\tprice\nA1\ta\t1.5\n", "a file separated by tabs"),
    (b"sku|title|price\nA1|a|1.5\n", "a file separated by vertical bars"),
    (b"sep=,\r\nsku,title\r\n", "a file whose first line names its separator ('sep=,')"),
    (b"sku,title,price\rA1,a,1.5\rA2,b,2\r", "a file whose lines end with a carriage return alone"),
]


@pytest.mark.parametrize(("head", "name"), LOOKALIKES, ids=[f"{number}" for number in range(len(LOOKALIKES))])
def test_a_lookalike_is_named(head: bytes, name: str) -> None:
    assert describe_lookalike(head) == name


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"\n",
        b"sku",
        b"sku\nA1\n",
        ROWS.encode(),
        ROWS.replace("\n", "\r\n").encode(),
        MARK + ROWS.encode(),
        b"id,notes\n1,a;b;c;d\n2,none\n",
        b"id,tags (a;b;c;d)\n1,none\n",
        b'"a;b;c",d\n1,2\n',
        "größe,naïve\n1,2\n".encode("cp1252"),
        b"PAR1,PAR2,BZh,GIF8\n1,2,3,4\n",
        b"[id],{name}\n1,2\n",
        b"Account: 123\nRange: 2024-01-01\n",
        b"\xe2\x82",
    ],
)
def test_a_csv_file_looks_like_nothing_else(head: bytes) -> None:
    assert describe_lookalike(head) == ""


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b'[{"id": 1}]', ""),
        (MARK + b' {"id": 1, "name": "a"}\n{"id": 2, "name": "b"}\n', ""),
        (b"{id: 1, name: 2}\n{id: 1, name: 2}\n", ""),
        (b"Try later, please", ""),
        (ROWS.encode(), "a CSV file"),
        (b"sku;title\nA1;Bolt\n", "a file separated by semicolons"),
        (b"<html>", "an HTML page"),
        ('[{"id": 1}]'.encode("utf-16"), "UTF-16 text"),
        (gzip.compress(b'[{"id": 1}]', mtime=0), "a gzip file"),
    ],
)
def test_a_lookalike_of_json_is_named(head: bytes, name: str) -> None:
    assert describe_not_json(head) == name


# Files


class Table(CsvSource):
    name = "table"
    contract = Coin


class Lines(JsonLinesSource):
    name = "lines"
    contract = Coin


def read(kind: type[Table | Lines], path: Path, content: bytes) -> list[Record | Refusal]:
    path.write_bytes(content)
    source: Any = kind()
    source.path = str(path)
    with source.open(Opening(), RecordingContext()) as opened:
        return read_items(opened)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (ROWS.encode("utf-16"), 'not valid UTF-8; this looks like UTF-16 text: declare encoding="utf-16".'),
        (ROWS.encode("utf-16-le"), 'has NUL characters; this looks like UTF-16 text: declare encoding="utf-16-le".'),
        (ROWS.encode("utf-16-be"), 'has NUL characters; this looks like UTF-16 text: declare encoding="utf-16-be".'),
        (gzip.compress(gzip.compress(ROWS.encode(), mtime=0), mtime=0), "; this looks like a gzip file."),
        (make_zip("[Content_Types].xml"), "; this looks like a spreadsheet (zip)."),
        (
            ROWS.replace("\n", "\r").encode(),
            'a file whose lines end with a carriage return alone: declare line_end="\\r".',
        ),
        (
            "größe,art\n1,2\n".encode("cp1252"),
            '; declare the encoding of the file, such as encoding="cp1252".',
        ),
    ],
)
def test_a_header_that_can_not_be_read_says_what_the_file_looks_like(
    tmp_path: Path, content: bytes, complaint: str
) -> None:
    with pytest.raises(SourceError) as caught:
        read(Table, tmp_path / "table.csv", content)
    assert str(caught.value).endswith(complaint)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"<html><h1>Gone</h1>", "is not JSON but looks like an HTML page: Gone."),
        (ROWS.encode(), "is not JSON but looks like a CSV file: sku,title,price A1,Bolt,1.50 A2,Nut,0.50."),
        (gzip.compress(gzip.compress(b"{}", mtime=0), mtime=0), "is not JSON but looks like a gzip file."),
        (json.dumps({"data": [{"id": 1}]}, indent=2).encode(), "may be in 'data': declare records = 'data'."),
        (json.dumps({"data": [{"id": 1}]}).encode(), "may be in 'data': declare records = 'data'."),
        (
            json.dumps({"id": "1", "name": "a"}, indent=2).encode(),
            'not an array or one record per line: { "id": "1", "name": "a" }.',
        ),
        (b'{"error": "quota"}\n', 'sent an error instead of records: {"error": "quota"}.'),
    ],
)
def test_a_file_without_records_says_what_it_looks_like(tmp_path: Path, content: bytes, complaint: str) -> None:
    with pytest.raises(SourceError) as caught:
        read(Lines, tmp_path / "lines.json", content)
    assert str(caught.value).endswith(complaint)


def test_a_file_with_one_page_of_several_is_refused(tmp_path: Path) -> None:
    page = json.dumps({"data": [{"id": 1}], "next": "/things?page=2"}).encode()
    with pytest.raises(SourceError) as caught:
        read(Lines, tmp_path / "lines.json", page)
    assert caught.value.reason is Reason.MORE_PAGES


@pytest.mark.parametrize(
    "content",
    [
        b'{"id": "1",\n{"id": "2"}\n',
        b'{"id": "1"\n{"id": "2"}\n',
        b'nonsense\n{"id": "2"}\n',
        b'null\n{"id": "2"}\n',
    ],
)
def test_a_file_whose_first_line_is_broken_is_read(tmp_path: Path, content: bytes) -> None:
    assert [type(item) for item in read(Lines, tmp_path / "lines.json", content)] == [Refusal, Record]


@pytest.mark.parametrize("content", [b"", b" \n", b"[]", b"[\n]\n"])
def test_an_empty_file_is_read(tmp_path: Path, content: bytes) -> None:
    assert read(Lines, tmp_path / "lines.json", content) == []
