"""Until its reading process is ready, a run prepares batches itself, and then hands its place over."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from pytest_django import Settings

from etl.column_judgement import SliceLines
from etl.drift import Shape
from etl.local_copy import copy_file
from etl.preparation import Prepared
from etl.readers.csv_file import CsvContent
from etl.reading_process import choice
from etl.reading_process.choice import preparing
from etl.sources.products import ProductsCsv
from tests import reading_sources
from tests.factories import write_products
from tests.last_source import LastProducts
from tests.laws.reading_process.reads import (
    CATEGORY,
    COUNT,
    FakeRun,
    kill,
    list_reading_processes,
    prepare,
    prepare_anywhere,
    prepare_here,
    prepare_until_error,
    write,
)
from tests.processes import wait_until
from tests.reading_sources import TROUBLE

LOST_AT_ONCE = "The reading process was killed by signal 9 (SIGKILL). The run reads on without it."


def count_own_batches(prepared: Sequence[Prepared]) -> int:
    """Count the batches that the run has prepared itself, whose lines it holds."""
    return sum(isinstance(each.judged.lines, SliceLines) for each in prepared)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_the_run_prepares_the_first_batches_while_the_process_starts(
    products: CsvContent, run: FakeRun, start_slowly: Callable[[int], None], count: int
) -> None:
    start_slowly(count)
    prepared, own = [], 0
    with preparing(ProductsCsv(), products, None, Shape(), run=run) as batches:
        for batch in batches:
            own += count_own_batches([batch])
            prepared.append(write(batch))
    assert prepared == prepare_here(ProductsCsv(), products)
    assert (own, run.notes) == (count, [])


@pytest.mark.parametrize("is_lost", [False, True])
def test_the_rest_knows_the_ids_of_the_first_batches(
    products: CsvContent, run: FakeRun, start_slowly: Callable[[int], None], tmp_path: Path, is_lost: bool
) -> None:
    start_slowly(2)
    rows = [(i if i <= 400 else 4 * (i - 400), "A", CATEGORY, 1, "x") for i in range(1, 501)]
    path = write_products(tmp_path / "repeated.csv", rows)
    with copy_file(path) as copy:
        content = CsvContent(copy, str(path))
        with preparing(ProductsCsv(), content, None, Shape(), run=run, finds_repeats=True) as batches:
            prepared = [next(batches)]
            if is_lost:
                kill()
            prepared += batches
    assert count_own_batches(prepared) == (5 if is_lost else 2)
    assert prepared[4].judged.repeats == list(range(100))
    assert run.notes == [LOST_AT_ONCE] * is_lost


def test_too_many_ids_are_left_to_the_database(
    products: CsvContent, run: FakeRun, start_slowly: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    start_slowly(3)
    monkeypatch.setattr(choice, "MOST_ID_BYTES", 1000)
    with preparing(ProductsCsv(), products, None, Shape(), run=run, finds_repeats=True) as batches:
        prepared = list(batches)
    assert [each.judged.repeats is None for each in prepared] == [False] * 3 + [True] * (len(prepared) - 3)
    assert sum(each.seen for each in prepared) == COUNT + 2


def test_a_run_reads_nothing_itself_from_the_end(
    products: CsvContent, run: FakeRun, start_slowly: Callable[[int], None]
) -> None:
    """It would scan the whole content, as its process does."""
    start_slowly(1000)
    assert sum(each.seen for each in prepare(LastProducts(), products, run)) == COUNT + 2


def test_content_that_ends_before_the_process_is_ready_needs_none(
    products: CsvContent, run: FakeRun, start_slowly: Callable[[int], None]
) -> None:
    start_slowly(1000)
    assert prepare_anywhere(ProductsCsv(), products, run) == prepare_here(ProductsCsv(), products)
    assert run.notes == []


def test_an_error_before_the_process_is_ready_is_the_runs_own(
    products: CsvContent, run: FakeRun, start_slowly: Callable[[int], None]
) -> None:
    start_slowly(1000)
    count, error = prepare_until_error(reading_sources.Buggy(), products, run)
    assert (count, str(error)) == (TROUBLE // 100, "'a bug'")


def test_a_process_that_gets_no_position_for_long_is_replaced(
    products: CsvContent, run: FakeRun, settings: Settings, start_slowly: Callable[[int], None]
) -> None:
    start_slowly(2)
    settings.ETL_LEASE_SECONDS = 0.5
    with preparing(ProductsCsv(), products, None, Shape(), run=run) as batches:
        prepared = [write(next(batches))]
        wait_until(lambda: not list_reading_processes(), seconds=20)
        settings.ETL_LEASE_SECONDS = 60
        prepared += map(write, batches)
    assert prepared == prepare_here(ProductsCsv(), products)
    assert run.notes == ["The reading process ended with status 75. Another one continues."]
