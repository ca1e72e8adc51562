"""`manage.py reread NAME --from-raw`: judge what a source has sent by the current contract, without asking it."""

from collections.abc import Callable
from typing import Any

from django.core.management.base import CommandError, CommandParser

from etl.execution.executor import execute_here
from etl.execution.outcomes import Outcome, describe_queued
from etl.management.command_line import PipelineCommand, choose_sources, clear_database_errors
from etl.management.exit_status import ExitStatus
from etl.management.foreground_runs import finish, run_here, show_queued
from etl.operations.quarantine import describe_waits
from etl.operations.sources import choose_reread, require_rereadable, reread
from etl.pipeline import Progress
from etl.readers.source import Source
from etl.runs.events import describe_process
from etl.supervision.os_signals import Interruption


class Command(PipelineCommand):
    help = (
        "Judge the present records of sources, from their raw rows, and the open refused ones by the current contract."
        " The sources are not asked, and only what differs is written. It has the exit statuses of ingest."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("names", nargs="*", metavar="NAME")
        parser.add_argument("--all", action="store_true", dest="all_of_them", help="all sources of ETL_SOURCES")
        parser.add_argument("--from-raw", action="store_true", help="required: `ingest --full` asks the sources again")
        parser.add_argument("--queue", action="store_true", help="only queue the runs, for a worker to execute")
        parser.add_argument("--json", action="store_true", dest="as_json", help="print one line of JSON per run")

    def handle(
        self,
        *args: Any,
        names: list[str],
        all_of_them: bool,
        from_raw: bool,
        queue: bool,
        as_json: bool,
        verbosity: int,
        **options: Any,
    ) -> None:
        if not from_raw:
            message = "Give --from-raw to judge the raw rows again, or use `ingest --full` to read the source again."
            raise CommandError(message, returncode=ExitStatus.USAGE)
        sources = choose_sources(names, all_of_them=all_of_them)
        with clear_database_errors():
            for source in sources:
                require_rereadable(source)
            if queue:
                outcomes = self._queue(sources, as_json=as_json)
            else:
                outcomes = run_here(sources, _work, as_json=as_json, verbosity=verbosity)
            finish(sources, outcomes, as_json=as_json)

    def _queue(self, sources: list[Source], *, as_json: bool) -> list[Outcome]:
        runs = [reread(source.name, by=f"a command on {describe_process()}") for source in sources]
        if waits := describe_waits(runs):
            self.stderr.write(waits)
        return show_queued([describe_queued(run) for run in runs], as_json=as_json)


def _work(source: Source, interruption: Interruption, report: Callable[[Progress], None]) -> Outcome:
    return execute_here(source, choose_reread(source.name), interruption=interruption, report=report)
