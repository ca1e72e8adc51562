"""A batch prepared in columns is the one that reading, counting and judging record by record gives, for any bytes."""

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain

import pytest
from hypothesis import event, example, given
from hypothesis import strategies as st

from etl.drift import Shape
from etl.exceptions import SourceError
from etl.judgement import Judge, tabulate
from etl.preparation import Prepared, prepare
from etl.readers import content as content_module
from etl.readers import csv_file, single_records
from etl.readers.content import Content
from etl.readers.csv_file import CsvContent
from etl.readers.json_records import JsonContent
from etl.readers.source import Source
from etl.records import Cursor, Record
from etl.sources import (
    Contract,
    CsvSource,
    Date,
    JsonLinesSource,
    NonBlank,
    PositiveDecimal,
    PositiveInt,
    Text,
    ZonedTime,
    lower,
)
from tests.examples import most_examples
from tests.factories import hold


class Line(Contract):
    id: NonBlank
    title: Text
    group: NonBlank | None
    price: PositiveDecimal
    count: PositiveInt | None
    day: Date
    at: ZonedTime | None
    note: Text | None


class RoughCsv(CsvSource):
    name = "rough_csv"
    path = "rough.csv"
    contract = Line
    unified = {
        "external_id": "id",
        "name": "title",
        "category": lower("group"),
        "value": "price",
        "currency": "note",
        "event_timestamp": "at",
    }


class Price(Contract):
    amount: PositiveDecimal
    currency: Text | None


class Entry(Contract):
    id: NonBlank
    title: Text
    price: Price | None
    day: Date | None
    at: ZonedTime | None


class RoughJson(JsonLinesSource):
    name = "rough_json"
    path = "rough.json"
    contract = Entry
    unified = {
        "external_id": "id",
        "name": "title",
        "value": "price.amount",
        "currency": "price.currency",
        "event_timestamp": "at",
    }


# --- the plain way --------------------------------------------------------------------------------


def prepare_plainly(
    source: Source, content: Content, cursor: Cursor | None, shape: Shape, batch_size: int
) -> Iterator[Prepared]:
    """Do what `prepare` does, with each record by itself."""
    judge, is_lexical = Judge(source), source.form.is_file
    for chunk in content.read(cursor, batch_size):
        shape = shape.observe([], is_lexical=is_lexical)
        for item in chunk.items:
            if isinstance(item, Record):
                shape = shape.observe([item.values], is_lexical=is_lexical)
        yield Prepared(tabulate(judge.judge(chunk.items)), len(chunk.items), shape, chunk.cursor)


def take(batches: Iterator[Prepared]) -> tuple[list[Prepared], str]:
    """Return the batches before an error, and the error."""
    taken: list[Prepared] = []
    try:
        taken.extend(batches)  # keeps those before the error
    except SourceError as error:
        return taken, str(error)
    return taken, ""


def assert_same(quick: Sequence[Prepared], plain: Sequence[Prepared], chance: random.Random) -> None:
    assert len(quick) == len(plain)
    for batch, same in zip(quick, plain, strict=True):
        every, share = range(len(same.judged)), chance.choice((0, 0.03, 0.5, 1))
        few = [row for row in every if chance.random() < share] or list(every[-1:])
        for rows in (few, every):
            assert batch.judged.lines.write(rows) == same.judged.lines.write(rows)
        batch.judged.lines = same.judged.lines
        assert batch == same


# --- CSV ------------------------------------------------------------------------------------------

COLUMNS = (*Line.fields, "extra")
VALID = ("7", "Desk", "Ünïcode", "12.50", "3", "2024-05-01", "2024-05-01T10:00:00Z", "x")
LONG = ("y" * 256, "y" * 1001, "é" * 300)
HOSTILE_CELLS = (
    *("", " ", "\t", "a\tb", "a\\b", r"\N", r"\.", "a\nb", "a\r\nb", "\rc", "\n", 'say "x"', '"', '""', ",", "\x00"),
    *(
        "a\x00b",
        "\x1f",
        "\x7f",
        "\u2028",
        "\x85",
        "\ufeff",
        "Ж中文",
        "\U0001f600",
        "İ",
        "ß",
        "%s",
        "{}",
        "null",
        "NULL",
    ),
    *("1e2", "1E+2", "-1", "0", "0.0", "007", "1.", ".5", "1_0", "١", "1" * 39, "1" * 20, "1" * 21, "0." + "1" * 19),
    *("2024-02-30", "2024-5-1", "0000-01-01", "9999-12-31T23:59:59-01:00", "2024-05-01 10:00+0200", "true"),
    *("2024-05-01T10:00:00", "2024-05-01T10:00:00.123456789+02:00", " Desk ", "\xa0Desk"),
    *LONG,
)
_CELLS = st.sampled_from(HOSTILE_CELLS) | st.sampled_from(VALID) | st.text(max_size=5)
_NEARLY_VALID = st.tuples(
    st.sampled_from(["1", "2", "x y", "é\t1", "a\\b", 'q"q', "1\n2"]),
    st.sampled_from(["Desk", "a\tb", 'say "x"', "Ж中文", "two\nlines", " Desk "]),
    st.sampled_from(["", "Things", "ÜBER", "a\\b"]),
    st.sampled_from(["1", "12.50", "0.1", "1e2", "007", "99999999999999999999"]),
    st.sampled_from(["", "1", "007", " "]),
    st.sampled_from(["2024-05-01", "2024-02-29"]),
    st.sampled_from(["", "2024-05-01T10:00:00Z", "2024-05-01T10:00:00.5+02:00"]),
    st.sampled_from(["", "EUR", " x ", "\\N"]),
    _CELLS,
).map(list)


@st.composite
def csv_line(draw: st.DrawFn, header: Sequence[str]) -> bytes:
    """A record as CSV, with cells in quotes where they need them and sometimes where they don't.

    Half of the records have hostile cells, or too many or too few.
    """
    record = dict(zip(COLUMNS, draw(_NEARLY_VALID), strict=True))
    cells = [record[name] for name in header]
    if draw(st.booleans()):
        for place in draw(st.lists(st.integers(0, len(cells) - 1), max_size=2)):
            cells[place] = draw(_CELLS)
        cells = draw(st.sampled_from([cells, cells, cells, cells[1:], [*cells, "more"]]))
    must_quote = draw(st.sampled_from([False, False, True]))
    texts = [
        '"' + cell.replace('"', '""') + '"' if must_quote or any(mark in cell for mark in ',"\r\n') else cell
        for cell in cells
    ]
    end = draw(st.sampled_from(["\n", "\n", "\n", "\r\n"]))
    return (",".join(texts) + end).encode(errors="surrogatepass")


_GARBAGE = st.sampled_from(
    [
        *(b"\n", b"\r\n", b"\n\n\n", b" \n", b",\n", b",,,,,,,,\n", b'"\n', b'"', b'"open,\n', b'x"y,"z"w\n', b"\r"),
        *(b"1,\xff,,1,,2024-05-01,,,\n", b"1,\xc3\n", b"\xef\xbb\xbf1,Desk,,1,,2024-05-01,,,\n", b"\x00\n", b"\x1a\n"),
        *(b'1,"two\n\xff lines",,1,,2024-05-01,,,\n', b"\xed\xa0\x80,Desk,,1,,2024-05-01,,,\n", b"1\r2\n"),
    ]
)
_HEADERS = st.permutations(COLUMNS) | st.sampled_from([COLUMNS, COLUMNS[1:], COLUMNS[:4], ("id",)])


@st.composite
def csv_text(draw: st.DrawFn) -> bytes:
    header, count = draw(_HEADERS), draw(st.integers(0, 25) | st.integers(30, 50))
    share = draw(st.sampled_from([0, 1, 4]))
    lines = [draw(_GARBAGE if draw(st.integers(1, 20)) <= share else csv_line(header)) for _ in range(count)]
    before, end = draw(st.sampled_from([b"", b"\xef\xbb\xbf", b"\n"])), draw(st.sampled_from([b"\n", b"\r\n"]))
    return before + ",".join(header).encode() + end + b"".join(lines)


_PLAIN_LINES = [b"%d,Desk,Things,12.50,3,2024-05-01,2024-05-01T10:00:00Z,EUR,x\n" % number for number in range(60)]


@contextmanager
def limits(block: int, chunk: int) -> Iterator[None]:
    """Limit the bytes that are read together, and the bytes of a chunk."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_file, "BLOCK_BYTES", block)
        patch.setattr(content_module, "CHUNK_BYTES", chunk)
        yield


@most_examples(300)
@given(
    csv_text(),
    st.integers(1, 60),
    st.integers(1, 12) | st.just(1000),
    st.integers(1, 400) | st.just(1 << 18),
    st.integers(1, 2000) | st.just(16 << 20),
    st.randoms(),
)
@example(
    b",".join(map(str.encode, COLUMNS)) + b"\n" + b"".join(_PLAIN_LINES),
    1000,
    1000,
    1 << 18,
    16 << 20,
    random.Random(1),
)
def test_any_csv_is_prepared_in_columns_as_record_by_record(
    text: bytes, batch_size: int, slice_lines: int, block: int, chunk: int, chance: random.Random
) -> None:
    source = RoughCsv()
    columns = CsvContent(hold(text), "rough.csv", slice_lines=slice_lines)
    alone = CsvContent(hold(text), "rough.csv", slice_lines=0)
    with limits(block, chunk):
        quick, error = take(prepare(source, columns, None, Shape(), batch_size))
        plain, same = take(prepare_plainly(source, alone, None, Shape(), batch_size))
        assert error == same
        assert_same(quick, plain, chance)
        event(f"accepted: {min(5, sum(len(batch.judged) for batch in plain))}")
        if plain:
            middle = chance.choice(plain)
            rest = list(prepare(source, columns, middle.cursor, middle.shape, batch_size))
            assert_same(rest, list(prepare_plainly(source, alone, middle.cursor, middle.shape, batch_size)), chance)


# --- JSON -----------------------------------------------------------------------------------------

_WORDS = st.sampled_from(
    [
        *('"1"', '"2"', '"Desk"', '"a\\tb"', '"a\\\\b"', '"\\\\N"', '"Ж中文"', '"\\u0000"', '"\\ud800"', '"\\u00e9"'),
        *('""', '" "', '" Desk "', '"2024-05-01"', '"2024-02-30"', '"2024-05-01T10:00:00Z"', '"a\\nb\\r\\n"'),
        *("1", "1.50", "1E5", "-1", "0", "1e999999", "12345678901234567890123", "true", "false", "null", "[]", "{}"),
        *(
            '[1, {"a": 1}]',
            '{"amount": 1, "currency": "EUR"}',
            '{"amount": "2.5"}',
            '{"amount": null}',
            f'"{"y" * 1001}"',
        ),
    ]
)
_VALID_ENTRIES = st.tuples(
    st.sampled_from(['"1"', '"2"', '"x\\ty"', '"é"']),
    st.sampled_from(['"Desk"', '"a\\\\b"', '"Ж中文"', '" Desk "']),
    st.sampled_from(["null", '{"amount": 1.50, "currency": "EUR"}', '{"currency": "x", "amount": "2"}']),
    st.sampled_from(["null", '"2024-05-01"']),
    st.sampled_from(["null", '"2024-05-01T10:00:00Z"', '"2024-05-01T10:00:00.5+02:00"']),
).map(lambda values: dict(zip(Entry.fields, values, strict=True)))


@st.composite
def entry(draw: st.DrawFn) -> str:
    """A JSON object with fields in any order, of which some may be hostile or missing."""
    fields = draw(_VALID_ENTRIES)
    if draw(st.booleans()):
        fields |= draw(st.dictionaries(st.sampled_from([*Entry.fields, "extra", "a.b", ""]), _WORDS, max_size=2))
    for name in draw(st.sampled_from([(), (), ("at",), ("price", "day"), ("id",)])):
        fields.pop(name, None)
    names = draw(st.permutations(sorted(fields)))
    return "{" + ", ".join(f'"{name}": {fields[name]}' for name in names) + "}"


_ENTRIES = (
    entry() | entry() | entry() | _WORDS | st.sampled_from(['{"id": 1, "id": 2}', '{"id": NaN}', "[" * 201 + "]" * 201])
)
_BROKEN_LINES = st.sampled_from(
    ["", " ", "{", '{"id": ', '"open', "nul", "1 2", "\udcff", '{"id": "\udcff"}', "\ufeff{}"]
)


def _join_lines(lines: Sequence[str]) -> bytes:
    return "\n".join(lines).encode(errors="surrogateescape")


def _join_array(lines: Sequence[str]) -> bytes:
    return b"[%s]" % ",\n".join(lines).encode(errors="surrogateescape")


_JSON = st.lists(_ENTRIES | _BROKEN_LINES, max_size=20).map(_join_lines) | st.lists(_ENTRIES, max_size=20).map(
    _join_array
)


@most_examples(300)
@given(
    _JSON, st.integers(1, 25), st.integers(1, 9) | st.just(1000), st.integers(1, 2000) | st.just(16 << 20), st.randoms()
)
def test_any_json_is_prepared_in_columns_as_record_by_record(
    text: bytes, batch_size: int, slice_records: int, chunk: int, chance: random.Random
) -> None:
    source, content = RoughJson(), JsonContent(hold(text), "rough.json")
    with limits(1, chunk), pytest.MonkeyPatch.context() as patch:
        patch.setattr(single_records, "SLICE_RECORDS", slice_records)
        quick, error = take(prepare(source, content, None, Shape(), batch_size))
        plain, same = take(prepare_plainly(source, content, None, Shape(), batch_size))
        assert error == same
        assert_same(quick, plain, chance)
        event(f"accepted: {min(5, sum(len(batch.judged) for batch in plain))}")
        ones, _ = take(prepare(source, content, None, Shape(), 1))
    assert [each for batch in quick for each in batch.judged.content_hashes] == list(
        chain.from_iterable(batch.judged.content_hashes for batch in ones)
    )
    assert sum(batch.seen for batch in quick) == len(ones)
    assert quick[-1:] == [] or quick[-1].shape == ones[-1].shape
