"""CSV lines that are read together give the same records as lines that are read one by one."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from etl.readers import content, csv_file
from etl.readers.canonical import encode_canonically
from etl.readers.content import MAX_RECORD_BYTES, gather_chunks
from etl.readers.csv_bulk import CsvSlice
from etl.readers.csv_file import FEW_LINES, CsvContent
from etl.readers.csv_lines import read_items
from etl.records import Chunk, Cursor
from tests.factories import hold

HOSTILE = (
    b'1,x\r\n\r\n2,"y\n\ny"\n3,"unclosed\n4,\xff\n5\n\n\n6,"a""b"\r\n7,"x"y\n'
    + b"8,z" * 3
    + b'\n"\xc3\xa4",\x00\n\n9,"open'
)
PIECES = st.sampled_from(
    [
        *(b"1,x\n", b"2,y\r\n", b"\n", b"\r\n", b'3,"a\nb"\n', b'4,"a""b\\"\n', b"5\n", b"6,x,y\n", b"7,\xff\n"),
        *(b'8,"\n', b'"\n', b"9,x\ry\n", b"10,\x00\x1f\t\n", b"11,\xe2\x80\xa8\xc2\x85\n", b'12,"x"y\n', b" \n"),
        *(b"\xef\xbb\xbf13,%s\n", b"14,z\r\r\n", b'15,"\xc3\n\xa4"\n', b"16,%\x7f\n", b",\n", b'17,"\r\n"\r\n'),
    ]
)
BODIES = (
    st.lists(PIECES, max_size=30).map(b"".join)
    | st.binary(max_size=200)
    | st.text('ab",\r\n\x00é', max_size=60).map(str.encode)
)
HEADERS = st.sampled_from([b"a,b\n", b'b,"a\n"\r\n', b"\xef\xbb\xbfa%s,b\n", b"\n\na\n", b'"\\""",%\xc3\xa4\n'])


def read_one_by_one(text: bytes, cursor: Cursor | None, batch_size: int) -> Iterator[Chunk]:
    """Read as the exact way does it for each record."""
    csv = CsvContent(hold(text), "things.csv")
    lines, layout = csv.open()
    if cursor is not None:
        lines.go_to(cursor["offset"], cursor["line"])
    position = cursor["position"] if cursor is not None else 0
    return gather_chunks(read_items(lines, layout, position), batch_size, lines.describe_cursor)


def describe(chunks: Sequence[Chunk]) -> list[Any]:
    """Return all that chunks hold, regardless of their slices."""
    return [
        (
            chunk.items,
            chunk.refusals,
            dict(chunk.cursor),
            [place for part in chunk.slices for place in part.list_places()],
            [payload for part in chunk.slices for payload in part.list_payloads()],
            [content for part in chunk.slices for content in part.list_contents()],
            [cell for part in chunk.slices for cell in part.take("a")],
        )
        for chunk in chunks
    ]


@given(HEADERS, BODIES, st.integers(1, 12), st.integers(0, 7), st.integers(1, 80))
@example(b"a,b\n", HOSTILE, 5, 3, 65536)
@example(b"a,b\n", b'1,"x\ny"\n2,z\n3,w\n', 5, 7, 65536)
@example(b"a,b\n", b'1"2,"x\n",y"\n2,z\n3,w\n', 5, 7, 65536)  # an even number of quotes, and one of them open
@example(b"a,b\n", b'1"2,"x\n3"4"\n2,z\n3,w\n', 5, 7, 65536)
@example(b"a,b\n", b'1"2,"x\n3""4"\n2,z\n3,w\n', 5, 7, 65536)
def test_any_bytes_give_the_same_read_together_as_one_by_one(
    header: bytes, body: bytes, batch_size: int, slice_lines: int, block: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_file, "BLOCK_BYTES", block)
        together = CsvContent(hold(header + body), "things.csv", slice_lines=slice_lines)
        chunks = list(together.read(None, batch_size))
        assert describe(chunks) == describe(list(read_one_by_one(header + body, None, batch_size)))
        for chunk in chunks:
            later = list(together.read(chunk.cursor, batch_size))
            assert describe(later) == describe(list(read_one_by_one(header + body, chunk.cursor, batch_size)))


@given(HEADERS, BODIES, st.integers(0, 7), st.integers(1, 80))
def test_a_chunk_ends_with_the_record_that_reaches_its_size(
    header: bytes, body: bytes, slice_lines: int, limit: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(content, "CHUNK_BYTES", limit)
        chunks = list(CsvContent(hold(header + body), "things.csv", slice_lines=slice_lines).read(None, 1000))
        one_by_one = list(CsvContent(hold(header + body), "things.csv", slice_lines=0).read(None, 1000))
    assert [(chunk.items, chunk.cursor) for chunk in chunks] == [(chunk.items, chunk.cursor) for chunk in one_by_one]
    cursors = [chunk.cursor["offset"] for chunk in chunks]
    assert all(after - before >= limit for before, after in pairwise(cursors[:-1]))
    assert [item for chunk in chunks for item in chunk.items] == [
        item for chunk in read_one_by_one(header + body, None, 1000) for item in chunk.items
    ]


def read_slices(text: bytes) -> list[int]:
    """Return the length of each slice in columns."""
    slices = [part for chunk in CsvContent(hold(text), "things.csv").read(None, 10_000) for part in chunk.slices]
    return [len(part) for part in slices if isinstance(part, CsvSlice)]


def test_plain_lines_are_read_a_thousand_at_a_time() -> None:
    lengths = read_slices(b"a,b\n" + b"1,x\r\n" * 20_000)
    assert len(lengths) <= 22
    assert sum(lengths) == 20_000


@pytest.mark.parametrize("line", [b"\n", b"1\n", b"1,2,3\n", b'1,"x\ny"\n', b'1,"""x"\n'])
def test_neither_blank_lines_nor_wrong_columns_nor_quoted_line_breaks_end_a_slice(line: bytes) -> None:
    lengths = read_slices(b"a,b\n" + (b"1,x\n" * 9 + line) * 1000 + b"1,x\n")
    assert len(lengths) <= 16


@pytest.mark.parametrize("lines", [b"1,\xff\n", b'1,"x"y\n', b"x" * MAX_RECORD_BYTES + b"\n", b"1,\xff\n" * 100])
def test_lines_after_malformed_ones_are_read_together_again(lines: bytes) -> None:
    lengths = read_slices(b"a,b\n" + b"1,x\n" * 5000 + lines + b"1,x\n" * 5000)
    assert sum(lengths) >= 10_000 - FEW_LINES
    assert len(lengths) <= 30


@given(st.lists(st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=3, max_size=3), min_size=1))
def test_payloads_and_contents_are_those_of_each_record(rows: list[list[str]]) -> None:
    columns = list(zip(*rows, strict=True))
    part = CsvSlice(("b%", '"\n', "a"), columns, range(1, len(rows) + 1), range(2, len(rows) + 2), [b""] * len(rows))
    records = [part.make_record(index) for index in range(len(rows))]
    assert part.list_payloads() == [record.payload for record in records]
    assert part.list_contents() == [encode_canonically(record.values) for record in records]
    assert part.list_columns() == {name: tuple(r.values[name] for r in records) for name in part.names}
    assert (part.take("a"), part.take("z")) == (columns[2], [None] * len(rows))


@pytest.mark.parametrize("cell", [chr(code) for code in range(0x80)])
def test_a_character_is_escaped_as_in_the_record(cell: str) -> None:
    part = CsvSlice(("a",), [(f"x{cell}y",)], [1], [2], [b""])
    record = part.make_record(0)
    assert part.list_payloads() == [record.payload]
    assert part.list_contents() == [encode_canonically(record.values)]
