"""Cancelling: a queued run is closed, a running one writes nothing further, and its source is free at once."""

import threading
import time
from contextlib import suppress
from typing import Any

import pytest
from django.db import connections

from etl.exceptions import NotFound, NotPossible, Overtaken
from etl.execution import executor
from etl.execution import sweep as sweeping
from etl.fence import locking
from etl.fence.locking import lock_checkpoint
from etl.models import Checkpoint, Run
from etl.operations import runs as run_operations
from etl.reports.verification import verify
from etl.runs import ending, orders, starting
from etl.runs.options import Options
from etl.vocabulary import Trigger
from sandbox.server import Sandbox
from tests.gated_source import gated
from tests.laws.test_crashes import assert_landed_once, landed_batches, products_file
from tests.listed_source import Listed, ingest_here, make_item
from tests.processes import Project, wait_until
from tests.single_steps import land, start

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def sources(settings: Any) -> None:
    settings.ETL_SOURCES = ["tests.runs.test_orders.Ordered"]


def queue(**more: Any) -> Run:
    return orders.queue("listed", key="k", trigger=Trigger.API, by="a test", **more)


def cancel(run_id: int) -> Run:
    return run_operations.cancel(run_id, by="a test")


def assert_cancelled(run_id: int) -> None:
    run = Run.objects.get(pk=run_id)
    assert (run.status, run.reason, run.error) == ("failed", "cancelled", "Cancelled by a test.")
    assert run.finished_at is not None
    assert run.events.get(kind="closed").message == "Cancelled by a test."


def test_a_cancelled_queued_run_is_closed_and_never_started() -> None:
    run = queue()
    cancel(run.pk)
    executor.execute_queued(run.pk)
    assert_cancelled(run.pk)
    assert Checkpoint.objects.get().epoch == 0


def test_a_cancelled_run_that_was_handed_over_is_not_resumed() -> None:
    run = queue()
    started = starting.start_queued(run)
    assert isinstance(started, starting.Started)
    ending.end(started.claim, ending.handed_over("The worker stops."))
    cancel(run.pk)
    executor.execute_queued(run.pk)
    assert_cancelled(run.pk)


def test_a_cancelled_running_run_writes_nothing_further() -> None:
    started = start()
    cancel(started.claim.run_id)
    with pytest.raises(Overtaken):
        land(started, Listed(), [make_item(1), make_item("bad", price="x")])
    assert_cancelled(started.claim.run_id)
    assert Checkpoint.objects.get().batch_number == 0


def test_cancelling_frees_the_source_at_once_and_for_a_new_epoch() -> None:
    started = start()
    cancel(started.claim.run_id)
    checkpoint = Checkpoint.objects.get()
    assert (checkpoint.owner, checkpoint.owner_run, checkpoint.lease_expires_at) == ("", None, None)
    assert checkpoint.epoch == started.claim.epoch + 1
    assert start().claim.run_id != started.claim.run_id


def test_cancelling_a_queued_run_does_not_affect_the_owner() -> None:
    waiting = queue(options=Options(full=True))
    owner = start()
    cancel(waiting.pk)
    assert Checkpoint.objects.get().owner_run_id == owner.claim.run_id
    assert Checkpoint.objects.get().epoch == owner.claim.epoch


def test_a_run_is_cancelled_once() -> None:
    run = queue()
    cancel(run.pk)
    with pytest.raises(NotPossible, match=rf"^Run {run.pk} is closed already \(failed/cancelled\)\.$"):
        cancel(run.pk)
    assert_cancelled(run.pk)


def test_a_closed_run_is_not_cancelled() -> None:
    outcome = ingest_here(Listed([make_item(1)]))
    with pytest.raises(NotPossible, match=r"is closed already \(success\)\.$"):
        cancel(outcome.run or 0)
    assert Run.objects.get().status == "success"


def test_a_run_that_does_not_exist_is_not_found() -> None:
    with pytest.raises(NotFound, match=r"^There is no run 99\.$"):
        cancel(99)


def test_a_cancelled_run_has_no_successor() -> None:
    started = starting.start_queued(queue())
    assert isinstance(started, starting.Started)
    cancel(started.claim.run_id)
    sweeping.sweep()
    assert not Run.objects.filter(key__startswith="successor:").exists()


def test_cancelling_sends_the_runs_queued_for_the_source() -> None:
    holder = start()
    waiting = queue()
    Run.objects.update(sent_at=None)
    cancel(holder.claim.run_id)
    assert Run.objects.get(pk=waiting.pk).sent_at is not None


def test_cancelling_waits_for_a_batch_in_progress() -> None:
    started = start()
    with connections["default"].copy().cursor() as batch:
        batch.execute("BEGIN")
        batch.execute("SELECT 1 FROM ingestion_checkpoints FOR UPDATE")
        commit = threading.Timer(0.7, lambda: batch.execute("COMMIT"))
        commit.start()
        cancel(started.claim.run_id)
        commit.join()
        batch.connection.close()
    assert_cancelled(started.claim.run_id)


def test_no_first_run_starts_while_its_source_is_locked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A source that has never run has no row to lock; without one, a cancel and the first batch could deadlock."""
    monkeypatch.setattr(locking, "IDLE_SECONDS", 60)  # the lock is kept even if this test is slow
    run = queue()

    def start_from_outside() -> None:
        with suppress(starting.NotWaiting):
            starting.start_queued(run)
        connections.close_all()

    starter = threading.Thread(target=start_from_outside)
    with lock_checkpoint("listed") as cursor:
        starter.start()
        wait_until(lambda: not starter.is_alive() or a_session_waits(cursor))
        assert starter.is_alive()
    starter.join()


def a_session_waits(cursor: Any) -> bool:
    cursor.execute("SELECT FROM pg_locks WHERE NOT granted")
    return cursor.fetchone() is not None


@pytest.mark.parametrize("delay", [0, 0.001, 0.003, 0.01, 0.03])
def test_a_start_and_a_cancel_at_once_have_one_winner(delay: float) -> None:
    """In either order: the run ends once as cancelled, or had already ended by itself. Nothing is half done."""
    run = queue()
    answers: list[str] = []

    def cancel_from_outside() -> None:
        try:
            time.sleep(delay)
            answers.append(cancel(run.pk).reason)
        except NotPossible:
            answers.append("too late")
        finally:
            connections.close_all()

    canceller = threading.Thread(target=cancel_from_outside)
    canceller.start()
    executor.execute_queued(run.pk)
    canceller.join()
    run.refresh_from_db()
    assert (answers, run.reason) in ((["cancelled"], "cancelled"), (["too late"], ""))
    assert run.events.filter(kind="closed").count() == 1
    assert not Checkpoint.objects.filter(owner_run__isnull=False).exists()
    assert verify() == []


def test_a_terminal_run_that_is_cancelled_stops_within_one_batch(project: Project) -> None:
    products_file(project)
    with gated(project):
        process = project.start("ingest", "products_csv", "--json")
        wait_until(lambda: landed_batches() >= 5)
        run = Run.objects.get(status="running")
        cancel(run.pk)
        landed = landed_batches()
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert '"status": "failed", "reason": "cancelled"' in output, errors
    assert "Cancelled by a test." in errors
    assert landed_batches() == landed
    overtaken = run.events.get(kind="overtaken")
    assert overtaken.message == f"Run {run.pk} of products_csv was closed from outside; it writes nothing further."
    project.ingest("products_csv")
    assert_landed_once()


def test_a_cancel_ends_a_long_wait(project: Project) -> None:
    with Sandbox(plan="429:50") as sandbox:
        project.environment["COINGECKO_BASE_URL"] = sandbox.url
        process = project.start("ingest", "coingecko_api", "--json")
        wait_until(lambda: Run.objects.filter(events__kind="retry").exists())
        cancel(Run.objects.get().pk)
        output, errors = process.communicate(timeout=30)  # a lease is checked at least every 5 s
    assert '"reason": "cancelled"' in output, errors
    assert Run.objects.get().events.filter(kind="overtaken").count() == 1
