"""Laws 1, 4 and 6 for what vanished: what a complete read lacked is removed once, and nothing else is."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings

from api import record_queries
from etl import landing
from etl.exceptions import HandedOver, LeaseLost
from etl.execution.executor import execute_here, execute_queued
from etl.gates import Gates
from etl.models import Checkpoint, JudgedRead, QuarantinedRecord, Run, RunEvent, UnifiedRecord
from etl.operations.reads import accept
from etl.read_context import ReadContext
from etl.readers.content import Content, Opening
from etl.records import Breach, UnifiedFields
from etl.reports.verification import verify
from etl.runs import orders
from etl.runs.options import Options
from etl.storage import vanished
from etl.storage.refusal_selection import Selection
from etl.supervision.os_signals import Interruption
from etl.vocabulary import BreachCode, Trigger
from tests.laws.test_drift_delivery import CutListed
from tests.listed_source import (
    Listed,
    ListedContent,
    TimedListed,
    dump_landed,
    dump_raw,
    dump_unified,
    fetch,
    ingest_here,
    make_item,
)
from tests.shop.models import Thing
from tests.shop.sources import CompleteThings

pytestmark = pytest.mark.django_db(transaction=True)

Item = dict[str, Any]


class Complete(Listed):
    """Each read of it has all of its records."""

    complete: ClassVar[bool] = True


KINDS = pytest.mark.parametrize("kind", [Complete, CompleteThings], ids=["unified", "target"])
"""The law holds for the unified table, and for a team's own model from which vanished records are deleted."""


class CutComplete(CutListed, Complete):
    """Its content breaks off."""


class TimedComplete(TimedListed, Complete):
    """Its records have a time."""

    name = "listed"


class Mending(Complete):
    """Refuses records with the name `bad` until it is fixed."""

    is_mended = False

    def unify(self, values: Mapping[str, Any]) -> UnifiedFields | Breach:
        if values["name"] == "bad" and not self.is_mended:
            return Breach(BreachCode.BLANK, "bad", "name")
        return super().unify(values)


class Mended(Mending):
    is_mended = True


def make_items(*numbers: object, **more: Any) -> list[Item]:
    return [make_item(number, **more) for number in numbers]


def list_removed() -> list[str]:
    removed = UnifiedRecord.objects.filter(removed_at__isnull=False).order_by("external_id")
    return list(removed.values_list("external_id", flat=True))


def read_counts() -> tuple[int, int]:
    return Checkpoint.objects.values_list("record_count", "removed_count").get()


def sum_removed() -> int:
    return sum(Run.objects.values_list("removed", flat=True))


@pytest.fixture(autouse=True)
def small_batches(settings: Settings) -> None:
    settings.ETL_BATCH_SIZE = 2


@KINDS
def test_what_a_complete_read_lacked_is_removed_and_counted(kind: type[Listed]) -> None:
    ingest_here(kind(make_items(*range(6))))
    outcome = ingest_here(kind(make_items(0, 2, 5)))
    assert list_removed() == ["1", "3", "4"]
    assert (outcome.counters["removed"], outcome.counters["unchanged"], read_counts()) == (3, 3, (3, 3))
    assert verify() == []


def test_the_rows_of_a_removed_record_stay() -> None:
    ingest_here(Complete(make_items(1, 2)))
    ingest_here(Complete(make_items(1)))
    assert (len(dump_unified("listed")), len(dump_raw("listed"))) == (2, 2)


def test_a_source_that_is_not_complete_removes_nothing() -> None:
    ingest_here(Listed(make_items(1, 2)))
    ingest_here(Listed(make_items(1)))
    assert list_removed() == []


def test_what_is_removed_already_is_not_removed_again() -> None:
    ingest_here(Complete(make_items(1, 2, 3)))
    ingest_here(Complete(make_items(1, 2)))
    before = UnifiedRecord.objects.values().get(external_id="3")
    outcome = ingest_here(Complete(make_items(1)))
    assert (outcome.counters["removed"], list_removed()) == (1, ["2", "3"])
    assert UnifiedRecord.objects.values().get(external_id="3") == before


def test_a_cut_read_removes_nothing() -> None:
    ingest_here(Complete(make_items(*range(8))))
    ingest_here(CutComplete(make_items(0, 1, 2, 3), cut=2))
    assert (list_removed(), read_counts()) == ([], (8, 0))


def test_a_cut_read_that_another_run_ends_removes_what_both_lacked() -> None:
    ingest_here(Complete(make_items(*range(8))))
    changed = [*make_items(0, name="Changed"), *make_items(1, 2, 3)]
    ingest_here(CutComplete(changed, cut=2))
    outcome = ingest_here(Complete(changed))
    assert (list_removed(), outcome.counters["removed"]) == (["4", "5", "6", "7"], 4)


def test_a_cut_read_of_other_content_takes_no_part_in_the_next_one() -> None:
    ingest_here(Complete(make_items(*range(4))))
    ingest_here(CutComplete(make_items(0, 1, 2, 3, 4), cut=2))
    ingest_here(Complete(make_items(2, 3)))
    assert list_removed() == ["0", "1"]


class Unproven(Complete):
    """Nothing proves the end of its content."""

    @contextmanager
    def open(self, opening: Opening, context: ReadContext) -> Iterator[Content | None]:
        with super().open(opening, context) as content:
            assert isinstance(content, ListedContent)
            content.is_proven = False
            yield content


def test_a_read_whose_end_is_not_proven_removes_nothing() -> None:
    ingest_here(Complete(make_items(0, 1, 2, 3)))
    outcome = ingest_here(Unproven(make_items(0, 1, 2)))
    assert (outcome.status, list_removed(), read_counts()) == ("success", [], (4, 0))
    assert ingest_here(Complete(make_items(0, 1, 2))).counters["removed"] == 1


class Gated(Complete):
    gates = Gates()


SENT: list[Gated] = []


def find_sent() -> list[Gated]:
    return SENT[-1:]


def test_what_a_handed_over_run_has_added_was_not_there_before(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.ETL_SOURCES = ["tests.laws.test_removals.find_sent"]
    ingest_here(Gated(make_items(*range(10))))
    SENT.append(Gated(make_items(*range(20, 30))))
    waiting = orders.queue("listed", trigger=Trigger.COMMAND, by="a test", key="full", options=Options(full=True))
    hand_over_after(monkeypatch, 3)
    execute_queued(waiting.pk)
    assert list(Run.objects.filter(pk=waiting.pk).values_list("status", "new")) == [("queued", 6)]
    outcome = ingest_here(SENT[-1])
    assert (outcome.reason, outcome.counters["new"], outcome.counters["removed"]) == ("shrunken", 4, 0)


def hand_over_after(monkeypatch: pytest.MonkeyPatch, batches: int) -> None:
    land, left = landing.land, iter(range(batches, -1, -1))

    def land_and_hand_over(*args: Any, **options: Any) -> Any:
        if not next(left):
            monkeypatch.undo()
            raise HandedOver("the task's time is up")
        return land(*args, **options)

    monkeypatch.setattr(landing, "land", land_and_hand_over)


@pytest.mark.parametrize("sent", [(0,), (0, 8, 9)])
def test_a_read_that_lacks_most_records_is_held_and_removes_nothing(sent: Sequence[int]) -> None:
    """In the second case there are enough records, but most of the stored ones are not among them."""
    ingest_here(Gated(make_items(0, 1, 2, 3)))
    outcome = ingest_here(Gated(make_items(*sent)))
    assert (outcome.status, outcome.reason, list_removed()) == ("partial", "shrunken", [])
    assert verify() == []


def test_a_held_read_that_is_accepted_removes_what_it_lacked(settings: Settings) -> None:
    settings.ETL_SOURCES = [f"{__name__}.Gated"]
    ingest_here(Gated(make_items(0, 1, 2, 3)))
    ingest_here(Gated(make_items(0)))
    accept(JudgedRead.objects.latest("pk").pk, by="a test", user_id=None, trigger=Trigger.COMMAND)
    assert ingest_here(Gated(make_items(0))).counters["removed"] == 3
    assert (list_removed(), read_counts(), verify()) == (["1", "2", "3"], (1, 3), [])


def test_an_empty_read_that_is_accepted_removes_everything(settings: Settings) -> None:
    settings.ETL_SOURCES = [f"{__name__}.Gated"]
    ingest_here(Gated(make_items(0, 1, 2, 3)))
    assert ingest_here(Gated([])).reason == "suddenly_empty"
    accept(JudgedRead.objects.latest("pk").pk, by="a test", user_id=None, trigger=Trigger.COMMAND)
    assert ingest_here(Gated([])).counters["removed"] == 4
    assert (read_counts(), verify()) == ((0, 4), [])
    assert ingest_here(Gated(make_items(2))).counters["updated"] == 1


def test_an_empty_read_removes_nothing() -> None:
    ingest_here(Complete(make_items(1, 2)))
    ingest_here(Complete([]))
    assert list_removed() == []


# --- records that return ---------------------------------------------------------------------------


@KINDS
def test_a_record_that_returns_as_it_was_counts_as_updated_and_writes_no_raw_row(kind: type[Listed]) -> None:
    ingest_here(kind(make_items(1, 2)))
    ingest_here(kind(make_items(1)))
    outcome = ingest_here(kind(make_items(1, 2)), full=True)
    assert (outcome.counters["updated"], outcome.counters["unchanged"]) == (1, 1)
    assert (list_removed(), read_counts(), len(dump_raw("listed"))) == ([], (2, 0), 2)
    assert verify() == []


@KINDS
def test_a_record_that_returns_changed_writes_a_raw_row(kind: type[Listed]) -> None:
    ingest_here(kind(make_items(1, 2)))
    ingest_here(kind(make_items(1)))
    outcome = ingest_here(kind([make_item(1), make_item(2, name="Back")]))
    assert (outcome.counters["updated"], len(dump_raw("listed"))) == (1, 3)
    assert dump_landed(kind())[1][:2] == ("2", "Back")
    assert (list_removed(), verify()) == ([], [])


@KINDS
def test_a_record_that_returns_twice_in_a_read_counts_once(kind: type[Listed]) -> None:
    ingest_here(kind(make_items(1, 2)))
    ingest_here(kind(make_items(1)))
    outcome = ingest_here(kind(make_items(2, 2, 1, 2)))
    assert (outcome.counters["updated"], outcome.counters["duplicate"], read_counts()) == (1, 2, (2, 0))


def test_a_record_returns_even_with_an_older_time() -> None:
    ingest_here(TimedComplete(make_items(1, 2, at="2026-02-01T00:00:00Z")))
    ingest_here(TimedComplete(make_items(1, at="2026-02-01T00:00:00Z")))
    older = make_item(2, at="2026-01-01T00:00:00Z", name="Older")
    ingest_here(TimedComplete([*make_items(1, at="2026-02-01T00:00:00Z"), older]))
    assert (list_removed(), dump_unified("listed")[1][1]) == ([], "Older")


@KINDS
def test_a_source_whose_records_were_all_removed_finds_them_again(kind: type[Listed]) -> None:
    ingest_here(kind(make_items(1, 2)))
    fetch("UPDATE unified_records SET removed_at = now() RETURNING 1")
    Checkpoint.objects.update(record_count=0, removed_count=2)
    outcome = ingest_here(kind(make_items(1, 2, 3)))
    assert (outcome.counters["updated"], outcome.counters["new"], read_counts()) == (2, 1, (3, 0))


def test_a_removed_record_can_be_replayed_from_quarantine() -> None:
    ingest_here(Mending(make_items(1, 2)))
    ingest_here(Mending([make_item(1), make_item(2, name="bad")]))
    ingest_here(Mending(make_items(1)))
    assert list_removed() == ["2"]
    gone = Options(selection=Selection(ids=(QuarantinedRecord.objects.get().pk,)))
    execute_here(Mended(), gone, interruption=Interruption(), report=lambda progress: None)
    assert (list_removed(), read_counts(), verify()) == ([], (2, 0), [])


# --- records that the read has met, and not accepted ------------------------------------------------


@KINDS
def test_a_refused_record_is_present(kind: type[Listed]) -> None:
    ingest_here(kind(make_items(1, 2, 3)))
    refused = make_item(2, price="x")
    ingest_here(kind([make_item(1), refused, make_item(3)]))
    outcome = ingest_here(kind([make_item(1), refused]))
    assert (list_removed(), outcome.counters["removed"]) == (["3"], 1)


def test_a_discarded_record_that_is_still_refused_is_present() -> None:
    ingest_here(Complete(make_items(1, 2, 3)))
    refused = make_item(2, price="x")
    ingest_here(Complete([make_item(1), refused, make_item(3)]))
    QuarantinedRecord.objects.update(status="discarded")
    ingest_here(Complete([make_item(1), refused]))
    assert list_removed() == ["3"]


def test_a_new_refused_record_without_an_id_holds_the_removal() -> None:
    ingest_here(Complete(make_items(1, 2, 3, 4)))
    refused = {"name": "Nameless", "price": "x"}
    outcome = ingest_here(Complete([*make_items(1, 2, 4), refused]))
    assert (list_removed(), outcome.counters["removed"]) == ([], 0)
    assert RunEvent.objects.get(kind="removed").message.startswith("Removing nothing: the read lacked 1 of 4 records")
    ingest_here(Complete([*make_items(1, 4), refused]))
    assert list_removed() == ["2", "3"]


def test_a_record_that_comes_only_in_an_older_version_is_present() -> None:
    ingest_here(TimedComplete(make_items(1, 2, 3, at="2026-02-01T00:00:00Z")))
    outcome = ingest_here(TimedComplete(make_items(1, 2, at="2026-01-01T00:00:00Z")))
    assert (outcome.counters["duplicate"], list_removed()) == (2, ["3"])


# --- cost -------------------------------------------------------------------------------------------


def count_scans(source: Complete) -> int:
    with CaptureQueriesContext(connection) as queries:
        ingest_here(source, full=True)
    return sum("ORDER BY sequence, id" in query["sql"] for query in queries.captured_queries)


@pytest.mark.parametrize(
    "records", [make_items(1, 2, 3), [*make_items(3, 2, 1, 4), make_item(4)]], ids=["same", "more"]
)
def test_a_read_that_lacks_nothing_scans_nothing(records: list[Item]) -> None:
    ingest_here(Complete(make_items(1, 2, 3)))
    assert count_scans(Complete(records)) == 0


def test_a_read_whose_refused_and_outdated_records_explain_the_difference_scans_nothing() -> None:
    now, old = {"at": "2026-02-01T00:00:00Z"}, {"at": "2026-01-01T00:00:00Z"}
    ingest_here(TimedComplete(make_items(1, 2, 3, **now)))
    records = [make_item(1, **old), make_item(2, price="x", **now), make_item(3, **now)]
    ingest_here(TimedComplete(records))
    assert count_scans(TimedComplete(records)) == 0
    assert list_removed() == []


def test_a_scan_in_pages_finds_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vanished, "PAGE", 3)
    ingest_here(Complete(make_items(*range(20))))
    ingest_here(Complete(make_items(*range(0, 20, 2))))
    assert sorted(map(int, list_removed())) == list(range(1, 20, 2))


def test_the_scan_goes_by_the_index_of_the_change_feed() -> None:
    with CaptureQueriesContext(connection) as queries:
        vanished.Search("s", 1, 5, lambda payload: None).find_vanished(vanished.Excused(), (1, 2))
    (scan,) = [query["sql"] for query in queries.captured_queries if "ORDER BY sequence, id" in query["sql"]]
    with connection.cursor() as cursor:
        cursor.execute("SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_sort = off")
    plan = [line for (line,) in fetch(f"EXPLAIN {scan.rpartition('; ')[2]}")]  # without the transaction's bounds
    connection.close()
    assert [line for line in plan if "unified_records_changes" in line]
    assert [line for line in plan if "ROW(sequence, id) > ROW(" in line]


# --- crashes and batch sizes ------------------------------------------------------------------------

RECORDS = make_items(*range(20))
LEFT = [make_item(0, name="Changed"), *make_items(*range(2, 20, 2)), make_item("new")]
GONE = sorted(str(number) for number in range(1, 20, 2))


@KINDS
@pytest.mark.parametrize("size", [1, 2, 3, 10_000])
def test_any_batch_size_removes_the_same(kind: type[Listed], settings: Settings, size: int) -> None:
    settings.ETL_BATCH_SIZE = size
    ingest_here(kind(RECORDS))
    outcome = ingest_here(kind(LEFT))
    assert (list_removed(), outcome.counters["removed"], read_counts()) == (GONE, 10, (11, 10))
    assert verify() == []


@contextmanager
def dying_at(batch: int, *, after: bool, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """End the run before or after the commit of this batch of a removal, as if its process froze there."""
    commit: Callable[..., None] = getattr(landing, "_commit_removal")  # noqa: B009
    left = [batch]

    def die(*arguments: Any) -> None:
        left[0] -= 1
        if after or left[0]:
            commit(*arguments)
        if not left[0]:
            raise LeaseLost("the process stood still here")

    with monkeypatch.context() as patch:
        patch.setattr(landing, "_commit_removal", die)
        yield


@KINDS
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("batch", [1, 2, 3, 5])
def test_ended_at_any_batch_of_a_removal_the_next_run_removes_the_others(
    kind: type[Listed], monkeypatch: pytest.MonkeyPatch, batch: int, after: bool
) -> None:
    ingest_here(kind(RECORDS))
    with dying_at(batch, after=after, monkeypatch=monkeypatch):
        assert ingest_here(kind(LEFT)).status == "failed"
    assert len(list_removed()) == 2 * (batch - 1 + after)
    assert Checkpoint.objects.get().is_reading
    assert ingest_here(kind(LEFT)).status == "success"
    assert (list_removed(), sum_removed(), read_counts()) == (GONE, 10, (11, 10))
    assert verify() == []


@KINDS
def test_after_half_a_removal_other_content_decides_again(kind: type[Listed], monkeypatch: pytest.MonkeyPatch) -> None:
    ingest_here(kind(RECORDS))
    with dying_at(3, after=True, monkeypatch=monkeypatch):
        ingest_here(kind(LEFT))
    ingest_here(kind(RECORDS))
    assert (list_removed(), read_counts(), verify()) == (["new"], (20, 1), [])


# --- consumers --------------------------------------------------------------------------------------


def test_a_removal_has_a_sequence_of_its_own_and_is_a_change_of_the_feed() -> None:
    ingest_here(Complete(make_items(1, 2, 3, 4)))
    _, position = record_queries.read_changes("listed", (0, 0), 10)
    ingest_here(Complete(make_items(1, 4)))
    texts, _ = record_queries.read_changes("listed", position, 10)
    assert len(texts) == 2
    assert all('"removed_at":"20' in text for text in texts)


def list_present(source: str = "listed") -> Sequence[str]:
    return list(
        UnifiedRecord.objects.filter(source=source, removed_at__isnull=True)
        .order_by("external_id")
        .values_list("external_id", flat=True)
    )


@KINDS
def test_present_and_removed_records_are_what_ever_was_new(kind: type[Listed]) -> None:
    for numbers in ((1, 2, 3), (2, 3, 4), (1, 4), (5,), (1, 2)):
        ingest_here(kind(make_items(*numbers)))
        assert list_present() == [str(number) for number in numbers]
        assert kind is Complete or [thing.key for thing in Thing.objects.order_by("key")] == list_present()
        assert sum(Run.objects.values_list("new", flat=True)) == sum(read_counts())
        assert verify() == []
