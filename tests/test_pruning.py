"""Pruning removes rows that are no longer needed and keeps the others, and `verify` still finds no problem."""

import random
import signal
import threading
import time
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import pytest
from django.apps import apps
from django.db import connection, connections
from django.urls import reverse
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from etl import pruning
from etl.conf import MOST_DAYS
from etl.execution import executor
from etl.execution import sweep as sweeping
from etl.models import Checkpoint, QuarantinedRecord, Run, RunEvent, Total
from etl.operations.quarantine import discard
from etl.pruning import Policy, prune
from etl.reports.verification import verify
from etl.runs import ending, orders
from etl.runs import pruning as run_removal
from etl.runs.events import add_event
from etl.storage.refusal_selection import Selection
from etl.tasks import prune as prune_task
from etl.vocabulary import EventKind, Reason, Trigger
from tests.factories import make_products, write_products
from tests.listed_source import dump_unified, fetch, ingest_here, make_item
from tests.processes import Project, manage_here, wait_until
from tests.single_steps import end_lease, land, start
from tests.test_replay import EVERYTHING, Fickle, read, replay_now

pytestmark = pytest.mark.django_db(transaction=True)
EVERYTHING_OLD = Policy(raw_days=10, quarantine_days=10, events_days=10, runs_days=10)
TABLES = ("raw_records", "etl_quarantine", "etl_run_events", "etl_runs", "unified_records", "ingestion_checkpoints")


@pytest.fixture(autouse=True)
def sources(settings: Any) -> Iterator[None]:
    settings.ETL_SOURCES = ["tests.test_replay.Fickle"]
    yield
    Fickle.refused = set()


def pass_days(days: int) -> None:
    """Make all rows older by a number of days."""
    for table, columns in {
        "etl_runs": ("created_at", "started_at", "finished_at", "heartbeat_at"),
        "etl_run_events": ("created_at",),
        "etl_quarantine": ("created_at", "updated_at"),
    }.items():
        shifted = ", ".join(f"{column} = {column} - {days} * interval '1 day'" for column in columns)
        with connection.cursor() as cursor:
            cursor.execute(f"UPDATE {table} SET {shifted}")


def list_versions(external_id: str = "1") -> list[str]:
    return [
        name
        for (name,) in fetch(
            "SELECT payload::json->>'name' FROM raw_records WHERE external_id = %s ORDER BY id", external_id
        )
    ]


def read_versions(*names: str) -> None:
    for name in names:
        read(make_item(1, name=name), make_item(2))


def count_rows() -> dict[str, int]:
    return {table: fetch(f"SELECT count(*) FROM {table}")[0][0] for table in TABLES}


def dump() -> list[Any]:
    return [fetch(f"SELECT xmin, * FROM {table} ORDER BY 2") for table in TABLES if table != "raw_records"]


def live_a_year() -> None:
    """Create old versions, refusals of each status, drift, failures, and runs that changed nothing."""
    read_versions("a", "b", "c", "d")
    read(make_item(1, name="e"), make_item(3, name="bad"), make_item(4, name="bad too"))
    replay_now(Selection(ids=(QuarantinedRecord.objects.order_by("pk")[0].pk,)))
    discard(EVERYTHING, by="a test")
    read(make_item(1, name="f"), make_item(3, name="better"), make_item(5, name="bad still"))
    read(make_item(1, name="f", colour="red"), make_item(3, name="best"), make_item(5, name="bad still"))
    for _ in range(3):
        ingest_here(Fickle([make_item(1, name="f")]))
    claim = start().claim
    add_event(claim.run_id, EventKind.RETRY, "Retrying.")
    ending.end(claim, ending.failed(Reason.SOURCE_UNREACHABLE, "gone"))
    ingest_here(Fickle([make_item(1, name="f")]))
    pass_days(20)


def test_all_but_the_newest_versions_are_removed() -> None:
    read_versions("a", "b", "c", "d")
    pass_days(20)
    pruned = prune(Policy(raw_days=10, keep_versions=2))
    assert list_versions() == ["c", "d"]
    assert pruned.rows == {("raw_api_data", "listed"): 2}
    assert Checkpoint.objects.get().raw_count == 3
    assert verify() == []


def test_versions_and_their_counts_are_removed_together_or_not_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    read_versions("a", "b", "c")
    pass_days(20)
    before = count_rows()

    def fail(*given: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(run_removal, "count_pruned", fail)
    with pytest.raises(ZeroDivisionError):
        prune(Policy(raw_days=10))
    assert count_rows() == before
    assert verify() == []


def test_younger_rows_stay() -> None:
    read_versions("a", "b")
    pass_days(20)
    read_versions("c", "d")
    pass_days(9)
    prune(Policy(raw_days=10, events_days=10, runs_days=10))
    assert list_versions() == ["c", "d"]
    assert RunEvent.objects.count() == 4
    assert verify() == []


def test_the_version_that_a_unified_record_points_to_stays() -> None:
    read_versions("a", "b", "c", "d")
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE unified_records SET raw_id = (SELECT min(id) FROM raw_records WHERE external_id = '1')"
            " WHERE external_id = '1'"
        )
    pass_days(20)
    prune(Policy(raw_days=10))
    assert list_versions() == ["a", "d"]
    assert verify() == []


def test_unified_records_do_not_change() -> None:
    live_a_year()
    before = fetch("SELECT xmin, * FROM unified_records ORDER BY id")
    prune(EVERYTHING_OLD)
    assert fetch("SELECT xmin, * FROM unified_records ORDER BY id") == before


def test_after_pruning_verify_still_finds_no_problem() -> None:
    live_a_year()
    assert verify() == []
    before = count_rows()
    prune(EVERYTHING_OLD)
    after = count_rows()
    assert all(after[table] < before[table] for table in TABLES[:4])
    assert verify() == []
    read(make_item(1, name="g"), make_item(3, name="bad again"))
    assert verify() == []


@pytest.mark.parametrize(
    "damage",
    [
        "DELETE FROM raw_api_data WHERE id = (SELECT max(id) FROM raw_api_data)",
        "UPDATE etl_runs SET pruned_raw = pruned_raw - 1 WHERE pruned_raw > 0",
        "UPDATE ingestion_checkpoints SET pruned_new = pruned_new + 1",
        "UPDATE ingestion_checkpoints SET raw_count = raw_count + 1",
        "DELETE FROM etl_runs WHERE new > 0",
    ],
)
def test_after_pruning_verify_still_finds_problems(damage: str) -> None:
    read_versions("a", "b", "c", "d")
    pass_days(20)
    read_versions("e")
    prune(Policy(raw_days=10))
    assert verify() == []
    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
        cursor.execute(damage)
        cursor.execute("RESET session_replication_role")
    assert verify() != []


def test_totals_do_not_fall() -> None:
    live_a_year()
    before = {total.pk: (total.value, total.latest) for total in Total.objects.all()}
    prune(EVERYTHING_OLD)
    assert {total.pk: (total.value, total.latest) for total in Total.objects.all()} == before
    assert Total.objects.exclude(pruned=0).exists()


def test_a_dry_run_predicts_the_removed_rows_and_writes_nothing() -> None:
    live_a_year()
    before = dump()
    foretold = prune(EVERYTHING_OLD, is_dry_run=True)
    assert dump() == before
    assert {table for table, _ in foretold.rows} == {"raw_api_data", *TABLES[1:4]}
    assert prune(EVERYTHING_OLD).rows == foretold.rows
    assert not prune(EVERYTHING_OLD).rows.total()


@pytest.mark.parametrize("batch", [1, 2, 3])
def test_the_size_of_a_batch_changes_nothing(batch: int) -> None:
    live_a_year()
    foretold = prune(EVERYTHING_OLD, is_dry_run=True)
    assert prune(EVERYTHING_OLD, batch=batch).rows == foretold.rows
    assert verify() == []


def test_a_dry_run_waits_for_no_lock() -> None:
    live_a_year()
    with connections["default"].copy().cursor() as batch:
        batch.execute("BEGIN")
        batch.execute("LOCK TABLE etl_runs, ingestion_checkpoints IN EXCLUSIVE MODE")
        assert prune(EVERYTHING_OLD, is_dry_run=True).rows
        batch.execute("ROLLBACK")
        batch.connection.close()


def test_only_the_named_source_is_pruned() -> None:
    live_a_year()
    Checkpoint.objects.create(source="other")
    assert not prune(EVERYTHING_OLD, sources=["other"]).rows.total()


def test_open_quarantine_stays_regardless_of_age() -> None:
    read(make_item(1), make_item(2, name="bad"))
    pass_days(1000)
    read(make_item(1, name="new"), make_item(2, name="bad"))
    pass_days(1000)
    assert not prune(Policy(quarantine_days=1)).rows.total()


def test_a_gone_refusal_is_removed() -> None:
    read(make_item(1), make_item(2, name="bad"))
    read(make_item(1))
    pass_days(20)
    assert prune(Policy(quarantine_days=10)).rows == {("etl_quarantine", "listed"): 1}
    assert verify() == []


def test_a_settled_refusal_is_removed() -> None:
    read(make_item(1), make_item(2, name="bad"))
    discard(EVERYTHING, by="a test")
    read(make_item(1))
    pass_days(20)
    assert prune(Policy(quarantine_days=10)).rows == {("etl_quarantine", "listed"): 1}
    assert verify() == []


def test_a_discarded_record_that_is_still_sent_does_not_come_back() -> None:
    read(make_item(1), make_item(2, name="bad"))
    discard(EVERYTHING, by="a test")
    pass_days(20)
    prune(Policy(quarantine_days=10))
    read(make_item(1, name="new"), make_item(2, name="bad"))
    assert list(QuarantinedRecord.objects.values_list("status", flat=True)) == ["discarded"]


def test_refusals_stay_while_a_read_is_open() -> None:
    read(make_item(1), make_item(2, name="bad"))
    discard(EVERYTHING, by="a test")
    land(start(), Fickle(), [make_item(1, name="new")])  # the read is interrupted before the second record
    end_lease()
    pass_days(20)
    assert not prune(Policy(quarantine_days=10)).rows.total()


def test_a_replayed_refusal_stays_while_a_replay_may_need_it() -> None:
    """The newest read refused `bad 2`. A record from an older read's refusal must not count as its own."""
    read(make_item(1, name="bad 1"))
    read(make_item(1, name="bad 2"))
    first, _ = QuarantinedRecord.objects.order_by("pk")
    replay_now(Selection(ids=(first.pk,)))
    pass_days(20)
    prune(EVERYTHING_OLD)
    replay_now()
    assert [row[1] for row in dump_unified("listed")] == ["bad 2"]
    assert verify() == []


def test_a_version_from_quarantine_stays_as_long_as_its_refusal() -> None:
    read(make_item(1, name="bad"), make_item(2))
    replay_now()
    read(make_item(1, name="a"), make_item(2))
    read(make_item(1, name="b"), make_item(2))
    pass_days(20)
    prune(Policy(raw_days=10))
    assert list_versions() == ["bad", "b"]
    prune(Policy(raw_days=10, quarantine_days=10))
    assert list_versions() == ["b"]
    assert verify() == []


def test_runs_are_removed_after_their_records() -> None:
    read_versions("a", "b", "c")
    pass_days(20)
    read_versions("d")
    prune(Policy(runs_days=10))
    assert Run.objects.count() == 4
    prune(Policy(raw_days=10, runs_days=10))
    # The first run landed the second record, which has no newer version.
    assert Run.objects.count() == 2
    assert Run.objects.order_by("pk")[0].pruned_raw == 1
    assert verify() == []


def test_the_new_records_of_pruned_runs_stay_counted() -> None:
    read_versions("a")
    read(make_item(1, name="b"), make_item(2, name="other"))
    pass_days(20)
    read_versions("c")
    prune(EVERYTHING_OLD)
    assert Checkpoint.objects.get().pruned_new == 2
    assert verify() == []


def test_a_run_with_a_refused_record_stays() -> None:
    read(make_item(1, name="bad"))
    pass_days(20)
    read(make_item(2))
    prune(EVERYTHING_OLD)
    assert Run.objects.count() == 2


def test_the_newest_runs_stay_regardless_of_age() -> None:
    read(make_item(1))
    for _ in range(5):
        ingest_here(Fickle([make_item(1)]))
    pass_days(20)
    ids = list(Run.objects.order_by("pk").values_list("pk", flat=True))
    prune(Policy(runs_days=10, keep_runs=2))
    # The first run stays too, because it read something.
    assert list(Run.objects.order_by("pk").values_list("pk", flat=True)) == [ids[0], *ids[-2:]]


def test_the_last_scheduled_run_stays_so_that_it_is_not_queued_again() -> None:
    sweeping.sweep()
    due = Run.objects.get()
    executor.execute_queued(due.pk)
    for _ in range(3):
        ingest_here(Fickle([make_item(1)]))
    pass_days(20)
    for _ in range(3):
        ingest_here(Fickle([make_item(1)]))
    assert prune(Policy(runs_days=1)).rows.total()
    sweeping.sweep()
    assert Run.objects.filter(trigger=Trigger.SCHEDULE).get() == due


def test_open_runs_and_their_events_stay() -> None:
    run = orders.queue("listed", key="k", trigger=Trigger.API, by="a test")
    running = start("other")
    pass_days(1000)
    prune(Policy(runs_days=1, events_days=1))
    assert set(Run.objects.values_list("pk", flat=True)) == {run.pk, running.claim.run_id}
    assert RunEvent.objects.count() == 2


def test_snapshots_outlive_their_runs() -> None:
    read(make_item(1))
    with connection.cursor() as cursor:
        cursor.execute("UPDATE schema_snapshots SET run_id = NULL")
    read(make_item(1, name="other", colour="red"))
    read(make_item(1, name="third", colour="red"))
    pass_days(20)
    read(make_item(1, name="fourth", colour="red"))
    prune(EVERYTHING_OLD)
    assert fetch("SELECT number, run_id FROM schema_snapshots ORDER BY number") == [(1, None), (2, None)]


def test_no_epoch_is_raised_and_a_running_run_continues() -> None:
    live_a_year()
    started = start()
    prune(EVERYTHING_OLD)
    assert Checkpoint.objects.get().epoch == started.claim.epoch
    land(started, Fickle(), [make_item(9)])
    assert verify() == []


def test_a_source_with_a_long_batch_is_left_for_the_next_time(monkeypatch: pytest.MonkeyPatch) -> None:
    live_a_year()
    monkeypatch.setattr(pruning, "PATIENT_ATTEMPTS", 1)
    foretold = prune(EVERYTHING_OLD, is_dry_run=True)
    with connections["default"].copy().cursor() as batch:
        batch.execute("BEGIN")
        batch.execute("SELECT FROM ingestion_checkpoints FOR UPDATE")
        began = time.monotonic()
        pruned = prune(EVERYTHING_OLD)
        assert time.monotonic() - began < 20  # with its usual patience, 30 s
        batch.execute("ROLLBACK")
        batch.connection.close()
    assert list(pruned.left) == ["listed"]
    assert {table for (table, _), count in pruned.rows.items() if count} == {"etl_run_events"}
    assert verify() == []
    assert prune(EVERYTHING_OLD).rows["etl_runs", "listed"] == foretold.rows["etl_runs", "listed"]


def test_simultaneous_passes_remove_each_row_once() -> None:
    read_versions(*"abcdefghij")
    pass_days(20)
    foretold = prune(EVERYTHING_OLD, is_dry_run=True)
    pruned: list[Any] = []

    def prune_too() -> None:
        try:
            pruned.append(prune(EVERYTHING_OLD, batch=1))
        finally:
            connections.close_all()

    threads = [threading.Thread(target=prune_too) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    raw = ("raw_api_data", "listed")
    assert sum(one.rows[raw] for one in pruned) == foretold.rows[raw] == 9
    assert verify() == []


def test_pruning_stops_when_it_is_told_to() -> None:
    live_a_year()
    pruned = prune(EVERYTHING_OLD, should_stop=lambda: True)
    assert (pruned.rows.total(), pruned.is_through) == (0, False)


def test_the_schedule_has_a_disabled_entry_for_pruning() -> None:
    PeriodicTask.objects.all().delete()
    migrate_entry()
    assert list_entries() == [("prune", prune_task.name, False)]


def test_an_entry_of_the_projects_own_named_prune_is_left_alone() -> None:
    PeriodicTask.objects.all().delete()
    interval = IntervalSchedule.objects.create(every=1, period="days")
    PeriodicTask.objects.create(name="prune", task="shop.tasks.prune_trees", interval=interval)
    migrate_entry()
    assert list_entries() == [("etl prune", prune_task.name, False), ("prune", "shop.tasks.prune_trees", True)]
    migrate_entry("drop_entry")
    assert list_entries() == [("prune", "shop.tasks.prune_trees", True)]


def test_a_renamed_entry_for_pruning_is_not_made_twice_and_ends_with_its_task() -> None:
    PeriodicTask.objects.all().delete()
    migrate_entry()
    PeriodicTask.objects.update(name="tidy up", enabled=True)
    migrate_entry()
    assert list_entries() == [("tidy up", prune_task.name, True)]
    migrate_entry("drop_entry")
    assert list_entries() == []


def migrate_entry(step: str = "make_entry") -> None:
    getattr(import_module("etl.migrations.0015_prune_entry"), step)(apps, None)


def list_entries() -> list[tuple[str, str, bool]]:
    return list(PeriodicTask.objects.order_by("name").values_list("name", "task", "enabled"))


def test_the_task_prunes_by_the_settings(settings: Any) -> None:
    read_versions("a", "b", "c", "d")
    pass_days(20)
    settings.ETL_PRUNE_RAW_DAYS = None
    prune_task()
    assert list_versions() == ["a", "b", "c", "d"]
    settings.ETL_PRUNE_RAW_DAYS = 10
    prune_task()
    assert list_versions() == ["b", "c", "d"]


@pytest.mark.filterwarnings("ignore:No directory at")
def test_a_records_history_starts_later(client: Any, admin_user: Any) -> None:
    read_versions("a", "b", "c")
    pass_days(20)
    prune(EVERYTHING_OLD)
    client.force_login(admin_user)
    (row,) = fetch("SELECT id FROM unified_records WHERE external_id = '1'")
    versions = client.get(reverse("kasparro_api:data-history", args=row)).json()["data"]
    assert [version["is_current"] for version in versions] == [True]
    assert versions[0]["run"]["status"] == "success"


def write_versions(project: Project, count: int, version: int) -> None:
    rows = [(number, f"{name} {version}", *rest) for number, name, *rest in make_products(count)]
    path = write_products(project.folder / "products.csv", rows)
    project.environment |= {"PRODUCTS_CSV": str(path), "ETL_BATCH_SIZE": "100"}


def make_history(project: Project, count: int, versions: int) -> None:
    for version in range(versions):
        write_versions(project, count, version)
        assert project.ingest("products_csv")[0]["status"] == "success"
    pass_days(20)


COMMAND = ("prune", "--raw-older-than", "10", "--runs-older-than", "10", "--events-older-than", "10")


def count_raw() -> int:
    return int(fetch("SELECT count(*) FROM raw_csv_data")[0][0])


def await_rows(process: Any, target: int) -> None:
    wait_until(lambda: process.poll() is not None or count_raw() <= target, every=0.003)


def test_a_prune_killed_at_any_moment_leaves_nothing_inconsistent(project: Project, moments: random.Random) -> None:
    make_history(project, 900, 4)
    kills = 0
    while True:
        process = project.start(*COMMAND, "--keep-versions", "1", "--keep-runs", "1", "--batch", "50")
        target = count_raw() - 50 * moments.randint(1, 10)
        await_rows(process, target)
        time.sleep(moments.random() * 0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert verify() == []
        if process.returncode == 0:
            break
        kills += 1
    assert kills >= 5
    assert count_raw() == 900
    assert Run.objects.count() == 1


def test_a_prune_and_an_ingest_at_once_both_succeed(project: Project) -> None:
    make_history(project, 1500, 3)
    write_versions(project, 1500, 9)
    ingest = project.start("ingest", "products_csv", "--json")
    pruning = project.start(*COMMAND, "--keep-versions", "1", "--batch", "100")
    output, errors = ingest.communicate(timeout=60)
    assert '"status": "success"' in output, errors
    assert '"updated": 1500' in output
    _, errors = pruning.communicate(timeout=60)
    assert pruning.returncode == 0, errors
    assert verify() == []
    assert {row[1][-2:] for row in dump_unified("products_csv")} == {" 9"}


def test_the_command_reports_removed_rows_by_table_and_source(project: Project) -> None:
    make_history(project, 20, 4)
    told = project.run("prune", "--dry-run", "--raw-older-than", "10", "--keep-versions", "2")
    assert "raw_csv_data" in told.stdout
    assert "40 rows would be removed." in told.stdout
    assert "0 rows were removed." in project.run("prune", ETL_PRUNE_RAW_DAYS="never").stdout
    done = project.run("prune", ETL_PRUNE_RAW_DAYS="10")
    assert "20 rows were removed." in done.stdout
    assert project.run("verify").returncode == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ["--raw-older-than", "0"],
        ["--raw-older-than", "36501"],
        ["--keep-runs", "x"],
        ["--source", "nonsense"],
    ],
)
def test_wrong_usage_gives_one_clear_sentence(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    assert manage_here(capsys, "prune", *arguments).returncode == 2


@pytest.mark.parametrize("days", ["0", "36501"])
def test_a_wrong_age_in_the_environment_is_found_by_check(project: Project, days: str) -> None:
    done = project.run("check", ETL_PRUNE_RUNS_DAYS=days)
    assert done.returncode == 1
    assert f"ETL_PRUNE_RUNS_DAYS='{days}' can't be used" in done.stderr


def test_the_greatest_age_is_pruned_by() -> None:
    prune(Policy(raw_days=MOST_DAYS, quarantine_days=MOST_DAYS, events_days=MOST_DAYS, runs_days=MOST_DAYS))
