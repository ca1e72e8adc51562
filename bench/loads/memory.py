"""`make bench-memory`: whether ten times as many rows, of few columns and of many, take more memory."""

import argparse
import os
import tempfile
from pathlib import Path

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "kasparro.settings")
os.environ["DEBUG"] = "true"  # only for this process, which starts the embedded servers

import django

django.setup()

from django.conf import settings

from bench.database import ROOT
from bench.loads import files, ours
from bench.loads.floors import Verdict
from bench.loads.measuring import Bench, Case
from bench.loads.server import LoadDatabase
from bench.loads.tables import describe_cases, describe_conditions
from bench.report import make_table, replace_section

ROWS, TIMES = 100_000, 10
MAKERS = {"products": files.make_products, "wide": files.make_wide}


def main() -> None:
    options = _read_options()
    settings.EMBEDDED_SERVERS.start()
    with tempfile.TemporaryDirectory(prefix="kasparro-bench-") as name:
        small, large = (
            _prepare(Path(name) / "small", options.rows),
            _prepare(Path(name) / "large", TIMES * options.rows),
        )
        small.database.prepare()
        try:
            for source in MAKERS:
                for bench in (small, large):
                    _load(bench, source)
            text = describe(small, large)
        finally:
            small.database.remove()
    print(text)
    if not options.dry:
        replace_section(ROOT / "docs" / "benchmarks.md", "loads-memory", text)


def _read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.loads.memory", description="Compare loads' peak memory.")
    parser.add_argument("--rows", type=int, default=ROWS, help=f"rows of the smaller files (default {ROWS:,})")
    parser.add_argument("--dry", action="store_true", help="print the results, but don't write the docs")
    return parser.parse_args()


def _prepare(folder: Path, rows: int) -> Bench:
    (folder / "first").mkdir(parents=True)
    return Bench(LoadDatabase(settings.EMBEDDED_SERVERS, folder), folder, rows)


def _load(bench: Bench, source: str) -> None:
    path = bench.folder / "first" / ours.FILES[source]
    files.write_csv(path, MAKERS[source](bench.rows))
    ours.load_first(bench, source)
    path.unlink()  # the wide one has more than a gigabyte
    ours.empty_place(bench, source)


def describe(small: Bench, large: Bench) -> str:
    """Compare the peaks of memory of the two sizes."""
    verdicts = []
    for source in MAKERS:
        [few], [many] = (bench.figures.by_case[Case(ours.TERMINAL, source)] for bench in (small, large))
        name = f"peak memory, {source}: {large.rows:,} rows / {small.rows:,} rows"
        verdicts.append(Verdict(name, many.peak_mib / few.peak_mib, 1.1).as_row())
    parts = [make_table(("figure", "measured", "floor", "aim", ""), verdicts)]
    for bench in (small, large):
        parts += [describe_conditions(bench, 1), describe_cases(bench)]
    return "\n\n".join(parts)


if __name__ == "__main__":
    main()
