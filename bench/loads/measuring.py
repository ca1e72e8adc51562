"""Measures one case: a contestant's process, the server's share of it, and the rows that it wrote."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from bench.loads.processes import Done, run
from bench.loads.server import LoadDatabase, find_load

LANDED = ("raw_csv_data", "raw_third_source_data", "raw_api_data", "unified_records", "etl_quarantine")
SNAPSHOTS = "schema_snapshots"


@dataclass(frozen=True, slots=True)
class Case:
    """A contestant, the source that it reads, and the step: a first load, or a later one."""

    who: str
    source: str
    step: str = "first"

    def __str__(self) -> str:
        return f"{self.who}: {self.source}, {self.step}"


@dataclass(frozen=True, slots=True)
class Figure:
    """One measurement. `written` counts the rows that were inserted, updated or deleted, by table."""

    seconds: float
    cpu: float
    server_cpu: float
    peak_mib: float
    load: float
    written: Mapping[str, int]

    @property
    def landed(self) -> int:
        return sum(self.written.get(table, 0) for table in (*LANDED, SNAPSHOTS))


@dataclass(slots=True)
class Figures:
    """All measurements, by case, in the order of the rounds."""

    by_case: dict[Case, list[Figure]] = field(default_factory=dict)

    def add(self, case: Case, figure: Figure) -> None:
        self.by_case.setdefault(case, []).append(figure)
        print(
            f"{case}: {figure.seconds:.2f} s, own processor {figure.cpu:.2f} s, server's {figure.server_cpu:.2f} s,"
            f" peak {figure.peak_mib:.0f} MiB, {sum(figure.written.values()):,} rows written; load {figure.load:.1f}",
            file=sys.stderr,
            flush=True,
        )

    def find_ratio(self, case: Case, base: Case) -> float | None:
        """Return the median of the ratios of seconds within each round; None if one of them was not measured."""
        pairs = zip(self.by_case.get(case, ()), self.by_case.get(base, ()), strict=False)
        ratios = [one.seconds / other.seconds for one, other in pairs]
        return median(ratios) if ratios else None


@dataclass(slots=True)
class Bench:
    """The database, the folder of the files, and the figures so far."""

    database: LoadDatabase
    folder: Path
    rows: int
    figures: Figures = field(default_factory=Figures)

    def measure(self, case: Case, command: Sequence[str], environment: Mapping[str, str] | None = None) -> Done:
        """Run the command after a CHECKPOINT and add its figures; end the benchmark if it fails."""
        self.database.settle()
        meter = Meter(self.database)
        done = run(command, environment or self.database.environment, self.folder)
        if done.status not in (0, 3):  # `ingest` exits with 3 if it refused records
            sys.exit(f"{case} exited with {done.status}: {done.output.strip()[-800:]}")
        self.figures.add(case, meter.finish(done))
        return done


class Meter:
    """The server's counters at the start of a measurement."""

    def __init__(self, database: LoadDatabase) -> None:
        self.database = database
        self.load, self.written, self.cpu = find_load(), database.count_written(), database.read_cpu()

    def finish(self, done: Done) -> Figure:
        self.database.wait_for_sessions()
        server_cpu = self.database.read_cpu() - self.cpu
        written = {table: count - self.written.get(table, 0) for table, count in self.database.count_written().items()}
        written = {table: count for table, count in written.items() if count}
        return Figure(done.seconds, done.cpu, server_cpu, done.peak_mib, self.load, written)
