"""Judging stored records again by another contract, from their raw rows: only differences are written."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar

import pytest
from django.db.models.functions import Now

from etl.execution.executor import execute_here, execute_queued
from etl.execution.outcomes import Outcome
from etl.models import Checkpoint, QuarantinedRecord, Run, UnifiedRecord
from etl.operations import sources as operations
from etl.operations.sources import choose_reread
from etl.pipeline import Progress
from etl.readers.source import Source
from etl.records import Breach, UnifiedFields
from etl.reports.verification import verify
from etl.sources import Contract, CsvSource, JsonLinesSource, NonBlank, PositiveDecimal, PositiveInt, Text
from etl.supervision.os_signals import Interruption
from tests.listed_source import Listed, dump_unified, fetch, ingest_here, make_item
from tests.processes import manage_here

pytestmark = pytest.mark.django_db(transaction=True)


class Row(Contract):
    id: NonBlank
    title: NonBlank
    stock: PositiveInt


class WiderRow(Contract):
    id: NonBlank
    title: NonBlank
    stock: PositiveDecimal


class FullerRow(Row):
    family: Text | None


class StricterRow(Row):
    family: PositiveInt


class Rows(CsvSource):
    name = "rows"
    path = ""
    every = timedelta(hours=1)
    contract: ClassVar[type[Contract]] = Row
    unified: ClassVar[dict[str, Any]] = {"external_id": "id", "name": "title"}


class Wider(Rows):
    contract = WiderRow


class Fuller(Rows):
    contract = FullerRow


class FullerMapped(Fuller):
    unified = {**Rows.unified, "category": "family"}


class Stricter(Rows):
    contract = StricterRow


class OtherId(Rows):
    unified = {**Rows.unified, "external_id": "title"}


class Lines(JsonLinesSource):
    name = "rows"
    path = ""
    every = timedelta(hours=1)
    contract: ClassVar[type[Contract]] = FullerRow
    unified: ClassVar[dict[str, Any]] = {"external_id": "id", "name": "title"}


class LinesMapped(Lines):
    unified = {**Lines.unified, "category": "family"}


TEXT = "id,title,stock,family\n1,Nut,5,metal\n2,Bolt,1.5,metal\n3,Cog,7,\n4,Gear,8,wood\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "rows.csv"


@pytest.fixture(autouse=True)
def sizes(settings: Any) -> Iterator[None]:
    settings.ETL_SOURCES = [f"{__name__}.Rows"]
    yield
    assert verify() == []


def land(path: Path, kind: type[CsvSource | JsonLinesSource] = Rows, text: str = TEXT) -> None:
    """Read this text once, and take it away: nothing after this may ask for it."""
    path.write_text(text)
    source = kind()
    source.path = str(path)
    ingest_here(source)
    path.unlink()


def reread(kind: type[Source]) -> Outcome:
    return execute_here(kind(), choose_reread("rows"), interruption=Interruption(), report=lambda progress: None)


def counts(outcome: Outcome) -> dict[str, int]:
    return {name: number for name, number in outcome.counters.items() if number}


def dump() -> dict[str, list[tuple[Any, ...]]]:
    """Return all rows that law 5 speaks of, with the numbers from which `/changes` is served."""
    tables = ("unified_records", "raw_csv_data", "etl_quarantine")
    return {table: fetch(f"SELECT * FROM {table} ORDER BY id") for table in tables} | {
        "sequence": fetch("SELECT sequence FROM ingestion_checkpoints")
    }


def categories() -> list[tuple[str, str | None]]:
    return [(row[0], row[2]) for row in dump_unified("rows")]


@pytest.mark.parametrize("size", [1, 2, 3, 10_000])
def test_a_new_mapped_field_is_filled_from_what_was_stored(path: Path, settings: Any, size: int) -> None:
    settings.ETL_BATCH_SIZE = size
    land(path)
    outcome = reread(FullerMapped)
    assert categories() == [("1", "metal"), ("3", None), ("4", "wood")]
    assert counts(outcome) == {"seen": 4, "updated": 2, "unchanged": 1, "quarantined": 1}
    assert fetch("SELECT count(*) FROM raw_csv_data") == [(3,)]


@pytest.mark.parametrize("size", [1, 10_000])
def test_a_widened_type_lands_what_was_refused(path: Path, settings: Any, size: int) -> None:
    settings.ETL_BATCH_SIZE = size
    land(path)
    outcome = reread(Wider)
    assert [row[0] for row in dump_unified("rows")] == ["1", "2", "3", "4"]
    assert counts(outcome) == {"seen": 5, "new": 1, "unchanged": 4}
    assert QuarantinedRecord.objects.get().status == "replayed"
    assert outcome.status == "success"


@pytest.mark.parametrize("kind", [FullerMapped, Wider])
def test_a_second_time_writes_nothing(path: Path, kind: type[Rows]) -> None:
    land(path)
    reread(kind)
    before = dump()
    outcome = reread(kind)
    before["etl_quarantine"], after = [], dump() | {"etl_quarantine": []}  # a refused row notes when it was judged last
    assert after == before
    assert outcome.counters["updated"] == 0


def test_a_field_that_nothing_maps_writes_nothing(path: Path) -> None:
    land(path, text=TEXT.replace("1.5", "15"))
    before = dump()
    reread(Fuller)
    assert dump() == before


def test_the_next_read_of_the_same_content_finds_nothing_to_write(path: Path) -> None:
    land(path)
    reread(FullerMapped)
    before = dump()
    land(path, FullerMapped)
    assert Run.objects.latest("pk").updated == 0
    assert dump()["unified_records"] == before["unified_records"]


def test_json_is_judged_again_from_its_text(path: Path) -> None:
    land(path, Lines, '{"id":"1","title":"Nut","stock":5,"family":"metal"}\n{"id":"2","title":"Bolt","stock":6}\n')
    assert counts(reread(LinesMapped)) == {"seen": 2, "updated": 1, "unchanged": 1}
    assert categories() == [("1", "metal"), ("2", None)]


@pytest.mark.parametrize(
    ("kind", "reason"),
    [(Stricter, "1: family must be a whole number"), (OtherId, "1: its id would be Nut")],
)
def test_what_today_s_contract_does_not_accept_keeps_its_values(path: Path, kind: type[Rows], reason: str) -> None:
    land(path, text=TEXT.replace("1.5", "15"))
    before = dump()
    outcome = reread(kind)
    assert dump() == before
    assert (outcome.status, outcome.reason, outcome.counters["unchanged"]) == ("partial", "records_refused", 4)
    assert "4 present records keep their values" in Run.objects.latest("pk").error
    assert reason in Run.objects.latest("pk").error


def test_removed_records_stay_as_they_are(path: Path) -> None:
    land(path)
    UnifiedRecord.objects.filter(external_id="1").update(removed_at=Now())
    Checkpoint.objects.update(record_count=2, removed_count=1)
    reread(FullerMapped)
    assert categories() == [("1", None), ("3", None), ("4", "wood")]


def test_a_run_that_ends_between_two_pages_goes_on_there(path: Path, settings: Any) -> None:
    settings.ETL_SOURCES, settings.ETL_BATCH_SIZE = [f"{__name__}.FullerMapped"], 1
    land(path)
    run = operations.reread("rows", by="a test")
    settings.ETL_TASK_SECONDS = 0.000001  # each task hands its run over after one page
    tasks = 0
    while Run.objects.get(pk=run.pk).status == "queued":
        execute_queued(run.pk)
        tasks += 1
    run.refresh_from_db()
    assert tasks > 3
    assert (run.status, run.seen, run.updated, run.unchanged, run.quarantined) == ("partial", 4, 2, 1, 1)


def test_an_overtaken_run_writes_nothing_more(path: Path, settings: Any) -> None:
    settings.ETL_BATCH_SIZE = 1
    land(path)

    def overtake(progress: Progress) -> None:
        Checkpoint.objects.update(epoch=1_000)

    execute_here(FullerMapped(), choose_reread("rows"), interruption=Interruption(), report=overtake)
    assert Run.objects.latest("pk").status == "running"  # until the next claim closes it
    Run.objects.filter(status="running").update(status="failed", finished_at="2026-01-01T00:00:00Z")
    assert [category for _, category in categories()] == [None, None, None]


def test_it_waits_for_an_open_read(path: Path) -> None:
    land(path)
    Checkpoint.objects.update(is_reading=True, cursor={})
    outcome = reread(FullerMapped)
    assert (outcome.status, outcome.reason) == ("failed", "read_open")


class Fickle(Listed):
    """Refuses some names by its own code."""

    name = "rows"
    refused: ClassVar[set[str]] = set()
    category: ClassVar[str | None] = None

    def unify(self, values: Any) -> UnifiedFields | Breach:
        if values["name"] in self.refused:
            return Breach("too_long", "name is refused", "name")  # type: ignore[arg-type]
        return UnifiedFields(values["id"], values["name"], self.category)


def test_a_replay_afterwards_knows_what_the_last_read_has_met(monkeypatch: pytest.MonkeyPatch) -> None:
    """The record is of an older read; the last one met only a refused version of it, which is newer."""
    ingest_here(Fickle([make_item(1, name="old")]))
    monkeypatch.setattr(Fickle, "refused", {"new"})
    monkeypatch.setattr("etl.pipeline.settle_refused", lambda started, source, read, context, *, is_whole: read)
    ingest_here(Fickle([make_item(1, name="new")]))
    monkeypatch.setattr(Fickle, "category", "filled")
    reread(Fickle)
    assert dump_unified("rows")[0][1:3] == ("old", "filled")
    monkeypatch.setattr(Fickle, "refused", set())
    reread(Fickle)
    assert dump_unified("rows")[0][1:3] == ("new", "filled")


# --- the command ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "status"),
    [(["rows"], 2), (["nonsense", "--from-raw"], 2), (["--from-raw"], 2), (["rows", "--from-raw"], 0)],
)
def test_the_command_takes_names_and_from_raw(
    path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], status: int
) -> None:
    land(path, text=TEXT.replace("1.5", "15"))
    assert manage_here(capsys, "reread", *arguments).returncode == status


def test_a_queued_request_is_a_run_like_any_other(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    land(path)
    assert manage_here(capsys, "reread", "rows", "--from-raw", "--queue").returncode == 0
    run = Run.objects.latest("pk")
    assert (run.trigger, run.status, run.options) == (
        "replay",
        "queued",
        {"selection": {"source": "rows"}, "from_raw": True},
    )
