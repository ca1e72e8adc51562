"""Laws 1, 2, 8 and 10: runs with a reading process lose and double nothing, and it never outlives its run."""

import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from pytest_django import Settings

from etl.execution.executor import execute_here
from etl.execution.outcomes import Outcome
from etl.models import Run
from etl.pipeline import Progress
from etl.reports.verification import verify
from etl.runs.options import Options
from etl.sources.products import ProductsCsv
from etl.supervision.os_signals import Interruption
from kasparro.embedded import Servers
from tests.execution.test_workers import await_closed, queue, start_worker
from tests.factories import make_products, write_products
from tests.laws.reading_process.reads import (
    CATEGORY,
    kill,
    list_reading_processes,
)
from tests.laws.test_crashes import (
    BATCH,
    assert_landed_once,
    await_batches,
    landed_batches,
    outlive_the_lease,
    products_file,
)
from tests.listed_source import dump_raw, dump_unified
from tests.processes import Project, await_stop, wait_until
from tests.reading_sources import TROUBLE


def ingest(report: Callable[[Progress], None] = lambda progress: None) -> Outcome:
    return execute_here(ProductsCsv(), Options(), interruption=Interruption(), report=report)


@pytest.fixture
def thousand(transactional_db: None, tmp_path: Path, settings: Settings) -> None:
    rows = [(i, n, CATEGORY, "free" if i % 100 == 0 else p, x) for i, n, _, p, x in make_products(1000)]
    settings.PRODUCTS_CSV = str(write_products(tmp_path / "products.csv", rows))


def test_killed_again_and_again_a_run_lands_everything_once(thousand: None) -> None:
    kills = []
    outcome = ingest(report=lambda progress: kills.append(kill()))
    assert (outcome.status, outcome.counters["seen"]) == ("partial", 1000)
    assert sum(kills) >= 5
    assert "killed by signal 9" in Run.objects.get().events.filter(kind="retry")[0].message
    assert_landed_once(1000)


def test_a_run_that_prepares_its_first_batches_lands_everything_once(
    thousand: None, settings: Settings, start_slowly: Callable[[int], None]
) -> None:
    path = Path(settings.PRODUCTS_CSV)
    header, *rows = path.read_text().splitlines(keepends=True)
    path.write_text("".join([header, *rows, *rows[:100]]))
    start_slowly(3)
    outcome = ingest()
    counted = {"seen": 1100, "new": 990, "duplicate": 99, "quarantined": 11, "updated": 0, "unchanged": 0}
    assert {name: outcome.counters[name] for name in counted} == counted
    assert len(dump_unified("products_csv")) == len(dump_raw("products_csv")) == 990
    assert verify() == []


def freeze() -> None:
    kill(signal.SIGSTOP)


def test_a_run_whose_reading_process_freezes_ends_and_the_next_goes_on(thousand: None, settings: Settings) -> None:
    settings.ETL_BATCH_DEADLINE_SECONDS = 1
    outcome = ingest(report=lambda progress: freeze())
    assert (outcome.status, outcome.reason) == ("failed", "lease_lost")
    assert list_reading_processes() == []
    settings.ETL_BATCH_DEADLINE_SECONDS = 600
    assert ingest().status == "partial"
    assert_landed_once(1000)


@pytest.fixture
def elsewhere(project: Project) -> Project:
    """Real runs whose content is read by a reading process."""
    products_file(project)
    project.environment["ETL_READING_PROCESS_BYTES"] = "0"
    return project


def await_reading(process: "subprocess.Popen[str]", landed: int = 3) -> None:
    wait_until(lambda: process.poll() is not None or (landed_batches() >= landed and list_reading_processes()))
    assert process.poll() is None, process.communicate()


def test_a_reading_process_ends_with_a_run_that_is_killed(elsewhere: Project) -> None:
    elsewhere.environment |= {"ETL_SOURCES": "tests.reading_sources.Sleeping", "ETL_LEASE_SECONDS": "3600"}
    process = elsewhere.start("ingest", "products_csv")
    await_reading(process, (TROUBLE - 1) // BATCH)  # the reading process sleeps now, and writes nothing
    process.send_signal(signal.SIGKILL)
    process.wait()
    wait_until(lambda: not list_reading_processes(), seconds=20)
    del elsewhere.environment["ETL_SOURCES"]
    elsewhere.ingest("products_csv")
    assert_landed_once()


def test_a_run_that_freezes_past_its_lease_leaves_no_reading_process(elsewhere: Project) -> None:
    sleeper = elsewhere.start_python(
        "-m", "tests.freezing", "between_batches", "ingest", "products_csv", "--json", ETL_LEASE_SECONDS="5"
    )
    await_stop(sleeper)
    assert len(list_reading_processes()) == 1
    outlive_the_lease()
    wait_until(lambda: not list_reading_processes())
    (successor,) = elsewhere.ingest("products_csv")
    assert successor["status"] == "partial"
    sleeper.send_signal(signal.SIGCONT)
    output, errors = sleeper.communicate(timeout=60)
    assert '"status": "failed", "reason": "abandoned"' in output, errors
    assert_landed_once()


def test_a_run_that_freezes_within_its_lease_goes_on(elsewhere: Project) -> None:
    sleeper = elsewhere.start_python("-m", "tests.freezing", "between_batches", "ingest", "products_csv", "--json")
    await_stop(sleeper)
    assert kill() == 1
    sleeper.send_signal(signal.SIGCONT)
    output, errors = sleeper.communicate(timeout=60)
    assert '"status": "partial"' in output, errors
    assert_landed_once()


def test_killed_runs_and_killed_reading_processes_lose_nothing(elsewhere: Project, moments: random.Random) -> None:
    while not Run.objects.filter(status="partial").exists():
        process = elsewhere.start("ingest", "products_csv")
        target = landed_batches() + moments.randint(5, 25)
        await_batches(process, target)
        kill()
        time.sleep(moments.random() * 0.3)
        if moments.random() < 0.5:
            process.send_signal(signal.SIGKILL)
        process.communicate()
        wait_until(lambda: not list_reading_processes())
    assert_landed_once()


def test_ctrl_c_ends_the_reading_process_without_a_word(elsewhere: Project) -> None:
    elsewhere.environment["ETL_SOURCES"] = "tests.reading_sources.Sleeping"
    process = elsewhere.start("ingest", "products_csv", "--json")
    await_reading(process, (TROUBLE - 1) // BATCH)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    output, errors = process.communicate(timeout=60)
    assert list_reading_processes() == []
    assert '"status": "failed", "reason": "interrupted"' in output, errors
    assert "Traceback" not in errors


def test_a_workers_process_starts_one(elsewhere: Project, valkey: Servers) -> None:
    elsewhere.environment |= {"REDIS_URL": valkey.redis_url(), "ETL_SOURCES": "etl.sources.products.ProductsCsv"}
    run_id = queue(elsewhere)
    worker = start_worker(elsewhere)
    await_reading(worker)
    assert await_closed(run_id).status == "partial"
    wait_until(lambda: not list_reading_processes())
    assert_landed_once()
