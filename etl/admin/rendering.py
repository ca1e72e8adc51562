"""Renders statuses, durations and times.

Imports no model of the admin: the tags use it, and Django loads each app's tags, even in a project without admin.
"""

from datetime import datetime

from django.utils.html import format_html
from django.utils.safestring import SafeString

from etl.clock import as_utc


def show_status(status: str) -> SafeString:
    """Render a status as a coloured word."""
    return format_html('<span class="etl-status etl-{}">{}</span>', status, status)


def show_standing(word: str) -> SafeString:
    """Render a source's standing as a coloured word."""
    return format_html('<span class="etl-status etl-standing-{}">{}</span>', word.replace(" ", "-"), word)


def describe_seconds(seconds: float | None) -> str:
    """Format a duration for display: 0.4 s, 12 s, 3 min, 5 h, 2 d."""
    if seconds is None:
        return "–"
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"


def describe_time(time: datetime | None) -> str:
    """Format a time in UTC, to the second."""
    return f"{as_utc(time):%Y-%m-%d %H:%M:%S}" if time is not None else "–"
