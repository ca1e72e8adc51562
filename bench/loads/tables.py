"""Describes the figures as Markdown: verdicts, all cases, and what the contestants do to bad and to unchanged rows."""

from collections.abc import Callable, Mapping, Sequence
from statistics import median

from bench.loads import ours
from bench.loads.contestants import PLAIN
from bench.loads.floors import judge
from bench.loads.measuring import Bench, Case, Figure
from bench.loads.peers import PEERS, list_versions
from bench.loads.probes import LATE_ROWS, ROWS
from bench.report import describe_machine, make_table

STEPS = {
    "first": "first load",
    "again": "the same file again",
    "full": "`--full`, unchanged",
    "changed": "0.1 % changed",
    "hundredth": "1 % changed",
    "sources": "`manage.py sources`",
    "nothing": "start, with nothing to do",
}
CASES = (
    "who",
    "source",
    "step",
    "seconds",
    "own CPU, s",
    "server's CPU, s",
    "peak, MiB",
    "rows written",
    "load before",
)


def describe_conditions(bench: Bench, rounds: int) -> str:
    ((version,),) = bench.database.template.execute("SHOW server_version")
    missing = [peer.name for peer in PEERS if not peer.is_installed()]
    return (
        f"{describe_machine(version)}, {list_versions()}; {bench.rows:,} rows; medians of up to {rounds} interleaved"
        f" rounds; durable defaults: {'yes' if bench.database.is_durable() else '**no**'}."
        + (f" Not installed, so not measured: {', '.join(missing)}." if missing else "")
    )


def describe_verdicts(bench: Bench) -> str:
    return make_table(("figure", "measured", "floor", "aim", ""), [each.as_row() for each in judge(bench.figures)])


def describe_cases(bench: Bench) -> str:
    """One row per case: medians, and the smallest and largest time."""
    return make_table(CASES, [_make_row(bench, case, found) for case, found in bench.figures.by_case.items()])


def _make_row(bench: Bench, case: Case, found: Sequence[Figure]) -> tuple[str, ...]:
    def middle(pick: Callable[[Figure], float]) -> float:
        return median(map(pick, found))

    return (
        _name(bench, case.who),
        case.source,
        STEPS[case.step],
        f"**{middle(lambda each: each.seconds):.2f}**{_describe_spread(found)}",
        f"{middle(lambda each: each.cpu):.2f}",
        f"{middle(lambda each: each.server_cpu):.2f}",
        f"{max(each.peak_mib for each in found):.0f}",
        f"{max(sum(each.written.values()) for each in found):,}",
        f"{middle(lambda each: each.load):.1f}",
    )


def _name(bench: Bench, who: str) -> str:
    """Add the number of rows to the name of a peer that loads only a part of them."""
    share = next((peer.share for peer in PEERS if peer.name == who), 1)
    return who if share == 1 else f"{who} (of {int(bench.rows * share):,} rows)"


def _describe_spread(found: Sequence[Figure]) -> str:
    seconds = [each.seconds for each in found]
    return f" ({min(seconds):.2f} – {max(seconds):.2f})" if len(found) > 1 else ""


def describe_rows(bench: Bench, tried: Mapping[str, Sequence[str]]) -> str:
    """What became of a bad number, and how many rows of an unchanged file are written again."""
    rows = [(name, *outcomes, _count_rewritten(bench, name)) for name, outcomes in tried.items()]
    head = (
        *("who", f"a bad number in a first load of {ROWS:,} rows", f"of {LATE_ROWS:,} rows"),
        *(f"in a later load of {ROWS:,} rows", "rows written for an unchanged file"),
    )
    return make_table(head, rows)


def _count_rewritten(bench: Bench, who: str) -> str:
    tables = {peer.name: peer.table.removeprefix("public.") for peer in PEERS}
    again = bench.figures.by_case.get(Case(who, "products", "again"))
    if not again:
        return "not measured"
    if who in (ours.TERMINAL, PLAIN):
        return f"{again[0].landed:,}"
    first = bench.figures.by_case[Case(who, "products")]
    return f"{again[0].written.get(tables[who], 0):,} of {first[0].written[tables[who]]:,}"
