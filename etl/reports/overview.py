"""The operator's overview: sources, the last day, live and queued runs. The cost does not grow with any table."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from etl.database import connection
from etl.reports.standing import Standing, read_standings
from etl.reports.statistics import read_statistics
from etl.runs.standings import REFLECTS

SHOWN_RUNS = 30
SHOWN_DAYS = 30
MOST_OF_A_DAY = 500
MOST_OF_A_SOURCES_DAY = 48
"""The figures of a source's day are of this number of its newest runs; a source that is due each half hour has all."""

QUARANTINE_SAMPLE = 10_000
"""Reasons are counted among this number of a source's newest open records: the cost must not grow with the table."""

_RUN = """
    'id', id, 'source', source, 'status', status, 'reason', reason, 'trigger', trigger, 'seen', seen,
    'queued_at', created_at, 'started_at', started_at, 'finished_at', finished_at
"""
_OVERVIEW = f"""
    SELECT json_build_object(
        'now', clock_timestamp(),
        'month', (
            SELECT coalesce(json_agg(json_build_object(
                'source', asked.name, 'ago', ago, 'date', start::date, 'runs', runs, 'failed', failed, 'seen', seen,
                'refused', refused, 'seconds', seconds
            )), '[]')
            FROM unnest(%(sources)s::text[]) AS asked (name), generate_series(0, {SHOWN_DAYS - 1}) AS ago,
            LATERAL (SELECT date_trunc('day', clock_timestamp() AT TIME ZONE 'UTC') - ago * interval '1 day') AS
                midnight (start),
            LATERAL (
                SELECT count(*) AS runs, count(*) FILTER (WHERE status = 'failed') AS failed, sum(seen) AS seen,
                    sum(quarantined) AS refused, max(extract(epoch FROM finished_at - started_at)) AS seconds
                FROM (
                    SELECT status, seen, quarantined, started_at, finished_at FROM etl_runs
                    WHERE source = asked.name AND {REFLECTS}
                        AND finished_at >= start AT TIME ZONE 'UTC'
                        AND finished_at < (start + interval '1 day') AT TIME ZONE 'UTC'
                    ORDER BY finished_at DESC LIMIT {MOST_OF_A_SOURCES_DAY}
                ) AS run
            ) AS day
            WHERE runs > 0
        ),
        'day', (
            SELECT coalesce(json_agg(json_build_object({_RUN}) ORDER BY id), '[]') FROM (
                SELECT * FROM etl_runs WHERE created_at > clock_timestamp() - interval '1 day'
                ORDER BY created_at DESC, id DESC LIMIT {MOST_OF_A_DAY}
            ) AS run
        ),
        'live', (
            SELECT coalesce(json_agg(json_build_object(
                {_RUN}, 'pages', (cursor_after->>'pages')::bigint, 'share', (
                    SELECT CASE WHEN share > 1 THEN 1 ELSE share END  -- least() ignores NULL
                    FROM (SELECT coalesce(
                        (cursor_after->>'offset')::float / nullif((cursor_after->>'size')::float, 0),
                        (cursor_after->>'position')::float / nullif((cursor_after->>'total')::float, 0)
                    ) AS share) AS known
                ),
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
        'unsent', (
            SELECT coalesce(json_agg(json_build_object('subject', subject, 'error', error, 'state', state)), '[]')
            FROM (
                (SELECT id, subject, error, state FROM etl_alerts WHERE state = 'given_up' ORDER BY id DESC LIMIT 5)
                UNION ALL (SELECT id, subject, error, state FROM etl_alerts WHERE state = 'waiting' AND error <> ''
                    ORDER BY next_at LIMIT 5)
            ) AS alert
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
    """One source: its standing, its figures, and the days of the last 30 on which runs of it were closed.

    A day is a dict: ago (0 for today), date, runs, failed, seen, refused, and seconds of the longest run or None.
    Replays and runs that an operator stopped are not part of it.
    """

    standing: Standing
    figures: Mapping[str, Any]
    unacknowledged: int
    days: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Overview:
    """Runs are dicts: id, source, status, reason, trigger, seen, queued_at, started_at, finished_at.

    `live` runs also have `pages` of a walk, `share` (0 to 1, None if unknown) and `seconds`, `waiting` runs
    `not_before`. `reasons` are {source, code, count}, the most frequent first; `unsent` alerts are {subject, error,
    state}.
    """

    now: datetime
    sources: list[SourceLine]
    day: list[dict[str, Any]]
    live: list[dict[str, Any]]
    waiting: list[dict[str, Any]]
    reasons: list[dict[str, Any]]
    unsent: list[dict[str, Any]]


def read_overview() -> Overview:
    """Read the overview in five statements."""
    standings = read_standings()
    names = [standing.source for standing in standings]
    words = {standing.source: standing.word for standing in standings}
    figures = {each["source"]: each for each in read_statistics(words)["sources"]}
    with connection.cursor() as cursor:
        cursor.execute(_OVERVIEW, {"sources": names})
        (text,) = cursor.fetchone()
    found = json.loads(text, object_hook=_read_times)
    days: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    for day in found["month"]:
        days[day["source"]].append(day)
    lines = [
        SourceLine(standing, figures[standing.source], found["drift"].get(standing.source, 0), days[standing.source])
        for standing in standings
    ]
    now = datetime.fromisoformat(found["now"])
    return Overview(now, lines, found["day"], found["live"], found["waiting"], found["reasons"], found["unsent"])


def _read_times(given: dict[str, Any]) -> dict[str, Any]:
    for name in _TIMES:
        if given.get(name) is not None:
            given[name] = datetime.fromisoformat(given[name])
    return given
