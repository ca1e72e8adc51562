"""What is due: the latest instant at which each source should have been asked for, in UTC. Pure but for its tables.

A source's schedule is its django-celery-beat entry, which an operator may edit or disable; the source's own
`every` only makes the entry where there is none.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta, tzinfo
from typing import Any

from django_celery_beat.models import CrontabSchedule, IntervalSchedule, PeriodicTask

from etl.readers.base import Source

QUEUE_TASK = "etl.tasks.queue_due"
CRONTAB_FIELDS = ("minute", "hour", "day_of_month", "month_of_year", "day_of_week")
LONGEST_LOOK_BACK = timedelta(days=366)
HOURS = 24


@dataclass(frozen=True, slots=True)
class Due:
    """A source and the latest instant at which it was due."""

    source: str
    instant: datetime

    @property
    def key(self) -> str:
        """The key of the run for this instant: asked for twice, it is one run."""
        return f"schedule:{self.source}:{self.instant:%Y-%m-%dT%H:%M:%SZ}"


def name_entry(source: Source) -> str:
    """The name of the source's entry in the schedule."""
    return f"ingest {source.name}"


def make_missing_entry(source: Source) -> None:
    """An entry for a source that has none; one that exists is never changed."""
    name = name_entry(source)
    if not PeriodicTask.objects.filter(name=name).exists():
        defaults = {"task": QUEUE_TASK, "args": json.dumps([source.name]), **_make_timing(source)}
        PeriodicTask.objects.get_or_create(name=name, defaults=defaults)


def find_entries(sources: Iterable[Source]) -> dict[str, PeriodicTask]:
    """The entries of these sources with their rhythms, by the source's name; one query for all."""
    names = {name_entry(source): source.name for source in sources}
    entries = PeriodicTask.objects.filter(name__in=names).select_related("interval", "crontab")
    return {names[entry.name]: entry for entry in entries}


def switch(source: Source, *, is_enabled: bool) -> None:
    """Enable or disable the source's entry, which is made if missing; beat notices within seconds."""
    make_missing_entry(source)
    entry = PeriodicTask.objects.get(name=name_entry(source))
    entry.enabled = is_enabled
    entry.save()  # not `update`: its signal tells beat


def _make_timing(source: Source) -> dict[str, IntervalSchedule | CrontabSchedule]:
    if isinstance(source.every, timedelta):
        seconds = max(1, round(source.every.total_seconds()))
        rhythm = {"every": seconds, "period": IntervalSchedule.SECONDS}
        # No get_or_create: the table has no constraint, and may hold the same rhythm twice.
        return {
            "interval": IntervalSchedule.objects.filter(**rhythm).first() or IntervalSchedule.objects.create(**rhythm)
        }
    words = dict(zip(CRONTAB_FIELDS, source.every.split(), strict=True)) | {"timezone": "UTC"}
    return {"crontab": CrontabSchedule.objects.filter(**words).first() or CrontabSchedule.objects.create(**words)}


def find_due(source: Source, now: datetime) -> Due | None:
    """The source's latest due instant as of the database's time `now` (UTC); None if its entry is disabled."""
    return find_all_due([source], now).get(source.name)


def find_all_due(sources: Iterable[Source], now: datetime) -> dict[str, Due]:
    """The latest due instant of each source that has one, by the source's name; one query for all."""
    names = {name_entry(source): source.name for source in sources}
    entries = PeriodicTask.objects.filter(name__in=names, enabled=True).select_related("interval", "crontab")
    found = ((names[entry.name], find_due_instant(entry, now)) for entry in entries)
    return {source: Due(source, instant) for source, instant in found if instant is not None}


def find_due_instant(entry: PeriodicTask, now: datetime) -> datetime | None:
    """The latest instant at or before `now` at which the entry was due; None if it has none in a year."""
    if entry.interval is not None:
        return floor(now, entry.interval.schedule.run_every)
    if entry.crontab is not None:
        return find_last_match(entry.crontab.schedule, entry.crontab.timezone, now)
    return None


def floor(now: datetime, every: timedelta) -> datetime:
    """`now` floored to a multiple of `every` since 1970, in UTC."""
    seconds = max(1, round(every.total_seconds()))
    return datetime.fromtimestamp(int(now.timestamp()) // seconds * seconds, UTC)


def find_last_match(times: Any, zone: tzinfo, now: datetime) -> datetime | None:
    """The last instant at or before `now` that the crontab (celery.schedules.crontab) names in its zone.

    On the night when clocks go forward, a time that does not exist is due where it would have been; on the night
    when they go back, a time that exists twice is due once, unless the crontab means every hour.
    """
    local = now.astimezone(zone)
    for back in range(LONGEST_LOOK_BACK.days + 1):
        day = local.date() - timedelta(days=back - 1)  # from tomorrow on: a shifted time may fall behind midnight
        if (
            day.day in times.day_of_month
            and day.month in times.month_of_year
            and day.isoweekday() % 7 in times.day_of_week
        ):
            instants = (
                datetime.combine(day, time(hour, minute), zone).replace(fold=fold).astimezone(UTC)
                for hour in times.hour
                for minute in times.minute
                for fold in ((0, 1) if len(times.hour) == HOURS else (0,))
            )
            past = [instant for instant in instants if instant <= now]
            if past:
                return max(past)
    return None
