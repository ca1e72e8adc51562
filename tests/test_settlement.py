"""Law 4: nothing stays open that is settled. What a read makes of the refused records of its source."""

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from django.db import connection
from pytest_django.fixtures import Settings

from etl import pipeline, settlement
from etl.exceptions import LeaseLost
from etl.execution.executor import execute_here
from etl.judgement import Judge
from etl.models import Checkpoint, JudgedRead, QuarantinedRecord, Run
from etl.operations import quarantine
from etl.operations.reads import accept
from etl.readers.source import Source
from etl.records import Breach, UnifiedFields
from etl.reports.verification import verify
from etl.runs.options import Options
from etl.settlement import settle_refused
from etl.sources import Contract, NonBlank, lower
from etl.storage.refusal_selection import Selection
from etl.supervision.os_signals import Interruption
from etl.vocabulary import Trigger
from tests.laws.test_any_order import Cuttable
from tests.listed_source import Listed, fetch, ingest_here, list_chunk, make_item
from tests.test_replay import EVERYTHING

pytestmark = pytest.mark.django_db(transaction=True)

SIZES = pytest.mark.parametrize("size", [1, 2, 3, 10_000])


def good(number: object = 1, **more: Any) -> dict[str, Any]:
    return make_item(number, **more)


def bad(number: object = 1, **more: Any) -> dict[str, Any]:
    return make_item(number, price="x", **more)


def read(*items: dict[str, Any]) -> None:
    assert ingest_here(Listed(items), full=True).status in ("success", "partial")
    assert verify() == []


def statuses() -> list[str]:
    return list(QuarantinedRecord.objects.order_by("pk").values_list("status", flat=True))


@pytest.fixture
def partly(monkeypatch: pytest.MonkeyPatch) -> None:
    """No read in this test is whole."""
    monkeypatch.setattr(pipeline, "settle_refused", lambda *how, is_whole: settle_refused(*how, is_whole=False))


@SIZES
def test_a_refused_record_lands_when_its_id_is_accepted_later_in_the_read(settings: Any, size: int) -> None:
    settings.ETL_BATCH_SIZE = size
    read(bad(), good(2), good())
    assert statuses() == ["landed"]


@SIZES
def test_a_refused_record_stays_open_when_its_id_was_accepted_before_in_the_read(settings: Any, size: int) -> None:
    settings.ETL_BATCH_SIZE = size
    read(good(), good(2), bad())
    assert statuses() == ["open"]


@SIZES
def test_a_record_that_is_refused_before_and_after_the_accepted_one_stays_open(settings: Any, size: int) -> None:
    settings.ETL_BATCH_SIZE = size
    read(bad(), good(), good(2), bad())
    assert statuses() == ["open"]


@pytest.mark.parametrize("is_stored", [True, False])
def test_a_refused_record_lands_when_a_later_read_accepts_its_id(is_stored: bool, partly: None) -> None:
    if is_stored:
        read(good())
    read(bad(), good(2))
    read(good(), good(2))
    assert statuses() == ["landed"]


def test_a_refused_record_that_a_whole_read_lacks_is_gone() -> None:
    read(bad(), good(2))
    read(good(2))
    assert statuses() == ["gone"]
    assert Checkpoint.objects.get().open_quarantine_count == 0


def test_a_refused_record_without_an_id_is_gone_too() -> None:
    read({"name": "no id", "price": "1"}, good(2))
    read(good(2))
    assert statuses() == ["gone"]


def test_a_refused_record_of_an_old_release_is_gone_too() -> None:
    read(bad(), good(2))
    QuarantinedRecord.objects.update(read_number=None, external_id=None)
    read(good(2))
    assert statuses() == ["gone"]


def test_a_read_that_is_not_whole_makes_nothing_gone(partly: None) -> None:
    read(bad(), good(2))
    read(good(2))
    assert statuses() == ["open"]


def test_an_accepted_empty_read_makes_all_gone(settings: Settings) -> None:
    settings.ETL_SOURCES = ["tests.listed_source.Listed"]
    read(bad(), bad(2))
    assert ingest_here(Listed([])).reason == "suddenly_empty"
    assert statuses() == ["open", "open"]
    accept(JudgedRead.objects.latest("pk").pk, by="a test", user_id=None, trigger=Trigger.COMMAND)
    read()
    assert statuses() == ["gone", "gone"]


@pytest.mark.parametrize("status", ["gone", "landed", "replayed"])
def test_a_record_that_comes_back_opens_again_with_the_read_that_found_it(status: str) -> None:
    read(bad(), good(2))
    QuarantinedRecord.objects.update(status=status)
    Checkpoint.objects.update(open_quarantine_count=0)
    read(good(2), bad())
    row = QuarantinedRecord.objects.get()
    assert (row.status, row.read_number) == ("open", 2)
    assert Checkpoint.objects.get().open_quarantine_count == 1


def test_a_discarded_record_stays_discarded_whether_it_is_sent_or_not() -> None:
    read(bad(), good(2))
    quarantine.discard(EVERYTHING, by="a test")
    for items in ((bad(), good(2)), (good(2),), (good(1), good(2))):
        read(*items)
        assert statuses() == ["discarded"]


def test_a_landed_record_stays_landed_when_it_is_no_longer_sent() -> None:
    read(bad(), good())
    read(good())
    assert statuses() == ["landed"]


def test_another_sources_records_are_left_alone() -> None:
    class Other(Listed):
        name = "other"

    read(bad())
    ingest_here(Other([good()]))
    assert statuses() == ["open"]


@SIZES
def test_the_same_content_again_writes_no_refused_row(settings: Any, size: int) -> None:
    items = [bad(), good(), bad(2), good(3), bad(3), {"name": "no id"}]
    settings.ETL_BATCH_SIZE = 2
    read(*items)
    before = fetch("SELECT id, ctid::text, xmin::text FROM etl_quarantine ORDER BY id")
    settings.ETL_BATCH_SIZE = size
    read(*items)
    assert fetch("SELECT id, ctid::text, xmin::text FROM etl_quarantine ORDER BY id") == before
    assert statuses() == ["landed", "open", "open", "open"]


def test_a_source_without_refused_records_looks_nothing_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settlement, "_list_changes", lambda *_: 1 / 0)
    read(good())
    read(good(2))


class Cut(Exception):
    """Stands for the end of the process."""


@pytest.mark.parametrize("page", [1, 10_000])
def test_killed_at_each_statement_another_run_settles_the_rest(monkeypatch: pytest.MonkeyPatch, page: int) -> None:
    monkeypatch.setattr(settlement, "PAGE", page)
    first = [bad(n) for n in range(6)]
    second = [bad(0), good(1), bad(2), good(2), *(bad(n, note="new") for n in (3, 4)), bad(6)]
    expected = [("open", "landed", "landed", "gone", "gone", "gone", "open", "open", "open")]
    for killed_at in range(1, 100):
        connection.cursor().execute(
            "TRUNCATE etl_runs, etl_run_events, ingestion_checkpoints, etl_reads, etl_quarantine, etl_read_marks,"
            " unified_records, raw_api_data, schema_snapshots, etl_totals CASCADE"
        )
        read(*first)
        is_killed = kill_in_settlement(monkeypatch, second, killed_at)
        read(*second)
        assert [tuple(statuses())] == expected, killed_at
        if not is_killed:
            break
    assert killed_at > 10


def kill_in_settlement(monkeypatch: pytest.MonkeyPatch, items: Sequence[dict[str, Any]], killed_at: int) -> bool:
    """Read these items, and end the read at this statement of the settlement. Whether it has that many."""
    count = 0

    def count_and_kill(execute: Any, sql: Any, params: Any, many: bool, context: Any) -> Any:
        nonlocal count
        count += 1
        if count == killed_at:
            raise LeaseLost("the process was killed here")
        return execute(sql, params, many, context)

    def settle_and_be_killed(*how: Any, is_whole: bool) -> Any:
        with connection.execute_wrapper(count_and_kill):
            return settle_refused(*how, is_whole=is_whole)

    with monkeypatch.context() as patch:
        patch.setattr(pipeline, "settle_refused", settle_and_be_killed)
        ingest_here(Listed(items), full=True)
    return count >= killed_at


@dataclass
class Model:
    """The law in its simplest form: the states of refused records, by their text."""

    states: dict[str, str] = field(default_factory=dict)

    def refuse(self, items: Sequence[dict[str, Any]]) -> None:
        """A part of a read has landed."""
        for item in items:
            if item["price"] == "x":
                self.states.setdefault(json.dumps(item), "open")

    def finish(self, items: Sequence[dict[str, Any]], *, is_whole: bool) -> None:
        """A read of these items has ended."""
        self.refuse(items)
        texts = [json.dumps(item) for item in items]
        accepted = [item["id"] if item["price"] != "x" else None for item in items]
        for text, state in self.states.items():
            key = json.loads(text)["id"]
            is_met, is_accepted = text in texts, key in accepted
            last = len(texts) - 1 - texts[::-1].index(text) if is_met else -1
            if is_accepted and last < accepted.index(key) and (is_met or state == "open"):
                self.states[text] = "landed"
            elif is_met:
                self.states[text] = "open"
            elif state == "open" and is_whole:
                self.states[text] = "gone"


def list_states() -> dict[str, str]:
    return {
        bytes(original).decode(): status for original, status in fetch("SELECT original, status FROM etl_quarantine")
    }


def make_content(chance: random.Random) -> list[dict[str, Any]]:
    """Make a content of few ids, so that they meet: accepted and refused, twice, in any order, coming and going."""
    keys = chance.sample(range(6), chance.randint(0, 6))
    items = [
        chance.choice((good, bad, bad))(key, note=chance.choice((0, 0, 1)))
        for key in (*keys, *chance.choices(range(6), k=chance.choice((0, 2, 6))))
    ]
    chance.shuffle(items)
    return items


@pytest.mark.parametrize("story", range(8))
def test_any_reads_leave_the_states_that_the_model_has(
    monkeypatch: pytest.MonkeyPatch, settings: Any, moments: random.Random, story: int
) -> None:
    chance, model = random.Random(f"{moments.random()} {story}"), Model()
    for _ in range(15):
        items, is_whole = make_content(chance), chance.random() < 0.8
        monkeypatch.setattr(
            pipeline, "settle_refused", lambda *how, is_whole, whole=is_whole: settle_refused(*how, is_whole=whole)
        )
        source = Cuttable(items)
        monkeypatch.setattr(settlement, "PAGE", chance.choice((1, 3, 10_000)))
        for cut in ([chance.randint(0, len(items))] if chance.random() < 0.4 else []) + [len(items)]:
            source.cut, settings.ETL_BATCH_SIZE = cut, chance.choice((1, 2, 3, 10_000))
            if read_until_cut(source):
                model.finish(items, is_whole=is_whole)
            else:
                model.refuse(items[: count_landed()])
            if chance.random() < 0.2:  # the read is given up
                break
        assert list_states() == model.states
        assert verify() == []


def read_until_cut(source: Cuttable) -> bool:
    """Read up to the source's cut, or on from there. Whether the read has ended."""
    return ingest_here(source, full=True).status != "failed"


def count_landed() -> int:
    """Count the records that the last run's read has landed, if it has landed any."""
    run = Run.objects.latest("pk")
    return int(run.cursor_after["position"]) if run.cursor_after else 0


class Owner(Contract):
    key: NonBlank


class Owned(Contract):
    name: NonBlank
    owner: Owner


class Nested(Listed):
    """Its id is a nested field, converted to lower case."""

    contract = Owned
    unified = {"external_id": lower("owner.key"), "name": "name"}


class Own(Listed):
    """A source with code of its own: judged record by record."""

    def unify(self, values: Mapping[str, Any]) -> UnifiedFields | Breach:
        return Source.unify(self, values)


class Unmapped(Own):
    unified = {}


@pytest.mark.parametrize(
    ("source", "item", "external_id"),
    [
        (Listed(), bad("a"), "a"),
        (Own(), bad("a"), "a"),
        (Unmapped(), bad("a"), None),
        (Listed(), {"name": "no id"}, None),
        (Listed(), make_item(" "), None),
        (Listed(), {"id": 7}, None),
        (Listed(), bad("x" * 255), "x" * 255),
        (Listed(), make_item("x" * 256), None),
        (Listed(), make_item("a\x00"), None),
        (Nested(), {"owner": {"key": "A"}}, "a"),
        (Nested(), {"owner": "A"}, None),
    ],
)
def test_a_refused_record_has_its_id_where_that_can_be_parsed(
    source: Source, item: dict[str, Any], external_id: str | None
) -> None:
    (refusal,) = Judge(source).judge_chunk(list_chunk([item])).refusals
    assert refusal.external_id == external_id


def test_a_field_type_that_fails_leaves_a_refused_record_without_an_id(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Listed.contract, "parse_field", lambda *_: 1 / 0)
    read(bad())
    assert QuarantinedRecord.objects.get().external_id is None


def replay(selection: Selection = EVERYTHING) -> int:
    """Replay in this process. Returns the number of records that it took."""
    outcome = execute_here(
        Lenient(), Options(selection=selection), interruption=Interruption(), report=lambda progress: None
    )
    assert verify() == []
    return outcome.counters["seen"]


class AnyPrice(Contract):
    id: NonBlank
    name: NonBlank


class Lenient(Listed):
    """The same source under another contract, which accepts any price."""

    contract = AnyPrice
    unified = {"external_id": "id", "name": "name"}


def test_a_replayed_record_lets_older_ones_with_its_id_land(partly: None) -> None:
    read(bad(note=1), good(2))
    read(bad(note=2), good(2))
    replay(Selection(ids=(QuarantinedRecord.objects.latest("pk").pk,)))
    assert statuses() == ["landed", "replayed"]


def test_a_replayed_record_leaves_a_later_one_with_its_id_open(partly: None) -> None:
    read(bad(note=1), good(2))
    read(bad(note=2), good(2))
    replay(Selection(ids=(QuarantinedRecord.objects.earliest("pk").pk,)))
    assert statuses() == ["replayed", "open"]


@pytest.mark.parametrize("by_id", [True, False])
def test_a_gone_record_is_replayed_by_id_and_as_gone(by_id: bool) -> None:
    read(bad(), bad(2))
    read(bad(2))
    row = QuarantinedRecord.objects.earliest("pk").pk
    assert replay(Selection(ids=(row,)) if by_id else Selection(gone=True)) == 1
    assert statuses() == ["replayed", "open"]
    assert Checkpoint.objects.get().open_quarantine_count == 1


def test_gone_records_are_replayed_with_the_open_ones_after_the_contract_has_changed() -> None:
    read(bad(), bad(2))
    read(bad(2))
    assert replay() == 2
    assert statuses() == ["replayed", "replayed"]


def test_gone_records_are_left_alone_while_the_contract_is_the_same() -> None:
    read(bad(), bad(2))
    read(bad(2))
    Checkpoint.objects.update(fingerprint=f"{Lenient().digest()}:content")
    assert replay() == 1
    assert statuses() == ["gone", "replayed"]
