"""`make demo`: brings four sources through the real pipeline, twice, and shows that nothing is written twice.

It types the commands that a user would type, in processes of their own, on a database of its own
(`kasparro_demo` beside the project's), which it empties first.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import django
import psycopg2
from django.conf import settings
from django.core.management.base import CommandError
from psycopg2 import sql

from sandbox.server import Sandbox

ROOT = Path(__file__).resolve().parent.parent
DATABASE = "kasparro_demo"
TABLES = ("raw_api_data", "raw_csv_data", "raw_third_source_data", "unified_records", "etl_quarantine")
PATIENCE_SECONDS = 120
EXPECTED = (0, 3)  # `ingest` ends with 3 where records were refused, and here some are


def main() -> None:
    """Run the demo; the exit status is 0 if every step ended as it should."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "kasparro.settings")
    os.environ["PYTHONWARNINGS"] = ""
    django.setup()
    try:
        settings.EMBEDDED_SERVERS.start()
        url = make_database()
    except (CommandError, psycopg2.Error) as error:
        sys.exit(f"make demo: {error}")
    with Sandbox(plan="429:2") as sandbox:
        run_steps(url, {"DATABASE_URL": url, "COINGECKO_BASE_URL": sandbox.url})


def run_steps(url: str, environment: dict[str, str]) -> None:
    """The steps of the demo, told as they go."""
    manage("migrate", "-v0", environment=environment)
    say("1. Queue a run for each of four sources (an API, two CSV files, a JSON feed), and start a worker.")
    print("   CoinGecko is played by a local stand-in (sandbox/), which answers 429 once: watch it being waited out.")
    print("   For the real one, type `manage.py ingest coingecko_api` as shown below.\n", flush=True)
    manage("ingest", "--all", "--queue", environment=environment)
    with start_worker(environment):
        show_until_done(url)
    manage("runs", environment=environment)
    say("2. What was refused, where, and why: kept, not lost.")
    manage("quarantine", "list", environment=environment)
    say("3. What landed: one unified table.")
    show_unified(url)
    before = count_rows(url)
    say("4. All of it again, here in the terminal: what has not changed is not even read.")
    manage("ingest", "--all", environment=environment)
    say("5. And again with --full: everything is read, and only differences would be written.")
    manage("ingest", "--all", "--full", environment=environment)
    say("6. Nothing was written twice, and everything is where it belongs.")
    after = count_rows(url)
    for table in TABLES:
        print(f"   {table:<24}{before[table]:>6} rows before,{after[table]:>6} after")
    manage("verify", environment=environment)
    if before != after:
        sys.exit("make demo: rows were written twice. That is a bug: please report it.")
    show_next_steps()


def say(text: str) -> None:
    """A heading."""
    print(f"\n\033[1m{text}\033[0m" if sys.stdout.isatty() else f"\n{text}", flush=True)


def manage(*arguments: str, environment: dict[str, str]) -> None:
    """Type a command; ends the demo if it fails."""
    if arguments[0] != "migrate":
        print(f"   $ manage.py {' '.join(arguments)}", flush=True)
    done = subprocess.run(
        [sys.executable, str(ROOT / "manage.py"), *arguments], cwd=ROOT, env=os.environ | environment, check=False
    )
    if done.returncode not in EXPECTED:
        sys.exit(f"make demo: `manage.py {' '.join(arguments)}` ended with status {done.returncode}.")


@contextmanager
def start_worker(environment: dict[str, str]) -> Iterator[None]:
    """A real Celery worker, stopped at the end."""
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
        start_new_session=True,  # Ctrl-C is for us; the worker is told below
    )
    try:
        yield
    finally:
        worker.terminate()
        worker.wait()


def show_until_done(url: str) -> None:
    """What happens to the runs, line by line, until none waits or runs."""
    deadline, shown = time.monotonic() + PATIENCE_SECONDS, 0
    with closing(psycopg2.connect(url)) as session, session.cursor() as cursor:
        session.autocommit = True
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
                sys.exit(f"make demo: the runs were not through after {PATIENCE_SECONDS} s.")
            time.sleep(0.1)
    print()


def make_database() -> str:
    """An empty database for the demo on the project's server; gives its URL. Raises psycopg2.Error."""
    project_url = os.environ.get("DATABASE_URL") or settings.EMBEDDED_SERVERS.database_url()
    session = psycopg2.connect(project_url)
    try:
        session.autocommit = True
        with session.cursor() as cursor:
            name = sql.Identifier(DATABASE)
            cursor.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(name))
            cursor.execute(sql.SQL("CREATE DATABASE {}").format(name))
    finally:
        session.close()
    return urlunsplit(urlsplit(project_url)._replace(path=f"/{DATABASE}"))


def count_rows(url: str) -> dict[str, int]:
    """Rows of each table that records land in."""
    with psycopg2.connect(url) as session, session.cursor() as cursor:
        counts = {}
        for table in TABLES:
            cursor.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table)))
            (counts[table],) = cursor.fetchone() or (0,)
        return counts


def show_unified(url: str) -> None:
    """The count of each source, and its first records."""
    with psycopg2.connect(url) as session, session.cursor() as cursor:
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
    """What to type next; the demo's database stays, the project's own is another."""
    say("Next, with the project's own database:")
    python = Path(sys.executable)
    shown = python.relative_to(ROOT) if python.is_relative_to(ROOT) else python
    steps = {
        "migrate": "make the tables",
        "preview products_csv": "what a source would give, writing nothing",
        "ingest products_csv vendors_csv listings_json": "the files",
        "ingest coingecko_api": "the real CoinGecko",
        "up": "web, worker and beat: everything by itself (or: make up)",
        "runs": "what has run",
        "servers stop": "stop the embedded PostgreSQL and Valkey (or: make down)",
    }
    for command, meaning in steps.items():
        print(f"   {shown} manage.py {command:<48}# {meaning}")


if __name__ == "__main__":
    main()
