"""`manage.py reads [SOURCE]`: the reads that have ended, with their verdicts; `--accept ID` accepts one."""

from typing import Any

from django.core.management.base import CommandParser

from etl.management.command_line import PipelineCommand, choose_sources, clear_database_errors
from etl.management.tables import print_table
from etl.models import JudgedRead
from etl.operations.reads import accept
from etl.runs.events import describe_process
from etl.vocabulary import Trigger

COLUMNS = ("id", "source", "file", "read", "ended", "outcome", "seen", "refused", "removed", "verdict")


class Command(PipelineCommand):
    help = (
        "List the last reads of the sources with their verdicts, newest first, or accept one in spite of its verdict."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("source", nargs="?", help="only this source")
        parser.add_argument("--limit", type=int, default=20, help="number of reads (default 20)")
        parser.add_argument("--accept", type=int, metavar="ID", help="accept this read, and queue a run that lands it")

    def handle(self, *args: Any, source: str | None, limit: int, accept: int | None, **options: Any) -> None:
        if source is not None:
            choose_sources([source], all_of_them=False)
        with clear_database_errors():
            if accept is not None:
                return self._accept(accept)
            reads = JudgedRead.objects.filter(source=source) if source is not None else JudgedRead.objects.all()
            return print_table(COLUMNS, map(_describe, reads[: max(limit, 0)]), numbers=("id", "read", *COLUMNS[6:9]))

    def _accept(self, read_id: int) -> None:
        by = f"a command on {describe_process()}"
        run = accept(read_id, by=by, user_id=None, trigger=Trigger.COMMAND)
        self.stdout.write(f"Read {read_id} is accepted. Run {run.pk} of {run.source} is {run.status}.")


def _describe(read: JudgedRead) -> tuple[object, ...]:
    verdict = "; ".join(failure["message"] for failure in read.verdict)
    ended = f"{read.ended_at:%Y-%m-%d %H:%M:%S}"
    counts = (f"{read.seen:,}", f"{read.quarantined:,}", f"{read.removed:,}")
    return (read.pk, read.source, read.file, read.number, ended, read.outcome, *counts, verdict)
