"""Runs as orders: the row comes first, the message is a hint, and requesting twice is harmless."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from billiard.exceptions import SoftTimeLimitExceeded
from django.db import connections
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from etl.clock import read_clock
from etl.execution import executor
from etl.execution import sweep as sweeping
from etl.fence.redis_lock import SourceLock
from etl.models import Run, RunKey
from etl.read_context import ReadContext
from etl.readers.base import Content, Opening
from etl.runs import ending, orders, schedule, starting
from etl.runs.options import Options
from etl.vocabulary import Trigger
from tests.listed_source import Listed, make_item

pytestmark = pytest.mark.django_db(transaction=True)


class Ordered(Listed):
    """A source found through ETL_SOURCES."""

    content = (make_item(1), make_item(2))

    def __init__(self) -> None:
        super().__init__(self.content)


class Breaking(Ordered):
    """A source that raises the `error` that a test sets."""

    error: BaseException

    @contextmanager
    def open(self, opening: Opening, context: ReadContext) -> Iterator[Content | None]:
        raise self.error
        yield


@pytest.fixture(autouse=True)
def sources(settings: Any) -> None:
    settings.ETL_SOURCES = ["tests.runs.test_orders.Ordered"]


def queue(key: str = "k", *, source: str = "listed", **more: Any) -> Run:
    return orders.queue(source, key=key, trigger=Trigger.API, by="a test", **more)


def test_the_same_key_gives_the_same_run() -> None:
    assert queue("k").pk == queue("k").pk


def test_asking_while_a_plain_run_is_queued_gives_that_run() -> None:
    first = queue("one")
    assert queue("two").pk == first.pk
    assert RunKey.objects.get().key == "two"


def test_a_key_keeps_its_answer_when_its_run_is_closed() -> None:
    first = queue("one")
    queue("two")
    executor.execute_queued(first.pk)
    assert Run.objects.get(pk=first.pk).status == "success"
    assert (queue("one").pk, queue("two").pk) == (first.pk, first.pk)


def test_a_full_read_is_a_separate_order() -> None:
    assert queue("one").pk != queue("two", options=Options(full=True)).pk


def test_asking_while_a_run_is_running_gives_a_new_one() -> None:
    started = starting.start_at_terminal("listed")
    assert isinstance(started, starting.Started)
    assert queue("one").pk != started.claim.run_id


def test_a_run_that_was_handed_over_does_not_block_a_new_order() -> None:
    first = queue("one")
    started = starting.start_queued(first)
    assert isinstance(started, starting.Started)
    second = queue("two")
    ending.end(started.claim, ending.handed_over("The worker stops."))
    assert first.pk != second.pk
    assert queue("three").pk == first.pk


def test_twenty_requests_at_once_get_one_run() -> None:
    answers: list[int] = []

    def ask(key: str) -> None:
        try:
            answers.append(queue(key).pk)
        finally:
            connections.close_all()

    askers = [threading.Thread(target=ask, args=(f"k{number % 4}",)) for number in range(20)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()
    assert (len(answers), len(set(answers)), Run.objects.count()) == (20, 1, 1)


def test_a_message_about_a_closed_run_does_nothing() -> None:
    run = queue()
    executor.execute_queued(run.pk)
    events = Run.objects.get(pk=run.pk).events.count()
    executor.execute_queued(run.pk)
    assert Run.objects.get(pk=run.pk).events.count() == events


def test_a_message_about_a_run_that_is_not_due_does_nothing() -> None:
    run = queue()
    Run.objects.update(not_before="2999-01-01T00:00:00Z")
    executor.execute_queued(run.pk)
    assert Run.objects.get(pk=run.pk).status == "queued"


def test_a_message_about_a_held_source_leaves_the_run_queued() -> None:
    run = queue("one", options=Options(full=True))
    assert isinstance(starting.start_at_terminal("listed"), starting.Started)
    executor.execute_queued(run.pk)
    assert Run.objects.get(pk=run.pk).status == "queued"


def test_a_held_lock_prevents_a_start_and_is_logged(settings: Any) -> None:
    run = queue("one", options=Options(full=True))
    holder = starting.start_at_terminal("listed")
    assert isinstance(holder, starting.Started)
    lock = SourceLock("listed", 60)
    lock.hold()
    try:
        executor.execute_queued(run.pk)
    finally:
        lock.release()
    assert Run.objects.get(pk=run.pk).status == "queued"
    assert Run.objects.get(pk=holder.claim.run_id).events.get(kind="start_refused").message.endswith("did not start.")


def test_options_are_read_from_the_row() -> None:
    executor.execute_queued(queue("one").pk)
    second = queue("two", options=Options(full=True))
    executor.execute_queued(second.pk)
    assert Run.objects.get(pk=second.pk).unchanged == 2


def test_a_run_of_a_source_that_is_no_longer_configured_is_closed() -> None:
    run = queue(source="gone")
    executor.execute_queued(run.pk)
    assert Run.objects.get(pk=run.pk).reason == "unknown_source"


@pytest.mark.parametrize(
    ("error", "reason"), [(SoftTimeLimitExceeded(), "timed_out"), (MemoryError(), "out_of_memory")]
)
def test_a_task_that_hits_its_limits_ends_with_its_reason(settings: Any, error: BaseException, reason: str) -> None:
    settings.ETL_SOURCES = ["tests.runs.test_orders.Breaking"]
    Breaking.error = error
    run = queue()
    executor.execute_queued(run.pk)
    assert (Run.objects.get(pk=run.pk).status, Run.objects.get(pk=run.pk).reason) == ("failed", reason)


def test_a_message_is_sent_at_most_every_five_minutes() -> None:
    run = queue()
    assert not orders.send(run.pk)
    Run.objects.update(sent_at="2026-01-01T00:00:00Z")
    assert orders.send(run.pk)


def test_a_run_is_not_sent_before_it_is_due() -> None:
    run = queue()
    Run.objects.update(sent_at=None, not_before="2999-01-01T00:00:00Z")
    assert not orders.send(run.pk)


def test_a_sweep_creates_missing_entries_and_changes_no_other() -> None:
    sweeping.sweep()
    entry = PeriodicTask.objects.get(name="ingest listed")
    assert (entry.interval.every, entry.interval.period) == (3600, "seconds")
    PeriodicTask.objects.update(interval=IntervalSchedule.objects.create(every=5, period="minutes"))
    sweeping.sweep()
    assert PeriodicTask.objects.get(name="ingest listed").interval.every == 5


def test_a_slot_is_queued_once_by_any_number_of_sweeps() -> None:
    for _ in range(3):
        sweeping.sweep()
        sweeping.queue_due("listed")
    assert Run.objects.count() == 1
    assert Run.objects.get().key.startswith("schedule:listed:")


def test_slots_that_were_missed_are_caught_up_once(settings: Any) -> None:
    schedule.make_missing_entry(Ordered())
    due = schedule.find_due(Ordered(), read_clock())
    assert due is not None
    sweeping.sweep()
    assert [run.key for run in Run.objects.all()] == [due.key]


def test_a_source_that_fails_does_not_stop_the_sweep_of_others(settings: Any, caplog: Any) -> None:
    settings.ETL_SOURCES = ["tests.runs.test_orders.Ordered", "tests.runs.test_orders.Unscheduled"]
    settings.ETL_SOURCES.reverse()
    sweeping.sweep()
    assert Run.objects.filter(source="listed").exists()


class Unscheduled(Ordered):
    name = "unscheduled"
    every = "never"  # type: ignore[assignment]
