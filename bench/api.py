"""`make bench-api`: how fast the API answers, beside a plain FastAPI service and beside bare Django views.

Fills a database of its own by a real ingest, loads one contestant at a time in interleaved rounds, and writes what
it has found into docs/benchmarks.md. README.md tells what each figure means.
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
os.environ["DEBUG"] = "true"  # of this process alone: it starts the embedded servers; the contestants run without

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
"""After each load: the last one's statements run to their end, a deep OFFSET for half a second and more."""

Measures = Mapping[str, Sequence[Measure]]


@dataclass(frozen=True, slots=True)
class Case:
    """One address under load."""

    url: str
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure with its floor (or, `is_ceiling`, the most it may be) and what we aim at."""

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
    """Everything, in one command; the exit status is 1 if a floor is missed."""
    options = _read_options()
    find_wrk()
    if not options.peer.exists():
        sys.exit(f"The peer's packages are not there ({options.peer}): type `make bench-api`.")
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
    parser = argparse.ArgumentParser(prog="python -m bench.api", description="The benchmark of the API.")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=int, default=5, help="of each case in each round")
    parser.add_argument("--peer", type=Path, default=ROOT / "bench/.venv/bin/python", help="the peer's Python")
    parser.add_argument("--threads", action="store_true", help=f"only: which of {THREADS} threads serve best")
    parser.add_argument("--keep", action="store_true", help="keep the database, and use the one that was kept")
    parser.add_argument("--dry", action="store_true", help="print, and leave docs/benchmarks.md alone")
    return parser.parse_args()


def fill(database: Database, folder: Path, options: argparse.Namespace) -> None:
    """A million products and ten thousand offers, by the pipeline itself."""
    try:
        is_kept = options.keep and database.execute("SELECT count(*) FROM unified_records") == [(PRODUCTS + OFFERS,)]
    except Exception:  # noqa: BLE001  (no such database, or another one's tables: then it is made)
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
    """A line of progress."""
    print(text, file=sys.stderr, flush=True)


def run(database: Database, folder: Path, options: argparse.Namespace) -> tuple[list[Figure], Measures]:
    """All rounds, then the load while an ingest runs, then the memory."""
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
    """Every address, by name: ours, the peer's same four pages, and the bare views."""
    (last,) = database.execute("SELECT id FROM unified_records ORDER BY id LIMIT 1 OFFSET %s", DEPTH - 1)
    (last_of_source,) = database.execute(
        "SELECT source, external_id FROM unified_records WHERE source = %s ORDER BY external_id LIMIT 1 OFFSET %s",
        SOURCE,
        DEPTH - 1,
    )
    deep = cursors.encode(name_list("data", {}, "id"), ("after", *last))
    deep_of_source = cursors.encode(name_list("data", {"source": SOURCE}, "external_id"), ("after", *last_of_source))
    data, peers = f"{ours.url}/api/v1/data?limit=50", f"{peer.url}/data?limit=50"
    # What is compared stands side by side: the machine's other work disturbs both.
    return {
        "data: first page": Case(data, headers),
        "peer: first page": Case(peers, {}),
        "bare: our page's bytes": Case(f"{bare.url}/page", {}),
        "bare: our page's rows, read": Case(f"{bare.url}/read-page", {}),
        f"data: behind record {DEPTH:,}": Case(f"{data}&cursor={deep}", headers),
        f"peer: behind record {DEPTH:,}": Case(f"{peers}&offset={DEPTH}", {}),
        "data, one source: first page": Case(f"{data}&source={SOURCE}", headers),
        f"data, one source: behind record {DEPTH:,}": Case(f"{data}&source={SOURCE}&cursor={deep_of_source}", headers),
        "peer, one source: first page": Case(f"{peers}&source={SOURCE}", {}),
        f"peer, one source: behind record {DEPTH:,}": Case(f"{peers}&source={SOURCE}&offset={DEPTH}", {}),
        "stats": Case(f"{ours.url}/api/v1/stats", headers),
        "bare: one row, read": Case(f"{bare.url}/row", {}),
    }


def fetch(case: Case) -> bytes:
    request = urllib.request.Request(case.url, headers=dict(case.headers))
    with urllib.request.urlopen(request, timeout=60) as answer:
        return bytes(answer.read())


def compare_pages(cases: Mapping[str, Case]) -> None:
    """Ours and the peer's pages must hold the same records."""
    for name in cases:
        if not name.startswith("data"):
            continue
        peers = name.replace("data", "peer", 1)
        ours, theirs = ([row["id"] for row in json.loads(fetch(cases[each]))["data"]] for each in (name, peers))
        if ours != theirs:
            sys.exit(f"{name} and {peers} are not the same page.")


def measure_rounds(cases: Mapping[str, Case], options: argparse.Namespace) -> dict[str, list[Measure]]:
    """Each case in each round, one at a time; the first load of each is thrown away."""
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
    """The case idle, and in as many loads as fit into an ingest that changes every one of the million records."""
    idle = [measure(case.url, options.seconds, case.headers) for _ in range(options.rounds)]
    write_products(folder / "products.csv", PRODUCTS, dearer=int(time.time()))  # a kept database may have the last one
    busy = []
    with database.ingesting(SOURCE) as process:
        while process.poll() is None:
            busy.append(measure(case.url, options.seconds, case.headers))
        told = json.loads((process.stdout.read() if process.stdout else "") or "{}")
    if told.get("updated") != PRODUCTS:
        sys.exit(f"The ingest under load did not change every record: {told}")
    say(f"the ingest under load took {told['duration_s']:.0f} s")
    return idle, busy[1:-1] or busy  # the first began before it read, and the last went on after it


def list_figures(
    measures: Measures, idle: Sequence[Measure], busy: Sequence[Measure], memory: tuple[float, float]
) -> list[Figure]:
    """The figures of the issue, with its floors."""

    def compare(ours: str, theirs: str) -> float:
        return median(a.rate / b.rate for a, b in zip(measures[ours], measures[theirs], strict=True))

    first, deep = "data: first page", f"data: behind record {DEPTH:,}"
    narrowed, narrowed_deep = "data, one source: first page", f"data, one source: behind record {DEPTH:,}"
    tails = [
        Figure(f"{name}: p99 / median", _find_p99(measures[name]) / _find_median(measures[name]), 3, is_ceiling=True)
        for name in (first, deep, narrowed, narrowed_deep, "stats")
    ]
    return [
        Figure("first page / FastAPI's", compare(first, "peer: first page"), 0.8, 1.0),
        Figure(
            "first page / a bare view that reads the same rows",
            compare(first, "bare: our page's rows, read"),
            0.6,
            0.75,
        ),
        Figure("first page / a bare view that has the bytes in memory", compare(first, "bare: our page's bytes")),
        Figure(f"behind record {DEPTH:,} / our first page", compare(deep, first), 0.9),
        Figure("… FastAPI's / its first page", compare(f"peer: behind record {DEPTH:,}", "peer: first page")),
        Figure("first page of one source / FastAPI's", compare(narrowed, "peer, one source: first page"), 1.0, 1.5),
        Figure(f"of one source behind {DEPTH:,} / our first page of it", compare(narrowed_deep, narrowed), 0.9),
        Figure(
            "… FastAPI's / its first page of it",
            compare(f"peer, one source: behind record {DEPTH:,}", "peer, one source: first page"),
        ),
        Figure("stats / a bare view that reads one row", compare("stats", "bare: one row, read"), 0.6, 0.75),
        *tails,
        Figure(
            "first page while an ingest changes 1,000,000 records: p99 / idle p99",
            _find_p99(busy) / _find_p99(idle),
            4,
            is_ceiling=True,
        ),
        Figure("memory of the worker process after all that, MiB resident", memory[0], 150, is_ceiling=True),
        Figure("… proportional (shared pages by share)", memory[1]),
    ]


def _find_p99(measures: Sequence[Measure]) -> float:
    return median(each.p99_ms for each in measures)


def _find_median(measures: Sequence[Measure]) -> float:
    return median(each.p50_ms for each in measures)


def describe(database: Database, figures: Sequence[Figure], measures: Measures, options: argparse.Namespace) -> str:
    """The section of docs/benchmarks.md."""
    ((version,),) = database.execute("SHOW server_version")
    load = os.getloadavg()[2]
    loads = [
        (name, f"{median(each.rate for each in found):,.0f}", f"{_find_median(found):.1f}", f"{_find_p99(found):.1f}")
        for name, found in measures.items()
    ]
    return (
        f"{describe_machine(version)}; {options.rounds} interleaved rounds of {options.seconds} s a case; load average"
        f" {load:.1f}.\n\n"
        + make_table(("figure", "measured", "floor", "aim", ""), [figure.as_row() for figure in figures])
        + "\n\n"
        + make_table(("case", "answers a second", "median, ms", "p99, ms"), loads)
    )


def try_threads(database: Database, folder: Path, options: argparse.Namespace) -> None:
    """The first page and the statistics with each number of threads, in interleaved rounds."""
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
    print(make_table(("case", "answers a second", "median, ms", "p99, ms", "p99 / median"), rows))


if __name__ == "__main__":
    main()
