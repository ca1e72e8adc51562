"""Schedules do not need beat: a worker's main process sends the sweep if no sweep has begun recently."""

import signal
from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.utils import timezone
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from etl.models import Run
from etl.supervision.sweep_watch import OVERDUE_SECONDS, SWEEP_TASK, is_overdue
from tests.execution.test_workers import BEAT, WORKER
from tests.laws.test_crashes import products_file
from tests.listed_source import fetch
from tests.processes import Project, run_servers, wait_until

_, _, *WORKER_ARGUMENTS = WORKER


@pytest.fixture
def quick(project: Project) -> Iterator[Project]:
    """The project with a source that is due every two seconds, on its own broker."""
    products_file(project, count=200)
    with run_servers(runs_postgresql=False) as servers:
        sources = "tests.worker_sources.QuickProducts"
        project.environment |= {"REDIS_URL": servers.redis_url(), "ETL_SOURCES": sources}
        yield project
        project.kill_all()


def count_scheduled() -> int:
    return Run.objects.filter(key__startswith="schedule:", status__in=("success", "partial")).count()


def test_with_a_beat_whose_clock_was_ahead_schedules_are_kept(quick: Project) -> None:
    quick.run("sweep")  # makes the source's entry
    minute, _ = IntervalSchedule.objects.get_or_create(every=1, period=IntervalSchedule.MINUTES)
    PeriodicTask.objects.get_or_create(name="sweep", defaults={"task": SWEEP_TASK, "interval": minute})
    ahead = timezone.now() + timedelta(days=1)
    entries = PeriodicTask.objects.filter(name__in=("sweep", "ingest products_csv"))
    assert entries.update(last_run_at=ahead) == 2
    beat = quick.start_python(*BEAT)
    quick.start_python("-m", "tests.impatient_worker", *WORKER_ARGUMENTS)
    wait_until(lambda: count_scheduled() >= 4)
    beat.send_signal(signal.SIGTERM)  # it then saves what it has sent
    beat.communicate(timeout=60)
    assert set(entries.values_list("last_run_at", "total_run_count")) == {(ahead, 0)}


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("age", "expected"),
    [
        (None, True),
        (0, False),
        (OVERDUE_SECONDS - 10, False),
        (OVERDUE_SECONDS + 1, True),
        (-OVERDUE_SECONDS - 10, True),
    ],
    ids=["never", "now", "in time", "overdue", "in the future"],
)
def test_a_sweep_is_overdue_by_the_time_when_the_last_one_began(age: int | None, *, expected: bool) -> None:
    if age is not None:
        fetch(
            "INSERT INTO etl_task_leases (name, owner, taken_at, expires_at)"
            " VALUES ('sweep', 'any', clock_timestamp() - %s * interval '1 second', clock_timestamp()) RETURNING name",
            age,
        )
    assert is_overdue() == expected
