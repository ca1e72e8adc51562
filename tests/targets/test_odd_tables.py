"""Tables with odd triggers, defaults, types and CHECKs: nothing is lost, dropped or refused without a reason."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connection, connections

from etl.reports.verification import verify
from etl.signals import batch_landed
from etl.sources import Into, constant, parent
from etl.storage import target_rows
from tests.listed_source import Listed, dump_quarantine, fetch, ingest_here, make_item
from tests.shop.models import Category, Product, Supplier, Thing
from tests.shop.sources import CompleteThings, Products, Things, make_product, make_products

pytestmark = pytest.mark.django_db(transaction=True)

Change = tuple[str, str]
"""A statement that changes a table, and the one that undoes it."""

CITEXT = ("CREATE EXTENSION citext", "DROP EXTENSION citext CASCADE")


def make_citext(column: str) -> Change:
    change = f"ALTER TABLE shop_thing ALTER {column} TYPE"
    return f"{change} citext", f"{change} varchar(60)"


def make_trigger(body: str, event: str) -> Change:
    function = f"CREATE FUNCTION shop_odd() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body} END $$"
    trigger = f"CREATE TRIGGER shop_odd BEFORE {event} ON shop_thing FOR EACH ROW EXECUTE FUNCTION shop_odd()"
    return f"{function}; {trigger}", "DROP FUNCTION shop_odd CASCADE"


@contextmanager
def altered(*changes: Change) -> Iterator[None]:
    for change, _ in changes:
        execute(change)
    try:
        yield
    finally:
        connections.close_all()  # a temporary table may have a column of a type that goes
        for _, undoing in reversed(changes):
            execute(undoing)


def execute(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)


def list_things(*columns: str) -> list[Any]:
    return [*Thing.objects.order_by("key").values_list(*columns, flat=len(columns) == 1)]


def list_codes(source: str = "listed") -> list[tuple[Any, ...]]:
    return [(position, code) for position, _, _, code, _, _ in dump_quarantine(source)]


class WholeCategories(Listed):
    """It owns every column of its model, the primary key too."""

    into = Into(Category, key="slug", owns={"id": "number", "slug": "id"})


def list_categories() -> list[Any]:
    return [*Category.objects.order_by("pk").values_list("pk", "slug")]


def test_a_source_may_own_every_column() -> None:
    Category.objects.all().delete()
    Category.objects.create(pk=7, slug="c")
    ingest_here(WholeCategories([{"id": "a", "number": "1"}, {"id": "b", "number": "2"}]))
    outcome = ingest_here(WholeCategories([{"id": "a", "number": "1"}, {"id": "c", "number": "7"}]))
    assert (outcome.status, outcome.counters["new"]) == ("success", 1)
    assert list_categories() == [(1, "a"), (2, "b"), (7, "c")]
    assert verify() == []


@pytest.mark.parametrize("number", ["2", "3"])
def test_a_row_never_gets_another_primary_key(number: str) -> None:
    Category.objects.all().delete()
    ingest_here(WholeCategories([{"id": "a", "number": "1"}, {"id": "b", "number": "2"}]))
    outcome = ingest_here(WholeCategories([{"id": "a", "number": number}, {"id": "b", "number": "2"}]))
    assert (outcome.status, list_codes()) == ("partial", [(1, "constraint")])
    assert list_categories() == [(1, "a"), (2, "b")]


def test_another_spelling_that_the_type_calls_equal_is_a_change() -> None:
    with altered(CITEXT, make_citext("name")):
        ingest_here(Things([make_item(1, name="bolt")]))
        outcome = ingest_here(Things([make_item(1, name="BOLT")]))
        assert (outcome.counters["updated"], list_things("name")) == (1, ["BOLT"])


def test_two_records_of_a_batch_never_share_a_row() -> None:
    with altered(CITEXT, make_citext("key")):
        outcome = ingest_here(Things([make_item("a1", name="bolt"), make_item("A1", name="nut")]))
        assert (outcome.counters["new"], list_codes()) == (1, [(2, "constraint")])
        assert list_things("key", "name") == [("a1", "bolt")]
        assert verify() == []


def test_a_record_whose_id_is_spelled_otherwise_keeps_its_row() -> None:
    """The new id takes the row, and the old one vanishes without it."""
    with altered(CITEXT, make_citext("key")):
        ingest_here(CompleteThings([make_item("a1", name="bolt"), make_item("a2")]))
        outcome = ingest_here(CompleteThings([make_item("A1", name="bolt"), make_item("a2")]))
        assert (outcome.counters["new"], outcome.counters["removed"]) == (1, 1)
        assert list_things("key") == ["A1", "a2"]
        assert verify() == []


def test_a_change_that_a_trigger_drops_is_refused() -> None:
    ingest_here(Things([make_item(n, name="old") for n in (1, 2)]))
    with altered(make_trigger("IF NEW.key = '1' THEN RETURN NULL; END IF; RETURN NEW;", "UPDATE")):
        outcome = ingest_here(Things([make_item(n, name="new") for n in (1, 2)]))
    assert (outcome.counters["updated"], list_codes()) == (1, [(1, "constraint")])
    assert list_things("name") == ["old", "new"]
    assert fetch("SELECT message FROM etl_quarantine") == [
        ("shop.Thing did not store its change: a trigger dropped it",)
    ]


def test_a_change_to_which_a_trigger_adds_lands() -> None:
    ingest_here(Things([make_item(n, name="old") for n in (1, 2)]))
    with altered(make_trigger("NEW.note := 'seen'; RETURN NEW;", "UPDATE")):
        outcome = ingest_here(Things([make_item(1, name="new"), make_item(2, name="old")]))
    assert (outcome.counters["updated"], list_codes()) == (1, [])
    assert list_things("name", "note") == [("new", "seen"), ("old", "")]


CHECKS: dict[str, Sequence[Change]] = {
    "of a column that the database fills": [
        (
            "ALTER TABLE shop_thing ADD COLUMN region text DEFAULT 'EU'",
            "ALTER TABLE shop_thing DROP COLUMN region",
        ),
        (
            "ALTER TABLE shop_thing ADD CONSTRAINT odd CHECK (region IS NOT NULL AND price > 0)",
            "ALTER TABLE shop_thing DROP CONSTRAINT odd",
        ),
    ],
    "of a whole row": [
        (
            "CREATE FUNCTION shop_odd(shop_thing) RETURNS boolean IMMUTABLE LANGUAGE sql AS $$ SELECT $1.price > 0 $$",
            "DROP FUNCTION shop_odd CASCADE",
        ),
        ("ALTER TABLE shop_thing ADD CONSTRAINT odd CHECK (shop_odd(shop_thing))", "SELECT"),
    ],
    "of a text with a collation": [
        (
            'ALTER TABLE shop_thing ALTER name TYPE varchar(60) COLLATE "C"',
            'ALTER TABLE shop_thing ALTER name TYPE varchar(60) COLLATE "default"',
        ),
        (
            "ALTER TABLE shop_thing ADD CONSTRAINT odd CHECK (name = lower(name))",
            "ALTER TABLE shop_thing DROP CONSTRAINT odd",
        ),
        ("ALTER TABLE shop_thing ADD CONSTRAINT even CHECK (price > 0)", "ALTER TABLE shop_thing DROP CONSTRAINT even"),
    ],
}


@pytest.mark.parametrize("changes", CHECKS.values(), ids=CHECKS)
def test_a_check_refuses_what_the_table_refuses_and_nothing_else(changes: Sequence[Change]) -> None:
    records = [make_item(1, name="Ä"), make_item(2, name="Ä", price="-1"), make_item(3, name="Ä")]
    with altered(*changes):
        for _ in range(2):  # new rows, then rows that exist
            outcome = ingest_here(Things(records), full=True)
            assert (outcome.status, list_things("key")) == ("partial", ["1", "3"])
            records = [{**record, "name": "Ö"} for record in records]
        assert {code for _, code in list_codes()} == {"constraint"}


MENDING = make_trigger(
    "IF NEW.name = 'dropped' THEN RETURN NULL; END IF;"
    " IF NEW.name <> 'broken' THEN NEW.price := abs(NEW.price); END IF; RETURN NEW;",
    "INSERT OR UPDATE",
)
NOT_NEGATIVE = (
    "ALTER TABLE shop_thing ADD CONSTRAINT odd CHECK (price >= 0)",
    "ALTER TABLE shop_thing DROP CONSTRAINT odd",
)


@pytest.mark.parametrize("rows_are", ["new", "landed", "adopted"])
def test_a_trigger_may_mend_a_row_that_breaks_a_check(rows_are: str) -> None:
    names = ["mended", "broken", "fine", "dropped"]
    if rows_are == "landed":
        ingest_here(Things([make_item(n, name="old", price="9") for n in range(4)]))
    elif rows_are == "adopted":
        Thing.objects.bulk_create(Thing(key=str(n), name="old", price=9) for n in range(4))
    with altered(NOT_NEGATIVE, MENDING):
        outcome = ingest_here(Things([make_item(n, name=name, price=str(-1 - n)) for n, name in enumerate(names)]))
        assert (outcome.status, list_codes()) == ("partial", [(2, "constraint"), (4, "constraint")])
        refused = [] if rows_are == "new" else [("1", 9), ("3", 9)]
        assert list_things("key", "price") == sorted([("0", 1), ("2", 3), *refused])
        assert verify() == []


def test_more_broken_rows_than_may_be_tried_stay_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(target_rows, "MOST_SAVEPOINTS", 8)
    with altered(NOT_NEGATIVE, MENDING):
        outcome = ingest_here(Things([make_item(n, name="broken", price="-1") for n in range(12)]))
    assert (outcome.status, outcome.counters["quarantined"]) == ("partial", 12)


ID = "ALTER TABLE shop_thing ALTER id"
KEYS: dict[str, Change] = {
    "a sequence that the column does not own": (
        f"CREATE SEQUENCE shop_shared START 5000; {ID} DROP IDENTITY; {ID} SET DEFAULT nextval('shop_shared')",
        f"{ID} DROP DEFAULT; DROP SEQUENCE shop_shared; {ID} ADD GENERATED BY DEFAULT AS IDENTITY (START 9000)",
    ),
    "an identity that is always generated": (f"{ID} SET GENERATED ALWAYS", f"{ID} SET GENERATED BY DEFAULT"),
}


@pytest.mark.parametrize("change", KEYS.values(), ids=KEYS)
def test_the_database_draws_the_keys(change: Change) -> None:
    with altered(change):
        ingest_here(Things([make_item(n) for n in (1, 2)]))
        outcome = ingest_here(Things([make_item(n) for n in (1, 2, 3)]))
        assert (outcome.status, list_things("key")) == ("success", ["1", "2", "3"])
        assert verify() == []


def test_a_value_moves_from_row_to_row_within_a_batch() -> None:
    """In a batch a row may take what another one gives up, but two rows can't swap."""
    codes = [f"400000000000{n}" for n in range(5)]
    ingest_here(Products([make_product(n, ean=codes[n]) for n in (1, 2, 3)]))
    moved = [make_product(1, ean=codes[2]), make_product(2, ean=codes[3]), make_product(3, ean=codes[4])]
    assert ingest_here(Products(moved)).counters["updated"] == 3
    assert [*Product.objects.order_by("sku").values_list("barcode", flat=True)] == codes[2:]
    swapped = [make_product(1, ean=codes[3]), make_product(2, ean=codes[2]), make_product(3, ean=codes[1])]
    assert ingest_here(Products(swapped)).counters["updated"] == 1
    assert list_codes("products") == [(1, "constraint"), (2, "constraint")]


def test_a_new_row_that_another_keeps_out_stays_refused_beside_an_adopted_one() -> None:
    deferrable = (
        "ALTER TABLE shop_product ADD CONSTRAINT odd UNIQUE (name) DEFERRABLE",
        "ALTER TABLE shop_product DROP CONSTRAINT odd",
    )
    supplier = Supplier.objects.get()
    for sku in ("P1", "T9"):
        Product.objects.create(supplier=supplier, sku=sku, name=f"Name of {sku}", price=1)
    with altered(deferrable):
        outcome = ingest_here(Products([make_product(1, name="Adopted"), make_product(2, name="Name of T9")]))
    assert (outcome.counters["new"], list_codes("products")) == (1, [(2, "constraint")])
    assert [*Product.objects.order_by("sku").values_list("name", flat=True)] == ["Adopted", "Name of T9"]
    assert verify() == []


def test_a_row_that_the_team_created_again_is_the_records_again() -> None:
    ingest_here(Products(make_products(2)))
    Product.objects.filter(sku="P1").delete()
    Product.objects.create(supplier=Supplier.objects.get(), sku="P1", name="Again", price="9", note="ours")
    ingest_here(Products(make_products(2, price="3")))
    again = Product.objects.get(sku="P1")
    assert (again.name, str(again.price), again.note) == ("Thing 1", "3.00", "ours")
    assert verify() == []


def test_a_row_that_the_team_deleted_is_not_announced() -> None:
    announced: list[Sequence[str]] = []

    def note(keys: Sequence[str], **_: Any) -> None:
        announced.append(keys)

    ingest_here(Products(make_products(2)))
    kept = Product.objects.get(sku="P2")
    Product.objects.filter(sku="P1").delete()
    batch_landed.connect(note)
    try:
        ingest_here(Products(make_products(2, price="3")))
    finally:
        batch_landed.disconnect(note)
    assert announced == [[str(kept.pk)]]


class PlacedProducts(Listed):
    """Its category is in a field whose name has a line break."""

    name = "placed_products"
    into = Into(
        Product,
        key=("supplier", "sku"),
        owns={
            "supplier": parent(Supplier, code=constant("ACME")),
            "sku": "id",
            "name": "name",
            "price": "price",
            "category": parent(Category, slug="product\ngroup"),
        },
    )


def test_the_place_of_a_missing_parent_is_the_whole_name_of_its_field() -> None:
    ingest_here(PlacedProducts([{**make_product(1), "product\ngroup": "cars"}]))
    ((_, _, column, code, *_),) = dump_quarantine("placed_products")
    assert (column, code) == ("product\ngroup", "no_parent")
