"""Runs as orders: the row comes first, the message is a hint, and requesting twice is harmless."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from billiard.exceptions import SoftTimeLimitExceeded
from django.db import connection, connections
from django.db.models import F
from django.db.models.functions import Now
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from etl.clock import read_clock
from etl.execution import executor
from etl.execution import sweep as sweeping
from etl.fence import task_leases
from etl.fence.redis_lock import SourceLock
from etl.models import Checkpoint, Run, RunKey, TaskLease
from etl.read_context import ReadContext
from etl.readers.content import Content, Opening
from etl.runs import attempts, ending, orders, schedule, starting
from etl.runs.options import Options
from etl.supervision import sweep_watch
from etl.vocabulary import Trigger
from tests.listed_source import Listed, make_item

pytestmark = pytest.mark.django_db(transaction=True)


class Ordered(Listed):
    """A source found through ETL_SOURCES."""

    content = (make_item(1), make_item(2))

    def __init__(self) -> None:
        super().__init__(self.content)


class Other(Ordered):
    name = "other"


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


def test_a_message_is_sent_again_after_a_while_and_seldom_after_ten(settings: Any) -> None:
    """Independent of the machine's speed, by the time of the last message in the row; a minute is the default."""
    settings.ETL_RESEND_SECONDS = 60
    run = queue()
    assert not orders.send(run.pk)
    for _ in range(9):
        age_last_message(minutes=1)
        assert orders.send(run.pk)
    age_last_message(minutes=orders.SELDOM - 1)
    assert not orders.send(run.pk)
    age_last_message(minutes=1)
    assert orders.send(run.pk)
    assert Run.objects.get().sends == 11


def age_last_message(*, minutes: int) -> None:
    Run.objects.update(sent_at=F("sent_at") - timedelta(minutes=minutes))


def test_a_request_that_is_frozen_stops_no_other_source_and_is_named(settings: Any) -> None:
    settings.ETL_SOURCES = ["tests.runs.test_orders.Ordered", "tests.runs.test_orders.Other"]
    for source in (Ordered(), Other()):
        schedule.make_missing_entry(source)
    frozen = connections["default"].copy()
    with frozen.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended('kasparro source listed', 0))")
        sweeping.sweep()
        with pytest.raises(orders.RequestsLocked, match=r"^Requests for runs of listed are locked by session \d+ \("):
            queue()
    frozen.close()
    assert list(Run.objects.values_list("source", flat=True)) == ["other"]
    assert queue().source == "listed"


def test_a_waiting_run_that_another_session_locks_stops_no_other_source() -> None:
    run = queue()
    frozen = connections["default"].copy()
    with frozen.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute("SELECT FROM etl_runs WHERE id = %s FOR UPDATE", [run.pk])
        with pytest.raises(orders.RequestsLocked, match=r"^A run of listed that waits is locked by another session"):
            queue("another")
    frozen.close()
    assert queue("another").pk == run.pk


def test_only_one_sweep_at_a_time_and_the_next_one_when_its_lease_is_over(settings: Any) -> None:
    held = task_leases.take(task_leases.SWEEP, owner="a frozen process", seconds=60)
    assert held is not None
    sweeping.sweep()
    assert not PeriodicTask.objects.filter(name="ingest listed").exists()
    TaskLease.objects.update(expires_at=Now())
    sweeping.sweep()
    assert PeriodicTask.objects.filter(name="ingest listed").exists()
    assert not held.renew()


def test_a_queued_run_that_a_terminal_picks_up_has_a_successor(settings: Any) -> None:
    run = queue()
    started = starting.start_at_terminal("listed")
    assert isinstance(started, starting.Started)
    assert started.run.pk == run.pk
    abandon()
    assert Run.objects.get(key=f"successor:{run.pk}").status == "queued"


def test_a_run_that_a_terminal_made_has_no_successor() -> None:
    starting.start_at_terminal("listed")
    abandon()
    assert Run.objects.get().reason == "abandoned"


def test_a_heartbeat_from_before_the_clock_was_set_back_is_no_sign_of_life() -> None:
    starting.start_at_terminal("listed")
    abandon(heartbeat="2999-01-01T00:00:00Z")
    assert Run.objects.get().reason == "abandoned"


def abandon(*, heartbeat: str = "2026-01-01T00:00:00Z") -> None:
    """The process of the running run is gone, and the sweep looks."""
    connection.close()
    Run.objects.update(heartbeat_at=heartbeat)
    Checkpoint.objects.update(owner_pid=1, lease_expires_at=heartbeat)
    attempts.abandon_stale("listed")


def test_a_lease_from_before_the_clock_was_set_back_counts_as_ended() -> None:
    assert task_leases.take(task_leases.SWEEP, owner="a", seconds=3600) is not None
    assert task_leases.take(task_leases.SWEEP, owner="b", seconds=60) is not None


def test_one_source_whose_sweep_fails_keeps_none_from_the_next(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.ETL_SOURCES = ["tests.runs.test_orders.Ordered", "tests.runs.test_orders.Other"]
    make = schedule.make_missing_entry
    monkeypatch.setattr(
        schedule, "make_missing_entry", lambda source: 1 / 0 if source.name == "listed" else make(source)
    )
    sweeping.sweep()
    assert PeriodicTask.objects.filter(name="ingest other").exists()


def test_a_sweep_is_overdue_until_one_has_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    assert sweep_watch.is_overdue()
    sweeping.sweep()
    assert not sweep_watch.is_overdue()
    TaskLease.objects.update(taken_at="2999-01-01T00:00:00Z")  # the clock was set back since
    assert sweep_watch.is_overdue()


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
