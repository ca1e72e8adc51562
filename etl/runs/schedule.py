"""Finds the instants at which each source is due, in UTC. Pure except for the tables of the schedule.

A source's schedule is its django-celery-beat entry, which an operator may edit or disable. The source's own
`every` is used only to create a missing entry.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Any, TypeAlias

from django.apps import apps

from etl.database import connect_to, name_database
from etl.installation import BEAT
from etl.readers.source import Source
from etl.storage import standings
from etl.storage.transactions import bounded_transaction

QUEUE_TASK = "etl.tasks.queue_due"
SWEEP_TASK = "etl.tasks.sweep"
SWEEP_NAMES = ("sweep", "etl sweep", SWEEP_TASK)
"""The names of the sweep's entry, of which the first that is free is taken."""

CRONTAB_FIELDS = ("minute", "hour", "day_of_month", "month_of_year", "day_of_week")
LONGEST_LOOK_BACK = timedelta(days=366)
HOURS = 24

Entry: TypeAlias = Any
"""django_celery_beat's PeriodicTask, which can't be imported in a project without that app. `check` says so there."""


@dataclass(frozen=True, slots=True)
class Due:
    """A source, the latest instant at which it was due, and how long before it was due the last time."""

    source: str
    instant: datetime
    every: timedelta

    @property
    def key(self) -> str:
        """The key of the run for this instant: two requests for it give one run."""
        return f"schedule:{self.source}:{self.instant:%Y-%m-%dT%H:%M:%SZ}"


ENTRY_PREFIX = "ingest "
LONGEST_NAME = 200 - len(ENTRY_PREFIX)
"""Characters of a source's name: the name of a schedule entry has 200."""


def name_entry(source: Source) -> str:
    """Return the name of the source's entry in the schedule."""
    return f"{ENTRY_PREFIX}{source.name}"


@contextmanager
def _transaction() -> Iterator[None]:
    """Open a transaction for an entry and what is stored of it; where the entries are in another database, two."""
    with ExitStack() as opened:
        for alias in dict.fromkeys((name_database(), connect_to(_list_entries().model).alias)):
            opened.enter_context(bounded_transaction(by_key=False, using=alias))
        yield


def make_missing_entry(source: Source) -> None:
    """Create the source's entry if it is missing. An existing entry is never changed."""
    name = name_entry(source)
    if _list_entries().filter(name=name).exists():
        return
    with _transaction():
        defaults = {"task": QUEUE_TASK, "args": json.dumps([source.name]), **_make_timing(source)}
        _list_entries().get_or_create(name=name, defaults=defaults)
        standings.note_schedule(source.name, is_enabled=True)


def has_sweep() -> bool:
    """Whether an enabled entry, of any name, runs the sweep."""
    return bool(_list_entries().filter(task=SWEEP_TASK, enabled=True).exists())


def make_missing_sweep() -> None:
    """Create the sweep's own entry if no entry runs it. A name that the project uses for a task of its own is left."""
    if _list_entries().filter(task=SWEEP_TASK).exists():
        return
    with _transaction():
        name = next(name for name in SWEEP_NAMES if not _list_entries().filter(name=name).exists())
        timing = _find_or_create("IntervalSchedule", {"every": 1, "period": "minutes"})
        _list_entries().get_or_create({"task": SWEEP_TASK, "interval": timing}, name=name)


def note_entry(source: Source) -> None:
    """Store whether the source's schedule is on, and since when: an operator may have edited the entry."""
    enabled = _list_entries().filter(name=name_entry(source)).values_list("enabled", flat=True).first()
    with bounded_transaction():
        standings.note_schedule(source.name, is_enabled=bool(enabled))


def find_entries(sources: Iterable[Source]) -> dict[str, Entry]:
    """Return the entries of these sources with their interval or crontab, by the source's name, in one query."""
    names = {name_entry(source): source.name for source in sources}
    entries = _list_entries().filter(name__in=names).select_related("interval", "crontab")
    return {names[entry.name]: entry for entry in entries}


def switch(source: Source, *, is_enabled: bool) -> None:
    """Enable or disable the source's entry, which is created if missing. Beat notices within seconds."""
    make_missing_entry(source)
    with _transaction():
        entry = _list_entries().select_for_update().get(name=name_entry(source))
        entry.enabled = is_enabled
        entry.save()  # not `update`: save() sends the signal that beat follows
        standings.note_schedule(source.name, is_enabled=is_enabled)


def _list_entries() -> Any:
    return apps.get_model(BEAT, "PeriodicTask").objects


def _make_timing(source: Source) -> dict[str, Any]:
    if isinstance(source.every, timedelta):
        seconds = max(1, round(source.every.total_seconds()))
        return {"interval": _find_or_create("IntervalSchedule", {"every": seconds, "period": "seconds"})}
    words = dict(zip(CRONTAB_FIELDS, source.every.split(), strict=True)) | {"timezone": source.zone or "UTC"}
    return {"crontab": _find_or_create("CrontabSchedule", words)}


def _find_or_create(model: str, values: Mapping[str, Any]) -> Any:
    # Not get_or_create: the tables have no constraint, and may hold the same timing twice.
    rows = apps.get_model(BEAT, model).objects
    return rows.filter(**values).first() or rows.create(**values)


def find_due(source: Source, now: datetime) -> Due | None:
    """Return the source's latest due instant at the database's time `now` (UTC); None if its entry is disabled."""
    return find_all_due([source], now).get(source.name)


def find_all_due(sources: Iterable[Source], now: datetime) -> dict[str, Due]:
    """Return the latest due instant of each source that has one, by the source's name, in one query."""
    return choose_due(find_entries(sources), now)


def choose_due(entries: Mapping[str, Entry], now: datetime) -> dict[str, Due]:
    """Return the latest due instant of each source whose entry is enabled, by the source's name."""
    found = ((source, entry, find_due_instant(entry, now)) for source, entry in entries.items() if entry.enabled)
    return {
        source: Due(source, instant, _measure_rhythm(entry, instant))
        for source, entry, instant in found
        if instant is not None
    }


def _measure_rhythm(entry: Entry, instant: datetime) -> timedelta:
    """The time from the due instant before this one."""
    before = find_due_instant(entry, instant - timedelta(seconds=1))
    return instant - before if before is not None else LONGEST_LOOK_BACK


def find_due_instant(entry: Entry, now: datetime) -> datetime | None:
    """Return the latest instant at or before `now` at which the entry was due; None if it was not due for a year."""
    if entry.interval is not None:
        return floor(now, entry.interval.schedule.run_every)
    if entry.crontab is not None:
        return find_last_match(entry.crontab.schedule, entry.crontab.timezone, now)
    return None


def find_next_due(entry: Entry, after: datetime) -> datetime | None:
    """Return the first instant after this one at which the entry is due; None if it is not due for a year."""
    if entry.interval is not None:
        every: timedelta = entry.interval.schedule.run_every
        return floor(after, every) + max(timedelta(seconds=1), timedelta(seconds=round(every.total_seconds())))
    if entry.crontab is not None:
        return find_next_match(entry.crontab.schedule, entry.crontab.timezone, after)
    return None


def floor(now: datetime, every: timedelta) -> datetime:
    """Round `now` down to a multiple of `every` since 1970, in UTC."""
    seconds = max(1, round(every.total_seconds()))
    return datetime.fromtimestamp(int(now.timestamp()) // seconds * seconds, UTC)


def find_last_match(times: Any, zone: tzinfo, now: datetime) -> datetime | None:
    """Return the last instant at or before `now` that the crontab (celery.schedules.crontab) names in its zone.

    On the night when clocks go forward, a time that does not exist is due when it would have been. On the night when
    they go back, a time that exists twice is due once, unless the crontab names every hour.
    """
    local = now.astimezone(zone)
    for back in range(LONGEST_LOOK_BACK.days + 1):
        day = local.date() - timedelta(days=back - 1)  # starts with tomorrow: a shifted time may be past midnight
        past = [instant for instant in _list_instants(times, zone, day) if instant <= now]
        if past:
            return max(past)
    return None


def find_next_match(times: Any, zone: tzinfo, after: datetime) -> datetime | None:
    """Return the first instant after this one that the crontab names in its zone; None if there is none for a year."""
    local = after.astimezone(zone)
    for ahead in range(LONGEST_LOOK_BACK.days + 1):
        day = local.date() + timedelta(days=ahead - 1)  # starts with yesterday, for the same reason
        later = [instant for instant in _list_instants(times, zone, day) if instant > after]
        if later:
            return min(later)
    return None


def _list_instants(times: Any, zone: tzinfo, day: date) -> Iterator[datetime]:
    """Yield the instants of a day in the crontab's zone, in UTC."""
    if (
        day.day not in times.day_of_month
        or day.month not in times.month_of_year
        or day.isoweekday() % 7 not in times.day_of_week
    ):
        return
    for hour in times.hour:
        for minute in times.minute:
            for fold in (0, 1) if len(times.hour) == HOURS else (0,):
                yield datetime.combine(day, time(hour, minute), zone).replace(fold=fold).astimezone(UTC)
