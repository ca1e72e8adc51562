"""Sources with a pattern: each file is read once, by itself, and none hides the state of another."""

import gzip
import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import InMemoryStorage, storages

from etl import landing
from etl.exceptions import HandedOver, Interrupted
from etl.execution.executor import execute_queued
from etl.execution.outcomes import Outcome
from etl.gates import Gates
from etl.models import Checkpoint, JudgedRead, QuarantinedRecord, Run, SourceFile
from etl.operations.reads import accept
from etl.readers import places
from etl.reports.verification import verify
from etl.runs import ending, orders
from etl.runs.options import Options
from etl.sources import Contract, CsvSource, JsonLinesSource, NonBlank, PositiveDecimal
from etl.supervision.hand_over import TaskContext
from etl.vocabulary import Reason, Status, Trigger
from tests.listed_source import dump_raw, dump_unified, fetch, ingest_here

pytestmark = pytest.mark.django_db(transaction=True)

HEADER = "sku,title,price\n"
OLD = 1_000_000_000


class Part(Contract):
    sku: NonBlank
    title: NonBlank
    price: PositiveDecimal


class Days(CsvSource):
    name, every, contract = "days", timedelta(hours=1), Part
    unified = {"external_id": "sku", "name": "title", "value": "price"}
    gates = Gates(max_refused=1)

    def __init__(self, folder: Path) -> None:
        self.path = str(folder / "day_*")


class StrictDays(Days):
    gates = Gates(max_refused=0, min_refused=1)


class DayLines(JsonLinesSource):
    name, every, contract = "days", timedelta(hours=1), Part
    unified = Days.unified

    def __init__(self, folder: Path) -> None:
        self.path = str(folder / "day_*")


@pytest.fixture
def source(tmp_path: Path) -> Days:
    return Days(tmp_path)


@pytest.fixture(autouse=True)
def sound_tables() -> Any:
    yield
    assert verify() == []


def write(folder: Path, day: int, *rows: str, header: str = HEADER) -> Path:
    """Write the file of a day, as old as its number says."""
    path = folder / f"day_{day}"
    path.write_text(header + "".join(f"{row}\n" for row in rows))
    os.utime(path, (OLD + day, OLD + day))
    return path


def count(outcome: Outcome) -> dict[str, int]:
    return {name: number for name, number in outcome.counters.items() if number}


def list_read() -> list[str]:
    """Return the names of the files that were read, in the order of their reads."""
    return list(JudgedRead.objects.order_by("number").values_list("file", flat=True))


def list_records() -> list[tuple[str, str]]:
    return [(row[0], row[1]) for row in dump_unified("days")]


# Once, in the order of the names


def test_each_file_is_read_once_in_the_order_of_the_names(tmp_path: Path, source: Days) -> None:
    write(tmp_path, 2, "A2,Nut,1.5")
    write(tmp_path, 1, "A1,Bolt,1.5")
    assert count(ingest_here(source)) == {"seen": 2, "new": 2}
    assert list_read() == ["day_1", "day_2"]
    again = ingest_here(source)
    assert (again.status, again.reason, count(again)) == (Status.SUCCESS, Reason.UNCHANGED, {})
    write(tmp_path, 3, "A3,Washer,1.5")
    assert count(ingest_here(source)) == {"seen": 1, "new": 1}
    assert list_read() == ["day_1", "day_2", "day_3"]


def test_a_changed_file_of_a_known_name_is_read_again(tmp_path: Path, source: Days) -> None:
    write(tmp_path, 1, "A1,Bolt,1.5")
    write(tmp_path, 2, "A2,Nut,1.5")
    ingest_here(source)
    write(tmp_path, 1, "A1,Bolt,1.5", "A9,Pin,1")
    assert count(ingest_here(source)) == {"seen": 2, "new": 1, "unchanged": 1}
    assert list_read() == ["day_1", "day_2", "day_1"]


def test_an_unchanged_file_is_not_opened(tmp_path: Path, source: Days, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, 1, "A1,Bolt,1.5")
    ingest_here(source)
    SourceFile.objects.update(stamp=source.list_files()[0].stamp)  # as if it had been old when it was read
    monkeypatch.setattr(places, "copy_file", lambda path: pytest.fail(f"{path} was opened"))
    assert ingest_here(source).reason == Reason.UNCHANGED


def test_a_file_with_the_same_content_and_another_time_costs_a_hash(tmp_path: Path, source: Days) -> None:
    path = write(tmp_path, 1, "A1,Bolt,1.5")
    ingest_here(source)
    os.utime(path)
    assert ingest_here(source).reason == Reason.UNCHANGED
    assert list_read() == ["day_1"]


def test_files_with_equal_content_are_read_each(tmp_path: Path, source: Days) -> None:
    write(tmp_path, 1, "A1,Bolt,1.5")
    write(tmp_path, 2, "A1,Bolt,1.5")
    assert count(ingest_here(source)) == {"seen": 2, "new": 1, "unchanged": 1}
    assert list_read() == ["day_1", "day_2"]


def test_packed_files_and_plain_ones_are_read_together(tmp_path: Path, source: Days) -> None:
    write(tmp_path, 1, "A1,Bolt,1.5")
    (tmp_path / "day_2.csv.gz").write_bytes(gzip.compress(f"{HEADER}A2,Nut,1\n".encode()))
    assert count(ingest_here(source)) == {"seen": 2, "new": 2}


def test_files_of_a_storage_are_read_as_those_of_a_folder(settings: Any, source: Days) -> None:
    name = f"{InMemoryStorage.__module__}.{InMemoryStorage.__qualname__}"
    settings.STORAGES = {**settings.STORAGES, "imports": {"BACKEND": name}}
    source.path = "storage://imports/day_*"
    for day in (1, 2):
        storages["imports"].save(f"day_{day}", ContentFile(f"{HEADER}A{day},Bolt,1\n".encode()))
    assert count(ingest_here(source)) == {"seen": 2, "new": 2}
    assert ingest_here(source).reason == Reason.UNCHANGED


def test_another_contract_judges_each_file_again_and_writes_nothing(tmp_path: Path, source: Days) -> None:
    for day in (1, 2):
        write(tmp_path, day, f"A{day},Bolt,1.5")
    ingest_here(source)
    before = Checkpoint.objects.get().sequence
    assert count(ingest_here(StrictDays(tmp_path))) == {}  # gates are no part of the contract
    source.__class__ = type("Days", (Days,), {"version": 2})
    assert count(ingest_here(source)) == {"seen": 2, "unchanged": 2}
    assert Checkpoint.objects.get().sequence == before


# Two files with the same id


@pytest.mark.parametrize("batch", [1, 2, 10_000])
def test_of_two_files_with_an_id_the_later_name_counts(tmp_path: Path, source: Days, settings: Any, batch: int) -> None:
    settings.ETL_BATCH_SIZE = batch
    write(tmp_path, 1, "A1,first,1", "A2,other,1")
    write(tmp_path, 2, "A3,other,1", "A1,second,1")
    assert count(ingest_here(source)) == {"seen": 4, "new": 3, "updated": 1}
    before = Checkpoint.objects.get().sequence
    for _ in range(2):
        assert count(ingest_here(source, full=True)) == {"seen": 4, "unchanged": 3, "duplicate": 1}
    assert Checkpoint.objects.get().sequence == before
    assert dict(list_records())["A1"] == "second"


def test_a_correction_of_an_earlier_file_does_not_replace_what_a_later_one_says(tmp_path: Path, source: Days) -> None:
    write(tmp_path, 1, "A1,first,1")
    write(tmp_path, 2, "A1,second,1")
    ingest_here(source)
    write(tmp_path, 1, "A1,corrected,1", "A2,new,1")
    assert count(ingest_here(source)) == {"seen": 2, "new": 1, "duplicate": 1}
    assert list_records() == [("A1", "second"), ("A2", "new")]


# A bad file


def break_gzip(path: Path) -> None:
    path.write_bytes(gzip.compress(f"{HEADER}A2,Nut,1\n".encode())[:-4])


BROKEN: dict[str, tuple[Callable[[Path], object], Reason]] = {
    "cut": (break_gzip, Reason.SOURCE_UNREADABLE),
    "empty": (lambda path: path.write_bytes(b""), Reason.SOURCE_UNREADABLE),
    "other columns": (lambda path: path.write_text("sku,name\nA2,Nut\n"), Reason.COLUMNS_MISSING),
    "html": (lambda path: path.write_text("<html><title>No</title></html>"), Reason.COLUMNS_MISSING),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_bad_file_fails_the_run_after_the_others_have_landed(tmp_path: Path, source: Days, case: str) -> None:
    make_bad, reason = BROKEN[case]
    write(tmp_path, 1, "A1,Bolt,1")
    make_bad(tmp_path / "day_2")
    write(tmp_path, 3, "A3,Pin,1")
    for expected in ({"seen": 2, "new": 2}, {}):
        outcome = ingest_here(source)
        assert (outcome.status, outcome.reason, count(outcome)) == (Status.FAILED, reason, expected)
        assert outcome.message.startswith("1 of 3 files failed; the others have landed.")
        assert "day_2" in outcome.message
        assert "day_*" not in outcome.message
    write(tmp_path, 2, "A2,Nut,1")
    healed = ingest_here(source)
    assert (healed.status, count(healed)) == (Status.SUCCESS, {"seen": 1, "new": 1})
    assert Checkpoint.objects.get().judged_read is None


def test_a_file_with_too_many_refused_records_is_named_and_can_be_accepted(tmp_path: Path, settings: Any) -> None:
    settings.ETL_SOURCES = ["tests.laws.test_files.find_days"]
    FOLDER.append(tmp_path)
    source = StrictDays(tmp_path)
    write(tmp_path, 1, "A1,Bolt,1", "A9,Bad,x")
    write(tmp_path, 2, "A2,Nut,1")
    outcomes = [ingest_here(source) for _ in range(2)]
    assert {(outcome.status, outcome.reason) for outcome in outcomes} == {(Status.FAILED, Reason.TOO_MANY_REFUSED)}
    assert list_read() == ["day_1", "day_2"]
    accept(JudgedRead.objects.get(file="day_1").pk, by="a test", user_id=None, trigger=Trigger.COMMAND)
    accepted = ingest_here(source)
    assert (accepted.status, count(accepted)) == (Status.PARTIAL, {"seen": 2, "new": 1, "quarantined": 1})
    assert ingest_here(source).status == Status.SUCCESS
    assert list_records() == [("A1", "Bolt"), ("A2", "Nut")]


FOLDER: list[Path] = []


def find_days() -> list[Days]:
    return [StrictDays(folder) for folder in FOLDER[-1:]]


def test_a_file_that_breaks_off_in_the_middle_leaves_no_read_open(tmp_path: Path, settings: Any) -> None:
    settings.ETL_BATCH_SIZE = 1
    record = '{"sku": "A%d", "title": "Bolt", "price": 1}'
    (tmp_path / "day_1").write_text("[" + ", ".join(record % number for number in (1, 2, 3)))
    (tmp_path / "day_2").write_text(record % 4)
    outcome = ingest_here(DayLines(tmp_path))
    assert (outcome.status, outcome.reason) == (Status.FAILED, Reason.SOURCE_UNREADABLE)
    assert "day_1" in outcome.message
    assert not Checkpoint.objects.get().is_reading
    assert "A4" in dict(list_records())


# Which files there are


def test_a_missing_folder_fails(tmp_path: Path) -> None:
    outcome = ingest_here(Days(tmp_path / "inbox"))
    assert (outcome.status, outcome.reason) == (Status.FAILED, Reason.SOURCE_UNREADABLE)
    assert "inbox does not exist or is not a folder" in outcome.message


def test_a_folder_without_a_fitting_file_is_a_run_with_nothing_to_do_and_says_so(source: Days) -> None:
    outcome = ingest_here(source)
    assert (outcome.status, outcome.reason) == (Status.SUCCESS, Reason.NO_FILES)


def test_a_file_that_is_gone_leaves_its_records_and_is_known_when_it_comes_back(tmp_path: Path, source: Days) -> None:
    path = write(tmp_path, 1, "A1,Bolt,1")
    ingest_here(source)
    path.rename(tmp_path / "kept")
    assert ingest_here(source).reason == Reason.NO_FILES
    assert SourceFile.objects.get().gone_at is not None
    (tmp_path / "kept").rename(path)
    assert ingest_here(source).reason == Reason.UNCHANGED
    assert SourceFile.objects.get().gone_at is None
    assert list_read() == ["day_1"]


def test_a_file_deleted_after_the_folder_was_listed_is_passed_over(
    tmp_path: Path, source: Days, monkeypatch: pytest.MonkeyPatch
) -> None:
    for day in (1, 2):
        write(tmp_path, day, f"A{day},Bolt,1")
    listed = source.list_files()
    monkeypatch.setattr(Days, "list_files", lambda self: listed)
    (tmp_path / "day_1").unlink()
    outcome = ingest_here(source)
    assert (outcome.status, count(outcome)) == (Status.SUCCESS, {"seen": 1, "new": 1})


def test_files_are_not_compared_with_each_other_by_their_size(tmp_path: Path, source: Days) -> None:
    write(tmp_path, 1, *(f"A{number},Bolt,1" for number in range(50)))
    write(tmp_path, 2)
    write(tmp_path, 3, "B1,Nut,1")
    assert ingest_here(source).status == Status.SUCCESS


# Refused records


def test_a_refused_record_has_the_name_of_its_file(tmp_path: Path, source: Days) -> None:
    for day in (1, 2):
        write(tmp_path, day, "A9,Bad,x")
    assert count(ingest_here(source)) == {"seen": 2, "quarantined": 2}
    rows = QuarantinedRecord.objects.order_by("file").values_list("file", "line", "status")
    assert list(rows) == [("day_1", 2, "open"), ("day_2", 2, "open")]


def test_a_corrected_file_settles_only_its_own_refused_records(tmp_path: Path, source: Days) -> None:
    for day in (1, 2):
        write(tmp_path, day, ",No number,1")
    ingest_here(source)
    write(tmp_path, 1, "A1,Number,1")
    ingest_here(source)
    rows = QuarantinedRecord.objects.order_by("file").values_list("file", "status")
    assert list(rows) == [("day_1", "gone"), ("day_2", "open")]


# Crashes


def stop_after(monkeypatch: pytest.MonkeyPatch, batches: int, error: BaseException) -> None:
    """Let the run end in the middle, when it has landed this number of batches."""
    land, left = landing.land, iter(range(batches, -1, -1))

    def land_and_stop(*args: Any, **options: Any) -> Any:
        if not next(left):
            monkeypatch.undo()
            raise error
        return land(*args, **options)

    monkeypatch.setattr(landing, "land", land_and_stop)


@pytest.mark.parametrize("batches", range(6))
def test_a_run_cut_between_or_within_files_goes_on_there(
    tmp_path: Path, source: Days, settings: Any, monkeypatch: pytest.MonkeyPatch, batches: int
) -> None:
    settings.ETL_BATCH_SIZE = 1
    for day in (1, 2, 3):
        write(tmp_path, day, f"A{day},Bolt,1", f"B{day},Nut,x")
    stop_after(monkeypatch, batches, Interrupted())
    first, second = ingest_here(source), ingest_here(source)
    assert (first.counters["seen"], second.counters["seen"]) == (batches, 6 - batches)
    assert (first.counters["new"] + second.counters["new"], QuarantinedRecord.objects.count()) == (3, 3)
    assert list_read() == ["day_1", "day_2", "day_3"]
    assert [(row[0], row[1]) for row in dump_raw("days")] == [("A1", 1), ("A2", 1), ("A3", 1)]


def test_an_open_read_is_not_resumed_in_another_file_with_the_same_content(
    tmp_path: Path, source: Days, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.ETL_BATCH_SIZE = 1
    rows = ("A1,Bolt,1", "A2,Nut,1")
    path = write(tmp_path, 2, *rows)
    stop_after(monkeypatch, 1, Interrupted())
    ingest_here(source)
    path.rename(tmp_path / "day_1")
    assert count(ingest_here(source)) == {"seen": 2, "new": 1, "unchanged": 1}
    assert list_read() == ["day_1"]


def test_the_open_read_goes_on_before_a_file_that_fails_replaces_it(
    tmp_path: Path, source: Days, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.ETL_BATCH_SIZE = 1
    write(tmp_path, 1, "A1,Bolt,1")
    write(tmp_path, 2, "A2,Bolt,1", "B2,Nut,1")
    stop_after(monkeypatch, 2, Interrupted())
    ingest_here(source)
    write(tmp_path, 1, "A1,Changed,1")
    assert count(ingest_here(source)) == {"seen": 2, "new": 1, "updated": 1}
    assert list_read() == ["day_1", "day_2", "day_1"]


def test_a_full_run_that_is_handed_over_goes_on_after_the_files_that_it_has_read(
    tmp_path: Path, source: Days, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.ETL_SOURCES = ["tests.laws.test_files.find_plain_days"]
    FOLDER.append(tmp_path)
    for day in (1, 2, 3):
        write(tmp_path, day, f"A{day},Bolt,1")
    ingest_here(source)
    run = orders.queue("days", trigger=Trigger.COMMAND, by="a test", key="full", options=Options(full=True))
    stop_after(monkeypatch, 2, HandedOver("the task's time is up"))
    execute_queued(run.pk)
    assert Run.objects.get(pk=run.pk).status == Status.QUEUED
    execute_queued(run.pk)
    done = Run.objects.get(pk=run.pk)
    assert (done.status, done.seen) == (Status.SUCCESS, 3)
    assert list_read() == ["day_1", "day_2", "day_3"] * 2


@pytest.mark.parametrize("rows", [["A1,Bolt,1"], []], ids=["a record", "no record"])
def test_a_run_that_is_handed_over_after_its_last_file_has_still_read_it(
    tmp_path: Path, source: Days, settings: Any, monkeypatch: pytest.MonkeyPatch, rows: list[str]
) -> None:
    settings.ETL_SOURCES = ["tests.laws.test_files.find_plain_days"]
    FOLDER.append(tmp_path)
    write(tmp_path, 1, *rows)
    run = orders.queue("days", trigger=Trigger.COMMAND, by="a test", key="one")

    def hand_over(context: TaskContext) -> None:
        if fetch("SELECT FROM etl_files"):
            monkeypatch.undo()
            raise HandedOver("the task's time is up")

    monkeypatch.setattr(TaskContext, "note_batch", hand_over)
    execute_queued(run.pk)
    assert list(Run.objects.values_list("status", "seen")) == [("queued", len(rows))]
    execute_queued(run.pk)
    assert list(Run.objects.values_list("status", "reason", "seen")) == [("success", "", len(rows))]


def find_plain_days() -> list[Days]:
    return [Days(folder) for folder in FOLDER[-1:]]


def test_an_end_of_a_file_whose_answer_was_lost_is_written_once(
    tmp_path: Path, source: Days, monkeypatch: pytest.MonkeyPatch
) -> None:
    end_file, calls = ending.end_file, iter([True, False])

    def end_twice(*args: Any) -> None:
        end_file(*args)
        if next(calls, False):
            end_file(*args)

    monkeypatch.setattr(ending, "end_file", end_twice)
    write(tmp_path, 1, "A1,Bolt,1")
    assert ingest_here(source).status == Status.SUCCESS
    assert list_read() == ["day_1"]
    assert fetch("SELECT count(*) FROM etl_files") == [(1,)]
