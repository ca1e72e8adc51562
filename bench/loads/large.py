"""`make bench-large`: whether ten times as many rows cost ten times as much, and not more memory."""

import argparse
import os
import tempfile
from pathlib import Path
from statistics import median

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "kasparro.settings")
os.environ["DEBUG"] = "true"  # only for this process, which starts the embedded servers

import django

django.setup()

from django.conf import settings

from bench.database import PRODUCTS, ROOT
from bench.loads import files, ours, yardstick
from bench.loads.floors import FIRST, YARDSTICK, Verdict
from bench.loads.measuring import Bench
from bench.loads.server import LoadDatabase
from bench.loads.tables import describe_cases, describe_conditions
from bench.report import make_table, replace_section

TIMES, SMALL_LOADS = 10, 3


def main() -> None:
    options = _read_options()
    settings.EMBEDDED_SERVERS.start()
    with tempfile.TemporaryDirectory(prefix="kasparro-bench-") as name:
        small = _prepare(Path(name) / "small", options.rows)
        large = _prepare(Path(name) / "large", TIMES * options.rows)
        small.database.prepare()
        try:
            for _ in range(options.rounds):
                for bench in (*[small] * SMALL_LOADS, large):
                    ours.load_first(bench, "products")
                    yardstick.time_copies(bench, "products")
            text = describe(small, large, options.rounds)
        finally:
            small.database.remove()
    print(text)
    if not options.dry:
        replace_section(ROOT / "docs" / "benchmarks.md", "loads-large", text)


def _read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.loads.large", description="Benchmark loads of two sizes.")
    parser.add_argument("--rows", type=int, default=PRODUCTS, help=f"rows of the smaller file (default {PRODUCTS:,})")
    parser.add_argument("--rounds", type=int, default=1, help="number of rounds (default 1)")
    parser.add_argument("--dry", action="store_true", help="print the results, but don't write the docs")
    return parser.parse_args()


def _prepare(folder: Path, rows: int) -> Bench:
    (folder / "first").mkdir(parents=True)
    files.write_csv(folder / "first" / "products.csv", files.make_products(rows))
    return Bench(LoadDatabase(settings.EMBEDDED_SERVERS, folder), folder, rows)


def describe(small: Bench, large: Bench, rounds: int) -> str:
    """Compare the ratios to the yardstick and the peaks of memory of the two sizes."""
    ratios = [bench.figures.find_ratio(FIRST, YARDSTICK) or 0.0 for bench in (small, large)]
    peaks = [median(each.peak_mib for each in bench.figures.by_case[FIRST]) for bench in (small, large)]
    verdicts = (
        Verdict(f"first load / yardstick: {large.rows:,} rows / {small.rows:,} rows", ratios[1] / ratios[0], 1.15),
        Verdict(f"peak memory: {large.rows:,} rows / {small.rows:,} rows", peaks[1] / peaks[0], 1.1),
    )
    parts = [make_table(("figure", "measured", "floor", "aim", ""), [verdict.as_row() for verdict in verdicts])]
    for bench in (small, large):
        parts += [describe_conditions(bench, rounds), describe_cases(bench)]
    return "\n\n".join(parts)


if __name__ == "__main__":
    main()
