"""Due instants: by interval in UTC, by crontab in its zone. None is lost on the nights when clocks change."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from celery.schedules import crontab

from etl.runs.schedule import find_last_match, floor

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
