"""Due instants: by interval in UTC, by crontab in its zone. None is lost on the nights when clocks change."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from celery.schedules import crontab
from django_celery_beat.models import PeriodicTask

from etl.execution import sweep
from etl.models import Run
from etl.runs.schedule import (
    find_due,
    find_due_instant,
    find_last_match,
    find_next_due,
    floor,
    make_missing_entry,
)
from tests.listed_source import Listed

PARIS = ZoneInfo("Europe/Paris")


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def list_instants(times: crontab, start: str, end: str, step: timedelta = timedelta(minutes=5)) -> list[datetime]:
    """List every due instant that a sweep every five minutes finds between two times."""
    now, found = at(start), []
    while now <= at(end):
        instant = find_last_match(times, PARIS, now)
        if instant is not None and instant >= at(start) and instant not in found:
            found.append(instant)
        now += step
    return found


@pytest.mark.parametrize(
    ("now", "every", "expected"),
    [
        ("2026-05-01T12:34:56", timedelta(hours=1), "2026-05-01T12:00:00"),
        ("2026-05-01T12:34:56", timedelta(minutes=15), "2026-05-01T12:30:00"),
        ("2026-05-01T12:30:00", timedelta(minutes=15), "2026-05-01T12:30:00"),
    ],
)
def test_an_interval_is_due_at_its_multiples_in_utc(now: str, every: timedelta, expected: str) -> None:
    assert floor(at(now), every) == at(expected)


def test_a_crontab_is_due_at_its_last_match_in_its_zone() -> None:
    assert find_last_match(crontab(minute="30", hour="6"), PARIS, at("2026-07-10T04:29:00")) == at(
        "2026-07-09T04:30:00"
    )
    assert find_last_match(crontab(minute="30", hour="6"), PARIS, at("2026-07-10T04:30:00")) == at(
        "2026-07-10T04:30:00"
    )


def test_a_crontab_that_matches_rarely_is_found() -> None:
    yearly = crontab(minute="0", hour="0", day_of_month="1", month_of_year="1")
    assert find_last_match(yearly, PARIS, at("2026-12-31T12:00:00")) == at("2025-12-31T23:00:00")


def test_a_daily_time_that_does_not_exist_on_the_spring_night_is_due_once() -> None:
    instants = list_instants(crontab(minute="30", hour="2"), "2026-03-28T12:00:00", "2026-03-30T12:00:00")
    assert instants == [at("2026-03-29T01:30:00"), at("2026-03-30T00:30:00")]


def test_a_daily_time_that_exists_twice_on_the_autumn_night_is_due_once() -> None:
    instants = list_instants(crontab(minute="30", hour="2"), "2026-10-24T12:00:00", "2026-10-26T12:00:00")
    assert instants == [at("2026-10-25T00:30:00"), at("2026-10-26T01:30:00")]


@pytest.mark.parametrize("day", ["2026-03-28", "2026-10-24"])
def test_an_hourly_crontab_loses_no_hour_on_a_change_night(day: str) -> None:
    start, end = f"{day}T18:00:00", (at(f"{day}T00:00:00") + timedelta(days=1, hours=9)).strftime("%Y-%m-%dT%H:%M:%S")
    instants = list_instants(crontab(minute="0"), start, end)
    assert instants == [at(start) + timedelta(hours=number) for number in range(16)]


class Daily(Listed):
    name = "daily"
    every = "30 2 * * *"  # type: ignore[assignment]
    zone = "Europe/Paris"


class Everywhere(Listed):
    name = "everywhere"
    every = "30 2 * * *"  # type: ignore[assignment]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("kind", "due"), [(Daily, "2026-07-10T00:30:00"), (Everywhere, "2026-07-09T02:30:00")])
def test_a_crontab_is_in_the_zone_of_its_source_or_in_utc(kind: type[Listed], due: str) -> None:
    make_missing_entry(kind())
    found = find_due(kind(), at("2026-07-10T01:00:00"))
    assert found is not None
    assert found.instant == at(due)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("night", "runs"),
    [("2026-03-28", ["2026-03-29T01:30:00Z"]), ("2026-10-24", ["2026-10-25T00:30:00Z"])],
    ids=["02:30 does not exist", "02:30 exists twice"],
)
def test_a_change_night_queues_one_run_however_often_the_schedule_is_looked_at(
    monkeypatch: pytest.MonkeyPatch, settings: Any, night: str, runs: list[str]
) -> None:
    settings.ETL_SOURCES = [f"{__name__}.Daily"]
    make_missing_entry(Daily())
    for minutes in range(0, 12 * 60, 10):
        now = at(f"{night}T20:00:00") + timedelta(minutes=minutes)
        monkeypatch.setattr(sweep, "read_clock", lambda now=now: now)
        sweep.queue_due("daily")
        Run.objects.filter(status="queued").update(status="success", finished_at=now)
    keys = Run.objects.order_by("pk").values_list("key", flat=True)
    of_the_night = [key.removeprefix("schedule:daily:") for key in keys if key > f"schedule:daily:{night}T12"]
    assert of_the_night == runs


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("night", ["2026-03-29", "2026-10-25"])
def test_on_a_change_night_a_source_is_overdue_only_after_its_instant(night: str) -> None:
    make_missing_entry(Daily())
    entry = PeriodicTask.objects.get()
    before = find_due_instant(entry, at(f"{night}T00:15:00"))
    assert before is not None
    following = find_next_due(entry, before)
    assert following == find_due_instant(entry, at(f"{night}T12:00:00"))
