"""How each source stands: its last runs and its lag. The cost does not grow with any table."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import connection

from etl.clock import read_clock
from etl.models import Checkpoint, Run
from etl.reports.known_sources import list_configured
from etl.runs import schedule
from etl.sources.registry import list_sources

# The newest closed run, the newest that read something, and whether what was due has been done: all by index, and
# the last looks at no more runs than have ended since it was due.
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
    """How a source does: its last closed run, the last that read something, and its lag.

    `lag_s`: for how many seconds its latest due instant has waited for a run that ended well. 0 if there is one, None
    without an enabled schedule.
    """

    source: str
    last_run: Run | None
    last_reading_run: Run | None
    lag_s: float | None


def load_checkpoints(names: Sequence[str]) -> dict[str, Checkpoint]:
    """The checkpoints of these sources, with the runs that own them, by source; none for one that has never run."""
    return Checkpoint.objects.select_related("owner_run").defer("read_shape").in_bulk(names)


def read_standings(names: Sequence[str] | None = None) -> list[Standing]:
    """The standing of these sources, or of those of ETL_SOURCES, in their order; four statements for all of them."""
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
    """Source → ids of its last run and its last reading run, and whether its latest due instant is served."""
    asked = [(name, due.get(name)) for name in names]
    values: dict[str, Any] = {
        "sources": [name for name, _ in asked],
        "instants": [each.instant if each else None for _, each in asked],
        "keys": [each.key if each else None for _, each in asked],
    }
    with connection.cursor() as cursor:
        cursor.execute(_STANDING, values)
        return {row[0]: row[1:] for row in cursor.fetchall()}
