"""The 30 days of a source on the home page: records, refused share and duration, from a bounded number of runs."""

from datetime import timedelta
from typing import Any

import pytest

from etl.admin.overview import CHART_HEIGHT, _draw_month
from etl.clock import read_clock
from etl.models import Run
from etl.reports.overview import MOST_OF_A_SOURCES_DAY, SHOWN_DAYS, read_overview

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def sources(settings: Any) -> None:
    settings.ETL_SOURCES = ["tests.runs.test_standings.Hourly"]


def close(days_ago: int, *, seen: int = 0, refused: int = 0, seconds: float = 1, **columns: Any) -> None:
    """A run that was closed at noon this number of days ago."""
    at = read_clock().replace(hour=12, minute=0) - timedelta(days=days_ago)
    counters = {"seen": seen, "unchanged": seen - refused, "quarantined": refused}
    times = {"created_at": at, "started_at": at, "finished_at": at + timedelta(seconds=seconds)}
    values = {"source": "listed", "key": f"k{Run.objects.count()}", "trigger": "api", "status": "success"}
    Run.objects.create(**{**values, **counters, **times, **columns})


def list_days() -> list[dict[str, Any]]:
    (line,) = read_overview().sources
    return line.days


def test_a_day_has_the_figures_of_its_runs() -> None:
    close(1, seen=10, refused=2, seconds=5)
    close(1, seen=30, seconds=2)
    close(1, status="failed", reason="timed_out")
    close(3, seen=7)
    first, second = list_days()
    assert (first["ago"], first["runs"], first["failed"], first["seen"], first["refused"]) == (1, 3, 1, 40, 2)
    assert first["seconds"] == 5
    assert (second["ago"], second["seen"]) == (3, 7)


def test_days_of_a_month_are_shown_and_no_older_ones() -> None:
    for days_ago in (SHOWN_DAYS + 1, SHOWN_DAYS, SHOWN_DAYS - 1):
        close(days_ago)
    assert [day["ago"] for day in list_days()] == [SHOWN_DAYS - 1]


def test_stopped_runs_and_replays_are_no_part_of_a_day() -> None:
    close(1, status="failed", reason="cancelled")
    close(1, trigger="replay", seen=5)
    assert list_days() == []


def test_the_runs_of_a_day_are_bounded() -> None:
    for number in range(MOST_OF_A_SOURCES_DAY + 5):
        close(1, seen=1, seconds=number)
    (day,) = list_days()
    assert (day["runs"], day["seen"]) == (MOST_OF_A_SOURCES_DAY, MOST_OF_A_SOURCES_DAY)
    (bar,) = _draw_month([day])["bars"]
    assert bar["is_part"]


def test_one_refused_record_of_many_can_be_seen() -> None:
    close(1, seen=1_000_000, refused=1)
    close(2, seen=10)
    few, many = _draw_month(list_days())["bars"]
    assert (few["refused_height"], many["refused_height"]) == (0, 2)
    assert many["height"] == CHART_HEIGHT > few["height"]
