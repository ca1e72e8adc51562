"""`manage.py ingest`: bring sources up to date, in this process or by queueing runs."""

from collections.abc import Callable, Sequence
from typing import Any

from django.core.management.base import CommandError, CommandParser

from etl.execution.executor import execute_here
from etl.execution.outcomes import Outcome, describe_queued
from etl.management.command_line import PipelineCommand, choose_sources, clear_database_errors
from etl.management.exit_status import ExitStatus
from etl.management.foreground_runs import finish, run_here, show_queued
from etl.operations.windows import WindowRefused, choose_window
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
        " Exit status: 0 success, 1 a run failed, 2 usage, 3 a run ended partial, 4 a source is held by another run."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("names", nargs="*", metavar="NAME", help="a source; `manage.py sources` lists them")
        parser.add_argument("--all", action="store_true", dest="all_of_them", help="all sources of ETL_SOURCES")
        parser.add_argument("--full", action="store_true", help="read everything again; still writes only differences")
        parser.add_argument("--since", metavar="TIME", help="fetch again what has changed since this day or time (UTC)")
        parser.add_argument(
            "--until", metavar="TIME", help="with --since: only what has changed until this day or time"
        )
        parser.add_argument("--queue", action="store_true", help="only queue the runs, for a worker to execute")
        parser.add_argument("--json", action="store_true", dest="as_json", help="print one line of JSON per run")

    def handle(
        self,
        *args: Any,
        names: Sequence[str],
        all_of_them: bool,
        queue: bool,
        full: bool,
        since: str | None,
        until: str | None,
        as_json: bool,
        verbosity: int,
        **options: Any,
    ) -> None:
        sources = choose_sources(names, all_of_them=all_of_them)
        by = f"a command on {describe_process()}"

        def work(source: Source, interruption: Interruption, report: Callable[[Progress], None]) -> Outcome:
            return execute_here(source, wanted[source.name], interruption=interruption, report=report)

        with clear_database_errors():
            wanted = {source.name: _choose_options(source, full=full, since=since, until=until) for source in sources}
            if queue:
                runs = [
                    orders.queue(name, trigger=Trigger.COMMAND, by=by, options=each) for name, each in wanted.items()
                ]
                outcomes = show_queued([describe_queued(run) for run in runs], as_json=as_json)
            else:
                outcomes = run_here(sources, work, as_json=as_json, verbosity=verbosity)
        finish(sources, outcomes, as_json=as_json)


def _choose_options(source: Source, *, full: bool, since: str | None, until: str | None) -> Options:
    """Return the options of the source's run. Raises CommandError with the usage status."""
    if since is None and until is None:
        return Options(full=full)
    if full:
        raise CommandError("Give either --full or --since.", returncode=ExitStatus.USAGE)
    try:
        return choose_window(source, since or "", until or "")
    except WindowRefused as error:
        raise CommandError(str(error), returncode=ExitStatus.USAGE) from error
