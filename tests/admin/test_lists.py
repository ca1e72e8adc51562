"""The cost of pages: their queries don't grow with the tables and use an index; other filters are refused."""

import re

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from etl.admin.records import describe_value
from etl.models import Run, UnifiedRecord
from etl.runs.reason_advice import ADVICE, find_advice
from etl.vocabulary import COUNTERS, Reason
from tests.admin.rows import Idle, Wares, count, make_refused, make_run
from tests.listed_source import ingest_here, make_item
from tests.processes import ROOT

ROWS = 200_000
FIRST_RUN = 1000
BIG = ("unified_records", "raw_api_data", "raw_csv_data", "raw_third_source_data", "etl_quarantine")

_FILL = f"""
    INSERT INTO raw_csv_data (run_id, source, external_id, position, sequence, payload)
        SELECT {FIRST_RUN} + n / 1000, CASE WHEN n % 10 = 0 THEN 'idle' ELSE 'wares' END, 'e' || n, n, 1 + n / 1000,
            ('{{"id": "' || n || '"}}')::json
        FROM generate_series(1, {ROWS}) AS n;
    INSERT INTO unified_records (source, external_id, name, event_timestamp, ingested_at, updated_at, content_hash,
            sequence, raw_id)
        SELECT source, external_id, 'A name', now(), now(), now(), '\\x00', sequence, id FROM raw_csv_data;
    INSERT INTO etl_quarantine (source, run_id, position, line, column_name, code, message, original, original_length,
            original_sha256, status)
        SELECT CASE WHEN n % 10 = 0 THEN 'idle' ELSE 'wares' END, {FIRST_RUN}, n, n, 'price', 'blank', 'is blank', 'x',
            1, sha256(n::text::bytea), 'open'
        FROM generate_series(1, {ROWS // 10}) AS n;
    ANALYZE raw_csv_data; ANALYZE unified_records; ANALYZE etl_quarantine;
"""


@pytest.fixture
def many(two_sources: None) -> None:
    with connection.cursor() as cursor:
        cursor.execute(_FILL)


def list_plans(client: Client, address: str) -> list[str]:
    """The plan of each query that a page runs on a big table."""
    with CaptureQueriesContext(connection) as captured:
        response = client.get(address)
    assert response.status_code == 200
    plans = []
    with connection.cursor() as cursor:
        for each in captured.captured_queries:
            if each["sql"].startswith("SELECT") and any(f'FROM "{table}"' in each["sql"] for table in BIG):
                cursor.execute(f"EXPLAIN {each['sql']}")
                plans.append("\n".join(row[0] for row in cursor.fetchall()))
    return plans


def test_each_list_and_page_uses_an_index(many: None, viewer: Client) -> None:
    row, raw = UnifiedRecord.objects.values_list("pk", "raw_id").get(external_id="e777")
    addresses = [
        *(f"unifiedrecord/{query}" for query in ("", "?source=idle", "?source=wares&p=99", "?q=e777", "?o=4.-3")),
        *(f"unifiedrecord/{query}" for query in ("?presence=removed", "?source=wares&presence=removed")),
        *(f"rawcsvrecord/{query}" for query in ("", "?source=idle", "?source=wares&p=99", "?q=e777", "?o=2")),
        *(f"rawcsvrecord/?run={FIRST_RUN + 150}", f"unifiedrecord/{row}/change/", f"rawcsvrecord/{raw}/change/"),
        *("quarantinedrecord/", "quarantinedrecord/?source=idle&status=open"),
    ]
    for address in addresses:
        plans = list_plans(viewer, f"/admin/etl/{address}")
        assert plans, address
        for plan in plans:
            scanned = re.findall(r"Seq Scan on (\w+)", plan)
            # Sequential scans of empty tables cost nothing; after an autovacuum PostgreSQL prefers them.
            assert not set(scanned) - {"raw_api_data", "raw_third_source_data"}, (address, plan)
            assert scanned or "Index" in plan, (address, plan)


def test_a_list_counts_only_the_rows_that_it_can_show(many: None, viewer: Client) -> None:
    text = viewer.get("/admin/etl/unifiedrecord/").content.decode()
    assert f"About {ROWS:,} rows in all" in text
    assert "5000 unified records" in text
    assert viewer.get("/admin/etl/unifiedrecord/?p=101").status_code == 302


def test_a_list_refuses_other_filters(viewer: Client) -> None:
    for name in ("unifiedrecord", "rawcsvrecord", "quarantinedrecord", "run"):
        assert viewer.get(f"/admin/etl/{name}/?source__icontains=a").status_code == 400


def test_a_search_finds_a_complete_id_in_any_source(viewer: Client) -> None:
    ingest_here(Wares([make_item("a-1"), make_item("a-12")]))
    text = viewer.get("/admin/etl/unifiedrecord/?q=a-1").content.decode()
    assert "1 unified record" in text
    assert "0 unified records" in viewer.get("/admin/etl/unifiedrecord/?q=a-").content.decode()


class CompleteWares(Wares):
    complete = True


def test_a_list_shows_removed_records_only_if_they_are_asked_for(viewer: Client) -> None:
    ingest_here(CompleteWares([make_item("a-1"), make_item("a-2"), make_item("a-3")]))
    ingest_here(CompleteWares([make_item("a-1"), make_item("a-3")]))
    for query, shown in {"": "2 unified", "presence=removed": "1 unified", "presence=all": "3 unified"}.items():
        assert f"{shown} record" in viewer.get(f"/admin/etl/unifiedrecord/?{query}").content.decode()
    found = viewer.get("/admin/etl/unifiedrecord/?q=a-2").content.decode()
    assert "<em>removed</em>" in found
    page = viewer.get(f"/admin/etl/unifiedrecord/{UnifiedRecord.objects.get(external_id='a-2').pk}/change/")
    assert "Removed" in page.content.decode()


def count_queries(client: Client, address: str) -> int:
    with CaptureQueriesContext(connection) as captured:
        assert client.get(address).status_code == 200
    return len(captured)


def test_the_overview_runs_at_most_ten_queries_regardless_of_the_number_of_runs(viewer: Client) -> None:
    ingest_here(Wares([make_item(1)]))
    viewer.get("/admin/")  # content types and the like are cached from here on
    few = count_queries(viewer, "/admin/")
    for source in ("wares", "idle"):
        Run.objects.bulk_create(
            Run(source=source, key=f"{source}:{number}", trigger="schedule", status="queued", options={"full": True})
            for number in range(2000)
        )
        make_refused(1, source=source)
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE etl_runs SET status = 'success', started_at = now(), finished_at = now() WHERE status = 'queued'"
        )
    assert count_queries(viewer, "/admin/") == few
    assert 0 < few <= 10


@pytest.mark.parametrize("address", ["run/", "quarantinedrecord/", "unifiedrecord/", "checkpoint/", "rawapirecord/"])
def test_a_list_runs_as_many_queries_for_many_rows_as_for_one(address: str, viewer: Client) -> None:
    ingest_here(Wares([make_item(1), make_item("")]))
    viewer.get(f"/admin/etl/{address}")
    few = count_queries(viewer, f"/admin/etl/{address}")
    for number in range(30):
        make_run()
        make_refused(number)
    ingest_here(Wares([make_item(number) for number in range(40)]))
    assert count_queries(viewer, f"/admin/etl/{address}") == few


def test_a_record_shows_the_changes_of_each_version(viewer: Client) -> None:
    for price in ("1.50", "2.50"):
        ingest_here(Wares([make_item(1, price=price)]))
    record = UnifiedRecord.objects.get()
    text = viewer.get(f"/admin/etl/unifiedrecord/{record.pk}/change/").content.decode()
    assert "<td><bdi>&quot;1.50&quot;</bdi></td><td><bdi>&quot;2.50&quot;</bdi></td>" in text
    assert "First version." in text
    assert text.count("As received") == 2


@pytest.mark.parametrize(("stored", "shown"), [("1.500000000000000000", "1.5"), ("100", "100"), ("0E-18", "0")])
def test_a_value_is_shown_without_the_zeros_of_its_column(stored: str, shown: str) -> None:
    ingest_here(Wares([make_item(1)]))
    UnifiedRecord.objects.update(value=stored)
    assert describe_value(UnifiedRecord.objects.get()) == shown


def test_each_reason_has_its_advice_and_its_heading_in_the_runbook() -> None:
    headings = set(re.findall(r"^### (\w+)$", (ROOT / "docs" / "runbook.md").read_text(), re.MULTILINE))
    reasons = set(Reason) - {Reason.NONE}
    assert set(ADVICE) == reasons
    assert {reason.value for reason in reasons} <= headings
    assert find_advice("") is None
    assert find_advice("of another version") is None


def test_the_overview_shows_a_source_without_runs(viewer: Client) -> None:
    assert Idle.name in viewer.get("/admin/").content.decode()


def test_the_list_of_runs_aligns_each_counter_as_a_number() -> None:
    style = (ROOT / "etl/static/etl/admin.css").read_text()
    cells = {f"{cell}-show_{name}" for name in COUNTERS for cell in ("td.field", "th.column")}
    assert {cell for cell in cells if cell not in style} == set()


def read_figures(viewer: Client, run: Run) -> set[tuple[str, str]]:
    page = viewer.get(f"/admin/etl/run/{run.pk}/change/").content.decode()
    return set(re.findall(r"<dt>([^<]*)</dt><dd>([0-9,]+)</dd>", page))


def test_a_run_shows_what_it_removed_and_how_many_of_the_refused_only_wait(viewer: Client) -> None:
    run = make_run(**{**count(new=1, quarantined=3), "removed": 4}, waiting=2)
    shown = {("seen", "4"), ("of these, waiting for other rows", "2"), ("removed", "4")}
    assert shown <= read_figures(viewer, run)


def test_a_run_that_saw_nothing_shows_what_it_removed(viewer: Client) -> None:
    run = make_run(**{**count(), "removed": 4})
    assert {("seen", "0"), ("removed", "4")} <= read_figures(viewer, run)
