"""Drift: the history of each source's snapshots, two snapshots field by field, and the changes to acknowledge."""

from collections.abc import Sequence
from typing import Any

from django.contrib import admin, messages
from django.db.models import Count, QuerySet
from django.db.models.fields.json import KT
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.safestring import SafeString

from etl.admin.base import Button, Done, ReadOnlyAdmin, link_list, link_row
from etl.admin.formatting import compare_fields, show_text
from etl.admin.lists import SourceFilter, make_filter, read_id
from etl.admin.rendering import describe_time
from etl.database import with_user
from etl.drift import Snapshot
from etl.models import SchemaChange, SchemaSnapshot
from etl.operations.drift import acknowledge
from etl.vocabulary import ChangeKind

SHOWN_SNAPSHOTS = 50
MOST_AT_ONCE = 1000


class SnapshotAdmin(ReadOnlyAdmin):
    list_display = ("show_number", "source", "show_records", "show_changes", "show_created", "show_run")
    list_filter = (SourceFilter,)
    ordering = ("-created_at", "-id")
    sortable_by = ("source", "show_created")
    actions = ("compare",)
    defer = ("shape",)
    page_template = "etl/snapshot.html"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        snapshots: QuerySet[Any] = super().get_queryset(request)
        counted: QuerySet[Any] = snapshots.annotate(records=KT("shape__records"), change_count=Count("changes"))
        return counted

    @admin.display(description="snapshot")
    def show_number(self, snapshot: SchemaSnapshot) -> str:
        return f"{snapshot.source} {snapshot.number}"

    @admin.display(description="records read")
    def show_records(self, snapshot: Any) -> str:
        return f"{int(snapshot.records):,}"

    @admin.display(description="changes")
    def show_changes(self, snapshot: Any) -> str:
        return f"{snapshot.change_count:,}" if snapshot.change_count else "·"

    @admin.display(description="first seen", ordering="created_at")
    def show_created(self, snapshot: SchemaSnapshot) -> str:
        return describe_time(snapshot.created_at)

    @admin.display(description="run")
    def show_run(self, snapshot: SchemaSnapshot) -> SafeString | str:
        return link_row("run", snapshot.run_id, f"run {snapshot.run_id}") if snapshot.run_id else "–"

    def name_row(self, row: SchemaSnapshot) -> str:
        return f"Snapshot {row.number} of {row.source}"

    def describe(self, request: HttpRequest, row: SchemaSnapshot) -> dict[str, Any]:
        """Compare its fields with those of the snapshot that `against` names, or otherwise of the previous one."""
        others = SchemaSnapshot.objects.filter(source=row.source).defer("shape")
        against = SchemaSnapshot.objects.filter(pk=read_id(request.GET.get("against", "")) or 0).first()
        if against is None:
            against = (
                SchemaSnapshot.objects.filter(source=row.source, number__lt=row.number).order_by("-number").first()
            )
        fields = list_fields(row)
        rows = compare_fields(list_fields(against) if against is not None else fields, fields)
        if against is not None:
            rows.sort(key=lambda each: each.path)
        return {
            "snapshot": row,
            "records": row.shape["records"],
            "is_cut": row.shape["is_cut"],
            "against": against,
            "rows": [{"path": show_text(each.path), "difference": each} for each in rows],
            "changed": sum(each.kind != "same" for each in rows),
            "history": list(others.annotate(change_count=Count("changes")).order_by("-number")[:SHOWN_SNAPSHOTS]),
            "changes": row.changes.filter(acknowledged_at=None).count(),
        }

    @admin.action(description="Compare two", permissions=["operate"])
    def compare(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        ids = list(queryset.order_by("created_at", "pk").values_list("pk", flat=True)[:3])
        if len(ids) != 2:
            self.message_user(request, "Tick exactly two snapshots to compare them.", messages.ERROR)
            return None
        return HttpResponseRedirect(f"{self.find_address('change', ids[1])}?against={ids[0]}")


def list_fields(snapshot: SchemaSnapshot) -> dict[str, str]:
    """Return the type and nullability, in words, of each of the snapshot's field paths."""
    return {path: str(field) for path, field in Snapshot.from_json(snapshot.shape).fields.items()}


class AcknowledgedFilter(admin.SimpleListFilter):
    title = "acknowledged"
    parameter_name = "acknowledged"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Sequence[tuple[str, str]]:
        return (("no", "not yet"), ("yes", "yes"))

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        is_open = {"no": True, "yes": False}.get(self.value() or "")
        return queryset.filter(acknowledged_at__isnull=is_open) if is_open is not None else queryset


class ChangeAdmin(ReadOnlyAdmin):
    list_display = (
        *("id", "source", "show_path", "show_kind", "show_before", "show_after", "show_snapshot", "show_created"),
        "show_acknowledged",
    )
    list_filter = (SourceFilter, make_filter("kind", ChangeKind), AcknowledgedFilter)
    ordering = ("-id",)
    sortable_by = ("id", "source")
    actions = ("acknowledge",)
    defer = ("snapshot_before__shape", "snapshot_after__shape")
    page_template = "etl/change.html"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        changes = super().get_queryset(request).select_related("snapshot_before", "snapshot_after")
        return with_user(changes, "acknowledged_by")

    @admin.display(description="field")
    def show_path(self, change: SchemaChange) -> SafeString:
        return show_text(change.path, most=80)

    @admin.display(description="kind")
    def show_kind(self, change: SchemaChange) -> str:
        return change.kind

    @admin.display(description="before")
    def show_before(self, change: SchemaChange) -> SafeString:
        return show_text("–" if change.before is None else change.before)

    @admin.display(description="after")
    def show_after(self, change: SchemaChange) -> SafeString:
        return show_text("–" if change.after is None else change.after)

    @admin.display(description="snapshot")
    def show_snapshot(self, change: SchemaChange) -> SafeString:
        before, after = change.snapshot_before.number, change.snapshot_after.number
        return link_row("schemasnapshot", change.snapshot_after_id, f"{before} → {after}")

    @admin.display(description="first seen", ordering="created_at")
    def show_created(self, change: SchemaChange) -> str:
        return describe_time(change.created_at)

    @admin.display(description="acknowledged")
    def show_acknowledged(self, change: SchemaChange) -> str:
        return describe_acknowledgement(change) or "not yet"

    def name_row(self, row: SchemaChange) -> str:
        return f"Schema change {row.pk} of {row.source}"

    def describe(self, request: HttpRequest, row: SchemaChange) -> dict[str, Any]:
        return {
            "change": row,
            "path": show_text(row.path),
            "before": show_text("–" if row.before is None else row.before),
            "after": show_text("–" if row.after is None else row.after),
            "acknowledged": describe_acknowledgement(row),
            "others": link_list("schemachange", "other changes of this source", source=row.source),
        }

    def list_buttons(self, request: HttpRequest, row: SchemaChange) -> list[Button]:
        if row.acknowledged_at is not None:
            return []
        return [Button("acknowledge", "Acknowledge", lambda: self._acknowledge_one(request, row))]

    def _acknowledge_one(self, request: HttpRequest, change: SchemaChange) -> Done:
        user: Any = request.user
        acknowledge(change.pk, user_id=user.pk)
        return Done(f"Change {change.pk} of {change.source} is acknowledged.")

    @admin.action(description="Acknowledge", permissions=["operate"])
    def acknowledge(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        user: Any = request.user
        unacknowledged = list(queryset.filter(acknowledged_at=None).order_by("pk")[: MOST_AT_ONCE + 1])
        for change in unacknowledged[:MOST_AT_ONCE]:
            acknowledge(change.pk, user_id=user.pk)
        self.log_all(request, unacknowledged[:MOST_AT_ONCE], "Acknowledged.")
        self.tell(request, Done(f"{len(unacknowledged[:MOST_AT_ONCE])} changes are acknowledged."))
        if len(unacknowledged) > MOST_AT_ONCE:
            self.message_user(request, "There are more. Repeat the action for the next ones.", messages.WARNING)


def describe_acknowledgement(change: SchemaChange) -> str:
    """Return the user and the time of the acknowledgement, or an empty string if there is none."""
    if change.acknowledged_at is None:
        return ""
    return f"{change.acknowledged_by or 'a deleted user'}, {describe_time(change.acknowledged_at)}"
