"""Laws of the write path with a team's own table. Those that any table keeps are in tests/laws, for both."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from etl.execution.executor import execute_here
from etl.models import QuarantinedRecord
from etl.reports.verification import verify
from etl.runs.options import Options
from etl.signals import batch_landed
from etl.storage.refusal_selection import Selection
from etl.supervision.os_signals import Interruption
from etl.testing import assert_source
from tests.listed_source import dump_quarantine, ingest_here
from tests.shop.models import Category, Product
from tests.shop.sources import HEADER, Products, ProductsFile, make_line, make_product, make_products

pytestmark = pytest.mark.django_db(transaction=True)


def write_file(path: Path, count: int) -> Path:
    """Every tenth record is refused by a CHECK, and every other tenth by the contract."""
    stock = {number: 1 if number % 10 == 0 else 0 for number in range(1, count + 1)}
    prices = {number: "0" if number % 10 == 0 else "x" if number % 10 == 5 else "1,50" for number in stock}
    lines = [make_line(number, price=prices[number], stock=stock[number]) for number in stock]
    path.write_text(HEADER + "".join(lines))
    return path


@pytest.mark.parametrize("own_batches", [0, 1, 2, None])
def test_a_record_that_the_table_refuses_is_kept_with_its_line_and_bytes(
    own_batches: int | None, settings: Any, start_slowly: Callable[[int], None], tmp_path: Path
) -> None:
    settings.ETL_BATCH_SIZE = 7
    if own_batches is not None:
        start_slowly(own_batches)
    path = write_file(tmp_path / "products.csv", 30)
    places = [("VK netto", "not_a_number"), ("", "constraint")] * 3
    expected = [(line, *place) for line, place in zip(range(6, 32, 5), places, strict=True)]
    assert_source(ProductsFile, gives=path).refuses(*expected)
    assert Product.objects.count() == 24
    refused = QuarantinedRecord.objects.get(line=11)
    assert bytes(refused.original).decode().strip() == make_line(10, price="0", stock=1).strip()
    assert Product.objects.get(sku="P1").attributes == {"Farbe": "rot"}
    assert verify() == []


def test_a_refused_record_lands_by_a_replay(settings: Any) -> None:
    settings.ETL_BATCH_SIZE = 3
    records = [make_product(n, group="cars" if n % 2 else "toys") for n in range(1, 8)]
    ingest_here(Products([*records, make_product(8, group="boats")]))
    Category.objects.create(slug="cars")
    outcome = execute_here(
        Products(),
        Options(selection=Selection(everything=True)),
        interruption=Interruption(),
        report=lambda _: None,
    )
    assert (outcome.counters["new"], outcome.counters["quarantined"]) == (4, 1)
    assert Product.objects.count() == 7
    assert [row[5] for row in dump_quarantine("products")] == ["replayed"] * 4 + ["open"]
    assert verify() == []


def test_a_landed_batch_is_announced_after_its_commit_with_the_keys_of_its_rows() -> None:
    heard: list[Any] = []

    def hear(sender: Any, source: str, keys: Any, **more: Any) -> None:
        heard.append((sender, source, sorted(keys)))

    batch_landed.connect(hear)
    try:
        ingest_here(Products(make_products(2)))
    finally:
        batch_landed.disconnect(hear)
    keys = sorted(str(key) for key in Product.objects.values_list("pk", flat=True))
    assert heard == [(Product, "products", keys)]
