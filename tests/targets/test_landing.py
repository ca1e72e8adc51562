"""Records land in a team's own model: its own columns are untouched, and each bad record is refused alone."""

from typing import Any

import pytest
from django.db import connection

from etl.reports.verification import verify
from tests.listed_source import Listed, dump_quarantine, dump_raw, fetch, ingest_here
from tests.shop.models import Category, Product, Supplier
from tests.shop.sources import FirstProducts, KnownProducts, Products, make_product, make_products

pytestmark = pytest.mark.django_db(transaction=True)


def list_versions() -> dict[str, int]:
    """Return what PostgreSQL changes with each write of a row."""
    return dict(fetch("SELECT sku, xmin::text::bigint FROM shop_product"))


def list_skus() -> list[str]:
    return [*Product.objects.order_by("sku").values_list("sku", flat=True)]


def list_refused() -> list[tuple[Any, ...]]:
    return [(position, column, code) for position, _, column, code, _, _ in dump_quarantine("products")]


def test_a_new_record_becomes_a_row_with_the_defaults_of_its_model() -> None:
    ingest_here(Products([make_product(1, group="TOOLS", state="N", color="red", margin="0.5"), make_product(2)]))
    first, second = Product.objects.order_by("sku")
    assert (first.attributes, first.status, str(first.margin)) == ({"color": "red"}, "ended", "0.50")
    assert first.category == Category.objects.get(slug="tools")
    assert (second.attributes, second.status, second.category, second.stock, second.note) == ({}, "active", None, 0, "")
    assert first.created_at == first.changed_at == second.created_at
    assert first.reference != second.reference
    assert verify() == []


@pytest.mark.parametrize("size", [7, 100])
def test_the_same_content_again_writes_nothing(size: int, settings: Any) -> None:
    settings.ETL_BATCH_SIZE = size
    source = Products(make_products(20, group="toys"))
    ingest_here(source)
    before = list_versions()
    outcome = ingest_here(source, full=True)
    assert outcome.counters["unchanged"] == 20
    assert list_versions() == before


@pytest.mark.parametrize("size", [7, 100])
def test_only_what_differs_is_written_and_the_teams_columns_stay(size: int, settings: Any) -> None:
    settings.ETL_BATCH_SIZE = size
    ingest_here(Products(make_products(20, margin="0.5")))
    Product.objects.update(note="ours", margin="0.7")
    before = list_versions()
    changed = [make_product(n, margin="0.9", **({"price": "3"} if n == 5 else {})) for n in range(1, 21)]
    ingest_here(Products(changed))
    after = list_versions()
    assert [sku for sku in after if after[sku] != before[sku]] == ["P5"]
    row = Product.objects.get(sku="P5")
    assert (row.note, str(row.margin), str(row.price)) == ("ours", "0.70", "3.00")
    assert row.changed_at > row.created_at
    assert verify() == []


CASES: dict[str, tuple[dict[str, Any], tuple[str, str]]] = {
    "a CHECK": ({"price": "0", "stock": "1"}, ("", "constraint")),
    "a CHECK with a column of the team's": ({"price": "1", "margin": "2"}, ("", "constraint")),
    "another row's unique value": ({"ean": "4000000000001"}, ("", "constraint")),
    "a parent that does not exist": ({"group": "cars"}, ("group", "no_parent")),
    "a text that is too long": ({"name": "x" * 61}, ("name", "too_long")),
    "a third decimal": ({"price": "1.005"}, ("price", "too_precise")),
    "too many digits": ({"price": "1234567"}, ("price", "out_of_range")),
    "a number that its type can't hold": ({"stock": "32768"}, ("stock", "out_of_range")),
    "a negative number": ({"stock": "-1"}, ("stock", "out_of_range")),
    "a word that is no choice": ({"state": "X"}, ("state", "not_a_choice")),
    "a value that a validator refuses": ({"ean": "12"}, ("ean", "not_valid")),
    "a missing value": ({"name": None}, ("name", "missing")),
}


@pytest.mark.usefixtures("first_attempt")
@pytest.mark.parametrize("size", [1, 100])
def test_each_bad_record_is_refused_alone(size: int, settings: Any) -> None:
    settings.ETL_BATCH_SIZE = size
    records = make_products(2 * len(CASES))
    Product.objects.create(supplier=Supplier.objects.get(), sku="T", name="T", price=1, barcode="4000000000001")
    for number, (more, _) in enumerate(CASES.values()):
        records[2 * number + 1] |= more
    outcome = ingest_here(Products(records))
    assert list_refused() == [(2 * number + 2, *place) for number, (_, place) in enumerate(CASES.values())]
    assert (outcome.counters["new"], outcome.counters["quarantined"]) == (len(CASES), len(CASES))
    assert len(list_skus()) == len(CASES) + 1
    assert len(dump_raw("products")) == len(CASES)
    assert verify() == []


@pytest.mark.usefixtures("first_attempt")
@pytest.mark.parametrize("size", [1, 100])
def test_of_two_records_with_an_id_the_first_that_the_target_takes_counts(size: int, settings: Any) -> None:
    settings.ETL_BATCH_SIZE = size
    bad, good, late = make_product(1, group="cars"), make_product(1, price="2"), make_product(1, price="3")
    outcome = ingest_here(Products([bad, make_product(2), good, late]))
    assert [str(row.price) for row in Product.objects.order_by("sku")] == ["2.00", "1.50"]
    counters = outcome.counters
    assert (counters["new"], counters["duplicate"], counters["quarantined"]) == (2, 1, 1)
    assert [row[5] for row in dump_quarantine("products")] == ["landed"]
    assert verify() == []


def test_a_refused_change_leaves_the_row_and_its_version_as_they_were() -> None:
    ingest_here(Products(make_products(3)))
    ingest_here(Products([make_product(1), make_product(2, price="0", stock="1"), make_product(3, price="9")]))
    assert [str(price) for price in Product.objects.order_by("sku").values_list("price", flat=True)] == [
        *("1.50", "1.50", "9.00"),
    ]
    assert len(dump_raw("products")) == 4
    assert verify() == []


def test_a_refused_record_lands_by_a_later_read_and_is_settled() -> None:
    ingest_here(Products([make_product(1, group="cars"), make_product(2)]))
    Category.objects.create(slug="cars")
    ingest_here(Products([make_product(1, group="cars"), make_product(2)]), full=True)
    assert list_skus() == ["P1", "P2"]
    assert [row[5] for row in dump_quarantine("products")] == ["landed"]


@pytest.mark.usefixtures("first_attempt")
def test_a_row_that_was_there_before_is_adopted_and_written_only_if_it_differs() -> None:
    supplier = Supplier.objects.get()
    for number, price in ((1, "1.50"), (2, "7.00")):
        Product.objects.create(supplier=supplier, sku=f"P{number}", name=f"Thing {number}", price=price, note="ours")
    before = list_versions()
    outcome = ingest_here(Products(make_products(3)))
    after = list_versions()
    assert outcome.counters["new"] == 3
    assert (after["P1"] == before["P1"], after["P2"] == before["P2"]) == (True, False)
    rows = [(f"{row.price}", row.note) for row in Product.objects.order_by("sku")]
    assert rows == [("1.50", "ours"), ("1.50", "ours"), ("1.50", "")]
    assert verify() == []


def test_conflicts_are_provided_for_only_after_a_batch_that_had_some(settings: Any) -> None:
    settings.ETL_BATCH_SIZE = 2
    Product.objects.create(supplier=Supplier.objects.get(), sku="P2", name="Thing 2", price=1)
    attempts: list[bool] = []

    def note(execute: Any, sql: str, *more: Any) -> Any:
        if f'INSERT INTO "{Product._meta.db_table}"' in sql:
            attempts.append("ON CONFLICT" in sql)
        return execute(sql, *more)

    with connection.execute_wrapper(note):
        ingest_here(Products(make_products(6)))
    assert attempts == [False, True, True, False]
    assert len(list_skus()) == 6


def test_a_parent_that_is_the_teams_stays_and_a_new_row_gets_one() -> None:
    ingest_here(FirstProducts([make_product(1, group="toys")]))
    Product.objects.update(category=Category.objects.get(slug="tools"))
    ingest_here(FirstProducts([make_product(1, price="9", group="toys"), make_product(2, group="toys")]))
    rows = Product.objects.order_by("sku").values_list("sku", "category__slug", "price")
    assert [(sku, slug, str(price)) for sku, slug, price in rows] == [("P1", "tools", "9.00"), ("P2", "toys", "1.50")]


@pytest.mark.parametrize("group", ["toys", "unknown"])
def test_a_parent_that_is_the_teams_is_judged_as_the_row_has_it(group: str) -> None:
    ingest_here(FirstProducts([make_product(1, group="tools")]))
    tools = Category.objects.get(slug="tools").pk
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE shop_product ADD CONSTRAINT only_tools CHECK (coalesce(category_id, 0) = {tools})")
    try:
        outcome = ingest_here(FirstProducts([make_product(1, price="9", group=group), make_product(2, group="toys")]))
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE shop_product DROP CONSTRAINT only_tools")
    assert (outcome.counters["updated"], outcome.counters["quarantined"]) == (1, 1)
    assert [(row.sku, row.category_id, str(row.price)) for row in Product.objects.all()] == [("P1", tools, "9.00")]


def test_a_row_that_the_team_deleted_stays_deleted() -> None:
    ingest_here(Products(make_products(3)))
    Product.objects.filter(sku="P2").delete()
    outcome = ingest_here(Products(make_products(3, price="2")))
    assert outcome.counters["updated"] == 3
    assert list_skus() == ["P1", "P3"]
    assert [(finding.is_note, "detached" in finding.message) for finding in verify()] == [(True, True)]


def test_a_source_that_creates_nothing_changes_the_rows_that_exist() -> None:
    Product.objects.create(supplier=Supplier.objects.get(), sku="P1", name="Old", price="9")
    outcome = ingest_here(KnownProducts(make_products(2)))
    assert (outcome.counters["new"], outcome.counters["quarantined"]) == (1, 1)
    assert [row[3] for row in dump_quarantine("known_products")] == ["no_row"]
    assert Product.objects.get().name == "Thing 1"


def test_a_model_that_has_changed_fails_the_run_before_its_first_batch() -> None:
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE shop_product RENAME note TO remark")
    try:
        outcome = ingest_here(Products(make_products(3)))
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE shop_product RENAME remark TO note")
    assert (outcome.reason, "note" in outcome.message) == ("target_changed", True)
    assert list_skus() == []


@pytest.mark.usefixtures("first_attempt")
def test_a_trigger_that_refuses_one_row_refuses_its_record() -> None:
    with refusing_trigger("NEW.sku = 'P7'"):
        ingest_here(Products(make_products(20)))
    assert list_refused() == [(7, "", "constraint")]
    assert len(list_skus()) == 19


def test_a_trigger_that_refuses_everything_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("etl.storage.target_rows.MOST_SAVEPOINTS", 20)
    with refusing_trigger("true"):
        outcome = ingest_here(Products(make_products(40)))
    assert (outcome.reason, "not today" in outcome.message) == ("target_refuses", True)
    assert (dump_raw("products"), dump_quarantine("products")) == ([], [])


class refusing_trigger:  # noqa: N801  (reads as a word in a with statement)
    """A trigger of the team's that raises an exception."""

    def __init__(self, condition: str) -> None:
        self.condition = condition

    def __enter__(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute(
                "CREATE FUNCTION shop_refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
                f" IF {self.condition} THEN RAISE EXCEPTION 'not today'; END IF; RETURN NEW; END $$"
            )
            cursor.execute(
                "CREATE TRIGGER shop_refuse BEFORE INSERT OR UPDATE ON shop_product FOR EACH ROW"
                " EXECUTE FUNCTION shop_refuse()"
            )

    def __exit__(self, *details: object) -> None:
        with connection.cursor() as cursor:
            cursor.execute("DROP FUNCTION shop_refuse CASCADE")


class FormerProducts(Listed):
    """The source before it had a target of its own."""

    name = "products"


def test_a_source_that_gets_a_target_writes_all_its_records_again() -> None:
    ingest_here(FormerProducts(make_products(3)))
    outcome = ingest_here(Products(make_products(3)))
    assert outcome.counters["updated"] == 3
    assert len(list_skus()) == len(dump_raw("products")) == 3
    assert fetch("SELECT DISTINCT target, value FROM unified_records") == [("shop.Product", None)]
    assert verify() == []
