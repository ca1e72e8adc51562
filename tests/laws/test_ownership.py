"""Law 2: the epoch and the lease decide who owns a source, not a frozen process, a dead session or a lock."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from django.db import Error, connections

from etl.exceptions import Overtaken
from etl.execution import executor
from etl.fence import claims, locking
from etl.models import Checkpoint, Run
from etl.operations import runs as run_operations
from etl.operations import sources as source_operations
from etl.runs import attempts, ending, heartbeat, orders, starting
from etl.runs.options import Options
from etl.runs.starting import Started
from etl.storage.transactions import bounded_transaction
from etl.vocabulary import Status, Trigger
from tests.laws.test_attacks import count_waiting
from tests.processes import wait_until
from tests.single_steps import end_lease, start

pytestmark = pytest.mark.django_db(transaction=True)
LONG_AGO = "2000-01-01T00:00:00Z"


@pytest.fixture(autouse=True)
def sources(settings: Any) -> None:
    settings.ETL_SOURCES = ["tests.runs.test_orders.Ordered"]


@contextmanager
def open_session() -> Iterator[Any]:
    """Open another session and yield its cursor."""
    other = connections["default"].copy()
    try:
        with other.cursor() as cursor:
            yield cursor
    finally:
        other.close()


def queue(key: str = "k") -> Run:
    return orders.queue("listed", key=key, trigger=Trigger.API, by="a test", options=Options(full=True))


def read_lease() -> Any:
    return Checkpoint.objects.values_list("lease_expires_at", flat=True).get()


def test_a_process_that_freezes_inside_its_claim_keeps_nobody_out() -> None:
    """Its transaction is open and idle. PostgreSQL ends it after a second, before the next claim stops waiting."""
    with bounded_transaction():
        claims.make_checkpoint("listed")
    is_inside, wakes = threading.Event(), threading.Event()

    def freeze() -> None:
        with suppress(Error), locking.lock_checkpoint("listed", for_claim=True):
            is_inside.set()
            wakes.wait()
        connections.close_all()

    frozen = threading.Thread(target=freeze)
    frozen.start()
    is_inside.wait()
    try:
        assert isinstance(starting.start_at_terminal("listed"), Started)
    finally:
        wakes.set()
        frozen.join()


def test_a_session_with_the_number_of_a_dead_owner_owns_nothing() -> None:
    """The operating system may reuse the process number of an ended session for a later one."""
    start()
    Checkpoint.objects.update(owner_backend_start=LONG_AGO)
    assert isinstance(starting.start_at_terminal("listed"), Started)


def test_a_session_with_the_number_of_a_dead_owner_is_not_ended() -> None:
    with open_session() as bystander:
        bystander.execute("SELECT pg_backend_pid()")
        (pid,) = bystander.fetchone()
        Checkpoint.objects.create(
            source="listed", owner_pid=pid, owner_backend_start=LONG_AGO, lease_expires_at=LONG_AGO
        )
        locking._end_frozen_owner("listed", is_forced=False)
        bystander.execute("SELECT 'alive'")
        assert bystander.fetchone() == ("alive",)


def test_the_sweeper_leaves_a_run_alone_whose_heartbeat_is_fresh() -> None:
    claim = start().claim
    end_lease()
    with bounded_transaction() as cursor:
        heartbeat.beat(cursor, claim)
    attempts.abandon_stale("listed")
    assert Run.objects.get().status == "running"


def test_the_sweeper_leaves_a_run_alone_whose_lease_lives() -> None:
    start()
    Run.objects.update(heartbeat_at=LONG_AGO)
    attempts.abandon_stale("listed")
    assert Run.objects.get().status == "running"


def test_a_released_source_is_free_and_its_epoch_is_over() -> None:
    claim = start().claim
    source_operations.release("listed", by="a test")
    checkpoint = Checkpoint.objects.get()
    assert (checkpoint.owner, checkpoint.owner_run, checkpoint.epoch) == ("", None, claim.epoch + 1)
    with pytest.raises(Overtaken):
        ending.end(claim, ending.finished(Status.SUCCESS))


def test_a_cancel_that_waits_for_a_batch_has_not_locked_its_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch locks the checkpoint, then the run's row; a cancel that locked the row first would deadlock with it."""
    monkeypatch.setattr(locking, "LOCK_SECONDS", 30)  # it waits in one transaction, even if this test is slow
    run_id = start().claim.run_id
    answers: list[Any] = []

    def cancel() -> None:
        try:
            answers.append(run_operations.cancel(run_id, by="a test").reason)
        except Error as error:
            answers.append(error)
        finally:
            connections.close_all()

    canceller = threading.Thread(target=cancel)
    with open_session() as batch:
        batch.execute("BEGIN")
        batch.execute("UPDATE ingestion_checkpoints SET batch_number = batch_number")
        canceller.start()
        wait_until(lambda: count_waiting(batch))
        batch.execute("SELECT FROM etl_runs WHERE id = %s FOR UPDATE NOWAIT", [run_id])
        batch.execute("COMMIT")
    canceller.join()
    assert answers == ["cancelled"]


def test_a_cancel_whose_session_is_ended_is_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a database does that restarts, or that ends a session which has been idle with a lock for a second."""
    monkeypatch.setattr(locking, "LOCK_SECONDS", 30)  # the session waits, even if this test is slow
    run_id = start().claim.run_id
    answers: list[Any] = []

    def cancel() -> None:
        answers.append(run_operations.cancel(run_id, by="a test").reason)
        connections.close_all()

    canceller = threading.Thread(target=cancel)
    with open_session() as batch:
        batch.execute("BEGIN")
        batch.execute("UPDATE ingestion_checkpoints SET batch_number = batch_number")
        canceller.start()
        wait_until(lambda: count_waiting(batch))
        batch.execute("SELECT pg_terminate_backend(pid, 5000) FROM pg_locks WHERE NOT granted")
        batch.execute("COMMIT")
    canceller.join()
    assert answers == ["cancelled"]


def test_a_renewal_does_not_wait_for_the_lock_of_the_row() -> None:
    """A frozen session may hold the lock; once that session is ended, the lease must not be renewed."""
    claim, lease = start().claim, read_lease()
    with open_session() as frozen:
        frozen.execute("BEGIN")
        frozen.execute("SELECT FROM ingestion_checkpoints FOR UPDATE")
        with bounded_transaction(lock_seconds=1) as cursor:
            assert claims.renew(cursor, claim)
        frozen.execute("ROLLBACK")
    assert read_lease() == lease


def test_a_lease_that_has_ended_is_not_renewed() -> None:
    claim = start().claim
    end_lease()
    lease = read_lease()
    with bounded_transaction() as cursor:
        claims.renew(cursor, claim)
    assert read_lease() == lease


def test_a_start_of_a_run_that_no_longer_waits_claims_nothing() -> None:
    run = queue()
    run_operations.cancel(run.pk, by="a test")
    with pytest.raises(starting.NotWaiting):
        starting.start_queued(run)
    assert not Checkpoint.objects.filter(epoch__gt=0).exists()


def test_without_redis_a_queued_run_is_executed(settings: Any) -> None:
    run = queue()
    settings.REDIS_URL = "unix:///nowhere/valkey.sock"
    executor.execute_queued(run.pk)
    assert Run.objects.get(pk=run.pk).status == "success"
