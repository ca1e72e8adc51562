"""Draws the overview: the sources with their state, the last day, and the most frequent reasons."""

import math
from datetime import datetime, timedelta
from typing import Any

from django.http import HttpRequest

from etl.admin.base import may_operate
from etl.admin.rendering import describe_seconds
from etl.clock import as_utc
from etl.reports.overview import MOST_OF_A_SOURCES_DAY, SHOWN_DAYS, Overview, SourceLine, read_overview
from etl.vocabulary import Status

DAY_SECONDS = 86_400
DAY_WIDTH = 960
ROW_HEIGHT = 22
NARROWEST = 3
DAY_STEP, DAY_BAR = 12, 9
CHART_HEIGHT = 36
LEAST_REFUSED = 2
"""Pixels of the part that was refused: one record of a million is to be seen, too."""


def describe_overview(request: HttpRequest) -> dict[str, Any]:
    """Return the context of the overview's template. Positions are in pixels of their drawing."""
    overview = read_overview()
    return {
        "may_operate": may_operate(request),
        "now": overview.now,
        "lines": [_describe_line(line) for line in overview.sources],
        "day": _draw_day(overview),
        "live": [_describe_live(run) for run in overview.live],
        "waiting": overview.waiting,
        "reasons": _scale_reasons(overview.reasons),
        "unsent": overview.unsent,
        "chart_height": CHART_HEIGHT,
        "bar_width": DAY_BAR,
        "shown_days": SHOWN_DAYS,
    }


def _describe_line(line: SourceLine) -> dict[str, Any]:
    figures, standing = line.figures, line.standing
    last_success = figures["last_success_at"]
    return {
        "source": standing.source,
        "standing": standing.word,
        "last": standing.last_run,
        "reading": standing.last_reading_run,
        "last_success": datetime.fromisoformat(last_success) if last_success else None,
        "lag": describe_seconds(standing.lag_s) if standing.lag_s else "",
        "next_try": standing.next_try_at,
        "records": figures["records"],
        "quarantined": figures["quarantined"],
        "drift": line.unacknowledged,
        "month": _draw_month(line.days),
    }


def _draw_month(days: list[dict[str, Any]]) -> dict[str, Any]:
    """Draw a bar for each day and a line through the durations, each scaled to the source's own highest value.

    A bar's height shows the records (their logarithm), its upper part the refused share.
    """
    most = max((day["seen"] for day in days), default=0)
    longest = max((day["seconds"] or 0 for day in days), default=0)
    bars = [_draw_bar(day, most) for day in sorted(days, key=lambda day: -day["ago"])]
    points = [
        f"{bar['x'] + DAY_BAR / 2:g},{CHART_HEIGHT - CHART_HEIGHT * bar['seconds'] / longest:.1f}"
        for bar in bars
        if bar["seconds"] is not None and longest
    ]
    return {"bars": bars, "line": " ".join(points) if len(points) > 1 else "", "width": SHOWN_DAYS * DAY_STEP}


def _draw_bar(day: dict[str, Any], most: int) -> dict[str, Any]:
    scale = math.log1p(day["seen"]) / math.log1p(most) if most else 0
    height = NARROWEST + (CHART_HEIGHT - NARROWEST) * scale
    share = day["refused"] / day["seen"] if day["seen"] else 0
    refused = max(LEAST_REFUSED, height * share) if share else 0
    return {
        **day,
        "x": (SHOWN_DAYS - 1 - day["ago"]) * DAY_STEP,
        "y": round(CHART_HEIGHT - height, 1),
        "height": round(height, 1),
        "refused_height": round(refused, 1),
        "percent": round(100 * share, 2),
        "time": describe_seconds(day["seconds"]),
        "status": Status.FAILED if day["failed"] == day["runs"] else Status.SUCCESS,
        "is_part": day["runs"] >= MOST_OF_A_SOURCES_DAY,
    }


def _draw_day(overview: Overview) -> dict[str, Any]:
    names = [line.standing.source for line in overview.sources]
    names += sorted({run["source"] for run in overview.day} - set(names))
    start = as_utc(overview.now) - timedelta(days=1)

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
