"""Asking a failing source less often: after each failure twice as long, up to an hour.

A run that a person asks for resets it, and so does a changed local file. A source that is due once an hour or less
often is not affected.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from etl.clock import as_utc
from etl.database import connection
from etl.readers.source import Source
from etl.runs.schedule import Due
from etl.vocabulary import Reason, Status, Trigger

LONGEST = timedelta(hours=1)
MAX_FAILURES = 12
"""More do not change the wait: a second, doubled as often, is longer than an hour."""

SLACK = timedelta(seconds=5)
"""A run is queued a little after its instant; the next try must not miss its own instant by that."""

# The newest closed runs of each source, newest first, by index; not those that a person stopped, nor replays.
_FIND_NEWEST = """
    SELECT asked.source, run.status, run.trigger, run.created_at, run.finished_at
    FROM unnest(%s::text[]) AS asked (source), LATERAL (
        SELECT status, trigger, reason, created_at, finished_at FROM etl_runs
        WHERE source = asked.source AND finished_at IS NOT NULL AND trigger <> %s AND NOT reason = ANY(%s)
        ORDER BY finished_at DESC LIMIT %s
    ) AS run ORDER BY asked.source, run.finished_at DESC
"""
_SAY_NOTHING = [Reason.CANCELLED, Reason.RELEASED, Reason.INTERRUPTED, Reason.ABANDONED]


def find_next_tries(sources: Iterable[Source], due: Mapping[str, Due]) -> dict[str, datetime]:
    """When each source that keeps failing is asked next (UTC); sources that are asked as usual are left out."""
    asked = [source for source in sources if source.name in due and due[source.name].every < LONGEST]
    found: dict[str, list[Sequence[Any]]] = {source.name: [] for source in asked}
    with connection.cursor() as cursor:
        cursor.execute(_FIND_NEWEST, [list(found), Trigger.REPLAY, _SAY_NOTHING, MAX_FAILURES])
        for name, *run in cursor.fetchall():
            found[name].append(run)
    tries = ((source, _choose_next_try(due[source.name].every, found[source.name])) for source in asked)
    return {source.name: at for source, at in tries if at is not None and not _has_changed(source, found[source.name])}


def _choose_next_try(every: timedelta, runs: Sequence[Sequence[Any]]) -> datetime | None:
    """By the newest runs (status, trigger, created_at, finished_at); None if fewer than two have failed in a row."""
    failures = 0
    for status, trigger, *_ in runs:
        if status != Status.FAILED:
            break
        failures += 1
        if trigger != Trigger.SCHEDULE:  # a person asked: the count begins here
            break
    if failures < 2:
        return None
    created_at = as_utc(runs[0][2])
    wait = min(every * (1 << failures - 1), LONGEST)
    return created_at + wait - SLACK


def _has_changed(source: Source, runs: Sequence[Sequence[Any]]) -> bool:
    """Whether the source's file has changed since its last failure."""
    changed_at = source.find_change()
    return changed_at is not None and changed_at > as_utc(runs[0][3])
