"""Runs: the list, each run with its events and advice, two runs side by side; run again and cancel."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.http import urlencode
from django.utils.safestring import SafeString

from etl.admin.base import Button, Done, ReadOnlyAdmin
from etl.admin.formatting import show_text
from etl.admin.lists import SourceFilter, make_filter, read_id
from etl.admin.rendering import describe_seconds, describe_time, show_status
from etl.clock import as_utc
from etl.exceptions import NotFound, NotPossible
from etl.models import RAW_MODELS, Run, RunEvent, SchemaSnapshot
from etl.operations import runs as operations
from etl.reports.progress import find_progress
from etl.runs.comparison import Comparison, compare_runs
from etl.runs.reason_advice import find_advice
from etl.sources.registry import find_source
from etl.vocabulary import COUNTERS, OPEN_STATUSES, OUTCOMES, EventKind, Reason, Status, Trigger

SHOWN_EVENTS = 500


def describe_duration(run: Run) -> str:
    """Format how long the run took, or has taken so far."""
    return describe_seconds(find_seconds(run))


def find_seconds(run: Run) -> float | None:
    """Return the seconds from its first start to its end, or until now. None if it was never started."""
    if run.started_at is None:
        return None
    end: datetime = run.finished_at or timezone.now()
    return max(0.0, (end - run.started_at).total_seconds())


def describe_rate(run: Run) -> str:
    """Format the records per second; a dash if the run has no records or no duration."""
    seconds = find_seconds(run)
    return f"{run.seen / seconds:,.0f}" if run.seen and seconds else "–"


def show_counter(name: str) -> Callable[[Any, Run], str]:
    """Make a column for this counter; it shows a dot instead of 0."""

    @admin.display(description=name, ordering=name)
    def show(self: Any, run: Run) -> str:
        return f"{getattr(run, name):,}" if getattr(run, name) else "·"

    return show


class RunAdmin(ReadOnlyAdmin):
    list_display = (
        *("id", "show_status", "show_reason", "source", "show_created", "show_duration"),
        *(f"show_{name}" for name in COUNTERS),
        *("show_rate", "trigger", "show_started"),
    )
    list_filter = (
        SourceFilter,
        make_filter("status", Status),
        make_filter("reason", [reason for reason in Reason if reason != Reason.HELD]),
        make_filter("trigger", Trigger),
    )
    date_hierarchy = "created_at"
    search_fields = ("source", "key", "reason", "error")
    search_help_text = "A run's id, or part of its source, key, reason or error."
    actions = ("run_again", "cancel", "compare")
    defer = ("cursor_before", "cursor_after")
    page_template = "etl/run.html"

    show_seen, show_new, show_updated = show_counter("seen"), show_counter("new"), show_counter("updated")
    show_unchanged, show_duplicate = show_counter("unchanged"), show_counter("duplicate")
    show_skipped, show_removed = show_counter("skipped"), show_counter("removed")
    show_quarantined = show_counter("quarantined")

    @admin.display(description="status", ordering="status")
    def show_status(self, run: Run) -> SafeString:
        return show_status(run.status)

    @admin.display(description="created", ordering="created_at")
    def show_created(self, run: Run) -> str:
        return describe_time(run.created_at)

    @admin.display(description="started", ordering="started_at")
    def show_started(self, run: Run) -> str:
        if run.started_at is not None and run.started_at.date() == run.created_at.date():
            return f"{as_utc(run.started_at):%H:%M:%S}"
        return describe_time(run.started_at)

    @admin.display(description="took")
    def show_duration(self, run: Run) -> str:
        return describe_duration(run)

    @admin.display(description="records/s")
    def show_rate(self, run: Run) -> str:
        return describe_rate(run)

    @admin.display(description="reason", ordering="reason")
    def show_reason(self, run: Run) -> str:
        return run.reason.replace("_", " ")

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        return lookup.startswith("created_at__") or super().lookup_allowed(lookup, value, request)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        text = search_term.strip()
        if not text:
            return queryset, False
        found = Q(source__icontains=text) | Q(key__icontains=text) | Q(reason__icontains=text)
        found |= Q(error__icontains=text)
        run_id = read_id(text)
        return queryset.filter(found | Q(pk=run_id) if run_id is not None else found), False

    def get_urls(self) -> list[URLPattern]:
        compare = path("compare/", self.admin_site.admin_view(self.show_comparison), name="etl_run_compare")
        return [compare, *super().get_urls()]

    def describe(self, request: HttpRequest, row: Run) -> dict[str, Any]:
        events = list(row.events.all()[: SHOWN_EVENTS + 1])
        return {
            "run": row,
            "events": [_describe_event(row, event) for event in events[:SHOWN_EVENTS]],
            "has_more_events": len(events) > SHOWN_EVENTS,
            "advice": find_advice(row.reason),
            "duration": describe_duration(row),
            "rate": describe_rate(row),
            "progress": _describe_progress(row),
            "outcomes": _draw_outcomes(row),
            **_find_neighbours(row),
            "snapshot": SchemaSnapshot.objects.filter(run=row).defer("shape").first(),
            "raw_model": _find_raw_model(row),
        }

    def list_buttons(self, request: HttpRequest, row: Run) -> list[Button]:
        if row.status in OPEN_STATUSES:
            question = (
                f"This closes run {row.pk} of {row.source} as failed (cancelled). Its committed batches stay. It writes"
                " nothing further and gets no successor. The source's next run resumes after its last batch."
            )
            return [Button("cancel", "Cancel", lambda: self._cancel_one(request, row), question)]
        return [Button("again", "Run again", lambda: self._order_again(request, row))]

    def _cancel_one(self, request: HttpRequest, run: Run) -> Done:
        operations.cancel(run.pk, by=f"{request.user} in the admin")
        return Done(f"Run {run.pk} of {run.source} is cancelled.")

    def _order_again(self, request: HttpRequest, run: Run) -> Done:
        user: Any = request.user
        queued = operations.run_again(run.pk, by=f"{user} in the admin", user_id=user.pk)
        return Done(f"Run {run.pk} of {run.source} was queued again:", [queued])

    @admin.action(description="Run again, with the same options", permissions=["operate"])
    def run_again(self, request: HttpRequest, queryset: QuerySet[Run]) -> None:
        self._act_on_each(request, queryset, self._order_again)

    @admin.action(description="Cancel", permissions=["operate"])
    def cancel(self, request: HttpRequest, queryset: QuerySet[Run]) -> None:
        self._act_on_each(request, queryset, self._cancel_one)

    def _act_on_each(
        self, request: HttpRequest, queryset: QuerySet[Run], act: Callable[[HttpRequest, Run], Done]
    ) -> None:
        chosen = list(queryset[: self.list_per_page + 1])
        if len(chosen) > self.list_per_page:
            text = f"Tick at most {self.list_per_page} runs at once; for more, use the API."
            self.message_user(request, text, messages.ERROR)
            return
        for run in chosen:
            try:
                done = act(request, run)
            except (NotFound, NotPossible) as error:
                self.message_user(request, str(error), messages.ERROR)
            else:
                self.log_change(request, run, str(done))
                self.tell(request, done)

    @admin.action(description="Compare two", permissions=["operate"])
    def compare(self, request: HttpRequest, queryset: QuerySet[Run]) -> HttpResponse | None:
        ids = sorted(queryset.values_list("pk", flat=True)[:3])
        if len(ids) != 2:
            self.message_user(request, "Tick exactly two runs to compare them.", messages.ERROR)
            return None
        return HttpResponseRedirect(f"{self.find_address('compare')}?{urlencode({'a': ids[0], 'b': ids[1]})}")

    def show_comparison(self, request: HttpRequest) -> HttpResponse:
        """Show two runs side by side, the earlier one first."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        a, b = (Run.objects.filter(pk=read_id(request.GET.get(name, "")) or 0).first() for name in "ab")
        if a is None or b is None:
            self.message_user(request, "At least one of the two runs does not exist.", messages.WARNING)
            return HttpResponseRedirect(self.find_address("changelist"))
        context = {"title": f"Run {a.pk} and run {b.pk}", "a": a, "b": b, **_lay_out(compare_runs(a, b))}
        return self.render(request, "etl/comparison.html", None, context)


def _describe_event(run: Run, event: RunEvent) -> dict[str, Any]:
    return {
        "name": event.kind if event.kind in list(EventKind) else "",
        "kind": show_text(event.kind.replace("_", " ")),
        "message": show_text(event.message),
        "time": event.created_at,
        "after": describe_seconds(max(0.0, (event.created_at - run.created_at).total_seconds())),
    }


def _describe_progress(run: Run) -> dict[str, Any]:
    """Return the pages of a walk, and the share that is read in percent; both None for other content."""
    progress = find_progress(run)
    share = progress.share if progress.pages is not None else None
    return {"pages": progress.pages, "percent": round(100 * share) if share is not None else None}


def _draw_outcomes(run: Run) -> list[dict[str, Any]]:
    """Return each outcome with its share of the seen records and its position in the drawing, both in percent."""
    drawn, x = [], 0.0
    for name in OUTCOMES:
        if count := getattr(run, name):
            percent = 100 * count / run.seen
            drawn.append({"name": name, "count": count, "percent": round(percent, 1), "x": round(x, 1)})
            x += percent
    return drawn


def _find_neighbours(run: Run) -> dict[str, Run | None]:
    successor = Q(key=f"successor:{run.pk}") | Q(further_keys__key=f"successor:{run.pk}")
    prefix, _, number = run.key.partition(":")
    predecessor = read_id(number) if prefix == "successor" else None
    closed = Run.objects.filter(source=run.source, finished_at__isnull=False).order_by("-finished_at")
    before = closed.filter(finished_at__lt=run.finished_at) if run.finished_at else closed.exclude(pk=run.pk)
    return {
        "successor": Run.objects.filter(successor).first(),
        "predecessor": Run.objects.filter(pk=predecessor).first() if predecessor is not None else None,
        "run_before": before.first(),
    }


def _find_raw_model(run: Run) -> str:
    """Return the name of the raw table's model, or an empty string if the run has landed no record."""
    source = find_source(run.source) if run.new + run.updated else None
    return RAW_MODELS[source.kind].__name__.lower() if source is not None else ""


def _lay_out(comparison: Comparison) -> dict[str, Any]:
    rows = [
        {
            "name": name.replace("_", " "),
            "a": _show_figure(name, comparison.a[name]),
            "b": _show_figure(name, comparison.b[name]),
            "differs": comparison.a[name] != comparison.b[name],
            **_describe_difference(comparison.differences.get(name, {})),
        }
        for name in comparison.a
        if name not in ("id", "shape", "options")
    ]
    shape = [{"path": show_text(path), **sides} for path, sides in comparison.differences.get("shape", {}).items()]
    for each in shape:
        each["kind"] = "added" if each["a"] is None else "removed" if each["b"] is None else "changed"
        each["a"], each["b"] = _describe_field(each["a"]), _describe_field(each["b"])
    return {"rows": rows, "notes": [show_text(note) for note in comparison.notes], "shape": shape}


def _show_figure(name: str, value: Any) -> str:
    if value is None or value == "":
        return "–"
    if name == "started_at":
        return describe_time(datetime.fromisoformat(value))
    return f"{value:,}" if isinstance(value, int | float) else show_text(value)


def _describe_difference(difference: dict[str, Any]) -> dict[str, str]:
    change, ratio = difference.get("difference"), difference.get("ratio")
    return {
        "change": f"{change:+,}" if change is not None else "",
        "ratio": f"× {ratio:,.2f}" if ratio is not None else "",
    }


def _describe_field(kept: dict[str, Any] | None) -> str:
    if kept is None:
        return "–"
    words = [
        kept["type"],
        *(["null"] if kept["nullable"] else []),
        *(["not always"] if kept["presence"] == "some" else []),
    ]
    return ", ".join(words)
