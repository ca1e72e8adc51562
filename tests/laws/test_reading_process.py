"""Laws 1, 2, 8 and 10 with a reading process: it loses and doubles nothing, and never outlives its run."""

import logging
import os
import random
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from pytest_django import Settings

from etl.column_judgement import SliceLines
from etl.drift import Shape
from etl.exceptions import LeaseLost, SourceError
from etl.execution.executor import execute_here
from etl.execution.failure_reasons import explain
from etl.execution.outcomes import Outcome
from etl.local_copy import copy_file, open_shared
from etl.models import Run
from etl.pipeline import Progress
from etl.preparation import Prepared
from etl.readers.content import Content
from etl.readers.csv_file import CsvContent
from etl.readers.json_records import JsonContent
from etl.readers.source import Source
from etl.reading_process import choice
from etl.reading_process.choice import preparing
from etl.records import Cursor, PackedLines
from etl.reports.verification import verify
from etl.runs.options import Options
from etl.sources.listings import Listings
from etl.sources.products import ProductsCsv
from etl.supervision.os_signals import Interruption
from kasparro.embedded import Servers
from tests import reading_sources
from tests.execution.test_workers import await_closed, queue, start_worker
from tests.factories import hold, make_products, write_products
from tests.last_source import LastProducts
from tests.laws.test_crashes import (
    BATCH,
    assert_landed_once,
    await_batches,
    landed_batches,
    outlive_the_lease,
    products_file,
)
from tests.listed_source import Listed, ListedContent, dump_raw, dump_unified, make_item
from tests.processes import Project, await_stop, list_processes, wait_until
from tests.reading_sources import CHILD, TROUBLE
from tests.settings import RUN_FOLDER
from tests.shop.sources import HEADER, NarrowedFile, ProductsFile, make_line

COUNT = 600
CATEGORY = "Things of a kind with a long name. " * 6
"""So wide that a batch does not fit into a pipe: then the reading process waits until its run takes the batch."""


LOST_AT_ONCE = "The reading process was killed by signal 9 (SIGKILL). The run reads on without it."


@dataclass
class FakeRun:
    """A run without a database."""

    over: Exception | None = None
    notes: list[str] = field(default_factory=list)

    def shield(self) -> AbstractContextManager[None]:
        return nullcontext()

    def raise_if_over(self) -> None:
        if self.over is not None:
            raise self.over

    def note_retry(self, message: str) -> None:
        self.notes.append(message)


@pytest.fixture
def run() -> FakeRun:
    return FakeRun()


@pytest.fixture(autouse=True)
def always_elsewhere(settings: Settings) -> None:
    """A reading process reads even the shortest content, in small batches."""
    settings.ETL_READING_PROCESS_BYTES = 0
    settings.ETL_BATCH_SIZE = 100


@pytest.fixture(autouse=True)
def nothing_is_left(always_elsewhere: None) -> Iterator[None]:
    yield
    assert list_reading_processes() == []


@pytest.fixture
def products(tmp_path: Path) -> Iterator[CsvContent]:
    """Products, every hundredth of them refused, one with a broken row and one with lines of their own."""
    rows = [(i, f'A "{i}"\nof two lines', CATEGORY, "free" if i % 100 == 0 else 1, "x") for i in range(1, COUNT)]
    path = write_products(tmp_path / "products.csv", rows)
    with path.open("a") as file:
        file.write(f'1,"broken\n{COUNT},Thing,Things,1.5,x\n1,2\n')
    with copy_file(path) as copy:
        yield CsvContent(copy, str(path))


def list_reading_processes() -> list[int]:
    """List the reading processes of this test run."""
    return list_processes(RUN_FOLDER, command=CHILD)


def kill(number: signal.Signals = signal.SIGKILL) -> int:
    """Send the signal to all reading processes, and return their number."""
    found = list_reading_processes()
    for pid in found:
        os.kill(pid, number)
    return len(found)


def freeze() -> None:
    kill(signal.SIGSTOP)


def prepare(source: Source, content: Content, run: FakeRun, cursor: Cursor | None = None) -> list[Prepared]:
    with reading_there():
        return prepare_anywhere(source, content, run, cursor)


@contextmanager
def reading_there() -> Iterator[None]:
    """Fail if a run reads by itself."""

    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("it is read here")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(choice, "prepare", refuse)
        yield


def prepare_anywhere(source: Source, content: Content, run: FakeRun, cursor: Cursor | None = None) -> list[Prepared]:
    with preparing(source, content, cursor, Shape(), run=run) as prepared:
        return list(map(write, prepared))


def write(prepared: Prepared) -> Prepared:
    """Ask for all lines of the batch, so that it can be compared."""
    prepared.judged.lines = prepared.judged.lines.write(range(len(prepared.judged)))
    return prepared


def prepare_here(source: Source, content: Content, cursor: Cursor | None = None) -> list[Prepared]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(choice._Read, "_is_long", lambda read: False)
        return prepare_anywhere(source, content, FakeRun(), cursor)


def prepare_until_error(source: Source, content: Content, run: FakeRun) -> tuple[int, Exception]:
    """Return the number of batches before the error, and the error."""
    count = 0
    with pytest.raises(Exception) as raised, preparing(source, content, None, Shape(), run=run) as prepared:
        for _ in prepared:
            count += 1
    return count, raised.value


def prepare_until_error_here(source: Source, content: Content) -> tuple[int, Exception]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(choice._Read, "_is_long", lambda read: False)
        return prepare_until_error(source, content, FakeRun())


# --- the same batches ---------------------------------------------------------------------------


@pytest.mark.parametrize("batch_size", [1, 7, 100, 10_000])
def test_a_reading_process_prepares_the_same_batches(
    products: CsvContent, run: FakeRun, settings: Settings, batch_size: int
) -> None:
    settings.ETL_BATCH_SIZE = batch_size
    prepared = prepare(ProductsCsv(), products, run)
    assert prepared == prepare_here(ProductsCsv(), products)
    assert prepared[-1].shape.records == COUNT  # it continues from batch to batch
    assert run.notes == []


@pytest.mark.parametrize("form", ["[{}]", "{}"], ids=["array", "lines"])
def test_json_is_prepared_the_same(tmp_path: Path, run: FakeRun, form: str) -> None:
    separator = ",\n" if form == "[{}]" else "\n"
    records = [
        f'{{"sku": "{i}", "title": "é{i}", "department": {{"name": "D"}}, "price": {{"amount": {i}.50, "currency":'
        f' "EUR"}}, "updated_at": "2026-01-01T00:00:00{"Z" if i % 50 else ""}"}}'
        for i in range(COUNT)
    ]
    (tmp_path / "listings").write_text(form.format(separator.join(records)))
    with copy_file(tmp_path / "listings") as copy:
        content = JsonContent(copy, "listings")
        assert prepare(Listings(), content, run) == prepare_here(Listings(), content)


def test_an_array_at_a_path_with_broken_elements_is_prepared_the_same(tmp_path: Path, run: FakeRun) -> None:
    records = [
        f'{{"sku": "{i}", "title": "é{i}", "department": {{"name": "D"}}, "price": {{"amount": {i}.50, "currency":'
        f' "EUR"{"" if i % 50 == 1 else "}"}, "updated_at": "2026-01-01T00:00:00Z"{" 1" if i % 70 == 1 else ""}}}'
        for i in range(COUNT)
    ]
    (tmp_path / "listings").write_text(f'{{"data": {{"total": 1, "items": [{",".join(records)}]}}, "next": null}}')
    source = reading_sources.EnvelopedListings()
    with copy_file(tmp_path / "listings") as copy:
        content = source.dialect.open(copy, source)
        prepared = prepare(source, content, run)
        assert prepared == prepare_here(source, content)
        assert prepare(source, content, run, prepared[2].cursor) == prepare_here(source, content, prepared[2].cursor)
    assert sum(len(each.judged.refusals) for each in prepared) == 19
    assert run.notes == []


def test_a_reading_process_continues_after_a_cursor(products: CsvContent, run: FakeRun) -> None:
    third = prepare_here(ProductsCsv(), products)[2]
    cursor = {**third.cursor, "size": products.size}
    assert prepare(ProductsCsv(), products, run, cursor) == prepare_here(ProductsCsv(), products, cursor)


def test_both_processes_may_read_the_copy_at_the_same_time(products: CsvContent, run: FakeRun) -> None:
    expected = prepare_here(ProductsCsv(), products)
    with preparing(ProductsCsv(), products, None, Shape(), run=run) as prepared:
        for batch, same in zip(prepared, expected, strict=True):
            assert write(batch) == same
            products.copy.file.seek(random.randrange(products.size))
            products.copy.file.read(1000)


def test_a_shared_descriptor_is_read_at_a_position_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abc\ndef\n")
    with (tmp_path / "file").open("rb") as file:
        shared = open_shared(file.fileno())
        assert shared.readline() == b"abc\n"
        assert file.read() == b"abc\ndef\n"
        assert (shared.tell(), shared.read(), shared.read()) == (4, b"def\n", b"")
        assert (shared.seek(-3, os.SEEK_END), shared.seek(1, os.SEEK_CUR), shared.read()) == (5, 6, b"f\n")


def test_a_source_that_needs_models_gets_its_apps(products: CsvContent, run: FakeRun) -> None:
    source = reading_sources.NeedingModels()
    assert prepare(source, products, run) == prepare_here(source, products)
    assert run.notes == []


@pytest.mark.parametrize("kind", [ProductsFile, NarrowedFile])
def test_a_source_with_a_target_is_read_there(tmp_path: Path, run: FakeRun, kind: type[ProductsFile]) -> None:
    lines = [make_line(number, price="1,5" if number % 50 else "dear") for number in range(1, COUNT)]
    (tmp_path / "products.csv").write_text(HEADER + "".join(lines))
    source = kind()
    with copy_file(tmp_path / "products.csv") as copy:
        content = source.dialect.open(copy, source)
        prepared = prepare(source, content, run)
        assert prepared == prepare_here(source, content)
    assert sum(len(each.judged.refusals) for each in prepared) == COUNT // 50 - (COUNT % 50 == 0)
    assert run.notes == []


def test_a_sources_log_lines_reach_the_runs_log(
    products: CsvContent, run: FakeRun, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    prepare(reading_sources.Talkative(), products, run)
    assert caplog.messages == ["logged by a source in a reading process"]
    printed = capfd.readouterr()
    assert printed.out == ""
    assert "printed by a source" in printed.err.splitlines()  # before or after the log line: they take different ways


@pytest.mark.parametrize("is_named_later", [False, True])
def test_a_source_made_with_arguments_is_the_same_there(
    products: CsvContent, run: FakeRun, caplog: pytest.LogCaptureFixture, is_named_later: bool
) -> None:
    source = reading_sources.Supplier() if is_named_later else reading_sources.Supplier("supplier 7")
    source.name = "supplier 7"
    prepare(source, products, run)
    assert caplog.messages == ["logged by supplier 7 in a reading process"]


# --- the first batches --------------------------------------------------------------------------


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


# --- read in this process -----------------------------------------------------------------------


@pytest.fixture
def no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("a process was started")

    monkeypatch.setattr(subprocess, "Popen", refuse)


class InFunction:
    """Sources that another process can't make."""

    @staticmethod
    def make_local() -> Source:
        class Products(ProductsCsv):
            pass

        return Products()

    @staticmethod
    def make_holding_a_lock() -> Source:
        return reading_sources.Supplier(kept=threading.Lock())

    @staticmethod
    def make_of_main() -> Source:
        return type("Products", (ProductsCsv,), {"__module__": "__main__"})()  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    "make",
    [InFunction.make_local, InFunction.make_holding_a_lock, InFunction.make_of_main],
    ids=lambda make: make.__name__,
)
def test_a_source_that_can_not_be_made_again_is_read_here(
    no_process: None, products: CsvContent, run: FakeRun, make: Callable[[], Source]
) -> None:
    assert sum(batch.seen for batch in prepare_anywhere(make(), products, run)) == COUNT + 2


def test_a_run_that_reads_by_itself_says_why(
    no_process: None, products: CsvContent, run: FakeRun, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        prepare_anywhere(InFunction.make_holding_a_lock(), products, run)
    assert caplog.messages[0].startswith("supplier can't be sent to a reading process (cannot pickle")


@pytest.mark.parametrize(
    "content",
    [CsvContent(hold(b"product_id,name\n1,x\n"), "memory"), ListedContent([make_item(1)], "")],
    ids=["in memory", "listed"],
)
def test_content_without_a_file_is_read_here(no_process: None, run: FakeRun, content: Content) -> None:
    source = ProductsCsv() if isinstance(content, CsvContent) else Listed()
    assert sum(batch.seen for batch in prepare_anywhere(source, content, run)) == 1


@pytest.mark.parametrize("least", [None, 10_000_000])
def test_short_content_is_read_here(
    no_process: None, products: CsvContent, run: FakeRun, settings: Settings, least: int | None
) -> None:
    settings.ETL_READING_PROCESS_BYTES = least
    assert sum(batch.seen for batch in prepare_anywhere(ProductsCsv(), products, run)) == COUNT + 2


def test_where_no_process_can_be_started_the_run_reads(
    monkeypatch: pytest.MonkeyPatch, products: CsvContent, run: FakeRun, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    assert sum(batch.seen for batch in prepare_anywhere(ProductsCsv(), products, run)) == COUNT + 2
    assert "which can't be started: [Errno 11] Resource temporarily unavailable" in caplog.text


def test_a_reading_process_with_another_contract_reads_nothing(products: CsvContent, run: FakeRun) -> None:
    source = reading_sources.OtherThere()
    assert prepare_anywhere(source, products, run) == prepare_here(source, products)
    assert run.notes == [
        "The reading process can't read: its code of products_csv is not the run's. The run reads on without it."
    ]


# --- errors -------------------------------------------------------------------------------------


def test_a_bug_is_reported_as_in_the_runs_process(products: CsvContent, run: FakeRun) -> None:
    source = reading_sources.Buggy()
    count, error = prepare_until_error(source, products, run)
    same_count, same_error = prepare_until_error_here(source, products)
    assert (count, type(error), str(error)) == (same_count, KeyError, "'a bug'")
    assert explain(error) == explain(same_error)
    assert "KeyError in make_trouble (reading_sources.py:" in explain(error)[1]
    assert "raise KeyError" in error.__notes__[0]


def test_an_error_that_can_not_be_pickled_keeps_its_text(products: CsvContent, run: FakeRun) -> None:
    count, error = prepare_until_error(reading_sources.BuggyWithoutPickle(), products, run)
    assert (count, type(error), str(error)) == (TROUBLE // 100, RuntimeError, "TwoArguments: one and two")


@pytest.mark.parametrize("batch_size", [2, 100])
def test_an_unreadable_source_is_reported_after_the_batches_before(
    tmp_path: Path, run: FakeRun, settings: Settings, batch_size: int
) -> None:
    settings.ETL_BATCH_SIZE = batch_size
    (tmp_path / "listings").write_text('[{"sku": 1},\n{"sku": 2},\n{"sku": 3}')
    with copy_file(tmp_path / "listings") as copy:
        content = JsonContent(copy, "listings")
        with reading_there():
            count, error = prepare_until_error(Listings(), content, run)
        same_count, same_error = prepare_until_error_here(Listings(), content)
    assert (count, type(error), explain(error)) == (same_count, SourceError, explain(same_error))
    assert str(error) == "listings: line 3: the array ends in the middle."


# --- a reading process that is lost ----------------------------------------------------------------


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


# --- in runs ------------------------------------------------------------------------------------


def ingest(report: Callable[[Progress], None] = lambda progress: None) -> Outcome:
    return execute_here(ProductsCsv(), Options(), interruption=Interruption(), report=report)


@pytest.fixture
def thousand(transactional_db: None, tmp_path: Path, settings: Settings) -> None:
    rows = [(i, n, CATEGORY, "free" if i % 100 == 0 else p, x) for i, n, _, p, x in make_products(1000)]
    settings.PRODUCTS_CSV = str(write_products(tmp_path / "products.csv", rows))


def test_killed_again_and_again_a_run_lands_everything_once(thousand: None) -> None:
    kills = []
    outcome = ingest(report=lambda progress: kills.append(kill()))
    assert (outcome.status, outcome.counters["seen"]) == ("partial", 1000)
    assert sum(kills) >= 5
    assert "killed by signal 9" in Run.objects.get().events.filter(kind="retry")[0].message
    assert_landed_once(1000)


def test_a_run_that_prepares_its_first_batches_lands_everything_once(
    thousand: None, settings: Settings, start_slowly: Callable[[int], None]
) -> None:
    path = Path(settings.PRODUCTS_CSV)
    header, *rows = path.read_text().splitlines(keepends=True)
    path.write_text("".join([header, *rows, *rows[:100]]))
    start_slowly(3)
    outcome = ingest()
    counted = {"seen": 1100, "new": 990, "duplicate": 99, "quarantined": 11, "updated": 0, "unchanged": 0}
    assert {name: outcome.counters[name] for name in counted} == counted
    assert len(dump_unified("products_csv")) == len(dump_raw("products_csv")) == 990
    assert verify() == []


def test_a_run_whose_reading_process_freezes_ends_and_the_next_goes_on(thousand: None, settings: Settings) -> None:
    settings.ETL_BATCH_DEADLINE_SECONDS = 1
    outcome = ingest(report=lambda progress: freeze())
    assert (outcome.status, outcome.reason) == ("failed", "lease_lost")
    assert list_reading_processes() == []
    settings.ETL_BATCH_DEADLINE_SECONDS = 600
    assert ingest().status == "partial"
    assert_landed_once(1000)


@pytest.fixture
def elsewhere(project: Project) -> Project:
    """Real runs whose content is read by a reading process."""
    products_file(project)
    project.environment["ETL_READING_PROCESS_BYTES"] = "0"
    return project


def await_reading(process: "subprocess.Popen[str]", landed: int = 3) -> None:
    wait_until(lambda: process.poll() is not None or (landed_batches() >= landed and list_reading_processes()))
    assert process.poll() is None, process.communicate()


def test_a_reading_process_ends_with_a_run_that_is_killed(elsewhere: Project) -> None:
    elsewhere.environment |= {"ETL_SOURCES": "tests.reading_sources.Sleeping", "ETL_LEASE_SECONDS": "3600"}
    process = elsewhere.start("ingest", "products_csv")
    await_reading(process, (TROUBLE - 1) // BATCH)  # the reading process sleeps now, and writes nothing
    process.send_signal(signal.SIGKILL)
    process.wait()
    wait_until(lambda: not list_reading_processes(), seconds=20)
    del elsewhere.environment["ETL_SOURCES"]
    elsewhere.ingest("products_csv")
    assert_landed_once()


def test_a_run_that_freezes_past_its_lease_leaves_no_reading_process(elsewhere: Project) -> None:
    sleeper = elsewhere.start_python(
        "-m", "tests.freezing", "between_batches", "ingest", "products_csv", "--json", ETL_LEASE_SECONDS="5"
    )
    await_stop(sleeper)
    assert len(list_reading_processes()) == 1
    outlive_the_lease()
    wait_until(lambda: not list_reading_processes())
    (successor,) = elsewhere.ingest("products_csv")
    assert successor["status"] == "partial"
    sleeper.send_signal(signal.SIGCONT)
    output, errors = sleeper.communicate(timeout=60)
    assert '"status": "failed", "reason": "abandoned"' in output, errors
    assert_landed_once()


def test_a_run_that_freezes_within_its_lease_goes_on(elsewhere: Project) -> None:
    sleeper = elsewhere.start_python("-m", "tests.freezing", "between_batches", "ingest", "products_csv", "--json")
    await_stop(sleeper)
    assert kill() == 1
    sleeper.send_signal(signal.SIGCONT)
    output, errors = sleeper.communicate(timeout=60)
    assert '"status": "partial"' in output, errors
    assert_landed_once()


def test_killed_runs_and_killed_reading_processes_lose_nothing(elsewhere: Project, moments: random.Random) -> None:
    while not Run.objects.filter(status="partial").exists():
        process = elsewhere.start("ingest", "products_csv")
        target = landed_batches() + moments.randint(5, 25)
        await_batches(process, target)
        kill()
        time.sleep(moments.random() * 0.3)
        if moments.random() < 0.5:
            process.send_signal(signal.SIGKILL)
        process.communicate()
        wait_until(lambda: not list_reading_processes())
    assert_landed_once()


def test_ctrl_c_ends_the_reading_process_without_a_word(elsewhere: Project) -> None:
    elsewhere.environment["ETL_SOURCES"] = "tests.reading_sources.Sleeping"
    process = elsewhere.start("ingest", "products_csv", "--json")
    await_reading(process, (TROUBLE - 1) // BATCH)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    output, errors = process.communicate(timeout=60)
    assert list_reading_processes() == []
    assert '"status": "failed", "reason": "interrupted"' in output, errors
    assert "Traceback" not in errors


def test_a_workers_process_starts_one(elsewhere: Project, valkey: Servers) -> None:
    elsewhere.environment |= {"REDIS_URL": valkey.redis_url(), "ETL_SOURCES": "etl.sources.products.ProductsCsv"}
    run_id = queue(elsewhere)
    worker = start_worker(elsewhere)
    await_reading(worker)
    assert await_closed(run_id).status == "partial"
    wait_until(lambda: not list_reading_processes())
    assert_landed_once()
