"""What a reading process can't read, or what is too short for one, the run reads itself."""

import logging
import subprocess
import threading
from collections.abc import Callable

import pytest
from pytest_django import Settings

from etl.readers.content import Content
from etl.readers.csv_file import CsvContent
from etl.readers.source import Source
from etl.sources.products import ProductsCsv
from tests import reading_sources
from tests.factories import hold
from tests.laws.reading_process.reads import (
    COUNT,
    FakeRun,
    prepare_anywhere,
    prepare_here,
)
from tests.listed_source import Listed, ListedContent, make_item


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
