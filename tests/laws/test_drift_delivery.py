"""Drift through the fenced write path: reported once, when the read ends, even if something interrupted that read."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import OperationalError
from django.db.backends.postgresql.base import DatabaseWrapper

from etl import landing
from etl.change_detection import Stored, classify
from etl.contracts.forms import FILE_FORM
from etl.drift import Shape
from etl.exceptions import LeaseLost, Overtaken
from etl.fence import reads
from etl.fence.reads import Read, ReadEnd
from etl.models import Checkpoint, Run, RunEvent, SchemaChange, SchemaSnapshot
from etl.read_context import ReadContext
from etl.readers.content import Content, Opening
from etl.records import Chunk, Cursor
from etl.runs import ending
from etl.runs.starting import Started
from etl.sources.coingecko import CoinGecko
from etl.sources.listings import Listings
from etl.sources.products import ProductsCsv
from etl.sources.vendors import VendorsCsv
from etl.storage.ledger import find_stored
from etl.vocabulary import ReadOutcome, SourceKind, Status
from sandbox.server import Sandbox
from tests.listed_source import Listed, ListedContent, dump_unified, ingest_here, judge_all, make_item
from tests.processes import ROOT
from tests.single_steps import COMMIT, end_lease, start

pytestmark = pytest.mark.django_db(transaction=True)
SHARED = ROOT.parent / "shared" / "data"
SAMPLES = (ProductsCsv, VendorsCsv, Listings)


class CutListed(Listed):
    """Its content breaks off after `cut` records; the fingerprint is that of the complete content."""

    def __init__(self, records: Sequence[dict[str, Any]], *, cut: int) -> None:
        super().__init__(records)
        self.cut = cut

    @contextmanager
    def open(self, opening: Opening, context: ReadContext) -> Iterator[Content | None]:
        with super().open(opening, context) as content:
            assert isinstance(content, ListedContent)
            yield _CutContent(content.records, content.fingerprint, self.cut)


class _CutContent(ListedContent):
    def __init__(self, records: Any, fingerprint: str, cut: int) -> None:
        super().__init__(records, fingerprint)
        self.cut = cut

    def read(self, cursor: Cursor | None, batch_size: int) -> Iterator[Chunk]:
        for chunk in super().read(cursor, batch_size):
            if chunk.cursor["position"] > self.cut:
                raise LeaseLost("the process stood still here")
            yield chunk


def list_changes() -> list[tuple[int, str, str, Any, Any]]:
    rows = SchemaChange.objects.order_by("pk").select_related("snapshot_after")
    return [(row.snapshot_after.number, row.path, row.kind, row.before, row.after) for row in rows]


def count_snapshots() -> int:
    return SchemaSnapshot.objects.count()


def with_colour(*numbers: int) -> list[dict[str, Any]]:
    return [make_item(number, colour="red") for number in numbers]


def drift_end(records: Sequence[dict[str, Any]]) -> ReadEnd:
    shape = Shape().observe(records, is_lexical=False)
    read = Read(2, "digest:content", False, True, None, 0, 0, 0, shape=shape)
    return ReadEnd(read, SourceKind.API, {}, True, True, False, ReadOutcome.ACCEPTED)


def test_the_first_read_makes_snapshot_1_and_reports_no_change() -> None:
    ingest_here(Listed([*map(make_item, range(5))]))
    snapshot = SchemaSnapshot.objects.get()
    field = {"type": "text", "nullable": False, "presence": "every"}
    assert (snapshot.number, snapshot.run_id) == (1, Run.objects.get().pk)
    assert snapshot.shape == {
        "records": 5,
        "is_cut": False,
        "fields": {"id": field, "name": field, "price": field},
    }
    assert not RunEvent.objects.filter(kind="drift").exists()


def test_a_change_is_reported_once(caplog: pytest.LogCaptureFixture) -> None:
    ingest_here(Listed([*map(make_item, range(5))]))
    with caplog.at_level(logging.WARNING):
        for name in ("one", "two", "three"):
            outcome = ingest_here(Listed([make_item(number, name=name, colour="red") for number in range(5)]))
            assert outcome.status == "success"
    assert list_changes() == [(2, "colour", "added", None, "text, never null")]
    event = RunEvent.objects.get(kind="drift")
    assert event.message == "The source's shape has changed: colour added (text, never null)."
    assert [record.getMessage() for record in caplog.records] == [f"listed: {event.message}"]
    snapshots = SchemaSnapshot.objects.order_by("number")
    assert [(snapshot.number, snapshot.run_id) for snapshot in snapshots] == [
        (1, Run.objects.order_by("pk")[0].pk),
        (2, event.run_id),
    ]
    assert SchemaChange.objects.get().run_id == event.run_id


def test_drift_is_seen_in_records_that_are_refused() -> None:
    ingest_here(Listed([*map(make_item, range(5))]))
    outcome = ingest_here(Listed([{**make_item(number, title="x"), "name": None} for number in range(5)]))
    assert outcome.counters["quarantined"] == 5
    assert [change[1:3] for change in list_changes()] == [("name", "nullability"), ("title", "added")]


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_the_same_content_never_drifts(settings: Any, size: int) -> None:
    records = [*map(make_item, range(7)), make_item("bad", price="x", more="x"), *with_colour(8, 9)]
    ingest_here(Listed(records))
    settings.ETL_BATCH_SIZE = size
    ingest_here(Listed(records), full=True)
    ingest_here(Listed([*reversed(records)]))
    ingest_here(Listed(records))
    assert (count_snapshots(), list_changes()) == (1, [])


def test_an_unchanged_read_judges_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    source = Listed([*map(make_item, range(5))])
    ingest_here(source)
    SchemaSnapshot.objects.all().delete()
    assert ingest_here(source).reason == "unchanged"
    assert count_snapshots() == 0


def test_a_read_without_records_is_not_judged() -> None:
    ingest_here(Listed([*map(make_item, range(5))]))
    ingest_here(Listed([]))
    assert (count_snapshots(), list_changes()) == (1, [])


def test_a_column_absent_from_one_batch_is_no_removal(settings: Any) -> None:
    settings.ETL_BATCH_SIZE = 2
    ingest_here(Listed([*with_colour(*range(6))]))
    ingest_here(Listed([*map(make_item, range(4)), *with_colour(4, 5)]))
    assert [change[1:3] for change in list_changes()] == [("colour", "nullability")]


def test_a_read_cut_by_a_crash_is_judged_as_one_read(settings: Any) -> None:
    """Only the first part has the column, and the process that read that part has died."""
    settings.ETL_BATCH_SIZE = 2
    former = Listed([*with_colour(*range(6))])
    ingest_here(former)
    records = [*with_colour(0, 1, 2, 3), make_item(4), make_item(5)]
    assert ingest_here(CutListed(records, cut=4)).reason == "lease_lost"
    assert count_snapshots() == 1
    end_lease()
    outcome = ingest_here(Listed(records))
    assert outcome.counters["seen"] == 2
    assert list_changes() == [(2, "colour", "nullability", "never null", "sometimes absent")]


def test_a_column_that_only_the_last_part_of_a_cut_read_has_is_no_removal(settings: Any) -> None:
    settings.ETL_BATCH_SIZE = 2
    ingest_here(Listed([*with_colour(*range(6))]))
    records = [*map(make_item, range(4)), *with_colour(4, 5)]
    ingest_here(CutListed(records, cut=4))
    assert list_changes() == []
    ingest_here(Listed(records))
    assert [change[1:3] for change in list_changes()] == [("colour", "nullability")]


def test_a_read_cut_after_its_last_batch_is_judged_as_it_was_seen(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    ingest_here(Listed([*map(make_item, range(4))]))

    def stand_still(source: str, run_id: int, shape: Shape) -> None:
        raise LeaseLost("the process stood still here")

    with monkeypatch.context() as patch:
        patch.setattr(ending, "write_snapshot", stand_still)
        ingest_here(Listed(with_colour(*range(4))))
    outcome = ingest_here(Listed(with_colour(*range(4))))
    assert outcome.counters["seen"] == 0
    assert [change[1:3] for change in list_changes()] == [("colour", "added")]


def test_the_shape_is_saved_with_its_batch_and_dropped_with_its_read(settings: Any) -> None:
    settings.ETL_BATCH_SIZE = 2
    records = [*map(make_item, range(6))]
    ingest_here(CutListed(records, cut=4))
    saved = Shape.from_json(Checkpoint.objects.get().read_shape)
    assert saved == Shape().observe(records[:4], is_lexical=False)
    ingest_here(Listed(records))
    assert Checkpoint.objects.get().read_shape is None


def test_other_content_begins_a_shape_of_its_own(settings: Any) -> None:
    settings.ETL_BATCH_SIZE = 2
    ingest_here(CutListed([*with_colour(*range(6))], cut=4))
    ingest_here(Listed([*map(make_item, range(6))]))
    assert list(SchemaSnapshot.objects.get().shape["fields"]) == ["id", "name", "price"]


def land_observed(started: Started, records: list[dict[str, Any]]) -> Read:
    """Land a batch as the pipeline does: the read includes the shape."""
    source = Listed()
    read = reads.choose_read(started.checkpoint, "content", is_full=False)
    read = replace(read, shape=read.shape.observe(records, is_lexical=False))
    judged = judge_all(source, records)
    known = find_stored(source, judged, read_number=read.number, read_sequence=read.first_sequence)
    reached = {"offset": 1, "position": 1}
    return landing.land(
        started.claim, source, read, classify(judged, Stored(known)), reached=reached, wait=lambda s: None
    )


def test_a_batch_that_does_not_land_leaves_no_shape(monkeypatch: pytest.MonkeyPatch) -> None:
    started = start()
    monkeypatch.setattr(landing, "write_batch", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        land_observed(started, with_colour(1, 2))
    assert Checkpoint.objects.get().read_shape is None


def test_an_overtaken_worker_leaves_no_shape() -> None:
    first = start()
    end_lease()
    second = start()
    land_observed(second, [make_item(1)])
    with pytest.raises(Overtaken):
        land_observed(first, with_colour(1, 2))
    assert "colour" not in Shape.from_json(Checkpoint.objects.get().read_shape).tallies


def test_an_overtaken_worker_writes_no_snapshot(caplog: pytest.LogCaptureFixture) -> None:
    ingest_here(Listed([*map(make_item, range(5))]))
    first = start()
    end_lease()
    start()
    with pytest.raises(Overtaken):
        ending.end(first.claim, ending.finished(Status.SUCCESS), read_end=drift_end(with_colour(*range(5))))
    assert (count_snapshots(), list_changes(), caplog.messages) == (1, [], [])
    assert not RunEvent.objects.filter(kind="drift").exists()


def test_a_worker_whose_lease_has_ended_writes_no_snapshot() -> None:
    ingest_here(Listed([*map(make_item, range(5))]))
    started = start()
    end_lease()
    with pytest.raises(LeaseLost):
        ending.end(started.claim, ending.finished(Status.SUCCESS), read_end=drift_end(with_colour(*range(5))))
    assert (count_snapshots(), list_changes()) == (1, [])


def test_a_failing_close_rolls_the_snapshot_back(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ingest_here(Listed([*map(make_item, range(5))]))
    started = start()

    def refuse_to_close(*arguments: Any) -> None:
        raise AssertionError("the last statement of the close")

    monkeypatch.setattr(ending, "note_closed_run", refuse_to_close)
    with pytest.raises(AssertionError, match="last statement"):
        ending.end(started.claim, ending.finished(Status.SUCCESS), read_end=drift_end(with_colour(*range(5))))
    assert (count_snapshots(), list_changes(), caplog.messages) == (1, [], [])
    assert Run.objects.filter(status="running").exists()


@pytest.mark.parametrize("is_lost_after", [True, False], ids=["after the commit", "before the commit"])
def test_a_close_that_is_sent_again_reports_its_drift_once(
    monkeypatch: pytest.MonkeyPatch, is_lost_after: bool
) -> None:
    ingest_here(Listed([*map(make_item, range(5))]))
    commits: list[Any] = []

    def commit_and_lose_one_answer(self: Any) -> None:
        commits.append(self)
        if len(commits) == 4 and not is_lost_after:  # claim, lookup, batch, close
            self.connection.close()
        COMMIT(self)
        if len(commits) == 4:
            self.connection.close()
            raise OperationalError("server closed the connection unexpectedly")

    monkeypatch.setattr(DatabaseWrapper, "_commit", commit_and_lose_one_answer)
    assert ingest_here(Listed(with_colour(*range(5)))).status == "success"
    assert [change[:3] for change in list_changes()] == [(2, "colour", "added")]
    assert RunEvent.objects.filter(kind="drift").count() == 1


def test_names_that_postgresql_refuses_stop_no_run() -> None:
    ingest_here(Listed([*map(make_item, range(5))]))
    odd: dict[str, Any] = {"a\x00b": "1", "\ud800": "1", "k" * 5000: "1", "": {"": ["1"]}, "a.b[]": "1"}
    outcome = ingest_here(Listed([{**make_item(number), **odd} for number in range(5)]))
    assert outcome.status == "success", outcome.message
    paths = sorted(change[1] for change in list_changes())
    assert paths == sorted(['"a\\u0000b"', '"\\ud800"', '""', '"".""', '"".""[]', '"a.b[]"'])


def test_csv_sources_are_judged_by_what_their_cells_look_like() -> None:
    class Cells(Listed):
        form = FILE_FORM

    ingest_here(Cells([make_item(number, price=number + 1) for number in range(5)]))
    ingest_here(Cells([make_item(number) for number in range(5)]))
    assert list_changes() == [(2, "price", "type", "integer", "decimal")]


@pytest.mark.parametrize("source", SAMPLES)
def test_the_sample_data_do_not_drift(source: Any, settings: Any) -> None:
    for size in (10_000, 2, 7):
        settings.ETL_BATCH_SIZE = size
        ingest_here(source(), full=True)
    assert (count_snapshots(), list_changes()) == (1, [])


def test_the_sample_data_have_their_true_shapes() -> None:
    for source in SAMPLES:
        ingest_here(source())
    shapes = {
        snapshot.source: {path: kept["type"] for path, kept in snapshot.shape["fields"].items()}
        for snapshot in SchemaSnapshot.objects.all()
    }
    assert shapes["products_csv"] == {
        "product_id": "integer",
        "name": "text",
        "category": "text",
        "price": "integer",
        "extra_col": "text",
    }
    assert shapes["vendors_csv"]["amount"] == "decimal"
    assert shapes["listings_json"]["price.amount"] == "number"


@pytest.mark.skipif(not SHARED.exists(), reason="the real lists are not in this project")
def test_the_real_lists_do_not_drift_among_themselves(settings: Any) -> None:
    for name in ("coins_2024-03.json", "coins_2025-01.json", "coins_2024-03.json"):
        with Sandbox(SHARED / name) as sandbox:
            settings.COINGECKO_BASE_URL = sandbox.url
            assert ingest_here(CoinGecko()).status in ("success", "partial")
    assert (count_snapshots(), list_changes()) == (1, [])


def test_the_command_shows_the_history_with_the_newest_last(capsys: pytest.CaptureFixture[str]) -> None:
    ingest_here(Listed([*map(make_item, range(5))]))
    ingest_here(Listed(with_colour(*range(5))))
    call_command("drift")
    header, first, second, *more = capsys.readouterr().out.splitlines()
    assert header.split()[:4] == ["source", "snapshot", "created", "run"]
    assert "first seen, 3 fields" in first
    assert second.split()[-6:] == ["colour", "added", "text,", "never", "null", "no"]
    assert more == []
    assert len(dump_unified("listed")) == 5


def test_the_command_shows_the_fields_of_one_source(settings: Any, capsys: pytest.CaptureFixture[str]) -> None:
    settings.ETL_SOURCES = ["tests.listed_source.Listed"]
    ingest_here(Listed([*map(make_item, range(5))]))
    call_command("drift", "listed")
    assert "id     text  never null" in capsys.readouterr().out


def test_an_unknown_name_is_a_usage_error() -> None:
    with pytest.raises(CommandError) as caught:
        call_command("drift", "nonsense")
    assert caught.value.returncode == 2
