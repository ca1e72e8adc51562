"""Profiles one first load: the share of the time in each part of the project, and the costliest functions."""

import pstats
import sys
from pathlib import Path

from bench.database import ROOT
from bench.loads import ours
from bench.loads.files import make_products, write_csv
from bench.loads.measuring import Bench
from bench.loads.processes import run
from bench.report import make_table

SHOWN = 12
MOST_ROWS = 200_000
BUILT_IN = "~"
ELSEWHERE, DATABASE = "libraries and start-up", "calls of the database, with the wait"
Cost = tuple[str, float]


def profile(bench: Bench) -> str:
    """Describe where a first load of the products spends its time, by cProfile, which slows Python's calls down."""
    bench.database.renew()
    rows = min(bench.rows, MOST_ROWS)
    write_csv(ours.empty_place(bench, "products"), make_products(rows))
    output = bench.folder / "profile.out"
    manage = ours.manage("ingest", "bench_products", "--json")
    command = [sys.executable, "-m", "cProfile", "-o", str(output), *manage[1:]]
    done = run(command, bench.database.environment, bench.folder)
    if not output.exists():
        return f"The profile failed: {done.output[-300:]}"
    parts, functions = _read(output)
    total = sum(seconds for _, seconds in parts)
    head = f"A profiled first load of {rows:,} rows, {total:.1f} s in the main thread. Parts include built-in calls."
    tables = (_make(name, costs, total) for name, costs in (("part", parts), ("function", functions)))
    return "\n\n".join((head, *tables))


def _make(name: str, costs: list[Cost], total: float) -> str:
    rows = [(f"`{label}`", f"{seconds:.2f}", f"{seconds / total:.0%}") for label, seconds in costs[:SHOWN]]
    return make_table((name, "seconds", "share"), rows)


def _read(output: Path) -> tuple[list[Cost], list[Cost]]:
    """Return the own time by part, and by function, the costliest first. A built-in's time is its callers'."""
    parts: dict[str, float] = {}
    functions: dict[str, float] = {}
    for (file, _, name), (_, _, own, _, callers) in pstats.Stats(str(output)).stats.items():  # type: ignore[attr-defined]
        part = _name_part(file, name)
        if part is None:
            for (caller, _, _), costs in callers.items():
                by = _name_part(caller, "") or ELSEWHERE
                parts[by] = parts.get(by, 0.0) + costs[2]
        else:
            parts[part] = parts.get(part, 0.0) + own
        label = f"{part}: {name}" if file != BUILT_IN else name
        functions[label] = functions.get(label, 0.0) + own
    return _sort(parts), _sort(functions)


def _name_part(file: str, name: str) -> str | None:
    """Return a module of the pipeline by its path, or what all else counts as; None for a built-in function."""
    if file == BUILT_IN:
        return DATABASE if "psycopg" in name else None
    path = Path(file)
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT / "etl") else ELSEWHERE


def _sort(costs: dict[str, float]) -> list[Cost]:
    return sorted(costs.items(), key=lambda cost: -cost[1])
