"""Where `file_name()` and `row_number()` are the id, no record hides an equal one."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.checks import CheckMessage

from etl.checks import check_sources
from etl.execution.executor import execute_here
from etl.gates import Gates
from etl.models import QuarantinedRecord
from etl.reports.verification import verify
from etl.runs.options import Options
from etl.sources import Contract, CsvSource, NonBlank, PositiveDecimal, UnifiedFields, file_name, row_number
from etl.storage.refusal_selection import Selection
from etl.supervision.os_signals import Interruption
from tests.laws.test_files import count, write
from tests.listed_source import dump_unified, ingest_here

HEADER = "paid,to,amount\n"
ROWS = ("1 May,Baker,2.50", "1 May,Baker,2.50", "2 May,Miller,x", "2 May,Miller,x", "3 May,Smith,7")


class Booking(Contract):
    paid: NonBlank
    to: NonBlank
    amount: PositiveDecimal


class AnyBooking(Contract):
    paid: NonBlank
    to: NonBlank
    amount: NonBlank


class Bookings(CsvSource):
    name, every, contract = "bookings", timedelta(hours=1), Booking
    unified = {"external_id": (file_name(), row_number()), "name": "to"}
    gates = Gates(max_refused=1)
    path = ""


class OwnBookings(Bookings):
    """Judged record by record."""

    def unify(self, values: Any) -> Any:
        return super().unify(values)


@pytest.fixture(params=[Bookings, OwnBookings])
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Bookings:
    made: Bookings = request.param()
    made.path = str(tmp_path / "day_*")
    return made


def list_ids() -> list[str]:
    return [row[0] for row in dump_unified("bookings")]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("batch", [1, 2, 10_000])
def test_equal_rows_are_different_records(tmp_path: Path, source: Bookings, settings: Any, batch: int) -> None:
    settings.ETL_BATCH_SIZE = batch
    for day in (1, 2):
        write(tmp_path, day, *ROWS, header=HEADER)
    assert count(ingest_here(source)) == {"seen": 10, "new": 6, "quarantined": 4}
    assert list_ids() == ["day_1|1", "day_1|2", "day_1|5", "day_2|1", "day_2|2", "day_2|5"]
    rows = QuarantinedRecord.objects.order_by("file", "position")
    assert list(rows.values_list("external_id", flat=True)) == ["day_1|3", "day_1|4", "day_2|3", "day_2|4"]
    assert count(ingest_here(source, full=True)) == {"seen": 10, "unchanged": 6, "quarantined": 4}
    assert verify() == []


@pytest.mark.django_db(transaction=True)
def test_a_replay_lands_each_equal_refused_row(tmp_path: Path, source: Bookings) -> None:
    write(tmp_path, 1, *ROWS, header=HEADER)
    ingest_here(source)
    source.__class__ = type("Corrected", (type(source),), {"contract": AnyBooking})
    options = Options(selection=Selection(everything=True))
    outcome = execute_here(source, options, interruption=Interruption(), report=lambda progress: None)
    assert outcome.counters["new"] == 2
    assert list_ids() == [f"day_1|{number}" for number in range(1, 6)]
    assert count(ingest_here(source)) == {"seen": 5, "unchanged": 5}
    assert verify() == []


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("own_batches", [0, 1])
def test_a_reading_process_knows_the_file_and_the_row(
    tmp_path: Path, settings: Any, start_slowly: Callable[[int], None], own_batches: int
) -> None:
    start_slowly(own_batches)
    settings.ETL_BATCH_SIZE = 2
    source = Bookings()
    source.path = str(tmp_path / "day_*")
    write(tmp_path, 1, *ROWS, header=HEADER)
    ingest_here(source)
    assert list_ids() == ["day_1|1", "day_1|2", "day_1|5"]


def test_a_mapping_of_its_own_code_gets_the_origin() -> None:
    values = {"paid": "1", "to": "Baker", "amount": "1", "file_name()": "a|b", "row_number()": "7"}
    unified = Bookings().judge(values)
    assert isinstance(unified, UnifiedFields)
    assert unified.external_id == r"a\|b|7"


class Pathless(Bookings):
    path = "data/bookings.csv"


class Numbered(Bookings):
    path = "data/day_*"
    unified = {"external_id": ("paid", row_number()), "name": "to"}


class Filed(Bookings):
    path = "data/day_*"
    unified = {"external_id": (file_name(),), "name": "to"}


class NamedAfterFile(Bookings):
    path = "data/day_*"
    unified = {"external_id": "paid", "name": file_name()}


class CompleteDays(Bookings):
    path = "data/day_*"
    complete = True


class Elsewhere(Bookings):
    path = "storage://nowhere/a.csv"
    unified = {"external_id": "paid", "name": "to"}


class FiledFields(Bookings):
    path = "data/day_*"
    unified = {"external_id": (file_name(), "paid"), "name": "to"}


class Fine(Bookings):
    path = "data/day_*"


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (Pathless, "takes file_name() and row_number(), but its path is not a pattern."),
        (Numbered, "takes row_number() without file_name()."),
        (Filed, "gives every record of a file the same id."),
        (NamedAfterFile, "maps file_name() to name."),
        (CompleteDays, "is complete, but its path matches several files."),
        (Elsewhere, "path names no file of a storage: storage://nowhere/a.csv."),
        (FiledFields, ""),
        (Fine, ""),
    ],
)
def test_check_says_where_an_origin_is_no_id(settings: Any, kind: type[Bookings], message: str) -> None:
    settings.ETL_SOURCES = [f"{__name__}.{kind.__name__}"]
    found: list[CheckMessage] = check_sources(None)
    assert [each.msg.endswith(message) for each in found] == ([True] if message else [])
