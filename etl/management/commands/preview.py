"""`manage.py preview`: show the records of a source, or what they would change. Writes nothing."""

import json
from collections.abc import Sequence
from typing import Any

from django.core.management.base import CommandError, CommandParser

from etl.contracts.names import describe_respelled
from etl.dry_run import find_difference
from etl.exceptions import RunError, SourceError
from etl.management.command_line import PipelineCommand, choose_sources, clear_database_errors
from etl.management.differences import describe_difference, describe_refusal, show_difference
from etl.management.tables import clean, print_table
from etl.preview import Preview, preview
from etl.readers.source import Source
from etl.records import Accepted, OwnedFields, Refusal
from etl.runs.ending import judged as choose_ending
from etl.vocabulary import Status

FIELDS = ("external_id", "name", "category", "value", "currency", "event_timestamp")


class Command(PipelineCommand):
    help = (
        "Show a source's first records in the unified fields, and refused ones with place and code; then count the"
        " first 1,000 by code, and say how a run would end."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", metavar="NAME")
        parser.add_argument("--limit", type=int, default=10, help="number of records to show (default 10)")
        parser.add_argument(
            "--diff",
            action="store_true",
            dest="is_diff",
            help="try the whole content on the database and undo it: show what a run would create, change and remove",
        )
        parser.add_argument("--json", action="store_true", dest="as_json", help="print one JSON object")

    def handle(self, *args: Any, name: str, limit: int, as_json: bool, is_diff: bool, **options: Any) -> None:
        if limit < 1:
            raise CommandError("--limit takes a whole number, 1 or more.", returncode=2)
        (source,) = choose_sources([name], all_of_them=False)
        if is_diff:
            self._show_difference(source, limit, as_json=as_json)
            return
        try:
            found = preview(source, limit)
        except SourceError as error:
            raise CommandError(str(error)) from error
        if as_json:
            self.stdout.write(json.dumps(describe(source, found)))
        else:
            self._show(source, found)

    def _show_difference(self, source: Source, limit: int, *, as_json: bool) -> None:
        try:
            with clear_database_errors():
                found = find_difference(source, limit)
        except RunError as error:
            raise CommandError(str(error)) from error
        if as_json:
            self.stdout.write(json.dumps(describe_difference(source, found)))
        else:
            show_difference(source, found, self.stdout.write)

    def _show(self, source: Source, found: Preview) -> None:
        if found.file:
            self.stdout.write(f"The first file that matches the path: {clean(found.file)}\n\n")
        accepted = [item for item in found.shown if isinstance(item, Accepted)]
        rows = [(item.record.position, item.record.line, *_take_values(source, item).values()) for item in accepted]
        print_table(("record", "line", *_name_values(source)), rows)
        refused = [item for item in found.shown if isinstance(item, Refusal)]
        if refused:
            self.stdout.write("\nRefused:")
            rows = [
                (item.position, item.line, item.breach.column, item.breach.code, item.breach.message)
                for item in refused
            ]
            print_table(("record", "line", "column", "code", "message"), rows)
        self._summarize(found)

    def _summarize(self, found: Preview) -> None:
        scope = "All records" if found.is_all and not found.error else f"The first {found.seen:,} records"
        counts = f"{found.accepted:,} accepted, {found.skipped:,} skipped, {found.refused:,} refused"
        self.stdout.write(f"\n{scope}: {counts}.")
        if found.reasons:
            rows = [
                (breach.code, breach.column, each.count, each.first.line, breach.message)
                for each in found.list_refused()
                for breach in (each.first.breach,)
            ]
            print_table(("code", "column", "records", "first at line", "example"), rows, numbers=("records",))
        if found.respelled:
            self.stdout.write(clean(f"Column names: {describe_respelled(found.respelled)}."))
        if found.error:
            self.stdout.write(clean(str(found.error)))
        for failure in found.verdict:
            self.stdout.write(clean(f"{failure.gate}: {failure.message}"))
        status, reason = judge_end(found)
        start = "A run would end" if scope == "All records" else "Judging by these records, a run would end"
        self.stdout.write(f"{start} {status}{f' ({reason})' if reason else ''}.")


def judge_end(found: Preview) -> tuple[str, str]:
    """Return the status and the reason with which a run would end, as far as these records show it."""
    if found.error and not found.verdict:
        return Status.FAILED, found.error.reason
    ended = choose_ending(found.verdict, found.refused)
    return ended.status, ended.reason


def _name_values(source: Source) -> Sequence[str]:
    """Return the unified fields, or the id and the fields of the source's own model."""
    return FIELDS if source.target is None else ["external_id", *source.target.name_values()]


def _take_values(source: Source, item: Accepted) -> dict[str, Any]:
    """Return the values of a record by these names."""
    unified = item.unified
    if isinstance(unified, OwnedFields):
        return dict(zip(_name_values(source), (unified.external_id, *unified.texts), strict=True))
    return {name: getattr(unified, name) for name in FIELDS}


def _describe_accepted(source: Source, item: Accepted) -> dict[str, Any]:
    """Return a record with its values as text: exact, like in the API."""
    place = {"record": item.record.position, "line": item.record.line}
    values = _take_values(source, item)
    if source.target is not None:
        return place | {"external_id": values.pop("external_id"), "fields": values}
    time = item.unified.event_timestamp
    texts = {name: None if value is None else str(value) for name, value in values.items()}
    return place | texts | {"event_timestamp": time.isoformat() if time is not None else None}


def describe(source: Source, found: Preview) -> dict[str, Any]:
    """Return the preview as one JSON object; docs/sources.md describes it."""
    status, reason = judge_end(found)
    return {
        "source": source.name,
        "location": source.location,
        "file": found.file,
        "records": [_describe_accepted(source, item) for item in found.shown if isinstance(item, Accepted)],
        "refused": [describe_refusal(item) for item in found.shown if isinstance(item, Refusal)],
        "counts": {
            "seen": found.seen,
            "accepted": found.accepted,
            "skipped": found.skipped,
            "quarantined": found.refused,
        },
        "is_all": found.is_all and not found.error,
        "codes": [{"records": each.count, **describe_refusal(each.first)} for each in found.list_refused()],
        "respelled": found.respelled,
        "verdict": [failure.as_json() for failure in found.verdict],
        "error": str(found.error or ""),
        "status": status,
        "reason": reason,
    }
