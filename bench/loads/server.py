"""The database of the load benchmark, made new for each contestant, and what the server did: seconds and rows."""

import os
import sys
import time
from pathlib import Path
from typing import Any

from bench.database import Database
from bench.loads.processes import list_tree, read_cpu
from bench.loads.sources import SOURCES
from etl.storage.driver import open_session

TEMPLATE, NAME = "kasparro_bench_loads_template", "kasparro_bench_loads"
SETTLE_SECONDS, POLL_SECONDS = 30, 0.1
_COUNT_WRITTEN = """
    SELECT schemaname, relname, n_tup_ins + n_tup_upd + n_tup_del FROM pg_stat_user_tables
    WHERE n_tup_ins + n_tup_upd + n_tup_del > 0
"""


class LoadDatabase(Database):
    """The benchmark's database, on a server whose processes /proc shows."""

    def __init__(self, servers: Any, folder: Path, url: str = "") -> None:
        super().__init__(servers, NAME, folder)
        self.environment |= {"ETL_SOURCES": SOURCES, "BENCH_FOLDER": str(folder), "BENCH_URL": url}
        self.template = Database(servers, TEMPLATE, folder)
        self.postmaster = self._find_postmaster()

    def prepare(self) -> None:
        """Make the template: migrated and empty."""
        self.template.make()

    def renew(self) -> None:
        """Recreate the database from the template, and write everything that waits in the server's memory."""
        self.drop()
        with open_session(self.server_url, autocommit=True) as session, session.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE {NAME} TEMPLATE {TEMPLATE}")
        self.settle()

    def remove(self) -> None:
        self.drop()
        self.template.drop()

    def settle(self) -> None:
        """Wait for the last contestant's sessions, do what autovacuum does within a minute, and CHECKPOINT."""
        self.wait_for_sessions()
        self.execute("VACUUM (ANALYZE)")
        self.execute("CHECKPOINT")

    def wait_for_sessions(self) -> None:
        """Wait until other sessions have ended: then their statistics are reported."""
        deadline = time.monotonic() + SETTLE_SECONDS
        while self.count_sessions() and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS / 2)

    def count_sessions(self) -> int:
        ((count,),) = self.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            " AND backend_type = 'client backend' AND pid <> pg_backend_pid()"
        )
        return int(count)

    def _find_postmaster(self) -> int:
        with open_session(self.server_url) as session:
            stat = Path(f"/proc/{session.info.backend_pid}/stat")
            if not stat.exists():
                sys.exit("The benchmark needs a PostgreSQL on this machine: /proc does not show its processes.")
            return int(stat.read_text().rpartition(")")[2].split()[1])

    def wait_for(self, condition: str, seconds: float) -> None:
        """Wait in one session until the condition, an SQL expression, is true; end the benchmark if it stays false."""
        deadline = time.monotonic() + seconds
        with open_session(self.url, autocommit=True) as session, session.cursor() as cursor:
            while True:
                cursor.execute(f"SELECT {condition}")
                if cursor.fetchone() == (True,):
                    return
                if time.monotonic() > deadline:
                    sys.exit(f"After {seconds} s this is still false: {condition}")
                time.sleep(POLL_SECONDS)

    def read_cpu(self) -> float:
        """Return the processor seconds of all of the server's processes so far, ended ones included."""
        return read_cpu(self.postmaster, with_reaped=True) + sum(
            read_cpu(each) for each in list_tree(self.postmaster)[1:]
        )

    def count_written(self) -> dict[str, int]:
        """Return the number of rows inserted, updated and deleted so far, by table (schema.table unless public)."""
        return {
            table if schema == "public" else f"{schema}.{table}": count
            for schema, table, count in self.execute(_COUNT_WRITTEN)
        }

    def is_durable(self) -> bool:
        """Whether the settings that protect commits have their defaults."""
        wanted = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on", "wal_level": "replica"}
        return {name: self.template.execute(f"SHOW {name}")[0][0] for name in wanted} == wanted


def find_load() -> float:
    return os.getloadavg()[0]
