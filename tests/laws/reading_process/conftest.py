"""Content that a reading process reads, however short it is."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_django import Settings

from etl.local_copy import copy_file
from etl.readers.csv_file import CsvContent
from tests.factories import write_products
from tests.laws.reading_process.reads import (
    CATEGORY,
    COUNT,
    FakeRun,
    list_reading_processes,
)


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
