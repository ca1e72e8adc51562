"""`manage.py sources`: list the sources of ETL_SOURCES with their standing."""

from typing import Any

from etl.management.command_line import PipelineCommand, clear_database_errors
from etl.management.tables import print_table
from etl.reports.standing import load_checkpoints, read_standings
from etl.sources.registry import list_sources

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
    "held by run",
    "next try",
)


class Command(PipelineCommand):
    help = "List the sources with their last run, their counts and the run that holds them."

    def handle(self, *args: Any, **options: Any) -> None:
        with clear_database_errors():
            standings = read_standings()
            checkpoints = load_checkpoints([standing.source for standing in standings])
        rows = []
        for source, standing in zip(list_sources(), standings, strict=True):
            checkpoint, run = checkpoints.get(source.name), standing.last_run
            rows.append(
                (
                    *(source.name, source.kind, source.every, source.location),
                    standing.word,
                    *((run.status, f"{run.finished_at:%Y-%m-%d %H:%M:%S}") if run else ("", "")),
                    *((checkpoint.record_count, checkpoint.open_quarantine_count) if checkpoint else (0, 0)),
                    checkpoint.owner_run_id if checkpoint else "",
                    f"{standing.next_try_at:%Y-%m-%d %H:%M:%S}" if standing.next_try_at else "",
                )
            )
        print_table(COLUMNS, rows, numbers=("records", "quarantine"))
