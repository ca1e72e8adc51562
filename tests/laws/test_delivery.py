"""The fenced write path, in this process, on a real PostgreSQL."""

import random
import signal
import threading
import traceback
from typing import Any

import pytest
from django.db import DatabaseError, IntegrityError, InterfaceError, OperationalError, connection, connections
from django.db.backends.postgresql.base import DatabaseWrapper

from etl import landing
from etl.change_detection import Stored, classify
from etl.exceptions import LeaseLost, Overtaken
from etl.execution.executor import execute_here
from etl.fence import locking, reads
from etl.fence.claims import Holder
from etl.models import Checkpoint, QuarantinedRecord, ReadMark, Run
from etl.reports.verification import verify
from etl.runs import ending, starting
from etl.runs.starting import Started
from etl.sources import NonBlank
from etl.storage import batch as batch_module
from etl.storage import target_batch
from etl.storage.ledger import find_stored
from etl.storage.transactions import is_transient
from etl.supervision.os_signals import Interruption
from etl.vocabulary import COUNTERS, Reason, Status
from tests.listed_source import (
    Item,
    Listed,
    TimedListed,
    dump_landed,
    dump_quarantine,
    dump_raw,
    dump_unified,
    fetch,
    ingest_here,
    judge_all,
    make_item,
)
from tests.shop.sources import Things
from tests.single_steps import COMMIT, count_writes, end_lease, land, start

pytestmark = pytest.mark.django_db(transaction=True)
KINDS = pytest.mark.parametrize("kind", [Listed, Things], ids=["unified", "target"])
"""The law holds for the unified table, and for a team's own model in its place."""


@KINDS
def test_an_overtaken_worker_writes_nothing(kind: type[Listed]) -> None:
    source, first = kind(), start()
    end_lease()
    start()
    with pytest.raises(Overtaken):
        land(first, source, [make_item(1), make_item("bad", price="x")])
    assert (dump_raw("listed"), dump_landed(source), dump_quarantine("listed")) == ([], [], [])


@KINDS
def test_a_worker_whose_lease_has_ended_writes_nothing(kind: type[Listed]) -> None:
    started = start()
    end_lease()
    with pytest.raises(LeaseLost):
        land(started, kind(), [make_item(1)])
    assert dump_landed(kind()) == []


@KINDS
def test_the_same_batch_twice_lands_once(kind: type[Listed]) -> None:
    started = start()
    source = kind()
    read = reads.choose_read(started.checkpoint, "content", is_full=False)
    land(started, source, [make_item(1)], read)
    land(started, source, [make_item(1)], read)
    assert len(dump_raw("listed")) == len(dump_landed(source)) == 1
    assert Run.objects.get().seen == 1


@KINDS
def test_a_commit_whose_answer_was_lost_is_not_sent_again(kind: type[Listed], monkeypatch: pytest.MonkeyPatch) -> None:
    started = start()
    lost: list[bool] = []

    def commit_and_lose_the_answer(self: Any) -> None:
        COMMIT(self)
        if not lost:
            lost.append(True)
            self.connection.close()
            raise OperationalError("server closed the connection unexpectedly")

    read = reads.choose_read(started.checkpoint, "content", is_full=False)
    judged = judge_all(kind(), [make_item(1), make_item("bad", price="x")])
    monkeypatch.setattr(DatabaseWrapper, "_commit", commit_and_lose_the_answer)
    landing.land(
        started.claim,
        kind(),
        read,
        classify(judged, Stored()),
        reached={"offset": 1, "position": 1},
        wait=lambda s: None,
    )
    assert lost
    assert (len(dump_raw("listed")), len(dump_landed(kind())), len(dump_quarantine("listed"))) == (1, 1, 1)
    assert Run.objects.get().seen == 2


@KINDS
def test_the_read_only_seconds_of_a_failover_are_waited_out(kind: type[Listed]) -> None:
    started = start()
    with connection.cursor() as cursor:
        cursor.execute("SET default_transaction_read_only = on")  # this session is connected to the former primary
    land(started, kind(), [make_item(1)])
    assert len(dump_raw("listed")) == len(dump_landed(kind())) == 1


STEPS = {
    "claim": "start_at_terminal",
    "refusals": "recognize",
    "lookup": "find",
    "batch": "land",
    "settlement": "_list_changes",
    "close": "end",
}


@pytest.mark.parametrize(
    ("kind", "by"),
    [
        *(pytest.param(Listed, by, id=step) for step, by in STEPS.items()),
        *(pytest.param(Things, by, id=f"{step} of a target") for step, by in STEPS.items()),
        pytest.param(Things, "require_target", id="the target's table"),
    ],
)
def test_the_run_ends_well_no_matter_which_commit_loses_its_response(
    kind: type[Listed], by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost: list[Any] = []

    def commit_and_lose_one_answer(self: Any) -> None:
        COMMIT(self)
        if not lost and by in {frame.name for frame in traceback.extract_stack()}:
            lost.append(self)
            self.connection.close()
            raise OperationalError("server closed the connection unexpectedly")

    ingest_here(kind([make_item(0)]))  # the first read of a source looks nothing up
    monkeypatch.setattr(DatabaseWrapper, "_commit", commit_and_lose_one_answer)
    outcome = ingest_here(kind([make_item(1), make_item("bad", price="x"), make_item("many", price=10**9)]))
    refused = 1 if kind is Listed else 2
    assert lost
    assert (outcome.status, outcome.counters["seen"], outcome.counters["quarantined"]) == ("partial", 3, refused)
    assert len(dump_raw("listed")) == len(dump_landed(kind())) == 4 - refused
    assert len(dump_quarantine("listed")) == refused
    assert not Run.objects.filter(events__kind="overtaken").exists()
    assert verify() == []


def test_a_signal_that_comes_with_the_last_commit_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    interruption = Interruption()
    commits: list[Any] = []

    def commit_and_be_interrupted(self: Any) -> None:
        COMMIT(self)
        commits.append(self)
        if len(commits) == 3:  # claim, batch, close: the first read of a source looks nothing up
            interruption.receive(signal.SIGINT, None)

    monkeypatch.setattr(DatabaseWrapper, "_commit", commit_and_be_interrupted)
    outcome = execute_here(Listed([make_item(1)]), interruption=interruption, report=lambda progress: None)
    assert (interruption.is_received, outcome.status) == (True, "success")
    assert not Run.objects.filter(events__kind="overtaken").exists()


@KINDS
def test_everything_of_a_failing_batch_is_rolled_back(kind: type[Listed], monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (batch_module, target_batch):
        monkeypatch.setattr(module, "write_refusals", lambda *_, **__: 1 / 0)
    outcome = ingest_here(kind([make_item(1), make_item("bad", price="x")]))
    assert (outcome.status, outcome.reason) == ("failed", "internal_error")
    assert (dump_raw("listed"), dump_landed(kind())) == ([], [])
    assert (Run.objects.get().seen, Checkpoint.objects.get().batch_number) == (0, 0)


@KINDS
def test_a_run_that_was_closed_from_outside_lands_nothing(kind: type[Listed]) -> None:
    started = start()
    Run.objects.update(status=Status.FAILED, reason="cancelled", finished_at="2026-01-01T00:00:00Z")
    with pytest.raises(Overtaken):
        land(started, kind(), [make_item(1), make_item("bad", price="x")])
    assert (dump_raw("listed"), dump_landed(kind()), dump_quarantine("listed")) == ([], [], [])
    assert Checkpoint.objects.get().batch_number == 0


def test_a_live_holder_refuses_at_once_and_is_named() -> None:
    holder = start()
    refused = starting.start_at_terminal("listed")
    assert isinstance(refused, Holder)
    assert refused.run_id == holder.claim.run_id
    assert "start_refused" in Run.objects.get().events.values_list("kind", flat=True)


def test_a_claim_closes_the_older_run_and_raises_the_epoch() -> None:
    first = start()
    end_lease()
    second = start()
    assert second.claim.epoch == first.claim.epoch + 1
    older = Run.objects.get(pk=first.claim.run_id)
    assert (older.status, older.reason) == ("failed", "abandoned")


def test_the_first_close_of_a_run_stands() -> None:
    first = start()
    end_lease()
    start()
    with pytest.raises(Overtaken):
        ending.end(first.claim, ending.finished(Status.SUCCESS))
    assert Run.objects.get(pk=first.claim.run_id).reason == "abandoned"


def test_a_terminal_run_takes_the_queued_plain_run_along() -> None:
    queued = Run.objects.create(source="listed", key="schedule:listed:1", trigger="schedule", status="queued")
    assert start().claim.run_id == queued.pk
    assert Run.objects.get().at_terminal


def test_a_full_read_leaves_the_queued_plain_run() -> None:
    queued = Run.objects.create(source="listed", key="schedule:listed:1", trigger="schedule", status="queued")
    assert start(full=True).claim.run_id != queued.pk


@pytest.mark.parametrize("size", [1, 2, 3, 7, 50, 1000])
def test_every_batch_size_gives_the_same_tables_and_totals(settings: Any, size: int) -> None:
    source = TimedListed(make_history(120))
    settings.ETL_BATCH_SIZE = size
    outcome = ingest_here(source)
    counters, landed = find_what_must_land(source.records)
    assert outcome.counters == counters
    assert [row[:2] for row in dump_unified("timed")] == sorted(landed.items())
    assert len(dump_raw("timed")) == counters["new"] + counters["updated"]
    assert verify() == []


def find_what_must_land(records: Any) -> tuple[dict[str, int], dict[str, str]]:
    """Apply law 6 in the simplest way: return the counters and the name that counts for each id."""
    counters = dict.fromkeys(COUNTERS, 0)
    newest: dict[str, tuple[str, str]] = {}
    for record in records:
        former = newest.get(record["id"])
        if record["price"] == "x":
            outcome = "quarantined"
        elif former is None:
            outcome = "new"
        else:
            outcome = "updated" if record["at"] > former[0] else "duplicate"
        counters["seen"] += 1
        counters[outcome] += 1
        if outcome in ("new", "updated"):
            newest[record["id"]] = (record["at"], record["name"])
    return counters, {key: name for key, (_, name) in newest.items()}


def make_history(count: int) -> list[dict[str, Any]]:
    """Records with thirty ids and times in any order, some equal, some refused; the same records every time."""
    chance = random.Random(5)
    records = []
    for number in range(count):
        item = chance.randint(1, 30) if number >= 30 else number + 1
        time = f"2026-01-{chance.randint(1, 28):02d}T00:00:00Z"
        broken = number >= 30 and chance.random() < 0.08
        records.append(make_item(f"i{item:02d}", name=f"v{number}", price="x" if broken else "1", at=time))
    return records


@KINDS
@pytest.mark.parametrize("size", [2, 1000])
def test_the_same_content_again_writes_nothing(kind: type[Listed], settings: Any, size: int) -> None:
    source = kind([*map(make_item, range(20)), make_item("bad", price="x"), make_item(3, name="other")])
    ingest_here(source)
    before = count_writes()
    settings.ETL_BATCH_SIZE = size
    plain, full = ingest_here(source), ingest_here(source, full=True)
    assert (plain.reason, plain.counters["seen"]) == ("unchanged", 0)
    assert (full.counters["unchanged"], full.counters["duplicate"], full.counters["quarantined"]) == (20, 1, 1)
    assert count_writes() == before


class Described(Item):
    color: NonBlank


class DescribedListed(Listed):
    contract = Described


class Retitled(Listed):
    unified = {**Listed.unified, "name": "color"}
    contract = Described


def test_another_contract_writes_nothing() -> None:
    records = [*(make_item(number, color="red") for number in range(20)), make_item("bad", price="x")]
    ingest_here(Listed(records))
    before, sequence = count_writes(), Checkpoint.objects.get().sequence
    outcome = ingest_here(DescribedListed(records))
    assert (outcome.counters["unchanged"], outcome.counters["quarantined"]) == (20, 1)
    assert (count_writes(), Checkpoint.objects.get().sequence) == (before, sequence)


def test_another_mapping_writes_the_target_and_no_raw_record() -> None:
    records = [make_item(1, color="red"), make_item(2, color="Thing"), make_item(3, color="blue")]
    ingest_here(Listed(records))
    raw, kept = dump_raw("listed"), fetch("SELECT external_id, raw_id FROM unified_records ORDER BY external_id")
    outcome = ingest_here(Retitled(records))
    assert (outcome.counters["updated"], outcome.counters["unchanged"]) == (2, 1)
    assert [row[1] for row in dump_unified("listed")] == ["red", "Thing", "blue"]
    assert fetch("SELECT external_id, raw_id FROM unified_records ORDER BY external_id") == kept
    assert (dump_raw("listed"), Run.objects.latest("pk").versions) == (raw, 0)
    assert fetch("SELECT external_id FROM unified_records WHERE sequence > 1 ORDER BY 1") == [("1",), ("3",)]
    assert verify() == []


def test_a_read_counts_the_stored_records_that_it_meets(settings: Any) -> None:
    settings.ETL_BATCH_SIZE = 2
    ingest_here(Listed([*map(make_item, range(5))]))
    assert Checkpoint.objects.get().read_met == 5
    ingest_here(
        Listed([make_item(1), make_item(7), make_item(1), make_item(2, name="other"), make_item("bad", price="x")])
    )
    assert (Checkpoint.objects.get().read_met, Checkpoint.objects.get().record_count) == (3, 6)


@KINDS
def test_ids_of_a_read_survive_its_crash(kind: type[Listed], settings: Any) -> None:
    """Without a time the first record with an id counts, no matter where the read was interrupted."""
    settings.ETL_BATCH_SIZE = 2
    source = kind([make_item(1), make_item(2), make_item(1, name="later"), make_item(3)])
    ingest_here(kind([make_item(1), make_item(2)]))  # unchanged, so only marked, in the read below
    started = start()
    fingerprint = ingest_fingerprint(source)
    read = reads.choose_read(started.checkpoint, fingerprint, is_full=False)
    read_first_batch(started, source, read)
    end_lease()
    outcome = ingest_here(source)
    assert (outcome.counters["duplicate"], outcome.counters["updated"], outcome.counters["new"]) == (1, 0, 1)
    assert {row[1] for row in dump_landed(source)} == {"Thing"}
    assert set(ReadMark.objects.values_list("read_number", flat=True)) == {Checkpoint.objects.get().read_number}


def test_marks_of_a_read_stay_until_the_next_one_begins() -> None:
    ingest_here(Listed([make_item(1), make_item("bad", price="x")]))
    ingest_here(Listed([make_item(1), make_item("bad", price="x"), make_item(2)]))
    marks = ReadMark.objects.order_by("kind").values_list("kind", "read_number")
    assert list(marks) == [("record", 2), ("refusal", 2)]
    assert verify() == []
    ingest_here(Listed([make_item(3)]))
    assert not ReadMark.objects.exists()


def ingest_fingerprint(source: Listed) -> str:
    with source.open(None, None) as content:  # type: ignore[arg-type]
        assert content is not None
        return f"{source.digest()}:{content.fingerprint}"


def read_first_batch(started: Started, source: Listed, read: Any) -> None:
    judged = judge_all(source, source.records[:2])
    known = find_stored(source, judged, read_number=read.number, read_sequence=read.first_sequence)
    batch = classify(judged, Stored(known))
    landing.land(started.claim, source, read, batch, reached={"offset": 2, "position": 2}, wait=lambda s: None)


@KINDS
def test_a_read_cut_after_refusing_ends_partial(kind: type[Listed], settings: Any) -> None:
    settings.ETL_BATCH_SIZE = 2
    source = kind([make_item("bad", price="x"), make_item(1), make_item(2)])
    started = start()
    read = reads.choose_read(started.checkpoint, ingest_fingerprint(source), is_full=False)
    read_first_batch(started, source, read)
    end_lease()
    outcome = ingest_here(source)
    assert (outcome.status, outcome.counters["quarantined"]) == ("partial", 0)


def test_a_full_read_starts_over_where_a_plain_one_was_cut(settings: Any) -> None:
    settings.ETL_BATCH_SIZE = 2
    source = Listed([make_item(1), make_item(2), make_item(3)])
    started = start()
    read = reads.choose_read(started.checkpoint, ingest_fingerprint(source), is_full=False)
    read_first_batch(started, source, read)
    end_lease()
    assert ingest_here(source, full=True).counters["seen"] == 3


def test_a_full_read_cut_before_its_first_batch_is_continued() -> None:
    source = Listed([make_item(1)])
    ingest_here(source)
    start(full=True)
    end_lease()
    assert ingest_here(source).counters["unchanged"] == 1


@KINDS
def test_content_that_went_back_while_a_read_was_open_is_read_again(kind: type[Listed], settings: Any) -> None:
    settings.ETL_BATCH_SIZE = 2
    former = kind([make_item(1), make_item(2)])
    ingest_here(former)
    changed = kind([make_item(1, name="changed"), make_item(2), make_item(3)])
    started = start()
    read = reads.choose_read(started.checkpoint, ingest_fingerprint(changed), is_full=False)
    read_first_batch(started, changed, read)
    end_lease()
    ingest_here(former)
    assert dump_landed(former)[0][1] == "Thing"


def test_a_corrected_mapping_lands_with_the_next_read() -> None:
    class Corrected(Listed):
        unified = {**Listed.unified, "category": "name"}

    records = [make_item(1)]
    ingest_here(Listed(records))
    outcome = ingest_here(Corrected(records))
    assert outcome.counters["updated"] == 1
    assert dump_unified("listed")[0][2] == "Thing"


def test_an_older_record_of_a_later_read_is_a_duplicate() -> None:
    ingest_here(TimedListed([make_item(1, name="new", at="2026-02-01T00:00:00Z")]))
    outcome = ingest_here(TimedListed([make_item(1, name="old", at="2026-01-01T00:00:00Z")]))
    assert outcome.counters["duplicate"] == 1
    assert dump_unified("timed")[0][1] == "new"


def test_an_equal_time_with_other_content_counts_in_a_later_read() -> None:
    ingest_here(TimedListed([make_item(1, name="one", at="2026-02-01T00:00:00Z")]))
    outcome = ingest_here(TimedListed([make_item(1, name="two", at="2026-02-01T00:00:00Z")]))
    assert outcome.counters["updated"] == 1


def test_a_record_without_a_time_has_none() -> None:
    ingest_here(Listed([make_item(1)]))
    assert fetch("SELECT event_timestamp FROM unified_records") == [(None,)]


def test_equal_refused_records_share_the_row_of_the_first_place() -> None:
    bad = make_item("bad", price="x")
    outcome = ingest_here(Listed([bad, make_item(1), bad]))
    assert outcome.counters["quarantined"] == 2
    assert [row[0] for row in dump_quarantine("listed")] == [1]


def test_a_replayed_record_that_is_refused_again_opens_again() -> None:
    source = Listed([make_item("bad", price="x")])
    ingest_here(source)
    QuarantinedRecord.objects.update(status="replayed")
    Checkpoint.objects.update(open_quarantine_count=0)
    ingest_here(source, full=True)
    assert QuarantinedRecord.objects.get().status == "open"
    assert verify() == []


def test_a_discarded_record_that_is_refused_again_stays_discarded() -> None:
    source = Listed([make_item("bad", price="x")])
    ingest_here(source)
    QuarantinedRecord.objects.update(status="discarded")
    Checkpoint.objects.update(open_quarantine_count=0)
    ingest_here(source, full=True)
    assert QuarantinedRecord.objects.get().status == "discarded"


def test_rows_of_a_batch_are_written_in_the_order_of_their_keys() -> None:
    ingest_here(Listed([make_item(f"k{number:03d}") for number in random.Random(3).sample(range(200), 200)]))
    assert fetch("SELECT external_id FROM unified_records ORDER BY id") == sorted(
        fetch("SELECT external_id FROM unified_records")
    )


def test_a_writer_in_key_order_never_deadlocks_with_a_batch(settings: Any) -> None:
    """Another session updates the same rows one by one in key order while batches update them."""
    keys = [f"k{number:03d}" for number in random.Random(4).sample(range(60), 60)]
    settings.ETL_BATCH_SIZE = 1  # so that the ids are not in key order
    ingest_here(Listed([make_item(key) for key in keys]))
    stop, trouble = threading.Event(), []

    def update_in_order() -> None:
        try:
            while not stop.is_set():
                with connection.cursor() as cursor:
                    cursor.execute("BEGIN")
                    for key in sorted(keys):
                        cursor.execute("UPDATE unified_records SET currency = currency WHERE external_id = %s", [key])
                    cursor.execute("COMMIT")
        except OperationalError as error:
            trouble.append(error)
        finally:
            connections.close_all()

    other = threading.Thread(target=update_in_order)
    other.start()
    retried: list[float] = []
    try:
        for number in range(25):
            started = start()
            read = reads.choose_read(started.checkpoint, f"content {number}", is_full=False)
            judged = judge_all(Listed(), [make_item(key, name=f"v{number}") for key in keys])
            known = find_stored(Listed(), judged, read_number=read.number, read_sequence=read.first_sequence)
            batch = classify(judged, Stored(known))
            reached = {"offset": 1, "position": 1}
            landing.land(started.claim, Listed(), read, batch, reached=reached, wait=retried.append)
            ending.end(started.claim, ending.failed(Reason.INTERNAL_ERROR, ""))
    finally:
        stop.set()
        other.join()
    assert (trouble, retried) == ([], [])


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (DatabaseError("server closed the connection unexpectedly"), True),
        (InterfaceError("connection already closed"), True),
        (OperationalError("could not connect"), True),
        (IntegrityError("duplicate key"), False),
        (locking.CheckpointLocked("locked"), False),
    ],
)
def test_a_lost_connection_is_transient_however_it_is_reported(error: Exception, expected: bool) -> None:
    assert is_transient(error) == expected


def test_a_source_without_records_is_read_to_its_end() -> None:
    assert ingest_here(Listed([])).status == "success"
    assert ingest_here(Listed([])).reason == "unchanged"


def test_a_batch_that_writes_nothing_raises_no_sequence() -> None:
    source = Listed([make_item(1)])
    ingest_here(source)
    ingest_here(source, full=True)
    assert Checkpoint.objects.get().sequence == 1


def test_a_row_lock_that_is_not_the_owners_only_delays_a_claim() -> None:
    start()
    end_lease()
    with connections["default"].copy().cursor() as other:
        other.execute("BEGIN")
        other.execute("SELECT 1 FROM ingestion_checkpoints FOR UPDATE")
        releaser = threading.Timer(0.6, lambda: other.execute("COMMIT"))
        releaser.start()
        start()
        releaser.join()
        other.connection.close()
