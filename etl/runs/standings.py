"""Chooses the standing of each source: one word, the same on every page, in every answer and in every alert.

The cost does not grow with any table: everything is found by index.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from etl.clock import as_utc
from etl.database import connection
from etl.models.runs import STOPPED
from etl.readers.source import Source
from etl.runs import schedule
from etl.runs.schedule import Due
from etl.vocabulary import ReadOutcome, StandingWord, Status

LONGEST_PATIENCE = timedelta(hours=1)
_STOPPED = ", ".join(f"'{reason}'" for reason in STOPPED)
REFLECTS = f"finished_at IS NOT NULL AND trigger <> 'replay' AND reason NOT IN ({_STOPPED})"
"""Which closed runs say something about their source: not replays, nor those that an operator stopped."""

_FIND_STATES = f"""
    SELECT asked.source, clock_timestamp(), newest.status, judged.outcome, coalesce(newest.verdict <> '[]', false),
        CASE WHEN opened.awaits IS NULL THEN coalesce(open_quarantine_count, 0) ELSE 0 END,
        scheduled_since, served.started_at, greatest(served.key, further.key),
        coalesce(kept.announced, 'fine'), kept.milder_since, coalesce(kept.milder_runs, 0)
    FROM unnest(%(sources)s::text[]) AS asked (source)
    LEFT JOIN ingestion_checkpoints AS checkpoint ON checkpoint.source = asked.source
    LEFT JOIN etl_reads AS judged ON judged.source = asked.source AND judged.number = checkpoint.judged_read
    LEFT JOIN etl_standings AS kept ON kept.source = asked.source
    LEFT JOIN LATERAL (
        SELECT status, verdict FROM etl_runs WHERE source = asked.source AND {REFLECTS}
        ORDER BY finished_at DESC LIMIT 1
    ) AS newest ON true
    LEFT JOIN LATERAL (
        SELECT id, started_at, CASE WHEN key LIKE 'schedule:%%' THEN key END AS key FROM etl_runs
        WHERE source = asked.source AND finished_at IS NOT NULL AND status IN ('success', 'partial')
            AND trigger <> 'replay'
        ORDER BY finished_at DESC LIMIT 1
    ) AS served ON true
    LEFT JOIN LATERAL (
        SELECT max(key) AS key FROM etl_run_keys WHERE run_id = served.id AND key LIKE 'schedule:%%'
    ) AS further ON true
    LEFT JOIN LATERAL ( -- the first in this order waits only if all of them wait
        SELECT awaits FROM etl_quarantine WHERE source = asked.source AND status = 'open' ORDER BY awaits DESC LIMIT 1
    ) AS opened ON true
"""


@dataclass(frozen=True, slots=True)
class State:
    """All that a source's standing depends on. The newest run is one that reflects the source (announcements.py).

    `has_verdict` is about the newest run. The last judged read lacks one if its content is accepted and only too old.
    `open_refused` is 0 if all open records only wait for rows to which they refer.
    """

    newest_run: str | None = None
    judged_read: str | None = None
    has_verdict: bool = False
    open_refused: int = 0
    is_paused: bool = False
    is_late: bool = False


def choose_standing(state: State) -> StandingWord:
    """Return the word of the first case that fits. docs/decisions/0027 gives the reasons for the order."""
    cases = (
        (state.is_paused, StandingWord.PAUSED),
        (state.newest_run == Status.FAILED or state.judged_read == ReadOutcome.FAILED, StandingWord.FAILING),
        (state.is_late, StandingWord.LATE),
        (state.judged_read == ReadOutcome.HELD or state.has_verdict, StandingWord.HELD),
        (state.newest_run is None, StandingWord.NEVER_RUN),
        (state.open_refused > 0, StandingWord.REFUSING),
    )
    return next((word for fits, word in cases if fits), StandingWord.FINE)


@dataclass(frozen=True, slots=True)
class Announced:
    """What the last alert said of a source, and since when and in how many runs it has done better."""

    word: StandingWord = StandingWord.FINE
    milder_since: datetime | None = None
    milder_runs: int = 0


@dataclass(frozen=True, slots=True)
class Found:
    """A source's standing with its lag: for how many seconds the first missed due instant has waited.

    `lag_s` is 0 if no instant was missed, and None without an enabled schedule. `every` is the source's interval. `at`
    is the database's time when it was found, and `announced` what the last alert said.
    """

    source: str
    word: StandingWord
    lag_s: float | None
    due: Due | None
    at: datetime
    announced: Announced


def find_standings(names: Iterable[str], sources: Iterable[Source]) -> list[Found]:
    """Return the standings of the sources with these names, in their order, in two statements for all."""
    entries = schedule.find_entries(sources)
    return [_describe(row, entries.get(row[0])) for row in _find_states(names)]


def find_standing_of_runs(source: str) -> Found:
    """Return the source's standing by its runs and records alone, without its schedule."""
    (row,) = _find_states([source])
    return _describe(row, None)


def _find_states(names: Iterable[str]) -> list[Sequence[Any]]:
    names = list(names)
    with connection.cursor() as cursor:
        cursor.execute(_FIND_STATES, {"sources": names})
        found = {row[0]: [_read(value) for value in row] for row in cursor.fetchall()}
    return [found[name] for name in names]


def _read(value: Any) -> Any:
    """Return a time in UTC, regardless of USE_TZ, and any other value as it is."""
    return as_utc(value) if isinstance(value, datetime) else value


def _describe(row: Sequence[Any], entry: schedule.Entry | None) -> Found:
    source, now, newest, outcome, has_verdict, refused, scheduled_since, served_at, served_key, *kept = row
    is_paused = entry is not None and not entry.enabled
    due = schedule.choose_due({source: entry}, now).get(source) if entry is not None else None
    lag = None
    if entry is not None and due is not None:
        known = (scheduled_since, served_at, _parse_instant(source, served_key))
        lag = _measure_lag(entry, [time for time in known if time is not None], now)
    is_late = due is not None and lag is not None and lag > min(due.every, LONGEST_PATIENCE).total_seconds()
    word = choose_standing(State(newest, outcome, has_verdict, refused, is_paused, is_late))
    return Found(source, word, lag, due, now, Announced(StandingWord(kept[0]), *kept[1:]))


def _measure_lag(entry: schedule.Entry, served: Sequence[datetime], now: datetime) -> float:
    """Seconds since the first due instant after all of these times: they are served, or before the schedule began."""
    first = schedule.find_next_due(entry, max(served)) if served else None
    return max(0.0, (now - first).total_seconds()) if first is not None else 0.0


def _parse_instant(source: str, key: str | None) -> datetime | None:
    """Return the due instant that the key of a run names (schedule.Due.key); None for any other key."""
    prefix, _, instant = (key or "").partition(f"schedule:{source}:")
    try:
        return datetime.strptime(instant, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC) if not prefix else None
    except ValueError:
        return None


def map_due(found: Iterable[Found]) -> Mapping[str, Due]:
    """Return the latest due instants by source."""
    return {each.source: each.due for each in found if each.due is not None}
