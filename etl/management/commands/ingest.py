"""`manage.py ingest`: bring sources up to date, in this process or by queueing runs."""

from collections.abc import Callable, Sequence
from typing import Any

from django.core.management.base import CommandParser

from etl.execution.executor import execute_here
from etl.execution.outcomes import Outcome, describe_queued
from etl.management.command_line import PipelineCommand, choose_sources, clear_database_errors
from etl.management.foreground_runs import finish, run_here, show_queued
from etl.pipeline import Progress
from etl.readers.source import Source
from etl.runs import orders
from etl.runs.events import describe_process
from etl.runs.options import Options
from etl.supervision.os_signals import Interruption
from etl.vocabulary import Trigger


class Command(PipelineCommand):
    help = (
        "Read sources and land their records, in this process."
        " Exit status: 0 success, 1 a run failed, 2 usage, 3 records were refused, 4 a source is held by another run."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("names", nargs="*", metavar="NAME", help="a source; `manage.py sources` lists them")
        parser.add_argument("--all", action="store_true", dest="all_of_them", help="all sources of ETL_SOURCES")
        parser.add_argument("--full", action="store_true", help="read everything again; still writes only differences")
        parser.add_argument("--queue", action="store_true", help="only queue the runs, for a worker to execute")
        parser.add_argument("--json", action="store_true", dest="as_json", help="print one line of JSON per run")

    def handle(
        self,
        *args: Any,
        names: Sequence[str],
        all_of_them: bool,
        queue: bool,
        full: bool,
        as_json: bool,
        verbosity: int,
        **options: Any,
    ) -> None:
        sources, wanted = choose_sources(names, all_of_them=all_of_them), Options(full=full)
        by = f"a command on {describe_process()}"

        def work(source: Source, interruption: Interruption, report: Callable[[Progress], None]) -> Outcome:
            return execute_here(source, wanted, interruption=interruption, report=report)

        with clear_database_errors():
            if queue:
                runs = [orders.queue(source.name, trigger=Trigger.COMMAND, by=by, options=wanted) for source in sources]
                outcomes = show_queued([describe_queued(run) for run in runs], as_json=as_json)
            else:
                outcomes = run_here(sources, work, as_json=as_json, verbosity=verbosity)
        finish(sources, outcomes, as_json=as_json)
