"""Laws of reading CSV files: exact places, bad records that leave good ones alone, and a copy that does not change."""

import csv
import hashlib
import io
import json
import os
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl.exceptions import SourceError, TransientSourceError
from etl.local_copy import COPY_ATTEMPTS, copy_file
from etl.readers.content import MAX_RECORD_BYTES, Opening
from etl.readers.csv_dialect import CsvSource
from etl.readers.csv_file import CsvContent
from etl.records import ORIGINAL_BYTES, Original, Record, Refusal
from etl.vocabulary import BreachCode
from tests.factories import hold, read_items


def make_content(text: str | bytes) -> CsvContent:
    return CsvContent(hold(text.encode() if isinstance(text, str) else text), "data/things.csv")


def read(text: str | bytes) -> list[Record | Refusal]:
    return read_items(make_content(text))


def describe(items: list[Record | Refusal]) -> list[tuple[int, int, Any]]:
    """Return each item's position, line, and values or breach code."""
    return [
        (item.position, item.line, list(item.values.values()) if isinstance(item, Record) else item.breach.code)
        for item in items
    ]


# Places


def test_records_have_their_positions_and_lines() -> None:
    assert describe(read("a,b\n1,x\n2,y\n")) == [(1, 2, ["1", "x"]), (2, 3, ["2", "y"])]


def test_record_is_kept_as_values_payload_and_original() -> None:
    (record,) = read('a,b\r\n1,"ä ""b"""\r\n')
    assert record == Record(1, 2, {"a": "1", "b": 'ä "b"'}, '{"a": "1", "b": "ä \\"b\\""}', '1,"ä ""b"""'.encode())


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_last_line_needs_no_end(ending: str) -> None:
    assert describe(read(f"a,b{ending}1,x{ending}2,y")) == [(1, 2, ["1", "x"]), (2, 3, ["2", "y"])]


def test_byte_order_mark_is_not_part_of_a_column() -> None:
    (record,) = read(b"\xef\xbb\xbfa,b\n1,x\n")
    assert isinstance(record, Record)
    assert record.values == {"a": "1", "b": "x"}


@pytest.mark.parametrize("batch_size", [1, 2, 10])
def test_byte_order_mark_moves_no_line_and_no_cursor(batch_size: int) -> None:
    text = b'a,b\n1,x\n2\n"3\n\n4,y\n'
    marked = make_content(b"\xef\xbb\xbf" + text)
    chunks = list(marked.read(None, batch_size))
    assert describe([item for chunk in chunks for item in chunk.items]) == describe(read(text))
    assert chunks[-1].cursor == {"position": 4, "line": 6, "offset": len(text) + 3}
    assert read_items(marked, chunks[0].cursor) == [item for chunk in chunks[1:] for item in chunk.items]


def test_byte_order_mark_within_a_record_is_text() -> None:
    assert describe(read("a\n\ufeff1\n")) == [(1, 2, ["\ufeff1"])]


def test_blank_lines_count_as_lines_and_not_as_records() -> None:
    assert describe(read("\n\na,b\n\n1,x\n\r\n\n2,y\n\n")) == [(1, 5, ["1", "x"]), (2, 8, ["2", "y"])]


def test_quoted_newlines_count_as_lines() -> None:
    text = '"a\n1",b\n1,"x\ny\r\nz"\n2,"\n"\n3,w\n'
    assert describe(read(text)) == [(1, 3, ["1", "x\ny\r\nz"]), (2, 6, ["2", "\n"]), (3, 8, ["3", "w"])]


def test_comma_quote_and_space_are_kept() -> None:
    assert describe(read('a,b\n" 1, ","say ""x"""\n')) == [(1, 2, [" 1, ", 'say "x"'])]


# Bad records


def test_unclosed_quote_swallows_only_its_line() -> None:
    text = 'a,b\n1,x\n2,"y\n3,z\n4,w\n'
    assert describe(read(text)) == [
        (1, 2, ["1", "x"]),
        (2, 3, BreachCode.MALFORMED),
        (3, 4, ["3", "z"]),
        (4, 5, ["4", "w"]),
    ]


def test_unclosed_quote_is_refused_with_its_line_as_original() -> None:
    refusal = read('a,b\n2,"y\n3,z\n')[0]
    assert isinstance(refusal, Refusal)
    assert (refusal.original, refusal.payload) == (Original.of(b'2,"y'), None)


def test_unclosed_quote_before_a_megabyte_swallows_only_its_line() -> None:
    count = MAX_RECORD_BYTES // 4
    items = read('a,b\n1,"x\n' + "2,y\n" * count)
    assert describe(items[:2]) == [(1, 2, BreachCode.MALFORMED), (2, 3, ["2", "y"])]
    assert (len(items), items[-1].position, items[-1].line) == (count + 1, count + 1, count + 2)


def test_quote_that_ends_early_is_malformed() -> None:
    assert describe(read('a,b\n1,"x"y\n2,z\n')) == [(1, 2, BreachCode.MALFORMED), (2, 3, ["2", "z"])]


def test_bare_carriage_return_is_malformed() -> None:
    assert describe(read("a,b\n1,x\ry\n2,z\n")) == [(1, 2, BreachCode.MALFORMED), (2, 3, ["2", "z"])]


@pytest.mark.parametrize("line", ["1", "1,x,y", "1,x,", " ", ",,"])
def test_wrong_column_count_is_refused_with_the_values_sent(line: str) -> None:
    refusal, record = read(f"a,b\n{line}\n2,z\n")
    assert isinstance(refusal, Refusal)
    assert (refusal.breach.code, refusal.line) == (BreachCode.COLUMN_COUNT, 2)
    assert json.loads(refusal.payload or "") == line.split(",")
    assert describe([record]) == [(2, 3, ["2", "z"])]


@pytest.mark.parametrize(
    ("line", "column"),
    [
        (b"\xff,x", "a"),
        (b'1,"caf\xe9"', "b"),
        (b"1,\xed\xa0\x80", "b"),
        (b"1,\xc3", "b"),
        (b'1,"\n\xc0\x80"', "b"),
    ],
)
def test_cell_that_is_not_utf8_is_refused_with_its_column(line: bytes, column: str) -> None:
    refusal, record = read(b"a,b\n" + line + b"\n2,z\n")
    assert isinstance(refusal, Refusal)
    assert (refusal.breach.code, refusal.breach.column) == (BreachCode.BAD_ENCODING, column)
    assert (refusal.payload, refusal.original) == (None, Original.of(line))
    assert isinstance(record, Record)


def test_bad_encoding_does_not_affect_the_next_record() -> None:
    assert describe(read(b"a\n\xff\nx\n")) == [(1, 2, BreachCode.BAD_ENCODING), (2, 3, ["x"])]


def test_bad_encoding_in_a_record_of_wrong_columns_leaves_no_payload() -> None:
    (refusal,) = read(b"a,b\n\xff\n")
    assert isinstance(refusal, Refusal)
    assert (refusal.breach.code, refusal.payload) == (BreachCode.COLUMN_COUNT, None)


def test_nul_is_a_value_for_the_contract_to_judge() -> None:
    (record,) = read(b"a,b\n1,x\x00y\n")
    assert isinstance(record, Record)
    assert (record.values["b"], record.payload) == ("x\x00y", '{"a": "1", "b": "x\\u0000y"}')


def test_record_of_exactly_a_megabyte_is_read() -> None:
    cell = "x" * (MAX_RECORD_BYTES - 3)
    assert describe(read(f"a,b\n1,{cell}\n2,y\n")) == [(1, 2, ["1", cell]), (2, 3, ["2", "y"])]


@pytest.mark.parametrize(
    "line",
    [
        b"1," + b"x" * (MAX_RECORD_BYTES - 2),  # one byte too long with its newline
        b"1," + b"x" * (3 * MAX_RECORD_BYTES),
        b"1," + b"x," * MAX_RECORD_BYTES,  # each cell is short
        b"1,y" + "é".encode() * MAX_RECORD_BYTES,  # the limit falls within a character
        b'1,"' + b"x" * (2 * MAX_RECORD_BYTES) + b'"',
    ],
    ids=["one_byte_more", "one_cell", "many_cells", "many_byte_characters", "quoted"],
)
def test_record_beyond_a_megabyte_is_one_refusal_with_its_true_length_and_hash(line: bytes) -> None:
    refusal, record = read(b"a,b\n" + line + b"\n2,y\n")
    assert isinstance(refusal, Refusal)
    assert (refusal.breach.code, refusal.position, refusal.line) == (BreachCode.MALFORMED, 1, 2)
    assert refusal.original == Original(line[:ORIGINAL_BYTES], len(line), hashlib.sha256(line).digest())
    assert describe([record]) == [(2, 3, ["2", "y"])]


def test_record_beyond_a_megabyte_at_the_end_of_the_file_is_refused() -> None:
    line = b"x" * (MAX_RECORD_BYTES + 1)
    (refusal,) = read(b"a\n" + line)
    assert isinstance(refusal, Refusal)
    assert refusal.original == Original.of(line)


# Files that can't be read at all


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (b"", "is empty"),
        (b"\xef\xbb\xbf", "is empty"),
        (b"\n\r\n\n", "is empty"),
        (b"a,b,a\n1,2,3\n", "names 'a' more than once"),
        (b"a,,\n1,2,3\n", "2 columns of the header have no name: declare trailing_delimiter=True"),
        (b"a,\xff\n1,2\n", "header is not valid UTF-8"),
        (b'a,"b\n1,2\n', "header can't be read"),
        (b"a,b\r1,2\r", "header can't be read"),
        (b"a," * MAX_RECORD_BYTES, "header can't be read"),
    ],
)
def test_header_that_names_no_columns_is_an_error(text: bytes, complaint: str) -> None:
    with pytest.raises(SourceError, match=f"data/things.csv.*{complaint}"):
        read(text)


def test_header_alone_has_no_records() -> None:
    assert read("a,b\n") == []


# Cursors

_MIXED = (
    b'\xef\xbb\xbf"a\n",b\r\n'
    b'1,x\r\n\r\n2,"y\n\ny"\n3,"unclosed\n4,\xff\n5\n\n\n6,"a""b"\r\n7,"x"y\n'
    + b"8,z" * 3
    + b'\n"\xc3\xa4",\x00\n\n9,"open'
)


@pytest.mark.parametrize("batch_size", range(1, 13))
def test_read_resumed_at_any_batch_equals_the_read_in_one_go(batch_size: int) -> None:
    content = make_content(_MIXED)
    whole = read_items(content)
    read_so_far: list[Record | Refusal] = []
    for chunk in content.read(None, batch_size):
        read_so_far += chunk.items
        cursor = json.loads(json.dumps(chunk.cursor))  # as the checkpoint keeps it
        assert read_so_far + read_items(make_content(_MIXED), cursor) == whole
    assert read_so_far == whole


def test_all_batches_but_the_last_are_full() -> None:
    chunks = list(make_content(_MIXED).read(None, 4))
    assert [len(chunk.items) for chunk in chunks] == [4, 4, 2]


def test_cursor_counts_bytes_up_to_the_whole_file() -> None:
    content = make_content("a,b\n1,é\n2,x\n")
    assert [chunk.cursor["offset"] for chunk in content.read(None, 1)] == [9, content.size]


_CELLS = st.text(st.characters(exclude_categories=["Cs"]), max_size=6) | st.sampled_from(
    ["", '"', "\r", "\n", "\r\n", ",", '""', "\ufeff", "\x00", "\u2028", "\x85", " "]
)


@given(
    st.integers(1, 3).flatmap(lambda width: st.lists(st.lists(_CELLS, min_size=width, max_size=width), min_size=1)),
    st.sampled_from([(csv.QUOTE_MINIMAL, "\r\n"), (csv.QUOTE_ALL, "\n"), (csv.QUOTE_ALL, "\r\n")]),
    st.integers(1, 4),
)
def test_output_of_a_csv_writer_reads_back_with_its_places(
    rows: list[list[str]], style: tuple[Any, str], batch_size: int
) -> None:
    quoting, ending = style
    file = io.StringIO(newline="")
    writer = csv.writer(file, quoting=quoting, lineterminator=ending)
    writer.writerow([f"c{number}" for number in range(len(rows[0]))])
    expected = []
    for position, row in enumerate(rows, start=1):
        expected.append((position, file.getvalue().count("\n") + 1, row))
        writer.writerow(row)
    items = read_items(make_content(file.getvalue()), batch_size=batch_size)
    assert describe(items) == expected
    written = file.getvalue().partition(ending)[2].encode()
    assert b"".join(item.original + ending.encode() for item in items if isinstance(item, Record)) == written


def test_a_refused_last_line_is_the_same_record_once_it_has_its_line_end() -> None:
    (cut,), (whole, _) = read(b"a,b\n1"), read(b"a,b\n1\r\n2,x\n")
    assert isinstance(cut, Refusal)
    assert isinstance(whole, Refusal)
    assert cut.original == whole.original


@given(st.binary(max_size=200) | st.text('ab",\r\n\x00é', max_size=60).map(str.encode))
def test_any_bytes_are_read_without_failing_or_losing_the_place(body: bytes) -> None:
    text = b"a,b\n" + body
    items = read(text)
    lines = text.split(b"\n")
    assert [item.position for item in items] == list(range(1, len(items) + 1))
    for item in items:
        original = item.original if isinstance(item, Record) else item.original.head
        assert b"\n".join(lines[item.line - 1 :]).startswith(original)


# Files


class Things(CsvSource):
    name = "things"
    every = timedelta(hours=1)


class Unwatched:
    """A read context for files, which neither wait nor retry."""

    max_wait_seconds = 0.0
    seconds_left = 0.0

    def wait(self, seconds: float) -> None:
        raise AssertionError

    def note_page(self) -> None:
        raise AssertionError

    def end_task_if_due(self) -> None:
        raise AssertionError

    def find_pace(self, host: str, limit: str) -> float:
        raise AssertionError

    def note_retry(self, message: str) -> None:
        raise AssertionError


def test_source_reads_the_file_at_its_path(tmp_path: Path) -> None:
    class Here(Things):
        path = str(tmp_path / "things.csv")

    (tmp_path / "things.csv").write_bytes(b"a\n1\n")
    with Here().open(Opening(), Unwatched()) as content:
        assert content is not None
        assert (describe(read_items(content)), content.size) == ([(1, 2, ["1"])], 4)


def test_fingerprint_is_the_hash_of_the_bytes(tmp_path: Path) -> None:
    path = tmp_path / "things.csv"
    path.write_bytes(b"a\n1\n")
    with copy_file(path) as snapshot:
        assert snapshot.fingerprint == hashlib.sha256(b"a\n1\n").hexdigest()


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Fail instead of waiting forever, as opening a named pipe would."""

    def stop(number: int, frame: object) -> None:
        raise TimeoutError(f"still waiting after {seconds} s")

    previous = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


def _make_nothing(path: Path) -> None:
    pass


def _make_dangling_link(path: Path) -> None:
    path.symlink_to(path.with_name("gone"))


def _make_below_a_file(path: Path) -> None:
    path.parent.rmdir()
    path.parent.write_bytes(b"")


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (_make_nothing, "does not exist"),
        (_make_dangling_link, "does not exist"),
        (_make_below_a_file, "can't be read"),
        (Path.mkdir, "can't be read"),
        (os.mkfifo, "is not a regular file"),
    ],
)
def test_path_without_a_file_is_a_clear_error(tmp_path: Path, make: Callable[[Path], None], complaint: str) -> None:
    path = tmp_path / "folder" / "things.csv"
    path.parent.mkdir()
    make(path)
    with within(10), pytest.raises(SourceError, match=f"{path} {complaint}"), copy_file(path):
        pass


def test_special_file_is_a_clear_error() -> None:
    with pytest.raises(SourceError, match="/dev/zero is not a regular file"), copy_file(Path("/dev/zero")):
        pass


def meddle(monkeypatch: pytest.MonkeyPatch, changes: list[Callable[[], object]]) -> None:
    """Make these changes to a file while it is copied, one in the middle of each copy."""

    class MeddledCopy(io.FileIO):
        def __init__(self) -> None:
            descriptor, name = tempfile.mkstemp()
            super().__init__(descriptor, "r+b")
            Path(name).unlink()

        def write(self, block: Any, /) -> int:
            if changes:
                changes.pop(0)()
            return super().write(block)

    monkeypatch.setattr(tempfile, "TemporaryFile", MeddledCopy)


def write_in_place(path: Path, content: bytes) -> None:
    with path.open("r+b") as file:
        file.write(content)


def test_file_rewritten_while_it_is_copied_is_copied_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "things.csv"
    path.write_bytes(b"a\n1\n")
    os.utime(path, (0, 0))
    meddle(monkeypatch, [lambda: write_in_place(path, b"b\n2\n")])
    with copy_file(path) as snapshot:
        snapshot.file.seek(0)
        copied = snapshot.file.read()
    assert (copied, snapshot.size, snapshot.fingerprint) == (b"b\n2\n", 4, hashlib.sha256(b"b\n2\n").hexdigest())


@pytest.mark.parametrize("content", [b"a\n1\n2\n3\n", b"a\n"], ids=["longer", "shorter"])
def test_copy_of_a_file_that_changed_its_length_has_the_new_length(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    path = tmp_path / "things.csv"
    path.write_bytes(b"a\n1\n2\n")
    meddle(monkeypatch, [lambda: path.write_bytes(content)])
    with copy_file(path) as snapshot:
        snapshot.file.seek(0)
        assert (snapshot.file.read(), snapshot.size) == (content, len(content))


def test_file_that_keeps_changing_is_a_transient_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "things.csv"
    path.write_bytes(b"a\n1\n")
    # Explicit times: the clock for file times may not advance for a few milliseconds.
    changes = [lambda time=time: os.utime(path, (time, time)) for time in range(1, COPY_ATTEMPTS + 1)]
    meddle(monkeypatch, [*changes])
    with pytest.raises(TransientSourceError, match="is being written"), copy_file(path):
        pass


def test_copy_stays_the_same_when_the_file_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "things.csv"
    path.write_bytes(b"a\n1\n")
    with copy_file(path) as snapshot:
        write_in_place(path, b"b\n2\n")
        snapshot.file.seek(0)
        assert snapshot.file.read() == b"a\n1\n"
