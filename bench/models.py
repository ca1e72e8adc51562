"""`make bench-models`: a supplier's file into a team's own model, compared with bare COPYs and django-import-export."""

import argparse
import os
import sys
import tempfile
from collections import Counter
from pathlib import Path
from statistics import median

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "bench.shop.settings")
os.environ["DEBUG"] = "true"  # only for this process, which starts the embedded servers

import django

django.setup()

from django.conf import settings

from bench.database import PRODUCTS, ROOT
from bench.loads import files, ours, yardstick
from bench.loads.contestants import make_environment
from bench.loads.floors import Verdict
from bench.loads.measuring import Bench, Case, Figure
from bench.loads.peers import PACKAGES, VENV, find_version
from bench.loads.tables import describe_cases
from bench.report import describe_machine, make_table, replace_section
from bench.shop.database import TARGET, ShopDatabase
from bench.shop.files import make_clean, make_products
from bench.shop.outcome import check_first_load, judge_writes, tally

PEER_ROWS = 100_000
"""Fewer than ten minutes' work of django-import-export."""
FIRST, COPIES = Case(ours.TERMINAL, "shop"), Case(yardstick.WHO, "shop")
BULK, TUNED = "django-import-export, bulk mode", "django-import-export, bulk mode, tuned"
PEERS = {BULK: "", TUNED: "tuned"}
SCRIPT = Path(__file__).parent / "shop" / "import_export_peer.py"
FASTER_THAN_BULK = 40


def main() -> None:
    options = _read_options()
    settings.EMBEDDED_SERVERS.start()
    with tempfile.TemporaryDirectory(prefix="kasparro-bench-") as name:
        database = ShopDatabase(settings.EMBEDDED_SERVERS, Path(name))
        bench = Bench(database, Path(name), options.rows)
        counts = write_files(bench, options.peer_rows)
        database.prepare()
        try:
            measure(bench, counts, options)
            text = describe(bench, database, counts, options)
        finally:
            database.remove()
    print(text)
    if not options.dry:
        replace_section(ROOT / "docs" / "benchmarks.md", "models", text)


def _read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.models", description="Benchmark loads into an own model.")
    parser.add_argument("--rows", type=int, default=PRODUCTS, help=f"rows of the file (default {PRODUCTS:,})")
    parser.add_argument("--rounds", type=int, default=3, help="number of rounds (default 3)")
    parser.add_argument(
        "--peer-rows", type=int, default=PEER_ROWS, help=f"rows of the peer's file (default {PEER_ROWS:,}); 0: no peer"
    )
    parser.add_argument("--dry", action="store_true", help="print the results, but don't write the docs")
    return parser.parse_args()


def write_files(bench: Bench, peer_rows: int) -> Counter[str]:
    """Write the file in its variants, and return how many of its rows become what."""
    counts: Counter[str] = Counter()
    for variant in ("first", "changed"):
        folder = bench.folder / variant
        folder.mkdir()
        counts.clear()
        rows = tally(make_products(bench.rows, is_changed=variant == "changed"), counts)
        files.write_csv(folder / ours.FILES["shop"], rows, delimiter=";")
    if peer_rows:
        files.write_csv(_name_peers_file(bench), make_clean(peer_rows))
    return counts


def _name_peers_file(bench: Bench) -> Path:
    return bench.folder / "clean.csv"


def measure(bench: Bench, counts: Counter[str], options: argparse.Namespace) -> None:
    """Measure the steps of our source and the COPYs in each round, in turn, and the peer once."""
    steps = [load, lambda bench, _: yardstick.time_copies(bench, "shop")]
    for number in range(options.rounds):
        for step in steps if number % 2 == 0 or number == 0 else reversed(steps):
            step(bench, counts)
    if options.peer_rows and _is_peer_installed():
        for name, mode in PEERS.items():
            load_peer(bench, name, mode)


def load(bench: Bench, counts: Counter[str]) -> None:
    """A first load, the same file again, `--full`, and 1 % changed."""
    ours.load_first(bench, "shop")
    check_first_load(bench, counts)
    ours.ingest(bench, "shop", "again")
    ours.ingest(bench, "shop", "full", "--full")
    ours.place(bench, "shop", "changed")
    ours.ingest(bench, "shop", "hundredth")
    if complaints := bench.database.manage("verify").strip():
        print(complaints, file=sys.stderr)


def load_peer(bench: Bench, name: str, mode: str) -> None:
    bench.database.renew()
    environment = make_environment(bench, bench.folder / "peer") | {"PYTHONPATH": str(ROOT)}
    python = str(VENV / "bin" / "python")
    command = [python, str(SCRIPT), str(_name_peers_file(bench)), bench.database.url, mode]
    bench.measure(Case(name, "shop"), command, environment)


def _is_peer_installed() -> bool:
    return (PACKAGES / "import_export").exists()


def describe(bench: Bench, database: ShopDatabase, counts: Counter[str], options: argparse.Namespace) -> str:
    ((version,),) = database.template.execute("SHOW server_version")
    conditions = (
        f"{describe_machine(version)}, django-import-export {find_version('django_import_export')};"
        f" {bench.rows:,} rows, of which {counts['lands']:,} land; {database.describe_target()};"
        f" medians of {options.rounds} interleaved rounds;"
        f" durable defaults: {'yes' if database.is_durable() else '**no**'}."
    )
    verdicts = [each.as_row() for each in [*_judge_ratios(bench), *judge_writes(bench, counts)]]
    table = make_table(("figure", "measured", "floor", "aim", ""), [*verdicts, *_describe_peers(bench)])
    return "\n\n".join((conditions, table, describe_cases(bench)))


def _judge_ratios(bench: Bench) -> list[Verdict]:
    ratio = bench.figures.find_ratio(FIRST, COPIES)
    assert ratio is not None
    return [Verdict("first load / bare COPYs of target, raw and ledger", ratio, 1.6, 1.3)]


def _describe_peers(bench: Bench) -> list[tuple[str, ...]]:
    """Compare the rows per second. The processor time needs no floor: it tells how far other programs disturbed."""
    first, copies = bench.figures.by_case[FIRST], bench.figures.by_case[COPIES]
    rows = [_compare_processors(first, copies)]
    for name in PEERS:
        if found := bench.figures.by_case.get(Case(name, "shop")):
            times = _find_rate(first) / _find_rate(found)
            is_met = "met" if times >= FASTER_THAN_BULK else "**missed**"
            floor = (f"≥ {FASTER_THAN_BULK}", "", is_met) if name == BULK else ("", "", "")
            rows.append((f"first load, rows per second / {name}", f"**{times:,.1f}**", *floor))
            times = _find_rate(copies, f"yardstick.{TARGET}") / _find_rate(found)
            rows.append((f"the bare COPYs, rows per second / {name}", f"{times:,.1f}", "", "", ""))
    return rows


def _compare_processors(first: list[Figure], copies: list[Figure]) -> tuple[str, ...]:
    pairs = zip(first, copies, strict=True)
    ratio = median((one.cpu + one.server_cpu) / (other.cpu + other.server_cpu) for one, other in pairs)
    return ("the same, processor time of all processes", f"{ratio:,.2f}", "", "", "")


def _find_rate(found: list[Figure], table: str = TARGET) -> float:
    return median(each.written[table] / each.seconds for each in found)


if __name__ == "__main__":
    main()
