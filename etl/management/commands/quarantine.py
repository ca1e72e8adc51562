"""`manage.py quarantine list|show|replay|discard`: show refused records, replay or discard them."""

from argparse import ArgumentParser
from collections.abc import Callable, Sequence
from typing import Any

from django.core.management.base import CommandError, CommandParser

from etl.execution.executor import execute_here
from etl.execution.outcomes import Outcome, describe_queued
from etl.management.command_line import PipelineCommand, clear_database_errors
from etl.management.exit_status import ExitStatus
from etl.management.foreground_runs import finish, run_here, show_queued
from etl.management.tables import clean, print_table
from etl.models import QuarantinedRecord, Run
from etl.operations.quarantine import describe_waits, discard, list_replayed_sources, replay
from etl.pipeline import Progress
from etl.readers.source import Source
from etl.runs.events import describe_process
from etl.runs.options import Options
from etl.sources.registry import list_sources
from etl.storage.refusal_selection import Selection
from etl.supervision.os_signals import Interruption
from etl.vocabulary import BreachCode, QuarantineStatus

COLUMNS = ("id", "source", "file", "record", "line", "column", "code", "message", "status")


class Command(PipelineCommand):
    help = (
        "List refused records, show one with its original, replay them by the current contract, or discard them."
        " Replay has the exit statuses of ingest."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        lister = actions.add_parser("list", help="refused records, newest first")
        lister.add_argument("--source")
        lister.add_argument("--code")
        lister.add_argument("--status", choices=[*QuarantineStatus, "all"], default=QuarantineStatus.OPEN)
        lister.add_argument("--limit", type=int, default=50, help="number of records (default 50)")
        actions.add_parser("show", help="one refused record").add_argument("id", type=int)
        replayer = actions.add_parser("replay", help="send open records through the pipeline again, in this process")
        _add_selectors(replayer)
        replayer.add_argument("--gone", action="store_true", help="records that their source no longer sends")
        replayer.add_argument("--queue", action="store_true", help="only queue the runs, for a worker to execute")
        replayer.add_argument("--json", action="store_true", dest="as_json", help="print one line of JSON per run")
        _add_selectors(actions.add_parser("discard", help="discard open records permanently"))

    def handle(self, *args: Any, action: str, **options: Any) -> None:
        actions: dict[str, Callable[..., None]] = {
            "list": self._list,
            "show": self._show,
            "replay": self._replay,
            "discard": self._discard,
        }
        with clear_database_errors():
            actions[action](**options)

    def _list(self, *, source: str | None, code: str | None, status: str, limit: int, **options: Any) -> None:
        wanted = {"source": source, "code": code, "status": None if status == "all" else status}
        records = QuarantinedRecord.objects.defer("original", "payload").order_by("-id")
        records = records.filter(**{column: value for column, value in wanted.items() if value})
        rows = [
            (r.pk, r.source, r.file, r.position, r.line, r.column_name, r.code, r.message, r.status)
            for r in records[: max(limit, 0)]
        ]
        print_table(COLUMNS, rows, numbers=("id", "record", "line"))

    def _replay(self, *, queue: bool, as_json: bool, verbosity: int, **options: Any) -> None:
        selection = _choose_selection(**options)
        by = f"a command on {describe_process()}"
        sources = _find_sources(list_replayed_sources(selection))
        if not sources:
            self.stderr.write(f"No {'gone' if selection.gone else 'open'} record is selected.")
            return

        def work(source: Source, interruption: Interruption, report: Callable[[Progress], None]) -> Outcome:
            return execute_here(source, Options(selection=selection), interruption=interruption, report=report)

        if queue:
            runs = replay(selection, by=by)
            if waits := describe_waits(runs):
                self.stderr.write(waits)
            outcomes = show_queued([describe_queued(run) for run in runs], as_json=as_json)
        else:
            outcomes = run_here(sources, work, as_json=as_json, verbosity=verbosity)
        finish(sources, outcomes, as_json=as_json)

    def _discard(self, **options: Any) -> None:
        count = discard(_choose_selection(**options), by=f"a command on {describe_process()}")
        self.stdout.write(f"{count} {'record was' if count == 1 else 'records were'} discarded.")

    def _show(self, *, id: int, **options: Any) -> None:  # noqa: A002  (the argument's name)
        record = QuarantinedRecord.objects.filter(pk=id).first()
        if record is None:
            raise CommandError(f"There is no quarantined record {id}.")
        original = bytes(record.original)
        file = f"file {record.file}, " if record.file else ""
        lines = {
            "source": record.source,
            "status": record.status,
            "id": record.external_id or "-",
            "place": f"{file}record {record.position}, line {record.line}, column {record.column_name or '-'}",
            "code": record.code,
            "message": record.message,
            "run": record.run_id,
            "original": original.decode(errors="backslashreplace").rstrip("\r\n"),
            "length": f"{record.original_length} bytes"
            + (f", of which {len(original)} are kept" if len(original) < record.original_length else ""),
            "sha256": bytes(record.original_sha256).hex(),
        }
        for name, value in lines.items():
            self.stdout.write(f"{name:<9} {clean(value)}")


def _add_selectors(parser: ArgumentParser) -> None:
    parser.add_argument("ids", nargs="*", type=int, metavar="ID", help="a record; `quarantine list` lists them")
    parser.add_argument("--source", default="", help="records of this source")
    parser.add_argument("--code", choices=list(BreachCode), default="", metavar="CODE", help="records with this code")
    parser.add_argument("--run", type=int, help="records that this run refused first")
    parser.add_argument("--all", action="store_true", dest="everything", help="all open records")


def _choose_selection(
    *,
    ids: Sequence[int],
    source: str,
    code: str,
    run: int | None,
    everything: bool,
    gone: bool = False,
    **options: Any,
) -> Selection:
    try:
        everything = everything and not gone  # --all --gone are all that are gone
        selection = Selection(tuple(dict.fromkeys(ids)), source, code, run, gone=gone, everything=everything)
    except ValueError:
        message = "Name one or more ids, --source, --code or --run, or give --all."
        raise CommandError(message, returncode=ExitStatus.USAGE) from None
    known = {known.name for known in list_sources()}
    if source and source not in known and not QuarantinedRecord.objects.filter(source=source).exists():
        message = f"Unknown source: {source}. Known sources: {', '.join(sorted(known))} (ETL_SOURCES)."
        raise CommandError(message, returncode=ExitStatus.USAGE)
    if run is not None and not Run.objects.filter(pk=run).exists():
        raise CommandError(f"There is no run {run}.", returncode=ExitStatus.USAGE)
    return selection


def _find_sources(names: Sequence[str]) -> list[Source]:
    known = {source.name: source for source in list_sources()}
    gone = [name for name in names if name not in known]
    if gone:
        raise CommandError(f"No longer in ETL_SOURCES: {', '.join(gone)}. Such records can only be discarded.")
    return [known[name] for name in names]
