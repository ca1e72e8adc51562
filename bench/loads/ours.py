"""Our runs: in a terminal, through a worker, and how long a command takes that has nothing to do."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.conf import settings

from bench.database import ROOT
from bench.loads import yardstick
from bench.loads.measuring import Bench, Case, Meter
from bench.loads.processes import Done, read_tree_cpu, run, sampling
from bench.loads.sources import SOURCES

TERMINAL, WORKER, BARE = "Kasparro", "Kasparro, worker", "bare Python"
FILES = {
    **{name: f"{name}.csv" for name in ("products", "rough", "export", "wide")},
    "lines": "products.ndjson",
    "array": "products.json",
    "shop": "shop.csv",
}
START_ROWS = 100
READY_SECONDS, RUN_SECONDS = 60, 3600
_LANDED = "(SELECT count(*) = 1 AND bool_and(status IN ('success', 'partial')) FROM etl_runs)"
_SWEPT = f"""
    (SELECT count(*) = {len(SOURCES.split(","))} FROM django_celery_beat_periodictask WHERE name LIKE 'ingest bench%')
"""
_BARE = "import django; from django.conf import settings; settings.configure(**{settings!r}); django.setup()"


def manage(*arguments: str) -> list[str]:
    return [sys.executable, str(ROOT / "manage.py"), *arguments]


def place(bench: Bench, source: str, variant: str = "first") -> None:
    """Put the source's file of this variant where the source reads it."""
    os.link(bench.folder / variant / FILES[source], empty_place(bench, source))


def empty_place(bench: Bench, source: str) -> Path:
    """Return the path that the source reads. A file there is removed, not changed: it may be a link."""
    target = bench.folder / FILES[source]
    target.unlink(missing_ok=True)
    return target


def ingest(bench: Bench, source: str, step: str, *options: str) -> dict[str, Any]:
    done = bench.measure(Case(TERMINAL, source, step), manage("ingest", f"bench_{source}", "--json", *options))
    outcome: dict[str, Any] = json.loads(done.output.splitlines()[-1])
    if outcome["status"] not in ("success", "partial"):
        sys.exit(f"{source}, {step}: {outcome}")
    return outcome


def load_first(bench: Bench, source: str) -> None:
    """A first load of an empty database, whose rows become the yardstick's."""
    bench.database.renew()
    place(bench, source)
    outcome = ingest(bench, source, "first")
    if not outcome["new"] or not outcome["quarantined"]:
        sys.exit(f"A first load of {source} must add and refuse records: {outcome}")
    if source in yardstick.TABLES:
        yardstick.keep_rows(bench, source)


def load_all(bench: Bench, source: str) -> None:
    """A first load, the same file again, `--full`, and 0.1 % changed."""
    load_first(bench, source)
    ingest(bench, source, "again")
    bench.measure(Case(TERMINAL, source, "sources"), manage("sources"))
    ingest(bench, source, "full", "--full")
    place(bench, source, "changed")
    if not ingest(bench, source, "changed")["updated"]:
        sys.exit(f"{source}: no record was changed")


def load_through_worker(bench: Bench, source: str) -> None:
    """A first load by a worker that runs already: from the start of `ingest --queue` to the end of the run."""
    bench.database.renew()
    place(bench, source)
    with _working(bench) as worker:
        bench.database.execute("CHECKPOINT")
        meter, cpu = Meter(bench.database), read_tree_cpu(worker.pid)
        with sampling(worker.pid, counts_parent=False) as peak:  # it reads nothing: its child does
            began = time.perf_counter()
            queued = run(manage("ingest", f"bench_{source}", "--queue"), bench.database.environment, bench.folder)
            bench.database.wait_for(_LANDED, RUN_SECONDS)
            seconds = time.perf_counter() - began
        used = read_tree_cpu(worker.pid) - cpu + queued.cpu
    bench.figures.add(Case(WORKER, source), meter.finish(Done(seconds, used, peak.mib, 0, "")))


@contextmanager
def _working(bench: Bench) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a worker that has finished its first sweep, which makes the schedule's entries."""
    options = ("--without-gossip", "--without-mingle", "--concurrency", "1", "--loglevel", "ERROR")
    command = [sys.executable, "-m", "celery", "-A", "kasparro", "worker", *options]
    with (bench.folder / "worker.txt").open("wb") as log:
        worker = subprocess.Popen(command, cwd=ROOT, env=bench.database.environment, stdout=log, stderr=log)
    try:
        bench.database.wait_for(_SWEPT, READY_SECONDS)
        time.sleep(1)
        yield worker
    finally:
        worker.terminate()
        worker.wait()


def time_starts(bench: Bench, rounds: int) -> None:
    """Compare commands that have nothing to do with a bare process that sets up the same apps."""
    bench.database.renew()
    place(bench, "products", "start")
    run(manage("ingest", "bench_products"), bench.database.environment, bench.folder)
    for _ in range(rounds):
        ingest(bench, "products", "nothing")
        bench.measure(Case(BARE, "products", "nothing"), _make_bare(bench))


def _make_bare(bench: Bench) -> list[str]:
    """The command of a process that only sets up Django with the project's apps and not its settings."""
    given = {"INSTALLED_APPS": list(settings.INSTALLED_APPS), "SECRET_KEY": "bare", "USE_TZ": True}
    return [sys.executable, "-c", _BARE.format(settings=given)]
