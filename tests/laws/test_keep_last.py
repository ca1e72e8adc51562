"""Law 6 for files whose last record of an id counts: the same result for every batch size and every crash."""

import random
import signal
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar

import pytest

from etl import landing
from etl.checks import check_sources
from etl.execution.outcomes import Outcome
from etl.gates import Gates
from etl.models import QuarantinedRecord, Run, RunEvent
from etl.readers import backward
from etl.reports.verification import verify
from etl.sources import Contract, CsvSource, JsonLinesSource, PositiveDecimal, Text, ZonedTime, setting
from tests import last_source
from tests.factories import write_products
from tests.laws.test_crashes import add_up_runs, await_batches, landed_batches
from tests.listed_source import Listed, dump_quarantine, dump_raw, dump_unified, fetch, ingest_here
from tests.processes import Project

pytestmark = pytest.mark.django_db(transaction=True)
SIZES = [1, 2, 3, 10_000]

LAST_WINS = "sku,title,price\nA1,old name,1.00\nA2,x,1.00\nA1,corrected name,2.00\n"
TIMES = (
    '{"sku":"A1","title":"first","price":"1","updated_at":"2024-01-02T00:00:00Z"}\n'
    '{"sku":"A1","title":"late update, same stamp","price":"2","updated_at":"2024-01-02T00:00:00Z"}\n'
    '{"sku":"A1","title":"older","price":"3","updated_at":"2024-01-01T00:00:00Z"}\n'
)


class Offer(Contract):
    sku: Text
    title: Text
    price: PositiveDecimal


class TimedOffer(Offer):
    updated_at: ZonedTime


class Offers(CsvSource):
    name = "offers"
    every = timedelta(hours=1)
    path: Any = setting("OFFERS_PATH")
    contract: ClassVar[type[Contract]] = Offer
    unified = {"external_id": "sku", "name": "title", "value": "price"}
    gates = Gates(max_refused=1, min_kept=0)
    keep = "last"


class TimedOffers(JsonLinesSource):
    name = "offers"
    every = timedelta(hours=1)
    path: Any = setting("OFFERS_PATH")
    contract: ClassVar[type[Contract]] = TimedOffer
    unified = {**Offers.unified, "event_timestamp": "updated_at"}
    keep: ClassVar[Any] = "last"


class FirstTimedOffers(TimedOffers):
    keep = "first"


class ListedLast(Listed):
    keep = "last"


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backward, "BLOCK_RECORDS", 2)


@pytest.fixture
def file(tmp_path: Path, settings: Any) -> Path:
    settings.OFFERS_PATH = str(tmp_path / "offers")
    return tmp_path / "offers"


def count(outcome: Outcome) -> dict[str, int]:
    return {name: number for name, number in outcome.counters.items() if number and name != "seen"}


@pytest.mark.parametrize("size", SIZES)
def test_the_last_record_of_an_id_counts_and_a_full_read_writes_nothing(settings: Any, file: Path, size: int) -> None:
    settings.ETL_BATCH_SIZE = size
    file.write_text(LAST_WINS)
    assert count(ingest_here(Offers())) == {"new": 2, "duplicate": 1}
    names = {row[0]: (row[1], str(row[3].normalize())) for row in dump_unified("offers")}
    assert names == {"A1": ("corrected name", "2"), "A2": ("x", "1")}
    assert [row[:2] for row in dump_raw("offers")] == [("A2", 2), ("A1", 3)]
    stored = fetch("SELECT * FROM unified_records ORDER BY id")
    assert count(ingest_here(Offers(), full=True)) == {"unchanged": 2, "duplicate": 1}
    assert fetch("SELECT * FROM unified_records ORDER BY id") == stored
    assert verify() == []


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("source", "name"), [(TimedOffers, "late update, same stamp"), (FirstTimedOffers, "first")])
def test_a_time_wins_over_keep_and_at_equal_times_keep_decides(
    settings: Any, file: Path, size: int, source: type[TimedOffers], name: str
) -> None:
    settings.ETL_BATCH_SIZE = size
    file.write_text(TIMES)
    ingest_here(source())
    assert [row[1] for row in dump_unified("offers")] == [name]
    assert count(ingest_here(source(), full=True)) == {"unchanged": 1, "duplicate": 2}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("batches", [1, 3])
def test_a_read_that_is_cut_goes_on_where_it_was(
    settings: Any, monkeypatch: pytest.MonkeyPatch, file: Path, size: int, batches: int
) -> None:
    settings.ETL_BATCH_SIZE = size
    rows = [f"A{number % 4},name {number},1" for number in range(9)]
    file.write_text("\n".join(["sku,title,price", *rows, ""]))
    land = landing.land
    landed: list[Any] = []

    def fail_after(*args: Any, **more: Any) -> Any:
        if len(landed) == batches:
            raise RuntimeError("cut")
        landed.append(args)
        return land(*args, **more)

    with monkeypatch.context() as patch:
        patch.setattr(landing, "land", fail_after)
        first = count(ingest_here(Offers()))
    second = count(ingest_here(Offers()))
    if len(landed) < batches or not landed:
        assert (first, second) == ({"new": 4, "duplicate": 5}, {})
    total = {name: first.get(name, 0) + second.get(name, 0) for name in ("new", "updated", "unchanged", "duplicate")}
    assert total == {"new": 4, "updated": 0, "unchanged": 0, "duplicate": 5}
    assert [row[1] for row in dump_unified("offers")] == ["name 8", "name 5", "name 6", "name 7"]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("rows", "status"), [(["bad", "good"], "landed"), (["good", "bad"], "open")])
def test_a_refused_record_is_settled_by_the_order_of_the_file(
    settings: Any, file: Path, size: int, rows: list[str], status: str
) -> None:
    settings.ETL_BATCH_SIZE = size
    prices = {"bad": "x", "good": "1"}
    file.write_text("\n".join(["sku,title,price", *(f"A1,{row},{prices[row]}" for row in rows), ""]))
    ingest_here(Offers())
    assert QuarantinedRecord.objects.values_list("status", flat=True).get() == status
    ingest_here(Offers(), full=True)
    assert QuarantinedRecord.objects.values_list("status", flat=True).get() == status


def test_the_places_of_refused_records_stay_exact(settings: Any, file: Path) -> None:
    settings.ETL_BATCH_SIZE = 2
    file.write_text('sku,title,price\nA1,"two\nlines",1\n\nA2,b,x\nA3,c\nA4,d,1\n')
    ingest_here(Offers())
    assert [row[:3] for row in dump_quarantine("offers")] == [(2, 5, "price"), (3, 6, "")]


def test_a_reading_process_reads_from_the_end_too(settings: Any, file: Path) -> None:
    settings.ETL_READING_PROCESS_BYTES = 0
    settings.ETL_BATCH_SIZE = 2
    file.write_text(LAST_WINS)
    assert count(ingest_here(Offers())) == {"new": 2, "duplicate": 1}
    assert [row[1] for row in dump_unified("offers")] == ["corrected name", "x"]
    assert not RunEvent.objects.filter(kind="retry").exists()


@pytest.mark.parametrize("size", SIZES)
def test_of_several_files_the_last_record_of_the_last_name_counts(settings: Any, tmp_path: Path, size: int) -> None:
    settings.ETL_BATCH_SIZE = size
    settings.OFFERS_PATH = str(tmp_path / "*.csv")
    (tmp_path / "a.csv").write_text(LAST_WINS)
    (tmp_path / "b.csv").write_text("sku,title,price\nA2,y,1\nA3,n,1\nA2,z,3\n")
    ingest_here(Offers())
    assert [row[1] for row in dump_unified("offers")] == ["corrected name", "z", "n"]
    stored = fetch("SELECT * FROM unified_records ORDER BY id")
    assert count(ingest_here(Offers(), full=True)) == {"unchanged": 3, "duplicate": 3}
    assert fetch("SELECT * FROM unified_records ORDER BY id") == stored
    assert verify() == []


def test_killed_again_and_again_the_last_record_of_each_id_counts(project: Project, moments: random.Random) -> None:
    rows = [(1 + number % 700, f"name {number}", "c", "1", "") for number in range(2_000)]
    project.environment |= {"ETL_SOURCES": last_source.PATH, "ETL_BATCH_SIZE": "50"}
    project.environment |= {"PRODUCTS_CSV": str(write_products(project.folder / "products.csv", rows))}
    while not Run.objects.filter(status="success").exists():
        process = project.start("ingest", "products_csv")
        await_batches(process, landed_batches() + moments.randint(3, 12))
        process.send_signal(signal.SIGKILL)
        process.wait()
    names = {int(row[0]): row[1] for row in dump_unified("products_csv")}
    assert names == {1 + number % 700: f"name {number}" for number in range(1_300, 2_000)}
    totals = add_up_runs()
    assert (totals["seen"], totals["new"], totals["duplicate"]) == (2_000, 700, 1_300)
    assert verify() == []


def test_another_keep_reads_the_same_content_again(file: Path) -> None:
    file.write_text(TIMES)
    ingest_here(FirstTimedOffers())
    assert count(ingest_here(TimedOffers())) == {"updated": 1, "duplicate": 2}


@pytest.mark.parametrize(("keep", "source", "found"), [("last", ListedLast, "E011"), ("newest", Offers, "E004")])
def test_keep_is_for_files_and_has_two_words(
    settings: Any, monkeypatch: pytest.MonkeyPatch, keep: str, source: type[Any], found: str
) -> None:
    monkeypatch.setattr(source, "keep", keep)
    settings.OFFERS_PATH = "offers.csv"
    settings.ETL_SOURCES = [f"{__name__}.{source.__name__}"]
    assert [message.id for message in check_sources(None)] == [f"etl.{found}"]
