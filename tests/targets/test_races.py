"""A team's own transactions run at the same time as a batch: none of their edits is lost, and nothing deadlocks."""

import threading
from collections.abc import Callable

import pytest
from django.db import connection, connections, transaction

from etl.reports.verification import verify
from tests.listed_source import dump_quarantine, ingest_here
from tests.processes import wait_until
from tests.shop.models import Category, Product, Supplier
from tests.shop.sources import Products, make_product, make_products

pytestmark = pytest.mark.django_db(transaction=True)


def ingest_while(edit: Callable[[], object], source: Products) -> None:
    """Ingest while a transaction of the team's, which has made this edit, waits until the batch waits for it."""

    def ingest() -> None:
        try:
            ingest_here(source)
        finally:
            connections.close_all()

    thread = threading.Thread(target=ingest)
    with transaction.atomic():
        edit()
        thread.start()
        wait_until(is_anyone_waiting)
    thread.join()


def is_anyone_waiting() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
        return bool(cursor.fetchone()[0])


def test_a_row_that_the_team_inserts_meanwhile_becomes_the_records_row() -> None:
    supplier = Supplier.objects.get()
    ingest_while(
        lambda: Product.objects.create(supplier=supplier, sku="P2", name="Theirs", price="9", note="ours"),
        Products(make_products(3)),
    )
    row = Product.objects.get(sku="P2")
    assert (row.name, row.note) == ("Thing 2", "ours")
    assert Product.objects.count() == 3
    assert verify() == []


def test_a_row_that_the_team_edits_meanwhile_keeps_the_edit() -> None:
    ingest_here(Products(make_products(3)))
    ingest_while(
        lambda: Product.objects.filter(sku="P2").update(note="ours", margin="0.25"),
        Products(make_products(3, price="2")),
    )
    row = Product.objects.get(sku="P2")
    assert (str(row.price), row.note, str(row.margin)) == ("2.00", "ours", "0.25")


def test_a_parent_that_the_team_deletes_meanwhile_is_missing() -> None:
    Category.objects.get(slug="toys")
    ingest_while(lambda: Category.objects.filter(slug="toys").delete(), Products([make_product(1, group="toys")]))
    assert [row[3] for row in dump_quarantine("products")] == ["no_parent"]
    assert not Product.objects.exists()


def test_a_row_that_the_team_deletes_meanwhile_stays_deleted() -> None:
    ingest_here(Products(make_products(3)))
    ingest_while(lambda: Product.objects.filter(sku="P2").delete(), Products(make_products(3, price="2")))
    assert [*Product.objects.order_by("sku").values_list("sku", flat=True)] == ["P1", "P3"]
