"""Statistics of everything that has happened. The cost does not grow with any table.

They are read from totals, checkpoints and open runs: `/stats` and the gauges of `/metrics` are one statement each.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from etl.clock import write_time_in_sql
from etl.database import connection
from etl.reports.known_sources import SELECT_KNOWN, list_configured
from etl.vocabulary import TotalName

_OPEN = """
    SELECT source, count(*) FILTER (WHERE status = 'running') AS running,
        count(*) FILTER (WHERE status = 'queued') AS queued,
        count(*) FILTER (WHERE status = 'queued' AND coalesce(not_before <= clock_timestamp(), true)) AS due
    FROM etl_runs WHERE status IN ('queued', 'running') GROUP BY source
"""


_CHECKPOINT = f"""
    json_build_object(
        'source', source, 'epoch', epoch, 'read_number', read_number, 'batch_number', batch_number,
        'sequence', sequence, 'record_count', record_count, 'removed_count', removed_count, 'raw_count', raw_count,
        'open_quarantine_count', open_quarantine_count, 'is_reading', is_reading,
        'updated_at', {write_time_in_sql("updated_at")}, 'owner_run', owner_run_id,
        'lease_expires_at', {write_time_in_sql("lease_expires_at")}
    )
"""


def _add(column: str) -> str:
    """Sum the column as an integer, even if there are no sources."""
    return f"coalesce(sum({column}), 0)::bigint"


_RUN_FIELDS = f"""
    'total_runs', {_add("successful + partial + failed + running + queued")},
    'successful_runs', {_add("successful")}, 'partial_runs', {_add("partial")}, 'failed_runs', {_add("failed")},
    'running_runs', {_add("running")}, 'queued_runs', {_add("queued")},
    'last_success_at', {write_time_in_sql("max(last_success)")},
    'last_failure_at', {write_time_in_sql("max(last_failure)")},
    'average_duration_s', round(sum(seconds) / nullif(sum(timed), 0), 3)::float8
"""
_STATISTICS = f"""
    WITH known AS ({SELECT_KNOWN}), open AS ({_OPEN}), totals AS (
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
            'source', source, 'standing', %s::json->>source, {_RUN_FIELDS},
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
    WITH known AS ({SELECT_KNOWN}), open AS ({_OPEN})
    SELECT source, coalesce(due, 0), coalesce(open_quarantine_count, 0),
        extract(epoch FROM clock_timestamp() - updated_at),
        (SELECT count(*) FROM etl_alerts WHERE state = 'given_up')
    FROM known LEFT JOIN open USING (source) LEFT JOIN ingestion_checkpoints AS checkpoint USING (source)
    ORDER BY source
"""


def read_statistics_json(words: Mapping[str, str]) -> str:
    """Return the body of `/stats` as JSON text, which PostgreSQL builds in one statement.

    `words` has each source's standing.

    It has the runs by status (`total_runs` counts all, including open ones), `records_by_source` and
    `quarantined_by_source` (present records and open refused ones), `last_success_at` (`partial` counts) and
    `last_failure_at`, `average_duration_s` (seconds, of closed runs that were started) and `checkpoints`; `sources` has
    the same for each source, with its `standing`. Times are ISO 8601 in UTC, or null if there is no such time.
    """
    with connection.cursor() as cursor:
        cursor.execute(_STATISTICS, [list_configured(), json.dumps(words)])
        (text,) = cursor.fetchone()
        return str(text)


def read_statistics(words: Mapping[str, str]) -> dict[str, Any]:
    """Return the result of `read_statistics_json`, parsed."""
    return json.loads(read_statistics_json(words))  # type: ignore[no-any-return]


@dataclass(frozen=True, slots=True)
class Total:
    """One row of `etl_totals`: how often something has ever happened, and when the last such run finished."""

    source: str
    name: TotalName
    label: str
    value: Decimal
    latest: datetime | None


@dataclass(frozen=True, slots=True)
class Gauges:
    """A source's current state: due queued runs, open quarantine, and the age of its checkpoint if it has one.

    `given_up_alerts` is the same for every source: how many alerts in the table were given up.
    """

    source: str
    due_runs: int
    open_quarantine: int
    checkpoint_age_s: float | None
    given_up_alerts: int


def read_totals() -> list[Total]:
    """Return all totals; a source has at most a few dozen."""
    with connection.cursor() as cursor:
        cursor.execute(_TOTALS)
        return [Total(source, TotalName(name), *rest) for source, name, *rest in cursor.fetchall()]


def read_gauges() -> list[Gauges]:
    """Return the gauges of each known source, including sources of ETL_SOURCES that have never run."""
    with connection.cursor() as cursor:
        cursor.execute(_GAUGES, [list_configured()])
        return [
            Gauges(source, due, quarantine, float(age) if age is not None else None, given_up)
            for source, due, quarantine, age, given_up in cursor.fetchall()
        ]
