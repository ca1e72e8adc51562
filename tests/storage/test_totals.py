"""The totals count everything that has happened, regardless of the writer, and never fall."""

import threading
from collections import defaultdict
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection, connections, transaction
from django.db.migrations.loader import MigrationLoader
from django.db.models import Max

from etl.models import Checkpoint, Run, RunEvent, SchemaChange, SchemaSnapshot, Total
from etl.reports.verification import verify
from etl.runs import attempts, ending, heartbeat, orders, starting
from etl.runs.events import add_event
from etl.runs.starting import Started
from etl.storage.totals import find_wrong, repair_totals
from etl.storage.transactions import bounded_transaction
from etl.vocabulary import DURATION_BOUNDS, OUTCOMES, EventKind, Reason, Status, Trigger
from tests.laws.test_attacks import count_waiting
from tests.listed_source import Listed, fetch, ingest_here, make_item
from tests.processes import wait_until
from tests.single_steps import end_lease, land, start

pytestmark = pytest.mark.django_db(transaction=True)

Counted = dict[tuple[str, str, str], Decimal]


def count_tables() -> Counted:
    """Count the totals from the rows, in Python instead of SQL."""
    counted: Counted = defaultdict(Decimal)
    for run in Run.objects.all():
        for outcome in OUTCOMES:
            counted[run.source, "records", outcome] += getattr(run, outcome)
        if run.finished_at is not None:
            counted[run.source, "runs", run.status] += 1
            if run.status == "failed":
                counted[run.source, "failures", run.reason] += 1
            if run.started_at is not None:
                taken = run.finished_at - run.started_at
                seconds = taken.seconds + taken.days * 86_400 + Decimal(taken.microseconds) / 1_000_000
                label = next(bound for bound in DURATION_BOUNDS if seconds <= Decimal(bound.strip("+")))
                counted[run.source, "duration", label] += 1
                counted[run.source, "duration_sum", ""] += seconds
    for event in RunEvent.objects.filter(kind="retry").select_related("run"):
        counted[event.run.source, "retries", ""] += 1
    for change in SchemaChange.objects.all():
        counted[change.source, "schema_changes", ""] += 1
    return {key: number for key, number in counted.items() if number}


def read_kept() -> Counted:
    kept = {(total.source, total.name, total.label): total.value - total.pruned for total in Total.objects.all()}
    return {key: number for key, number in kept.items() if number}


def read_values() -> Counted:
    return {(total.source, total.name, total.label): total.value for total in Total.objects.all()}


def succeed() -> None:
    ingest_here(Listed([make_item(1), make_item(2)]))


def refuse_some() -> None:
    ingest_here(Listed([make_item(1), make_item(1), make_item("bad", price="x")]))


def change_some() -> None:
    for name in ("Thing", "Thong", "Thong"):
        ingest_here(Listed([make_item(1, name=name), make_item(2)]), full=True)


def fail() -> None:
    ending.end(start().claim, ending.failed(Reason.SOURCE_UNREACHABLE, "gone"))


def retry() -> None:
    claim = start().claim
    for kind in (EventKind.RETRY, EventKind.WAIT, EventKind.RETRY):
        add_event(claim.run_id, kind, "Once more.")


def drift() -> None:
    ingest_here(Listed([make_item(number) for number in range(5)]))
    ingest_here(Listed([make_item(number, colour="red", size=1) for number in range(5)]))
    assert SchemaChange.objects.count() == 2


def hand_over() -> None:
    run = orders.queue("listed", key="k", trigger=Trigger.API, by="a test")
    started = starting.start_queued(run)
    assert isinstance(started, Started)
    land(started, Listed(), [make_item(1)])
    ending.end(started.claim, ending.handed_over("The worker stops."))
    again = starting.start_queued(run)
    assert isinstance(again, Started)
    ending.end(again.claim, ending.finished(Status.SUCCESS))


def abandon() -> None:
    land(start(), Listed(), [make_item(1)])
    end_lease()
    start()


def sweep_away() -> None:
    land(start(), Listed(), [make_item(1)])
    end_lease()
    Run.objects.update(heartbeat_at="2026-01-01T00:00:00Z")
    attempts.abandon_stale("listed")


def close_unknown() -> None:
    ending.end_unstartable(orders.queue("gone", key="k", trigger=Trigger.API, by="a test"), Reason.UNKNOWN_SOURCE, "")


def cancel_by_sql() -> None:
    for number in range(3):
        orders.queue(f"source {number}", key=f"k{number}", trigger=Trigger.API, by="a test")
    Run.objects.update(status="failed", reason="cancelled", finished_at="2026-01-01T00:00:00Z")


def insert_closed() -> None:
    Run.objects.create(**make_closed("k", "4.25"), new=3, seen=3)


HAPPENINGS = (
    *(succeed, refuse_some, change_some, fail, retry, drift, hand_over, abandon, sweep_away),
    *(close_unknown, cancel_by_sql, insert_closed),
)


def make_closed(key: str, seconds: str = "1", **more: Any) -> dict[str, Any]:
    ((finished,),) = fetch("SELECT '2026-01-01T00:00:00Z'::timestamptz + %s * interval '1 second'", Decimal(seconds))
    return {
        "source": "listed",
        "key": key,
        "trigger": "api",
        "status": "success",
        "started_at": "2026-01-01T00:00:00Z",
        "finished_at": finished,
    } | more


@pytest.mark.parametrize("happen", HAPPENINGS, ids=lambda happen: happen.__name__)
def test_the_totals_are_what_happened(happen: Callable[[], None]) -> None:
    happen()
    assert count_tables()
    assert read_kept() == count_tables()
    assert Total.objects.exclude(pruned=0).count() == 0


def test_the_last_success_is_given_by_its_total() -> None:
    succeed()
    fail()
    for status in ("success", "failed"):
        assert Total.objects.get(name="runs", label=status).latest == Run.objects.get(status=status).finished_at


def test_a_batch_counts_when_it_lands() -> None:
    land(start(), Listed(), [make_item(1), make_item("bad", price="x")])
    assert {key[1:]: number for key, number in read_kept().items()} == {
        ("records", "new"): 1,
        ("records", "quarantined"): 1,
    }


def test_rolled_back_rows_are_not_counted() -> None:
    succeed()
    before = read_values()
    with transaction.atomic():
        Run.objects.create(**make_closed("k"))
        assert read_values() != before
        transaction.set_rollback(True)
    assert read_values() == before


def test_a_heartbeat_writes_no_total() -> None:
    started = start()
    land(started, Listed(), [make_item(1)])
    before = fetch("SELECT xmin, * FROM etl_totals ORDER BY id")
    with bounded_transaction() as cursor:
        heartbeat.beat(cursor, started.claim)
    assert fetch("SELECT xmin, * FROM etl_totals ORDER BY id") == before != []


@pytest.mark.parametrize("bound", [*DURATION_BOUNDS[:-1], "86400"])
def test_a_run_counts_in_the_bucket_of_its_bound(bound: str) -> None:
    Run.objects.create(**make_closed("at the bound", bound))
    Run.objects.create(**make_closed("above it", str(Decimal(bound) + Decimal("0.000001"))))
    assert read_kept() == count_tables()


def delete_by_django() -> None:
    Checkpoint.objects.update(owner_run=None)
    Run.objects.all().delete()
    SchemaSnapshot.objects.all().delete()


def delete_runs_first() -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        for table in ("etl_runs", "etl_run_events", "etl_run_keys", "schema_changes", "schema_snapshots"):
            cursor.execute("UPDATE ingestion_checkpoints SET owner_run_id = NULL")
            cursor.execute(f"DELETE FROM {table}")


def delete_one_by_one() -> None:
    for model in (RunEvent, SchemaChange, SchemaSnapshot, Run):
        for row in model.objects.all():
            row.delete()


def truncate() -> None:
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE etl_runs, schema_snapshots, ingestion_checkpoints CASCADE")


@pytest.mark.parametrize("delete", [delete_by_django, delete_runs_first, delete_one_by_one, truncate])
def test_totals_do_not_fall_when_rows_are_deleted(delete: Callable[[], None]) -> None:
    for happen in (drift, refuse_some, fail, retry):
        happen()
    before = read_values()
    latest = Total.objects.aggregate(Max("latest"))
    delete()
    assert (Run.objects.count(), SchemaChange.objects.count()) == (0, 0)
    assert read_values() == before
    assert read_kept() == {}
    assert Total.objects.aggregate(Max("latest")) == latest
    end_lease()
    fail()
    assert read_kept() == count_tables()


def test_a_total_does_not_fall_when_a_run_is_opened_again() -> None:
    succeed()
    before = read_values()
    Run.objects.update(status="queued", finished_at=None, new=0, versions=0, seen=0)
    assert read_values() == before
    assert read_kept() == count_tables() == {}


def verify_and_repair() -> list[str]:
    found = [finding.message for finding in verify()]
    repair_totals()
    return found


@pytest.mark.parametrize("change", [-1, 1])
def test_verify_finds_a_wrong_total_and_repair_corrects_it(change: int, capsys: Any) -> None:
    succeed()
    Total.objects.filter(name="records", label="new").update(value=2 + change)
    with pytest.raises(SystemExit):
        call_command("verify")
    assert f"listed: the total of records new is stored as {2 + change} but should be 2" in capsys.readouterr().out
    call_command("verify", "--repair")
    assert read_kept() == count_tables()


def test_repair_creates_a_missing_total_and_empties_an_invented_one() -> None:
    succeed()
    Total.objects.filter(name="runs").delete()
    Total.objects.create(source="unknown", name="retries", value=7)
    assert len(verify_and_repair()) == 2
    assert verify() == []
    assert Total.objects.get(name="runs").latest == Run.objects.get().finished_at


def test_repair_keeps_the_pruned_part() -> None:
    succeed()
    Run.objects.all().delete()
    fail()
    Total.objects.filter(name="runs", label="failed").update(value=0)
    before = Total.objects.get(name="runs", label="success").value
    repair_totals()
    assert Total.objects.get(name="runs", label="success").value == before == 1
    assert read_kept() == count_tables()


def test_a_total_whose_latest_time_is_too_old_is_found_and_corrected() -> None:
    succeed()
    Total.objects.filter(name="runs").update(latest="2000-01-01T00:00:00Z")
    assert len(verify_and_repair()) == 1
    assert verify() == []


def test_repair_is_exact_while_a_pipeline_counts() -> None:
    claim = start().claim
    is_over = threading.Event()

    def count() -> None:
        try:
            while not is_over.is_set():
                add_event(claim.run_id, EventKind.RETRY, "Retrying.")
        finally:
            connections.close_all()

    counting = [threading.Thread(target=count) for _ in range(3)]
    for thread in counting:
        thread.start()
    try:
        for _ in range(60):
            repair_totals()
    finally:
        is_over.set()
        for thread in counting:
            thread.join()
    assert read_kept() == count_tables()


def test_repair_waits_for_what_is_being_counted() -> None:
    """What another session has counted and not committed yet is neither lost nor counted twice."""
    claim = start().claim
    add_event(claim.run_id, EventKind.RETRY, "Once.")

    def repair() -> None:
        try:
            repair_totals()
        finally:
            connections.close_all()

    repairing = threading.Thread(target=repair)
    counting = connections["default"].copy()
    with counting.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute(
            "INSERT INTO etl_run_events (run_id, kind, message) VALUES (%s, 'retry', 'Twice.')", [claim.run_id]
        )
        repairing.start()
        wait_until(lambda: count_waiting(cursor))
        cursor.execute("COMMIT")
    repairing.join()
    counting.close()
    assert read_values()["listed", "retries", ""] == 2
    assert read_kept() == count_tables()


def test_a_mass_of_runs_is_counted_by_one_update_per_total() -> None:
    """Rows can't be vacuumed within their transaction, so one update per row would take quadratic time."""
    with transaction.atomic():
        for number in range(2):
            Run.objects.bulk_create(Run(**make_closed(f"{number} {n}")) for n in range(200))
        fetch("DELETE FROM etl_runs RETURNING id")
        work = "SELECT n_tup_ins, n_tup_upd FROM pg_stat_xact_user_tables WHERE relname = 'etl_totals'"
        assert fetch(work) == [(3, 6)]
    assert read_values()["listed", "runs", "success"] == 400


def test_a_batch_updates_each_of_its_totals_once() -> None:
    """The cost of the totals: one row per outcome, regardless of the number of records."""
    run_id = start().claim.run_id
    statement = (
        "UPDATE etl_runs SET seen = seen + 10000, new = new + 9000, unchanged = unchanged + 900,"
        " quarantined = quarantined + 100 WHERE id = %s RETURNING id"
    )
    fetch(statement, run_id)  # makes the rows
    with transaction.atomic():
        work = "SELECT n_tup_ins, n_tup_upd FROM pg_stat_xact_user_tables WHERE relname = 'etl_totals'"
        ((inserted, updated),) = fetch(work)
        fetch(statement, run_id)
        assert fetch(work) == [(inserted, updated + 3)]


def test_the_counting_does_not_depend_on_the_writers_search_path() -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("CREATE SCHEMA elsewhere; SET LOCAL search_path = elsewhere")
        cursor.execute(
            "INSERT INTO public.etl_runs (source, key, trigger, at_terminal, status, reason, attempt, options,"
            " finished_at, seen, new, updated, unchanged, duplicate, quarantined, error)"
            " VALUES ('listed', 'k', 'api', false, 'failed', '', 1, '{}', now(), 1, 1, 0, 0, 0, 0, '')"
        )
        cursor.execute("SET LOCAL search_path = public; DROP SCHEMA elsewhere")
    assert read_kept() == count_tables() != {}


def test_totals_are_filled_from_rows_that_existed_before_them() -> None:
    for happen in (drift, refuse_some, fail, retry):
        happen()
    newest = Run.objects.latest("pk").pk
    loader = MigrationLoader(connection)
    (name,) = (
        name for app, name in loader.graph.nodes if app == "etl" and name.endswith("_totals") and "fill" not in name
    )
    (before,) = (parent for app, parent in loader.get_migration("etl", name).dependencies if app == "etl")
    try:
        call_command("migrate", "etl", before, verbosity=0)
        assert fetch("SELECT proname FROM pg_proc WHERE proname LIKE 'etl%%total%%'") == []
        add_event(newest, EventKind.RETRY, "Not counted.")
    finally:
        call_command("migrate", verbosity=0)  # api's migrations too: one of them depends on a later one of etl
    assert read_kept() == count_tables() != {}


def test_totals_of_an_empty_database_are_correct() -> None:
    with connection.cursor() as cursor:
        assert find_wrong(cursor) == []
