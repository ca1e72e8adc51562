"""`preview --diff` says what a run would change, by the code of the run, and leaves nothing."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from etl.dry_run import KINDS, Difference, find_difference
from etl.models import UnifiedRecord
from etl.readers.source import Source
from tests.listed_source import Listed, TimedListed, fetch, ingest_here, make_item
from tests.shop.models import Category, OrderLine, Product, Supplier
from tests.shop.sources import (
    HEADER,
    DeletingProducts,
    EndingProducts,
    KeepingProducts,
    KnownProducts,
    Products,
    ProductsFile,
    make_line,
    make_product,
    make_products,
)

pytestmark = pytest.mark.django_db(transaction=True)


def look(source: Source, most: int = 10) -> Difference:
    return find_difference(source, most)


def count(found: Difference) -> dict[str, int]:
    return {kind: found.counts[kind] for kind in KINDS if found.counts[kind]}


def list_changes(found: Difference, kind: str) -> list[Any]:
    return [
        (each.external_id, {change.field: (change.before, change.after) for change in each.changes})
        for each in found.examples.get(kind, [])
    ]


def adopt(number: int, **more: Any) -> Product:
    given: dict[str, Any] = {"name": f"Thing {number}", "price": "1.50", "supplier": Supplier.objects.get(), **more}
    return Product.objects.create(sku=f"P{number}", **given)


@pytest.mark.parametrize("size", [1, 100])
def test_each_record_is_what_a_run_would_make_of_it(size: int, settings: Any) -> None:
    settings.ETL_BATCH_SIZE = size
    ingest_here(Products(make_products(4)))
    Product.objects.filter(sku="P4").delete()
    adopt(5)
    adopt(6, price="9", stock=3)
    source = Products(
        [
            *(
                make_product(1),
                make_product(2, price="2.5", group="TOOLS"),
                make_product(3),
                make_product(4, price="3"),
            ),
            *(make_product(5), make_product(6), make_product(7, margin="0.5"), make_product(8, group="cars")),
            *(make_product(9, price="0", stock="1"), make_product(10, price="x"), make_product(7, price="8")),
        ]
    )
    found = look(source)
    assert count(found) == {"created": 1, "changed": 1, "adopted": 2, "left": 2, "detached": 1}
    assert (found.seen, found.duplicates, found.quarantined) == (11, 1, 3)
    assert list_changes(found, "changed") == [("P2", {"price": ("1.50", "2.50"), "category": (None, "tools")})]
    assert list_changes(found, "adopted") == [("P5", {}), ("P6", {"price": ("9.00", "1.50"), "stock": ("3", "0")})]
    (created,) = list_changes(found, "created")
    assert created[1]["margin"] == (None, "0.50")
    refused = [(each.position, each.breach.column, each.breach.code) for each in found.refused]
    assert refused == [(8, "group", "no_parent"), (9, "", "constraint"), (10, "price", "not_a_number")]
    assert "shop_product_price" in found.refused[1].breach.message
    outcome = ingest_here(source)
    assert (outcome.counters["quarantined"], outcome.counters["duplicate"]) == (3, 1)
    assert outcome.counters["new"] == found.counts["created"] + found.counts["adopted"]


def make_cases() -> Iterator[tuple[str, Callable[[], Products], dict[str, int]]]:
    three = make_products(3)
    yield "what is the same", lambda: Products(three), {"left": 3}
    yield "what vanished, and stays", lambda: KeepingProducts(three[:2]), {"left": 2, "removed": 1}
    yield "what vanished, and is ended", lambda: EndingProducts(three[:2]), {"left": 2, "ended": 1}
    yield "what vanished, and is deleted", lambda: DeletingProducts(three[:2]), {"left": 2, "deleted": 1}
    refused = [*three[:2], {**three[2], "price": "x"}]
    yield "what is refused has not vanished", lambda: DeletingProducts(refused), {"left": 2}
    yield "rows that the source may not create", lambda: KnownProducts(make_products(4)), {"adopted": 3}
    twice = [make_product(4, group="cars"), make_product(4), make_product(4)]
    yield "the first of an id that the target takes", lambda: Products([*three, *twice]), {"left": 3, "created": 1}


@pytest.mark.parametrize(("make", "counts"), [pytest.param(*rest, id=name) for name, *rest in make_cases()])
@pytest.mark.parametrize("size", [1, 100])
def test_counts(size: int, make: Callable[[], Products], counts: dict[str, int], settings: Any) -> None:
    settings.ETL_BATCH_SIZE = size
    source = make()
    if isinstance(source, KnownProducts):
        for number in (1, 2, 3):
            adopt(number)
    ingest_here(type(source)([] if isinstance(source, KnownProducts) else make_products(3)))
    assert count(look(source)) == counts


def test_an_ended_row_shows_the_columns_that_would_change() -> None:
    ingest_here(EndingProducts(make_products(2)))
    assert list_changes(look(EndingProducts(make_products(1))), "ended") == [("P2", {"status": ("active", "ended")})]


def test_a_row_that_its_table_does_not_let_go_is_the_reason_why_a_run_would_stop() -> None:
    ingest_here(DeletingProducts(make_products(2)))
    OrderLine.objects.create(product=Product.objects.get(sku="P2"))
    found = look(DeletingProducts(make_products(1)))
    assert found.error is not None
    assert found.error.reason == "target_refuses"


def test_a_gate_keeps_what_vanished() -> None:
    class Careful(DeletingProducts):
        gates = Products.gates.__class__()

    ingest_here(Careful(make_products(10)))
    found = look(Careful(make_products(2)))
    assert [failure.gate for failure in found.verdict] == ["shrunken"]
    assert count(found) == {"left": 2}


def test_what_a_trigger_of_the_table_changes_is_seen() -> None:
    ingest_here(Products(make_products(1)))
    with trigger("NEW.note := 'from a trigger'; RETURN NEW;"):
        found = look(Products([make_product(1, price="2")]))
    assert list_changes(found, "changed") == [("P1", {"price": ("1.50", "2.00"), "note": ("", "from a trigger")})]


@contextmanager
def trigger(body: str) -> Iterator[None]:
    with connection.cursor() as cursor:
        cursor.execute(
            f"CREATE FUNCTION shop_trial() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body} END $$;"
            " CREATE TRIGGER shop_trial BEFORE INSERT OR UPDATE ON shop_product"
            " FOR EACH ROW EXECUTE FUNCTION shop_trial()"
        )
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DROP TRIGGER shop_trial ON shop_product; DROP FUNCTION shop_trial()")


def dump_database() -> dict[str, Any]:
    """Return all rows with what PostgreSQL changes when it writes them, all sequences, and all locks."""
    tables = [name for (name,) in fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1")]
    rows = {name: fetch(f'SELECT ctid::text, xmin::text, t::text FROM "{name}" AS t ORDER BY 1') for name in tables}
    sequences = fetch("SELECT sequencename, last_value FROM pg_sequences ORDER BY 1")
    temporary = fetch("SELECT count(*) FROM pg_class WHERE relpersistence = 't' AND relname LIKE 'etl\\_%%'")
    locks = fetch(
        "SELECT count(*) FROM pg_locks"
        " WHERE locktype IN ('relation', 'tuple', 'transactionid') AND mode NOT LIKE 'AccessShare%%'"
    )
    return {**rows, "sequences": sequences, "temporary": temporary, "locks": locks}


def test_it_leaves_no_row_no_number_of_a_sequence_and_no_lock() -> None:
    ingest_here(DeletingProducts(make_products(4)))
    adopt(9)
    source = DeletingProducts(
        [
            *(make_product(2, price="7"), make_product(3, price="0", stock="1"), make_product(4), make_product(5)),
            *(make_product(6, group="cars"), make_product(9, price="3")),
        ]
    )
    before = dump_database()
    found = look(source)
    assert count(found) == {"created": 1, "changed": 1, "adopted": 1, "left": 1, "deleted": 1}
    assert dump_database() == before


def test_a_source_that_has_never_run_gets_no_checkpoint() -> None:
    look(Products(make_products(2)))
    assert fetch("SELECT count(*) FROM ingestion_checkpoints") == [(0,)]


def test_it_waits_for_nobody_and_keeps_nobody_waiting_once_it_has_ended() -> None:
    ingest_here(Products(make_products(2)))
    look(Products([make_product(1, price="3"), make_product(2, price="4")]))
    edited: list[int] = []

    def edit() -> None:
        try:
            with connection.cursor() as cursor:
                cursor.execute("SET lock_timeout = '1ms'")
            edited.append(Product.objects.update(note="ours"))
        finally:
            connection.close()

    thread = threading.Thread(target=edit)
    thread.start()
    thread.join()
    assert edited == [2]


def test_of_a_plain_source_the_unified_fields_are_compared() -> None:
    class Whole(Listed):
        complete = True

    ingest_here(Whole([make_item(1), make_item(2), make_item(3)]))
    before = dump_database()
    found = look(
        Whole([make_item(1), make_item(2, price="2.50"), make_item(4, name="New\tone"), make_item(5, price="-")])
    )
    assert count(found) == {"created": 1, "changed": 1, "left": 1, "removed": 1}
    assert list_changes(found, "changed") == [("2", {"value": ("1.5", "2.5")})]
    assert list_changes(found, "created") == [("4", {"name": (None, "New\tone"), "value": (None, "1.5")})]
    assert [example.external_id for example in found.examples["removed"]] == ["3"]
    assert dump_database() == before


@pytest.mark.parametrize("size", [1, 100])
def test_of_a_timed_source_the_newest_version_counts_in_every_batch_size(size: int, settings: Any) -> None:
    settings.ETL_BATCH_SIZE = size
    ingest_here(TimedListed([make_item(1, at="2026-01-02T00:00:00Z")]))
    source = TimedListed(
        [
            *(make_item(1, price="3", at="2026-01-03T00:00:00Z"), make_item(1, price="2", at="2026-01-01T00:00:00Z")),
            *(make_item(2, at="2026-01-02T00:00:00Z"), make_item(2, at="2026-01-01T00:00:00Z")),
        ]
    )
    found = look(source)
    outcome = ingest_here(source)
    assert (found.counts["created"], found.counts["changed"], found.duplicates) == (
        *(outcome.counters["new"], outcome.counters["updated"], outcome.counters["duplicate"]),
    )


# --- the command ---
FILE = "tests.shop.sources.ProductsFile"


@pytest.fixture
def file(settings: Any, tmp_path: Path) -> Path:
    settings.ETL_SOURCES = [FILE]
    path = tmp_path / "products.csv"
    settings.SHOP_CSV = str(path)
    return path


def preview(*options: str) -> str:
    output = StringIO()
    call_command("preview", "products_file", "--diff", *options, stdout=output)
    return output.getvalue()


def test_the_command_prints_bounded_examples_and_counts_of_all(file: Path) -> None:
    file.write_text(HEADER + "".join(make_line(number) for number in range(1, 31)) + make_line(31, price="0,001"))
    shown = json.loads(preview("--json", "--limit", "2"))
    assert [record["external_id"] for record in shown["records"]] == ["P1", "P2"]
    assert shown["records"][0]["fields"][1] == {"field": "category", "before": None, "after": "toys"}
    assert {name: number for name, number in shown["counts"].items() if number} == {
        "seen": 31,
        "created": 30,
        "quarantined": 1,
    }
    assert (shown["target"], shown["status"], shown["reason"]) == ("shop.Product", "partial", "records_refused")
    assert [(code["code"], code["records"], code["line"]) for code in shown["codes"]] == [("too_precise", 1, 32)]
    text = preview()
    assert "shop.Product, by supplier, sku: 31 records read: 30 created, 1 refused." in text
    assert "Nothing was written." in text


def test_the_command_says_the_true_cause(file: Path) -> None:
    with pytest.raises(CommandError, match="does not exist"):
        preview()
    file.write_text("Artikelnummer;Bezeichnung\nP1;Ding\n")
    shown = json.loads(preview("--json"))
    assert (shown["status"], shown["reason"], shown["records"]) == ("failed", "columns_missing", [])
    file.write_text(HEADER + make_line(1))
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE shop_category RENAME COLUMN slug TO word")
    try:
        with pytest.raises(CommandError, match="shop_category has no column slug"):
            preview()
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE shop_category RENAME COLUMN word TO slug")


def test_the_plain_preview_shows_the_fields_of_the_model(file: Path) -> None:
    file.write_text(HEADER + make_line(1, price="2,50"))
    output = StringIO()
    call_command("preview", "products_file", "--json", stdout=output)
    (record,) = json.loads(output.getvalue())["records"]
    assert (record["external_id"], record["line"]) == ("P1", 2)
    shown = [record["fields"][name] for name in ("supplier__code", "sku", "price", "category__slug", "attributes")]
    assert shown == ["ACME", "P1", "2.5", "toys", '{"Farbe":"rot"}']
    call_command("preview", "products_file", stdout=output)


def test_a_missing_parent_is_named(file: Path) -> None:
    Supplier.objects.all().delete()
    file.write_text(HEADER + make_line(1))
    (refused,) = json.loads(preview("--json"))["refused"]
    assert (refused["code"], "shop.Supplier has no row with code = 'ACME'" in refused["message"]) == ("no_parent", True)


def test_of_many_files_the_first_that_a_run_would_read_is_shown(file: Path, settings: Any) -> None:
    settings.SHOP_CSV = str(file.parent / "*.csv")
    for number in (1, 2):
        (file.parent / f"{number}.csv").write_text(HEADER + make_line(number))
    assert json.loads(preview("--json"))["file"] == "1.csv"
    ingest_here(ProductsFile())
    assert json.loads(preview("--json"))["counts"]["seen"] == 0
    (file.parent / "2.csv").write_text(HEADER + make_line(2, price="9"))
    shown = json.loads(preview("--json"))
    assert (shown["file"], shown["counts"]["changed"]) == ("2.csv", 1)


def test_the_ledger_is_used_and_not_written(file: Path) -> None:
    file.write_text(HEADER + make_line(1))
    ingest_here(ProductsFile())
    Category.objects.create(slug="new")
    before = [*UnifiedRecord.objects.values()]
    file.write_text(HEADER + make_line(1, group="new"))
    assert json.loads(preview("--json"))["records"][0]["fields"] == [
        {"field": "category", "before": "toys", "after": "new"}
    ]
    assert [*UnifiedRecord.objects.values()] == before
