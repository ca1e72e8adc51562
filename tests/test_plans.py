"""Plans: pages, the change feed and the lookup of a batch go by their indexes."""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from api import record_queries
from api.record_queries import Condition, Order
from etl.records import Breach, Original, Refusal, Stamp
from etl.storage.ledger import _FIND_BY_KEY, UNIFIED, find_by_key
from etl.storage.refusals import write_refusals
from etl.storage.transactions import bounded_transaction
from etl.storage.waiting import _list_names
from etl.vocabulary import BreachCode, SourceKind
from tests.listed_source import fetch, ingest_here
from tests.shop.models import Supplier
from tests.shop.sources import DeletingProducts, make_product

pytestmark = pytest.mark.django_db(transaction=True)

KEYED = re.compile("unnest")
"""The statements that look up many keys at once."""


def test_a_deep_page_of_one_source_begins_at_its_key() -> None:
    order, condition = Order("external_id", is_descending=False), Condition("source", "exact", "s")
    with CaptureQueriesContext(connection) as queries:
        record_queries.read_rows([condition], order, limit=50, after=("s", "9"))
    with connection.cursor() as cursor:
        cursor.execute("SET enable_seqscan = off; SET enable_bitmapscan = off")  # the table is empty here
    plan = [line for (line,) in fetch(f"EXPLAIN {queries.captured_queries[0]['sql']}")]
    connection.close()
    (found,) = [line for line in plan if "Index Cond" in line]
    assert "(external_id > '9'::text)" in found
    assert "ROW" not in found


def test_the_lookup_of_a_batch_does_not_walk_the_change_feed() -> None:
    fetch(
        "WITH landed AS (INSERT INTO unified_records (source, external_id, name, event_timestamp, ingested_at,"
        " updated_at, content_hash, sequence, raw_id) SELECT 's', number, 'n', now(), now(), now(), '', 1, number"
        " FROM generate_series(1, 20000) AS number RETURNING 1) SELECT count(*) FROM landed"
    )
    with CaptureQueriesContext(connection) as queries:
        fetch(_FIND_BY_KEY.format(ledger=UNIFIED), [str(number) for number in range(10_000)], "s")
    plan = [line for (line,) in fetch(f"EXPLAIN {queries.captured_queries[0]['sql']}")]
    assert not [line for line in plan if "unified_records_changes" in line]


@pytest.fixture
def unanalyzed() -> None:
    """20,000 records and as many refused ones of one source, of which PostgreSQL has no statistics."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO unified_records (source, external_id, name, ingested_at, updated_at, content_hash, sequence,"
            " raw_id) SELECT 's', number, 'n', now(), now(), '', 1, number FROM generate_series(1, 20000) AS number"
        )
        cursor.execute(
            "INSERT INTO etl_quarantine (source, external_id, run_id, position, line, column_name, code, message,"
            " original, original_length, original_sha256, status) SELECT 's', number, 1, number, number, '', 'blank',"
            " '', '', 0, sha256(number::text::bytea), 'open' FROM generate_series(1, 20000) AS number"
        )


def find_few_keys(cursor: Any) -> None:
    find_by_key(cursor, UNIFIED, "s", [str(number) for number in range(300)])


def find_many_keys(cursor: Any) -> None:
    find_by_key(cursor, UNIFIED, "s", [str(number) for number in range(10_000)])


def write_known_refusals(cursor: Any) -> None:
    breach = Breach(BreachCode.BLANK, "")
    known = [Refusal(number, number, breach, None, Original.of(b"%d" % number)) for number in range(1, 300)]
    stamp = Stamp("s", SourceKind.CSV, 1, 1, 1, datetime.now(UTC))
    assert write_refusals(cursor, known, stamp) == 0


@pytest.mark.usefixtures("unanalyzed")
@pytest.mark.parametrize("ask", [find_few_keys, find_many_keys, write_known_refusals])
def test_a_batch_looks_up_ids_and_originals_by_their_whole_key(ask: Callable[[Any], None]) -> None:
    """Without statistics PostgreSQL may find it cheaper to read everything of the source."""
    with CaptureQueriesContext(connection) as queries, bounded_transaction() as cursor:
        fetch("SELECT 1")  # takes the transaction's bounds with it
        ask(cursor)
        asked = [each["sql"] for each in queries.captured_queries if KEYED.search(each["sql"])]
        plan = [line for (line,) in fetch(f"EXPLAIN {asked[0]}")]
    conditions = [line for line in plan if "Index Cond" in line and "source = 's'" in line]
    assert conditions, plan
    assert all("external_id = " in line or "original_sha256 = " in line for line in conditions), plan


@pytest.fixture
def unanalyzed_shop() -> None:
    """20,000 products of a team's, in as many categories, of which PostgreSQL has no statistics."""
    Supplier.objects.create(code="ACME")
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO shop_category (slug) SELECT 'c' || n FROM generate_series(1, 20000) AS n")
        cursor.execute(
            "INSERT INTO shop_product (supplier_id, category_id, sku, name, price, stock, status, attributes, note,"
            " reference, created_at, changed_at) SELECT s.id, c.id, 'P' || substr(c.slug, 2), 'T', 1, 0, 'active',"
            " '{}', '', gen_random_uuid(), now(), now() FROM shop_supplier AS s, shop_category AS c"
        )


class Explained:
    """An `execute_wrapper` that keeps the plan of each statement that reads or writes a table of the shop."""

    def __init__(self) -> None:
        self.plans: list[tuple[str, str]] = []

    def __call__(self, execute: Callable[..., Any], sql: Any, params: Any, many: Any, context: Any) -> Any:
        if isinstance(sql, str) and '"shop_' in sql and sql.lstrip().startswith(("WITH", "UPDATE", "INSERT", "DELETE")):
            execute(f"EXPLAIN {sql}", params, many, context)
            self.plans.append((sql, "\n".join(line for (line,) in context["cursor"].fetchall())))
        return execute(sql, params, many, context)


@pytest.mark.usefixtures("unanalyzed_shop")
@pytest.mark.parametrize("count", [30, 3000])
def test_a_batch_finds_a_teams_rows_and_their_parents_by_their_keys(count: int) -> None:
    """It updates, adopts, creates and removes rows. Only its own stage has statistics."""
    records = [make_product(n, group=f"c{n}") for n in range(20_000 - count, 20_000 + count)]
    explained = Explained()
    with connection.execute_wrapper(explained):
        for some in (records, [{**record, "price": "7"} for record in records], records[:count]):
            assert ingest_here(DeletingProducts(some)).status in ("success", "partial")
    kinds = {kind for sql, _ in explained.plans for kind in re.findall(r'(UPDATE|INSERT INTO|DELETE FROM) "shop_', sql)}
    assert kinds == {"UPDATE", "INSERT INTO", "DELETE FROM"}
    for sql, plan in explained.plans:
        assert not re.search(r"Seq Scan on shop_", plan), f"{sql}\n{plan}"


@pytest.mark.usefixtures("unanalyzed")
def test_names_of_missing_rows_are_found_from_one_to_the_next() -> None:
    with CaptureQueriesContext(connection) as queries, bounded_transaction():
        fetch("SELECT 1")  # takes the transaction's bounds with it
        assert _list_names("s", "") == []
        (asked,) = [each["sql"] for each in queries.captured_queries if "RECURSIVE" in each["sql"]]
        plan = [line for (line,) in fetch(f"EXPLAIN {asked}")]
    conditions = [line for line in plan if "Index Cond" in line]
    assert "source = 's'" in conditions[0], plan
    assert "awaits > " in conditions[0], plan
    assert not [line for line in plan if "Seq Scan" in line or "Sort" in line], plan


def test_the_change_feed_reads_by_its_index() -> None:
    with CaptureQueriesContext(connection) as queries:
        record_queries.read_changes("s", (7, 9), 50)
    with connection.cursor() as cursor:
        cursor.execute("SET enable_seqscan = off; SET enable_bitmapscan = off")  # the table is empty here
    plan = [line for (line,) in fetch(f"EXPLAIN {queries.captured_queries[0]['sql']}")]
    connection.close()
    assert [line for line in plan if "unified_records_changes" in line]
    assert [line for line in plan if "ROW(sequence, id) > ROW(" in line]
