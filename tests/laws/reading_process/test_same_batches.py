"""A reading process prepares the batches, and reports the errors, that its run would."""

import os
import random
from pathlib import Path

import pytest
from pytest_django import Settings

from etl.drift import Shape
from etl.exceptions import SourceError
from etl.execution.failure_reasons import explain
from etl.local_copy import copy_file, open_shared
from etl.readers.csv_file import CsvContent
from etl.readers.json_records import JsonContent
from etl.reading_process.choice import preparing
from etl.sources.listings import Listings
from etl.sources.products import ProductsCsv
from tests import reading_sources
from tests.laws.reading_process.reads import (
    COUNT,
    FakeRun,
    prepare,
    prepare_here,
    prepare_until_error,
    prepare_until_error_here,
    reading_there,
    write,
)
from tests.reading_sources import TROUBLE
from tests.shop.sources import HEADER, NarrowedFile, ProductsFile, make_line


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
