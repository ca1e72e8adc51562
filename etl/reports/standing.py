"""The standing of each source: its last runs and its lag. The cost does not grow with any table."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from etl.clock import read_clock
from etl.models import Checkpoint, Run
from etl.reports.known_sources import list_configured
from etl.runs import schedule
from etl.runs.backoff import find_next_tries
from etl.sources.registry import list_sources

# Finds the newest closed run, the newest run that read something, and whether the due run has been done. All of it
# goes by index, and the last part checks only runs that have ended since the due instant. One row for each run.
_FIND_RUNS = """
    SELECT run.*, asked.source AS asked_source,
        EXISTS (
            SELECT FROM etl_runs AS served
            WHERE served.source = asked.source AND served.status IN ('success', 'partial')
                AND served.finished_at >= asked.due_at
                AND (served.started_at >= asked.due_at OR served.key = asked.key
                    OR EXISTS (SELECT FROM etl_run_keys AS further
                        WHERE further.run_id = served.id AND further.key = asked.key))
        ) AS is_served
    FROM unnest(%(sources)s::text[], %(instants)s::timestamptz[], %(keys)s::text[]) AS asked (source, due_at, key),
    LATERAL (
        (SELECT 'last' AS role, * FROM etl_runs
            WHERE source = asked.source AND finished_at IS NOT NULL ORDER BY finished_at DESC LIMIT 1)
        UNION ALL (SELECT 'reading', * FROM etl_runs
            WHERE source = asked.source AND finished_at IS NOT NULL AND seen > 0 ORDER BY finished_at DESC LIMIT 1)
    ) AS run
"""


@dataclass(frozen=True, slots=True)
class Standing:
    """A source's last closed run, its last run that read something, and its lag.

    `lag_s`: for how many seconds the latest due instant has waited for a successful or partial run. 0 if there is such
    a run, None without an enabled schedule. `next_try_at`: when a source that keeps failing is asked next (UTC); it
    lags only from then on.
    """

    source: str
    last_run: Run | None
    last_reading_run: Run | None
    lag_s: float | None
    next_try_at: datetime | None = None


def load_checkpoints(names: Sequence[str]) -> dict[str, Checkpoint]:
    """Return the checkpoints of these sources by source, with the owning runs. A source that never ran is missing."""
    return Checkpoint.objects.select_related("owner_run").defer("read_shape").in_bulk(names)


def read_standings(names: Sequence[str] | None = None) -> list[Standing]:
    """Return the standings of these sources, or those of ETL_SOURCES, in their order, in four statements for all."""
    names = list_configured() if names is None else names
    now = read_clock()
    due = schedule.find_all_due(list_sources(), now)
    tries = find_next_tries(list_sources(), due)
    last, reading, served = _find_runs(names, due)
    standings = []
    for name in names:
        lag = None
        if name in due:
            since = max(due[name].instant, tries.get(name, due[name].instant))
            lag = 0.0 if name in served else max(0.0, (now - since).total_seconds())
        standings.append(Standing(name, last.get(name), reading.get(name), lag, tries.get(name)))
    return standings


def _find_runs(
    names: Iterable[str], due: Mapping[str, schedule.Due]
) -> tuple[dict[str, Run], dict[str, Run], set[str]]:
    """Return last run and last reading run by source, and the sources whose latest due instant is served."""
    asked = [(name, due.get(name)) for name in names]
    values: dict[str, Any] = {
        "sources": [name for name, _ in asked],
        "instants": [each.instant if each else None for _, each in asked],
        "keys": [each.key if each else None for _, each in asked],
    }
    rows: list[Any] = list(Run.objects.raw(_FIND_RUNS, values))
    last = {row.asked_source: row for row in rows if row.role == "last"}
    reading = {row.asked_source: row for row in rows if row.role == "reading"}
    return last, reading, {row.asked_source for row in rows if row.is_served}
