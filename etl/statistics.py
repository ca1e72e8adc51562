"""What has happened and how each source stands, in numbers; the cost does not grow with any table.

Read from totals, checkpoints and open runs: `/stats`, and the gauges of `/metrics`, are one statement each.
"""

import json
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import connection

from etl import runs, schedule
from etl.records import TotalName
from etl.sources.registry import list_sources

# Every source of ETL_SOURCES, and any other that has left a trace: `known`.
_KNOWN = """
    SELECT unnest(%s::text[]) AS source
    UNION SELECT source FROM ingestion_checkpoints UNION SELECT source FROM etl_totals
    UNION SELECT source FROM etl_runs WHERE status IN ('queued', 'running')
"""
_OPEN = """
    SELECT source, count(*) FILTER (WHERE status = 'running') AS running,
        count(*) FILTER (WHERE status = 'queued') AS queued,
        count(*) FILTER (WHERE status = 'queued' AND coalesce(not_before <= clock_timestamp(), true)) AS due
    FROM etl_runs WHERE status IN ('queued', 'running') GROUP BY source
"""


def _as_text(time: str) -> str:
    """As PostgreSQL writes it in JSON where the session's time zone is UTC, whatever that is."""
    return f"""to_char({time} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"+00:00"')"""


_CHECKPOINT = f"""
    json_build_object(
        'source', source, 'epoch', epoch, 'read_number', read_number, 'batch_number', batch_number,
        'sequence', sequence, 'record_count', record_count, 'raw_count', raw_count,
        'open_quarantine_count', open_quarantine_count, 'is_reading', is_reading,
        'updated_at', {_as_text("updated_at")}, 'owner_run', owner_run_id,
        'lease_expires_at', {_as_text("lease_expires_at")}
    )
"""


def _add(column: str) -> str:
    """A whole number, also of no sources at all."""
    return f"coalesce(sum({column}), 0)::bigint"


_RUN_FIELDS = f"""
    'total_runs', {_add("successful + partial + failed + running + queued")},
    'successful_runs', {_add("successful")}, 'partial_runs', {_add("partial")}, 'failed_runs', {_add("failed")},
    'running_runs', {_add("running")}, 'queued_runs', {_add("queued")},
    'last_success_at', {_as_text("max(last_success)")}, 'last_failure_at', {_as_text("max(last_failure)")},
    'average_duration_s', round(sum(seconds) / nullif(sum(timed), 0), 3)::float8
"""
_STATISTICS = f"""
    WITH known AS ({_KNOWN}), open AS ({_OPEN}), totals AS (
        SELECT source,
            sum(value) FILTER (WHERE name = 'runs' AND label = 'success') AS successful,
            sum(value) FILTER (WHERE name = 'runs' AND label = 'partial') AS partial,
            sum(value) FILTER (WHERE name = 'runs' AND label = 'failed') AS failed,
            max(latest) FILTER (WHERE name = 'runs' AND label IN ('success', 'partial')) AS last_success,
            max(latest) FILTER (WHERE name = 'runs' AND label = 'failed') AS last_failure,
            sum(value) FILTER (WHERE name = 'duration_sum') AS seconds,
            sum(value) FILTER (WHERE name = 'duration') AS timed
        FROM etl_totals GROUP BY source
    ), standing AS (
        SELECT source, coalesce(successful, 0) AS successful, coalesce(partial, 0) AS partial,
            coalesce(failed, 0) AS failed, coalesce(running, 0) AS running, coalesce(queued, 0) AS queued,
            last_success, last_failure, coalesce(seconds, 0) AS seconds, coalesce(timed, 0) AS timed,
            coalesce(record_count, 0) AS records, coalesce(open_quarantine_count, 0) AS quarantined,
            CASE WHEN checkpoint.source IS NOT NULL THEN {_CHECKPOINT} END AS checkpoint
        FROM known LEFT JOIN totals USING (source) LEFT JOIN open USING (source)
        LEFT JOIN ingestion_checkpoints AS checkpoint USING (source)
    ), each AS (
        SELECT source, json_build_object(
            'source', source, {_RUN_FIELDS},
            'records', {_add("records")}, 'quarantined', {_add("quarantined")},
            'checkpoint', (array_agg(checkpoint))[1]
        ) AS one
        FROM standing GROUP BY source
    )
    SELECT json_build_object(
        {_RUN_FIELDS},
        'records_by_source', coalesce(json_object_agg(source, records ORDER BY source), '{{}}'),
        'quarantined_by_source', coalesce(json_object_agg(source, quarantined ORDER BY source), '{{}}'),
        'checkpoints', coalesce(
            json_agg(checkpoint ORDER BY source) FILTER (WHERE checkpoint IS NOT NULL), '[]'),
        'sources', (SELECT coalesce(json_agg(one ORDER BY source), '[]') FROM each)
    )::text FROM standing
"""
_TOTALS = "SELECT source, name, label, value, latest FROM etl_totals"
_GAUGES = f"""
    WITH known AS ({_KNOWN}), open AS ({_OPEN})
    SELECT source, coalesce(due, 0), coalesce(open_quarantine_count, 0),
        extract(epoch FROM clock_timestamp() - updated_at)
    FROM known LEFT JOIN open USING (source) LEFT JOIN ingestion_checkpoints AS checkpoint USING (source)
    ORDER BY source
"""
# The newest closed run, the newest that read something, and whether what was due has been done: all by index, and
# the last looks at no more runs than have ended since it was due.
_STANDING = """
    SELECT asked.source, closed.id, closed.status, closed.reason, closed.finished_at,
        reading.id, reading.status, reading.reason, reading.finished_at,
        EXISTS (
            SELECT FROM etl_runs AS run
            WHERE run.source = asked.source AND run.status IN ('success', 'partial')
                AND run.finished_at >= asked.due_at
                AND (run.started_at >= asked.due_at OR run.key = asked.key
                    OR EXISTS (SELECT FROM etl_run_keys AS further
                        WHERE further.run_id = run.id AND further.key = asked.key))
        )
    FROM unnest(%(sources)s::text[], %(instants)s::timestamptz[], %(keys)s::text[]) AS asked (source, due_at, key)
    LEFT JOIN LATERAL (
        SELECT id, status, reason, finished_at FROM etl_runs
        WHERE source = asked.source AND finished_at IS NOT NULL ORDER BY finished_at DESC LIMIT 1
    ) AS closed ON true
    LEFT JOIN LATERAL (
        SELECT id, status, reason, finished_at FROM etl_runs
        WHERE source = asked.source AND finished_at IS NOT NULL AND seen > 0 ORDER BY finished_at DESC LIMIT 1
    ) AS reading ON true
"""


def read_statistics_json() -> str:
    """The body of `/stats` as JSON text, made by PostgreSQL in one statement.

    Runs by status (`total_runs` is all of them, open ones included), `records_by_source` and
    `quarantined_by_source` (what is stored and what waits in quarantine), `last_success_at` (`partial` counts) and
    `last_failure_at`, `average_duration_s` (of closed runs that were started, seconds), `checkpoints`; and in
    `sources` the same for each source. Times are ISO 8601 in UTC; null is what has never been.
    """
    with connection.cursor() as cursor:
        cursor.execute(_STATISTICS, [_list_names()])
        (text,) = cursor.fetchone()
        return str(text)


def read_statistics() -> dict[str, Any]:
    """`read_statistics_json`, parsed."""
    return json.loads(read_statistics_json())  # type: ignore[no-any-return]


@dataclass(frozen=True, slots=True)
class Total:
    """One row of `etl_totals`: how often, ever, and when the last such run finished."""

    source: str
    name: TotalName
    label: str
    value: Decimal
    latest: datetime | None


@dataclass(frozen=True, slots=True)
class Gauges:
    """How a source stands now: queued runs that are due, open quarantine, the checkpoint's age if it has one."""

    source: str
    due_runs: int
    open_quarantine: int
    checkpoint_age_s: float | None


def read_totals() -> list[Total]:
    """All totals; a source has a few dozen at most."""
    with connection.cursor() as cursor:
        cursor.execute(_TOTALS)
        return [Total(source, TotalName(name), *rest) for source, name, *rest in cursor.fetchall()]


def read_gauges() -> list[Gauges]:
    """Each known source, those of ETL_SOURCES that have never run included."""
    with connection.cursor() as cursor:
        cursor.execute(_GAUGES, [_list_names()])
        return [
            Gauges(source, due, quarantine, float(age) if age is not None else None)
            for source, due, quarantine, age in cursor.fetchall()
        ]


@dataclass(frozen=True, slots=True)
class LastRun:
    """A closed run, as `/health` tells it."""

    id: int
    status: str
    reason: str
    finished_at: datetime


@dataclass(frozen=True, slots=True)
class Standing:
    """How a source of ETL_SOURCES does: its last closed run, the last that read something, and its lag.

    `lag_s` is for how many seconds its latest due instant has waited for a run that ended well: 0 if there is one,
    None without an enabled schedule.
    """

    source: str
    last_run: LastRun | None
    last_reading_run: LastRun | None
    lag_s: float | None


def read_standings() -> list[Standing]:
    """Each source of ETL_SOURCES, in its order; three statements for all of them."""
    now = runs.read_clock()
    sources = list_sources()
    due = schedule.find_all_due(sources, now)
    asked = [due.get(source.name) for source in sources]
    values: dict[str, Any] = {
        "sources": [source.name for source in sources],
        "instants": [each.instant if each else None for each in asked],
        "keys": [each.key if each else None for each in asked],
    }
    with connection.cursor() as cursor:
        cursor.execute(_STANDING, values)
        rows = {row[0]: row[1:] for row in cursor.fetchall()}
    standings = []
    for source, each in zip(sources, asked, strict=True):
        *last, is_served = rows[source.name]
        lag = None if each is None else 0.0 if is_served else (now - each.instant).total_seconds()
        standings.append(Standing(source.name, _as_run(last[:4]), _as_run(last[4:]), lag))
    return standings


def _as_run(columns: list[Any]) -> LastRun | None:
    return LastRun(*columns) if columns[0] is not None else None


def _list_names() -> list[str]:
    return [source.name for source in list_sources()]
