"""`make bench`: measures the loads in interleaved rounds and writes the tables into docs/benchmarks.md."""

import argparse
import os
import sys
import tempfile
from functools import partial
from pathlib import Path

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "kasparro.settings")
os.environ["DEBUG"] = "true"  # only for this process, which starts the embedded servers

import django

django.setup()

from django.conf import settings

from bench.database import PRODUCTS, ROOT
from bench.loads import files, ours, probes, profiling, tables
from bench.loads.contestants import check_plain, list_contestants
from bench.loads.file_server import serving
from bench.loads.measuring import Bench
from bench.loads.peers import PEERS
from bench.loads.server import LoadDatabase
from bench.report import replace_section

SLOW_SHARE = min(peer.share for peer in PEERS)
STARTS = 5
EXTRAS = ("start", "bad rows", "profile")
"""Measured once, after the rounds; `--only` selects these too."""
DOCUMENT = ROOT / "docs" / "benchmarks.md"


def main() -> None:
    options = _read_options()
    settings.EMBEDDED_SERVERS.start()
    with tempfile.TemporaryDirectory(prefix="kasparro-bench-") as name, serving(Path(name)) as url:
        bench = Bench(LoadDatabase(settings.EMBEDDED_SERVERS, Path(name), url), Path(name), options.rows)
        write_files(bench)
        bench.database.prepare()
        try:
            text = measure_and_describe(bench, options)
        finally:
            bench.database.remove()
    print(text)
    if not options.dry and not options.only:
        replace_section(DOCUMENT, "loads", text)


def measure_and_describe(bench: Bench, options: argparse.Namespace) -> str:
    """Measure what the options select, and describe all of it."""
    measure(bench, options.rounds, options.only)
    parts = [
        tables.describe_conditions(bench, options.rounds),
        tables.describe_verdicts(bench),
        tables.describe_cases(bench),
    ]
    if options.only in "bad rows":
        parts.append(tables.describe_rows(bench, probes.try_bad_rows(bench)))
    if options.only in "profile":
        parts.append(profiling.profile(bench))
    return "\n\n".join(parts)


def _read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.loads", description="Benchmark the loads.")
    parser.add_argument("--rows", type=int, default=PRODUCTS, help=f"rows of each file (default {PRODUCTS:,})")
    parser.add_argument("--rounds", type=int, default=3, help="number of rounds (default 3)")
    parser.add_argument(
        "--only", default="", metavar="WORD", help="measure only contestants with this word in the name"
    )
    parser.add_argument(
        "--dry", action="store_true", help="print the results, but don't write the docs (nor does --only)"
    )
    return parser.parse_args()


def write_files(bench: Bench) -> None:
    """Write each file, in the variants `first`, `changed` and `start`."""
    share = int(bench.rows * SLOW_SHARE)
    for variant in ("first", "changed", "start"):
        folder, rows = bench.folder / variant, ours.START_ROWS if variant == "start" else bench.rows
        folder.mkdir()
        make = partial(files.make_products, is_changed=variant == "changed")
        files.write_csv(folder / "products.csv", make(rows))
        files.write_csv(folder / "clean.csv", make(rows, is_clean=True))
        files.write_csv(folder / "share.csv", make(share, is_clean=True))
    first = bench.folder / "first"
    files.write_csv(first / "rough.csv", files.make_rough(bench.rows))
    files.write_csv(first / "export.csv", files.make_export(bench.rows), delimiter=";", encoding="cp1252")
    files.write_lines(first / "products.ndjson", files.make_products(bench.rows))
    files.write_array(first / "products.json", files.make_products(bench.rows))


def measure(bench: Bench, rounds: int, word: str) -> None:
    """Measure all contestants in each round, in the opposite order in every other round."""
    contestants = [each for each in list_contestants() if word.lower() in each.name.lower()]
    if not contestants and not any(word in extra for extra in EXTRAS):
        sys.exit(f"No contestant has {word!r} in its name: {', '.join(each.name for each in list_contestants())}")
    for number in range(rounds):
        for each in contestants if number % 2 == 0 else reversed(contestants):
            if number < each.rounds:
                each.measure(bench, number)
    check_plain(bench)
    if word in "start":
        ours.time_starts(bench, STARTS)


if __name__ == "__main__":
    main()
