"""Every record lands once even if real processes are killed, frozen or disconnected."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from etl.models import Checkpoint, Run
from etl.reports.verification import verify
from etl.storage.driver import OperationalError, open_session
from kasparro.embedded import Servers
from tests.factories import make_products, write_products
from tests.gated_source import gated
from tests.listed_source import dump_quarantine, dump_raw, dump_unified, fetch
from tests.processes import ROOT, Project, await_stop, wait_until
from tests.shop.models import Thing

COUNT = 3_000
BATCH = 50
STORES = pytest.mark.parametrize("store", ["unified", "target"])
"""The law holds for the unified table, and for a team's own model in its place."""


def products_file(project: Project, count: int = COUNT, *, store: str = "unified") -> Path:
    """Products, every hundredth of them refused; small batches, so that there are many moments to die in."""
    if store == "target":
        project.environment |= {
            "DJANGO_SETTINGS_MODULE": "tests.shop.settings",
            "ETL_SOURCES": "tests.shop.sources.ProductsIntoThings",
        }
    rows = [(i, n, c, "free" if i % 100 == 0 else p, x) for i, n, c, p, x in make_products(count)]
    path = write_products(project.folder / "products.csv", rows)
    project.environment |= {"PRODUCTS_CSV": str(path), "ETL_BATCH_SIZE": str(BATCH)}
    return path


def landed_batches() -> int:
    return int(Checkpoint.objects.filter(source="products_csv").values_list("batch_number", flat=True).first() or 0)


def await_batches(process: Any, target: int) -> None:
    wait_until(lambda: process.poll() is not None or landed_batches() >= target)


def add_up_runs() -> dict[str, int]:
    (totals,) = fetch(
        "SELECT coalesce(sum(seen), 0)::int, coalesce(sum(new), 0)::int, coalesce(sum(updated), 0)::int,"
        " coalesce(sum(unchanged), 0)::int, coalesce(sum(duplicate), 0)::int, coalesce(sum(quarantined), 0)::int"
        " FROM etl_runs"
    )
    return dict(zip(("seen", "new", "updated", "unchanged", "duplicate", "quarantined"), totals, strict=True))


def assert_landed_once(count: int = COUNT, *, store: str = "unified") -> None:
    """Raw, unified, quarantine, a team's own rows and the sum of all runs' counters match the file exactly."""
    refused = count // 100
    good = [i for i in range(1, count + 1) if i % 100]
    assert [(int(row[0]), row[1]) for row in dump_raw("products_csv")] == [(i, i) for i in good]
    assert sorted(int(row[0]) for row in dump_unified("products_csv")) == good
    assert sorted(int(thing.key) for thing in Thing.objects.all()) == (good if store == "target" else [])
    assert [row[0] for row in dump_quarantine("products_csv")] == list(range(100, count + 1, 100))
    assert add_up_runs() == {
        "seen": count,
        "new": count - refused,
        "updated": 0,
        "unchanged": 0,
        "duplicate": 0,
        "quarantined": refused,
    }
    assert verify() == []


def outlive_the_lease(source: str = "products_csv") -> None:
    wait_until(
        lambda: fetch(
            "SELECT 1 FROM ingestion_checkpoints WHERE source = %s AND lease_expires_at < clock_timestamp()", source
        )
    )


@STORES
def test_killed_at_any_moment_a_source_goes_on_until_it_is_through(
    project: Project, moments: random.Random, store: str
) -> None:
    products_file(project, store=store)
    with gated(project) as gate:
        while not Run.objects.filter(status="partial").exists():
            target = landed_batches() + moments.randint(1, 8)
            gate.move((target + 3) * BATCH)  # however late the kill is, some more runs are killed
            process = project.start("ingest", "products_csv")
            await_batches(process, target)
            time.sleep(moments.random() * 0.01)
            process.send_signal(signal.SIGKILL)
            process.wait()
    assert_landed_once(store=store)
    others = Run.objects.exclude(status="partial")
    assert set(others.values_list("status", "reason")) == {("failed", "abandoned")}
    assert len(others) >= 3


@pytest.mark.servers
@pytest.mark.parametrize(
    ("kills", "options"), [(30, ()), (20, ("--walk",)), (15, ("--target",))], ids=["a content", "a walk", "a target"]
)
def test_killed_at_each_step_runs_lose_and_double_nothing(kills: int, options: tuple[str, ...]) -> None:
    command = [sys.executable, "-m", "tests.laws.crashes", str(kills), *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("lost 0, doubled 0, unaccounted 0\n")
    assert int(done.stdout.split(" kills in ")[0].rpartition("\n")[2]) >= kills


def test_a_killed_run_resumes_after_its_last_batch(project: Project) -> None:
    products_file(project)
    with gated(project):
        process = project.start("ingest", "products_csv")
        wait_until(lambda: landed_batches() >= 5)
        process.send_signal(signal.SIGKILL)
        process.wait()
    landed = landed_batches() * BATCH
    (outcome,) = project.ingest("products_csv")
    assert outcome["seen"] == COUNT - landed
    assert_landed_once()


def test_a_killed_full_read_is_resumed_as_the_same_read(project: Project) -> None:
    products_file(project)
    project.ingest("products_csv")
    before = landed_batches()
    with gated(project):
        process = project.start("ingest", "products_csv", "--full")
        wait_until(lambda: landed_batches() >= before + 5)
        process.send_signal(signal.SIGKILL)
        process.wait()
    read = Checkpoint.objects.get(source="products_csv").read_number
    seen = Run.objects.order_by("-id").values_list("seen", flat=True)[0]
    (outcome,) = project.ingest("products_csv", "--full")
    assert outcome["seen"] == COUNT - seen
    assert outcome["unchanged"] + outcome["quarantined"] == outcome["seen"]
    assert Checkpoint.objects.get(source="products_csv").read_number == read


@pytest.mark.parametrize(
    ("place", "store"), [("between_batches", "unified"), ("inside_copy", "unified"), ("inside_copy", "target")]
)
def test_a_frozen_run_that_wakes_after_its_successor_writes_nothing(project: Project, place: str, store: str) -> None:
    products_file(project, store=store)
    sleeper = project.start_python(
        "-m", "tests.freezing", place, "ingest", "products_csv", "--json", ETL_LEASE_SECONDS="5"
    )
    await_stop(sleeper)
    outlive_the_lease()
    (successor,) = project.ingest("products_csv")
    assert successor["status"] == "partial"
    assert_landed_once(store=store)
    sequence = Checkpoint.objects.get(source="products_csv").sequence
    sleeper.send_signal(signal.SIGCONT)
    output, errors = sleeper.communicate(timeout=60)
    assert sleeper.returncode == 1, errors
    assert '"status": "failed", "reason": "abandoned"' in output
    assert_landed_once(store=store)
    assert Checkpoint.objects.get(source="products_csv").sequence == sequence
    assert "overtaken" in Run.objects.order_by("id")[0].events.values_list("kind", flat=True)


@pytest.mark.parametrize("place", ["between_batches", "inside_copy"])
def test_a_successor_does_not_wait_for_a_frozen_run(project: Project, place: str) -> None:
    """The first batch comes a second or two after the claim, and a minute after it if the run waits."""
    products_file(project)
    sleeper = project.start_python("-m", "tests.freezing", place, "ingest", "products_csv", ETL_LEASE_SECONDS="5")
    await_stop(sleeper)
    outlive_the_lease()
    frozen_at = landed_batches()
    process = project.start("ingest", "products_csv")
    first = wait_until(
        lambda: fetch(
            "SELECT clock_timestamp() - started_at FROM etl_runs, ingestion_checkpoints AS c"
            " WHERE etl_runs.id = c.owner_run_id AND etl_runs.status = 'running' AND c.batch_number > %s",
            frozen_at,
        ),
        every=0.005,
    )
    process.wait()
    assert first[0][0].total_seconds() < 20


def test_a_run_that_slept_through_its_lease_notices_it_and_the_next_goes_on(project: Project) -> None:
    products_file(project)
    sleeper = project.start_python(
        "-m", "tests.freezing", "between_batches", "ingest", "products_csv", "--json", ETL_LEASE_SECONDS="5"
    )
    await_stop(sleeper)
    outlive_the_lease()
    sleeper.send_signal(signal.SIGCONT)
    output, _ = sleeper.communicate(timeout=60)
    assert '"status": "failed", "reason": "lease_lost"' in output
    project.ingest("products_csv")
    assert_landed_once()


@STORES
def test_sessions_ended_in_the_middle_of_batches_lose_nothing(project: Project, store: str) -> None:
    products_file(project, store=store)
    ended = 0
    with gated(project) as gate:
        process = project.start("ingest", "products_csv", "--json")
        while process.poll() is None and ended < 6:
            target = landed_batches() + 3
            gate.move((target + 3) * BATCH)  # however late this process is, the run goes on at most so far
            await_batches(process, target)
            ended += len(
                fetch(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
                    " AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
                )
            )
    output, errors = process.communicate(timeout=60)
    assert ended >= 5, errors
    assert '"status": "partial"' in output, errors
    assert_landed_once(store=store)


def test_postgresql_killed_in_mid_batch_is_survived_by_the_run(own_servers: Servers, project: Project) -> None:
    products_file(project)
    project.environment |= {"DATABASE_URL": "", "REDIS_URL": "", "KASPARRO_HOME": str(own_servers.home)}
    assert project.run("migrate", "-v0").returncode == 0

    def count_landed() -> int:
        try:
            with open_session(own_servers.database_url()) as session, session.cursor() as cursor:
                cursor.execute("SELECT batch_number FROM ingestion_checkpoints")
                return int((cursor.fetchone() or [0])[0])
        except OperationalError:
            return 0

    with gated(project):
        process = project.start("ingest", "products_csv", "--json")
        wait_until(lambda: count_landed() >= 10)
        postmaster = own_servers.list_used()[0].find_process()
        assert postmaster is not None
        os.kill(postmaster, signal.SIGKILL)
    output, errors = process.communicate(timeout=60)
    assert '"status": "partial"' in output, errors
    assert f'"seen": {COUNT}' in output
    verified = project.run("verify")
    assert verified.returncode == 0, verified.stdout


def test_valkey_flushed_and_killed_in_mid_run_changes_nothing(valkey: Servers, project: Project) -> None:
    import redis

    products_file(project)
    project.environment |= {"REDIS_URL": valkey.redis_url(), "ETL_LEASE_SECONDS": "9"}
    with gated(project), redis.Redis.from_url(valkey.redis_url()) as client:
        process = project.start("ingest", "products_csv", "--json")
        wait_until(lambda: landed_batches() >= 5)
        client.flushall()
        wait_until(lambda: client.keys("*lock:products_csv"))  # the run renews its lock every 3 s
        server = valkey.list_used()[0].find_process()
        assert server is not None
        os.kill(server, signal.SIGKILL)
    output, errors = process.communicate(timeout=60)
    assert '"status": "partial"' in output, errors
    assert_landed_once()


def test_without_valkey_a_run_works_and_warns(project: Project) -> None:
    products_file(project, count=200)
    done = project.run("ingest", "products_csv", REDIS_URL="unix:///nowhere/valkey.sock")
    assert done.returncode == 3
    assert done.stderr.count("Redis can't be reached") == 1
    assert_landed_once(200)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_closes_the_run_and_releases_the_source_at_once(project: Project, number: signal.Signals) -> None:
    products_file(project)
    with gated(project):
        project.environment["ETL_SOURCES"] += ",etl.sources.vendors.VendorsCsv"
        process = project.start("ingest", "products_csv", "vendors_csv", "--json")
        wait_until(lambda: landed_batches() >= 3)
        process.send_signal(number)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert '"status": "failed", "reason": "interrupted"' in output, errors
    assert len(output.splitlines()) == 1  # the sources after it do not start
    checkpoint = Checkpoint.objects.get(source="products_csv")
    assert (checkpoint.owner, checkpoint.owner_run, checkpoint.lease_expires_at) == ("", None, None)
    project.ingest("products_csv")
    assert_landed_once()


def test_a_reader_that_hangs_loses_its_lease(project: Project) -> None:
    from sandbox.server import Sandbox

    with Sandbox() as sandbox:
        project.environment |= {
            "COINGECKO_BASE_URL": sandbox.url,
            "ETL_SOURCES": "tests.hanging_source.HangingCoins",
        }
        hung = project.start("ingest", "coingecko_api", ETL_BATCH_DEADLINE_SECONDS="1", HANG="on")
        wait_until(lambda: Run.objects.filter(status="running").exists())
        outlive_the_lease("coingecko_api")
        (outcome,) = project.ingest("coingecko_api")
        assert outcome["new"] == 248
        assert hung.poll() is None
        assert Run.objects.order_by("id")[0].reason == "abandoned"


def test_the_lease_lives_as_long_as_a_slow_reader_keeps_its_deadline(project: Project) -> None:
    from sandbox.server import Sandbox

    with Sandbox(plan="slow:0.04") as sandbox:
        project.environment |= {"COINGECKO_BASE_URL": sandbox.url, "ETL_LEASE_SECONDS": "2"}
        slow = project.start("ingest", "coingecko_api", "--json")
        wait_until(lambda: sandbox.requests)
        time.sleep(3)
        (refused,) = project.ingest("coingecko_api")
        output, _ = slow.communicate(timeout=60)
    assert refused["status"] == "refused"
    assert '"new": 248' in output


def test_the_owner_of_a_killed_process_need_not_be_waited_for(project: Project) -> None:
    products_file(project)
    with gated(project):
        process = project.start("ingest", "products_csv", ETL_LEASE_SECONDS="3600")
        wait_until(lambda: landed_batches() >= 3)
        process.send_signal(signal.SIGKILL)
        process.wait()
    (outcome,) = project.ingest("products_csv")
    assert outcome["status"] == "partial"
    connection.close()
