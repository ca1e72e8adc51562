"""Checks what our runs made of the file: each row has the fate that it was given, and none is written in vain."""

import sys
from collections import Counter
from collections.abc import Iterator

from bench.loads import ours, yardstick
from bench.loads.files import Row
from bench.loads.floors import Verdict
from bench.loads.measuring import LANDED, Bench, Case
from bench.shop.database import TARGET
from bench.shop.files import CHANGED_EVERY, CONSTRAINT, CONTRACT, LANDS, NO_PARENT

CHANGED = "changed"
_REFUSED = """
    SELECT CASE WHEN code IN ('constraint', 'no_parent') THEN code ELSE %s END, count(*) FROM etl_quarantine GROUP BY 1
"""


def tally(products: Iterator[tuple[str, Row]], counts: Counter[str]) -> Iterator[Row]:
    """Yield the rows, and count their fates."""
    for number, (fate, row) in enumerate(products, 1):
        counts[fate] += 1
        counts[CHANGED] += fate == LANDS and number % CHANGED_EVERY == 0
        yield row


def check_first_load(bench: Bench, counts: Counter[str]) -> None:
    """End the benchmark if a row has not become what the file says."""
    refused = dict(bench.database.execute(_REFUSED, CONTRACT))
    ((landed,),) = bench.database.execute(f"SELECT count(*) FROM {TARGET}")
    expected = {fate: counts[fate] for fate in (CONTRACT, CONSTRAINT, NO_PARENT)}
    if (landed, refused) != (counts[LANDS], expected):
        sys.exit(f"{counts[LANDS]} rows must land and {expected} be refused, not {landed} and {refused}")


def judge_writes(bench: Bench, counts: Counter[str]) -> list[Verdict]:
    """Compare the rows that were written with those that had to be."""
    tables = (TARGET, *LANDED)
    return [
        Verdict(
            f"`--full`, unchanged: rows written in the target, {', '.join(LANDED)}",
            _count_most(bench, "full", tables),
            0,
        ),
        Verdict(
            f"1 % changed, {counts[CHANGED]:,} records: other rows written in the target, ledger or raw",
            max(
                abs(figure.written.get(table, 0) - counts[CHANGED])
                for figure in bench.figures.by_case[Case(ours.TERMINAL, "shop", "hundredth")]
                for table in yardstick.TABLES["shop"]
            ),
            0,
        ),
    ]


def _count_most(bench: Bench, step: str, tables: tuple[str, ...]) -> int:
    found = bench.figures.by_case[Case(ours.TERMINAL, "shop", step)]
    return max(sum(figure.written.get(table, 0) for table in tables) for figure in found)
