"""Laws of broken elements: each costs itself, and its inside becomes no record."""

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl.exceptions import SourceError
from etl.readers.json_records import JsonContent
from etl.records import Cursor, Record, Refusal
from tests.examples import most_examples
from tests.factories import hold


def accepts(values: Mapping[str, Any]) -> bool:
    """Judge as a contract would: a record has an id."""
    return isinstance(values.get("id"), str)


def make_content(text: str | bytes, path: tuple[str, ...] | None = None, most_bytes: int = 1 << 20) -> JsonContent:
    content = text.encode(errors="surrogateescape") if isinstance(text, str) else text
    return JsonContent(hold(content), "things.json", records=path, accepts=accepts, most_bytes=most_bytes)


def read(content: JsonContent, cursor: Cursor | None = None, size: int = 1000) -> tuple[list[Record | Refusal], str]:
    """Return the items and the error that ends the read, if one does."""
    items: list[Record | Refusal] = []
    try:
        for chunk in content.read(cursor, size):
            items += chunk.items
    except SourceError as error:
        return items, str(error)
    return items, ""


def show(items: list[Record | Refusal]) -> list[str]:
    """Return the id of each record, and the text of each refusal in angle brackets."""
    return [
        str(item.values.get("id"))
        if isinstance(item, Record)
        else f"<{item.original.head.decode(errors='surrogateescape')}>"
        for item in items
    ]


FIRST, THIRD, FOURTH = '{"id":"1"}', '{"id":"3"}', '{"id":"4"}'
INNER = '[{"id":"8"},{"id":"9"},{"id":"10"}]'

BROKEN = {
    "a comma is missing": '{"id":"2","name":"b" "x":1}',
    "a colon is missing": '{"id" "2","name":"b"}',
    "a value is missing": '{"id":"2","name":}',
    "the element is missing": "",
    "it is no JSON": "nonsense, more of it",
    "a quote is missing at the end of a value": '{"id":"2","name":"b}',
    "a quote is missing at its beginning": '{"id":"2","name":b"}',
    "a quote is missing at the end of a name": '{"id":"2","name:"b"}',
    "a quote is missing at the beginning of a name": '{"id":"2",name":"b"}',
    "the first quote is missing": '{id":"2","name":"b"}',
    "a quote too many": '{"id":"2","na"me":"b"}',
    "quotes within a text": '{"id":"2","name":"the "big" one"}',
    "a line feed within a text": '{"id":"2","name":"b\n, {}"}',
    "a bracket is missing at the end": '{"id":"2","name":"b"',
    "a bracket is missing at the beginning": '"id":"2","name":"b"}',
    "the bracket of an inner array is missing": '{"id":"2","tags":[1,2}',
    "a bracket too many": '{"id":"2"}}',
    "another bracket": '{"id":"2"]',
    "an opening bracket instead of a closing one": '{"id":"2"[',
    "an opening brace instead of a closing one": '{"id":"2"{',
    "brackets within a text": '{"id":"2","name":"]}],[{" x}',
    "the array's end within a text": '{"id":"2","name":"b]}',
    "an escape at the end of a text": '{"id":"2","name":"b\\"}',
    "records within it": f'{{"id":"2" "kids":{INNER}}}',
    "records within it, and a quote is missing before them": f'{{"id":"2","kids:{INNER}}}',
    "records within it, and a bracket is missing before them": f'{{"id":"2","owner":{{"x":1,"kids":{INNER}}}',
    "records within it, and a bracket too many": f'{{"id":"2","x":1}},"kids":{INNER}}}',
    "records within it, and a bracket too many among them": '{"id":"2","kids":[{"t":1}},{"id":"9"},{"id":"10"}]}',
    "records within it, and one has no end": '{"id":"2","kids":[{"id":"8",{"id":"9"},{"id":"10"}]}',
    "records within it, and their array has no beginning": '{"id":"2","kids":{"id":"8"},{"id":"9"},{"id":"10"}]}',
    "records within it, and a colon is missing": '{"id":"2","owner" {"id":"8"}}',
    "records within a text": '{"id":"2","name":"x" ,y":[{},{},{}]}',
}


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
@pytest.mark.parametrize("comma", [",", " ,\n "])
@pytest.mark.parametrize("opening", ["[", '{"total": 4, "data": [', '{"data": {"x": {"data": []}, "items": ['])
def test_a_broken_element_costs_itself(broken: str, comma: str, opening: str) -> None:
    path = {"[": None, "{": ("data",)}[opening[0]] if "items" not in opening else ("data", "items")
    closing = "]" + {"[": "", "{": ', "next": null, "more": [1, {"id": "5"}]}'}[opening[0]]
    closing += "}" if "items" in opening else ""
    text = opening + comma.join([FIRST, broken, THIRD, FOURTH]) + closing
    items, error = read(make_content(text, path))
    assert (show(items), error) == (["1", f"<{broken}>", "3", "4"], "")
    assert [item.position for item in items] == [1, 2, 3, 4]
    assert items[1].line == 1 + comma.count("\n")


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
def test_the_last_element_may_be_broken(broken: str) -> None:
    items, error = read(make_content(f"[{FIRST},{broken}]"))
    assert show(items)[0] == "1"
    assert len(items) == (2 if broken else 1)
    assert all(isinstance(item, Refusal) for item in items[1:])
    assert error in (
        "",
        "things.json: line 1: the array ends in the middle.",
        "things.json: line 2: the array ends in the middle.",
    )


SEPARATORS = {
    "a comma is missing": (" ", "<>"),
    "another mark": (" ; ", "<;>"),
    "the array's end": ("],", "<]>"),
    "the array's end instead": ("]", "<]>"),
}


@pytest.mark.parametrize(("separator", "refused"), SEPARATORS.values(), ids=SEPARATORS)
def test_a_broken_separator_costs_no_record(separator: str, refused: str) -> None:
    items, error = read(make_content(f"[{FIRST}{separator}{THIRD},{FOURTH}]"))
    assert (show(items), error) == (["1", refused, "3", "4"], "")


UNKNOWN = {
    "another element that the contract does not accept": ',{"name":"x"}',
    "another broken element": ',{"id":"5" 1}',
    "an element that is no object": ',12,"x",[{"id":"6"}]',
    "an element that names a key twice": ',{"id":"5","id":"6"}',
}


@pytest.mark.parametrize("other", UNKNOWN.values(), ids=UNKNOWN)
def test_what_is_not_accepted_after_a_broken_element_is_part_of_its_refusal(other: str) -> None:
    items, error = read(make_content(f'[{FIRST},{{"id":"2" 1}}{other},{FOURTH}]'))
    assert (show(items), error) == (["1", f'<{{"id":"2" 1}}{other}>', "4"], "")


@pytest.mark.parametrize("text", ['{"id":"2","kids":[{"id":"8"},{"id":"9"},{"id":"10"', '{"id":"2","name":"b],[{'])
def test_without_an_element_to_trust_all_is_one_refusal_and_the_end_is_not_proven(text: str) -> None:
    items, error = read(make_content(f"[{FIRST},{text}"))
    assert (show(items), error) == (["1", f"<{text}>"], "things.json: line 1: the array ends in the middle.")


@pytest.mark.parametrize("size", [1000, 1001, 5000, 40_000, 300_000])
@pytest.mark.parametrize(
    "make",
    [
        lambda size: '{"id":"2","x":"' + "x" * (size - 17) + '"}',
        lambda size: '{"id":"2","kids":[' + '{"id":"8"},' * ((size - 30) // 11) + '{"id":"9"}]}',
        lambda size: '{"id":"2","x":' + "[" * ((size - 16) // 2) + "]" * ((size - 16) // 2) + "}",
    ],
    ids=["text", "records", "depth"],
)
def test_an_element_above_the_limit_costs_itself(size: int, make: Any) -> None:
    long = make(size)
    items, error = read(make_content(f"[{FIRST},{long},{THIRD}]", most_bytes=1000))
    assert [type(item) for item in items] == [
        Record,
        Record if len(long) <= 1000 and "[[" not in long else Refusal,
        Record,
    ]
    refusals = [item for item in items if isinstance(item, Refusal)]
    assert [refusal.original.length for refusal in refusals] == [len(long)] * len(refusals)
    assert error == ""


def assert_resumes(text: str, path: tuple[str, ...] | None) -> None:
    """Read in steps of one item, and continue from each cursor with a content of its own."""
    whole, error = read(make_content(text, path))
    cursors = []
    with suppress(SourceError):
        cursors += [chunk.cursor for chunk in make_content(text, path).read(None, 1)]
    for done, cursor in enumerate(cursors, 1):
        assert read(make_content(text, path), cursor) == (whole[min(done, len(whole)) :], error), (text, cursor)


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
@pytest.mark.parametrize("path", [None, ("data",), ("data", "items")], ids=["array", "path", "longer path"])
def test_a_read_resumes_at_each_cursor_within_recovery(broken: str, path: tuple[str, ...] | None) -> None:
    opening = "".join(f'{{"n":[{{}}],"{key}":' for key in path or ()) + "["
    closing = "]" + ',"more":[{"id":"5"}]}' * len(path or ())
    elements = [FIRST, broken, broken, THIRD, f'{{"id":"7" {INNER}}}', '{"name":"x"}', FOURTH]
    assert_resumes(opening + " ,\n".join(elements) + closing, path)


# Properties

_IDS = st.integers(0, 99).map(str)
# If a quote is lost, a name that begins with a mark of JSON can't be told from the end of a string.
_NAMES = st.text(max_size=3).filter(lambda name: name[:1] not in set("{}[],:"))
_VALUES = st.recursive(
    st.none() | st.integers() | st.text(max_size=5) | st.text('{}[]",:\\id ', max_size=8),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(_NAMES | st.just("id"), children),
    max_leaves=8,
)
_RECORDS = st.builds(lambda number, values: {**values, "id": number}, _IDS, st.dictionaries(_NAMES, _VALUES))
# Damage that closes an object and opens another one makes two elements of one, which may both be good.
_DAMAGE = st.text('{}[]",:\\ \nxid1', min_size=0, max_size=3).filter(lambda damage: not {*"{}"} <= {*damage})


@st.composite
def damaged(draw: st.DrawFn) -> tuple[str, int, list[str], tuple[str, ...] | None]:
    """Return a text with one damaged element, its index, the elements as they were, and the path to them."""
    texts = draw(st.lists(_RECORDS.map(json.dumps), min_size=3, max_size=6))
    index = draw(st.integers(0, len(texts) - 2))
    text = texts[index]
    begin = draw(st.integers(1, len(text) - 2))
    end = draw(st.integers(begin, min(len(text) - 1, begin + 3)))
    broken = [*texts[:index], text[:begin] + draw(_DAMAGE) + text[end:], *texts[index + 1 :]]
    opening, closing, path = draw(
        st.sampled_from([("[", "]", None), ('{"n": {}, "data": [', '], "more": [{"id": "x"}]}', ("data",))])
    )
    comma = draw(st.sampled_from([",", ",\n", " , "]))
    return opening + comma.join(broken) + closing, index, texts, path


@most_examples(400)
@given(damaged())
def test_records_outside_the_damage_land_and_none_is_made_of_its_inside(case: Any) -> None:
    text, index, texts, path = case
    items, error = read(make_content(text, path))
    landed = [item.payload for item in items if isinstance(item, Record)]
    expected = texts[:index] + texts[index + 1 :]
    assert error == "", text
    assert [each for each in landed if each in expected] == expected or len(landed) == len(texts), text
    assert len(landed) <= len(texts)


@most_examples(100)
@given(damaged())
def test_a_read_of_any_damage_resumes_at_each_cursor(case: Any) -> None:
    text, _, _, path = case
    assert_resumes(text, path)
