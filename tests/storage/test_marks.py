"""Marks of rows are set and looked up span by span; this is what setting and looking at them one by one gives."""

from itertools import chain

from hypothesis import given
from hypothesis import strategies as st

from etl.storage.marks import MARK_BLOCK_BITS, add_rows, is_marked, list_marked, list_rows

EDGES = st.sampled_from([1, MARK_BLOCK_BITS - 2, MARK_BLOCK_BITS, 3 * MARK_BLOCK_BITS - 40]).flatmap(
    lambda edge: st.integers(max(edge - 3, 1), edge + 200)
)
SPANS = st.tuples(EDGES, st.integers(0, 90)).map(lambda span: list(range(span[0], sum(span))))
ROWS = st.lists(SPANS | st.lists(EDGES, max_size=20), max_size=4).map(lambda parts: [*chain(*parts)])


@given(ROWS, ROWS)
def test_the_rows_that_are_marked_are_those_that_were_added(earlier: list[int], rows: list[int]) -> None:
    blocks: dict[int, bytearray] = {}

    add_rows(blocks, earlier)
    add_rows(blocks, rows)

    marked = sorted(row for number, block in blocks.items() for row in list_rows(number, block))
    assert marked == sorted({*earlier, *rows})


@given(ROWS, EDGES, st.integers(0, 3 * MARK_BLOCK_BITS))
def test_the_marked_rows_of_a_span_are_found(rows: list[int], first: int, length: int) -> None:
    blocks: dict[int, bytearray] = {}
    add_rows(blocks, rows)

    found = list_marked(blocks, first, first + length)

    assert found == sorted(row for row in {*rows} if first <= row <= first + length)
    assert all(is_marked(blocks, row) for row in found)


def test_a_span_over_whole_blocks_marks_each_of_its_rows_once() -> None:
    blocks: dict[int, bytearray] = {}

    add_rows(blocks, range(5, 2 * MARK_BLOCK_BITS + 7))

    assert [len(list_rows(number, blocks[number])) for number in range(3)] == [MARK_BLOCK_BITS - 5, MARK_BLOCK_BITS, 7]
