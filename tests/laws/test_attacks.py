"""Regression tests for problems that adversarial reviews found."""

import json
import signal
import threading
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection, connections

from etl.execution.executor import execute_here
from etl.fence import locking
from etl.fence.claims import Claim, Holder
from etl.models import Checkpoint, Run
from etl.records import Breach, UnifiedFields
from etl.runs import starting
from etl.runs.events import add_event
from etl.runs.starting import Started
from etl.storage import batch as batch_module
from etl.storage.transactions import bounded_transaction
from etl.supervision.os_signals import Interruption
from etl.vocabulary import EventKind
from sandbox.server import Sandbox
from tests.listed_source import Listed, dump_unified, ingest_here, make_item
from tests.processes import Project, wait_until


@pytest.mark.django_db(transaction=True)
def test_statements_are_not_collected_while_debugging(settings: Any) -> None:
    settings.DEBUG = True
    settings.ETL_BATCH_SIZE = 1
    ingest_here(Listed([make_item(number) for number in range(50)]))
    assert len(connection.queries_log) < 40


@pytest.mark.django_db(transaction=True)
def test_an_error_with_a_nul_closes_its_run(project: Project) -> None:
    done = project.run("ingest", "--json", "vendors_csv", VENDORS_CSV="/tmp/\udcff\x1b[31m.csv")
    (outcome,) = [json.loads(line) for line in done.stdout.splitlines()]
    assert (done.returncode, outcome["status"]) == (1, "failed")
    assert "\x1b[31m" not in done.stderr
    assert Run.objects.get().status == "failed"


@pytest.mark.django_db(transaction=True)
def test_an_event_keeps_no_nul() -> None:
    started = starting.start_at_terminal("listed")
    assert isinstance(started, Started)
    add_event(started.claim.run_id, EventKind.RETRY, "a\x00b\ud800")
    assert "\x00" not in Run.objects.get().events.get(kind="retry").message


@pytest.mark.django_db(transaction=True)
def test_an_owner_that_connected_while_a_claim_waited_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """A transaction keeps seeing the sessions of its first look at pg_stat_activity until it clears the snapshot."""
    monkeypatch.setattr(locking, "LOCK_SECONDS", 30)  # it waits in one transaction, even if this test is slow
    Checkpoint.objects.create(
        source="listed",
        owner_pid=1,
        owner_backend_start="2000-01-01T00:00:00Z",
        lease_expires_at="2999-01-01T00:00:00Z",
    )
    blocker = connections["default"].copy()
    results: list[Any] = []

    def claim() -> None:
        try:
            results.append(starting.start_at_terminal("listed"))
        finally:
            connections.close_all()

    with blocker.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute("SELECT 1 FROM ingestion_checkpoints FOR UPDATE")
        waiting = threading.Thread(target=claim)
        waiting.start()
        wait_until(lambda: count_waiting(cursor))
        newcomer = connections["default"].copy()
        with newcomer.cursor() as session:
            session.execute("SELECT pg_backend_pid(), backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid()")
            pid, start = session.fetchone()
            run = Run.objects.create(
                source="listed", key="newcomer", trigger="terminal", status="running", epoch=1, started_at=start
            )
            cursor.execute(
                "UPDATE ingestion_checkpoints SET owner_pid = %s, owner_backend_start = %s, owner_run_id = %s",
                [pid, start, run.pk],
            )
            cursor.execute("COMMIT")
            waiting.join()
        newcomer.close()
    blocker.close()
    assert isinstance(results[0], Holder)
    assert Run.objects.get().status == "running"


def count_waiting(cursor: Any) -> int:
    """Count the sessions that wait for a lock."""
    cursor.execute("SELECT pg_stat_clear_snapshot()")
    cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
    return int(cursor.fetchone()[0])


@pytest.mark.django_db(transaction=True)
def test_a_signal_is_raised_only_where_it_is_allowed() -> None:
    interruption = Interruption()
    interruption.receive(signal.SIGINT, None)
    outcome = execute_here(Listed([make_item(1)]), interruption=interruption, report=lambda progress: None)
    assert (outcome.status, outcome.reason) == ("failed", "interrupted")
    assert Checkpoint.objects.get().owner_run is None


def test_sources_left_by_a_signal_end_with_status_1(project: Project) -> None:
    with Sandbox(plan="slow:0.05") as sandbox:
        process = project.start("ingest", "coingecko_api", "vendors_csv", COINGECKO_BASE_URL=sandbox.url)
        wait_until(lambda: sandbox.requests)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "Stopped before vendors_csv" in errors


@pytest.mark.django_db(transaction=True)
def test_a_batch_longer_than_its_lease_keeps_its_source(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.ETL_LEASE_SECONDS = 0.5
    settings.ETL_BATCH_SIZE = 1
    write = batch_module.write_batch

    def write_slowly(cursor: Any, *arguments: Any, **options: Any) -> int:
        cursor.execute("SELECT pg_sleep(0.7)")
        return write(cursor, *arguments, **options)

    monkeypatch.setattr("etl.landing.write_batch", write_slowly)
    assert ingest_here(Listed([make_item(1), make_item(2)])).status == "success"


class Unified(Listed):
    """Its `unify` returns fields that the test chooses."""

    name = "unified"
    fields: dict[str, Any]

    def unify(self, values: Any) -> UnifiedFields | Breach:
        given = {"external_id": values["id"], "name": values["name"]}
        return UnifiedFields(**(given | self.fields if values["id"] == "odd" else given))


@pytest.mark.parametrize(
    "fields",
    [
        {"name": "a\x00b"},
        {"name": "\ud800"},
        {"name": None},
        {"external_id": " "},
        {"value": Decimal("1e30")},
        {"value": Decimal("Infinity")},
        {"value": Decimal("NaN")},
        {"value": Decimal("1.0000000000000000001")},
        {"event_timestamp": __import__("datetime").datetime(2026, 1, 1)},
    ],
)
@pytest.mark.django_db(transaction=True)
def test_what_unify_makes_is_judged_record_by_record(fields: dict[str, Any]) -> None:
    source = Unified([make_item("good"), make_item("odd")])
    source.fields = fields
    assert ingest_here(source).counters["quarantined"] == 1
    assert [row[0] for row in dump_unified("unified")] == ["good"]


@pytest.mark.django_db(transaction=True)
def test_an_overtaken_runs_lease_leaves_its_successors_lock_alone() -> None:
    from etl.fence.claims import renew

    first = starting.start_at_terminal("listed")
    Checkpoint.objects.update(lease_expires_at="2000-01-01T00:00:00Z")
    second = starting.start_at_terminal("listed")
    assert isinstance(first, Started)
    assert isinstance(second, Started)
    assert (is_ours(renew, first.claim), is_ours(renew, second.claim)) == (False, True)


def is_ours(renew: Any, claim: Claim) -> bool:
    with bounded_transaction() as cursor:
        return bool(renew(cursor, claim))


@pytest.mark.parametrize("address", ["http://[::1", "http://\udcff\udcfe/"])
@pytest.mark.django_db(transaction=True)
def test_an_unusable_address_is_one_sentence(project: Project, address: str) -> None:
    done = project.run("ingest", "listings_json", LISTINGS_JSON=address)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr


@pytest.mark.django_db(transaction=True)
def test_an_unusable_key_is_one_sentence_without_it(project: Project) -> None:
    with Sandbox() as sandbox:
        done = project.run("ingest", "coingecko_api", COINGECKO_BASE_URL=sandbox.url, COINGECKO_API_KEY="ключ")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "ключ" not in done.stderr
