"""`manage.py runs`: list runs, show one run's events, or cancel a run."""

import time
from contextlib import suppress
from typing import Any

from django.core.management.base import CommandError, CommandParser

from etl.management.command_line import PipelineCommand, clear_database_errors
from etl.management.exit_status import ExitStatus
from etl.management.tables import clean, print_table
from etl.models import Run, RunEvent
from etl.operations.runs import cancel as cancel_run
from etl.runs.events import describe_process
from etl.vocabulary import COUNTERS

FOLLOW_SECONDS = 0.5
NUMBERS = (*COUNTERS, "waiting")
COLUMNS = ("run", "source", "status", "reason", "created", *NUMBERS)


class Command(PipelineCommand):
    help = "List the newest runs, show the events of one run, or cancel it."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("run", nargs="?", type=int, help="show the events of this run")
        parser.add_argument("--source", help="only this source's runs")
        parser.add_argument("--limit", type=int, default=20, help="number of runs (default 20)")
        parser.add_argument("--cancel", action="store_true", help="stop this run")
        parser.add_argument("--follow", action="store_true", help="keep showing new events until Ctrl-C")

    def handle(
        self,
        *args: Any,
        run: int | None,
        source: str | None,
        limit: int,
        follow: bool,
        cancel: bool,
        **options: Any,
    ) -> None:
        with clear_database_errors():
            if cancel:
                return self._cancel(run)
            if follow:
                return self._follow(run, source)
            if run is not None:
                return self._show_events(run)
            runs = Run.objects.filter(source=source) if source else Run.objects.all()
            rows = [
                (
                    *(run.pk, run.source, run.status, run.reason, f"{run.created_at:%Y-%m-%d %H:%M:%S}"),
                    *(getattr(run, name) for name in NUMBERS),
                )
                for run in runs[: max(limit, 0)]
            ]
            return print_table(COLUMNS, rows, numbers=("run", *NUMBERS))

    def _cancel(self, run: int | None) -> None:
        if run is None:
            raise CommandError("Name the run to cancel.", returncode=ExitStatus.USAGE)
        cancel_run(run, by=f"a command on {describe_process()}")
        self.stdout.write(f"Run {run} is cancelled.")

    def _follow(self, run: int | None, source: str | None) -> None:
        """Print each new event of the selected runs, one per line."""
        wanted = {"run_id": run, "run__source": source}
        events = RunEvent.objects.select_related("run").filter(
            **{name: value for name, value in wanted.items() if value}
        )
        last = 0 if run is not None else events.order_by("-pk").values_list("pk", flat=True).first() or 0
        with suppress(KeyboardInterrupt):
            while True:
                for event in events.filter(pk__gt=last).order_by("pk"):
                    last = event.pk
                    where = f"{event.created_at:%H:%M:%S} run {event.run_id} {event.run.source}"
                    print(clean(f"{where}: {event.kind}: {event.message}"), flush=True)
                time.sleep(FOLLOW_SECONDS)

    def _show_events(self, run_id: int) -> None:
        run = Run.objects.filter(pk=run_id).first()
        if run is None:
            raise CommandError(f"There is no run {run_id}.")
        events = run.events.all()
        rows = [(f"{event.created_at:%Y-%m-%d %H:%M:%S.%f}", event.kind, event.message) for event in events]
        print_table(("time", "event", "message"), rows)
