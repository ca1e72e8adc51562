"""The schedule's entry of the sweep: there is always one, even if the project uses its name."""

import pytest
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from etl.checks import check_sweep
from etl.execution.sweep import sweep
from etl.runs.schedule import SWEEP_TASK

pytestmark = pytest.mark.django_db(transaction=True)


def list_ids() -> list[str | None]:
    return [message.id for message in check_sweep(None, databases=["default"])]


@pytest.mark.parametrize(("own_task", "name"), [(None, "sweep"), ("shop.tasks.sweep_the_floor", "etl sweep")])
def test_a_sweep_makes_its_missing_entry_and_leaves_the_projects_own(own_task: str | None, name: str) -> None:
    PeriodicTask.objects.all().delete()
    if own_task:
        interval = IntervalSchedule.objects.create(every=1, period="days")
        PeriodicTask.objects.create(name="sweep", task=own_task, interval=interval)
    assert list_ids() == ["etl.W003"]
    for _ in range(2):
        sweep()
    assert list_ids() == []
    (entry,) = PeriodicTask.objects.filter(task=SWEEP_TASK)
    assert (entry.name, entry.interval.every, entry.interval.period) == (name, 1, "minutes")
    if own_task:
        assert PeriodicTask.objects.get(name="sweep").task == own_task


def test_a_sweep_does_not_enable_its_entry_again() -> None:
    sweep()
    PeriodicTask.objects.filter(task=SWEEP_TASK).update(enabled=False)
    sweep()
    assert list_ids() == ["etl.W003"]
