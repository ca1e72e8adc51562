"""Laws of the shortcut over broken elements: it gives what the careful scan gives, in far fewer steps."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl.exceptions import SourceError
from etl.readers import json_array, json_structure
from etl.readers.json_decoder import Decoder
from etl.readers.json_recovery import Recovery
from etl.readers.json_window import Window
from etl.records import Cursor, Record, Refusal
from tests.examples import most_examples
from tests.readers.test_json_recovery import BROKEN, damaged, make_content

Read = tuple[list[tuple[Record | Refusal, Cursor]], str]


def read_one_by_one(text: str, path: tuple[str, ...] | None = None) -> Read:
    """Return each item with the cursor after it, and the error that ends the read, if one does."""
    found: list[tuple[Record | Refusal, Cursor]] = []
    try:
        for chunk in make_content(text, path, most_bytes=20_000).read(None, 1):
            found += [(item, chunk.cursor) for item in chunk.items]
    except SourceError as error:
        return found, str(error)
    return found, ""


@contextmanager
def by_the_careful_scan() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_array, "pass_over", lambda *arguments: None)
        patch.setattr(json_structure, "_TOKEN_OR_OBJECTS", json_structure._TOKEN)
        yield


def assert_same(text: str, path: tuple[str, ...] | None = None) -> None:
    found = read_one_by_one(text, path)
    with by_the_careful_scan():
        assert found == read_one_by_one(text, path), text


# --- the same result ----------------------------------------------------------------------------

NEIGHBOURS = {
    "an element": '{"id":"3"}',
    "an element that the contract refuses": '{"name":"x","more":{"id":"8"}}',
    "no object": '12,[{"id":"8"}],"{",null',
    "nested objects": '{"id":"3","kids":[{"id":"8","of":{"id":"9"}},{"id":"10"}],"owner":{"id":"11"}}',
    "NaN": '{"id":"3","v":NaN}',
    "a key twice": '{"id":"3","id":"4"}',
    "bytes that are no text": '{"id":"3","name":"\udcff"}',
}


@pytest.mark.parametrize("neighbour", NEIGHBOURS.values(), ids=NEIGHBOURS)
@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
def test_both_ways_give_the_same_after_each_kind_of_damage(broken: str, neighbour: str) -> None:
    assert_same(f'[{{"id":"1"}},{broken},{neighbour},{broken} , {neighbour},{{"id":"4"}}]')


_WHOLE = ['"id":"1"', '"a":', '"b"', "12", "NaN", "01", '{"id":"2"}', ',{"id":"3"}', '[{"id":"4"},5]', "\\u0"]
_CLOSED = ['],"n":1', '],"o":{"p":2}}', "]]"]
_PARTS = st.sampled_from([*'{}[],:"\\ \n', *_WHOLE, *_CLOSED])


@most_examples(600)
@given(st.lists(_PARTS, max_size=25))
def test_both_ways_give_the_same_for_any_marks(parts: list[str]) -> None:
    array = '[{"id":"0"},{' + "".join(parts) + ',{"id":"5"},{"id":"6"}]'
    assert_same(array)
    assert_same(f'{{"a":{{"items":{array}}},"n":[{{}},{{}}]}}', ("a", "items"))


@most_examples(150)
@given(st.lists(damaged(), min_size=1, max_size=4))
def test_both_ways_give_the_same_for_several_damages(cases: list[Any]) -> None:
    assert_same("[" + ",".join(text.strip("[]") for text, *_ in cases) + "]")
    assert_same(cases[0][0], cases[0][3])


@most_examples(20)
@given(st.integers(16_200, 16_500), st.sampled_from(sorted(BROKEN.values())))
def test_both_ways_give_the_same_where_the_text_in_memory_ends(size: int, broken: str) -> None:
    assert_same(f'[{{"id":"1","x":"{"x" * size}"}},{broken},{{"id":"3"}},{{"id":"4"}}]')


# --- steps --------------------------------------------------------------------------------------

USUAL = {
    "a bad number": ("12.5", "1.2.5"),
    "a wrong literal": ("12.5", "True"),
    "a value is missing": ("12.5", ""),
    "a comma too many": ('Z"}', 'Z",}'),
    "a comma is missing": (',"at"', ' "at"'),
    "a colon is missing": ('"name":', '"name" '),
    "other quotes": ('"tools"', "'tools'"),
    "quotes within a text": ("A thing", 'The "big" thing'),
    "a quote is missing": ('"A thing"', '"A thing'),
    "a bracket is missing": ('Z"}', 'Z"'),
    "the first bracket is missing": ('{"id"', '"id"'),
    "a bracket too many": ('Z"}', 'Z"}}'),
    "a bracket before a name": ('"tools"', '"tools"]'),
    "a bracket before a bracket": ('Z"}', 'Z"]}'),
    "a tab within a text": ("A thing", "A\tthing"),
    "an unknown escape": ("A thing", "A \\thing".replace("t", "x", 1)),
    "damage in an object within": ('"tools"', '{"of":[1,2,{"x":nope}]}'),
}
GOOD = '{"id":"%d","name":"A thing","kind":"tools","value":12.5,"at":"2026-01-01T00:00:00Z"}'


@dataclass
class Steps:
    """What a read takes that may grow with a text faster than the text."""

    marks: int = 0
    decoded: int = 0
    read_bytes: int = 0
    recoveries: int = 0


@contextmanager
def counting() -> Iterator[Steps]:
    steps = Steps()
    scan, decode_at, prepare = json_structure.Scanner.scan, Decoder.decode_at, Recovery.__init__
    read_block = Window.extend

    def count_marks(self: Any) -> Iterator[tuple[str, int]]:
        for mark in scan(self):
            steps.marks += 1
            yield mark

    def count_decoded(self: Decoder, text: str, index: int) -> Any:
        steps.decoded += 1
        return decode_at(self, text, index)

    def count_recovery(self: Recovery, *arguments: Any) -> None:
        steps.recoveries += 1
        prepare(self, *arguments)

    def count_bytes(self: Any) -> bool:
        before = self.next_offset
        is_extended = read_block(self)
        steps.read_bytes += self.next_offset - before
        return is_extended

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_structure.Scanner, "scan", count_marks)
        patch.setattr(Decoder, "decode_at", count_decoded)
        patch.setattr(Recovery, "__init__", count_recovery)
        patch.setattr(Window, "extend", count_bytes)
        yield steps


@pytest.mark.parametrize(("old", "new"), USUAL.values(), ids=USUAL)
def test_the_usual_damage_takes_the_shortcut(old: str, new: str) -> None:
    elements = [GOOD % number for number in range(1000)]
    broken = [text.replace(old, new) if number % 2 else text for number, text in enumerate(elements)]
    text = "[" + ",\n".join(broken) + "]"
    with counting() as steps:
        found, error = read_one_by_one(text)
    assert (len(found), error) == (1000, "")
    assert steps.recoveries <= 10  # where the text in memory ends, and at the end
    assert steps.decoded <= 1020  # each element once


HOSTILE = {
    "quotes that are not closed": '{"id":"1,',
    "quotes alone": '"',
    "opening braces": "{",
    "opening braces after a colon": '{"a":',
    "opening braces after a value": '{"a":1 ',
    "opening brackets": "[",
    "closing brackets": "]",
    "closing brackets after a comma": "],",
    "closing braces": "}",
    "both": "{[",
    "both closing": "]}",
    "escapes": '"\\"',
    "backslashes": "\\",
    "commas": ",",
    "objects without an end": '{"id":"1",',
    "arrays without an end": '{"id":"1","a":[{"id":"2"},',
    "objects in arrays that are closed twice": '{"id":"1","a":[{"id":"2"}]]},',
    "numbers that are broken": '{"id":"1","a":1.1.1},',
    "elements without a comma": '{"id":"1"}',
    "a text": "x",
}


@pytest.mark.parametrize("part", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("path", [None, ("data",)], ids=["array", "path"])
def test_no_text_takes_more_steps_than_its_length_allows(part: str, path: tuple[str, ...] | None) -> None:
    taken = []
    opening, closing = ("[", "]") if path is None else ('{"a":1,"data":[', '],"b":[]}')
    for count in (20_000, 40_000):
        text = opening + '{"id":"0"},{"x":"' + part * (count // len(part)) + ',{"id":"5"}' + closing
        with counting() as steps:
            read_one_by_one(text, path)
        taken.append(steps)
    first, second = taken
    assert second.marks <= 2.5 * max(first.marks, 20_000)  # the shortcut may have passed over all of the shorter text
    assert second.decoded <= 2.5 * first.decoded + 100
    assert second.read_bytes <= 2.5 * first.read_bytes + 200_000
