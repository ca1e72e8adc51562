"""The numbers of /stats and /health match the tables, at a cost that does not grow with the tables."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django_celery_beat.models import PeriodicTask

from etl.execution import executor
from etl.models import Checkpoint, Run
from etl.reports import statistics
from etl.reports.standing import Standing, read_standings
from etl.runs import orders, schedule
from etl.runs.options import Options
from etl.vocabulary import StandingWord, Trigger
from tests.listed_source import Listed, TimedListed, fetch, ingest_here, make_item
from tests.single_steps import end_lease, land, start
from tests.storage.test_totals import fail, make_closed, refuse_some, succeed

pytestmark = pytest.mark.django_db(transaction=True)

GROWING = ("unified_records", "raw_records", "raw_api_data", "etl_quarantine", "etl_run_events", "schema_changes")


class Ordered(Listed):
    """A source found through ETL_SOURCES."""

    def __init__(self) -> None:
        super().__init__((make_item(1), make_item("bad", price="x")))


class Never(Ordered):
    name = "never"


@pytest.fixture(autouse=True)
def sources(settings: Any) -> None:
    settings.ETL_SOURCES = ["tests.reports.test_statistics.Ordered", "tests.reports.test_statistics.Never"]


@contextmanager
def capture() -> Iterator[list[str]]:
    statements: list[str] = []
    with CaptureQueriesContext(connection) as queries:
        yield statements
    statements += [query["sql"] for query in queries.captured_queries]


def test_statistics_match_the_tables() -> None:
    for happen in (succeed, refuse_some, fail, fail):
        happen()
    ingest_here(TimedListed([]))
    orders.queue("listed", key="k", trigger=Trigger.API, by="a test", options=Options(full=True))
    start()
    read = statistics.read_statistics({})
    assert {
        name: read[f"{name}_runs"] for name in ("total", "successful", "partial", "failed", "running", "queued")
    } == {
        "total": Run.objects.count(),
        "successful": 2,
        "partial": 1,
        "failed": 2,
        "running": 1,
        "queued": 1,
    }
    assert read["records_by_source"] == {"listed": 2, "never": 0, "timed": 0}
    assert read["quarantined_by_source"] == {"listed": 1, "never": 0, "timed": 0}
    ((average, success, failure),) = fetch(
        "SELECT round(avg(extract(epoch FROM finished_at - started_at)), 3)::float8,"
        " max(finished_at) FILTER (WHERE status <> 'failed'), max(finished_at) FILTER (WHERE status = 'failed')"
        " FROM etl_runs"
    )
    assert read["average_duration_s"] == average
    assert (read["last_success_at"], read["last_failure_at"]) == (as_text(success), as_text(failure))
    assert [checkpoint["source"] for checkpoint in read["checkpoints"]] == ["listed", "timed"]


def as_text(time: Any) -> str:
    return f"{time:%Y-%m-%dT%H:%M:%S.%f+00:00}"


def test_each_source_has_the_same_fields() -> None:
    for happen in (succeed, refuse_some, fail):
        happen()
    read = statistics.read_statistics({})
    listed, never = read["sources"]
    assert (listed["source"], listed["total_runs"], listed["failed_runs"]) == ("listed", 3, 1)
    assert (listed["records"], listed["quarantined"]) == (2, 1)
    assert listed["checkpoint"] == read["checkpoints"][0]
    assert listed["checkpoint"]["batch_number"] == Checkpoint.objects.get().batch_number
    assert set(listed) - set(read) == {"source", "standing", "records", "quarantined", "checkpoint"}
    assert [
        never[name] for name in ("total_runs", "records", "last_success_at", "average_duration_s", "checkpoint")
    ] == [*(0, 0, None, None, None)]


def test_a_project_without_sources_has_statistics(settings: Any) -> None:
    settings.ETL_SOURCES = []
    read = statistics.read_statistics({})
    assert (read["total_runs"], read["sources"], read["checkpoints"], read["records_by_source"]) == (0, [], [], {})


def test_a_held_source_has_its_run_and_the_end_of_the_lease() -> None:
    claim = start().claim
    (checkpoint,) = statistics.read_statistics({})["checkpoints"]
    held = Checkpoint.objects.get()
    assert held.lease_expires_at is not None
    assert (checkpoint["owner_run"], checkpoint["lease_expires_at"]) == (claim.run_id, as_text(held.lease_expires_at))


def test_times_are_utc_in_any_time_zone_of_the_session() -> None:
    succeed()
    before = statistics.read_statistics_json({})
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL TIME ZONE 'Asia/Kolkata'")
        assert statistics.read_statistics_json({}) == before


def test_statistics_are_one_statement_and_read_no_growing_table() -> None:
    succeed()
    with capture() as statements:
        json.loads(statistics.read_statistics_json({}))
    assert len(statements) == 1
    assert not [table for table in GROWING if table in statements[0]]


def test_neither_statistics_nor_standings_scan_the_runs() -> None:
    for n in range(2):
        Run.objects.bulk_create(Run(**make_closed(f"{n} {number}")) for number in range(3000))
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE etl_runs")
    schedule.make_missing_entry(Ordered())
    with capture() as statements:
        statistics.read_statistics({})
        statistics.read_gauges()
        standings = read_standings()
    assert standings[0].last_run is not None
    plans = [
        line
        for statement in statements
        if "etl_runs" in statement
        for (line,) in fetch("EXPLAIN " + statement.replace("%", "%%"))
    ]
    assert any("etl_runs_last_closed" in line for line in plans)
    assert not [line for line in plans if "Seq Scan on etl_runs" in line]


def find_standing() -> Standing:
    return read_standings()[0]


def test_a_source_without_schedule_has_no_lag() -> None:
    assert read_standings() == [Standing("listed", StandingWord.NEVER_RUN), Standing("never", StandingWord.NEVER_RUN)]


def test_a_paused_source_has_no_lag() -> None:
    schedule.make_missing_entry(Ordered())
    PeriodicTask.objects.update(enabled=False)
    assert find_standing().lag_s is None


def test_the_last_run_that_read_something_is_given_with_the_last_run() -> None:
    ingest_here(Ordered())
    reading = Run.objects.get()
    executor.execute_queued(orders.queue("listed", key="k", trigger=Trigger.API, by="a test").pk)
    standing = find_standing()
    assert standing.last_run is not None
    assert standing.last_reading_run is not None
    assert (standing.last_run.reason, standing.last_reading_run.id) == ("unchanged", reading.pk)


def test_an_open_run_is_not_the_last_run() -> None:
    land(start(), Listed(), [make_item(1)])
    end_lease()
    assert (find_standing().last_run, find_standing().last_reading_run) == (None, None)


def test_standings_are_four_statements_for_any_number_of_sources() -> None:
    ingest_here(Ordered())
    with capture() as statements:
        read_standings()
    assert len(statements) == 4
