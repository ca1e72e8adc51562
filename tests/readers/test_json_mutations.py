"""Laws of JSON with damage of up to five bytes anywhere.

Nothing crashes, positions count from 1 and lines never go back. If the array begins before it:

- Each item is the text after the one before it, with white space and at most one comma between them. If the read ends
  without an error, only white space, at most one comma and the closing bracket follow the last one.
- Each element before the damage lands, except perhaps the last: the text after it may show that it is damaged too.
- A record that was not an element is within the text from the first element that the damage touches to the last one.
- Damage without brackets, quotes, commas, colons and backslashes costs no element that it does not touch.
"""

import hashlib
import json
import re
from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from etl.records import Record, Refusal
from tests.examples import most_examples
from tests.readers.test_json_recovery import make_content, read

Path = tuple[str, ...]
_BETWEEN = re.compile(rb"[ \t\r\n]*,?[ \t\r\n]*")
_KEYS = st.text('abid."', min_size=1, max_size=3)
_VALUES = st.recursive(
    st.none() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=4) | st.text('{}[]",:\\id ', max_size=6),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(_KEYS | st.just("id"), children, max_size=3),
    max_leaves=6,
)
_RECORDS = st.builds(
    lambda number, values: {**values, "id": str(number)},
    st.integers(0, 99),
    st.dictionaries(_KEYS, _VALUES, max_size=3),
)
_MARKS = set(b'{}[]",:\\')
_BYTES = st.text('{}[]",:\\ \nid1x', max_size=5).map(str.encode) | st.binary(max_size=5)


@dataclass(frozen=True)
class Document:
    """A JSON text, the path to its array, and the spans of its elements."""

    text: bytes
    path: Path | None
    elements: list[tuple[int, int]]
    array: tuple[int, int]


@st.composite
def documents(draw: st.DrawFn) -> Document:
    """Return a document with an array of records at any path, in any layout."""
    path = tuple(draw(st.lists(_KEYS, max_size=3)))
    texts = [json.dumps(values, ensure_ascii=draw(st.booleans())) for values in draw(st.lists(_RECORDS, max_size=5))]
    blank = draw(st.sampled_from(["", " ", "\n", "\r\n  "]))
    opening = closing = ""
    for key in path:
        before, after = draw(st.lists(st.tuples(_KEYS, _VALUES), max_size=2)), draw(st.dictionaries(_KEYS, _VALUES))
        names = {key}
        opening += "{" + blank
        for name, value in before:
            if name not in names:
                names.add(name)
                opening += f"{json.dumps(name)}:{blank}{json.dumps(value)},"
        opening += f"{json.dumps(key)}{blank}:"
        rest = "".join(f"{blank},{json.dumps(name)}:{json.dumps(after[name])}" for name in after if name not in names)
        closing = rest + "}" + closing
    text, spans = (opening + "[" + blank).encode(), []
    begin = len(text)
    for index, each in enumerate(texts):
        text += (f"{blank},{blank}" if index else "").encode()
        spans.append((len(text), len(text) + len(each.encode())))
        text += each.encode()
    text += blank.encode()
    end = len(text)
    return Document(text + ("]" + closing + blank).encode(), path or None, spans, (begin, end))


@dataclass(frozen=True)
class Mutation:
    text: bytes
    begin: int
    removed: int
    added: int


@st.composite
def mutations(draw: st.DrawFn, *, anywhere: bool) -> tuple[Document, Mutation]:
    document = draw(documents())
    least, most = (0, len(document.text)) if anywhere else document.array
    begin = draw(st.integers(least, most))
    removed = draw(st.integers(0, min(5, most - begin)))
    added = draw(_BYTES)
    text = document.text[:begin] + added + document.text[begin + removed :]
    return document, Mutation(text, begin, removed, len(added))


def locate(text: bytes, items: list[Record | Refusal], at: int) -> list[tuple[int, int]]:
    """Return the span of each item, each after the one before it and at most one comma. Fails if there is none."""
    spans: list[tuple[int, int]] = []
    for item in items:
        length, digest = _measure(item)
        between = _BETWEEN.match(text, at)
        assert between is not None
        places = range(between.end(), at - 1, -1)
        begin = next((each for each in places if hashlib.sha256(text[each : each + length]).digest() == digest), None)
        assert begin is not None, (text, items)
        assert item.line == 1 + text[:begin].count(b"\n") or not length
        at = begin + length
        spans.append((begin, at))
    return spans


def _measure(item: Record | Refusal) -> tuple[int, bytes]:
    if isinstance(item, Refusal):
        return item.original.length, item.original.sha256
    return len(item.original), hashlib.sha256(item.original).digest()


@most_examples(500)
@given(mutations(anywhere=True))
def test_damage_anywhere_crashes_nothing_and_the_items_are_the_array(case: tuple[Document, Mutation]) -> None:
    document, mutation = case
    items, error = read(make_content(mutation.text, document.path))
    assert [item.position for item in items] == list(range(1, len(items) + 1))
    assert [item.line for item in items] == sorted(item.line for item in items)
    if mutation.begin >= document.array[0]:
        spans = locate(mutation.text, items, document.array[0])
        if not error:
            end = spans[-1][1] if spans else document.array[0]
            assert re.compile(rb"[ \t\r\n]*,?[ \t\r\n]*\]").match(mutation.text, end), (mutation.text, items)


@most_examples(500)
@given(mutations(anywhere=False))
def test_damage_in_an_array_costs_nothing_before_it_and_makes_no_record_of_the_inside_of_others(
    case: tuple[Document, Mutation],
) -> None:
    document, mutation = case
    items, error = read(make_content(mutation.text, document.path))
    spans = locate(mutation.text, items, document.array[0])
    landed = [span for span, item in zip(spans, items, strict=True) if isinstance(item, Record)]
    shift = mutation.added - mutation.removed
    begin, end = mutation.begin, mutation.begin + mutation.removed
    before = [(b, e) for b, e in document.elements if e < begin]
    after = [(b + shift, e + shift) for b, e in document.elements if b > end]
    touched = [(b, e) for b, e in document.elements if e >= begin and b <= end]
    hull = min([begin, *(b for b, _ in touched)]), max([end, *(e for _, e in touched)]) + shift
    assert landed[: max(0, len(before) - 1)] == before[:-1]
    foreign = [span for span in landed if span not in before and span not in after]
    assert all(hull[0] <= b and e <= hull[1] for b, e in foreign), (mutation.text, hull, foreign)
    changed = document.text[begin:end] + mutation.text[begin : begin + mutation.added]
    if not _MARKS.intersection(changed):
        assert [span for span in landed if span not in foreign] == before + after, (mutation.text, error)
