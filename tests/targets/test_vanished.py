"""What vanishes from a complete read is ended or deleted in the team's own model, as its source says."""

from dataclasses import replace
from typing import Any

import pytest

from etl.reports.verification import verify
from etl.signals import batch_landed
from etl.sources import Into, constant, delete, end, parent
from tests.listed_source import fetch, ingest_here
from tests.shop.models import OrderLine, Product, Supplier
from tests.shop.sources import DeletingProducts, EndingProducts, KeepingProducts, Products, make_product, make_products

pytestmark = pytest.mark.django_db(transaction=True)


def list_rows() -> list[tuple[Any, ...]]:
    return [*Product.objects.order_by("sku").values_list("sku", "status", "note")]


@pytest.mark.parametrize(
    ("kind", "rows"),
    [
        (KeepingProducts, [("P1", "active", "ours"), ("P2", "active", "ours"), ("P3", "active", "ours")]),
        (EndingProducts, [("P1", "active", "ours"), ("P2", "ended", "ours"), ("P3", "active", "ours")]),
        (DeletingProducts, [("P1", "active", "ours"), ("P3", "active", "ours")]),
    ],
)
def test_a_record_that_vanished_leaves_its_row_as_its_source_says(kind: type[Products], rows: list[Any]) -> None:
    ingest_here(kind(make_products(3)))
    Product.objects.update(note="ours")
    outcome = ingest_here(kind([make_product(1), make_product(3)]))
    assert outcome.counters["removed"] == 1
    assert list_rows() == rows
    assert verify() == []


@pytest.mark.parametrize("kind", [KeepingProducts, EndingProducts, DeletingProducts])
def test_a_record_that_returns_has_its_row_again(kind: type[Products]) -> None:
    for records in (make_products(3), [make_product(1)], make_products(3)):
        ingest_here(kind(records))
    assert [row[:2] for row in list_rows()] == [(f"P{n}", "active") for n in (1, 2, 3)]
    assert verify() == []


class SuppliedProducts(Products):
    """Products of several suppliers, whose codes the records have."""

    name = "supplied_products"
    complete = True
    into = Into(
        Product,
        key=("supplier", "sku"),
        owns={
            "supplier": parent(Supplier, code="supplier"),
            "sku": "id",
            "name": "name",
            "price": "price",
            "status": constant("active"),
        },
        vanished=delete(),
    )


class EndingSuppliedProducts(SuppliedProducts):
    into = replace(SuppliedProducts.into, vanished=end(status="ended"))


@pytest.mark.parametrize("size", [1, 100])
@pytest.mark.parametrize("kind", [SuppliedProducts, EndingSuppliedProducts])
def test_a_row_stays_if_its_record_has_another_id_now(kind: type[SuppliedProducts], size: int, settings: Any) -> None:
    """The team and the source rename a supplier: each record has another id, and the old one vanishes."""
    settings.ETL_BATCH_SIZE = size
    ingest_here(kind([make_product(n, supplier="ACME") for n in (1, 2, 3)]))
    keys = dict(Product.objects.values_list("sku", "pk"))
    Supplier.objects.update(code="ACME Ltd")
    outcome = ingest_here(kind([make_product(n, supplier="ACME Ltd") for n in (1, 2)]))
    assert (outcome.counters["new"], outcome.counters["removed"]) == (2, 3)
    assert [*Product.objects.filter(status="active").order_by("sku").values_list("sku", "pk")] == [
        ("P1", keys["P1"]),
        ("P2", keys["P2"]),
    ]
    assert verify() == []


@pytest.mark.parametrize("kind", [EndingProducts, DeletingProducts])
def test_a_row_stays_if_the_team_and_the_source_correct_its_key(kind: type[Products]) -> None:
    ingest_here(kind(make_products(2)))
    Product.objects.filter(sku="P1").update(sku="P9")
    ingest_here(kind([make_product(9, name="Thing 1"), make_product(2)]))
    assert [row[:2] for row in list_rows()] == [("P2", "active"), ("P9", "active")]
    assert verify() == []


def test_a_row_to_which_something_refers_is_not_deleted_and_its_record_is_not_removed() -> None:
    ingest_here(DeletingProducts(make_products(3)))
    OrderLine.objects.create(product=Product.objects.get(sku="P2"))
    outcome = ingest_here(DeletingProducts([make_product(1)]))
    assert (outcome.reason, "shop_orderline" in outcome.message) == ("target_refuses", True)
    assert [row[0] for row in list_rows()] == ["P1", "P2", "P3"]
    assert fetch("SELECT count(*) FROM unified_records WHERE removed_at IS NOT NULL") == [(0,)]
    OrderLine.objects.all().delete()
    ingest_here(DeletingProducts([make_product(1)]))
    assert [row[0] for row in list_rows()] == ["P1"]


def test_a_refused_record_has_not_vanished() -> None:
    ingest_here(EndingProducts(make_products(3)))
    ingest_here(EndingProducts([make_product(1), make_product(2, price="0", stock="1"), make_product(3)]))
    assert [row[1] for row in list_rows()] == ["active"] * 3


@pytest.mark.parametrize("kind", [EndingProducts, DeletingProducts])
def test_the_rows_of_records_that_vanished_are_announced_after_the_commit(kind: type[Products]) -> None:
    heard: list[Any] = []

    def hear(sender: Any, source: str, removed: Any, **more: Any) -> None:
        heard.append((sender, source, [*removed]))

    ingest_here(kind(make_products(2)))
    key = str(Product.objects.get(sku="P2").pk)
    batch_landed.connect(hear)
    try:
        ingest_here(kind(make_products(1)))
    finally:
        batch_landed.disconnect(hear)
    assert heard == [(Product, kind.name, [key])]
