"""Law 9: a verdict concerns the read. It fails or marks the read, and stands until something changes."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command

from etl.exceptions import NotPossible
from etl.gates import Gates
from etl.models import Checkpoint, JudgedRead, QuarantinedRecord, ReadMark, Run, UnifiedRecord
from etl.operations.reads import accept
from etl.reports.verification import verify
from etl.sources import Contract, CsvSource, JsonLinesSource, NonBlank, PositiveDecimal, Text
from etl.vocabulary import Trigger
from tests.laws.test_drift_delivery import CutListed
from tests.listed_source import Listed, fetch, ingest_here, make_item

pytestmark = pytest.mark.django_db(transaction=True)

SIZES = pytest.mark.parametrize("size", [1, 3, 999, 1000, 10_000])
BEFORE = "sku,title,price\n" + "".join(f"S{number},t{number},1.50\n" for number in range(40))
RENAMED = BEFORE.replace("title", "name")
SHRUNKEN = "".join(BEFORE.splitlines(keepends=True)[:13])
HTML = "<!DOCTYPE html><html><body>Please log in</body></html>\n"


class Item(Contract):
    sku: NonBlank
    title: NonBlank
    price: PositiveDecimal


class Items(CsvSource):
    name = "items_csv"
    every = timedelta(hours=1)
    contract = Item
    unified = {"external_id": "sku", "name": "title", "value": "price"}


class Lines(JsonLinesSource):
    name = "items_json"
    every = timedelta(hours=1)
    contract = Item
    unified = Items.unified


class Loose(Contract):
    sku: NonBlank | None
    title: Text | None


class GatedListed(Listed):
    gates = Gates()


class CutGated(CutListed):
    gates = Gates()


@pytest.fixture
def items(tmp_path: Path) -> Items:
    source = Items()
    source.path = str(tmp_path / "items.csv")
    return source


@pytest.fixture
def lines(tmp_path: Path) -> Lines:
    source = Lines()
    source.path = str(tmp_path / "items.ndjson")
    return source


@pytest.fixture(autouse=True)
def configured(settings: Any) -> None:
    settings.ETL_SOURCES = [f"{__name__}.Items", f"{__name__}.Lines", f"{__name__}.GatedListed"]


def read(source: Items | Lines, text: str | bytes, *, full: bool = False) -> Run:
    Path(source.path).write_bytes(text if isinstance(text, bytes) else text.encode())
    ingest_here(source, full=full)
    assert verify() == []
    return Run.objects.latest("pk")


def ended(run: Run) -> tuple[str, str, bool]:
    return run.status, run.reason, run.is_unchanged


def count_landed() -> tuple[int, int]:
    return UnifiedRecord.objects.count(), QuarantinedRecord.objects.count()


def accept_last() -> Run:
    run = accept(JudgedRead.objects.latest("pk").pk, by="a test", user_id=None, trigger=Trigger.COMMAND)
    assert run.status == "queued"
    return run


@SIZES
def test_a_renamed_column_fails_the_run_before_the_first_batch(items: Items, settings: Any, size: int) -> None:
    settings.ETL_BATCH_SIZE = size
    read(items, BEFORE)
    run = read(items, RENAMED)
    assert ended(run) == ("failed", "columns_missing", False)
    assert "'title'" in run.error
    assert "New since the last accepted read: 'name'" in run.error
    assert (count_landed(), run.seen) == ((40, 0), 0)


def test_the_verdict_is_repeated_for_the_same_content_and_ends_with_other_content(items: Items) -> None:
    read(items, BEFORE)
    read(items, RENAMED)
    again = read(items, RENAMED)
    assert ended(again) == ("failed", "columns_missing", True)
    assert "'title'" in again.error
    assert JudgedRead.objects.count() == 2
    healed = read(items, BEFORE)
    assert ended(healed) == ("success", "unchanged", True)
    assert ended(read(items, BEFORE)) == ("success", "unchanged", True)
    assert ended(read(items, RENAMED)) == ("failed", "columns_missing", False)


def test_a_full_read_judges_again(items: Items) -> None:
    read(items, RENAMED)
    assert ended(read(items, RENAMED, full=True)) == ("failed", "columns_missing", False)


def test_another_contract_judges_again(items: Items, monkeypatch: pytest.MonkeyPatch) -> None:
    read(items, RENAMED)
    monkeypatch.setattr(Items, "version", 2)
    assert ended(read(items, RENAMED)) == ("failed", "columns_missing", False)


@pytest.mark.parametrize(
    ("text", "looks_like"),
    [
        (HTML, "HTML"),
        (BEFORE.replace(",", ";"), "semicolons"),
        (BEFORE.replace(",", "\t"), "tab"),
        (json.dumps([make_item(1)]), "JSON"),
    ],
)
def test_the_verdict_says_what_the_content_looks_like(items: Items, text: str, looks_like: str) -> None:
    run = read(items, text)
    assert ended(run) == ("failed", "columns_missing", False)
    assert looks_like in run.error


@pytest.mark.parametrize("header", ["sku,Titles,price", "sku,titel,price"])
def test_the_verdict_names_a_similar_column(items: Items, header: str) -> None:
    run = read(items, BEFORE.replace("sku,title,price", header))
    assert f"Did you mean {header.split(',')[1]!r}?" in run.error


def test_a_file_without_a_header_does_not_lose_its_first_record(items: Items) -> None:
    run = read(items, BEFORE.partition("\n")[2])
    assert ended(run) == ("failed", "columns_missing", False)
    assert (count_landed(), run.seen) == ((0, 0), 0)


def test_a_contract_of_optional_fields_needs_one_of_them(items: Items) -> None:
    class Optional(Items):
        contract = Loose  # type: ignore[assignment]
        unified = {"external_id": "sku", "name": "title"}

    source = Optional()
    source.path = items.path
    assert ended(read(source, "a,b\n1,2\n")) == ("failed", "columns_missing", False)


@SIZES
def test_a_field_that_no_json_record_has_is_missing(lines: Lines, settings: Any, size: int) -> None:
    settings.ETL_BATCH_SIZE = size
    records = [{"sku": f"S{number}", "title": "t", "price": "1"} for number in range(20)]
    text = "".join(json.dumps(record) + "\n" for record in records)
    read(lines, text)
    run = read(lines, text.replace("title", "name"))
    assert ended(run) == ("failed", "columns_missing", False)
    assert "Missing: 'title'" in run.error
    assert count_landed() == (20, 0)


def test_a_single_json_record_without_a_field_is_refused(lines: Lines) -> None:
    records = [{"sku": "S1", "price": "1"}, *({"sku": f"S{n}", "title": "t", "price": "1"} for n in range(2, 9))]
    run = read(lines, "".join(json.dumps(record) + "\n" for record in records))
    assert ended(run) == ("partial", "records_refused", False)
    assert count_landed() == (7, 1)


def make_rows(count: int, bad: range) -> str:
    rows = (f"S{number},t,{'free' if number in bad else '1.50'}\n" for number in range(count))
    return "sku,title,price\n" + "".join(rows)


@SIZES
def test_too_many_refused_of_the_first_records_land_nothing_but_five(items: Items, settings: Any, size: int) -> None:
    settings.ETL_BATCH_SIZE = size
    run = read(items, make_rows(2000, range(700)))
    assert ended(run) == ("failed", "too_many_refused", False)
    assert (count_landed(), run.seen, run.quarantined) == ((0, 5), 5, 5)
    assert "700 of 1,000 records were refused" in run.error
    assert "line 2: price" in run.error
    assert [row.line for row in QuarantinedRecord.objects.order_by("pk")] == [2, 3, 4, 5, 6]
    assert Checkpoint.objects.get().open_quarantine_count == 5
    assert ended(read(items, make_rows(2000, range(700)))) == ("failed", "too_many_refused", True)


@SIZES
def test_too_many_refused_later_fail_the_read_at_its_end(items: Items, settings: Any, size: int) -> None:
    settings.ETL_BATCH_SIZE = size
    text = make_rows(2500, range(1100, 2500))
    run = read(items, text)
    assert ended(run) == ("failed", "too_many_refused", False)
    assert count_landed() == (1100, 1400)
    assert ended(read(items, text)) == ("failed", "too_many_refused", True)


def test_a_few_refused_records_do_not_fail_a_small_read(items: Items) -> None:
    assert ended(read(items, make_rows(4, range(4)))) == ("partial", "records_refused", False)


def test_a_source_sets_its_own_limit(items: Items) -> None:
    text = make_rows(100, range(10))
    assert read(items, text).status == "partial"
    items.gates = Gates(max_refused=0.02)  # type: ignore[misc]
    assert ended(read(items, text, full=True)) == ("failed", "too_many_refused", False)


@pytest.mark.parametrize("text", ["sku,title,price\n", "", "\n\n", "\ufeff"])
def test_a_file_that_is_suddenly_empty_fails_and_stays_failed(items: Items, text: str) -> None:
    read(items, BEFORE)
    assert ended(read(items, text)) == ("failed", "suddenly_empty", False)
    assert ended(read(items, text)) == ("failed", "suddenly_empty", True)
    assert count_landed() == (40, 0)
    assert ended(read(items, BEFORE)) == ("success", "unchanged", True)


@pytest.mark.parametrize("text", ["[]", "", " \n"])
def test_a_feed_that_is_suddenly_empty_fails(lines: Lines, text: str) -> None:
    read(lines, '[{"sku": "S1", "title": "t", "price": "1"}]')
    assert ended(read(lines, text)) == ("failed", "suddenly_empty", False)


def test_a_source_that_has_always_been_empty_succeeds(items: Items, lines: Lines) -> None:
    assert read(items, "sku,title,price\n").status == "success"
    assert read(lines, "[]").status == "success"


def test_far_fewer_records_are_partial_and_stay_partial(items: Items) -> None:
    read(items, BEFORE)
    run = read(items, SHRUNKEN)
    assert ended(run) == ("partial", "shrunken", False)
    assert run.seen == 12
    assert "12 records, fewer than 50% of the 40" in run.error
    assert ended(read(items, SHRUNKEN)) == ("partial", "shrunken", True)
    assert JudgedRead.objects.latest("pk").outcome == "held"


def test_a_shrunken_read_is_no_baseline(items: Items) -> None:
    read(items, BEFORE)
    read(items, SHRUNKEN)
    assert ended(read(items, SHRUNKEN.replace("1.50", "1.60"))) == ("partial", "shrunken", False)


def test_the_former_content_after_a_held_read_is_read_again(items: Items) -> None:
    read(items, BEFORE)
    read(items, SHRUNKEN.replace("1.50", "9.99"))
    run = read(items, BEFORE)
    assert (ended(run), run.updated) == (("success", "", False), 12)


def test_a_minimum_of_records_is_kept(items: Items) -> None:
    items.gates = Gates(min_records=50)  # type: ignore[misc]
    assert ended(read(items, BEFORE)) == ("failed", "too_few_records", False)


def test_content_that_is_older_than_allowed_is_stale(items: Items) -> None:
    items.gates = Gates(fresh_within=timedelta(hours=26))  # type: ignore[misc]
    read(items, BEFORE)
    assert ended(read(items, BEFORE)) == ("success", "unchanged", True)
    fetch("UPDATE etl_reads SET begun_at = begun_at - interval '27 hours' RETURNING id")
    run = read(items, BEFORE)
    assert ended(run) == ("partial", "stale", True)
    assert "at most 26.0 h are allowed" in run.error
    assert ended(read(items, BEFORE.replace("1.50", "1.60"))) == ("success", "", False)


@pytest.mark.parametrize("limits", [{"max_refused": 2}, {"min_kept": -1}, {"min_refused": -1}, {"min_records": -1}])
def test_a_limit_that_makes_no_sense_is_an_error(limits: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(limits))):
        Gates(**limits)


def test_the_gravest_gate_is_the_reason(items: Items) -> None:
    items.gates = Gates(min_records=1000)  # type: ignore[misc]
    read(items, make_rows(1500, range(0)))
    run = read(items, make_rows(600, range(0)))
    assert ended(run) == ("failed", "too_few_records", False)
    assert [failure["gate"] for failure in run.verdict] == ["too_few_records", "shrunken"]


def test_an_accepted_read_becomes_the_baseline_and_is_read_again(items: Items) -> None:
    read(items, BEFORE)
    read(items, SHRUNKEN)
    queued = accept_last()
    assert accept(JudgedRead.objects.latest("pk").pk, by="a test", user_id=None, trigger=Trigger.API).pk == queued.pk
    ingest_here(items)
    run = Run.objects.latest("finished_at")
    assert (ended(run), run.pk, run.seen) == (("success", "", False), queued.pk, 12)
    assert ended(read(items, SHRUNKEN)) == ("success", "unchanged", True)


def test_an_accepted_read_with_too_many_refused_lands(items: Items) -> None:
    text = make_rows(2000, range(700))
    read(items, text)
    accept_last()
    ingest_here(items)
    assert count_landed() == (1300, 700)
    assert Run.objects.latest("finished_at").status == "partial"
    assert ended(read(items, make_rows(2000, range(701)))) == ("failed", "too_many_refused", False)


def test_an_accepted_empty_read_succeeds(items: Items) -> None:
    read(items, BEFORE)
    read(items, "sku,title,price\n")
    accept_last()
    ingest_here(items)
    assert Run.objects.latest("finished_at").status == "success"
    assert ended(read(items, "sku,title,price\n")) == ("success", "unchanged", True)


def test_missing_columns_and_older_reads_can_not_be_accepted(items: Items) -> None:
    read(items, BEFORE)
    read(items, SHRUNKEN)
    older = JudgedRead.objects.latest("pk").pk
    read(items, RENAMED)
    with pytest.raises(NotPossible, match="correct the source or its contract"):
        accept_last()
    with pytest.raises(NotPossible, match="not its last judged read"):
        accept(older, by="a test", user_id=None, trigger=Trigger.COMMAND)
    assert Run.objects.filter(status="queued").count() == 0


def test_the_command_lists_and_accepts(items: Items, capsys: pytest.CaptureFixture[str]) -> None:
    read(items, BEFORE)
    read(items, SHRUNKEN)
    call_command("reads", "items_csv")
    shown = capsys.readouterr().out
    assert "held" in shown
    assert "fewer than 50%" in shown
    call_command("reads", accept=JudgedRead.objects.latest("pk").pk)
    assert "is queued" in capsys.readouterr().out


def test_a_failed_start_keeps_the_marks_that_replays_need(items: Items) -> None:
    read(items, make_rows(40, range(3)))
    read(items, make_rows(40, range(3)), full=True)
    marks = ReadMark.objects.count()
    assert marks
    read(items, RENAMED)
    assert ReadMark.objects.count() == marks
    assert set(ReadMark.objects.values_list("read_number", flat=True)) == {Checkpoint.objects.get().read_number}


def test_a_content_that_fails_at_its_start_ends_the_open_read_of_another(items: Items) -> None:
    """Batches of the open read have landed, so the former content must be read again."""
    read(items, BEFORE)
    fingerprint = Checkpoint.objects.get().fingerprint
    Checkpoint.objects.update(is_reading=True, read_fingerprint="other:content")
    read(items, RENAMED)
    assert Checkpoint.objects.get().fingerprint == ""
    assert ended(read(items, BEFORE)) == ("success", "", False)
    assert Checkpoint.objects.get().fingerprint == fingerprint


def test_a_failed_read_moves_neither_drift_nor_baseline(items: Items) -> None:
    read(items, BEFORE)
    read(items, make_rows(2000, range(700)).replace("title", "title,extra").replace(",t,", ",t,x,"))
    assert fetch("SELECT count(*) FROM schema_changes") == [(0,)]
    assert Checkpoint.objects.get().accepted_read == 1


def test_each_read_is_stored_with_its_counts(items: Items) -> None:
    read(items, make_rows(40, range(3)))
    (kept,) = JudgedRead.objects.all()
    assert (kept.number, kept.outcome, kept.verdict) == (1, "accepted", [])
    assert (kept.seen, kept.quarantined, kept.met, kept.is_whole) == (40, 3, 37, True)
    assert kept.fingerprint == Checkpoint.objects.get().fingerprint
    assert kept.begun_at <= kept.ended_at


def test_a_read_resumed_after_a_crash_counts_all_of_its_records(items: Items, settings: Any) -> None:
    settings.ETL_BATCH_SIZE = 2
    records = [*map(make_item, range(6))]
    ingest_here(CutListed(records, cut=4))
    ingest_here(Listed(records))
    assert JudgedRead.objects.values_list("seen", "met").get() == (6, 6)


def test_a_verdict_counts_what_landed_before_a_crash(settings: Any) -> None:
    """The read breaks off before its last batch. No gate would fail what the second run reads."""
    settings.ETL_BATCH_SIZE = 2
    records = [make_item(n, **({"price": "x"} if n < 4 else {"name": "" if n < 8 else "t"})) for n in range(12)]
    settings.ETL_SOURCES = [f"{__name__}.CutGated"]
    ingest_here(CutGated(records, cut=10))
    ingest_here(GatedListed(records))
    run = Run.objects.latest("pk")
    assert (run.seen, ended(run)) == (2, ("failed", "too_many_refused", False))
    assert "8 of 12 records were refused" in run.error
