"""`make bench-api`: the speed of the API, compared with a plain FastAPI service and with bare Django views.

It fills its own database by a real ingest, loads one contestant at a time in interleaved rounds, and writes the
results to docs/benchmarks.md. README.md explains each figure.
"""

import argparse
import json
import os
import sys
import tempfile
import time
import urllib.request
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "kasparro.settings")
os.environ["DEBUG"] = "true"  # only for this process, which starts the embedded servers; the contestants run without

import django

django.setup()

from django.conf import settings

from api import cursors
from api.parameters import name_list
from bench.contestants import Contestant, serve_bare, serve_ours, serve_peer
from bench.database import OFFERS, PRODUCTS, ROOT, Database, write_offers, write_products
from bench.load import Measure, find_wrk, measure
from bench.report import describe_machine, make_table, replace_section

DOCUMENT = ROOT / "docs/benchmarks.md"
SOURCE = "products_csv"
DEPTH = 900_000
THREADS = (1, 2, 3, 4, 8)
WARM_UP_SECONDS = 2
SETTLE_SECONDS = 2
"""The pause after each load, because its last statements still run: a deep OFFSET takes half a second or more."""

Measures = Mapping[str, Sequence[Measure]]


@dataclass(frozen=True, slots=True)
class Case:
    """One URL under load."""

    url: str
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure with its floor and aim; with `is_ceiling`, both are upper limits."""

    name: str
    value: float
    floor: float | None = None
    aim: float | None = None
    is_ceiling: bool = False

    @property
    def is_met(self) -> bool:
        assert self.floor is not None
        return self.value <= self.floor if self.is_ceiling else self.value >= self.floor

    def as_row(self) -> tuple[str, ...]:
        if self.floor is None:
            return self.name, f"{self.value:.2f}", "", "", ""
        sign = "≤" if self.is_ceiling else "≥"
        aim = "" if self.aim is None else f"{sign} {self.aim:g}"
        return self.name, f"**{self.value:.2f}**", f"{sign} {self.floor:g}", aim, "met" if self.is_met else "**missed**"


def main() -> None:
    """Run the whole benchmark; the exit status is 1 if a floor is missed."""
    options = _read_options()
    find_wrk()
    if not options.peer.exists():
        sys.exit(f"The peer's packages are not installed ({options.peer}). Run `make bench-api`.")
    settings.EMBEDDED_SERVERS.start()
    with tempfile.TemporaryDirectory(prefix="kasparro-bench-") as name:
        folder = Path(name)
        database = Database(settings.EMBEDDED_SERVERS, "kasparro_bench", folder)
        fill(database, folder, options)
        if options.threads:
            return try_threads(database, folder, options)
        figures, measures = run(database, folder, options)
    text = describe(database, figures, measures, options)
    print(text)
    if not options.dry:
        replace_section(DOCUMENT, "api", text)
    if not options.keep:
        database.drop()
    sys.exit(any(figure.floor is not None and not figure.is_met for figure in figures))


def _read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.api", description="Benchmark the API.")
    parser.add_argument("--rounds", type=int, default=7, help="number of rounds (default 7)")
    parser.add_argument("--seconds", type=int, default=5, help="length of a load in seconds (default 5)")
    parser.add_argument("--peer", type=Path, default=ROOT / "bench/.venv/bin/python", help="Python of the peer")
    parser.add_argument("--threads", action="store_true", help=f"only compare {THREADS} threads")
    parser.add_argument("--keep", action="store_true", help="keep the database, and reuse one that was kept")
    parser.add_argument("--dry", action="store_true", help="print the results, but don't write docs/benchmarks.md")
    return parser.parse_args()


def fill(database: Database, folder: Path, options: argparse.Namespace) -> None:
    """Ingest a million products and ten thousand offers."""
    try:
        is_kept = options.keep and database.execute("SELECT count(*) FROM unified_records") == [(PRODUCTS + OFFERS,)]
    except Exception:  # noqa: BLE001  (no such database, or other tables: then it is created)
        is_kept = False
    if is_kept:
        database.manage("migrate", "-v0")
    else:
        database.make()
        write_products(folder / "products.csv", PRODUCTS)
        write_offers(folder / "vendors.csv", OFFERS)
        for source in (SOURCE, "vendors_csv"):
            say(f"ingested {source} in {database.ingest(source)['duration_s']:.0f} s")
    database.execute("VACUUM ANALYZE")


def say(text: str) -> None:
    """Print a line of progress."""
    print(text, file=sys.stderr, flush=True)


def run(database: Database, folder: Path, options: argparse.Namespace) -> tuple[list[Figure], Measures]:
    """Measure all rounds, then the load while an ingest runs, then the memory."""
    headers = {"Authorization": f"Token {database.manage('token', 'create', 'bench').strip()}"}
    with ExitStack() as stack:
        ours = stack.enter_context(serve_ours(database, folder / "ours.log"))
        page = folder / "page.json"
        page.write_bytes(fetch(Case(f"{ours.url}/api/v1/data?limit=50", headers)))
        bare = stack.enter_context(serve_bare(database, folder / "bare.log", page))
        peer = stack.enter_context(serve_peer(database, folder / "peer.log", options.peer))
        cases = list_cases(database, headers, ours, bare, peer)
        compare_pages(cases)
        measures = measure_rounds(cases, options)
        idle, busy = measure_while_ingesting(database, folder, cases["data: first page"], options)
        memory = ours.read_memory_mib()
    return list_figures(measures, idle, busy, memory), measures


def list_cases(
    database: Database, headers: Mapping[str, str], ours: Contestant, bare: Contestant, peer: Contestant
) -> dict[str, Case]:
    """Return every case by name: Kasparro's, the peer's same four pages, and the bare views."""
    (last,) = database.execute("SELECT id FROM unified_records ORDER BY id LIMIT 1 OFFSET %s", DEPTH - 1)
    (last_of_source,) = database.execute(
        "SELECT source, external_id FROM unified_records WHERE source = %s ORDER BY external_id LIMIT 1 OFFSET %s",
        SOURCE,
        DEPTH - 1,
    )
    deep = cursors.encode(name_list("data", {}, "id"), ("after", *last))
    deep_of_source = cursors.encode(name_list("data", {"source": SOURCE}, "external_id"), ("after", *last_of_source))
    data, peers = f"{ours.url}/api/v1/data?limit=50", f"{peer.url}/data?limit=50"
    # Cases that are compared run next to each other, so that other work on the machine disturbs both.
    return {
        "data: first page": Case(data, headers),
        "peer: first page": Case(peers, {}),
        "bare: our page from memory": Case(f"{bare.url}/page", {}),
        "bare: our page's rows from the database": Case(f"{bare.url}/read-page", {}),
        f"data: after record {DEPTH:,}": Case(f"{data}&cursor={deep}", headers),
        f"peer: after record {DEPTH:,}": Case(f"{peers}&offset={DEPTH}", {}),
        "data, one source: first page": Case(f"{data}&source={SOURCE}", headers),
        f"data, one source: after record {DEPTH:,}": Case(f"{data}&source={SOURCE}&cursor={deep_of_source}", headers),
        "peer, one source: first page": Case(f"{peers}&source={SOURCE}", {}),
        f"peer, one source: after record {DEPTH:,}": Case(f"{peers}&source={SOURCE}&offset={DEPTH}", {}),
        "stats": Case(f"{ours.url}/api/v1/stats", headers),
        "bare: one row from the database": Case(f"{bare.url}/row", {}),
    }


def fetch(case: Case) -> bytes:
    request = urllib.request.Request(case.url, headers=dict(case.headers))
    with urllib.request.urlopen(request, timeout=60) as answer:
        return bytes(answer.read())


def compare_pages(cases: Mapping[str, Case]) -> None:
    """End the benchmark unless Kasparro's and the peer's pages contain the same records."""
    for name in cases:
        if not name.startswith("data"):
            continue
        peers = name.replace("data", "peer", 1)
        ours, theirs = ([row["id"] for row in json.loads(fetch(cases[each]))["data"]] for each in (name, peers))
        if ours != theirs:
            sys.exit(f"The pages of {name!r} and {peers!r} differ.")


def measure_rounds(cases: Mapping[str, Case], options: argparse.Namespace) -> dict[str, list[Measure]]:
    """Load each case once per round, one at a time. A first load of each case is discarded."""
    for case in cases.values():
        measure(case.url, WARM_UP_SECONDS, case.headers)
    time.sleep(SETTLE_SECONDS)
    measures: dict[str, list[Measure]] = {name: [] for name in cases}
    for number in range(options.rounds):
        for name, case in cases.items():
            measures[name].append(measure(case.url, options.seconds, case.headers))
            time.sleep(SETTLE_SECONDS)
        say(f"round {number + 1} of {options.rounds}: load average {os.getloadavg()[0]:.1f}")
    return measures


def measure_while_ingesting(
    database: Database, folder: Path, case: Case, options: argparse.Namespace
) -> tuple[list[Measure], list[Measure]]:
    """Load the case on an idle server, and then repeatedly during an ingest that changes all of the million records."""
    idle = [measure(case.url, options.seconds, case.headers) for _ in range(options.rounds)]
    write_products(folder / "products.csv", PRODUCTS, dearer=int(time.time()))  # other prices than in a kept database
    busy = []
    with database.ingesting(SOURCE) as process:
        while process.poll() is None:
            busy.append(measure(case.url, options.seconds, case.headers))
        outcome = json.loads((process.stdout.read() if process.stdout else "") or "{}")
    if outcome.get("updated") != PRODUCTS:
        sys.exit(f"The ingest under load did not change every record: {outcome}")
    say(f"the ingest under load took {outcome['duration_s']:.0f} s")
    return idle, busy[1:-1] or busy  # the first load began before the read, and the last ended after it


def list_figures(
    measures: Measures, idle: Sequence[Measure], busy: Sequence[Measure], memory: tuple[float, float]
) -> list[Figure]:
    """Return the figures with their floors."""

    def compare(ours: str, theirs: str) -> float:
        return median(a.rate / b.rate for a, b in zip(measures[ours], measures[theirs], strict=True))

    first, deep = "data: first page", f"data: after record {DEPTH:,}"
    narrowed, narrowed_deep = "data, one source: first page", f"data, one source: after record {DEPTH:,}"
    tails = [
        Figure(f"{name}: p99 / median", _find_p99(measures[name]) / _find_median(measures[name]), 3, is_ceiling=True)
        for name in (first, deep, narrowed, narrowed_deep, "stats")
    ]
    return [
        Figure("first page / FastAPI's", compare(first, "peer: first page"), 1.0, 1.2),
        Figure(
            "first page / a bare view that reads the same rows",
            compare(first, "bare: our page's rows from the database"),
            0.65,
            0.8,
        ),
        Figure("first page / a bare view that has the bytes in memory", compare(first, "bare: our page from memory")),
        Figure(f"after record {DEPTH:,} / our first page", compare(deep, first), 0.9, 0.95),
        Figure(
            f"FastAPI after record {DEPTH:,} / FastAPI's first page",
            compare(f"peer: after record {DEPTH:,}", "peer: first page"),
        ),
        Figure("first page of one source / FastAPI's", compare(narrowed, "peer, one source: first page"), 1.0, 1.5),
        Figure(
            f"one source after record {DEPTH:,} / our first page of that source", compare(narrowed_deep, narrowed), 0.9
        ),
        Figure(
            f"FastAPI, one source after record {DEPTH:,} / FastAPI's first page of that source",
            compare(f"peer, one source: after record {DEPTH:,}", "peer, one source: first page"),
        ),
        Figure("stats / a bare view that reads one row", compare("stats", "bare: one row from the database"), 0.7, 0.8),
        *tails,
        Figure(
            "first page while an ingest changes 1,000,000 records: p99 / idle p99",
            _find_p99(busy) / _find_p99(idle),
            4,
            is_ceiling=True,
        ),
        Figure("resident memory of the worker process after all loads, MiB", memory[0], 150, is_ceiling=True),
        Figure("proportional memory (shared pages divided among their processes), MiB", memory[1]),
    ]


def _find_p99(measures: Sequence[Measure]) -> float:
    return median(each.p99_ms for each in measures)


def _find_median(measures: Sequence[Measure]) -> float:
    return median(each.p50_ms for each in measures)


def describe(database: Database, figures: Sequence[Figure], measures: Measures, options: argparse.Namespace) -> str:
    """Return the section of docs/benchmarks.md."""
    ((version,),) = database.execute("SHOW server_version")
    load = os.getloadavg()[2]
    loads = [
        (name, f"{median(each.rate for each in found):,.0f}", f"{_find_median(found):.1f}", f"{_find_p99(found):.1f}")
        for name, found in measures.items()
    ]
    return (
        f"{describe_machine(version)}; {options.rounds} interleaved rounds of {options.seconds} s per case;"
        f" load average {load:.1f}.\n\n"
        + make_table(("figure", "measured", "floor", "aim", ""), [figure.as_row() for figure in figures])
        + "\n\n"
        + make_table(("case", "responses per second", "median, ms", "p99, ms"), loads)
    )


def try_threads(database: Database, folder: Path, options: argparse.Namespace) -> None:
    """Compare the first page and the statistics with each number of threads, in interleaved rounds."""
    headers = {"Authorization": f"Token {database.manage('token', 'create', 'bench').strip()}"}
    with ExitStack() as stack:
        cases = {}
        for threads in THREADS:
            ours = stack.enter_context(serve_ours(database, folder / f"{threads}.log", threads=threads))
            for name, path in (("data", "/api/v1/data?limit=50"), ("stats", "/api/v1/stats")):
                cases[f"{threads} threads: {name}"] = Case(ours.url + path, headers)
        measures = measure_rounds(cases, options)
    rows = [
        (
            name,
            f"{median(each.rate for each in found):,.0f}",
            f"{_find_median(found):.1f}",
            f"{_find_p99(found):.1f}",
            f"{_find_p99(found) / _find_median(found):.1f}",
        )
        for name, found in measures.items()
    ]
    print(make_table(("case", "responses per second", "median, ms", "p99, ms", "p99 / median"), rows))


if __name__ == "__main__":
    main()
