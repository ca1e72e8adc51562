"""A content read from its end: the same items in the opposite order, for every batch size, from every cursor."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl.drift import Shape
from etl.exceptions import SourceError
from etl.preparation import prepare
from etl.readers import backward, content
from etl.readers.backward import read_backward
from etl.readers.content import Content
from etl.readers.csv_file import CsvContent
from etl.readers.json_records import JsonContent
from etl.records import Cursor, Record, Refusal
from etl.sources import Contract, CsvSource, NonBlank, Text
from tests.factories import hold, read_items

SIZES = [1, 2, 3, 10_000]


class Thing(Contract):
    sku: Text
    title: NonBlank


class Things(CsvSource):
    name = "things"
    contract = Thing
    unified = {"external_id": "sku", "name": "title"}
    keep = "last"


_CELLS = st.sampled_from(["a", "b", "c", '"a\nb"', '"a,b"', '""', "ä", '"', "\udcff", "x" * 50])
_ROWS = st.lists(st.lists(_CELLS, max_size=3).map(",".join), max_size=14)
_RECORDS = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("xyz")).map(",".join), min_size=6, max_size=14)
_ELEMENTS = st.lists(st.sampled_from(['{"sku":"a"}', '{"sku":"b",\n"title":"x"}', "1", '{"a":NaN}', '{"a":1,"a":2}']))


def make_csv(rows: list[str]) -> Content:
    return CsvContent(hold("\n".join(["sku,title", *rows]).encode(errors="surrogateescape")), "f.csv", slice_lines=4)


def make_json(elements: list[str], *, is_array: bool) -> Content:
    text = f"[{','.join(elements)}]" if is_array else "\n".join(each.replace("\n", " ") for each in elements)
    return JsonContent(hold(text.encode()), "f.json")


_CONTENTS = st.one_of(
    _ROWS.map(make_csv),
    _ELEMENTS.map(lambda elements: make_json(elements, is_array=True)),
    _ELEMENTS.filter(bool).map(lambda elements: make_json(elements, is_array=False)),
)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backward, "BLOCK_RECORDS", 3)


def read_from(forward: Content, cursor: Cursor | None, size: int) -> list[tuple[list[Record | Refusal], Cursor]]:
    return [(chunk.items, chunk.cursor) for chunk in read_backward(forward, cursor, size)]


@given(_CONTENTS, st.sampled_from(SIZES), st.sampled_from(SIZES))
def test_the_items_are_those_of_the_content_in_the_opposite_order(forward: Content, size: int, other: int) -> None:
    items = read_items(forward)[::-1]
    chunks = read_from(forward, None, size)
    assert [item for found, _ in chunks for item in found] == items
    assert all(len(found) == size for found, _ in chunks[:-1])
    offsets = [cursor["offset"] for _, cursor in chunks]
    assert offsets == sorted(offsets)
    assert not offsets or offsets[-1] == forward.size
    done = 0
    for found, cursor in chunks:
        done += len(found)
        rest = [item for left, _ in read_from(forward, cursor, other) for item in left]
        assert rest == items[done:]


@given(_RECORDS, st.sampled_from(SIZES))
def test_the_first_record_met_is_the_last_one_of_its_id(rows: list[str], size: int) -> None:
    """Like a dictionary that is filled from the beginning, if batches are judged by columns."""
    found: dict[str, str] = {}
    for prepared in prepare(Things(), make_csv(rows), None, Shape(), size):
        lines = prepared.judged.lines.write(range(len(prepared.judged)))
        for line in lines.unified:
            external_id, name, *_ = line.split("\t")
            found.setdefault(external_id, name)
    forward: dict[str, str] = {}
    for prepared in prepare(type("First", (Things,), {"keep": "first"})(), make_csv(rows), None, Shape(), 10_000):
        for line in prepared.judged.lines.write(range(len(prepared.judged))).unified:
            external_id, name, *_ = line.split("\t")
            forward[external_id] = name
    assert found == forward


@pytest.mark.parametrize("size", SIZES)
def test_chunks_of_wide_records_end_early(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(content, "CHUNK_BYTES", 200)
    chunks = read_from(make_csv([f"{number},{'x' * 60}" for number in range(40)]), None, size)
    assert max(len(found) for found, _ in chunks) <= 4
    assert sum(len(found) for found, _ in chunks) == 40


def test_an_error_in_the_content_is_raised_before_anything_is_yielded() -> None:
    forward: Any = JsonContent(hold(b'[{"sku":"a"},{"sku":"b"}'), "f.json")
    with pytest.raises(SourceError, match="the array ends in the middle"):
        next(read_backward(forward, None, 1))
