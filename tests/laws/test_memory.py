"""Law 10: memory does not grow with the source, nor with its widest record beyond a stated cap."""

import gc
import json
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from etl.drift import Shape
from etl.local_copy import copy_file
from etl.preparation import prepare
from etl.readers import content
from etl.readers.content import Content
from etl.readers.csv_bulk import CsvSlice
from etl.readers.csv_file import CsvContent
from etl.readers.json_records import JsonContent
from etl.readers.single_records import RecordSlice
from etl.readers.source import Source
from etl.records import ORIGINAL_BYTES, Original
from etl.sources import Contract, CsvSource, JsonLinesSource, NonBlank, PositiveDecimal, Text, lower
from etl.storage import refusals
from etl.storage.refusal_selection import Selection
from etl.storage.refusals import load_replayable
from tests.factories import hold
from tests.listed_source import Listed, ingest_here, make_item

BATCH = 100
WIDTH = 400
COUNT = 3 * (1 << 20) // WIDTH
"""More than two windows of a JSON array, at one megabyte each."""


def list_lines(count: int) -> Iterator[str]:
    return (json.dumps({"id": number, "text": "x" * WIDTH}) for number in range(count))


def write_csv(path: Path, count: int) -> None:
    path.write_text("id,text\n" + "".join(f"{number},{'x' * WIDTH}\n" for number in range(count)))


def write_lines(path: Path, count: int) -> None:
    path.write_text("\n".join(list_lines(count)))


def write_array(path: Path, count: int) -> None:
    path.write_text(f"[{','.join(list_lines(count))}]")


def measure_peak(path: Path, content: Callable[[Any, str], Content]) -> tuple[int, int]:
    """Return the peak memory of reading the file, and the number of records."""
    with copy_file(path) as copy:
        tracemalloc.start()
        try:
            count = sum(len(chunk.items) for chunk in content(copy, "wide").read(None, BATCH))
            return tracemalloc.get_traced_memory()[1], count
        finally:
            tracemalloc.stop()


@pytest.mark.parametrize(
    ("write", "content"),
    [(write_csv, CsvContent), (write_lines, JsonContent), (write_array, JsonContent)],
    ids=["csv", "lines", "array"],
)
def test_a_source_four_times_as_long_takes_no_more_memory(tmp_path: Path, write: Any, content: Any) -> None:
    write(tmp_path / "short", COUNT)
    write(tmp_path / "long", 4 * COUNT)
    short, _ = measure_peak(tmp_path / "short", content)
    long, seen = measure_peak(tmp_path / "long", content)
    assert seen == 4 * COUNT
    assert long < 1.2 * short


@pytest.mark.parametrize("opening", ["", "["], ids=["line", "element"])
def test_a_record_four_times_as_wide_is_refused_in_the_same_memory(tmp_path: Path, opening: str) -> None:
    def measure(megabytes: int) -> tuple[int, int]:
        inner = ",".join(['{"id": 1, "text": "' + "x" * WIDTH + '"}'] * (megabytes * (1 << 20) // WIDTH))
        wide = f'{{"id": 2, "inner": [{inner}]}}'
        (tmp_path / "wide").write_text(
            f'[{{"id": 1}},{wide},{{"id": 3}}]' if opening else f'{{"id": 1}}\n{wide}\n{{"id": 3}}'
        )
        return measure_peak(tmp_path / "wide", JsonContent)

    short, _ = measure(4)
    long, seen = measure(16)
    assert seen == 3
    assert long < 1.2 * short


# --- prepared --------------------------------------------------------------------------------------


class Wide(Contract):
    c0: NonBlank
    c1: NonBlank
    c2: PositiveDecimal
    c3: Text | None


class WideCsv(CsvSource):
    name = "wide_csv"
    path = "wide.csv"
    contract = Wide
    unified = {"external_id": "c0", "name": "c1", "value": "c2", "category": lower("c3")}


class WideJson(JsonLinesSource):
    name = "wide_json"
    path = "wide.ndjson"
    contract = Wide
    unified = WideCsv.unified


def list_cells(width: int, number: int) -> list[str]:
    return [f"id {number}", f"Thing {number}", f"{number + 1}.5", *(f"text {n} of {number}" for n in range(3, width))]


def write_wide_csv(path: Path, width: int, count: int) -> None:
    with path.open("w") as file:
        file.write(",".join(f"c{n}" for n in range(width)) + "\n")
        for number in range(count):
            # One of fifty lines lacks a cell, and one of five hundred has to be read by itself.
            cells = list_cells(width, number)[: width - 1 if number % 50 == 7 else width]
            file.write(",".join(cells) + ('"x' if number % 500 == 9 else "") + "\n")


def write_wide_json(path: Path, width: int, count: int) -> None:
    with path.open("w") as file:
        for number in range(count):
            cells = list_cells(width, number)
            file.write(json.dumps({f"c{n}": cell for n, cell in enumerate(cells)}) + "\n")


def measure_preparation(source: Source, path: Path, content: Callable[[Any, str], Content], size: int) -> int:
    """Return the peak memory of preparing the file's batches, of which the lines of a few records are written."""
    with copy_file(path) as copy:
        tracemalloc.start()
        try:
            batches = 0
            for prepared in prepare(source, content(copy, "wide"), None, Shape(), size):
                prepared.judged.lines.write(range(0, len(prepared.judged), 7))
                batches += 1
            assert batches >= 4
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()


@pytest.mark.parametrize(
    ("source", "write", "content"),
    [(WideCsv(), write_wide_csv, CsvContent), (WideJson(), write_wide_json, JsonContent)],
    ids=["csv", "lines"],
)
@pytest.mark.parametrize(("width", "count"), [(5, 6000), (200, 600)])
def test_four_times_as_many_records_are_prepared_in_the_same_memory(
    tmp_path: Path, source: Source, write: Any, content: Any, width: int, count: int
) -> None:
    write(tmp_path / "first", width, count)  # fills the caches that stay
    measure_preparation(source, tmp_path / "first", content, count // 4)
    write(tmp_path / "short", width, count)
    write(tmp_path / "long", width, 4 * count)
    short = measure_preparation(source, tmp_path / "short", content, count // 4)
    assert measure_preparation(source, tmp_path / "long", content, count // 4) <= 1.1 * short


MOST_BYTES = 64 << 20
"""What reading and judging may take on top of the process itself, so that all of it stays below 250 MiB."""


def test_thousands_of_columns_are_prepared_in_the_memory_of_a_chunk(tmp_path: Path) -> None:
    write_wide_csv(tmp_path / "wide", 5000, 160)  # more than a chunk, and a batch would hold all of them
    with copy_file(tmp_path / "wide") as copy:
        tracemalloc.start()
        try:
            batches = [len(each.judged) for each in prepare(WideCsv(), CsvContent(copy, "wide"), None, Shape(), 10_000)]
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert len(batches) >= 2
    assert peak < MOST_BYTES


@pytest.mark.parametrize("quote", ['"', ""], ids=["quoted", "plain"])
def test_one_field_of_any_length_takes_no_more_memory(tmp_path: Path, quote: str) -> None:
    with (tmp_path / "long").open("w") as file:
        file.write(f"id,text\n1,{quote}")
        for _ in range(128):
            file.write("x" * (1 << 20))
        file.write(f"{quote}\n2,z\n")
    peak, count = measure_peak(tmp_path / "long", CsvContent)
    assert count == 2
    assert peak < MOST_BYTES


@pytest.mark.parametrize(
    ("source", "write", "content"),
    [(WideCsv(), write_wide_csv, CsvContent), (WideJson(), write_wide_json, JsonContent)],
    ids=["csv", "lines"],
)
def test_a_batch_that_is_taken_is_not_kept(tmp_path: Path, source: Source, write: Any, content: Any) -> None:
    write(tmp_path / "wide", 5, 600)
    with copy_file(tmp_path / "wide") as copy:
        batches = prepare(source, content(copy, "wide"), None, Shape(), 200)
        before = count_slices()
        batch = next(batches)
        assert count_slices() > before
        del batch
        assert count_slices() == before
        batches.close()  # type: ignore[attr-defined]


def count_slices() -> int:
    return sum(isinstance(each, CsvSlice | RecordSlice) for each in gc.get_objects())


def test_a_chunk_of_wide_records_ends_early(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(content, "CHUNK_BYTES", 1000)
    text = "\n".join(list_lines(10))
    chunks = list(JsonContent(hold(text.encode()), "wide").read(None, 10_000))
    assert [len(chunk.items) for chunk in chunks] == [3, 3, 3, 1]


def test_a_chunk_of_wide_lines_ends_early(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(content, "CHUNK_BYTES", 1000)
    text = "id,text\n" + f"1,{'x' * WIDTH}\n" * 10
    chunks = list(CsvContent(hold(text.encode()), "wide").read(None, 10_000))
    assert [len(chunk.items) for chunk in chunks] == [3, 3, 3, 1]


def test_of_a_wide_refused_record_the_beginning_is_kept() -> None:
    original = Original.of(b"x" * (ORIGINAL_BYTES + 1))
    assert (len(original.head), original.length) == (ORIGINAL_BYTES, ORIGINAL_BYTES + 1)


@pytest.mark.django_db(transaction=True)
def test_a_replays_page_of_wide_records_ends_early(monkeypatch: pytest.MonkeyPatch) -> None:
    ingest_here(Listed([make_item(number, price="x", text="x" * WIDTH) for number in range(10)]))
    monkeypatch.setattr(refusals, "CHUNK_BYTES", 1000)
    page, _ = load_replayable(Selection(everything=True), "listed", Listed().digest(), None, 10_000)
    assert len(page) == 3
