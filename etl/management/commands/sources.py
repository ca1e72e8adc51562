"""`manage.py sources [NAME]`: list the sources of ETL_SOURCES with their standing, or show what one of them is."""

from collections.abc import Sequence
from typing import Any

from django.core.management.base import CommandParser

from etl.management.command_line import PipelineCommand, choose_sources, clear_database_errors
from etl.management.tables import print_table
from etl.readers.source import Source
from etl.reports.source_descriptions import describe_source, describe_waiting
from etl.reports.standing import load_checkpoints, read_standings
from etl.sources.registry import list_sources
from etl.storage.waiting import count_waiting

COLUMNS = (
    "source",
    "kind",
    "every",
    "location",
    "standing",
    "status",
    "finished",
    "records",
    "quarantine",
    "waiting",
    "held by run",
    "next try",
)


class Command(PipelineCommand):
    help = "List the sources with their last run, their counts and the run that holds them; or describe one source."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", metavar="NAME", nargs="?", help="show this source's definition and current state")

    def handle(self, *args: Any, name: str | None, **options: Any) -> None:
        with clear_database_errors():
            if name is not None:
                self._show(*choose_sources([name], all_of_them=False))
            else:
                _list(list_sources())

    def _show(self, source: Source) -> None:
        found = describe_source(source)
        self._write(source.name, found.declared)
        self._write("\nState", found.state)
        self._write(f"\nContract {found.contract}")
        rows = [(field.path, field.type, field.accepts) for field in found.fields]
        print_table(("field", "type", "accepts"), rows)
        self._write("\nUnified fields", found.mapping or [("all", "by the source's own code")])

    def _write(self, title: str, lines: Sequence[tuple[str, str]] = ()) -> None:
        self.stdout.write(title)
        if lines:
            print_table(("", ""), lines, has_header=False)


def _list(sources: Sequence[Source]) -> None:
    standings = read_standings([source.name for source in sources])
    checkpoints = load_checkpoints([standing.source for standing in standings])
    waiting = count_waiting([source.name for source in sources])
    rows = []
    for source, standing in zip(sources, standings, strict=True):
        checkpoint, run = checkpoints.get(source.name), standing.last_run
        rows.append(
            (
                *(source.name, source.kind, source.every, source.location),
                standing.word,
                *((run.status, f"{run.finished_at:%Y-%m-%d %H:%M:%S}") if run else ("", "")),
                *((checkpoint.record_count, checkpoint.open_quarantine_count) if checkpoint else (0, 0)),
                describe_waiting(waiting[source.name]) if source.name in waiting else "",
                checkpoint.owner_run_id if checkpoint else "",
                f"{standing.next_try_at:%Y-%m-%d %H:%M:%S}" if standing.next_try_at else "",
            )
        )
    print_table(COLUMNS, rows, numbers=("records", "quarantine"))
