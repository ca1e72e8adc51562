"""Laws 1 and 10: a reading process that is lost costs no batch and no line, and none outlives its read."""

import random
import re
import signal
import threading
import time
from pathlib import Path

import pytest
from pytest_django import Settings

from etl.drift import Shape
from etl.exceptions import LeaseLost
from etl.local_copy import copy_file
from etl.readers.csv_file import CsvContent
from etl.readers.source import Source
from etl.reading_process.choice import preparing
from etl.records import PackedLines
from etl.sources.products import ProductsCsv
from tests import reading_sources
from tests.factories import make_products, write_products
from tests.laws.reading_process.reads import (
    FakeRun,
    kill,
    list_reading_processes,
    prepare_anywhere,
    prepare_here,
    write,
)
from tests.processes import wait_until
from tests.reading_sources import TROUBLE


@pytest.mark.parametrize("taken", range(1, 6))
def test_killed_at_any_moment_another_one_continues(
    products: CsvContent, run: FakeRun, moments: random.Random, taken: int
) -> None:
    expected = prepare_here(ProductsCsv(), products)
    with preparing(ProductsCsv(), products, None, Shape(), run=run) as batches:
        prepared = [write(next(batches)) for _ in range(taken)]
        time.sleep(moments.random() * 0.02)
        kill()
        prepared += map(write, batches)
    assert prepared == expected


def test_killed_before_it_is_asked_for_lines_they_are_written_here(products: CsvContent, run: FakeRun) -> None:
    prepared = []
    with preparing(ProductsCsv(), products, None, Shape(), run=run) as batches:
        for batch in batches:
            kill()
            prepared.append(write(batch))
    assert prepared == prepare_here(ProductsCsv(), products)
    assert set(run.notes) == {"The reading process was killed by signal 9 (SIGKILL). Another one continues."}


def test_only_the_lines_that_are_asked_for_are_written(products: CsvContent, run: FakeRun) -> None:
    expected = prepare_here(ProductsCsv(), products)
    with preparing(ProductsCsv(), products, None, Shape(), run=run) as batches:
        for number, (batch, same) in enumerate(zip(batches, expected, strict=True)):
            rows = range(number % 3, len(same.judged), 7 + number) if number % 2 else []
            if number % 4:  # a run that needs no lines may also not ask
                assert batch.judged.lines.write(rows) == same.judged.lines.write(rows)


def test_the_lines_of_new_records_travel_with_their_batch(products: CsvContent, run: FakeRun) -> None:
    with preparing(ProductsCsv(), products, None, Shape(), run=run, finds_repeats=True) as batches:
        prepared = list(batches)
    assert {type(batch.judged.lines) for batch in prepared} == {PackedLines}
    for batch, same in zip(map(write, prepared), prepare_here(ProductsCsv(), products), strict=True):
        batch.judged.repeats = None
        assert batch == same


def test_lines_are_given_while_the_next_batch_is_prepared(products: CsvContent, run: FakeRun) -> None:
    count = (TROUBLE - 1) // 100
    deadline = threading.Timer(20, setattr, (run, "over", LeaseLost("no lines came")))
    with preparing(reading_sources.Sleeping(), products, None, Shape(), run=run) as batches:
        deadline.start()
        prepared = [write(next(batches)) for _ in range(count)]
    deadline.cancel()
    assert prepared == prepare_here(ProductsCsv(), products)[:count]


def test_killed_after_each_batch_the_run_gets_through(products: CsvContent, run: FakeRun) -> None:
    prepared, kills = [], 0
    with preparing(ProductsCsv(), products, None, Shape(), run=run) as batches:
        for batch in batches:
            prepared.append(write(batch))
            kills += kill()
    assert prepared == prepare_here(ProductsCsv(), products)
    assert kills >= 3
    assert set(run.notes) == {"The reading process was killed by signal 9 (SIGKILL). Another one continues."}


@pytest.mark.parametrize(
    ("source", "loss"),
    [
        (reading_sources.Fatal(), "ended with status 3"),
        # The process may notice first that it can't write any longer.
        (reading_sources.CuttingPipe(), "(has closed its pipe|ended with status 1)"),
    ],
    ids=["ends", "cuts its pipe"],
)
def test_where_a_second_reading_process_is_lost_too_the_run_reads_on(
    products: CsvContent, run: FakeRun, source: Source, loss: str
) -> None:
    assert prepare_anywhere(source, products, run) == prepare_here(source, products)
    first, second = run.notes
    assert re.fullmatch(rf"The reading process {loss}\. Another one continues\.", first)
    assert re.fullmatch(rf"The reading process {loss}\. The run reads on without it\.", second)


def test_a_run_that_is_over_waits_for_no_frozen_process(products: CsvContent, run: FakeRun) -> None:
    with (
        pytest.raises(LeaseLost, match="over"),
        preparing(ProductsCsv(), products, None, Shape(), run=run) as batches,
    ):
        next(batches)
        kill(signal.SIGSTOP)
        run.over = LeaseLost("over")
        list(batches)


@pytest.mark.parametrize("asks", ["before", "after"])
def test_a_run_that_takes_nothing_for_long_gets_another_one(
    products: CsvContent, run: FakeRun, settings: Settings, asks: str
) -> None:
    settings.ETL_LEASE_SECONDS = 0.5
    with preparing(ProductsCsv(), products, None, Shape(), run=run) as batches:
        first = next(batches) if asks == "after" else write(next(batches))
        wait_until(lambda: not list_reading_processes(), seconds=20)
        settings.ETL_LEASE_SECONDS = 60
        prepared = [write(first), *map(write, batches)]
    assert prepared == prepare_here(ProductsCsv(), products)
    # On a busy machine the first batch, too, may be taken late.
    assert set(run.notes) == {"The reading process ended with status 75. Another one continues."}


def test_a_read_that_is_left_leaves_no_process(products: CsvContent, run: FakeRun) -> None:
    with preparing(ProductsCsv(), products, None, Shape(), run=run) as batches:
        next(batches)
        assert len(list_reading_processes()) == 1
    assert list_reading_processes() == []


def measure_memory(path: Path, run: FakeRun) -> int:
    """Return the largest proportional set size of the reading process, in KiB."""
    peak = 0
    with copy_file(path) as copy, preparing(ProductsCsv(), CsvContent(copy, ""), None, Shape(), run=run) as batches:
        for _ in batches:
            for pid in list_reading_processes():
                peak = max(peak, read_size(pid))
    return peak


def read_size(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)


def test_a_longer_file_takes_no_more_memory_there(tmp_path: Path, run: FakeRun, settings: Settings) -> None:
    settings.ETL_BATCH_SIZE = 500
    short = write_products(tmp_path / "short.csv", make_products(5_000))
    long = write_products(tmp_path / "long.csv", make_products(40_000))
    assert 0 < measure_memory(long, run) < 1.1 * measure_memory(short, run)
