"""`manage.py drift [NAME]`: the shapes that sources had, and their changes."""

from collections.abc import Iterator
from typing import Any

from django.core.management.base import CommandParser

from etl.drift import Snapshot
from etl.management.command_line import PipelineCommand, choose_sources, clear_database_errors
from etl.management.tables import print_table
from etl.models import SchemaSnapshot

COLUMNS = ("source", "snapshot", "created", "run", "path", "kind", "before", "after", "acknowledged")


class Command(PipelineCommand):
    help = "List the snapshots of the sources' shapes with their changes, newest last; for one source also its fields."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", nargs="?", help="only this source, with the fields of its newest snapshot")

    def handle(self, *args: Any, name: str | None, **options: Any) -> None:
        if name is not None:
            choose_sources([name], all_of_them=False)
        with clear_database_errors():
            wanted = SchemaSnapshot.objects.filter(source=name) if name is not None else SchemaSnapshot.objects.all()
            snapshots = list(wanted.order_by("created_at", "pk").prefetch_related("changes"))
        rows = (row for snapshot in snapshots for row in _describe(snapshot))
        print_table(COLUMNS, rows, numbers=("snapshot", "run"))
        if name is not None and snapshots:
            _print_fields(snapshots[-1])


def _describe(snapshot: SchemaSnapshot) -> Iterator[tuple[object, ...]]:
    """Yield a row for each change, or one row for a first snapshot, which has no changes."""
    named = (snapshot.source, snapshot.number, f"{snapshot.created_at:%Y-%m-%d %H:%M:%S}", snapshot.run_id)
    changes = sorted(snapshot.changes.all(), key=lambda change: change.pk)
    if not changes:
        yield (*named, "", "", "", f"first seen, {len(snapshot.shape['fields'])} fields", "")
    for change in changes:
        acknowledged = f"{change.acknowledged_at:%Y-%m-%d %H:%M:%S}" if change.acknowledged_at else "no"
        yield (*named, change.path, change.kind, change.before, change.after, acknowledged)


def _print_fields(snapshot: SchemaSnapshot) -> None:
    fields = sorted(Snapshot.from_json(snapshot.shape).fields.items())
    print(f"\nSnapshot {snapshot.number}:")
    print_table(("path", "type", "nullability"), ((path, kept.type, kept.nullability) for path, kept in fields))
