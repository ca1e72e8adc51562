"""`make bench-indexes`: the cost of each index on the unified records in a first load of a million records.

First the change feed's index, which every installation has: with and without it, and for a read that changes every
record too. Then the indexes that a team may add for its filters. Each figure has the seconds of a real run and the
processor time of the server, which other programs disturb less.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "kasparro.settings")
os.environ["DEBUG"] = "true"  # only for this process, which starts the embedded servers

import django

django.setup()

from django.conf import settings

from api.record_queries import FIELDS
from bench.database import PRODUCTS, ROOT, Database, write_products
from bench.report import describe_machine, make_table, replace_section

SOURCE = "products_csv"
KEPT = "unified_records_changes"
LOOK_SECONDS = 0.2
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Index:
    """An index for a filter: the indexed columns, the filter's parameters, and an example of its condition."""

    name: str
    on: str
    filters: str
    condition: str
    first: str = ""

    @property
    def statement(self) -> str:
        return f"{self.first}CREATE INDEX CONCURRENTLY {self.name} ON unified_records {self.on}"


INDEXES = (
    Index("unified_records_category", "(category, id)", "`category`", "category = 'category 38'"),
    Index("unified_records_currency", "(currency, id)", "`currency`", "currency = 'EUR'"),
    Index("unified_records_value", "(value, id)", "`value_min`, `value_max`", "value >= 9999"),
    Index(
        "unified_records_event",
        "(event_timestamp, id)",
        "`event_after`, `event_before`",
        "event_timestamp >= {newest}",
    ),
    Index(
        "unified_records_updated",
        "(updated_at, id)",
        "`updated_since`",
        "updated_at >= {newest}",
    ),
    Index(
        "unified_records_name",
        "USING gin (name gin_trgm_ops)",
        "`name`",
        "name ILIKE '%Product 77777%'",
        first="CREATE EXTENSION IF NOT EXISTS pg_trgm; ",
    ),
)


@dataclass(frozen=True, slots=True)
class Cost:
    """The seconds of a run, and the processor seconds of the server's sessions in that time."""

    seconds: float
    server_seconds: float


Costs = dict[str, list[Cost]]


def main() -> None:
    options = _read_options()
    settings.EMBEDDED_SERVERS.start()
    with tempfile.TemporaryDirectory(prefix="kasparro-bench-") as name:
        database = Database(settings.EMBEDDED_SERVERS, "kasparro_bench_load", Path(name))
        loads, changes, sizes, plans = measure_rounds(database, Path(name), options.rounds, options.added_rounds)
        ((version,),) = database.execute("SHOW server_version")
        database.drop()
    head = (
        f"{describe_machine(version)}; medians of {options.rounds} interleaved rounds ({options.added_rounds} of the"
        f" indexes that a team may add); load average {os.getloadavg()[2]:.1f}."
    )
    kept, added = describe_kept(loads, changes, sizes), describe_added(loads, sizes, plans)
    print(f"{head}\n\n{kept}\n\n{added}")
    if not options.dry:
        replace_section(ROOT / "docs/benchmarks.md", "indexes", f"{head}\n\n{kept}")
        replace_section(ROOT / "docs/deployment.md", "indexes", f"{head}\n\n{added}")


def _read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.indexes", description="Benchmark the cost of indexes.")
    parser.add_argument("--rounds", type=int, default=3, help="number of rounds (default 3)")
    parser.add_argument("--added-rounds", type=int, default=3, help="number of rounds with indexes that a team may add")
    parser.add_argument("--dry", action="store_true", help="print the results, but don't write the docs")
    return parser.parse_args()


def measure_rounds(
    database: Database, folder: Path, rounds: int, added_rounds: int
) -> tuple[Costs, Costs, dict[str, int], dict[str, tuple[float, float, str]]]:
    """Measure first loads by variant, reads that change everything, sizes in MiB, and the plan of each filter."""
    loads: Costs = {}
    changes: Costs = {}
    sizes: dict[str, int] = {}
    plans: dict[str, tuple[float, float, str]] = {}
    for number in range(rounds):
        for is_kept in (False, True) if number % 2 else (True, False):
            name = KEPT if is_kept else "none"
            load(database, folder, loads.setdefault(name, []), [] if is_kept else [f"DROP INDEX {KEPT}"])
            if is_kept:
                sizes[KEPT] = read_size(database, KEPT)
            write_products(folder / "products.csv", PRODUCTS, dearer=1)
            changes.setdefault(name, []).append(run(database, "updated"))
        for index in INDEXES if number < added_rounds else ():
            statements = [part.strip().replace(" CONCURRENTLY", "") for part in index.statement.split(";")]
            load(database, folder, loads.setdefault(index.name, []), statements)
            sizes[index.name] = read_size(database, index.name)
            plans.setdefault(index.name, compare_plans(database, index))
        say(f"round {number + 1} of {rounds}: load average {os.getloadavg()[0]:.1f}")
    return loads, changes, sizes, plans


def load(database: Database, folder: Path, costs: list[Cost], statements: Sequence[str]) -> None:
    """Load the records into a new database, after running these statements."""
    database.make()
    for table in ("unified_records", "raw_csv_data"):  # autovacuum would disturb some runs and not others
        database.execute(f"ALTER TABLE {table} SET (autovacuum_enabled = off)")
    for statement in statements:
        database.execute(statement)
    write_products(folder / "products.csv", PRODUCTS)
    costs.append(run(database, "new"))


def run(database: Database, counter: str) -> Cost:
    """Ingest the million records, right after a CHECKPOINT of the server."""
    database.execute("CHECKPOINT")
    seconds: dict[int, float] = {}
    with database.ingesting(SOURCE) as process:
        while process.poll() is None:
            seconds |= read_session_seconds(database)
            time.sleep(LOOK_SECONDS)
        outcome = json.loads((process.stdout.read() if process.stdout else "") or "{}")
    if outcome.get(counter) != PRODUCTS:
        sys.exit(f"Not every record was {counter}: {outcome}")
    cost = Cost(outcome["duration_s"], sum(seconds.values()))
    say(f"{counter}: {cost.seconds:.1f} s, the server's sessions {cost.server_seconds:.1f} s")
    return cost


def say(text: str) -> None:
    """Print a line of progress."""
    print(text, file=sys.stderr, flush=True)


def read_session_seconds(database: Database) -> dict[int, float]:
    """Return the processor time that each session of this database has used so far, from /proc."""
    seconds = {}
    for (pid,) in database.execute(
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend'"
        " AND pid <> pg_backend_pid()"
    ):
        with suppress(OSError):  # it has just ended
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            seconds[pid] = (int(fields[11]) + int(fields[12])) / TICKS
    return seconds


def read_size(database: Database, name: str) -> int:
    """Return the size of an index in MiB."""
    ((size,),) = database.execute("SELECT pg_relation_size(%s::regclass) >> 20", name)
    return int(size)


def compare_plans(database: Database, index: Index) -> tuple[float, float, str]:
    """Read a page with the filter: milliseconds without and with the index, and whether the plan uses the index."""
    database.execute("VACUUM ANALYZE unified_records")
    ((newest,),) = database.execute(
        "SELECT quote_literal(max(updated_at) + interval '1 microsecond') FROM unified_records"
    )
    condition = index.condition.replace("{newest}", newest)  # most such requests return no record
    page = f"SELECT {FIELDS} FROM unified_records WHERE {condition} ORDER BY id ASC LIMIT 51 OFFSET 0"
    fast, plan = _explain(database, page)
    database.execute(f"DROP INDEX {index.name}")
    slow, _ = _explain(database, page)
    return slow, fast, "yes" if index.name in plan else "**no**"


def _explain(database: Database, statement: str) -> tuple[float, str]:
    """Run the statement twice; return the milliseconds of the second time, and the plan."""
    plans = [database.execute(f"EXPLAIN (ANALYZE) {statement}") for _ in range(2)]
    lines = [line for (line,) in plans[-1]]
    return float(lines[-1].split()[2]), "\n".join(lines)


def describe_kept(loads: Costs, changes: Costs, sizes: dict[str, int]) -> str:
    rows = []
    for name, costs in (("first load of 1,000,000 records", loads), ("a read that changes each of them", changes)):
        without, kept = costs["none"], costs[KEPT]
        rows.append(
            (
                name,
                *(f"{_find_seconds(each):.1f} ({_find_server_seconds(each):.1f})" for each in (without, kept)),
                _describe_price(kept, without),
            )
        )
    head = ("seconds (the server's processor time)", f"without `{KEPT}`", f"with it ({sizes[KEPT]} MiB)", "price")
    return make_table(head, rows)


def describe_added(loads: Costs, sizes: dict[str, int], plans: dict[str, tuple[float, float, str]]) -> str:
    shipped = loads[KEPT]
    rows = []
    for index in INDEXES:
        costs, (slow, fast, is_used) = loads[index.name], plans[index.name]
        rows.append(
            (
                f"`{index.statement}`",
                index.filters,
                _describe_price(costs, shipped),
                f"{sizes[index.name]} MiB",
                f"{slow:.1f} → {fast:.1f} ms",
                is_used,
            )
        )
    head = ("statement", "serves", "price of a first load", "size", "page with rare or no matches", "used by our query")
    base = f"{_find_seconds(shipped):.1f} s ({_find_server_seconds(shipped):.1f} s)"
    return f"A first load of 1,000,000 records without them: {base}.\n\n{make_table(head, rows)}"


def _describe_price(costs: Sequence[Cost], base: Sequence[Cost]) -> str:
    seconds = _find_seconds(costs) - _find_seconds(base)
    return f"{seconds:+.1f} s ({_find_server_seconds(costs) - _find_server_seconds(base):+.1f} s)"


def _find_seconds(costs: Sequence[Cost]) -> float:
    return median(cost.seconds for cost in costs)


def _find_server_seconds(costs: Sequence[Cost]) -> float:
    return median(cost.server_seconds for cost in costs)


if __name__ == "__main__":
    main()
