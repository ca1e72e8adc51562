"""Law 14: a schedule entry belongs to the people who edit it. The pipeline creates it once."""

from typing import Any

import pytest
from django_celery_beat.models import CrontabSchedule, IntervalSchedule, PeriodicTask

from etl.execution import sweep as sweeping
from etl.models import Run
from etl.operations import sources as source_operations

pytestmark = pytest.mark.django_db(transaction=True)
NAME = "ingest listed"


@pytest.fixture(autouse=True)
def sources(settings: Any) -> None:
    settings.ETL_SOURCES = ["tests.runs.test_orders.Ordered"]
    sweeping.sweep()


def read_entry() -> dict[str, Any]:
    return dict(PeriodicTask.objects.values().get(name=NAME))


def edit_entry(**columns: Any) -> dict[str, Any]:
    """Edit the entry as an operator would in the admin, and return its new state."""
    PeriodicTask.objects.filter(name=NAME).update(**columns)
    return read_entry()


def test_an_edited_entry_is_never_overwritten() -> None:
    rarely = IntervalSchedule.objects.create(every=5, period="days")
    edited = edit_entry(interval=rarely, args='[ "listed" ]', queue="nightly", description="Not by day.", priority=3)
    sweeping.sweep()
    assert read_entry() == edited


def test_an_entry_whose_interval_became_a_crontab_keeps_it() -> None:
    edited = edit_entry(interval=None, crontab=CrontabSchedule.objects.create(minute="30", hour="2"))
    sweeping.sweep()
    assert read_entry() == edited


def test_a_disabled_entry_stays_disabled_and_asks_for_nothing() -> None:
    Run.objects.all().delete()
    edited = edit_entry(enabled=False)
    sweeping.sweep()
    assert (read_entry(), Run.objects.count()) == (edited, 0)


def test_pausing_and_resuming_change_nothing_else() -> None:
    edited = edit_entry(queue="nightly", description="Not by day.")
    source_operations.pause("listed")
    source_operations.resume("listed")
    after = read_entry()
    assert {name: value for name, value in after.items() if value != edited[name]}.keys() <= {"date_changed"}
