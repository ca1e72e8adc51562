"""A source that keeps failing is asked less often, up to once an hour; a person or a changed file resets that."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from etl.clock import read_clock
from etl.execution import sweep as sweeping
from etl.models import AnnouncedStanding, Run
from etl.reports.standing import read_standings
from etl.runs import schedule
from etl.runs.backoff import find_next_tries
from etl.sources.products import ProductsCsv
from etl.vocabulary import Status, Trigger

pytestmark = pytest.mark.django_db(transaction=True)


class Quick(ProductsCsv):
    name = "quick"
    path = "/nowhere/quick.csv"
    every = timedelta(minutes=10)


class Hourly(Quick):
    name = "hourly"
    every = timedelta(hours=1)


@pytest.fixture(autouse=True)
def sources(settings: Any) -> None:
    settings.ETL_SOURCES = ["tests.runs.test_backoff.Quick", "tests.runs.test_backoff.Hourly"]
    for source in (Quick(), Hourly()):
        schedule.make_missing_entry(source)


def fail(count: int, *, source: str = "quick", trigger: Trigger = Trigger.SCHEDULE, minutes_ago: float = 1) -> None:
    """Runs that failed, one each minute; the last one failed this long ago."""
    now, offset = read_clock(), Run.objects.count()
    for number in range(count):
        at = now - timedelta(minutes=minutes_ago + count - number - 1)
        Run.objects.create(
            source=source,
            key=f"{offset + number}",
            trigger=trigger,
            status=Status.FAILED,
            reason="source_unreadable",
            created_at=at,
            started_at=at,
            finished_at=at,
        )


def wait_of(source: type[Quick] = Quick) -> timedelta | None:
    """From the last failure to the next try."""
    due = schedule.find_all_due([source()], read_clock())
    found = find_next_tries([source()], due)
    return found[source.name] - Run.objects.latest("created_at").created_at if found else None


@pytest.mark.parametrize(("failures", "minutes"), [(2, 20), (3, 40), (4, 60), (9, 60)])
def test_each_failure_doubles_the_wait_up_to_an_hour(failures: int, minutes: int) -> None:
    fail(failures)
    wait = wait_of()
    assert wait is not None
    assert abs(wait - timedelta(minutes=minutes)) <= timedelta(seconds=10)


def test_one_failure_alone_changes_nothing() -> None:
    fail(1)
    assert wait_of() is None


def test_a_source_that_is_due_hourly_is_asked_as_usual() -> None:
    fail(9, source="hourly")
    assert wait_of(Hourly) is None


def test_a_run_that_ended_well_resets_it() -> None:
    fail(5, minutes_ago=5)
    now = read_clock()
    Run.objects.create(
        source="quick",
        key="good",
        trigger="schedule",
        status="success",
        started_at=now,
        finished_at=now,
        created_at=now,
    )
    assert wait_of() is None


def test_a_run_by_hand_resets_it() -> None:
    fail(5, minutes_ago=5)
    fail(1, trigger=Trigger.ADMIN)
    assert wait_of() is None
    fail(1, minutes_ago=0)
    wait = wait_of()
    assert wait is not None
    assert wait <= timedelta(minutes=20)


def test_a_changed_file_resets_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fail(5)
    path = tmp_path / "quick.csv"
    monkeypatch.setattr(Quick, "path", str(path))
    assert wait_of() is not None
    path.write_text("product_id,name,category,price\n")
    assert wait_of() is None


def test_the_schedule_does_not_ask_before_the_next_try_and_the_source_fails() -> None:
    fail(5)
    AnnouncedStanding.objects.filter(pk="quick").update(scheduled_since=read_clock() - timedelta(hours=3))
    sweeping.sweep()
    assert not Run.objects.filter(source="quick", status="queued").exists()
    assert Run.objects.filter(source="hourly", status="queued").exists()
    (standing,) = read_standings(["quick"])
    assert (standing.word, standing.next_try_at is not None) == ("failing", True)
    assert standing.lag_s is not None
    assert standing.lag_s > 2 * 3600  # the wait between two tries does not hide that it is late


def test_after_the_next_try_it_is_asked() -> None:
    fail(5, minutes_ago=70)
    sweeping.sweep()
    assert Run.objects.filter(source="quick", status="queued").exists()
