"""For commands that run sources: goes through the sources, shows how each run ended, and chooses the exit status."""

import json
import sys
from collections.abc import Callable, Sequence

from etl.execution.outcomes import Outcome
from etl.management.exit_status import ExitStatus, choose_exit_status
from etl.management.progress import ProgressDisplay
from etl.management.tables import clean, print_table
from etl.pipeline import Progress
from etl.readers.source import Source
from etl.runs.reason_advice import find_advice
from etl.supervision.os_signals import Interruption
from etl.vocabulary import COUNTERS

COLUMNS = ("run", "source", "status", "reason", *COUNTERS, "seconds")

Work = Callable[[Source, Interruption, Callable[[Progress], None]], Outcome]


def run_here(sources: Sequence[Source], work: Work, *, as_json: bool, verbosity: int) -> list[Outcome]:
    """Do the work for each source, one after the other, until a signal arrives."""
    interruption = Interruption()
    outcomes: list[Outcome] = []
    with interruption.listen(), ProgressDisplay(verbosity=0 if as_json else verbosity) as display:
        for source in sources:
            if interruption.is_received:
                break
            report, finish_display = display.begin(source.name)
            outcome = work(source, interruption, report)
            finish_display(str(outcome))
            if outcome.message:
                print(f"{source.name}: {clean(outcome.message)}", file=sys.stderr)
                if advice := find_advice(outcome.reason):
                    print(f"{source.name}: {advice.remedy}", file=sys.stderr)
            if as_json:
                print(json.dumps(outcome.as_json()), flush=True)
            outcomes.append(outcome)
    return outcomes


def show_queued(outcomes: list[Outcome], *, as_json: bool) -> list[Outcome]:
    """Show runs that were only queued."""
    if as_json:
        for outcome in outcomes:
            print(json.dumps(outcome.as_json()))
    return outcomes


def finish(sources: Sequence[Source], outcomes: Sequence[Outcome], *, as_json: bool) -> None:
    """Print the table of all runs, unless each was printed as JSON, and exit with the right status."""
    if not as_json:
        print_outcomes(outcomes)
    left = [source.name for source in sources[len(outcomes) :]]
    if left:
        print(f"Stopped before {', '.join(left)}.", file=sys.stderr)
    sys.exit(ExitStatus.FAILED if left else choose_exit_status(outcomes))


def print_outcomes(outcomes: Sequence[Outcome]) -> None:
    """Print the table of all runs."""
    rows = [
        (
            o.run,
            o.source,
            o.status,
            o.reason,
            *(f"{o.counters[name]:,}" for name in COUNTERS),
            f"{o.duration_s:.2f}",
        )
        for o in outcomes
    ]
    print_table(COLUMNS, rows, numbers=("run", *COUNTERS, "seconds"))
