"""The admin site: its index page shows the overview, refreshed in place; it works without JavaScript."""

import math
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.db.models import Model
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, URLResolver, path

from etl.admin.base import ReadOnlyAdmin, describe_seconds, may_operate
from etl.admin.drift import ChangeAdmin, SnapshotAdmin
from etl.admin.log import LogAdmin
from etl.admin.quarantine import QuarantineAdmin
from etl.admin.reads import ReadAdmin
from etl.admin.records import RawAdmin, UnifiedAdmin
from etl.admin.runs import RunAdmin
from etl.admin.sources import SourceAdmin
from etl.models import (
    RAW_MODELS,
    Checkpoint,
    JudgedRead,
    QuarantinedRecord,
    Run,
    SchemaChange,
    SchemaSnapshot,
    UnifiedRecord,
)
from etl.reports.overview import Overview, SourceLine, read_overview

DAY_SECONDS = 86_400
DAY_WIDTH = 960
ROW_HEIGHT = 22
BAR_WIDTH = 5
BAR_GAP = 2
BAR_HEIGHT = 24
NARROWEST = 3


PAGES: Mapping[type[Model], type[ReadOnlyAdmin]] = {
    Checkpoint: SourceAdmin,
    Run: RunAdmin,
    JudgedRead: ReadAdmin,
    QuarantinedRecord: QuarantineAdmin,
    SchemaSnapshot: SnapshotAdmin,
    SchemaChange: ChangeAdmin,
    UnifiedRecord: UnifiedAdmin,
    **dict.fromkeys(RAW_MODELS.values(), RawAdmin),
    LogEntry: LogAdmin,
}


class PipelineAdminSite(admin.AdminSite):
    """Django's admin with the overview as its index page, and the pages above.

    They are registered here and not by decorators, which need the site while it is still being created.
    """

    site_header = "Kasparro"
    site_title = "Kasparro"
    index_title = "Overview"
    index_template = "etl/home.html"
    site_url = "/api/docs/"
    enable_nav_sidebar = False  # base_site.html links to the pages; the lists need the width

    def __init__(self, name: str = "admin") -> None:
        super().__init__(name)
        for model, page in PAGES.items():
            self.register(model, page)

    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> TemplateResponse:
        return super().index(request, {**(extra_context or {}), **describe_overview(request)})

    def get_urls(self) -> list[URLResolver | URLPattern]:
        return [path("overview/", self.admin_view(self.show_overview), name="overview"), *super().get_urls()]

    def show_overview(self, request: HttpRequest) -> HttpResponse:
        """Return only the overview, which the index page fetches to refresh itself."""
        return TemplateResponse(request, "etl/overview.html", describe_overview(request))


def describe_overview(request: HttpRequest) -> dict[str, Any]:
    """Return the context of the overview's template. Positions are in pixels of their drawing."""
    overview = read_overview()
    most = max((run["seen"] for line in overview.sources for run in line.runs), default=0)
    return {
        "may_operate": may_operate(request),
        "now": overview.now,
        "lines": [_describe_line(line, most) for line in overview.sources],
        "day": _draw_day(overview),
        "live": [_describe_live(run) for run in overview.live],
        "waiting": overview.waiting,
        "reasons": _scale_reasons(overview.reasons),
    }


def _describe_line(line: SourceLine, most: int) -> dict[str, Any]:
    figures, standing = line.figures, line.standing
    last_success = figures["last_success_at"]
    return {
        "source": standing.source,
        "last": standing.last_run,
        "reading": standing.last_reading_run,
        "last_success": datetime.fromisoformat(last_success) if last_success else None,
        "lag": describe_seconds(standing.lag_s) if standing.lag_s else "",
        "is_scheduled": standing.lag_s is not None,
        "next_try": standing.next_try_at,
        "records": figures["records"],
        "quarantined": figures["quarantined"],
        "drift": line.unacknowledged,
        "bars": [_draw_bar(index, run, most) for index, run in enumerate(line.runs)],
        "bars_width": max(len(line.runs), 1) * (BAR_WIDTH + BAR_GAP),
    }


def _draw_bar(index: int, run: dict[str, Any], most: int) -> dict[str, Any]:
    """Draw a run in the colour of its status. The height is the logarithm of the number of records it saw."""
    height = NARROWEST + (BAR_HEIGHT - NARROWEST) * math.log1p(run["seen"]) / math.log1p(most) if most else NARROWEST
    return {**run, "x": index * (BAR_WIDTH + BAR_GAP), "y": round(BAR_HEIGHT - height, 1), "height": round(height, 1)}


def _draw_day(overview: Overview) -> dict[str, Any]:
    names = [line.standing.source for line in overview.sources]
    names += sorted({run["source"] for run in overview.day} - set(names))
    start = overview.now - timedelta(days=1)

    def find_x(time: datetime) -> float:
        return round(max(0.0, (time - start).total_seconds() / DAY_SECONDS) * DAY_WIDTH, 1)

    bars = []
    for run in overview.day:
        if run["started_at"] is not None:
            x, end = find_x(run["started_at"]), find_x(run["finished_at"] or overview.now)
            y = names.index(run["source"]) * ROW_HEIGHT + 3
            bars.append({**run, "x": x, "y": y, "width": max(NARROWEST, round(end - x, 1))})
    first = start.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
    hours = [first + timedelta(hours=hour) for hour in range(24)]
    return {
        "rows": [{"source": name, "y": index * ROW_HEIGHT} for index, name in enumerate(names)],
        "bars": bars,
        "ticks": [{"x": find_x(hour), "label": f"{hour:%H:%M}"} for hour in hours if hour.hour % 3 == 0],
        "width": DAY_WIDTH,
        "height": len(names) * ROW_HEIGHT,
    }


def _describe_live(run: dict[str, Any]) -> dict[str, Any]:
    seconds = run["seconds"] or 0
    share = run["share"]
    return {
        **run,
        "percent": round(share * 100) if share is not None else None,
        "rate": round(run["seen"] / seconds) if seconds >= 1 else None,
        "time": describe_seconds(seconds),
    }


def _scale_reasons(reasons: list[dict[str, Any]]) -> list[dict[str, Any]]:
    most = max((reason["count"] for reason in reasons), default=1)
    return [{**reason, "percent": max(1, round(100 * reason["count"] / most))} for reason in reasons]
