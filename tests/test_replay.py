"""Replaying refused records: each lands once, and no newer version is ever overwritten."""

import signal
import threading
from collections.abc import Iterator, Mapping
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import pytest
from django.contrib.auth.models import User
from django.db import OperationalError, connections
from django.db.backends.postgresql.base import DatabaseWrapper
from django.db.models.functions import Now

from etl import pipeline, replay
from etl.exceptions import NotFound, NotPossible
from etl.execution import executor
from etl.execution.executor import execute_here
from etl.execution.outcomes import Outcome
from etl.models import Checkpoint, QuarantinedRecord, RawApiRecord, Run, SchemaChange, UnifiedRecord
from etl.operations import quarantine
from etl.operations import runs as run_operations
from etl.operations.drift import acknowledge
from etl.readers.source import Source
from etl.records import Breach, UnifiedFields
from etl.reports.verification import verify
from etl.runs import orders, starting
from etl.runs.options import Options
from etl.sources import CsvSource, JsonLinesSource, setting
from etl.storage.refusal_selection import Selection
from etl.supervision.os_signals import Interruption
from etl.vocabulary import BreachCode, Trigger
from tests.factories import make_products, write_products
from tests.listed_source import Item, Listed, TimedItem, dump_raw, dump_unified, fetch, ingest_here, make_item
from tests.processes import Project, manage_here, wait_until
from tests.single_steps import COMMIT, count_writes, end_lease, start

pytestmark = pytest.mark.django_db(transaction=True)
EVERYTHING = Selection(everything=True)


class Fickle(Listed):
    """Refuses the names that a test lists, by its own code, so its contract's digest stays the same."""

    refused: ClassVar[set[str]] = set()
    message = "is refused"

    def unify(self, values: Mapping[str, Any]) -> UnifiedFields | Breach:
        if values["name"] in self.refused:
            return Breach(BreachCode.TOO_LONG, f"name {self.message}", "name")
        return Source.unify(self, values)


class TimedFickle(Fickle):
    name = "timed"
    contract = TimedItem
    unified = {**Listed.unified, "event_timestamp": "at"}


@pytest.fixture(autouse=True)
def sources(settings: Any) -> Iterator[None]:
    settings.ETL_SOURCES = ["tests.test_replay.Fickle", "tests.test_replay.TimedFickle"]
    yield
    Fickle.refused = set()


@pytest.fixture(autouse=True)
def unsettled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave refused records open that a read settles (tests/test_settlement.py): what a replay of them may replace.

    Such rows exist: refused before an upgrade, without an id, or by a source whose reads are not whole.
    """
    monkeypatch.setattr(pipeline, "settle_refused", lambda started, source, read, context, *, is_whole: read)


def read(*items: dict[str, Any], refusing: str = "bad", source: type[Fickle] = Fickle) -> None:
    """Do one read, in which names that begin with `refusing` are refused."""
    Fickle.refused = {item["name"] for item in items if item["name"].startswith(refusing)}
    assert ingest_here(source(items), full=True).status in ("success", "partial")
    Fickle.refused = set()


def replay_now(selection: Selection = EVERYTHING, source: type[Fickle] = Fickle) -> Outcome:
    return execute_here(
        source(), Options(selection=selection), interruption=Interruption(), report=lambda progress: None
    )


def one(name: str, **more: Any) -> dict[str, Any]:
    """Make a version of the one record in these tests."""
    return make_item(1, name=name, **more)


def stored(source: str = "listed") -> list[str]:
    return [row[1] for row in dump_unified(source)]


def statuses() -> list[str]:
    return list(QuarantinedRecord.objects.order_by("pk").values_list("status", flat=True))


def ids() -> list[int]:
    return list(QuarantinedRecord.objects.order_by("pk").values_list("pk", flat=True))


def count(outcome: Outcome) -> dict[str, int]:
    return {name: number for name, number in outcome.counters.items() if number and name != "seen"}


def test_a_replayed_record_lands_once() -> None:
    read(one("bad"))
    first, second = replay_now(), replay_now()
    assert (first.status, count(first), second.counters["seen"]) == ("success", {"new": 1}, 0)
    row = QuarantinedRecord.objects.get()
    raw = RawApiRecord.objects.get()
    assert (row.status, row.raw_id, raw.run_id, stored()) == ("replayed", raw.pk, first.run, ["bad"])
    assert Checkpoint.objects.get().open_quarantine_count == 0
    assert verify() == []


def test_a_record_that_is_refused_again_keeps_its_row_with_the_new_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    read(one("bad"))
    before = QuarantinedRecord.objects.get()
    Fickle.refused = {"bad"}
    monkeypatch.setattr(Fickle, "message", "is refused for another reason")
    outcome = replay_now()
    after = QuarantinedRecord.objects.get()
    assert (outcome.status, outcome.reason, count(outcome)) == ("partial", "records_refused", {"quarantined": 1})
    assert (after.status, after.message) == ("open", "name is refused for another reason")
    assert (after.pk, after.run_id, after.created_at) == (before.pk, before.run_id, before.created_at)
    assert after.updated_at > before.updated_at
    assert verify() == []


def test_a_record_that_cannot_be_revived_stays_open_for_its_old_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    read(one("bad"))
    monkeypatch.setattr(Fickle, "revive", lambda self, kept: None)
    assert count(replay_now()) == {"quarantined": 1}
    row = QuarantinedRecord.objects.get()
    assert (row.status, row.message, row.code, row.column_name) == ("open", "name is refused", "too_long", "name")


@pytest.mark.parametrize("in_one_read", [True, False])
def test_a_version_that_is_newer_by_its_time_is_never_overwritten(in_one_read: bool) -> None:
    old, new = one("bad", at="2026-01-01T00:00:00Z"), one("good", at="2026-02-01T00:00:00Z")
    for items in [(old, new)] if in_one_read else [(old,), (new,)]:
        read(*items, source=TimedFickle)
    assert count(replay_now(source=TimedFickle)) == {"duplicate": 1}
    assert (stored("timed"), statuses()) == (["good"], ["replayed"])


@pytest.mark.parametrize("in_one_read", [True, False])
def test_a_version_that_is_older_by_its_time_is_replaced(in_one_read: bool) -> None:
    old, new = one("good", at="2026-01-01T00:00:00Z"), one("bad", at="2026-02-01T00:00:00Z")
    for items in [(new, old)] if in_one_read else [(new,), (old,)]:
        read(*items, source=TimedFickle)
    assert count(replay_now(source=TimedFickle)) == {"updated": 1}
    assert stored("timed") == ["bad"]


@pytest.mark.parametrize(("second", "expected"), [("bad", "updated"), ("other", "duplicate")])
def test_at_an_equal_time_the_last_read_decides(second: str, expected: str) -> None:
    time = "2026-01-01T00:00:00Z"
    read(one("good", at=time), source=TimedFickle)
    read(one("bad", at=time), *([one("other", at=time)] if second == "other" else []), source=TimedFickle)
    assert count(replay_now(source=TimedFickle)) == {expected: 1}


@pytest.mark.parametrize("items", [("good", "bad"), ("bad", "good")])
@pytest.mark.parametrize("is_stored_before", [True, False])
def test_without_times_a_record_that_the_last_read_accepted_stays(
    items: tuple[str, str], is_stored_before: bool
) -> None:
    """The accepted version may come before or after the refused one, and be newly written or unchanged."""
    if is_stored_before:
        read(one("good"))
    read(*map(one, items))
    assert count(replay_now()) == {"duplicate": 1}
    assert (stored(), statuses(), len(dump_raw("listed"))) == (["good"], ["replayed"], 1)
    assert verify() == []


def test_without_times_a_record_that_the_last_read_refused_replaces_an_older_version() -> None:
    read(one("good"))
    read(one("bad"))
    assert count(replay_now()) == {"updated": 1}
    assert stored() == ["bad"]
    assert verify() == []


def test_without_times_a_record_that_an_older_read_refused_replaces_nothing() -> None:
    read(one("good"))
    read(one("bad"))
    read(make_item(2))
    assert count(replay_now()) == {"duplicate": 1}
    assert stored() == ["good", "Thing"]


def test_a_record_that_is_not_stored_lands_from_any_read() -> None:
    read(one("bad"))
    read(make_item(2))
    assert count(replay_now()) == {"new": 1}
    assert stored() == ["bad", "Thing"]


SIZES = pytest.mark.parametrize("size", [1, 2, 100])


@SIZES
def test_the_newest_of_several_reads_counts(settings: Any, size: int) -> None:
    for name in ("bad 1", "bad 2"):
        read(one(name))
    read(make_item(2))
    settings.ETL_BATCH_SIZE = size
    assert count(replay_now()) == {"new": 1, "duplicate": 1}
    assert stored() == ["bad 2", "Thing"]


@SIZES
def test_the_first_record_of_the_last_read_counts(settings: Any, size: int) -> None:
    read(one("bad 1"), one("bad 2"))
    settings.ETL_BATCH_SIZE = size
    assert count(replay_now()) == {"new": 1, "duplicate": 1}
    assert stored() == ["bad 1"]


@SIZES
def test_a_refusal_that_the_last_read_found_counts_even_if_recorded_earlier(settings: Any, size: int) -> None:
    for name in ("bad 1", "bad 2", "bad 1"):
        read(one(name))
    settings.ETL_BATCH_SIZE = size
    replay_now()
    assert stored() == ["bad 1"]


@SIZES
def test_an_unchanged_record_counts_as_accepted_for_later_pages(settings: Any, size: int) -> None:
    read(one("bad"), refusing="none")
    read(one("bad"), one("bad too"))
    settings.ETL_BATCH_SIZE = size
    assert count(replay_now()) == {"unchanged": 1, "duplicate": 1}
    assert stored() == ["bad"]


@pytest.mark.parametrize("is_older_first", [True, False])
def test_the_last_read_counts_in_any_order_of_replays(is_older_first: bool) -> None:
    read(one("bad 1"))
    read(one("bad 2"))
    outcomes = [replay_now(Selection(ids=(row,))) for row in (ids() if is_older_first else ids()[::-1])]
    # The newer one settles the older one too, so that nothing is left to replay.
    assert [*map(count, outcomes)] == [{"new": 1}, {"updated": 1} if is_older_first else {}]
    assert stored() == ["bad 2"]
    assert verify() == []


def test_a_replay_of_a_stored_record_writes_nothing() -> None:
    read(one("bad"), refusing="none")
    read(one("bad"))
    before = count_writes()
    assert count(replay_now()) == {"unchanged": 1}
    assert [row for row in count_writes() if row[0] != "etl_quarantine"] == [
        row for row in before if row[0] != "etl_quarantine"
    ]
    assert statuses() == ["replayed"]


def test_a_replayed_record_equals_the_one_that_a_read_gives() -> None:
    read(one("bad", price="1.50"))
    replay_now()
    outcome = ingest_here(Fickle([one("bad", price="1.50")]), full=True)
    assert count(outcome) == {"unchanged": 1}


class FickleCsv(CsvSource):
    name = "fickle"
    path = setting("PRODUCTS_CSV")
    every = timedelta(hours=1)
    contract = Item
    unified = Listed.unified
    unify = Fickle.unify
    refused: ClassVar[set[str]] = {"bad"}
    message = "is refused"


class FickleLines(JsonLinesSource):
    name = "fickle"
    path = setting("PRODUCTS_CSV")
    every = timedelta(hours=1)
    contract = Item
    unified = Listed.unified
    unify = Fickle.unify
    refused: ClassVar[set[str]] = {"bad"}
    message = "is refused"


@pytest.mark.parametrize(
    ("source", "text"),
    [
        (FickleCsv(), 'id,name,price,more\n1,bad,1.50," \x00ä""\n"\n'),
        (FickleLines(), '{"price": 1.50, "id":"1","name":"bad", "more": ["\\u0000\\ud800", 1e999, {"b":1,"a":-0}]}'),
    ],
)
def test_a_replayed_record_has_the_content_that_a_read_finds(
    settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: Any, text: str
) -> None:
    path = tmp_path / "things"
    path.write_text(text)
    settings.PRODUCTS_CSV = str(path)
    assert count(ingest_here(source)) == {"quarantined": 1}
    monkeypatch.setattr(type(source), "refused", set())
    outcome = execute_here(
        source, Options(selection=EVERYTHING), interruption=Interruption(), report=lambda progress: None
    )
    assert count(outcome) == {"new": 1}
    assert count(ingest_here(source, full=True)) == {"unchanged": 1}


def test_a_replay_changes_nothing_that_the_next_read_compares_with() -> None:
    items = [one("bad"), make_item(2)]
    read(*items)
    kept = ("fingerprint", "validators", "cursor", "is_reading", "read_number", "read_sequence", "read_shape")
    before = Checkpoint.objects.values(*kept).get()
    replay_now()
    assert Checkpoint.objects.values(*kept).get() == before
    assert ingest_here(Fickle(items)).reason == "unchanged"


def test_replayed_records_have_a_new_sequence() -> None:
    read(one("bad"), make_item(2))
    before = Checkpoint.objects.get().sequence
    replay_now()
    assert Checkpoint.objects.get().sequence == before + 1
    assert UnifiedRecord.objects.get(external_id="1").sequence == before + 1


def test_only_selected_records_are_replayed() -> None:
    read(make_item(1, name="bad"), make_item(2, name="bad"), make_item(3, name="bad"))
    replay_now(Selection(ids=(ids()[1],)))
    assert statuses() == ["open", "replayed", "open"]


def test_a_commit_whose_response_was_lost_lands_once(monkeypatch: pytest.MonkeyPatch) -> None:
    read(one("bad"), make_item(2, name="bad 2"))
    for lost_one in range(1, 9):
        commits: list[Any] = []

        def commit_and_lose_one_answer(self: Any, commits: list[Any] = commits, lost_one: int = lost_one) -> None:
            COMMIT(self)
            commits.append(self)
            if len(commits) == lost_one:
                self.connection.close()
                raise OperationalError("server closed the connection unexpectedly")

        QuarantinedRecord.objects.update(status="open")
        Checkpoint.objects.update(open_quarantine_count=2)
        with monkeypatch.context() as patch:
            patch.setattr(DatabaseWrapper, "_commit", commit_and_lose_one_answer)
            outcome = replay_now()
        assert (outcome.status, outcome.counters["seen"]) == ("success", 2), lost_one
        assert len(commits) >= min(lost_one, 5)
        assert (len(dump_raw("listed")), stored()) == (2, ["bad", "bad 2"])
        assert verify() == []


def test_an_overtaken_replay_writes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    read(one("bad"))
    prepare = replay._prepare

    def prepare_and_be_overtaken(*args: Any) -> Any:
        page = prepare(*args)
        if Run.objects.filter(trigger="replay").count() == 1:
            end_lease()
            start()
        return page

    monkeypatch.setattr(replay, "_prepare", prepare_and_be_overtaken)
    outcome = replay_now()
    assert (outcome.status, outcome.reason) == ("failed", "abandoned")
    assert (stored(), statuses()) == ([], ["open"])


def test_a_record_that_is_discarded_while_its_page_is_prepared_does_not_land(monkeypatch: pytest.MonkeyPatch) -> None:
    read(make_item(1, name="bad"), make_item(2, name="bad"))
    prepare = replay._prepare

    def prepare_and_discard(*args: Any) -> Any:
        page = prepare(*args)
        if "discarded" not in statuses():
            quarantine.discard_one(ids()[0], by="a test")
        return page

    monkeypatch.setattr(replay, "_prepare", prepare_and_discard)
    assert count(replay_now()) == {"new": 1}
    assert statuses() == ["discarded", "replayed"]
    assert [row[0] for row in dump_unified("listed")] == ["2"]
    assert verify() == []


def leave_a_read_open() -> None:
    """Leave a read that was interrupted after its first batch."""
    Checkpoint.objects.update(is_reading=True, cursor={"position": 1, "offset": 1})


def test_a_replay_in_a_worker_waits_for_an_open_read() -> None:
    read(one("bad"))
    leave_a_read_open()
    orders.queue("listed", trigger=Trigger.API, by="a test")
    (run,) = quarantine.replay(EVERYTHING, by="a test")
    waits = []
    for _ in range(3):
        Run.objects.filter(pk=run.pk).update(not_before=None)
        executor.execute_queued(run.pk)
        run.refresh_from_db()
        assert (run.status, statuses()) == ("queued", ["open"])
        assert run.not_before is not None
        waits.append(run.not_before - Run.objects.values_list(Now(), flat=True)[0])
    assert waits == sorted(waits)
    assert "Read 1 of listed is open" in run.events.filter(kind="handed_over").latest("pk").message


def test_asking_for_a_replay_says_that_it_waits_for_an_open_read() -> None:
    read(one("bad"))
    leave_a_read_open()
    orders.queue("listed", trigger=Trigger.API, by="a test")
    runs = quarantine.replay(EVERYTHING, by="a test")
    expected = "Read 1 of listed is open: the replay waits until a run has finished it."
    assert quarantine.describe_waits(runs) == expected


def test_a_replay_is_refused_while_a_read_is_open_that_no_run_will_finish() -> None:
    read(one("bad"))
    leave_a_read_open()
    for ask in (lambda: quarantine.replay(EVERYTHING, by="a test"), lambda: quarantine.replay_one(ids()[0], by="")):
        with pytest.raises(NotPossible, match=r"no run is queued to finish it\. Run `manage\.py ingest listed`"):
            ask()
    assert not Run.objects.filter(trigger="replay").exists()


def test_a_queued_replay_whose_open_read_no_run_will_finish_ends() -> None:
    read(one("bad"))
    (run,) = quarantine.replay(EVERYTHING, by="a test")
    leave_a_read_open()
    executor.execute_queued(run.pk)
    run.refresh_from_db()
    assert (run.status, run.reason, statuses()) == ("failed", "read_open", ["open"])


def test_the_end_of_a_read_wakes_the_replays_that_wait_for_it() -> None:
    read(one("bad"))
    (run,) = quarantine.replay(EVERYTHING, by="a test")
    Run.objects.update(not_before="2100-01-01T00:00:00Z")
    ingest_here(Fickle([make_item(2)]))
    run.refresh_from_db()
    assert run.not_before is None


def test_a_replay_in_a_terminal_fails_while_a_read_is_open() -> None:
    read(one("bad"))
    leave_a_read_open()
    outcome = replay_now()
    assert (outcome.status, outcome.reason, statuses()) == ("failed", "read_open", ["open"])


def test_a_replay_that_was_handed_over_resumes_after_its_last_page(settings: Any) -> None:
    items = [make_item(number, name="bad" if number % 2 else "bad again") for number in range(6)]
    read(*items)
    settings.ETL_BATCH_SIZE, settings.ETL_TASK_SECONDS = 2, 0
    Fickle.refused = {"bad again"}
    (run,) = quarantine.replay(EVERYTHING, by="a test")
    for _ in range(4):
        executor.execute_queued(run.pk)
    run.refresh_from_db()
    assert (run.status, run.seen, run.new, run.quarantined) == ("partial", 6, 3, 3)
    assert run.events.filter(kind="handed_over").count() == 3
    assert verify() == []


def test_a_read_that_abandons_a_replay_leaves_it_to_a_successor() -> None:
    read(one("bad"))
    (run,) = quarantine.replay(EVERYTHING, by="a test")
    assert isinstance(starting.start_queued(run), starting.Started)
    end_lease()
    ingest_here(Fickle([make_item(2)]))
    run.refresh_from_db()
    successor = Run.objects.get(key=f"successor:{run.pk}")
    assert (run.reason, successor.trigger, successor.options) == ("abandoned", "replay", run.options)
    executor.execute_queued(successor.pk)
    assert statuses() == ["replayed"]


def test_a_replay_that_abandons_a_full_read_leaves_it_to_a_successor() -> None:
    read(one("bad"))
    full = orders.queue("listed", key="full", trigger=Trigger.API, by="a test", options=Options(full=True))
    assert isinstance(starting.start_queued(full), starting.Started)
    end_lease()
    replay_now()
    assert Run.objects.get(key=f"successor:{full.pk}").options == {"full": True}
    assert statuses() == ["replayed"]


def test_two_replays_at_once_land_each_record_once() -> None:
    read(*(make_item(number, name="bad") for number in range(30)))
    queued = [run for _ in range(4) for run in quarantine.replay(EVERYTHING, by="a test")]
    assert len({run.pk for run in queued}) == 4

    def work() -> None:
        try:
            for run in queued:
                executor.execute_queued(run.pk)
        finally:
            connections.close_all()

    workers = [threading.Thread(target=work) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert (len(dump_raw("listed")), set(statuses())) == (30, {"replayed"})
    assert sum(Run.objects.filter(trigger="replay").values_list("new", flat=True)) == 30
    assert verify() == []


def test_asking_twice_for_one_record_gives_one_run() -> None:
    read(one("bad"))
    (row,) = ids()
    first, second = (quarantine.replay_one(row, by="a test") for _ in range(2))
    assert first.pk == second.pk
    assert (first.trigger, first.options) == ("replay", {"selection": {"ids": [row]}})


def test_a_record_that_was_refused_again_may_be_replayed_again() -> None:
    read(one("bad"))
    (row,) = ids()
    Fickle.refused = {"bad"}
    first = quarantine.replay_one(row, by="a test")
    executor.execute_queued(first.pk)
    assert quarantine.replay_one(row, by="a test").pk != first.pk


def test_a_record_whose_run_was_cancelled_may_be_replayed_again() -> None:
    read(one("bad"))
    (row,) = ids()
    first = quarantine.replay_one(row, by="a test")
    run_operations.cancel(first.pk, by="a test")
    second, third = (quarantine.replay_one(row, by="a test") for _ in range(2))
    assert (second.pk != first.pk, second.pk == third.pk) == (True, True)


def test_a_record_that_is_not_open_is_neither_replayed_nor_discarded() -> None:
    read(one("bad"))
    (row,) = ids()
    replay_now()
    for ask in (quarantine.replay_one, quarantine.discard_one):
        with pytest.raises(NotPossible, match=rf"^Record {row} is replayed already\.$"):
            ask(row, by="a test")
        with pytest.raises(NotFound, match=r"^There is no quarantined record 0\.$"):
            ask(0, by="a test")


def test_the_user_is_stored_with_landed_and_discarded_records() -> None:
    user = User.objects.create_user("ann")
    read(make_item(1, name="bad"), make_item(2, name="bad"))
    first, second = ids()
    executor.execute_queued(quarantine.replay_one(first, by="ann", user_id=user.pk).pk)
    quarantine.discard_one(second, by="ann", user_id=user.pk)
    assert set(QuarantinedRecord.objects.values_list("resolved_by", flat=True)) == {user.pk}


def test_a_replay_of_a_deleted_user_lands() -> None:
    user = User.objects.create_user("ann")
    read(one("bad"))
    run = quarantine.replay_one(ids()[0], by="ann", user_id=user.pk)
    user.delete()
    executor.execute_queued(run.pk)
    assert statuses() == ["replayed"]


def test_a_replay_queues_a_run_for_each_source() -> None:
    read(one("bad"))
    read(one("bad", at="2026-01-01T00:00:00Z"), source=TimedFickle)
    queued = quarantine.replay(Selection(code="too_long"), by="a test")
    assert [(run.source, run.options) for run in queued] == [
        ("listed", {"selection": {"code": "too_long"}}),
        ("timed", {"selection": {"code": "too_long"}}),
    ]


def test_discarding_keeps_the_count_correct_and_discarded_records_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quarantine, "DISCARD_ROWS", 2)
    items = [make_item(number, name="bad") for number in range(5)]
    read(*items)
    assert quarantine.discard(Selection(source="listed"), by="a test") == 5
    assert Checkpoint.objects.get().open_quarantine_count == 0
    read(*items)
    assert (set(statuses()), replay_now().counters["seen"]) == ({"discarded"}, 0)
    assert verify() == []


def test_a_selection_without_criteria_is_an_error() -> None:
    with pytest.raises(ValueError):
        Selection()
    with pytest.raises(ValueError):
        Selection(ids=(1,), everything=True)


@pytest.mark.parametrize(
    "selection",
    [EVERYTHING, Selection(ids=(1, 2), source="s"), Selection(code="c", run=3), Selection(awaits=("a", "b"))],
)
def test_a_selection_survives_json(selection: Selection) -> None:
    assert Selection.from_json(selection.as_json()) == selection


def test_only_the_first_acknowledgement_of_a_change_counts() -> None:
    ann, bob = (User.objects.create_user(name) for name in ("ann", "bob"))
    read(*(make_item(number) for number in range(3)))
    read(*(make_item(number, more="x") for number in range(3)))
    (change,) = SchemaChange.objects.all()
    first, second = (acknowledge(change.pk, user_id=user.pk) for user in (ann, bob))
    assert (first.acknowledged_by, second.acknowledged_by) == (ann, ann)
    assert first.acknowledged_at == second.acknowledged_at
    with pytest.raises(NotFound):
        acknowledge(0, user_id=ann.pk)


COUNT = 3_000
ANY_PRICE = {"ETL_SOURCES": "tests.worker_sources.AnyPriceProducts"}


def refuse_products(project: Project, number: int = COUNT) -> None:
    path = write_products(
        project.folder / "products.csv", ((i, n, c, "free", x) for i, n, c, _, x in make_products(number))
    )
    lenient = "tests.worker_sources.LenientProducts"
    project.environment |= {"PRODUCTS_CSV": str(path), "ETL_BATCH_SIZE": "1000", "ETL_SOURCES": lenient}
    project.ingest("products_csv")
    project.environment |= {"ETL_BATCH_SIZE": "20", **ANY_PRICE}


def count_replayed() -> int:
    return QuarantinedRecord.objects.filter(status="replayed").count()


def has_replayed(number: int) -> bool:
    return count_replayed() >= number


def assert_replayed_once(number: int = COUNT) -> None:
    assert [(int(row[0]), row[1]) for row in dump_raw("products_csv")] == [(i, i) for i in range(1, number + 1)]
    assert len(dump_unified("products_csv")) == count_replayed() == number
    ((seen, new),) = fetch("SELECT sum(seen)::int, sum(new)::int FROM etl_runs WHERE trigger = 'replay'")
    assert (seen, new) == (number, number)
    assert verify() == []


def test_a_replay_killed_in_the_middle_and_repeated_lands_each_record_once(project: Project) -> None:
    refuse_products(project)
    for killed_at in (100, 200, 300):
        process = project.start("quarantine", "replay", "--all")
        wait_until(partial(has_replayed, killed_at))
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert count_replayed() < COUNT
    done = project.run("quarantine", "replay", "--source", "products_csv", "--json")
    assert done.returncode == 0, done.stderr
    assert_replayed_once()


def test_two_replays_in_two_processes_land_each_record_once(project: Project) -> None:
    refuse_products(project, 600)
    both = [project.start("quarantine", "replay", "--all") for _ in range(2)]
    assert sorted(process.wait(60) for process in both) in ([0, 0], [0, 4])
    assert_replayed_once(600)


def test_a_cancelled_replay_stops_within_one_page(project: Project) -> None:
    refuse_products(project)
    process = project.start("quarantine", "replay", "--all", "--json")
    wait_until(lambda: count_replayed() >= 100)
    project.run("runs", str(Run.objects.get(status="running").pk), "--cancel")
    output, errors = process.communicate(timeout=60)
    assert '"reason": "cancelled"' in output, errors
    assert count_replayed() < COUNT
    assert project.run("quarantine", "replay", "--all").returncode == 0
    assert_replayed_once()


def test_the_samples_refused_records_are_replayed_and_discarded_by_command(project: Project) -> None:
    project.ingest("products_csv", "vendors_csv")
    project.environment |= ANY_PRICE
    again = project.run("quarantine", "replay", "--source", "products_csv")
    assert again.returncode == 3
    assert [row[0] for row in dump_unified("products_csv")] == ["1", "2", "3", "4"]
    gone = project.run("quarantine", "replay", "--all")
    assert gone.returncode == 1
    assert "No longer in ETL_SOURCES: vendors_csv." in gone.stderr
    assert project.run("quarantine", "discard", "--all").stdout == "3 records were discarded.\n"
    assert project.run("quarantine", "replay", "--all").returncode == 0
    assert project.run("verify").returncode == 0


def test_a_queued_replay_is_left_to_a_worker(project: Project) -> None:
    project.ingest("products_csv")
    done = project.run("quarantine", "replay", "--all", "--queue", "--json")
    assert (done.returncode, '"status": "queued"' in done.stdout) == (0, True)
    assert Run.objects.get(trigger="replay").options == {"selection": {}}


@pytest.mark.parametrize(
    ("arguments", "status", "text"),
    [
        ((), 2, "or give --all"),
        (("7", "--all"), 2, "or give --all"),
        (("--source", "nonsense"), 2, "Unknown source: nonsense"),
        (("--code", "nonsense"), 2, "invalid choice"),
        (("--run", "99"), 2, "There is no run 99."),
        (("99",), 1, "There is no quarantined record 99."),
        (("--all",), 0, ""),
    ],
)
@pytest.mark.parametrize("action", ["replay", "discard"])
def test_a_wrong_selection_gives_one_sentence(
    capsys: pytest.CaptureFixture[str], action: str, arguments: tuple[str, ...], status: int, text: str
) -> None:
    done = manage_here(capsys, "quarantine", action, *arguments)
    assert (done.returncode, text in done.stderr) == (status, True), done.stderr
