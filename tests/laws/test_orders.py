"""Law 3: the run's row is the order. A message that is lost, early or refused only delays it."""

import queue as queues
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import pytest
from celery import current_app

from etl.execution import executor
from etl.execution import sweep as sweeping
from etl.execution.executor import execute_here, execute_queued
from etl.models import Checkpoint, Run
from etl.read_context import ReadContext
from etl.readers.content import Content, Opening
from etl.runs import attempts, ending, orders, starting
from etl.runs.options import Options
from etl.runs.starting import Started
from etl.storage.transactions import bounded_transaction
from etl.supervision.os_signals import Interruption
from etl.vocabulary import Status, Trigger
from tests.runs.test_orders import Ordered
from tests.single_steps import end_lease, start

pytestmark = pytest.mark.django_db(transaction=True)
LONG_AGO = "2000-01-01T00:00:00Z"


class Busy(Ordered):
    """A source that lets a test act while it is read."""

    happening: ClassVar[Callable[[], None]]

    @contextmanager
    def open(self, opening: Opening, context: ReadContext) -> Iterator[Content | None]:
        type(self).happening()
        with super().open(opening, context) as content:
            yield content


@pytest.fixture(autouse=True)
def sources(settings: Any) -> None:
    settings.ETL_SOURCES = ["tests.laws.test_orders.Busy"]
    Busy.happening = lambda: None
    take_messages()


def take_messages() -> list[int]:
    """Take all messages from the broker and return the runs' ids of those about runs."""
    taken: list[int] = []
    with current_app.connection_for_read() as broker, broker.SimpleQueue(current_app.conf.task_default_queue) as queue:
        while True:
            try:
                message = queue.get(block=False)
            except queues.Empty:
                return taken
            message.ack()
            if message.headers["task"] == orders.RUN_TASK:
                taken.append(message.payload[0][0])


def ask(key: str = "k", **more: Any) -> Run:
    return orders.queue("listed", key=key, trigger=Trigger.API, by="a test", **more)


def die(run: Run) -> None:
    """Make it look as if the process of this started run had died, and let the sweeper notice."""
    end_lease()
    Run.objects.filter(pk=run.pk).update(heartbeat_at=LONG_AGO)
    attempts.abandon_stale("listed")


def test_a_message_goes_out_once_its_row_is_committed() -> None:
    with bounded_transaction():
        run = ask()
        assert take_messages() == []
    assert take_messages() == [run.pk]


def test_a_lost_message_only_delays_its_run() -> None:
    run = ask()
    assert take_messages() == [run.pk]  # and is lost: no worker acts on it
    Run.objects.update(sent_at=LONG_AGO)
    sweeping.sweep()
    assert take_messages() == [run.pk]


def test_a_refused_start_is_sent_for_again_when_the_source_is_free() -> None:
    holder = start()
    run = ask(options=Options(full=True))
    assert take_messages() == [run.pk]
    execute_queued(run.pk)
    ending.end(holder.claim, ending.finished(Status.SUCCESS))
    orders.send_waiting_of("listed")
    assert take_messages() == [run.pk]


def execute_in_terminal() -> None:
    execute_here(Busy(), interruption=Interruption(), report=lambda progress: None)


def execute_in_worker() -> None:
    execute_queued(ask("its own").pk)


@pytest.mark.parametrize("execute", [execute_in_terminal, execute_in_worker])
def test_the_end_of_a_run_sends_for_what_waits(execute: Callable[[], None]) -> None:
    def ask_and_be_refused() -> None:
        waiting = ask("another", options=Options(full=True))
        execute_queued(waiting.pk)
        take_messages()

    Busy.happening = ask_and_be_refused
    execute()
    assert take_messages() == [Run.objects.get(key="another").pk]


def test_a_message_about_a_run_that_is_closed_starts_nothing() -> None:
    run = ask()
    execute_queued(run.pk)
    epoch = Checkpoint.objects.get().epoch
    executor._execute_queued(run)
    assert (Run.objects.get().status, Checkpoint.objects.get().epoch) == ("success", epoch)


def test_a_run_that_kills_its_process_is_tried_three_times() -> None:
    run = ask()
    for _ in range(3):
        assert isinstance(starting.start_queued(run), Started)
        die(run)
        run = Run.objects.latest("pk")
    assert list(Run.objects.order_by("pk").values_list("reason", flat=True)) == ["abandoned", "abandoned", "gave_up"]


def test_attempts_count_on_where_the_successor_is_a_run_that_waits() -> None:
    run = ask("first")
    for key in ("second", "third", "fourth"):
        assert isinstance(starting.start_queued(run), Started)
        waiting = ask(key)
        die(run)
        run = waiting
    reasons = Run.objects.order_by("pk").values_list("reason", flat=True)
    assert list(reasons) == ["abandoned", "abandoned", "gave_up", ""]
