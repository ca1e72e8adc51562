"""`manage.py preview`: show the records of a source; writes nothing and needs no database."""

from typing import Any

from django.core.management.base import CommandError, CommandParser

from etl.exceptions import SourceError
from etl.management.command_line import PipelineCommand, choose_sources
from etl.management.tables import print_table
from etl.preview import preview
from etl.records import Refusal

FIELDS = ("external_id", "name", "category", "value", "currency", "event_timestamp")


class Command(PipelineCommand):
    help = "Show a source's first records in the unified fields, and refused ones with place and code."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", metavar="NAME")
        parser.add_argument("--limit", type=int, default=10, help="number of records to read (default 10)")

    def handle(self, *args: Any, name: str, limit: int, **options: Any) -> None:
        if limit < 1:
            raise CommandError("--limit takes a whole number, 1 or more.", returncode=2)
        (source,) = choose_sources([name], all_of_them=False)
        try:
            judged = preview(source, limit)
        except SourceError as error:
            raise CommandError(str(error)) from error
        accepted = [item for item in judged if not isinstance(item, Refusal)]
        print_table(
            ("record", "line", *FIELDS),
            [
                (item.record.position, item.record.line, *(getattr(item.unified, field) for field in FIELDS))
                for item in accepted
            ],
        )
        refused = [item for item in judged if isinstance(item, Refusal)]
        if refused:
            self.stdout.write("\nRefused:")
            rows = [
                (item.position, item.line, item.breach.column, item.breach.code, item.breach.message)
                for item in refused
            ]
            print_table(("record", "line", "column", "code", "message"), rows)
