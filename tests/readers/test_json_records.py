"""Laws of reading JSON: each record keeps its exact text and place, and a bad record stops no other."""

import hashlib
import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl.contracts.field_type import Number
from etl.contracts.json_values import MAX_DEPTH
from etl.exceptions import SourceError
from etl.readers.content import MAX_RECORD_BYTES
from etl.readers.json_records import JsonContent, looks_cut
from etl.records import ORIGINAL_BYTES, Cursor, Original, Record, Refusal
from etl.vocabulary import BreachCode
from tests.factories import hold, read_items


def make_content(text: str | bytes, *, must_be_array: bool = False) -> JsonContent:
    content = text.encode() if isinstance(text, str) else text
    return JsonContent(hold(content), "data/things.json", must_be_array)


def read(text: str | bytes) -> list[Record | Refusal]:
    return read_items(make_content(text))


def read_until_error(
    content: JsonContent, cursor: Cursor | None = None, *, batch_size: int = 1000
) -> tuple[list[Record | Refusal], Cursor | None, str]:
    """Return the items that land before the reader fails, the cursor saved with them, and the error."""
    items: list[Record | Refusal] = []
    with pytest.raises(SourceError) as caught:
        for chunk in content.read(cursor, batch_size):
            items += chunk.items
            cursor = chunk.cursor
    return items, cursor, str(caught.value)


def describe(items: list[Record | Refusal]) -> list[tuple[int, int, str]]:
    """Return each item's position, line, and text or breach code."""
    return [
        (item.position, item.line, item.payload if isinstance(item, Record) else item.breach.code.value)
        for item in items
    ]


def as_lines(*elements: str) -> str:
    return "".join(f"{element}\n" for element in elements)


def as_array(*elements: str) -> str:
    return "[\n" + ",\n".join(elements) + "\n]"


LAYOUTS = pytest.mark.parametrize("lay_out", [as_lines, as_array])
Layout = Callable[..., str]


# Text and places


@LAYOUTS
@pytest.mark.parametrize(
    "text",
    [
        '{"n":1e131071}',
        '{"n": -0.10, "m": 1E+5, "k": 123456789012345678901234567890.12345678901234567890}',
        r'{"s":"\u0000"}',
        r'{"s":"\ud800"}',
        r'{"s":"\ud83d\ude00 \/ \"\\"}',
        '{"s":"é😀\u2028"}',
        '{ "a" :\t[ ] , "b":{} }',
        "{}",
    ],
)
def test_payload_is_the_text_as_it_was_sent(lay_out: Layout, text: str) -> None:
    records = read(lay_out(text, '{"a":2}'))
    assert [record.payload for record in records] == [text, '{"a":2}']
    assert [record.original for record in records] == [text.encode(), b'{"a":2}']


@LAYOUTS
def test_numbers_keep_their_text(lay_out: Layout) -> None:
    (record,) = read(lay_out('{"a":1e131071,"b":[-0,0.10],"c":"1"}'))
    assert isinstance(record, Record)
    assert record.values == {"a": Number("1e131071"), "b": [Number("-0"), Number("0.10")], "c": "1"}


def test_lines_have_positions_but_blank_lines_do_not() -> None:
    text = '\n{"a":1}\r\n \t\n  {"a":2}  \n\n{"a":3}'
    assert describe(read(text)) == [(1, 2, '{"a":1}'), (2, 4, '{"a":2}'), (3, 6, '{"a":3}')]


def test_elements_have_positions_and_the_line_on_which_they_begin() -> None:
    text = ' [ {"a":1}, \n\n{\n"a":2\n}\n,{"a":\n3}\n] \n'
    assert describe(read(text)) == [(1, 1, '{"a":1}'), (2, 3, '{\n"a":2\n}'), (3, 6, '{"a":\n3}')]


@LAYOUTS
def test_byte_order_mark_is_not_part_of_a_record(lay_out: Layout) -> None:
    plain = describe(read(lay_out('{"a":1}', '{"a":2}')))
    assert describe(read("\ufeff" + lay_out('{"a":1}', '{"a":2}'))) == plain


@pytest.mark.parametrize("text", ["", "\ufeff", " \n\t\r\n", "[]", "\ufeff [\n\n] \n"])
def test_source_may_be_empty(text: str) -> None:
    assert read(text) == []


def test_trailing_comma_is_accepted() -> None:
    assert describe(read('[{"a":1}, ]')) == [(1, 1, '{"a":1}')]


@pytest.mark.parametrize("text", ["", '{"a":1}\n', "null"])
def test_source_that_must_be_an_array_refuses_anything_else(text: str) -> None:
    with pytest.raises(SourceError, match=r"data/things.json did not send a JSON array"):
        read_items(make_content(text, must_be_array=True))


# Bad records

BROKEN = [
    ("nonsense", BreachCode.MALFORMED),
    ("{'a': 1}", BreachCode.MALFORMED),
    ('{"a": }', BreachCode.MALFORMED),
    ('{"a": 01}', BreachCode.MALFORMED),
    ('{"a": "\t"}', BreachCode.MALFORMED),
    (r'{"a": "\x"}', BreachCode.MALFORMED),
    (r'{"a": "],}\"", b}', BreachCode.MALFORMED),
    ('{"a": [1, {"b": }]}', BreachCode.MALFORMED),
    ('{"a": nan}', BreachCode.MALFORMED),
    ('{"a": [+Infinity]}', BreachCode.MALFORMED),
    ('{"a": 1, "a": 1}', BreachCode.DUPLICATE_KEY),
    (r'{"b": [{"a": 1, "\u0061": 1}]}', BreachCode.DUPLICATE_KEY),
    ("null", BreachCode.NOT_AN_OBJECT),
    ("12", BreachCode.NOT_AN_OBJECT),
    ('"text"', BreachCode.NOT_AN_OBJECT),
    ('[{"a": 1}]', BreachCode.NOT_AN_OBJECT),
    ('{"a":' * 100_000 + "1" + "}" * 100_000, BreachCode.TOO_DEEP),
]


@LAYOUTS
@pytest.mark.parametrize(("text", "code"), BROKEN, ids=[text[:30] for text, _ in BROKEN])
def test_broken_record_does_not_stop_the_others(lay_out: Layout, text: str, code: BreachCode) -> None:
    items = read(lay_out('{"a":1}', text, '{"a":3}'))
    first = 1 if lay_out is as_lines else 2
    assert describe(items) == [(1, first, '{"a":1}'), (2, first + 1, code), (3, first + 2, '{"a":3}')]
    assert isinstance(items[1], Refusal)
    assert items[1].original == Original.of(text.encode())


@LAYOUTS
@pytest.mark.parametrize(("text", "code"), BROKEN, ids=[text[:30] for text, _ in BROKEN])
def test_refused_text_is_kept_as_payload_only_if_it_is_json(lay_out: Layout, text: str, code: BreachCode) -> None:
    refusal = read(lay_out('{"a":0}', text))[1]
    is_kept = code in (BreachCode.DUPLICATE_KEY, BreachCode.NOT_AN_OBJECT)
    assert refusal.payload == (text if is_kept else None)


def test_missing_element_is_refused() -> None:
    assert describe(read('[{"a":1},,{"a":3}]')) == [(1, 1, '{"a":1}'), (2, 1, "malformed"), (3, 1, '{"a":3}')]


def test_more_text_on_a_line_is_malformed() -> None:
    assert describe(read('{"a":1} {"a":2}\n{"a":3}\n')) == [(1, 1, "malformed"), (2, 2, '{"a":3}')]


@LAYOUTS
@pytest.mark.parametrize("bad", [b"\xff", b"\xe2\x82", b"\xed\xa0\x80", b"\xc0\x80"])
def test_bad_utf8_is_refused_with_its_bytes(lay_out: Layout, bad: bytes) -> None:
    text = b'{"a":"\xc3\xa9' + bad + b'"}'
    refusal, record = read(lay_out('{"a":"BAD"}', '{"a":2}').encode().replace(b'{"a":"BAD"}', text))
    assert isinstance(refusal, Refusal)
    assert (refusal.breach.code, refusal.payload) == (BreachCode.BAD_ENCODING, None)
    assert refusal.original == Original.of(text)
    assert isinstance(record, Record)


@LAYOUTS
@pytest.mark.parametrize(("opening", "middle", "closing"), [("[", "", "]"), ('{"a":', "1", "}")])
def test_nesting_has_a_fixed_limit(lay_out: Layout, opening: str, middle: str, closing: str) -> None:
    fitting, deep = (f'{{"a":{opening * inner}{middle}{closing * inner}}}' for inner in (MAX_DEPTH - 1, MAX_DEPTH))
    record, refusal = read(lay_out(fitting, deep))
    assert isinstance(record, Record)
    assert isinstance(refusal, Refusal)
    assert (refusal.breach.code, refusal.payload) == (BreachCode.TOO_DEEP, None)


def test_limit_of_nesting_does_not_depend_on_the_caller() -> None:
    text = as_lines('{"a":' + "[" * 700 + "]" * 700 + "}")

    def read_from_deep_below(frames: int) -> list[Record | Refusal]:
        return read(text) if frames == 0 else read_from_deep_below(frames - 1)

    assert read_from_deep_below(600) == read(text)


def test_many_brackets_side_by_side_are_not_deep() -> None:
    (record,) = read('{"a":[' + ",".join(["{}"] * (10 * MAX_DEPTH)) + "]}")
    assert isinstance(record, Record)


def test_duplicate_key_among_many_keys_is_found_quickly() -> None:
    keys = ",".join(f'"{number:x}":1' for number in range(90_000))
    begun = time.process_time()
    (refusal,) = read(f'{{{keys},"15f8f":1}}')
    assert time.process_time() - begun < 5  # counted key by key, it would take minutes
    assert isinstance(refusal, Refusal)
    assert (refusal.breach.code, refusal.breach.column) == (BreachCode.DUPLICATE_KEY, "15f8f")


# Long records and the window


def make_object(size: int, fill: str = "x") -> str:
    """Return an object of this many bytes, filled with `fill` and, if that leaves a rest, with x."""
    room = size - len('{"a":""}')
    count = room // len(fill.encode())
    return f'{{"a":"{fill * count}{"x" * (room - count * len(fill.encode()))}"}}'


@LAYOUTS
def test_record_of_exactly_a_megabyte_is_read(lay_out: Layout) -> None:
    text = make_object(MAX_RECORD_BYTES)
    assert [item.payload for item in read(lay_out(text, '{"a":2}'))] == [text, '{"a":2}']


def test_last_line_of_exactly_a_megabyte_needs_no_end() -> None:
    text = make_object(MAX_RECORD_BYTES)
    assert [item.payload for item in read(text)] == [text]


@pytest.mark.parametrize("size", [MAX_RECORD_BYTES + 1, 3 * MAX_RECORD_BYTES])
@pytest.mark.parametrize("end", ["\n", ""])
def test_line_beyond_a_megabyte_is_refused_with_its_true_length_and_hash(size: int, end: str) -> None:
    line = (make_object(size) + end).encode()
    items = read(line + (b'{"a":2}\n' if end else b""))
    assert isinstance(items[0], Refusal)
    assert items[0].breach.code == BreachCode.TOO_LONG
    assert items[0].original == Original(line[:ORIGINAL_BYTES], len(line), hashlib.sha256(line).digest())
    assert describe(items[1:]) == ([(2, 2, '{"a":2}')] if end else [])


@pytest.mark.parametrize("lead", [0, 1, MAX_RECORD_BYTES // 2, MAX_RECORD_BYTES - 1])
@pytest.mark.parametrize("size", [MAX_RECORD_BYTES + 1, MAX_RECORD_BYTES + 30_000, 3 * MAX_RECORD_BYTES])
@pytest.mark.parametrize("fill", ["x", "é", '\\"'])
def test_element_beyond_a_megabyte_costs_itself_at_any_window_position(lead: int, size: int, fill: str) -> None:
    long = make_object(size, fill)
    items = read("[" + " " * lead + '{"a":1},' + long + ' ,\n{"a":3}]')
    assert describe(items) == [(1, 1, '{"a":1}'), (2, 1, "too_long"), (3, 2, '{"a":3}')]
    assert isinstance(items[1], Refusal)
    assert items[1].original == Original.of(long.encode())


@pytest.mark.parametrize("shift", range(-8, 5))
@pytest.mark.parametrize("fill", ["x", "é", "€", "😀"])
def test_element_may_cross_the_edge_of_the_window(shift: int, fill: str) -> None:
    first = make_object(MAX_RECORD_BYTES - 20 + shift)
    texts = [first, json.dumps({"b": fill * 5}, ensure_ascii=False), make_object(1000, fill), '{"c":4}']
    assert [item.payload for item in read("[" + ",".join(texts) + "]")] == texts


@pytest.mark.parametrize("shift", range(5))
def test_bad_bytes_at_the_edge_of_the_window_stay_the_same(shift: int) -> None:
    first = make_object(MAX_RECORD_BYTES - 12 - shift).encode()
    bad = b'{"b":"\xe2\x82\xf0\x9f\x98\xff"}'
    _, refusal, record = read(b"[" + first + b"," + bad + b',{"c":3}]')
    assert isinstance(refusal, Refusal)
    assert refusal.original == Original.of(bad)
    assert record.payload == '{"c":3}'


def test_white_space_may_be_longer_than_the_window() -> None:
    blank = "\n" * (2 * MAX_RECORD_BYTES + 3)
    items = read(f'{blank}[{blank}{{"a":1}}{blank},{blank}{{"a":2}}{blank}]{blank}')
    count = len(blank)
    assert describe(items) == [(1, 2 * count + 1, '{"a":1}'), (2, 4 * count + 1, '{"a":2}')]


# Arrays that break off

BROKEN_OFF = [
    ('[{"a":1},{"a":2}\n', [], "line 2: the array ends in the middle"),
    ('[{"a":1},{"a":2},\n', [], "line 2: the array ends in the middle"),
    ('[{"a":1},{"a":2},\n{"a', ['{"a'], "line 2: the array ends in the middle"),
    ('[{"a":1},{"a":2},{"a":3', ['{"a":3'], "the array ends in the middle"),
    ('[{"a":1},{"a":2},{"a":[3]', ['{"a":[3]'], "the array ends in the middle"),
    ('[{"a":1},{"a":2},{"b":[{"a":3},{"a":4},{"a":5}', ['{"b":[{"a":3},{"a":4},{"a":5}'], "ends in the middle"),
    ('[{"a":1},{"a":2},{"a":"3]', ['{"a":"3]'], "the array ends in the middle"),
    ('[{"a":1},{"a":2}]\n{"a":3}', [], "line 2: there is text after the array"),
    ('[{"a":1},{"a":2}]]', [], "there is text after the array"),
]


@pytest.mark.parametrize("batch_size", [1, 2, 3])
@pytest.mark.parametrize(("text", "refused", "complaint"), BROKEN_OFF)
def test_records_before_the_break_land_first(text: str, refused: list[str], complaint: str, batch_size: int) -> None:
    items, _, error = read_until_error(make_content(text), batch_size=batch_size)
    assert [item.payload for item in items if isinstance(item, Record)] == ['{"a":1}', '{"a":2}']
    assert [item.original.head.decode() for item in items[2:] if isinstance(item, Refusal)] == refused
    assert error.startswith("data/things.json: line ")
    assert complaint in error


@pytest.mark.parametrize("text", ["[", "[] []", "[1"])
def test_an_array_without_a_record_may_break_off_too(text: str) -> None:
    assert read_until_error(make_content(text))[2].startswith("data/things.json: line 1: ")


@pytest.mark.parametrize("batch_size", [1, 2, 3])
@pytest.mark.parametrize(("text", "refused", "complaint"), BROKEN_OFF)
def test_read_resumed_after_a_break_finds_it_again(
    text: str, refused: list[str], complaint: str, batch_size: int
) -> None:
    _, cursor, error = read_until_error(make_content(text), batch_size=batch_size)
    assert read_until_error(make_content(text), cursor)[::2] == ([], error)


# Cursors

_ELEMENTS = ['{"a":1}', '{"b":\n"é😀"}', "nonsense", '{"n":NaN}', "12", '{"c":{"d":[1,2]}}', '{"e":1,"e":2}', "{}"]
_LAST_BAD = b'{"f":"\xff"}'


@pytest.mark.parametrize("batch_size", range(1, 11))
@pytest.mark.parametrize(
    "text",
    [
        "\ufeff".encode() + as_lines(*(element.replace("\n", "") for element in _ELEMENTS)).encode() + _LAST_BAD,
        "\ufeff \n".encode() + as_array(*_ELEMENTS).encode()[:-1] + b" , " + _LAST_BAD + b"\n ] \n",
        as_array(*_ELEMENTS, make_object(MAX_RECORD_BYTES - 100, "é"), *_ELEMENTS).encode(),
    ],
    ids=["lines", "array", "array_longer_than_the_window"],
)
def test_read_resumed_at_any_batch_equals_the_read_in_one_go(text: bytes, batch_size: int) -> None:
    content = make_content(text)
    whole = read_items(content)
    read_so_far: list[Record | Refusal] = []
    for chunk in content.read(None, batch_size):
        read_so_far += chunk.items
        cursor = json.loads(json.dumps(chunk.cursor))  # as the checkpoint keeps it
        assert read_so_far + read_items(make_content(text), cursor) == whole
    assert read_so_far == whole


@LAYOUTS
def test_all_batches_but_the_last_are_full(lay_out: Layout) -> None:
    chunks = make_content(lay_out(*['{"a":1}'] * 10)).read(None, 4)
    assert [len(chunk.items) for chunk in chunks] == [4, 4, 2]


@LAYOUTS
def test_cursor_counts_bytes(lay_out: Layout) -> None:
    text = lay_out('{"a":"é"}', '{"a":2}')
    offsets = [chunk.cursor["offset"] for chunk in make_content(text).read(None, 1)]
    ends = [text.index("}") + 2, text.rindex("}") + 2]  # é has one more byte than characters
    assert offsets == ([end + 1 for end in ends] if lay_out is as_lines else ends)


# Properties

_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=3), children, max_size=3),
    max_leaves=8,
)
_OBJECTS = st.lists(st.dictionaries(st.text(max_size=4), _VALUES, max_size=3), max_size=8)


@given(
    _OBJECTS,
    st.none() | st.integers(0, 3),
    st.sampled_from([(",", ":"), (", ", ": "), (" ,\t", "\r\n:\n")]),
    st.booleans(),
    st.integers(1, 4),
)
def test_dumped_array_reads_back_as_its_exact_texts_and_lines(
    objects: list[dict[str, Any]], indent: int | None, separators: tuple[str, str], is_ascii: bool, batch_size: int
) -> None:
    texts = [json.dumps(item, indent=indent, separators=separators, ensure_ascii=is_ascii) for item in objects]
    whole, expected = "[", []
    for position, text in enumerate(texts, start=1):
        whole += "\n"
        expected.append((position, whole.count("\n") + 1, text))
        whole += text + (separators[0] if position < len(texts) else "")
    items = read_items(make_content(whole + "]"), batch_size=batch_size)
    assert describe(items) == expected


@given(_OBJECTS, st.sampled_from([(",", ":"), (" ,  ", "\t: ")]), st.booleans(), st.integers(1, 4))
def test_dumped_lines_read_back_as_their_exact_texts(
    objects: list[dict[str, Any]], separators: tuple[str, str], is_ascii: bool, batch_size: int
) -> None:
    texts = [json.dumps(item, separators=separators, ensure_ascii=is_ascii) for item in objects]
    items = read_items(make_content(as_lines(*texts)), batch_size=batch_size)
    assert describe(items) == [(number, number, text) for number, text in enumerate(texts, start=1)]


@given(
    st.binary(max_size=100)
    | st.text('[]{},:" \n\\1eaé', max_size=40).map(str.encode)
    | st.text('{},:" \n\\1eaé', max_size=40).map(lambda text: f'[{{"a":1}},{text}]'.encode()),
    st.integers(1, 3),
)
def test_any_content_gives_the_same_result_resumed_as_in_one_go(content: bytes, batch_size: int) -> None:
    def run(cursor: Cursor | None, size: int) -> tuple[list[Record | Refusal], list[Cursor | None], str]:
        items: list[Record | Refusal] = []
        cursors = [cursor]
        try:
            for chunk in make_content(content).read(cursor, size):
                items += chunk.items
                cursors.append(chunk.cursor)
        except SourceError as error:
            return items, cursors, str(error)
        return items, cursors, ""

    whole, _, outcome = run(None, 1000)
    items, cursors, same_outcome = run(None, batch_size)
    assert (items, same_outcome) == (whole, outcome)
    for cursor in cursors:
        rest, _, same_outcome = run(cursor, 1000)
        done = cursor["position"] if cursor is not None else 0
        assert (whole[:done] + rest, same_outcome) == (whole, outcome)


# Bodies whose end may be missing


@pytest.mark.parametrize(
    ("text", "is_cut"),
    [
        ("", False),
        ('[{"a":1}]', False),
        ('[{"a":1}] \n', False),
        ('[{"a":1}', True),
        ('[{"a":1},', True),
        ("[", True),
        ('{"a":1}\n{"a":2}\n', False),
        ('{"a":1}\n{"a":2}', False),
        ('{"a":1}\n{"a":2}\n  ', False),
        ('{"a":1}\n{"a":2, "a":3}', False),
        ('{"a":1}\n{"a":NaN}', False),
        ('{"a":1}\n{"a":"' + "x" * MAX_RECORD_BYTES + '"}', False),
        ('{"a":1}\n{"a":"' + "x" * MAX_RECORD_BYTES, True),
        ('{"a":1}\n{"a":', True),
        ('{"a":1}\n{"a":"\\', True),
        ('{"a":1}\n12', True),
        (b'{"a":1}\n{"a":"\xc3', True),
    ],
)
def test_body_looks_cut_if_its_json_does_not_end(text: str | bytes, is_cut: bool) -> None:
    assert looks_cut(hold(text.encode() if isinstance(text, str) else text)) is is_cut


def test_body_longer_than_a_megabyte_is_judged_by_its_end() -> None:
    text = as_lines(*['{"a":1}'] * (MAX_RECORD_BYTES // 7))
    assert [looks_cut(hold(body.encode())) for body in (text, text + '{"a":')] == [False, True]
