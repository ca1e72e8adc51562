"""The standing of each source: its last runs and its lag. The cost does not grow with any table."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import connection

from etl.clock import read_clock
from etl.models import Checkpoint, Run
from etl.reports.known_sources import list_configured
from etl.runs import schedule
from etl.sources.registry import list_sources

# Finds the newest closed run, the newest run that read something, and whether the due run has been done. All of it
# goes by index, and the last part checks only runs that have ended since the due instant.
_STANDING = """
    SELECT asked.source, closed.id, reading.id,
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
        SELECT id FROM etl_runs
        WHERE source = asked.source AND finished_at IS NOT NULL ORDER BY finished_at DESC LIMIT 1
    ) AS closed ON true
    LEFT JOIN LATERAL (
        SELECT id FROM etl_runs
        WHERE source = asked.source AND finished_at IS NOT NULL AND seen > 0 ORDER BY finished_at DESC LIMIT 1
    ) AS reading ON true
"""


@dataclass(frozen=True, slots=True)
class Standing:
    """A source's last closed run, its last run that read something, and its lag.

    `lag_s`: for how many seconds the latest due instant has waited for a successful or partial run. 0 if there is such
    a run, None without an enabled schedule.
    """

    source: str
    last_run: Run | None
    last_reading_run: Run | None
    lag_s: float | None


def load_checkpoints(names: Sequence[str]) -> dict[str, Checkpoint]:
    """Return the checkpoints of these sources by source, with the owning runs. A source that never ran is missing."""
    return Checkpoint.objects.select_related("owner_run").defer("read_shape").in_bulk(names)


def read_standings(names: Sequence[str] | None = None) -> list[Standing]:
    """Return the standings of these sources, or those of ETL_SOURCES, in their order, in four statements for all."""
    names = list_configured() if names is None else names
    now = read_clock()
    due = schedule.find_all_due(list_sources(), now)
    rows = _find_runs(names, due)
    runs = Run.objects.in_bulk({run_id for last, reading, _ in rows.values() for run_id in (last, reading) if run_id})
    standings = []
    for name in names:
        last, reading, is_served = rows[name]
        lag = None if name not in due else 0.0 if is_served else (now - due[name].instant).total_seconds()
        standings.append(Standing(name, runs.get(last), runs.get(reading), lag))
    return standings


def _find_runs(names: Iterable[str], due: Mapping[str, schedule.Due]) -> dict[str, Any]:
    """Return by source: ids of its last run and last reading run, and whether its latest due instant is served."""
    asked = [(name, due.get(name)) for name in names]
    values: dict[str, Any] = {
        "sources": [name for name, _ in asked],
        "instants": [each.instant if each else None for _, each in asked],
        "keys": [each.key if each else None for _, each in asked],
    }
    with connection.cursor() as cursor:
        cursor.execute(_STANDING, values)
        return {row[0]: row[1:] for row in cursor.fetchall()}
