"""Many sources of a kind: an entry of ETL_SOURCES may be a callable, whose sources have each a name of their own."""

import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.db import connection, transaction
from django_celery_beat.models import PeriodicTask

from etl.checks import check_sources
from etl.execution import executor
from etl.execution import sweep as sweeping
from etl.models import Checkpoint, Run
from etl.runs import orders
from etl.sources import Contract, CsvSource, NonBlank
from etl.sources.registry import find_source, list_sources
from etl.vocabulary import Trigger
from tests.listed_source import fetch, ingest_here
from tests.processes import manage_here
from tests.runs.test_orders import Ordered

pytestmark = pytest.mark.django_db(transaction=True)


class Part(Contract):
    sku: NonBlank
    title: NonBlank


class Supplier(CsvSource):
    every = timedelta(hours=1)
    contract = Part
    unified = {"external_id": "sku", "name": "title"}

    def __init__(self, name: str, path: str) -> None:
        self.name, self.path = name, path


ROWS: list[tuple[str, str]] = []
"""The setting in which a team lists its suppliers."""


def list_rows() -> list[Supplier]:
    return [Supplier(*row) for row in ROWS]


def list_groups() -> Iterator[Supplier]:
    """Stands for a table of the team's own."""
    for group in Group.objects.order_by("name"):
        yield Supplier(group.name, f"{group.name}.csv")


def list_from_missing_table() -> Iterator[Supplier]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT name, path FROM no_such_table")
    yield from ()


def raise_bug() -> list[Supplier]:
    raise KeyError("secret-token")


def give_one() -> type[Ordered]:
    return Ordered


def give_text() -> str:
    return "supplier"


def give_some_text() -> list[object]:
    return [Supplier("good", "good.csv"), "bad"]


def give_twins() -> list[Supplier]:
    return [Supplier("twin", "a.csv"), Supplier("twin", "b.csv")]


def give_long_name() -> list[Supplier]:
    return [Supplier("n" * 194, "a.csv")]


class Misplaced(Supplier):
    """Takes arguments, so it can't be an entry itself."""


class BadZone(Ordered):
    zone = "Europe/Atlantis"


NOT_A_SOURCE = 5


@pytest.fixture(autouse=True)
def rows(settings: Any, tmp_path: Path) -> Iterator[list[tuple[str, str]]]:
    settings.ETL_SOURCES = [f"{__name__}.list_rows"]
    for number in range(40):
        path = tmp_path / f"supplier_{number}.csv"
        path.write_text(f"sku,title\n1,Part of {number}\n")
        ROWS.append((f"supplier_{number}", str(path)))
    yield ROWS
    ROWS.clear()


def name(*callables: Callable[..., object] | str) -> list[str]:
    return [f"{__name__}.{each if isinstance(each, str) else each.__name__}" for each in callables]


def test_forty_rows_are_forty_sources() -> None:
    assert [source.name for source in list_sources()] == [f"supplier_{number}" for number in range(40)]
    assert not check_sources(None)


def test_a_row_that_is_added_is_a_source_at_once(rows: list[tuple[str, str]]) -> None:
    rows.append(("late", "late.csv"))
    assert find_source("late") is not None


def test_each_source_lands_its_own_records_under_its_own_name() -> None:
    for number in (3, 17):
        source = find_source(f"supplier_{number}")
        assert source is not None
        assert ingest_here(source).counters["new"] == 1
    landed = fetch("SELECT source, external_id, name FROM unified_records ORDER BY id")
    assert landed == [("supplier_3", "1", "Part of 3"), ("supplier_17", "1", "Part of 17")]
    assert set(Checkpoint.objects.values_list("source", flat=True)) == {"supplier_3", "supplier_17"}


def test_each_source_has_its_own_schedule() -> None:
    sweeping.sweep()
    assert PeriodicTask.objects.filter(name__startswith="ingest supplier_").count() == 40
    assert Run.objects.filter(source="supplier_9", trigger="schedule").count() == 1


def test_commands_know_each_source(capsys: pytest.CaptureFixture[str]) -> None:
    assert "supplier_39" in manage_here(capsys, "sources").stdout
    assert manage_here(capsys, "ingest", "supplier_39").returncode == 0


def test_a_table_may_give_sources(settings: Any) -> None:
    settings.ETL_SOURCES = name(list_groups)
    Group.objects.create(name="from_a_table")
    assert "from_a_table" in [source.name for source in list_sources()]


def test_a_callable_may_give_one_class(settings: Any) -> None:
    settings.ETL_SOURCES = name(give_one)
    assert [source.name for source in list_sources()] == ["listed"]


# --- what can't be listed ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entry", "found", "message"),
    [
        (raise_bug, "etl.E010", "raise_bug can't list its sources: KeyError in raise_bug (test_source_lists.py:"),
        (list_from_missing_table, "etl.W002", "ProgrammingError in"),
        (give_text, "etl.E002", "gives a str, which is not a source."),
        (give_some_text, "etl.E002", "gives a str, which is not a source."),
        (give_twins, "etl.E003", "are both named 'twin'."),
        (give_long_name, "etl.E008", "has a name that can't be used."),
        (Misplaced, "etl.E002", "Misplaced can't be made: TypeError in"),
        ("NOT_A_SOURCE", "etl.E002", "is neither a source class nor a callable."),
        ("missing", "etl.E001", "can't be imported: the module 'tests.test_source_lists' has no 'missing'."),
        (BadZone, "etl.E004", "has no usable zone."),
    ],
)
def test_check_names_what_an_entry_gives_and_should_not(settings: Any, entry: Any, found: str, message: str) -> None:
    settings.ETL_SOURCES = name(entry)
    (problem,) = check_sources(None)
    assert (problem.id, message in problem.msg) == (found, True), problem.msg
    assert "secret-token" not in problem.msg
    assert problem.hint


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "Csv(delimiter=';;')",
            "Csv(delimiter=';;'): must be one character, not a line break, in <module> (declared.py:2).",
        ),
        ("Csv(encoding='utf-32')", "Csv(encoding='utf-32'): UTF-8, UTF-16 and every encoding that "),
        ("class A(Contract): a: Time = field(missing='later')", "A.a: missing is 'shift', not 'later', in <module> "),
        ("class A(Contract): a: Text = field(max=1)", "A.a: the type text has no parameter 'max'; its parameters: "),
        ("class A(Contract): a: Text = field(pattern='[A-Z')", "A.a: pattern is not a regular expression: '[A-Z', in"),
        ("import no_such", "there is no module 'no_such', in <module> (declared.py:2)."),
        (
            "class A(Contract): a: int",
            "A.a: use a type of etl.sources or another Contract, not <class 'int'>, in <modu",
        ),
        (
            "def f(): return Gates(max_refused=5)\nf()",
            "Gates.max_refused is a share from 0 to 1, not 5, in f (declared.",
        ),
        ("Csv(no_such='secret-token')", "TypeError in <module> (declared.py:2)."),
        ("int('secret-token')", "ValueError in <module> (declared.py:2)."),
        ("def f(): raise ValueError('secret-token')\nf()", "ValueError in f (declared.py:2)."),
    ],
)
def test_check_says_what_a_module_declares_wrongly(
    settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, message: str
) -> None:
    (tmp_path / "declared.py").write_text(f"from etl.sources import *\n{line}\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "declared", raising=False)
    settings.ETL_SOURCES = ["declared.Parts"]
    (problem,) = check_sources(None)
    assert f"declared.Parts can't be imported: {message}" in problem.msg, problem.msg
    assert "secret-token" not in problem.msg


def test_a_callable_that_raises_keeps_no_other_source_from_running(settings: Any, caplog: Any) -> None:
    settings.ETL_SOURCES = [*name(raise_bug, list_from_missing_table, give_some_text), "tests.runs.test_orders.Ordered"]
    sweeping.sweep()
    assert set(Run.objects.values_list("source", flat=True)) == {"good", "listed"}
    assert "raise_bug can't list its sources" in caplog.text


def test_a_failure_is_logged_once_and_not_at_each_listing(settings: Any, caplog: Any) -> None:
    settings.ETL_SOURCES = name(raise_bug)
    list_sources()
    caplog.clear()
    list_sources()
    assert not caplog.records


def test_a_run_waits_while_its_source_can_not_be_listed(settings: Any) -> None:
    run = orders.queue("supplier_1", trigger=Trigger.API, by="a test")
    settings.ETL_SOURCES = name(raise_bug)
    executor.execute_queued(run.pk)
    assert Run.objects.get().status == "queued"
    settings.ETL_SOURCES = name(list_rows)
    executor.execute_queued(run.pk)
    assert Run.objects.get().status == "success"


def test_a_source_that_no_entry_gives_any_more_ends_its_run(rows: list[tuple[str, str]]) -> None:
    run = orders.queue("supplier_1", trigger=Trigger.API, by="a test")
    del rows[1]
    executor.execute_queued(run.pk)
    assert (Run.objects.get().status, Run.objects.get().reason) == ("failed", "unknown_source")


def test_a_failing_statement_leaves_the_callers_transaction_usable(settings: Any) -> None:
    settings.ETL_SOURCES = name(list_from_missing_table, list_rows)
    with transaction.atomic():
        assert len(list_sources()) == 40
        assert Group.objects.count() == 0
