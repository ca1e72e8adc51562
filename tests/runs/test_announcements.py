"""`run_closed` is sent once for each run, after the commit, for every way of closing a run."""

import logging
import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from django.db import connections, transaction

from etl.exceptions import Overtaken
from etl.execution import executor
from etl.execution import sweep as sweeping
from etl.models import Run
from etl.operations import runs as run_operations
from etl.operations import sources as source_operations
from etl.runs import ending, orders, starting
from etl.signals import run_closed
from etl.storage.transactions import bounded_transaction
from etl.vocabulary import Reason, Status, Trigger
from tests.listed_source import Listed, ingest_here, make_item
from tests.processes import ROOT
from tests.single_steps import end_lease, start

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def sources(settings: Any) -> None:
    settings.ETL_SOURCES = ["tests.runs.test_orders.Ordered"]


@pytest.fixture
def received() -> Iterator[list[tuple[Any, ...]]]:
    """Collect the signals that a receiver gets, as (sender, id, status, reason)."""
    received: list[tuple[Any, ...]] = []

    def note(sender: Any, run: Run, **kwargs: Any) -> None:
        received.append((sender, run.pk, run.status, run.reason))

    run_closed.connect(note)
    yield received
    run_closed.disconnect(note)


def queue() -> Run:
    return orders.queue("listed", key="k", trigger=Trigger.API, by="a test")


def succeed() -> str:
    ingest_here(Listed([make_item(1)]))
    return "success/"


def refuse_some() -> str:
    ingest_here(Listed([make_item("bad", price="x")]))
    return "partial/records_refused"


def fail() -> str:
    ending.end(start().claim, ending.failed(Reason.SOURCE_UNREACHABLE, "gone"))
    return "failed/source_unreachable"


def be_abandoned_by_a_claim() -> str:
    start()
    end_lease()
    start()
    return "failed/abandoned"


def be_swept_away() -> str:
    start()
    end_lease()
    Run.objects.update(heartbeat_at="2026-01-01T00:00:00Z")
    sweeping.sweep()
    return "failed/abandoned"


def give_up() -> str:
    start()
    end_lease()
    Run.objects.update(heartbeat_at="2026-01-01T00:00:00Z", attempt=3)
    sweeping.sweep()
    return "failed/gave_up"


def cancel_queued() -> str:
    run_operations.cancel(queue().pk, by="a test")
    return "failed/cancelled"


def cancel_running() -> str:
    run_operations.cancel(start().claim.run_id, by="a test")
    return "failed/cancelled"


def release() -> str:
    start()
    source_operations.release("listed", by="a test")
    return "failed/released"


def close_unknown() -> str:
    run = orders.queue("gone", key="k", trigger=Trigger.API, by="a test")
    executor.execute_queued(run.pk)
    return "failed/unknown_source"


CLOSINGS = (
    *(succeed, refuse_some, fail, be_abandoned_by_a_claim, be_swept_away, give_up),
    *(cancel_queued, cancel_running, release, close_unknown),
)


@pytest.mark.parametrize("happen", CLOSINGS, ids=lambda happen: happen.__name__)
def test_each_way_to_close_a_run_is_announced_once(happen: Callable[[], str], received: list[tuple[Any, ...]]) -> None:
    ending = happen()
    (run,) = Run.objects.filter(finished_at__isnull=False)
    assert f"{run.status}/{run.reason}" == ending
    assert received == [(Run, run.pk, run.status, run.reason)]


def test_runs_are_closed_in_one_place_only() -> None:
    texts = [path.read_text() for path in (ROOT / "etl").rglob("*.py") if path.parent.name != "migrations"]
    pattern = r'"finished_at": NOW|SET [^;"]*finished_at =|finished_at = clock'
    writes = [write for text in texts for write in re.findall(pattern, text)]
    assert len(writes) == 1


def test_a_close_is_announced_after_the_commit() -> None:
    seen: list[Any] = []

    def look_from_outside(run: Run, **kwargs: Any) -> None:
        with connections["default"].copy().cursor() as cursor:
            cursor.execute("SELECT status FROM etl_runs WHERE id = %s", [run.pk])
            seen.append(cursor.fetchone())
            cursor.connection.close()

    run_closed.connect(look_from_outside)
    try:
        succeed()
    finally:
        run_closed.disconnect(look_from_outside)
    assert seen == [("success",)]


def test_a_close_that_is_rolled_back_is_not_announced(received: list[tuple[Any, ...]]) -> None:
    started = start()
    with bounded_transaction() as cursor:
        ending.write_ending(cursor, "listed", ending.cancelled("a test"), started.claim.run_id)
        transaction.set_rollback(True)
    assert received == []


def test_the_second_close_is_not_announced(received: list[tuple[Any, ...]]) -> None:
    claim = start().claim
    for _ in range(2):
        ending.end(claim, ending.finished(Status.SUCCESS))
    assert len(received) == 1


def test_an_overtaken_close_is_not_announced(received: list[tuple[Any, ...]]) -> None:
    claim = start().claim
    end_lease()
    start()
    with pytest.raises(Overtaken):
        ending.end(claim, ending.finished(Status.SUCCESS))
    assert len(received) == 1


def test_a_run_that_is_handed_over_is_not_announced(received: list[tuple[Any, ...]]) -> None:
    started = starting.start_queued(queue())
    assert isinstance(started, starting.Started)
    ending.end(started.claim, ending.handed_over("The worker stops."))
    assert received == []


def break_down(secret: str, **kwargs: Any) -> None:
    raise RuntimeError(secret)


@pytest.mark.parametrize(
    "receiver",
    [lambda **kwargs: break_down("s3cret"), partial(break_down, "s3cret")],  # a partial has no name to log
    ids=["function", "partial"],
)
def test_a_receiver_that_raises_does_not_affect_the_run(receiver: Any, capsys: Any, caplog: Any) -> None:
    run_closed.connect(receiver)
    try:
        outcome = ingest_here(Listed([make_item(1)]))
    finally:
        run_closed.disconnect(receiver)
    assert outcome.status == "success"
    own = [record.getMessage() for record in caplog.records if record.name == "etl.runs.announcements"]
    assert len([line for line in own if "closed" in line]) == 1
    assert "s3cret" not in "".join(own) + capsys.readouterr().err
    assert logging.getLogger("django.dispatch").propagate is False
