"""`manage.py ingest`: bring sources up to date here and now."""

import json
import sys
from collections.abc import Sequence
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from etl.interruption import Interruption
from etl.management.doors import ExitStatus, choose_sources, clear_database_errors
from etl.management.terminal import ProgressDisplay, clean, print_table
from etl.operations import REFUSED, Outcome, describe_outcome, ingest, order
from etl.readers.base import Source
from etl.records import COUNTERS, Status

COLUMNS = ("run", "source", "status", "reason", *COUNTERS, "seconds")


class Command(BaseCommand):
    help = (
        "Read sources and land their records, in this process."
        " Exit status: 0 success, 1 a run failed, 2 usage, 3 records were refused, 4 a source is held by another run."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("names", nargs="*", metavar="NAME", help="a source; `manage.py sources` lists them")
        parser.add_argument("--all", action="store_true", dest="all_of_them", help="every source of ETL_SOURCES")
        parser.add_argument("--full", action="store_true", help="re-read everything; still writes only differences")
        parser.add_argument("--queue", action="store_true", help="only queue the runs, for a worker to execute")
        parser.add_argument("--json", action="store_true", dest="as_json", help="one JSON object a run, one a line")

    def handle(self, *args: Any, names: Sequence[str], all_of_them: bool, queue: bool, **options: Any) -> None:
        sources = choose_sources(names, all_of_them=all_of_them)
        with clear_database_errors():
            outcomes = self._queue(sources, **options) if queue else self._ingest(sources, **options)
        if not options["as_json"]:
            print_outcomes(outcomes)
        left = [source.name for source in sources[len(outcomes) :]]
        if left:
            print(f"Stopped before {', '.join(left)}.", file=sys.stderr)
        sys.exit(ExitStatus.FAILED if left else choose_exit_status(outcomes))

    def _queue(self, sources: Sequence[Source], *, full: bool, as_json: bool, **options: Any) -> list[Outcome]:
        outcomes = [order(source, full=full) for source in sources]
        if as_json:
            for outcome in outcomes:
                print(json.dumps(outcome.as_json()))
        return outcomes

    def _ingest(
        self, sources: Sequence[Source], *, full: bool, as_json: bool, verbosity: int, **options: Any
    ) -> list[Outcome]:
        interruption = Interruption()
        outcomes: list[Outcome] = []
        with interruption.listen(), ProgressDisplay(verbosity=0 if as_json else verbosity) as display:
            for source in sources:
                if interruption.has_come:
                    break
                report, finish = display.begin(source.name)
                outcome = ingest(source, full=full, interruption=interruption, report=report)
                finish(describe_outcome(outcome))
                if outcome.message:
                    print(f"{source.name}: {clean(outcome.message)}", file=sys.stderr)
                if as_json:
                    print(json.dumps(outcome.as_json()), flush=True)
                outcomes.append(outcome)
        return outcomes


def print_outcomes(outcomes: Sequence[Outcome]) -> None:
    """The table of all runs."""
    rows = [
        (o.run, o.source, o.status, o.reason, *(f"{o.counters[name]:,}" for name in COUNTERS), f"{o.duration_s:.2f}")
        for o in outcomes
    ]
    print_table(COLUMNS, rows, numbers=("run", *COUNTERS, "seconds"))


def choose_exit_status(outcomes: Sequence[Outcome]) -> ExitStatus:
    """The first that applies: failed, refused, partial, success."""
    found = {outcome.status for outcome in outcomes}
    order = {
        Status.FAILED.value: ExitStatus.FAILED,
        REFUSED: ExitStatus.REFUSED,
        Status.PARTIAL.value: ExitStatus.PARTIAL,
    }
    return next((status for name, status in order.items() if name in found), ExitStatus.SUCCESS)
