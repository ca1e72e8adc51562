"""What a source can declare of a CSV file, and what each declaration means, as tables."""

import codecs
import csv
import io
import json
from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from itertools import accumulate
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from etl.exceptions import SourceError
from etl.readers import csv_file
from etl.readers.content import MAX_RECORD_BYTES, gather_chunks
from etl.readers.csv_file import CsvContent
from etl.readers.csv_lines import read_items as read_one_by_one
from etl.records import Chunk, Original, Record, Refusal, StoredRefusal
from etl.sources import Contract, Csv, CsvSource, NonBlank, PositiveDecimal, Text
from etl.vocabulary import BreachCode
from tests.examples import most_examples
from tests.factories import hold, read_items


def make_content(dialect: Csv, text: str | bytes, *, slice_lines: int = 1000) -> CsvContent:
    content = text.encode() if isinstance(text, str) else text
    return CsvContent(hold(content), "data/things.csv", slice_lines=slice_lines, syntax=dialect.syntax)


def read(dialect: Csv, text: str | bytes) -> list[Record | Refusal]:
    return read_items(make_content(dialect, text))


def describe(items: Sequence[Record | Refusal]) -> list[tuple[int, Any]]:
    """Return each item's line, and its values or breach code."""
    return [
        (item.line, list(item.values.values()) if isinstance(item, Record) else item.breach.code.value)
        for item in items
    ]


def fail(dialect: Csv, text: str | bytes) -> str:
    with pytest.raises(SourceError) as caught:
        read(dialect, text)
    return str(caught.value)


# What each option means: the dialect, a file, and its columns and records with their physical lines

EXAMPLES: list[tuple[Csv, str | bytes, list[str], list[tuple[int, Any]]]] = [
    (Csv(delimiter=";"), "a;b\n1,5;x\n", ["a", "b"], [(2, ["1,5", "x"])]),
    (Csv(delimiter="\t"), 'a\tb\n1\t"x\ty"\n', ["a", "b"], [(2, ["1", "x\ty"])]),
    (Csv(delimiter="|"), "a|b\n1|x\n1\n", ["a", "b"], [(2, ["1", "x"]), (3, "column_count")]),
    (Csv(delimiter="¦"), "a¦b\n1¦x\n", ["a", "b"], [(2, ["1", "x"])]),
    (Csv(delimiter="\x01"), "a\x01b\n1\x01x\n", ["a", "b"], [(2, ["1", "x"])]),
    (Csv(quote="'"), "a,b\n'1,5','it''s'\n", ["a", "b"], [(2, ["1,5", "it's"])]),
    (Csv(quote=None), 'a,b\n5" disk,"x\n', ["a", "b"], [(2, ['5" disk', '"x'])]),
    (Csv(escape="\\"), 'a,b\n"1\\"5",x\\,y\n', ["a", "b"], [(2, ['1"5', "x,y"])]),
    (Csv(escape="\\"), "a,b\n1,x\\\ny\n2,z\n", ["a", "b"], [(2, ["1", "x\ny"]), (4, ["2", "z"])]),
    (
        Csv(escape="\\", doubled_quotes=False),
        'a\n"x\\"y"\n"x""y"\nz\n',
        ["a"],
        [(2, ['x"y']), (3, ['x"y"']), (4, ["z"])],
    ),
    (Csv(line_end="\r"), "a,b\r1,x\r\r2,y", ["a", "b"], [(2, ["1", "x"]), (4, ["2", "y"])]),
    (Csv(line_end="\r"), 'a,b\r1,"x\ry\nz"\r2,y\r', ["a", "b"], [(2, ["1", "x\ry\nz"]), (4, ["2", "y"])]),
    (Csv(comment="#"), "# of today\na,b\n#1,x\n2,#y\n", ["a", "b"], [(4, ["2", "#y"])]),
    (Csv(comment="#"), 'a,b\n1,"x\n#y"\n#\n2,z\n', ["a", "b"], [(2, ["1", "x\n#y"]), (5, ["2", "z"])]),
    (Csv(comment="#"), 'a,b\n1,"x\n#y\nz"\n2,w\n', ["a", "b"], [(2, ["1", "x\n#y\nz"]), (5, ["2", "w"])]),
    (Csv(comment="--"), "a,b\n-1,x\n--2,x\n", ["a", "b"], [(2, ["-1", "x"])]),
    (Csv(skip_lines=2), 'Account: "1\n\na,b\n1,x\n', ["a", "b"], [(4, ["1", "x"])]),
    (Csv(skip_lines=1, names=["a", "b"]), "A;B\n1,x\n", ["a", "b"], [(2, ["1", "x"])]),
    (Csv(footer_lines=1), "a,b\n1,x\nTotal,1\n", ["a", "b"], [(2, ["1", "x"])]),
    (Csv(footer_lines=2), 'a,b\n1,x\n2,y\n\nTotal "\n\n\r\n', ["a", "b"], [(2, ["1", "x"]), (3, ["2", "y"])]),
    (Csv(footer_lines=9, names=["a", "b"]), "1,x\n2,y\n", ["a", "b"], []),
    (Csv(names=["a", "b"]), "1,x\n2,y", ["a", "b"], [(1, ["1", "x"]), (2, ["2", "y"])]),
    (Csv(names=["a"]), codecs.BOM_UTF8 + b"1\n2\n", ["a"], [(1, ["1"]), (2, ["2"])]),
    (Csv(names=["a"]), "", ["a"], []),
    (
        Csv(trailing_delimiter=True),
        "a,b\n1,x,\n2,y\n3,z,!\n4,w,,\n",
        ["a", "b"],
        [(2, ["1", "x"]), (3, ["2", "y"]), (4, "column_count"), (5, "column_count")],
    ),
    (Csv(trailing_delimiter=True), "a,b,,\n1,x,,\n2,y,,,\n", ["a", "b"], [(2, ["1", "x"]), (3, ["2", "y"])]),
    (Csv(trim=True), ' a , b\n 1 , "x, y"\n', ["a", "b"], [(2, ["1", "x, y"])]),
    (Csv(delimiter=";"), "sep=;\r\na;b\r\n1;x\r\n", ["a", "b"], [(3, ["1", "x"])]),
    (Csv(delimiter=";"), codecs.BOM_UTF8 + b"SEP=;\na;b\n1;x\n", ["a", "b"], [(3, ["1", "x"])]),
    (Csv(delimiter="\t", encoding="utf-16"), "sep=\t\na\tb\n1\tx\n".encode("utf-16"), ["a", "b"], [(3, ["1", "x"])]),
    (Csv(skip_lines=1), "sep=,\na,b\n1,x\n", ["a", "b"], [(3, ["1", "x"])]),
    (Csv(encoding="cp1252"), "a,b\n1,café €\n".encode("cp1252"), ["a", "b"], [(2, ["1", "café €"])]),
    (Csv(encoding="latin-1"), b"a,b\n1,caf\xe9 \x80\n", ["a", "b"], [(2, ["1", "café \x80"])]),
    (Csv(encoding="shift_jis"), "a,b\n1,ソ表\n".encode("shift_jis"), ["a", "b"], [(2, ["1", "ソ表"])]),
    (Csv(encoding="utf-16"), "a,b\r\n1,čĊ\U0001f600\r\n".encode("utf-16"), ["a", "b"], [(2, ["1", "čĊ\U0001f600"])]),
    (
        Csv(encoding="utf-16"),
        codecs.BOM_UTF16_BE + "a,b\n1,\u0a0d\u010a\n\n2,x".encode("utf-16-be"),
        ["a", "b"],
        [(2, ["1", "\u0a0d\u010a"]), (4, ["2", "x"])],
    ),
    (Csv(encoding="utf-16-le"), "a\n\u0a05\u0100\n1".encode("utf-16-le"), ["a"], [(2, ["\u0a05\u0100"]), (3, ["1"])]),
    (Csv(encoding="utf-16-be"), "a\n\u0100\u0a05\n1".encode("utf-16-be"), ["a"], [(2, ["\u0100\u0a05"]), (3, ["1"])]),
    (Csv(encoding="utf-16-le", line_end="\r"), "a\r1\r2".encode("utf-16-le"), ["a"], [(2, ["1"]), (3, ["2"])]),
    (Csv(encoding="utf-8-sig"), codecs.BOM_UTF8 + b"a\n1\n", ["a"], [(2, ["1"])]),
]


@pytest.mark.parametrize(("dialect", "text", "names", "expected"), EXAMPLES, ids=range(len(EXAMPLES)))
@pytest.mark.parametrize("slice_lines", [0, 1, 1000])
def test_an_option_means_what_it_says(
    dialect: Csv, text: str | bytes, names: list[str], expected: list[tuple[int, Any]], slice_lines: int
) -> None:
    content = make_content(dialect, text, slice_lines=slice_lines)
    assert (list(content.find_columns() or ()), describe(read_items(content))) == (names, expected)


# Bytes that an encoding does not have

BAD_BYTES = [
    ("utf-8", b"1,caf\xe9\n", "b is not valid UTF-8: 0xE9, byte 6 of the row", b"1,caf\xe9"),
    ("cp1252", b"1,\x81\r\n", "b is not valid cp1252: 0x81, byte 3 of the row", b"1,\x81"),
    ("cp1252", b'"1\n\n\x8d",x\n', "a is not valid cp1252: 0x8D, byte 5 of the row", b'"1\n\n\x8d",x'),
    ("shift_jis", b"1,\x81\n", "b is not valid shift_jis: 0x81, byte 3 of the row", b"1,\x81"),
    ("iso2022_jp", b"1,\xe9\n", "b is not valid iso2022_jp: 0xE9, byte 3 of the row", b"1,\xe9"),
    ("utf-16-le", b"1\0,\0\0\xd8\n\0", "b is not valid UTF-16: 0x00, byte 5 of the row", b"1\0,\0\0\xd8"),
    ("utf-16-be", "1,".encode("utf-16-be") + b"\xdc\0\0\n", "b is not valid UTF-16: 0xDC, byte 5 of the row", None),
]


@pytest.mark.parametrize(("encoding", "line", "message", "original"), BAD_BYTES)
def test_a_byte_that_the_encoding_lacks_refuses_its_row_with_byte_and_place(
    encoding: str, line: bytes, message: str, original: bytes | None
) -> None:
    dialect = Csv(encoding=encoding)
    text = "a,b\n".encode(encoding) + line + "2,x\n".encode(encoding)
    refusal, record = read(dialect, text)
    assert isinstance(refusal, Refusal)
    assert (refusal.breach.code, refusal.breach.message, refusal.line) == (BreachCode.BAD_ENCODING, message, 2)
    assert (refusal.payload, refusal.original) == (None, Original.of(original or line[:-2]))
    assert describe([record])[0][1] == ["2", "x"]


def test_half_a_character_at_the_end_of_a_utf_16_file_is_refused_with_its_bytes() -> None:
    (refusal,) = read(Csv(encoding="utf-16-le"), "a\nx".encode("utf-16-le") + b"y")
    assert isinstance(refusal, Refusal)
    assert (refusal.breach.code, refusal.original) == (BreachCode.BAD_ENCODING, Original.of(b"x\0y"))


@pytest.mark.parametrize("encoding", ["cp1252", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("line_end", ["\n", "\r"])
def test_a_record_of_any_length_keeps_its_true_bytes_length_and_hash(encoding: str, line_end: str) -> None:
    dialect = Csv(encoding=encoding, line_end=line_end)
    line = ("1,é" + "x" * MAX_RECORD_BYTES).encode(encoding)
    end = line_end.encode(encoding)
    refusal, record = read(dialect, f"a,b{line_end}".encode(encoding) + line + end + f"2,y{line_end}".encode(encoding))
    assert isinstance(refusal, Refusal)
    assert refusal.original == Original.of(line)
    assert describe([record]) == [(3, ["2", "y"])]


def test_a_comment_of_any_length_is_skipped() -> None:
    text = b"a,b\n#" + b"x" * (2 * MAX_RECORD_BYTES) + b"\n1,x\n"
    assert describe(read(Csv(comment="#"), text)) == [(3, ["1", "x"])]


# Files that are not what is declared

OTHERS = [
    (Csv(delimiter=";"), '"a;b\n1;2\n', "a quote in it is never closed"),
    (Csv(), b"a,b\r1,x\r2,y\r", "this looks like a file whose lines end with a carriage return alone"),
    (Csv(line_end="\r"), 'a,b\n1,x\n2,"y\n', "this looks like a file whose lines end with line feeds"),
    (
        Csv(encoding="utf-16"),
        "a,b\n1,x\n",
        'does not begin with a UTF-16 byte order mark: declare encoding="utf-16-le"',
    ),
    (
        Csv(encoding="cp1252"),
        codecs.BOM_UTF8 + b"a\n1\n",
        "it begins with the byte order mark of UTF-8, but encoding='cp1252'",
    ),
    (Csv(encoding="latin-1"), "a\n1\n".encode("utf-16"), "it begins with the byte order mark of UTF-16"),
    (Csv(encoding="cp1252"), b"a\x81,b\n1,x\n", "is not valid cp1252: 0x81, byte 2 of the row; declare the encoding"),
    (Csv(skip_lines=3), "a,b\n1,x\n", "its 2 lines are fewer than skip_lines=3 says"),
    (Csv(skip_lines=2), "a,b\n1,x\n", "it has no header: skip_lines=2 and footer_lines=0 leave no line for it"),
    (Csv(footer_lines=2), "a,b\n1,x\n", "it has no header: skip_lines=0 and footer_lines=2 leave no line for it"),
    (Csv(comment="#"), "#a,b\n\n#1,x\n", "is empty: its first line must name the columns"),
    (Csv(trailing_delimiter=True), "a,b,a,\n", "the header names 'a' more than once"),
    (Csv(), "a,b,,\n", "2 columns of the header have no name: declare trailing_delimiter=True"),
]


@pytest.mark.parametrize(("dialect", "text", "complaint"), OTHERS, ids=range(len(OTHERS)))
def test_a_file_that_is_not_as_declared_is_named(dialect: Csv, text: str | bytes, complaint: str) -> None:
    assert complaint in fail(dialect, text)


@pytest.mark.parametrize(
    ("dialect", "text", "name"),
    [
        (Csv(), "a;b\n1;x\n", 'a file separated by semicolons: declare delimiter=";"'),
        (Csv(), "a\tb\n1\tx\n", 'a file separated by tabs: declare delimiter="\\t"'),
        (Csv(), "sep=,\na,b\n", "a file whose first line names its separator ('sep=,'): declare skip_lines=1"),
        (Csv(delimiter=";"), "a,b\n1,x\n", 'a file separated by commas: declare delimiter=","'),
        (Csv(delimiter="\t"), "a;b\n1;x\n", 'a file separated by semicolons: declare delimiter=";"'),
        (Csv(delimiter=";"), "a;b\n1,5;2,5\n", ""),
        (Csv(delimiter=";", encoding="utf-16"), "a;b\n1;x\n".encode("utf-16"), ""),
        (Csv(line_end="\r"), "a,b\r1,x\r", ""),
        (Csv(delimiter="|"), "a|b\n1|x\n", ""),
    ],
)
def test_what_a_file_looks_like_depends_on_what_is_declared(dialect: Csv, text: str | bytes, name: str) -> None:
    assert make_content(dialect, text).describe_lookalike() == name


# Declarations that can't be meant

REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"delimiter": ""}, "Csv(delimiter=''): must be one character, not a line break"),
    ({"delimiter": ";;"}, "Csv(delimiter=';;'): must be one character, not a line break"),
    ({"delimiter": None}, "Csv(delimiter=None): must be one character, not a line break"),
    ({"quote": "\n"}, "Csv(quote='\\n'): must be one character, not a line break"),
    ({"escape": "ab"}, "Csv(escape='ab'): must be one character, not a line break"),
    ({"line_end": "\n\n"}, 'Csv(line_end=\'\\n\\n\'): must be "\\n" (LF or CRLF) or "\\r"'),
    ({"skip_lines": -1}, "Csv(skip_lines=-1): must be a whole number, 0 or more"),
    ({"footer_lines": "1"}, "Csv(footer_lines='1'): must be a whole number, 0 or more"),
    ({"trim": 1}, "Csv(trim=1): must be True or False"),
    ({"comment": ""}, "Csv(comment=''): must be a string without line breaks"),
    ({"names": []}, "Csv(names=[]): must be a list of the columns' names"),
    ({"names": "abc"}, "Csv(names='abc'): must be a list of the columns' names"),
    ({"names": ["a", "a"]}, "Csv(names=['a', 'a']): must be different, non-empty strings"),
    ({"decimal": ";"}, 'Csv(decimal=\';\'): must be "." or ","'),
    ({"thousands": "x"}, "Csv(thousands='x'): must be one of"),
    ({"null_words": "NA"}, "Csv(null_words='NA'): must be a list of strings without leading or trailing spaces"),
    (
        {"true_words": [" yes"]},
        "Csv(true_words=[' yes']): must be a list of strings without leading or trailing spaces",
    ),
    ({"encoding": "klingon"}, "Csv(encoding='klingon'): Python has no encoding of this name"),
    ({"encoding": "utf-32"}, "Csv(encoding='utf-32'): UTF-8, UTF-16 and every encoding that writes a line end as"),
    ({"encoding": "cp037"}, "Csv(encoding='cp037'): UTF-8, UTF-16 and every encoding that writes a line end as"),
    ({"encoding": "rot13"}, "Csv(encoding='rot13'): UTF-8, UTF-16 and every encoding"),
    ({"delimiter": "¦", "encoding": "cp437"}, "Csv(delimiter='¦'): cp437 does not have this character"),
    ({"delimiter": '"'}, "Csv(delimiter='\"', quote='\"'): they are the same character"),
    ({"delimiter": "\\", "escape": "\\"}, "Csv(delimiter='\\\\', escape='\\\\'): they are the same character"),
    ({"escape": '"'}, "Csv(quote='\"', escape='\"'): they are the same character: leave escape out"),
    ({"decimal": ",", "thousands": ","}, "Csv(decimal=',', thousands=','): they are the same character"),
    ({"thousands": "."}, "Csv(decimal='.', thousands='.'): they are the same character"),
    (
        {"decimal": ",", "quote": None},
        "Csv(decimal=',', delimiter=','): they are the same character, and nothing can be",
    ),
    ({"delimiter": " ", "trim": True}, "Csv(trim=True, delimiter=' '): they contradict each other"),
    ({"comment": ",,"}, "Csv(comment=',,', delimiter=','): they begin with the same character"),
    ({"true_words": ["x"], "false_words": ["x"]}, "Csv(true_words=['x'], false_words=['x']): they share 'x'"),
    ({"null_words": ["-"], "false_words": ["-"]}, "Csv(null_words=['-'], false_words=['-']): they share '-'"),
]


@pytest.mark.parametrize(("options", "complaint"), REFUSED, ids=[str(options) for options, _ in REFUSED])
def test_a_declaration_that_cannot_be_meant_is_refused_at_once(options: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match="Csv") as caught:
        Csv(**options)
    assert str(caught.value).startswith(complaint)


def test_a_decimal_comma_may_be_the_delimiter_where_values_are_quoted() -> None:
    assert describe(read(Csv(decimal=","), 'a,b\n"1,5",x\n')) == [(2, ["1,5", "x"])]


# Values in the dialect's signs and words


class Price(Contract):
    sku: NonBlank
    price: PositiveDecimal
    note: Text | None


GERMAN = Csv(delimiter=";", encoding="cp1252", decimal=",", thousands=".", null_words=["", "k. A."])


class Prices(CsvSource):
    name = "prices"
    path = "prices.csv"
    every = timedelta(hours=1)
    contract = Price
    dialect = GERMAN
    unified = {"external_id": "sku", "name": "sku", "value": "price", "category": "note"}


def test_a_contract_judges_in_the_words_and_signs_of_the_dialect() -> None:
    content = "sku;price;note\nA1;1.234,50;k. A.\nA2;0,05;schön\n".encode("cp1252")
    records = read_items(Prices.dialect.open(hold(content), Prices()))
    judged = [Prices.contract.judge(record.values, Prices.form) for record in records if isinstance(record, Record)]
    assert judged == [
        {"sku": "A1", "price": Decimal("1234.50"), "note": None},
        {"sku": "A2", "price": Decimal("0.05"), "note": "schön"},
    ]


def test_another_dialect_is_another_reading_and_the_default_is_the_one_of_old() -> None:
    class Plain(Prices):
        dialect = Csv()

    class Spelled(Prices):
        dialect = Csv(delimiter=",", quote='"', null_words=[""], true_words=["true"])

    class Tabs(Prices):
        dialect = Csv(delimiter="\t")

    class Words(Prices):
        dialect = Csv(null_words=["", "N/A"])

    assert Plain().digest() == Spelled().digest()
    assert Plain.describe_reading() == {}
    assert len({kind().digest() for kind in (Plain, Prices, Tabs, Words)}) == 4


def test_a_refused_record_is_revived_as_it_was_read() -> None:
    (item,) = read(GERMAN, "sku;price\nä;1\n".encode("cp1252"))
    assert isinstance(item, Record)
    stored = StoredRefusal(1, 1, 2, Refusal.of(item, None).breach, item.payload, item.original)  # type: ignore[arg-type]
    assert GERMAN.revive(stored) == item


# Laws

SIGNS = st.sampled_from([",", ";", "\t", "|", "¦", "~"])
CELLS = st.text(st.characters(exclude_categories=["Cs"]), max_size=6) | st.sampled_from(
    ["", '"', "'", "\\", "\r", "\n", "\r\n", ",", ";", '""', "\ufeff", "\x00", "\u2028", "\x85", " ", "#", "sep=;", "č"]
)
ROWS = st.integers(1, 3).flatmap(lambda width: st.lists(st.lists(CELLS, min_size=width, max_size=width), min_size=1))
ENCODINGS = ["utf-8", "utf-16", "utf-16-be", "cp1252", "shift_jis", "gb18030", "iso2022_jp"]


def can_encode(encoding: str, text: str) -> bool:
    try:
        return text.encode(encoding).decode(encoding) == text and "\x1b" not in text
    except UnicodeError:
        return False


@given(
    ROWS,
    SIGNS,
    st.sampled_from(['"', "'"]),
    st.sampled_from([None, "\\"]),
    st.sampled_from(["\r\n", "\n", "\r"]),
    st.sampled_from(ENCODINGS),
    st.booleans(),
    st.integers(1, 4),
)
def test_what_a_csv_writer_writes_in_any_dialect_is_read_back(
    rows: list[list[str]],
    delimiter: str,
    quote: str,
    escape: str | None,
    ending: str,
    encoding: str,
    has_names: bool,
    batch_size: int,
) -> None:
    if not can_encode(encoding, delimiter):
        delimiter = ","
    rows = [[cell if can_encode(encoding, cell) else "?" for cell in row] for row in rows]
    names = [f"c{number}" for number in range(len(rows[0]))]
    file = io.StringIO(newline="")
    doubled = escape is None
    writer: Any = csv.writer(
        file,
        delimiter=delimiter,
        quotechar=quote,
        escapechar=escape,
        doublequote=doubled,
        quoting=csv.QUOTE_ALL,
        lineterminator=ending,
    )
    if not has_names:
        writer.writerow(names)
    line_end, expected = ending[-1], []
    for row in rows:
        expected.append((file.getvalue().count(line_end) + 1, row))
        writer.writerow(row)
    dialect = Csv(
        delimiter=delimiter,
        quote=quote,
        escape=escape,
        doubled_quotes=doubled,
        line_end=line_end,
        encoding=encoding,
        names=names if has_names else None,
    )
    content = make_content(dialect, file.getvalue().encode(encoding))
    items = read_items(content, batch_size=batch_size)
    assert describe(items) == expected
    if encoding not in ("utf-16", "iso2022_jp"):
        written = file.getvalue() if has_names else file.getvalue().split(ending, 1)[1]
        originals = [item.original for item in items if isinstance(item, Record)]
        assert b"".join(original + ending.encode(encoding) for original in originals) == written.encode(encoding)


DIALECTS = [
    Csv(delimiter=";", escape="\\", comment="#"),
    Csv(quote="'", escape="\\", doubled_quotes=False, trailing_delimiter=True),
    Csv(quote=None, escape="\\", trim=True, names=["a", "b"]),
    Csv(quote=None, comment="#", footer_lines=2),
    Csv(line_end="\r", comment="1", skip_lines=1),
    Csv(encoding="cp1252", trailing_delimiter=True, comment="#", trim=True),
    Csv(encoding="shift_jis", footer_lines=1),
    Csv(encoding="utf-16-le", comment="#", footer_lines=1),
    Csv(encoding="utf-16-be", line_end="\r", trailing_delimiter=True),
    Csv(encoding="utf-16-le", names=["a"], escape="\\"),
    Csv(encoding="iso2022_jp", delimiter=";"),
]
PIECES = st.sampled_from(
    [
        "1,x",
        "2;y",
        "a,b",
        "a;b",
        "\n",
        "\r\n",
        "\r",
        '"a\nb"',
        "'",
        '"',
        "\\",
        "\\\n",
        "#c\n",
        ",",
        ";",
        " ",
        ",\n",
        "é",
    ]
)
BODIES = st.lists(PIECES, max_size=40).map("".join)


def encode_body(dialect: Csv, text: str) -> bytes:
    return text.encode("utf-16-le" if dialect.encoding == "utf-16" else dialect.encoding, "replace")


def describe_chunks(chunks: Sequence[Chunk]) -> list[Any]:
    return [(chunk.items, chunk.refusals, dict(chunk.cursor)) for chunk in chunks]


def read_plainly(content: CsvContent, cursor: Any, batch_size: int) -> list[Chunk]:
    lines, layout = content.open()
    if cursor is not None:
        lines.go_to(cursor["offset"], cursor["line"])
    items = read_one_by_one(lines, layout, cursor["position"] if cursor else 0)
    return list(gather_chunks(items, batch_size, lines.describe_cursor))


@most_examples(300)
@given(
    st.sampled_from(DIALECTS),
    BODIES | st.binary(max_size=120),
    st.integers(1, 8),
    st.integers(0, 7),
    st.integers(1, 80),
)
@example(DIALECTS[0], "a;b\n#c\n1;x\n\n#\n2;\\\ny\n#\n", 3, 7, 65536)
@example(DIALECTS[9], b"a\n\x00", 3, 7, 65536)
@example(DIALECTS[2], "\\\r", 1, 1, 2)
@example(DIALECTS[0], "1;x\\\r", 3, 7, 65536)
def test_in_every_dialect_any_bytes_are_read_together_as_one_by_one(
    dialect: Csv, body: str | bytes, batch_size: int, slice_lines: int, block: int
) -> None:
    text = body if isinstance(body, bytes) else encode_body(dialect, body)
    text = encode_body(dialect, "-\na,b\na;b\n".replace("\n", dialect.line_end)) + text
    together = make_content(dialect, text, slice_lines=slice_lines)
    try:
        plain = read_plainly(together, None, batch_size)
    except SourceError:
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_file, "BLOCK_BYTES", block)
        chunks = list(together.read(None, batch_size))
        assert describe_chunks(chunks) == describe_chunks(plain)
        for number, chunk in enumerate(chunks):
            cursor = json.loads(json.dumps(chunk.cursor))
            later = make_content(dialect, text, slice_lines=slice_lines).read(cursor, batch_size)
            assert describe_chunks(list(later)) == describe_chunks(chunks[number + 1 :])


@most_examples(200)
@given(st.sampled_from(DIALECTS), st.binary(max_size=200))
def test_of_any_bytes_each_is_in_a_record_or_declared_away(dialect: Csv, body: bytes) -> None:
    header = encode_body(dialect, "-\na,b\n".replace("\n", dialect.line_end))
    content = make_content(dialect, header + body)
    try:
        lines, layout = content.open()
        items = read_items(content)
    except SourceError:
        return
    text, at = (header + body)[lines.start : lines.end], 0
    skipped: list[bytes] = []
    pieces = lines.cutter.split(text, len(text) + 1)
    starts = [0, *accumulate(len(piece) + lines.width for piece in pieces)]
    for item in items:
        original = item.original if isinstance(item, Record) else item.original.head
        found = starts[item.line - 1]
        assert found >= at
        assert text[found:].startswith(original)
        skipped.append(text[at:found])
        at = found + len(original)
    skipped.append(text[at:])
    assert [item.position for item in items] == list(range(1, len(items) + 1))
    ends = [unit.encode(lines.encoding.name) for unit in ("\r", "\n")]
    for gap in skipped[1:]:
        for line in lines.cutter.split(gap, len(gap) + 1):
            is_blank = not line.replace(ends[0], b"").replace(ends[1], b"")
            assert is_blank or (layout.comment and line.startswith(layout.comment))
