"""What each contestant does to a file with one bad number: in a first load, and after a load of good rows."""

import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.loads import files, ours, yardstick
from bench.loads.contestants import PLAIN, SCRIPT, make_environment
from bench.loads.measuring import Bench
from bench.loads.peers import PEERS, Peer
from bench.loads.processes import run

ROWS, BAD_ROW = 1000, 500
_TYPES = """
    SELECT string_agg(column_name || ' is ' || data_type, ', ' ORDER BY ordinal_position)
    FROM information_schema.columns
    WHERE table_schema || '.' || table_name = %s AND (column_name LIKE 'price%%' OR column_name = 'value')
"""


@dataclass(frozen=True, slots=True)
class Probe:
    """One contestant: how it loads a file, and the table where its rows end."""

    name: str
    load: Callable[[Bench, Path], int]
    table: str


def list_probes() -> list[Probe]:
    peers = [Probe(peer.name, _load_by(peer), peer.table) for peer in PEERS if peer.is_installed()]
    return [
        Probe(ours.TERMINAL, _load_ourselves, "public.unified_records"),
        Probe(PLAIN, _load_plainly, "public.unified_records"),
        *peers,
    ]


def try_bad_rows(bench: Bench) -> dict[str, tuple[str, str]]:
    """Return for each contestant what happened to the bad row in a first load, and in a later one."""
    good, bad = _write_files(bench.folder)
    tried = {}
    for probe in list_probes():
        outcomes = []
        for loaded in ([bad], [good, bad]):
            bench.database.renew()
            shutil.rmtree(bench.folder / "peer", ignore_errors=True)
            statuses = [probe.load(bench, file) for file in loaded]
            outcomes.append(_describe(bench, probe, statuses[-1]))
        tried[probe.name] = (outcomes[0], outcomes[1])
        print(f"{probe.name}: {outcomes}", file=sys.stderr, flush=True)
    return tried


def _write_files(folder: Path) -> tuple[Path, Path]:
    """Write good rows, and the same rows with another name in each and a price that is not a number in one."""
    rows = list(files.make_products(2 * ROWS, is_clean=True))[:ROWS]
    good = files.write_csv(folder / "good.csv", iter(rows))
    changed = [row | {"name": f"{row['name']}, new"} for row in rows]
    changed[BAD_ROW]["price"] = "12 EUR"
    return good, files.write_csv(folder / "bad.csv", iter(changed))


def _describe(bench: Bench, probe: Probe, status: int) -> str:
    """Describe the exit status, how many rows have arrived, and the type of the price in the table."""
    ((exists,),) = bench.database.execute("SELECT to_regclass(%s) IS NOT NULL", probe.table)
    if not exists:
        return f"exit status {status}, no table"
    ((count,),) = bench.database.execute(f"SELECT count(*) FROM {probe.table} WHERE name LIKE '%, new'")
    ((types,),) = bench.database.execute(_TYPES, probe.table)
    ((kept,),) = bench.database.execute("SELECT count(*) FROM etl_quarantine")
    quarantined = f", {kept} in quarantine with line and reason" if kept else ""
    return f"exit status {status}, {count:,} of {ROWS:,} rows arrived{quarantined}; {types}"


def _run(bench: Bench, command: Sequence[str], environment: dict[str, str]) -> int:
    status = run(command, environment, bench.folder).status
    bench.database.wait_for_sessions()
    return status


def _load_ourselves(bench: Bench, file: Path) -> int:
    target = bench.folder / "products.csv"
    target.unlink(missing_ok=True)  # it may be a link to one of the benchmark's files
    shutil.copyfile(file, target)
    return _run(bench, ours.manage("ingest", "bench_products"), bench.database.environment)


def _load_plainly(bench: Bench, file: Path) -> int:
    script = bench.folder / "plain.sql"
    script.write_text(SCRIPT.read_text().format(file=file))
    return _run(bench, yardstick.make_command(bench, script), bench.database.environment)


def _load_by(peer: Peer) -> Callable[[Bench, Path], int]:
    def load(bench: Bench, file: Path) -> int:
        home = bench.folder / "peer"
        environment = make_environment(bench, home)
        return _run(bench, peer.make_command(file, bench.database.url, home), environment)

    return load
