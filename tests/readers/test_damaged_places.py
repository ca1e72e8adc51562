"""Law of places: whatever precedes a damaged record, its refusal names its position, its line and its own text."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl.readers.csv_file import CsvContent
from etl.records import Record, Refusal
from etl.vocabulary import BreachCode
from tests.examples import most_examples
from tests.factories import hold, read_items
from tests.readers.test_json_recovery import make_content as make_json_content

CSV_RECORDS = [
    b"1,x",
    '2,"ä, ""b"""'.encode(),
    b'3,"two\nlines"',
    b'4,"three\r\n\r\nlines"',
    b'"5",',
    b"6,\xf0\x9f\x99\x82",
]
CSV_DAMAGE = {
    b"1": BreachCode.COLUMN_COUNT,
    b"1,2,3,4": BreachCode.COLUMN_COUNT,
    b"1,\xff": BreachCode.BAD_ENCODING,
    b"\xe4,x": BreachCode.BAD_ENCODING,
    b'1,"never closed': BreachCode.MALFORMED,
    b'1,"closed" early': BreachCode.MALFORMED,
    b"1,a\rb": BreachCode.MALFORMED,
}
JSON_RECORDS = [
    b'{"id":"1"}',
    '{"id":"2","name":"ä, \\"b\\" ]},{ 🙂"}'.encode(),
    b'{"id":"3","kids":[{"id":"8"},{"id":"9"}],"owner":{"id":"10"}}',
]
JSON_DAMAGE = {
    b'{"id":"1" "name":"b"}': BreachCode.MALFORMED,
    b'{"id":"1","name":}': BreachCode.MALFORMED,
    b'{"id":"1","name":"b}': BreachCode.MALFORMED,
    b'{"id":"1","name":"b"]}': BreachCode.MALFORMED,
    b'{"id":"1"}}': BreachCode.MALFORMED,
    b'{"id":"1","price":12..5}': BreachCode.MALFORMED,
    b"nonsense": BreachCode.MALFORMED,
    b'{"id":"1","name":"\xff"}': BreachCode.BAD_ENCODING,
    b'{"id":"1","id":"2"}': BreachCode.DUPLICATE_KEY,
}
OVER_LINES = [b'{\n "id":"4",\n "name":"b"\n}', b'{"id":"5",\r\n"kids":[\n]}']
DAMAGED_OVER_LINES = {b'{\n "id":"6"\n "name":"b"\n}': BreachCode.MALFORMED}


@dataclass(frozen=True)
class Layout:
    """How records become a text, and what may be between them."""

    records: list[bytes]
    damage: dict[bytes, BreachCode]
    begin: bytes
    ends: list[bytes]
    end: bytes
    make_content: Callable[[bytes], Any]
    needs_good_after: bool = False


LAYOUTS = {
    "CSV": Layout(
        CSV_RECORDS,
        CSV_DAMAGE,
        b"a,b\n",
        [b"\n", b"\r\n", b"\n\n", b"\r\n\n\n"],
        b"",
        lambda text: CsvContent(hold(text), "things.csv"),
    ),
    "lines of JSON": Layout(JSON_RECORDS, JSON_DAMAGE, b"", [b"\n", b"\r\n", b"\n \n"], b"", make_json_content),
    "an array": Layout(
        JSON_RECORDS + OVER_LINES,
        JSON_DAMAGE | DAMAGED_OVER_LINES,
        b"[",
        [b",", b",\n", b"\n,\n\n", b" ,\r\n"],
        b'{"id":"0"}]',
        make_json_content,
        needs_good_after=True,
    ),
}


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
@most_examples(300)
@given(st.data())
def test_a_damaged_record_is_refused_at_its_place(layout: Layout, data: st.DataObject) -> None:
    texts = st.sampled_from([*layout.records, *layout.damage])
    rows = data.draw(st.lists(st.tuples(texts, st.sampled_from(layout.ends)), max_size=12))
    if layout.needs_good_after:  # an array's damage ends only at an element that can be trusted
        good = layout.records[0], layout.ends[0]
        rows = [each for row in rows for each in ([row] if row[0] in layout.records else [row, good])]
    text, expected = layout.begin, []
    for position, (row, end) in enumerate(rows, start=1):
        expected.append((position, text.count(b"\n") + 1, layout.damage.get(row), row))
        text += row + end
    items = read_items(layout.make_content(text + layout.end), batch_size=data.draw(st.integers(1, 4)))
    assert [describe(item) for item in items[: len(rows)]] == expected


def describe(item: Record | Refusal) -> tuple[int, int, BreachCode | None, bytes]:
    if isinstance(item, Record):
        return item.position, item.line, None, item.original
    return item.position, item.line, item.breach.code, item.original.head
