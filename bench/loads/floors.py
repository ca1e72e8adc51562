"""The floors and aims of the loads, and whether they are met."""

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median

from bench.loads import ours, yardstick
from bench.loads.contestants import PLAIN
from bench.loads.measuring import Case, Figures

FIRST, YARDSTICK = Case(ours.TERMINAL, "products"), Case(yardstick.WHO, "products")
RATIOS = (  # figure, case, base, floor, aim
    ("first load of products in a terminal / yardstick", FIRST, YARDSTICK, 1.7, 1.3),
    ("first load of products through a worker / yardstick", Case(ours.WORKER, "products"), YARDSTICK, 1.7, 1.3),
    ("first load / plain SQL", FIRST, Case(PLAIN, "products"), 1.0, 0.75),
    ("first load / dlt with Arrow, one table", FIRST, Case("dlt, Arrow", "products"), 1.8, 1.4),
    (
        *("first load of the rough source / yardstick of its own rows", Case(ours.TERMINAL, "rough")),
        *(Case(yardstick.WHO, "rough"), 1.9, 1.5),
    ),
    ("first load of NDJSON / of CSV", Case(ours.TERMINAL, "lines"), FIRST, 2.0, 1.5),
    ("first load of an array over HTTP / of CSV", Case(ours.TERMINAL, "array"), FIRST, 2.2, 1.6),
    ("`--full`, unchanged / yardstick", Case(ours.TERMINAL, "products", "full"), YARDSTICK, 0.6, 0.4),
    ("0.1 % changed / yardstick", Case(ours.TERMINAL, "products", "changed"), YARDSTICK, 0.7, 0.5),
    (
        *("`ingest` with nothing to do / bare Python", Case(ours.TERMINAL, "products", "nothing")),
        *(Case(ours.BARE, "products", "nothing"), 1.4, None),
    ),
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """One figure, which must not exceed its floor."""

    name: str
    measured: float
    floor: float
    aim: float | None = None

    def as_row(self) -> tuple[str, ...]:
        return (
            self.name,
            f"**{self.measured:,.2f}**",
            f"≤ {self.floor:g}",
            f"≤ {self.aim:g}" if self.aim is not None else "",
            "met" if self.measured <= self.floor else "**missed**",
        )


def judge(figures: Figures) -> list[Verdict]:
    """Return a verdict for each figure that was measured."""
    judges = (_judge_ratios, _judge_export, _judge_processor, _judge_again, _judge_memory)
    return [verdict for judge_figures in judges for verdict in judge_figures(figures)]


def _judge_ratios(figures: Figures) -> Iterator[Verdict]:
    for name, case, base, floor, aim in RATIOS:
        ratio = figures.find_ratio(case, base)
        if ratio is not None:
            yield Verdict(name, ratio, floor, aim)


def _judge_export(figures: Figures) -> Iterator[Verdict]:
    ratio = figures.find_ratio(Case(ours.TERMINAL, "export"), Case(yardstick.WHO, "export"))
    plain = figures.find_ratio(FIRST, YARDSTICK)
    if ratio is not None and plain is not None:
        yield Verdict("first load of the export / yardstick of its own rows / the same of products", ratio / plain, 1.5)


def _judge_processor(figures: Figures) -> Iterator[Verdict]:
    if first := figures.by_case.get(FIRST):
        ratio = median(each.cpu / each.server_cpu for each in first)
        yield Verdict("first load: our processor time / the server's", ratio, 1.0, 0.7)


def _judge_again(figures: Figures) -> Iterator[Verdict]:
    again = figures.by_case.get(Case(ours.TERMINAL, "products", "again"))
    listed = figures.by_case.get(Case(ours.TERMINAL, "products", "sources"))
    if again and listed:
        more = median(one.seconds - other.seconds for one, other in zip(again, listed, strict=True))
        yield Verdict("the same file again, seconds more than `manage.py sources`", more, 0.6)
        written = max(each.landed for each in again)
        yield Verdict("the same file again, rows written in raw, unified, quarantine and snapshots", written, 0)


def _judge_memory(figures: Figures) -> Iterator[Verdict]:
    for who in (ours.TERMINAL, ours.WORKER):
        peaks = [each.peak_mib for case, found in figures.by_case.items() if case.who == who for each in found]
        if peaks:
            yield Verdict(f"{who}: peak memory of all loads, MiB (PSS, with children)", max(peaks), 200, 160)
