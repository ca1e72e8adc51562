"""Law 5 under another declaration: what is ignored, spelled otherwise or added writes nothing."""

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar

import pytest

from etl.checks import check_sources
from etl.execution.outcomes import Outcome
from etl.gates import Gates
from etl.reports.verification import verify
from etl.sources import Contract, CsvSource, JsonLinesSource, Text, field, setting
from tests.listed_source import fetch, ingest_here

pytestmark = pytest.mark.django_db(transaction=True)


class Thing(Contract):
    id: Text
    name: Text


class Lines(JsonLinesSource):
    name = "things"
    every = timedelta(hours=1)
    path: Any = setting("THINGS_PATH")
    contract: ClassVar[type[Contract]] = Thing
    unified = {"external_id": "id", "name": "name"}
    gates = Gates(max_refused=1, min_kept=0)


class IgnoringLines(Lines):
    ignore = ("exported_at", "meta.at")


class Table(CsvSource):
    name = "things"
    every = timedelta(hours=1)
    path: Any = setting("THINGS_PATH")
    contract: ClassVar[type[Contract]] = Thing
    unified = {"external_id": "id", "name": "name"}
    gates = Gates(max_refused=1, min_kept=0)


class IgnoringTable(Table):
    ignore = ("exported_at",)


class Spelled(Thing):
    name: Text = field(column="name", also=["Bezeichnung"])


class SpelledTable(Table):
    contract = Spelled


class SpelledLines(Lines):
    contract = Spelled


class More(Thing):
    exported_at: Text | None
    colour: Text | None


class MoreTable(Table):
    contract = More


class WrongTable(Table):
    ignore: Any = "exported_at"


class MappedTable(Table):
    ignore = ("name",)


@pytest.fixture
def write(tmp_path: Path, settings: Any) -> Callable[[str], None]:
    settings.THINGS_PATH = str(tmp_path / "things")

    def write_it(text: str) -> None:
        (tmp_path / "things").write_text(text)

    return write_it


def dump() -> list[Any]:
    tables = ("raw_records", "unified_records", "etl_quarantine")
    return [fetch(f"SELECT * FROM {table} ORDER BY id") for table in tables]


def count(outcome: Outcome) -> dict[str, int]:
    """Return the counters without the refused record that each content has."""
    assert outcome.counters["quarantined"] == 1
    return {name: number for name, number in outcome.counters.items() if number and name not in ("seen", "quarantined")}


def make_lines(at: str, key: str = "name", name: str = "n") -> str:
    names = [*(f"{name}{n}" for n in range(5)), ""]
    records = ({"id": f"v{n}", key: each, "exported_at": at, "meta": {"at": at}} for n, each in enumerate(names))
    return "\n".join(map(json.dumps, records))


def make_table(at: str, header: str = "id,name,exported_at", name: str = "n") -> str:
    return "\n".join([header, *(f"v{n},{name}{n},{at}" for n in range(5)), f"v5,,{at}", ""])


@pytest.mark.parametrize("size", [1, 2, 3, 10_000])
@pytest.mark.parametrize(("source", "make"), [(IgnoringLines, make_lines), (IgnoringTable, make_table)])
def test_another_value_of_an_ignored_column_alone_writes_nothing(
    settings: Any, write: Callable[[str], None], size: int, source: type[Any], make: Callable[..., str]
) -> None:
    settings.ETL_BATCH_SIZE = size
    write(make("8:00"))
    ingest_here(source())
    before = dump()
    write(make("9:00"))
    assert count(ingest_here(source())) == {"unchanged": 5}
    assert dump() == before
    write(make("10:00", name="other"))
    assert count(ingest_here(source())) == {"updated": 5}
    assert fetch("SELECT count(*) FROM raw_records WHERE position('10:00' IN payload::text) > 0") == [(5,)]
    assert verify() == []


FORMER: list[Any] = [
    pytest.param(Lines, make_lines("8:00"), IgnoringLines, make_lines("9:00"), id="declared_for_JSON"),
    pytest.param(Table, make_table("8:00"), IgnoringTable, make_table("9:00"), id="declared_for_CSV"),
    pytest.param(IgnoringTable, make_table("8:00"), Table, make_table("8:00"), id="no_longer_declared"),
    pytest.param(Table, make_table("8"), Table, make_table("8", " Id,NAME ,exported_at"), id="padded_and_capitalised"),
    pytest.param(Table, make_table("8", "ID,Name,exported_at"), Table, make_table("8"), id="spelled_exactly_again"),
    pytest.param(
        Table, make_table("8"), SpelledTable, make_table("8", "id,Bezeichnung,exported_at"), id="another_spelling"
    ),
    pytest.param(Lines, make_lines("8"), SpelledLines, make_lines("8", "Bezeichnung"), id="another_spelling_in_JSON"),
    pytest.param(Table, make_table("8"), MoreTable, make_table("8"), id="an_optional_field"),
    pytest.param(
        Table, make_table("8", "id,name,Colour "), MoreTable, make_table("8", "id,name,Colour "), id="a_padded_column"
    ),
]


@pytest.mark.parametrize(("former", "text", "source", "following"), FORMER)
def test_another_declaration_of_the_same_content_writes_nothing(
    write: Callable[[str], None], former: type[Any], text: str, source: type[Any], following: str
) -> None:
    write(text)
    ingest_here(former())
    before = dump()
    write(following)
    for full in (False, True):
        assert count(ingest_here(source(), full=full)) == {"unchanged": 5}
        assert dump() == before


def list_drift() -> list[str]:
    return [row[0] for row in fetch("SELECT message FROM etl_run_events WHERE kind = 'drift' ORDER BY id")]


def test_another_spelling_of_a_header_is_reported_once(write: Callable[[str], None]) -> None:
    write(make_table("8"))
    ingest_here(Table())
    assert list_drift() == []
    for at in ("8", "9"):
        write(make_table(at, "id,NAME,exported_at"))
        ingest_here(Table())
    told = ["Column names: 'NAME' is read as 'name'.", "The source's shape has changed: name is now spelled NAME."]
    assert list_drift() == told
    assert fetch("SELECT path, kind, before #>> '{}', after #>> '{}' FROM schema_changes") == [
        ("NAME", "spelling", "name", "NAME")
    ]


def test_a_spelling_is_reported_by_the_first_run_that_reads_it(write: Callable[[str], None]) -> None:
    for at in ("8", "9"):
        write(make_lines(at, "Bezeichnung"))
        ingest_here(SpelledLines())
    assert list_drift() == ["Column names: 'Bezeichnung' is read as 'name'."]


def test_a_declaration_hides_no_other_change(write: Callable[[str], None]) -> None:
    write(make_table("8:00"))
    ingest_here(Table())
    write(make_table("9:00").replace("n3", "other"))
    assert count(ingest_here(IgnoringTable())) == {"updated": 1, "unchanged": 4}
    write(make_table("10:00").replace("n3", "other"))
    assert count(ingest_here(IgnoringTable())) == {"unchanged": 5}


def test_without_ignore_the_column_counts_again(write: Callable[[str], None]) -> None:
    write(make_table("8:00"))
    ingest_here(IgnoringTable())
    write(make_table("9:00"))
    assert count(ingest_here(Table())) == {"updated": 5}


@pytest.mark.parametrize(("source", "found"), [(WrongTable, "E004"), (MappedTable, "E012")])
def test_an_ignore_that_can_not_be_is_named(settings: Any, source: type[Any], found: str) -> None:
    settings.THINGS_PATH = "x.csv"
    settings.ETL_SOURCES = [f"{__name__}.{source.__name__}"]
    assert f"etl.{found}" in [message.id for message in check_sources(None)]
