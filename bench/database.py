"""The benchmark's own databases on the embedded server, filled by real ingests of generated files."""

import json
import os
import random
import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from etl.storage.driver import open_session, sql

ROOT = Path(__file__).resolve().parent.parent
PRODUCTS = 1_000_000
OFFERS = 10_000
PATIENCE_SECONDS = 900


def write_products(path: Path, count: int, *, dearer: int = 0) -> Path:
    """Write a products file, always the same for the same arguments; `dearer` is added to every price."""
    dice = random.Random(7)
    with path.open("w", encoding="utf-8") as file:
        file.write("product_id,name,category,price,extra_col\n")
        for number in range(1, count + 1):
            name = f"Product {number} of line {dice.randrange(1000)}"
            price = f"{dice.randrange(1, 10_000) + dearer}.{dice.randrange(100):02}"
            file.write(f"{number},{name},Category {dice.randrange(200)},{price},x\n")
    return path


def write_offers(path: Path, count: int) -> Path:
    """Write a vendors file, the second source, so that a filter by source excludes some records."""
    with path.open("w", encoding="utf-8") as file:
        file.write("vendor_id,product_name,group,amount\n")
        for number in range(1, count + 1):
            file.write(f"V{number},Offer {number},Group {number % 20},{number}.50\n")
    return path


class Database:
    """A database, and the environment of a production process that uses it."""

    def __init__(self, servers: Any, name: str, folder: Path) -> None:
        self.server_url = servers.database_url()
        self.name = name
        self.url = urlunsplit(urlsplit(self.server_url)._replace(path=f"/{name}"))
        self.environment = {
            **{name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG", "TMPDIR", "TZ")},
            "DEBUG": "off",
            "SECRET_KEY": secrets.token_hex(32),
            "ALLOWED_HOSTS": "127.0.0.1",
            "HTTPS": "off",
            "DATABASE_URL": self.url,
            "REDIS_URL": servers.redis_url(),
            "PRODUCTS_CSV": str(folder / "products.csv"),
            "VENDORS_CSV": str(folder / "vendors.csv"),
        }

    def make(self) -> None:
        """Recreate the database, empty but migrated."""
        self.drop()
        self._command_server("CREATE DATABASE {}")
        self.manage("migrate", "-v0")

    def drop(self) -> None:
        self._command_server("DROP DATABASE IF EXISTS {} WITH (FORCE)")

    def _command_server(self, statement: str) -> None:
        with open_session(self.server_url, autocommit=True) as session, session.cursor() as cursor:
            cursor.execute(sql.SQL(statement).format(sql.Identifier(self.name)))

    def execute(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """Run a statement in a new session and return its rows; without a transaction, which VACUUM does not allow."""
        with open_session(self.url, autocommit=True) as session, session.cursor() as cursor:
            cursor.execute(statement, values or None)
            return cursor.fetchall() if cursor.description is not None else []

    def manage(self, *arguments: str) -> str:
        """Run a command of the project and return its standard output. End the benchmark if it fails."""
        done = subprocess.run(
            [sys.executable, str(ROOT / "manage.py"), *arguments],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE_SECONDS,
        )
        if done.returncode != 0:
            sys.exit(f"`manage.py {' '.join(arguments)}` exited with {done.returncode}: {done.stderr.strip()[-500:]}")
        return done.stdout

    def ingest(self, source: str) -> dict[str, Any]:
        """Execute a run in its own process and return its outcome, with `duration_s`."""
        outcome: dict[str, Any] = json.loads(self.manage("ingest", source, "--json"))
        return outcome

    @contextmanager
    def ingesting(self, source: str) -> Iterator["subprocess.Popen[str]"]:
        """Execute a run in the background; the process prints its outcome."""
        process = subprocess.Popen(
            [sys.executable, str(ROOT / "manage.py"), "ingest", source, "--json"],
            cwd=ROOT,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        try:
            yield process
        finally:
            process.terminate()
            process.wait()
