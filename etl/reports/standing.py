"""The standing of each source with its last runs and its lag. The cost does not grow with any table."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from etl.models import Checkpoint, Run
from etl.reports.known_sources import list_configured
from etl.runs.backoff import find_next_tries
from etl.runs.standings import find_standings, map_due
from etl.sources.registry import list_sources
from etl.vocabulary import StandingWord

# Finds the newest closed run, and the newest run that read something, by index. One row for each run.
_FIND_RUNS = """
    SELECT run.*, asked.source AS asked_source FROM unnest(%(sources)s::text[]) AS asked (source), LATERAL (
        (SELECT 'last' AS role, * FROM etl_runs
            WHERE source = asked.source AND finished_at IS NOT NULL ORDER BY finished_at DESC LIMIT 1)
        UNION ALL (SELECT 'reading', * FROM etl_runs
            WHERE source = asked.source AND finished_at IS NOT NULL AND seen > 0 ORDER BY finished_at DESC LIMIT 1)
    ) AS run
"""


@dataclass(frozen=True, slots=True)
class Standing:
    """A source's standing, its last closed run, its last run that read something, and its lag.

    `lag_s`: for how many seconds the first missed due instant has waited for a successful or partial run. 0 if none
    was missed, None without an enabled schedule. `next_try_at`: when a source that keeps failing is asked next (UTC).
    """

    source: str
    word: StandingWord
    last_run: Run | None = None
    last_reading_run: Run | None = None
    lag_s: float | None = None
    next_try_at: datetime | None = None


def load_checkpoints(names: Sequence[str]) -> dict[str, Checkpoint]:
    """Return the checkpoints of these sources by source, with the owning runs. A source that never ran is missing."""
    return Checkpoint.objects.select_related("owner_run").defer("read_shape").in_bulk(names)


def read_standings(names: Sequence[str] | None = None) -> list[Standing]:
    """Return the standings of these sources, or those of ETL_SOURCES, in their order, in four statements for all."""
    names = list_configured() if names is None else names
    found = find_standings(names, list_sources())
    tries = find_next_tries(list_sources(), map_due(found))
    last, reading = _find_runs(names)
    return [
        Standing(
            each.source, each.word, last.get(each.source), reading.get(each.source), each.lag_s, tries.get(each.source)
        )
        for each in found
    ]


def read_words(names: Sequence[str]) -> dict[str, StandingWord]:
    """Return the standing's word of each of these sources, in two statements."""
    return {each.source: each.word for each in find_standings(names, list_sources())}


def _find_runs(names: Iterable[str]) -> tuple[dict[str, Run], dict[str, Run]]:
    """Return last run and last reading run by source."""
    rows: list[Any] = list(Run.objects.raw(_FIND_RUNS, {"sources": list(names)}))
    last = {row.asked_source: row for row in rows if row.role == "last"}
    return last, {row.asked_source: row for row in rows if row.role == "reading"}
