"""`make bench-overview`: cost of the admin's index page for few rows, and for a million records and 10,000 runs."""

import json
import os
import tempfile
from pathlib import Path
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "kasparro.settings")
os.environ["DEBUG"] = "true"  # only for this process, which starts the embedded servers

import django
from django.conf import settings

from bench.database import PRODUCTS, ROOT, Database, write_products
from bench.report import describe_machine, make_table, replace_section

FEW = 1_000
"""Number of records and of runs; more runs than the page shows."""

RUNS = 10_000
# Runs of a source that has a row, one minute apart, as a schedule creates them.
_ADD_RUNS = """
    INSERT INTO etl_runs (source, key, trigger, status, reason, attempt, at_terminal, options, created_at, started_at,
        heartbeat_at, finished_at, epoch, seen, new, updated, unchanged, duplicate, quarantined, error)
    SELECT 'products_csv', 'bench:' || n, 'schedule', 'success', 'unchanged', 1, false, '{}', at, at, at,
        at + interval '2 seconds', 1, 0, 0, 0, 0, 0, 0, ''
    FROM generate_series(1 + %s, %s) AS n, LATERAL (SELECT clock_timestamp() - n * interval '1 minute') AS times (at)
"""
_MEASURE = """
import json, statistics, time
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
client = Client(SERVER_NAME="127.0.0.1")
client.force_login(User.objects.get_or_create(username="bench", is_staff=True, is_superuser=True)[0])
assert client.get("/admin/").status_code == 200
with CaptureQueriesContext(connection) as captured:
    client.get("/admin/")
queries = len(captured)
times = []
for _ in range(30):
    began = time.perf_counter()
    client.get("/admin/")
    times.append((time.perf_counter() - began) * 1000)
print(json.dumps({"queries": queries, "ms": statistics.median(times)}))
"""


def main() -> None:
    """Fill, measure, fill more, measure again, and write the figures to docs/benchmarks.md."""
    django.setup()
    settings.EMBEDDED_SERVERS.start()
    with tempfile.TemporaryDirectory(prefix="kasparro-bench-") as name:
        folder = Path(name)
        database = Database(settings.EMBEDDED_SERVERS, "kasparro_bench_overview", folder)
        database.make()
        database.execute(_ADD_RUNS, 0, FEW)
        few = fill_and_measure(database, folder, FEW)
        database.execute(_ADD_RUNS, FEW, RUNS)
        many = fill_and_measure(database, folder, PRODUCTS)
        ((version,),) = database.execute("SHOW server_version")
        database.drop()
    rows = [
        (f"{FEW:,} records, {FEW:,} runs", str(few["queries"]), f"{few['ms']:.1f}"),
        (f"{PRODUCTS:,} records, {RUNS:,} runs", str(many["queries"]), f"{many['ms']:.1f}"),
    ]
    text = f"{describe_machine(version)}.\n\n{make_table(('rows', 'queries', 'median per page, ms'), rows)}"
    print(text)
    replace_section(ROOT / "docs" / "benchmarks.md", "overview", text)


def fill_and_measure(database: Database, folder: Path, count: int) -> dict[str, Any]:
    """Land `count` products and measure the page; its queries include two for the session and its user."""
    write_products(folder / "products.csv", count)
    database.ingest("products_csv")
    measured: dict[str, Any] = json.loads(database.manage("shell", "-v0", "-c", _MEASURE).splitlines()[-1])
    return measured


if __name__ == "__main__":
    main()
