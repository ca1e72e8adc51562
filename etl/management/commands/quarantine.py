"""`manage.py quarantine list|show`: the refused records."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from etl.management.doors import clear_database_errors
from etl.management.terminal import clean, print_table
from etl.models import QuarantinedRecord
from etl.records import QuarantineStatus

COLUMNS = ("id", "source", "record", "line", "column", "code", "message", "status")


class Command(BaseCommand):
    help = "List refused records, or show one with its original."

    def add_arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        lister = actions.add_parser("list", help="refused records, newest first")
        lister.add_argument("--source")
        lister.add_argument("--code")
        lister.add_argument("--status", choices=[*QuarantineStatus, "all"], default=QuarantineStatus.OPEN)
        lister.add_argument("--limit", type=int, default=50, help="how many (default 50)")
        actions.add_parser("show", help="one refused record").add_argument("id", type=int)

    def handle(self, *args: Any, action: str, **options: Any) -> None:
        with clear_database_errors():
            if action == "list":
                self._list(**options)
            else:
                self._show(options["id"])

    def _list(self, *, source: str | None, code: str | None, status: str, limit: int, **options: Any) -> None:
        wanted = {"source": source, "code": code, "status": None if status == "all" else status}
        records = QuarantinedRecord.objects.defer("original", "payload").order_by("-id")
        records = records.filter(**{column: value for column, value in wanted.items() if value})
        rows = [
            (r.pk, r.source, r.position, r.line, r.column_name, r.code, r.message, r.status)
            for r in records[: max(limit, 0)]
        ]
        print_table(COLUMNS, rows, numbers=("id", "record", "line"))

    def _show(self, record_id: int) -> None:
        record = QuarantinedRecord.objects.filter(pk=record_id).first()
        if record is None:
            raise CommandError(f"There is no quarantined record {record_id}.")
        original = bytes(record.original)
        lines = {
            "source": record.source,
            "status": record.status,
            "place": f"record {record.position}, line {record.line}, column {record.column_name or '-'}",
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
