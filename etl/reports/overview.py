"""The operator's overview: sources, the last day, live and queued runs. The cost does not grow with any table."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection

from etl.reports.standing import Standing, read_standings
from etl.reports.statistics import read_statistics

SHOWN_RUNS = 30
MOST_OF_A_DAY = 500
QUARANTINE_SAMPLE = 10_000
"""Reasons are counted among this number of a source's newest open records: the cost must not grow with the table."""

_RUN = """
    'id', id, 'source', source, 'status', status, 'reason', reason, 'trigger', trigger, 'seen', seen,
    'queued_at', created_at, 'started_at', started_at, 'finished_at', finished_at
"""
_OVERVIEW = f"""
    SELECT json_build_object(
        'now', clock_timestamp(),
        'recent', (
            SELECT coalesce(json_agg(json_build_object({_RUN}) ORDER BY id), '[]')
            FROM unnest(%(sources)s::text[]) AS asked (name), LATERAL (
                SELECT * FROM etl_runs WHERE source = asked.name AND finished_at IS NOT NULL
                ORDER BY finished_at DESC LIMIT {SHOWN_RUNS}
            ) AS run
        ),
        'day', (
            SELECT coalesce(json_agg(json_build_object({_RUN}) ORDER BY id), '[]') FROM (
                SELECT * FROM etl_runs WHERE created_at > clock_timestamp() - interval '1 day'
                ORDER BY created_at DESC, id DESC LIMIT {MOST_OF_A_DAY}
            ) AS run
        ),
        'live', (
            SELECT coalesce(json_agg(json_build_object(
                {_RUN}, 'share', least(1, (cursor_after->>'offset')::float / nullif((cursor_after->>'size')::float, 0)),
                'seconds', extract(epoch FROM clock_timestamp() - started_at)
            ) ORDER BY id), '[]')
            FROM etl_runs AS run WHERE status = 'running'
        ),
        'waiting', (
            SELECT coalesce(json_agg(json_build_object({_RUN}, 'not_before', not_before) ORDER BY id), '[]') FROM (
                SELECT * FROM etl_runs WHERE status = 'queued' ORDER BY id LIMIT {SHOWN_RUNS}
            ) AS run
        ),
        'reasons', (
            SELECT coalesce(json_agg(json_build_object('source', source, 'code', code, 'count', number)
                ORDER BY number DESC), '[]')
            FROM (
                SELECT open.source, code, count(*) AS number
                FROM unnest(%(sources)s::text[]) AS asked (name), LATERAL (
                    SELECT source, code FROM etl_quarantine WHERE source = asked.name AND status = 'open'
                    ORDER BY id DESC LIMIT {QUARANTINE_SAMPLE}
                ) AS open
                GROUP BY open.source, code ORDER BY number DESC LIMIT 8
            ) AS top
        ),
        'drift', (
            SELECT coalesce(json_object_agg(source, number), '{{}}') FROM (
                SELECT source, count(*) AS number FROM schema_changes WHERE acknowledged_at IS NULL GROUP BY source
            ) AS open
        )
    )::text
"""
_TIMES = ("queued_at", "started_at", "finished_at", "not_before")


@dataclass(frozen=True, slots=True)
class SourceLine:
    """One source: its standing, its figures, and its last closed runs, the oldest first."""

    standing: Standing
    figures: Mapping[str, Any]
    unacknowledged: int
    runs: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Overview:
    """Runs are dicts: id, source, status, reason, trigger, seen, queued_at, started_at, finished_at.

    `live` runs also have `share` (0 to 1, None if unknown) and `seconds`, `waiting` runs `not_before`. `reasons` are
    {source, code, count}, the most frequent first.
    """

    now: datetime
    sources: list[SourceLine]
    day: list[dict[str, Any]]
    live: list[dict[str, Any]]
    waiting: list[dict[str, Any]]
    reasons: list[dict[str, Any]]


def read_overview() -> Overview:
    """Read the overview in five statements."""
    standings = read_standings()
    names = [standing.source for standing in standings]
    figures = {each["source"]: each for each in read_statistics()["sources"]}
    with connection.cursor() as cursor:
        cursor.execute(_OVERVIEW, {"sources": names})
        (text,) = cursor.fetchone()
    found = json.loads(text, object_hook=_read_times)
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    for run in found["recent"]:
        runs[run["source"]].append(run)
    lines = [
        SourceLine(standing, figures[standing.source], found["drift"].get(standing.source, 0), runs[standing.source])
        for standing in standings
    ]
    now = datetime.fromisoformat(found["now"])
    return Overview(now, lines, found["day"], found["live"], found["waiting"], found["reasons"])


def _read_times(given: dict[str, Any]) -> dict[str, Any]:
    for name in _TIMES:
        if given.get(name) is not None:
            given[name] = datetime.fromisoformat(given[name])
    return given
