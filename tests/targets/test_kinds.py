"""Tables of cases: each kind of field, of constraint and of change of a model, and what becomes of a record there."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from django.contrib.postgres.fields import ArrayField, HStoreField
from django.db import connection, transaction
from django.db.transaction import atomic

from etl.readers.into import Owned
from etl.reports.verification import verify
from etl.signals import batch_landed
from etl.sources import Into, lower, parent, rest
from etl.storage import target_defaults
from etl.storage.driver import copy_in
from tests.listed_source import Listed, fetch, ingest_here, make_item
from tests.shop.models import Category, Guarded, Sample, Supplier, Thing
from tests.shop.sources import Things

pytestmark = pytest.mark.django_db(transaction=True)


def send(values: Mapping[str, Any]) -> dict[str, Any]:
    """A record as a reader gives it: its numbers are texts."""
    return {
        name: str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value
        for name, value in values.items()
    }


THEIRS = ("their_", "of_database", "generated")
OWN = [field.name for field in Sample._meta.concrete_fields if not field.name.startswith(THEIRS)]


class Samples(Listed):
    name = "samples"
    into = Into(Sample, key="number", owns={name: name for name in OWN})


LANDS: list[tuple[str, Any, Any]] = [
    ("text", "abcde", "abcde"),
    ("text", "a\tb\\", "a\tb\\"),
    ("text", None, ""),
    ("optional_text", None, None),
    ("long_text", "x" * 10_000, "x" * 10_000),
    ("slug", "a-b_1", "a-b_1"),
    ("email", "ann@example.org", "ann@example.org"),
    ("url", "https://example.org/a?b=c", "https://example.org/a?b=c"),
    ("small", -32768, -32768),
    ("whole", 2147483647, 2147483647),
    ("big", -9223372036854775808, -9223372036854775808),
    ("small_positive", 32767, 32767),
    ("positive", 0, 0),
    ("big_positive", 9223372036854775807, 9223372036854775807),
    ("amount", 9999.99, Decimal("9999.99")),
    ("amount", "-1.5", Decimal("-1.50")),
    ("amount", None, None),
    ("ratio", 1.25, 1.25),
    ("flag", True, True),
    ("flag", False, False),
    ("day", "2024-02-29", date(2024, 2, 29)),
    ("moment", "2024-05-01T10:00:00+02:00", datetime(2024, 5, 1, 8, tzinfo=UTC)),
    ("identity", "a8098c1a-f86e-11da-bd1a-00112444be1e", UUID("a8098c1a-f86e-11da-bd1a-00112444be1e")),
    ("address", "::1", "::1"),
    ("payload", {"a": [1, None, "x"]}, {"a": [1, None, "x"]}),
    ("payload", [], []),
    ("letter", "b", "b"),
    ("rank", 2, 2),
    ("rank", None, None),
]
REFUSED: list[tuple[str, Any, str]] = [
    ("text", "abcdef", "too_long"),
    ("text", "no", "constraint"),
    ("text", ["a"], "not_text"),
    ("long_text", "a\x00", "nul_character"),
    ("slug", "a b", "not_valid"),
    ("email", "ann", "not_valid"),
    ("url", "example", "not_valid"),
    ("small", 32768, "out_of_range"),
    ("whole", 1.5, "not_an_integer"),
    ("whole", True, "not_an_integer"),
    ("big", 9223372036854775808, "out_of_range"),
    ("small_positive", -1, "out_of_range"),
    ("positive", 2147483648, "out_of_range"),
    ("big_positive", -1, "out_of_range"),
    ("amount", 10000, "out_of_range"),
    ("amount", "1.005", "too_precise"),
    ("ratio", "x", "not_a_number"),
    ("ratio", 1e300, "out_of_range"),
    ("flag", "perhaps", "not_a_boolean"),
    ("day", "2023-02-29", "out_of_range"),
    ("moment", "2024-05-01", "not_a_time"),
    ("identity", "a8098c1a", "not_a_uuid"),
    ("address", "10.0.0.256", "not_valid"),
    ("address", "fe80::1%eth0", "not_valid"),
    ("letter", "A", "not_a_choice"),
    ("rank", 3, "not_a_choice"),
]


@pytest.mark.parametrize("size", [7, 1000])
def test_each_kind_of_field_takes_what_it_can_hold_and_nothing_else(size: int, settings: Any) -> None:
    settings.ETL_BATCH_SIZE = size
    cases: list[tuple[str, Any, Any]] = [*LANDS, *REFUSED]
    ingest_here(Samples([send({"number": f"n{n}", name: value}) for n, (name, value, _) in enumerate(cases)]))
    rows = {row.number: row for row in Sample.objects.all()}
    refused = dict(fetch("SELECT position - 1, code FROM etl_quarantine"))
    found = [
        (name, value, refused[n] if n in refused else getattr(rows[f"n{n}"], name))
        for n, (name, value, _) in enumerate(cases)
    ]
    assert [(*left, right) for left, right in zip(found, cases, strict=True) if left != right] == []
    assert verify() == []


class LoweredThings(Listed):
    name = "lowered_things"
    into = Into(Thing, key="key", owns={"key": "id", "name": lower("name"), "price": "price"})


def test_a_text_that_is_too_long_in_lower_case_is_refused() -> None:
    ingest_here(LoweredThings([make_item(1, name="NUT"), make_item(2, name="İ" * 60)]))
    assert [*Thing.objects.values_list("key", "name")] == [("1", "nut")]
    assert fetch("SELECT position, column_name, code FROM etl_quarantine") == [(2, "name", "too_long")]


def test_the_siblings_of_a_path_are_in_the_rest() -> None:
    owns: dict[str, Owned] = {"number": "id", "text": "product.title", "payload": rest()}
    kind = type("Nested", (Listed,), {"into": Into(Sample, key="number", owns=owns)})
    ingest_here(kind([{"id": "1", "product": {"title": "Bolt", "weight": "3"}, "x": "y"}]))
    assert Sample.objects.get().payload == {"product": {"weight": "3"}, "x": "y"}


# --- two sources of one table -----------------------------------------------------------------------


class PricesOfThings(Listed):
    name = "prices_of_things"
    into = Into(Thing, key="key", owns={"key": "id", "price": "price"}, creates=False)


def test_two_sources_may_own_different_columns_of_one_row_but_two_records_of_one_source_may_not() -> None:
    ingest_here(Things([make_item(1), make_item(2)]))
    ingest_here(PricesOfThings([make_item(1, price=5), make_item(2)]))
    assert verify() == []
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE unified_records SET target_key = (SELECT min(id) FROM shop_thing) WHERE source = 'listed'"
        )
    text = "listed: 1 rows of shop.Thing that more than one record of the source has"
    assert [finding.message for finding in verify()] == [text]


def test_a_new_row_has_in_the_teams_columns_what_the_model_gives_them() -> None:
    ingest_here(Samples([{"number": "landed"}]))
    Sample.objects.create(number="created")
    landed, created = Sample.objects.order_by("-number")
    names = [field.name for field in Sample._meta.concrete_fields if field.name != "number"]
    assert {name: getattr(landed, name) for name in names} == {name: getattr(created, name) for name in names}


# --- constraints ------------------------------------------------------------------------------------


class Guards(Listed):
    name = "guards"
    into = Into(
        Guarded,
        key="serial",
        owns={
            "supplier": parent(Supplier, code="supplier"),
            **{name: name for name in ("serial", "code", "row", "column", "main", "is_main", "place", "low", "high")},
            "amount": "amount",
        },
    )


BROKEN: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "unique": ({"code": 1}, {"code": 1}, "shop_guarded_code_"),
    "unique together": ({"row": 1, "column": 1}, {"row": 1, "column": 1}, "shop_guarded_row_column_"),
    "conditional unique": ({"main": 1, "is_main": True}, {"main": 1, "is_main": True}, "shop_guarded_main"),
    "deferrable unique": ({"place": 1}, {"place": 1}, "shop_guarded_place"),
    "unique expression": ({"code": 7, "amount": 3}, {"code": 8, "amount": 2}, "shop_guarded_expression"),
    "exclusion": ({"low": 1, "high": 5}, {"low": 4, "high": 9}, "shop_guarded_span"),
    "check": ({}, {"amount": -1}, "shop_guarded_amount"),
    "range of an exclusion": ({}, {"low": 9, "high": 1}, "range lower bound must be less than or equal"),
    "foreign key": ({"supplier": "ACME"}, {"supplier": "NONE"}, "shop.Supplier has no row with code = 'NONE'"),
    "trigger": ({}, {"row": 666}, "not today"),
    "trigger with a code of its own": ({}, {"row": 667}, "not ever"),
    "trigger that drops the row": ({}, {"row": 668}, "shop.Guarded did not store its row"),
}
ALLOWED: list[dict[str, Any]] = [{"main": 1}, {"main": 1}, {"row": 1, "column": 2}, {"low": 5, "high": 9}, {}]

TRIGGER = """
    CREATE FUNCTION shop_guard() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF NEW.row = 666 THEN RAISE EXCEPTION 'not today'; END IF;
        IF NEW.row = 667 THEN RAISE EXCEPTION 'not ever' USING ERRCODE = 'SH001'; END IF;
        IF NEW.row = 668 THEN RETURN NULL; END IF;
        RETURN NEW;
    END $$;
    CREATE TRIGGER shop_guard BEFORE INSERT ON shop_guarded FOR EACH ROW EXECUTE FUNCTION shop_guard()
"""


HSTORE = {"a": 'é "\\\t=>,', "": None, "NULL": ""}


@pytest.mark.parametrize(
    ("field", "given", "read"),
    [
        (HStoreField(), HSTORE, "hstore"),
        (HStoreField(), {}, "hstore"),
        (ArrayField(HStoreField()), [HSTORE, {}, None], "hstore[]"),
    ],
    ids=["pairs", "empty", "array"],
)
def test_a_default_of_pairs_is_what_the_model_says(field: Any, given: Any, read: str) -> None:
    with atomic(), connection.cursor() as cursor:
        cursor.execute("CREATE EXTENSION hstore")
        cursor.execute(f"CREATE TEMPORARY TABLE pairs (stored {read})")
        copy_in(cursor, "COPY pairs FROM STDIN", [f"{target_defaults._format(field, given)}\n".encode()])
        is_array = isinstance(given, list)
        cursor.execute(f"SELECT {'array_to_json(stored::json[])' if is_array else 'stored::json'} FROM pairs")
        assert cursor.fetchone() == (given,)
        transaction.set_rollback(True)


@contextmanager
def changed(change: str, undo: str) -> Iterator[None]:
    with connection.cursor() as cursor:
        cursor.execute(change)
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute(undo)


@pytest.mark.usefixtures("first_attempt")
@pytest.mark.parametrize("size", [1, 1000])
@pytest.mark.parametrize("is_stored", [False, True], ids=["new", "stored"])
def test_each_kind_of_constraint_refuses_one_record_by_its_name(is_stored: bool, size: int, settings: Any) -> None:
    """`stored`: the good row of each pair is in the table before."""
    settings.ETL_BATCH_SIZE = size
    goods = [send({"serial": f"a{n:02d}", **good}) for n, (good, _, _) in enumerate(BROKEN.values())]
    bads = [send({"serial": f"b{n:02d}", **bad}) for n, (_, bad, _) in enumerate(BROKEN.values())]
    others = [send({"serial": f"c{n:02d}", **allowed}) for n, allowed in enumerate(ALLOWED)]
    with changed(TRIGGER, "DROP FUNCTION shop_guard CASCADE"):
        if is_stored:
            ingest_here(Guards(goods))
        ingest_here(Guards([*goods, *bads, *others]))
    messages = dict(fetch("SELECT external_id, message FROM etl_quarantine"))
    found = {
        case: messages.get(f"b{n:02d}", "landed") if names not in messages.get(f"b{n:02d}", "") else names
        for n, (case, (_, _, names)) in enumerate(BROKEN.items())
    }
    assert found == {case: names for case, (_, _, names) in BROKEN.items()}
    assert len(messages) == len(BROKEN)
    assert Guarded.objects.count() == len(goods) + len(others)
    assert verify() == []


def test_a_trigger_whose_own_code_is_broken_ends_the_run() -> None:
    trigger = TRIGGER.replace("NEW.row = 668", "NEW.no_such_column = 1")
    with changed(trigger, "DROP FUNCTION shop_guard CASCADE"):
        outcome = ingest_here(Guards([{"serial": "a"}, {"serial": "b"}]))
    assert (outcome.reason, "no_such_column" in outcome.message) == ("target_refuses", True)


# --- parents ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("missing", "group", "expected"),
    [
        ("refuse", "toys", "toys"),
        ("refuse", "cars", "no_parent"),
        ("refuse", None, None),
        ("null", "toys", "toys"),
        ("null", "cars", None),
        ("null", None, None),
    ],
)
def test_a_record_has_its_parent_or_what_its_source_says(missing: Any, group: str | None, expected: str | None) -> None:
    owns: dict[str, Any] = {"key": "id", "name": "name", "price": "price"}
    owns["category"] = parent(Category, slug="group", missing=missing)
    kind = type("Grouped", (Listed,), {"into": Into(Thing, key="key", owns=owns)})
    ingest_here(kind([make_item(1, group=group)]))
    found = [thing.category and thing.category.slug for thing in Thing.objects.all()]
    assert found + [code for (code,) in fetch("SELECT code FROM etl_quarantine")] == [expected]


# --- models that change -----------------------------------------------------------------------------

ADD = "ALTER TABLE shop_thing ADD COLUMN extra text NOT NULL DEFAULT ''"
DROP_EXTRA = "ALTER TABLE shop_thing DROP COLUMN extra"
CHANGES: dict[str, tuple[str, str, str]] = {
    "a column that may be null": ("ALTER TABLE shop_thing ADD COLUMN extra text", DROP_EXTRA, ""),
    "a column with a default": (ADD, DROP_EXTRA, ""),
    "a column without a default": (f"{ADD}; ALTER TABLE shop_thing ALTER extra DROP DEFAULT", DROP_EXTRA, "extra"),
    "an owned column renamed": (
        "ALTER TABLE shop_thing RENAME name TO title",
        "ALTER TABLE shop_thing RENAME title TO name",
        "no column name",
    ),
    "a column of the team's renamed": (
        "ALTER TABLE shop_thing RENAME note TO remark",
        "ALTER TABLE shop_thing RENAME remark TO note",
        "no column note",
    ),
    "a column dropped": (
        "ALTER TABLE shop_thing DROP COLUMN note",
        "ALTER TABLE shop_thing ADD COLUMN note text NOT NULL DEFAULT ''",
        "no column note",
    ),
    "a text narrowed": (
        "ALTER TABLE shop_thing ALTER name TYPE varchar(5)",
        "ALTER TABLE shop_thing ALTER name TYPE varchar(60)",
        "the column name is character varying(5), not character varying(60)",
    ),
    "a text widened": (
        "ALTER TABLE shop_thing ALTER name TYPE text",
        "ALTER TABLE shop_thing ALTER name TYPE varchar(60)",
        "",
    ),
    "decimals taken": (
        "ALTER TABLE shop_thing ALTER price TYPE numeric(20,5)",
        "ALTER TABLE shop_thing ALTER price TYPE numeric(20,6)",
        "the column price is numeric(20,5)",
    ),
    "digits given": (
        "ALTER TABLE shop_thing ALTER price TYPE numeric(30,8)",
        "ALTER TABLE shop_thing ALTER price TYPE numeric(20,6)",
        "",
    ),
    "another type": (
        "ALTER TABLE shop_thing ALTER price TYPE double precision",
        "ALTER TABLE shop_thing ALTER price TYPE numeric(20,6)",
        "the column price is double precision",
    ),
    "a table renamed": (
        "ALTER TABLE shop_thing RENAME TO shop_matter",
        "ALTER TABLE shop_matter RENAME TO shop_thing",
        "no table shop_thing",
    ),
    "a parent's column renamed": (
        "ALTER TABLE shop_category RENAME slug TO name",
        "ALTER TABLE shop_category RENAME name TO slug",
        "slug",
    ),
}


@contextmanager
def changing_after_a_batch(change: str) -> Iterator[None]:
    """Change the table when a run has landed its first batch."""
    done: list[str] = []

    def make(**details: Any) -> None:
        if not done:
            done.append(change)
            with connection.cursor() as cursor:
                cursor.execute(change)

    batch_landed.connect(make)
    try:
        yield
    finally:
        batch_landed.disconnect(make)
        assert done


@pytest.mark.parametrize("when", ["between_two_runs", "in_the_middle_of_a_run"])
@pytest.mark.parametrize("case", CHANGES, ids=lambda case: case.replace(" ", "_"))
def test_a_model_that_changes_fails_the_run_unless_records_can_land(case: str, when: str, settings: Any) -> None:
    settings.ETL_BATCH_SIZE = 2
    change, undo, complaint = CHANGES[case]
    records = [make_item(n, name="Thing") for n in range(6)]
    if when == "between_two_runs":
        with changed(change, undo):
            outcome = ingest_here(Things(records))
            landed = 0 if complaint else 6
    else:
        with changed("SELECT 1", undo), changing_after_a_batch(change):
            outcome = ingest_here(Things(records))
            landed = 2 if complaint else 6
    assert (outcome.reason or "") == ("target_changed" if complaint else "")
    assert complaint in outcome.message
    assert Thing.objects.count() == landed
    assert ingest_here(Things(records)).status == "success"
    assert Thing.objects.count() == 6
    assert verify() == []


CONSTRAINTS: dict[str, tuple[str, str, str]] = {
    "a CHECK": ("ADD CONSTRAINT shop_cheap CHECK (price < 5)", "DROP CONSTRAINT shop_cheap", "shop_cheap"),
    "a CHECK for new rows": (
        "ADD CONSTRAINT shop_cheap CHECK (price < 5) NOT VALID",
        "DROP CONSTRAINT shop_cheap",
        "shop_cheap",
    ),
    "a UNIQUE": ("ADD CONSTRAINT shop_named UNIQUE (name)", "DROP CONSTRAINT shop_named", "shop_named"),
}


@pytest.mark.parametrize("when", ["between_two_runs", "in_the_middle_of_a_run"])
@pytest.mark.parametrize("case", CONSTRAINTS)
def test_a_constraint_that_is_added_refuses_what_breaks_it(case: str, when: str, settings: Any) -> None:
    settings.ETL_BATCH_SIZE = 2
    change, undo, name = CONSTRAINTS[case]
    records = [make_item(n, name=f"Thing {n}") for n in range(4)] + [make_item(4, name="Thing 1", price=9)]
    change, undo = f"ALTER TABLE shop_thing {change}", f"ALTER TABLE shop_thing {undo}"
    if when == "between_two_runs":
        with changed(change, undo):
            outcome = ingest_here(Things(records))
    else:
        with changed("SELECT 1", undo), changing_after_a_batch(change):
            outcome = ingest_here(Things(records))
    ((message,),) = fetch("SELECT message FROM etl_quarantine")
    assert (outcome.counters["new"], outcome.counters["quarantined"], name in message) == (4, 1, True)
    assert verify() == []
