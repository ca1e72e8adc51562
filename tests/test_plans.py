"""Plans: pages, the change feed and the lookup of a batch go by their indexes."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from api import record_queries
from api.record_queries import Condition, Order
from etl.storage.ledger import _FIND_BY_KEY, UNIFIED
from tests.listed_source import fetch

pytestmark = pytest.mark.django_db(transaction=True)


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


def test_the_change_feed_reads_by_its_index() -> None:
    with CaptureQueriesContext(connection) as queries:
        record_queries.read_changes("s", (7, 9), 50)
    with connection.cursor() as cursor:
        cursor.execute("SET enable_seqscan = off; SET enable_bitmapscan = off")  # the table is empty here
    plan = [line for (line,) in fetch(f"EXPLAIN {queries.captured_queries[0]['sql']}")]
    connection.close()
    assert [line for line in plan if "unified_records_changes" in line]
    assert [line for line in plan if "ROW(sequence, id) > ROW(" in line]
