"""What each contestant does to a file with one bad number: early or late in a first load, and in a later load."""

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

ROWS, LATE_ROWS = 1_000, 50_000
"""The bad number is in the middle of a small file, and of a large one: beyond the part that peers take as a sample."""
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


def try_bad_rows(bench: Bench) -> dict[str, list[str]]:
    """Return for each contestant the outcomes: early and late in a first load, and in a later load."""
    (good, bad), (_, late) = _write_files(bench.folder, ROWS), _write_files(bench.folder, LATE_ROWS)
    tried = {}
    for probe in list_probes():
        outcomes = []
        for loaded in ([bad], [late], [good, bad]):
            bench.database.renew()
            shutil.rmtree(bench.folder / "peer", ignore_errors=True)
            statuses = [probe.load(bench, file) for file in loaded]
            outcomes.append(_describe(bench, probe, statuses[-1]))
        tried[probe.name] = outcomes
        print(f"{probe.name}: {outcomes}", file=sys.stderr, flush=True)
    return tried


def _write_files(folder: Path, count: int) -> tuple[Path, Path]:
    """Write good rows, and the same rows with another name in each and a price that is not a number in one."""
    rows = list(files.make_products(2 * count, is_clean=True))[:count]
    good = files.write_csv(folder / f"good-{count}.csv", iter(rows))
    changed = [row | {"name": f"{row['name']}, new"} for row in rows]
    changed[count // 2]["price"] = "12 EUR"
    return good, files.write_csv(folder / f"bad-{count}.csv", iter(changed))


def _describe(bench: Bench, probe: Probe, status: int) -> str:
    """Describe the exit status, how many rows have arrived, and the type of the price in the table."""
    ((exists,),) = bench.database.execute("SELECT to_regclass(%s) IS NOT NULL", probe.table)
    if not exists:
        return f"exit status {status}, no table"
    ((count,),) = bench.database.execute(f"SELECT count(*) FROM {probe.table} WHERE name LIKE '%, new'")
    ((types,),) = bench.database.execute(_TYPES, probe.table)
    ((kept,),) = bench.database.execute("SELECT count(*) FROM etl_quarantine")
    quarantined = f", {kept} in quarantine with line and reason" if kept else ""
    return f"exit status {status}, {count:,} rows arrived{quarantined}; {types}"


def _run(bench: Bench, command: Sequence[str], environment: dict[str, str]) -> int:
    status = run(command, environment, bench.folder).status
    bench.database.wait_for_sessions()
    return status


def _load_ourselves(bench: Bench, file: Path) -> int:
    shutil.copyfile(file, ours.empty_place(bench, "products"))
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
