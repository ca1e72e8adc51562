"""The yardstick: bare COPYs, in one session, of the rows of our run into empty copies of our tables."""

import sys
from pathlib import Path

from bench.loads.measuring import Bench, Case
from etl.storage.driver import copy_out, open_session

WHO = "yardstick"
PROCESS = Path(__file__).parent / "copy_process.py"
TABLES = {
    **dict.fromkeys(("products", "rough", "export"), ("raw_csv_data", "unified_records")),
    "lines": ("raw_third_source_data", "unified_records"),
    "shop": ("bench_shop_product", "raw_csv_data", "unified_records"),
}
"""The tables that a source fills, in the order of loading."""
_FOREIGN_KEYS = """
    SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = to_regclass(%s) AND contype = 'f'
"""


def _list_files(bench: Bench, source: str) -> dict[str, Path]:
    """Return the file of each table's rows."""
    return {table: bench.folder / f"{source}.{table}.copy" for table in TABLES[source]}


def keep_rows(bench: Bench, source: str) -> None:
    """Copy the rows that our run has just written into files, for `time_copies`."""
    with open_session(bench.database.url) as session, session.cursor() as cursor:
        for table, path in _list_files(bench, source).items():
            with path.open("wb") as file:
                copy_out(cursor, f"COPY {table} TO STDOUT", file)


def time_copies(bench: Bench, source: str) -> None:
    """COPY these rows, each table in a transaction of its own, into copies of the tables with all that belongs to them.

    INCLUDING ALL leaves out the foreign keys, which a team's own table has.
    """
    files = _list_files(bench, source)
    if not all(path.exists() for path in files.values()):
        sys.exit(f"The yardstick needs the rows of our run: measure {source} too.")
    bench.database.renew()
    bench.database.execute("CREATE SCHEMA yardstick")
    for table in files:
        bench.database.execute(f"CREATE TABLE yardstick.{table} (LIKE public.{table} INCLUDING ALL)")
        for name, definition in bench.database.execute(_FOREIGN_KEYS, table):
            bench.database.execute(f"ALTER TABLE yardstick.{table} ADD CONSTRAINT {name} {definition}")
    script = bench.folder / "yardstick.sql"
    script.write_text("".join(f"-- from {path}\nCOPY yardstick.{table} FROM STDIN;\n" for table, path in files.items()))
    bench.measure(Case(WHO, source), make_command(bench, script))


def make_command(bench: Bench, script: Path) -> list[str]:
    """The bare process that runs the script."""
    return [sys.executable, str(PROCESS), bench.database.url, str(script)]
