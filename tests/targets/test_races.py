"""A team's own transactions run at the same time as a batch: none of their edits is lost, and nothing deadlocks."""

import logging
import random
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from django.db import Error, IntegrityError, connection, connections, transaction

from etl.reports.verification import verify
from tests.listed_source import dump_quarantine, ingest_here
from tests.processes import wait_until
from tests.shop.models import Category, Product, Supplier
from tests.shop.sources import EndingProducts, Products, make_product, make_products

pytestmark = pytest.mark.django_db(transaction=True)


def do_nothing() -> None:
    pass


def ingest_while(edit: Callable[[], object], source: Products, *, then: Callable[[], object] = do_nothing) -> None:
    """Ingest while a transaction of the team's has made the first edit. The second one follows when the batch waits."""
    outcomes: list[Any] = []

    def ingest() -> None:
        try:
            outcomes.append(ingest_here(source))
        finally:
            connections.close_all()

    thread = threading.Thread(target=ingest)
    with transaction.atomic():
        edit()
        thread.start()
        wait_until(is_anyone_waiting)
        then()
    thread.join()
    assert [outcome.status for outcome in outcomes] in (["success"], ["partial"])


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


def test_an_owned_column_that_the_team_edits_meanwhile_gets_the_sources_next_value() -> None:
    ingest_here(Products(make_products(3)))
    ingest_while(
        lambda: Product.objects.filter(sku="P2").update(name="Theirs", note="ours"),
        Products(make_products(3, price="2")),
    )
    row = Product.objects.get(sku="P2")
    assert (row.name, str(row.price), row.note) == ("Thing 2", "2.00", "ours")


def test_a_row_that_the_team_deletes_before_it_could_be_adopted_is_created() -> None:
    Product.objects.create(supplier=Supplier.objects.get(), sku="P2", name="Theirs", price="9", note="theirs")
    ingest_while(lambda: Product.objects.filter(sku="P2").delete(), Products(make_products(3)))
    assert [*Product.objects.order_by("sku").values_list("sku", "note")] == [("P1", ""), ("P2", ""), ("P3", "")]
    assert verify() == []


def test_a_row_that_the_team_edits_while_it_vanishes_keeps_the_edit() -> None:
    ingest_here(EndingProducts(make_products(3)))
    ingest_while(
        lambda: Product.objects.filter(sku="P2").update(note="ours"),
        EndingProducts([make_product(1), make_product(3)]),
    )
    assert Product.objects.values_list("status", "note").get(sku="P2") == ("ended", "ours")


def test_a_team_that_edits_rows_while_they_vanish_is_never_the_victim_of_a_deadlock(
    caplog: pytest.LogCaptureFixture,
) -> None:
    ingest_here(EndingProducts(make_products(3)))
    with caplog.at_level(logging.WARNING):
        ingest_while(lambda: edit("P3"), EndingProducts([make_product(2)]), then=lambda: edit("P1"))
    assert "deadlock" not in caplog.text
    assert [*Product.objects.order_by("sku").values_list("sku", "status", "note")] == [
        ("P1", "ended", "ours"),
        ("P2", "active", ""),
        ("P3", "ended", "ours"),
    ]


def lock(sku: str) -> None:
    Product.objects.select_for_update().get(sku=sku)


def edit(sku: str) -> None:
    assert Product.objects.filter(sku=sku).update(note="ours")


def create(sku: str) -> None:
    Product.objects.create(supplier=Supplier.objects.get(code="ACME"), sku=sku, name="T", price=1, note="ours")


def delete_category() -> None:
    Category.objects.get(slug="toys").delete()


def lock_category() -> None:
    Category.objects.select_for_update().get(slug="toys")


STORED = [make_product(n, group="toys") for n in (1, 2, 3)]
TEAMS: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
    "two rows in the order of their keys": (lambda: edit("P1"), lambda: edit("P3")),
    "two rows in another order": (lambda: edit("P3"), lambda: edit("P1")),
    "a parent deleted after a child was edited": (lambda: edit("P1"), delete_category),
    "a child edited after its parent was locked": (lock_category, lambda: edit("P1")),
    "a new row, and then one that exists": (lambda: create("P4"), lambda: edit("P1")),
    "a row that exists, and then a new one": (lambda: edit("P1"), lambda: create("P9")),
    "two new rows in another order": (lambda: create("P5"), lambda: create("P4")),
    "a parent deleted after a new row": (lambda: create("P4"), delete_category),
    "a row that is not in the ledger, and then its parent": (lambda: edit("T7"), delete_category),
}


@pytest.mark.parametrize("case", TEAMS, ids=lambda case: case.replace(" ", "_"))
def test_a_team_that_takes_locks_in_any_order_is_never_the_victim_of_a_deadlock(
    case: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The batch changes three rows, creates three and adopts one, all with a parent that the team may delete."""
    first, second = TEAMS[case]
    create("T7")
    ingest_here(Products(STORED))
    numbers = (1, 2, 3, 4, 5, 6)
    changed = [make_product(n, group="toys", price="2") for n in numbers] + [
        make_product(7, group="toys") | {"id": "T7"}
    ]
    with caplog.at_level(logging.WARNING):
        ingest_while(first, Products(changed), then=second)
    assert "deadlock" not in caplog.text
    ours = {sku for sku, note in Product.objects.values_list("sku", "note") if note == "ours"}
    assert ours >= EDITED[case]
    assert verify() == []


EDITED = {
    "two rows in the order of their keys": {"P1", "P3"},
    "two rows in another order": {"P1", "P3"},
    "a parent deleted after a child was edited": {"P1"},
    "a child edited after its parent was locked": {"P1"},
    "a new row, and then one that exists": {"P4", "P1"},
    "a row that exists, and then a new one": {"P1", "P9"},
    "two new rows in another order": {"P4", "P5"},
    "a parent deleted after a new row": {"P4"},
    "a row that is not in the ledger, and then its parent": {"T7"},
}


class Team:
    """A session of the team's that edits, creates and deletes rows in transactions of up to four statements."""

    def __init__(self, number: int, stop: threading.Event) -> None:
        self.number, self.stop, self.chance = number, stop, random.Random(number)
        self.errors: list[str] = []
        self.notes: dict[str, str] = {}
        """The last committed note of each row that only this session edits."""

    def work(self) -> None:
        try:
            while not self.stop.is_set():
                # Django can't delete a category to which a row refers that has just been added.
                with suppress(IntegrityError):
                    self._edit_some()
        except Error as error:
            self.errors.append(str(error))
        finally:
            connections.close_all()

    def _edit_some(self) -> None:
        made: dict[str, str] = {}
        with transaction.atomic():
            for _ in range(self.chance.randint(1, 4)):
                number = 2 * self.chance.randint(1, 15) + self.number
                sku, note = f"P{number}", f"{self.number}-{self.chance.random()}"
                if not Product.objects.filter(sku=sku).update(note=note):
                    supplier = Supplier.objects.get(code="ACME")
                    row, _ = Product.objects.get_or_create(
                        supplier=supplier, sku=sku, defaults={"name": "T", "price": 1, "note": note}
                    )
                    Product.objects.filter(pk=row.pk).update(note=note)
                made[sku] = note
            if self.chance.random() < 0.2:
                Category.objects.filter(slug=f"c{self.number}").delete()
                Category.objects.get_or_create(slug=f"c{self.number}")
        self.notes |= made


def test_sessions_of_the_team_that_edit_all_the_time_lose_no_edit_and_meet_no_deadlock(
    settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    settings.ETL_BATCH_SIZE = 15
    stop = threading.Event()
    teams = [Team(0, stop), Team(1, stop)]
    threads = [threading.Thread(target=team.work) for team in teams]
    for thread in threads:
        thread.start()
    chance = random.Random(7)
    with caplog.at_level(logging.WARNING):
        try:
            for price in range(1, 13):
                records = [
                    make_product(n, price=price, group=f"c{n % 2}" if n % 3 else None)
                    for n in chance.sample(range(1, 34), 30)
                ]
                assert ingest_here(Products(records)).status in ("success", "partial")
        finally:
            stop.set()
            for thread in threads:
                thread.join()
    assert [team.errors for team in teams] == [[], []]
    assert "deadlock" not in caplog.text
    notes = dict(Product.objects.values_list("sku", "note"))
    for team in teams:
        assert team.notes
        assert {sku: notes[sku] for sku in team.notes} == team.notes
    assert [finding for finding in verify() if not finding.is_note] == []
