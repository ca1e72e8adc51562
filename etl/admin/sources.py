"""Sources: their standing, schedule and checkpoint, and the actions of operators on them."""

from datetime import datetime, timedelta
from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path, reverse

from etl.admin.base import Button, Done, Input, ReadOnlyAdmin
from etl.admin.formatting import make_visible
from etl.admin.overview import describe_overview
from etl.admin.rendering import describe_seconds
from etl.admin.runs import describe_duration, describe_rate
from etl.clock import as_utc, read_clock
from etl.models import RAW_MODELS, Checkpoint, Run, SchemaChange
from etl.operations import sources as operations
from etl.operations.windows import choose_window
from etl.readers.mapping import describe_mapped
from etl.readers.source import Source
from etl.reports.known_sources import list_known
from etl.reports.standing import Standing, load_checkpoints, read_standings
from etl.runs import orders, schedule
from etl.runs.options import Options
from etl.sources.registry import find_source, list_sources
from etl.storage.waiting import count_waiting
from etl.vocabulary import OPEN_STATUSES, Trigger

SHOWN_RUNS = 10


class SourceAdmin(ReadOnlyAdmin):
    """One row per source, including sources that have no checkpoint yet."""

    page_template = "etl/source.html"
    list_select_related = ("owner_run",)

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Show all sources; there are few enough for one page."""
        if not self.has_view_permission(request) or request.method not in ("GET", "HEAD"):
            raise PermissionDenied
        now = read_clock()
        configured = {source.name: source for source in list_sources()}
        entries = schedule.find_entries(configured.values())
        names = list_known()
        checkpoints, waiting = load_checkpoints(names), count_waiting(names)
        lines = [
            {
                "source": standing.source,
                "checkpoint": checkpoints.get(standing.source),
                "waiting": waiting.get(standing.source),
                "standing": standing,
                "lag": _describe_lag(standing),
                "is_configured": standing.source in configured,
                "is_held": _is_held(checkpoints.get(standing.source), now),
                **_describe_entry(entries.get(standing.source), now),
            }
            for standing in read_standings(names)
        ]
        return self.render(request, "etl/sources.html", None, {"title": self.name_list(), "lines": lines})

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.show_overview)
        return [path("overview/", view, name="etl_overview"), *super().get_urls()]

    def show_overview(self, request: HttpRequest) -> HttpResponse:
        """Show the overview on a site that has an index page of its own; with `?part` only what the page refreshes."""
        if not self.has_view_permission(request) or request.method not in ("GET", "HEAD"):
            raise PermissionDenied
        template = "etl/overview.html" if "part" in request.GET else "etl/overview_page.html"
        return self.render(request, template, None, {"title": "Overview", **describe_overview(request)})

    def find(self, request: HttpRequest, object_id: str) -> Checkpoint | None:
        """Return the source's checkpoint, or an unsaved one if the source has never run."""
        row = self.get_object(request, object_id) if "\0" not in object_id else None
        if row is not None:
            return row  # type: ignore[no-any-return]
        source = find_source(object_id)
        return Checkpoint(source=source.name) if source is not None else None

    def name_list(self) -> str:
        return "Sources"

    def name_row(self, row: Checkpoint) -> str:
        return f"Source {row.source}"

    def describe(self, request: HttpRequest, row: Checkpoint) -> dict[str, Any]:
        now = read_clock()
        source = find_source(row.source)
        (standing,) = read_standings([row.source])
        entry = schedule.find_entries([source]).get(row.source) if source is not None else None
        recent = Run.objects.filter(source=row.source).defer("cursor_before", "cursor_after")
        closed = recent.filter(finished_at__isnull=False).order_by("-finished_at")[:SHOWN_RUNS]
        unfinished = recent.filter(status__in=OPEN_STATUSES).order_by("-pk")
        return {
            "checkpoint": row,
            "waiting": count_waiting([row.source]).get(row.source),
            "has_checkpoint": Checkpoint.objects.filter(pk=row.pk).exists(),
            "source": source,
            "standing": standing,
            "lag": _describe_lag(standing),
            "is_held": _is_held(row, now),
            "lease_ends": describe_seconds(_find_lease_seconds(row, now)),
            **_describe_entry(entry, now),
            "entry_address": _find_entry_address(request, entry),
            "mapping": _describe_mapping(source),
            "raw_model": RAW_MODELS[source.kind].__name__.lower() if source is not None else "",
            "drift": SchemaChange.objects.filter(source=row.source, acknowledged_at=None).count(),
            "runs": [
                {"run": run, "duration": describe_duration(run), "rate": describe_rate(run)}
                for run in [*unfinished, *closed]
            ],
        }

    def list_buttons(self, request: HttpRequest, row: Checkpoint) -> list[Button]:
        source = find_source(row.source)
        buttons = []
        if source is not None:
            entry = schedule.find_entries([source]).get(source.name)
            is_paused = entry is not None and not entry.enabled
            buttons = [
                Button("run", "Run now", lambda: self._order(request, row, is_full=False)),
                Button(
                    "full",
                    "Read everything again",
                    lambda: self._order(request, row, is_full=True),
                    f"This reads and judges all content of {row.source} again, even if it is unchanged. Records that"
                    " are already stored are not written again, but the run takes as long and sends as many requests"
                    " as a first read.",
                ),
                *self._offer_window(request, row, source),
                Button(
                    "reread",
                    "Judge stored records again",
                    lambda: self._reread(request, row),
                    f"This judges the stored and the open refused records of {row.source} by the current contract,"
                    " without asking the source. Only what differs is written.",
                ),
                Button("resume", "Resume", lambda: self._resume(row))
                if is_paused
                else Button("pause", "Pause", lambda: self._pause(row)),
            ]
        if row.owner or row.owner_run_id is not None:
            buttons.append(
                Button("release", "Release the lease", lambda: self._release(request, row), _describe_release(row))
            )
        return buttons

    def _order(self, request: HttpRequest, row: Checkpoint, *, is_full: bool) -> Done:
        by, options = f"{request.user} in the admin", Options(full=is_full)
        run = orders.queue(row.source, trigger=Trigger.ADMIN, by=by, options=options)
        return Done(f"Source {row.source} will be read{' in full' if is_full else ''}:", [run])

    def _offer_window(self, request: HttpRequest, row: Checkpoint, source: Source) -> list[Button]:
        if source.since is None:
            return []
        question = (
            f"This asks {row.source} again for what has changed since a day or a time, in UTC unless you name another"
            " zone. Records that are stored and equal are not written again, nothing is removed, and the watermark"
            " stays."
        )
        inputs = [Input("since", "Since")] + (
            [Input("until", "Until", is_required=False)] if source.since.until else []
        )
        return [Button("window", "Fetch a window again", lambda: self._fetch(request, source), question, inputs)]

    def _fetch(self, request: HttpRequest, source: Source) -> Done:
        options = choose_window(source, request.POST.get("since", ""), request.POST.get("until", ""))
        run = orders.queue(source.name, trigger=Trigger.ADMIN, by=f"{request.user} in the admin", options=options)
        return Done(f"A window of {source.name} will be fetched again:", [run])

    def _reread(self, request: HttpRequest, row: Checkpoint) -> Done:
        run = operations.reread(row.source, by=f"{request.user} in the admin", user_id=request.user.pk)
        return Done(f"Stored records of {row.source} will be judged again:", [run])

    def _pause(self, row: Checkpoint) -> Done:
        operations.pause(row.source)
        return Done(
            f"Source {row.source} is paused: its schedule no longer starts runs. Queued and running runs continue."
        )

    def _resume(self, row: Checkpoint) -> Done:
        operations.resume(row.source)
        return Done(f"Source {row.source} is resumed. If it is overdue, the sweeper queues a run within a minute.")

    def _release(self, request: HttpRequest, row: Checkpoint) -> Done:
        run = operations.release(row.source, by=f"{request.user} in the admin")
        closed = f"run {run.pk} is closed as failed (released)" if run is not None else "no run was running"
        return Done(f"The lease of {row.source} is released; {closed}.")


def _describe_release(row: Checkpoint) -> str:
    run = f"run {row.owner_run_id}" if row.owner_run_id is not None else make_visible(row.owner)
    return (
        f"This ends the ownership of {run}: it raises the epoch of {row.source} and closes the run as failed"
        " (released). Its committed batches stay. If its worker is still alive, it writes nothing further, because the"
        " fence refuses batches of an earlier epoch. No successor starts automatically; “Run now” resumes after the"
        " last batch. Use this if a lease is stuck. To stop a run, cancel it."
    )


def _is_held(row: Checkpoint | None, now: datetime) -> bool:
    return row is not None and _find_lease_seconds(row, now) > 0


def _find_lease_seconds(row: Checkpoint, now: datetime) -> float:
    """Return the seconds until the lease of the source ends; 0 if no one holds it."""
    return max(0.0, (as_utc(row.lease_expires_at) - now).total_seconds()) if row.lease_expires_at else 0.0


def _describe_lag(standing: Standing) -> str:
    return describe_seconds(standing.lag_s) if standing.lag_s else ""


def _describe_entry(entry: schedule.Entry | None, now: datetime) -> dict[str, Any]:
    """Describe the source's schedule: whether it is enabled, its timing in words and, if known, its next due time."""
    if entry is None:
        return {"entry": None, "is_paused": False, "timing": "", "next_due": None}
    timing = ""
    if entry.interval is not None:
        every: timedelta = entry.interval.schedule.run_every
        timing = f"every {describe_seconds(every.total_seconds())}"
    elif entry.crontab is not None:
        fields = (getattr(entry.crontab, name) for name in schedule.CRONTAB_FIELDS)
        timing = f"{' '.join(fields)} ({entry.crontab.timezone})"
    return {
        "entry": entry,
        "is_paused": not entry.enabled,
        "timing": timing,
        "next_due": schedule.find_next_due(entry, now) if entry.enabled else None,
    }


def _find_entry_address(request: HttpRequest, entry: schedule.Entry | None) -> str:
    """Return the address of the schedule's edit page, or an empty string if the user may not edit it."""
    user: Any = request.user
    if entry is None or not user.has_perm("django_celery_beat.change_periodictask"):
        return ""
    return reverse("admin:django_celery_beat_periodictask_change", args=[entry.pk])


def _describe_mapping(source: Source | None) -> list[tuple[str, str]]:
    if source is None:
        return []
    return [(target, describe_mapped(mapped)) for target, mapped in source.unified.items()]
