"""`make demo`: takes sources through the real pipeline, several times, and shows that nothing is written twice.

It runs the commands that a user would type, each in its own process, on its own database `kasparro_demo` on the
project's server. It recreates that database first.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit, urlunsplit

import django
from django.conf import settings
from django.core.management.base import CommandError

from etl.storage.driver import Error, open_session, sql
from sandbox.markets import CoinMarkets
from sandbox.server import Sandbox

ROOT = Path(__file__).resolve().parent.parent
DATABASE = "kasparro_demo"
TABLES = ("raw_api_data", "raw_csv_data", "raw_third_source_data", "unified_records", "etl_quarantine")
PATIENCE_SECONDS = 120
COINS, KILLED_AT = 5000, 13  # 20 pages
FAILED = (1,)
EXPECTED = (0, 3)  # `ingest` exits with 3 if records were refused, and the demo's sources have some


def main() -> None:
    """Run the demo; the exit status is 0 if every step ended as expected."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "kasparro.settings")
    os.environ["PYTHONWARNINGS"] = ""
    django.setup()
    try:
        settings.EMBEDDED_SERVERS.start()
        url = make_database()
    except (CommandError, Error) as error:
        sys.exit(f"make demo: {error}")
    with Sandbox(plan="429:2") as sandbox:
        run_steps(url, {"DATABASE_URL": url, "COINGECKO_BASE_URL": sandbox.url})


def run_steps(url: str, environment: dict[str, str]) -> None:
    """Run the steps of the demo and explain each one."""
    manage("migrate", "-v0", environment=environment)
    say("1. Queue a run for each of four sources (an API, two CSV files, a JSON feed), and start a worker.")
    print("   A local stand-in (sandbox/) replaces CoinGecko. It responds with 429 once; the run waits and retries.")
    print("   For the real CoinGecko, run `manage.py ingest coingecko_api` as shown at the end.\n", flush=True)
    manage("ingest", "--all", "--queue", environment=environment)
    with start_worker(environment):
        show_until_done(url)
    manage("runs", environment=environment)
    say("2. Refused records are kept, with the place and the reason.")
    manage("quarantine", "list", environment=environment)
    say("3. Accepted records of all sources land in one unified table.")
    show_unified(url)
    before = count_rows(url)
    say("4. Ingest everything again, here in the terminal: unchanged sources are not even read.")
    manage("ingest", "--all", environment=environment)
    say("5. Ingest once again with --full: everything is read, but only differences would be written.")
    manage("ingest", "--all", "--full", environment=environment)
    say("6. Nothing was written twice, and `verify` finds no problem.")
    after = count_rows(url)
    for table in TABLES:
        print(f"   {table:<24}{before[table]:>6} rows before,{after[table]:>6} after")
    manage("verify", environment=environment)
    if before != after:
        sys.exit("make demo: rows were written twice. That is a bug; please report it.")
    with tempfile.TemporaryDirectory(prefix="kasparro-demo-") as folder:
        show_verdict_and_removal(Path(folder) / "products.csv", environment)
    show_killed_walk(url, environment)
    show_next_steps()


def show_verdict_and_removal(products: Path, environment: dict[str, str]) -> None:
    """Read a copy of the products that has lost a column, and then one that has lost records."""
    own = environment | {"PRODUCTS_CSV": str(products)}
    header, *lines = (ROOT / "data" / "products.csv").read_text().splitlines(keepends=True)
    say("7. A copy of the products in which a column has another name: the run fails before anything lands.")
    products.write_text(header.replace("name", "title") + "".join(lines))
    manage("ingest", "products_csv", environment=own, expected=FAILED)
    print("   The same file again fails again, until the file or the contract changes:")
    manage("ingest", "products_csv", environment=own, expected=FAILED)
    manage("reads", "products_csv", environment=own)
    say("8. A copy in which the last product is missing: it is removed, and /changes says so.")
    products.write_text(header + "".join(lines[:-1]))
    manage("ingest", "products_csv", environment=own)
    manage("verify", environment=own)


def show_killed_walk(url: str, environment: dict[str, str]) -> None:
    """Kill a run while it reads an API page by page, run it again, and show which pages each of them asked for."""
    say("9. An API gives its records in 20 pages. The run is killed in the middle (kill -9), and started again.")
    with CoinMarkets(COINS) as api:
        sources = {"ETL_SOURCES": "etl.sources.coingecko_markets.CoinGeckoMarkets", "ETL_BATCH_SIZE": "500"}
        own = environment | sources | {"COINGECKO_BASE_URL": api.url}
        kill_at_page(api, own)
        killed = list_pages(api)
        landed = count_markets(url)
        api.forget()
        manage("ingest", "coingecko_markets", environment=own)
        rest = list_pages(api)
    all_landed = count_markets(url)
    print(f"\n   {'run':<14}{'pages it asked for':<24}{'records it landed':>17}")
    print(f"   {'killed':<14}{describe_pages(killed):<24}{landed:>17,}")
    print(f"   {'started again':<14}{describe_pages(rest):<24}{all_landed - landed:>17,}")
    print(f"\n   All {COINS:,} records have landed once. Page {max(rest)} has no records: there the API ends.")
    print("   Page 1 is asked for once more: it would show if records had moved to other pages meanwhile.")
    if all_landed != COINS or rest[0] * COINS // 20 <= landed:
        sys.exit("make demo: a page was asked for again, or a record is missing. That is a bug; please report it.")


def kill_at_page(api: CoinMarkets, environment: dict[str, str]) -> None:
    """Start a run, and kill it while it waits for a page in the middle."""
    print("   $ manage.py ingest coingecko_markets", flush=True)
    api.hold(KILLED_AT)
    command = [sys.executable, str(ROOT / "manage.py"), "ingest", "coingecko_markets"]
    with subprocess.Popen(command, cwd=ROOT, env=os.environ | environment, stdout=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while len(api.requests) < KILLED_AT and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
    if len(api.requests) < KILLED_AT:
        sys.exit(f"make demo: the run ended, or had not asked for {KILLED_AT} pages after {PATIENCE_SECONDS} s.")
    print(f"   Killed while it waited for page {list_pages(api)[-1]}.", flush=True)


def list_pages(api: CoinMarkets) -> list[int]:
    """Return the numbers of the pages that were asked for."""
    return [int(parse_qs(urlsplit(request).query)["page"][0]) for request in api.requests]


def describe_pages(pages: Sequence[int]) -> str:
    """Say which pages these are, as ranges."""
    starts = [page for before, page in zip([None, *pages], pages, strict=False) if before is None or page != before + 1]
    ends = [page for page, after in zip(pages, [*pages[1:], None], strict=False) if after is None or after != page + 1]
    return ", ".join(f"{one} to {other}" if one != other else f"{one}" for one, other in zip(starts, ends, strict=True))


def count_markets(url: str) -> int:
    """Count the records of the API that have landed."""
    with open_session(url) as session, session.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM unified_records WHERE source = 'coingecko_markets'")
        (count,) = cursor.fetchone() or (0,)
        return int(count)


def say(text: str) -> None:
    """Print a heading."""
    print(f"\n\033[1m{text}\033[0m" if sys.stdout.isatty() else f"\n{text}", flush=True)


def manage(*arguments: str, environment: dict[str, str], expected: Collection[int] = EXPECTED) -> None:
    """Show and run a command; end the demo if its exit status is not an expected one."""
    if arguments[0] != "migrate":
        print(f"   $ manage.py {' '.join(arguments)}", flush=True)
    done = subprocess.run(
        [sys.executable, str(ROOT / "manage.py"), *arguments], cwd=ROOT, env=os.environ | environment, check=False
    )
    if done.returncode not in expected:
        sys.exit(f"make demo: `manage.py {' '.join(arguments)}` ended with status {done.returncode}.")


@contextmanager
def start_worker(environment: dict[str, str]) -> Iterator[None]:
    """Run a real Celery worker and stop it at the end."""
    worker = subprocess.Popen(
        [
            sys.executable,
            "-W",
            "ignore:You're running the worker",
            "-m",
            "celery",
            "-A",
            "kasparro",
            "worker",
            "--without-gossip",
            "--without-mingle",
            "--concurrency",
            "2",
            "--loglevel",
            "ERROR",
        ],
        cwd=ROOT,
        env=os.environ | environment,
        stdout=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C reaches only this process, which then stops the worker
    )
    try:
        yield
    finally:
        worker.terminate()
        worker.wait()


def show_until_done(url: str) -> None:
    """Print the events of the runs, one per line, until no run is queued or running."""
    deadline, shown = time.monotonic() + PATIENCE_SECONDS, 0
    with open_session(url, autocommit=True) as session, session.cursor() as cursor:
        while True:
            cursor.execute("SELECT count(*) FROM etl_runs WHERE status IN ('queued', 'running')")
            (open_runs,) = cursor.fetchone() or (0,)
            cursor.execute(
                "SELECT event.id, source, kind, message FROM etl_run_events AS event"
                " JOIN etl_runs ON run_id = etl_runs.id WHERE event.id > %s ORDER BY event.id",
                [shown],
            )
            for number, source, kind, message in cursor.fetchall():
                shown = number
                print(f"   {source:<14} {kind:<10} {message}", flush=True)
            if not open_runs:
                break
            if time.monotonic() > deadline:
                sys.exit(f"make demo: the runs had not finished after {PATIENCE_SECONDS} s.")
            time.sleep(0.1)
    print()


def make_database() -> str:
    """Create an empty database for the demo on the project's server and return its URL. Raise the driver's Error."""
    project_url = os.environ.get("DATABASE_URL") or settings.EMBEDDED_SERVERS.database_url()
    with open_session(project_url, autocommit=True) as session, session.cursor() as cursor:
        name = sql.Identifier(DATABASE)
        cursor.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(name))
        cursor.execute(sql.SQL("CREATE DATABASE {}").format(name))
    return urlunsplit(urlsplit(project_url)._replace(path=f"/{DATABASE}"))


def count_rows(url: str) -> dict[str, int]:
    """Count the rows of each table that stores records."""
    with open_session(url) as session, session.cursor() as cursor:
        counts = {}
        for table in TABLES:
            cursor.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table)))
            (counts[table],) = cursor.fetchone() or (0,)
        return counts


def show_unified(url: str) -> None:
    """Print each source's number of records and its first two."""
    with open_session(url) as session, session.cursor() as cursor:
        query = "SELECT source, COUNT(*) FROM unified_records GROUP BY source ORDER BY source"
        print(f"   {query};")
        cursor.execute(query)
        for source, count in cursor.fetchall():
            print(f"   {source:<16}{count:>6}")
        cursor.execute(
            "SELECT source, external_id, name, category, trim_scale(value), currency FROM ("
            " SELECT *, row_number() OVER (PARTITION BY source ORDER BY id) AS number FROM unified_records"
            ") AS numbered WHERE number <= 2 ORDER BY source, number"
        )
        print(f"\n   {'source':<16}{'external_id':<13}{'name':<20}{'category':<14}{'value':>9}  currency")
        for source, external_id, name, category, value, currency in cursor.fetchall():
            amount = "" if value is None else f"{value:f}"
            print(f"   {source:<16}{external_id:<13}{name:<20}{category or '':<14}{amount:>9}  {currency or ''}")


def show_next_steps() -> None:
    """Print the next commands. They use the project's own database, not the demo's, which stays."""
    say("Next, with the project's own database:")
    python = Path(sys.executable)
    shown = python.relative_to(ROOT) if python.is_relative_to(ROOT) else python
    steps = {
        "migrate": "create the tables",
        "preview products_csv": "show a source's records and write nothing",
        "ingest products_csv vendors_csv listings_json": "ingest the files",
        "ingest coingecko_api": "ingest the real CoinGecko",
        "up": "start web, worker and beat, which run the sources on schedule (or: make up)",
        "runs": "list the runs",
        "servers stop": "stop the embedded PostgreSQL and Valkey (or: make down)",
    }
    for command, meaning in steps.items():
        print(f"   {shown} manage.py {command:<48}# {meaning}")


if __name__ == "__main__":
    main()
