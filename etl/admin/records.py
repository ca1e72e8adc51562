"""Raw and unified records: lists whose cost does not grow with their tables, and the versions of each record."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import pairwise
from typing import Any

from django.apps import apps
from django.contrib import admin
from django.contrib.admin.utils import quote
from django.db.models import QuerySet, TextField
from django.db.models.functions import Cast, Left
from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from etl.admin.base import ReadOnlyAdmin, link_row
from etl.admin.formatting import MOST_CHARACTERS, compare_fields, flatten, make_visible, show_payload, show_text
from etl.admin.lists import MOST_ROWS, ByIndex, Capped, RunFilter, SourceFilter
from etl.admin.rendering import describe_time
from etl.database import connection
from etl.models import RAW_MODELS, AnyRawRecord, Run, UnifiedRecord
from etl.records import unwrap_payload
from etl.reports.known_sources import list_known

SHOWN_VERSIONS = 20
SHOWN_CHANGES = 100


class Records(ReadOnlyAdmin):
    """A list for a table of millions of rows: sorted by an index, searched only by external id."""

    paginator = Capped
    sortable_by = ()
    search_fields = ("external_id",)
    search_help_text = (
        "The complete external id, as the source writes it. Other searches would scan the whole table: use the API."
    )
    source_ordering: tuple[str, ...]
    """The ordering of the index that starts with the source."""

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ByIndex]:
        return ByIndex

    def get_ordering(self, request: HttpRequest) -> tuple[str, ...]:
        if request.GET.get("q", "").strip():
            return ("source", "external_id", "-id")
        if RunFilter in self.list_filter and request.GET.get("run"):
            return ("sequence", "position", "id")  # not indexed, so that the index on the run is used
        return self.source_ordering if request.GET.get("source") else ("-id",)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        text = search_term.strip()
        # By source names, because the index starts with the source.
        return queryset.filter(source__in=list_known(), external_id=text) if text else queryset, False

    def describe_list(self, request: HttpRequest) -> str:
        return (
            f"About {estimate_rows(str(self.opts.db_table)):,} rows in all (PostgreSQL's estimate)."
            f" This list shows the first {MOST_ROWS:,}. Filter by source or search for an id."
        )

    def name_row(self, row: Any) -> str:
        return f"{str(self.opts.verbose_name).capitalize()} {row.pk}"

    @admin.display(description="external id")
    def show_external_id(self, record: Any) -> SafeString:
        return show_text(record.external_id, most=80)


def estimate_rows(table: str) -> int:
    """Return PostgreSQL's estimate of the number of rows."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT greatest(reltuples, 0)::bigint FROM pg_class WHERE oid = %s::regclass", [table])
        (count,) = cursor.fetchone()
        return int(count)


class RawAdmin(Records):
    list_display = ("id", "source", "show_external_id", "position", "sequence", "show_run")
    list_filter = (SourceFilter, RunFilter)
    source_ordering = ("source", "external_id", "-id")
    defer = ("payload",)
    page_template = "etl/raw.html"

    @admin.display(description="run")
    def show_run(self, record: Any) -> SafeString:
        return link_row("run", record.run_id, record.run_id)

    def describe(self, request: HttpRequest, row: Any) -> dict[str, Any]:
        payload = _read_payloads([row.pk])[row.pk]
        versions = _list_versions(row.source, row.external_id)
        return {
            "record": row,
            "external_id": show_text(row.external_id),
            "payload": show_payload(payload),
            "fields": _show_fields(payload),
            "versions": [{"id": version.pk, "run_id": version.run_id} for version in versions],
            "raw_model": self.opts.model_name,
            "unified": UnifiedRecord.objects.filter(source=row.source, external_id=row.external_id)
            .only("pk", "raw_id")
            .first(),
        }


class PresenceFilter(admin.SimpleListFilter):
    """Leaves out the records that their source no longer has, unless they are chosen or an id is searched."""

    title = "presence"
    parameter_name = "presence"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Sequence[tuple[str, str]]:
        return [("removed", "removed"), ("all", "present and removed")]

    def choices(self, changelist: Any) -> Iterator[Any]:
        everything, *others = super().choices(changelist)
        yield {**everything, "display": "present"}  # without a parameter
        yield from others

    def queryset(self, request: HttpRequest, queryset: QuerySet[UnifiedRecord]) -> QuerySet[UnifiedRecord]:
        match self.value():
            case "all":
                return queryset
            case "removed":
                return queryset.filter(removed_at__isnull=False)
            case _:
                is_search = bool(request.GET.get("q", "").strip())
                return queryset if is_search else queryset.filter(removed_at__isnull=True)


class UnifiedAdmin(Records):
    list_display = (
        *("id", "show_external_id", "source", "show_name", "show_category", "show_value", "show_currency"),
        *("show_event_time", "show_updated"),
    )
    list_filter = (SourceFilter, PresenceFilter)
    source_ordering = ("-sequence", "-id")
    defer = ("content_hash",)
    page_template = "etl/unified.html"

    def get_queryset(self, request: HttpRequest) -> QuerySet[UnifiedRecord]:
        """Return all records; the condition is always true and selects the index of a source's latest changes."""
        return super().get_queryset(request).filter(sequence__gt=0)  # type: ignore[no-any-return]

    @admin.display(description="name")
    def show_name(self, record: UnifiedRecord) -> SafeString:
        return show_text(record.name, most=60)

    @admin.display(description="category")
    def show_category(self, record: UnifiedRecord) -> SafeString | str:
        return show_text(record.category, most=40) if record.category is not None else "–"

    @admin.display(description="value")
    def show_value(self, record: UnifiedRecord) -> str:
        return describe_value(record)

    @admin.display(description="currency")
    def show_currency(self, record: UnifiedRecord) -> SafeString | str:
        return show_text(record.currency, most=20) if record.currency is not None else "–"

    @admin.display(description="event time")
    def show_event_time(self, record: UnifiedRecord) -> str:
        return describe_time(record.event_timestamp)

    @admin.display(description="updated")
    def show_updated(self, record: UnifiedRecord) -> str:
        text = describe_time(record.updated_at)
        return format_html("{} <em>removed</em>", text) if record.removed_at is not None else text

    def describe(self, request: HttpRequest, row: UnifiedRecord) -> dict[str, Any]:
        versions = _list_versions(row.source, row.external_id)
        payloads = _read_payloads([version.pk for version in versions])
        runs = Run.objects.only("started_at", "finished_at").in_bulk([version.run_id for version in versions])
        return {
            "record": row,
            "fields": [
                ("External id", show_text(row.external_id)),
                *(_list_values(row) if row.target is None else [("Row", self._link_target(row))]),
                ("First ingested", describe_time(row.ingested_at)),
                ("Updated", describe_time(row.updated_at)),
                *([("Removed", describe_time(row.removed_at))] if row.removed_at is not None else []),
                ("Sequence", f"{row.sequence:,}"),
                ("Content hash", bytes(row.content_hash).hex()),
            ],
            "versions": _describe_versions(versions, payloads, runs)[:SHOWN_VERSIONS],
            "has_more": len(versions) > SHOWN_VERSIONS,
            "raw_model": find_raw_model(row.raw_id),
        }

    def _link_target(self, row: UnifiedRecord) -> SafeString:
        """Name the row of a team's own model, with a link to its page if this site has one."""
        text = show_text(f"{row.target} {row.target_key or '–'}")
        with suppress(LookupError, ValueError, NoReverseMatch):
            meta = apps.get_model(str(row.target))._meta
            if row.target_key is not None and self.admin_site.is_registered(meta.model):
                name = f"admin:{meta.app_label}_{meta.model_name}_change"
                address = reverse(name, args=[quote(row.target_key)], current_app=self.admin_site.name)
                return format_html('<a href="{}">{}</a>', address, text)
        return text


def _list_values(row: UnifiedRecord) -> list[tuple[str, SafeString | str]]:
    return [
        ("Name", show_text(row.name)),
        ("Category", show_text(row.category) if row.category is not None else "–"),
        ("Value", describe_value(row)),
        ("Currency", show_text(row.currency) if row.currency is not None else "–"),
        ("Event time", describe_time(row.event_timestamp)),
    ]


def describe_value(record: UnifiedRecord) -> str:
    """Format the value without the zeros that its column adds."""
    if record.value is None:
        return "–"
    text = f"{record.value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def find_raw_model(raw_id: int | None) -> str:
    """Return the name of the model whose table holds this raw record, or an empty string."""
    if raw_id is None:
        return ""
    return next(
        (model.__name__.lower() for model in RAW_MODELS.values() if model.objects.filter(pk=raw_id).exists()),  # type: ignore[attr-defined]
        "",
    )


def _list_versions(source: str, external_id: str) -> list[AnyRawRecord]:
    """Return the record's newest raw versions, one more than is shown, by the index on (source, external_id)."""
    versions = AnyRawRecord.objects.filter(source=source, external_id=external_id)
    return list(versions.defer("payload").order_by("-id")[: SHOWN_VERSIONS + 1])


def _read_payloads(ids: list[int]) -> dict[int, str]:
    """Return the payload of each raw id, one character longer than is shown if it is truncated."""
    text = Left(Cast("payload", TextField()), MOST_CHARACTERS + 1)
    found = AnyRawRecord.objects.filter(pk__in=ids).annotate(text=text).values_list("pk", "text")
    return {pk: unwrap_payload(text) for pk, text in found}


def _show_fields(payload: str) -> list[tuple[SafeString, SafeString]]:
    fields = flatten(payload)
    return [(show_text(path), show_text(value, most=2000)) for path, value in (fields or {}).items()]


def _describe_versions(
    versions: list[AnyRawRecord], payloads: dict[int, str], runs: dict[int, Run]
) -> list[dict[str, Any]]:
    """Describe the versions, newest first, each with its changes from the previous version."""
    flat = {pk: flatten(text) for pk, text in payloads.items()}
    described: list[dict[str, Any]] = [
        {
            "id": version.pk,
            "run_id": version.run_id,
            "time": run.started_at if (run := runs.get(version.run_id)) is not None else None,
            "sequence": version.sequence,
            "position": version.position,
            "payload": show_payload(payloads.get(version.pk, "")),
            "changes": None,
            "is_first": False,
        }
        for version in versions
    ]
    for index, (newer, older) in enumerate(pairwise(versions)):
        after, before = flat.get(newer.pk), flat.get(older.pk)
        if after is not None and before is not None:
            described[index]["changes"] = [
                {
                    "path": make_visible(each.path),
                    "kind": each.kind,
                    "before": show_text(each.before, most=300) if each.before is not None else "",
                    "after": show_text(each.after, most=300) if each.after is not None else "",
                }
                for each in compare_fields(before, after)
                if each.kind != "same"
            ][:SHOWN_CHANGES]
    if versions and len(versions) <= SHOWN_VERSIONS:
        described[-1]["is_first"] = True
    return described
