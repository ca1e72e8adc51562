"""`make bench-indexes`, second part: what each index of the tables that a load writes serves, and what it costs.

The rows of a real load are inserted into an empty copy of their table, without any index and with one at a time. The
size and the amount of WAL hardly depend on what else the machine does; the server's processor time depends on it a bit.
"""

import argparse
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "kasparro.settings")
os.environ["DEBUG"] = "true"  # only for this process, which starts the embedded servers

import django

django.setup()

from django.conf import settings

from bench.database import PRODUCTS, ROOT, Database, write_products
from bench.report import describe_machine, make_table, replace_section
from etl.storage.driver import open_session

SOURCE = "products_csv"
TABLES = ("raw_csv_data", "unified_records")
TICKS, MIB = os.sysconf("SC_CLK_TCK"), 1 << 20
SERVES = {
    "raw_csv_data_pkey": "the content of a record; pages of the admin; pruning",
    "raw_csv_data_record": "the history of a record in the admin; pruning, which keeps its newest versions",
    "raw_csv_data_run": "the rows of a run: `verify`, the admin",
    "unified_records_pkey": "pages of `/data`; updates; the lookup of a read in the order of the last one",
    "unified_records_source_external_id": "one row a record; the lookup of a batch; pages of one source",
    "unified_records_changes": "`/changes`; the search for vanished records",
    "unified_records_target": "the admin of a team's own model; holds the records of its sources only",
    "unified_records_removed": "`/data?removed=only` of one source; holds removed records only",
}


@dataclass(frozen=True, slots=True)
class Price:
    """The price of an insertion of all rows: the server's processor seconds, bytes of WAL, and bytes of the index."""

    seconds: float
    wal: int
    size: int = 0


def main() -> None:
    options = _read_options()
    settings.EMBEDDED_SERVERS.start()
    with tempfile.TemporaryDirectory(prefix="kasparro-bench-") as name:
        database = Database(settings.EMBEDDED_SERVERS, "kasparro_bench_prices", Path(name))
        database.make()
        write_products(Path(name) / "products.csv", options.rows)
        database.ingest(SOURCE)
        database.execute("VACUUM (ANALYZE)")  # otherwise the first read of the rows writes hints to their pages
        table = make_table(
            ("index", "serves", "size, MiB", "WAL, MiB", "server's CPU, s"),
            [row for table in TABLES for row in price_table(database, table)],
        )
        ((version,),) = database.execute("SHOW server_version")
        database.drop()
    load = os.getloadavg()[2]
    text = f"{describe_machine(version)}; {options.rows:,} records; load average {load:.1f}.\n\n{table}"
    print(text)
    if not options.dry:
        replace_section(ROOT / "docs/benchmarks.md", "index-prices", text)


def _read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.index_prices", description="Price each index of a load.")
    parser.add_argument("--rows", type=int, default=PRODUCTS, help=f"records of the load (default {PRODUCTS:,})")
    parser.add_argument("--dry", action="store_true", help="print the results, but don't write the docs")
    return parser.parse_args()


def price_table(database: Database, table: str) -> list[tuple[str, ...]]:
    """Return a row for the table without indexes, and a row with the price of each index."""
    bare = insert_copy(database, table, "")
    rows: list[tuple[str, ...]] = [(f"`{table}` without any", "", "", f"{bare.wal / MIB:.0f}", f"{bare.seconds:.1f}")]
    for name, statement in database.execute(
        "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = %s ORDER BY indexname", table
    ):
        price = insert_copy(database, table, statement.replace(f" ON public.{table} ", " ON priced ", 1))
        more = (
            f"{price.size / MIB:.1f}",
            f"{(price.wal - bare.wal) / MIB:+.0f}",
            f"{price.seconds - bare.seconds:+.1f}",
        )
        rows.append((f"`{name}`", SERVES[name], *more))
    return rows


def insert_copy(database: Database, table: str, index: str) -> Price:
    """Insert the table's rows into a copy that has at most this index."""
    with open_session(database.url, autocommit=True) as session, session.cursor() as cursor:
        cursor.execute("CREATE SCHEMA priced; SET search_path = priced, public")
        cursor.execute(f"CREATE TABLE priced (LIKE public.{table} INCLUDING DEFAULTS INCLUDING CONSTRAINTS)")
        cursor.execute(index or "SELECT 1")
        cursor.execute("CHECKPOINT")
        seconds, wal = read_session_cpu(session), read_wal(cursor)
        cursor.execute(f"INSERT INTO priced SELECT * FROM public.{table} ORDER BY id")
        price = Price(read_session_cpu(session) - seconds, read_wal(cursor) - wal, read_index_size(cursor))
        cursor.execute("DROP SCHEMA priced CASCADE")
        return price


def read_session_cpu(session: Any) -> float:
    fields = Path(f"/proc/{session.info.backend_pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def read_wal(cursor: Any) -> int:
    cursor.execute("SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint")
    return int(cursor.fetchone()[0])


def read_index_size(cursor: Any) -> int:
    cursor.execute("SELECT pg_indexes_size('priced')")
    return int(cursor.fetchone()[0])


if __name__ == "__main__":
    main()
