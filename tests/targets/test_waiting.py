"""A record whose parent is missing waits, and lands when the parent is there: once, and never over a newer one."""

import itertools
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from django.db import OperationalError, connection, connections
from django.db.backends.postgresql.base import DatabaseWrapper
from django.test.utils import CaptureQueriesContext

from etl.execution import executor, sweep
from etl.execution.outcomes import Outcome
from etl.fence import task_leases
from etl.gates import Gates
from etl.models import Checkpoint, QuarantinedRecord, Run
from etl.operations import quarantine
from etl.readers.source import Source
from etl.reports.standing import read_words
from etl.reports.verification import verify
from etl.runs import arrivals, orders
from etl.runs.options import Options
from etl.sources.registry import find_source
from etl.storage import waiting
from etl.storage.refusal_selection import Selection
from etl.storage.waiting import count_waiting, find_arrived
from etl.supervision.os_signals import Interruption
from etl.vocabulary import Trigger
from tests.laws.test_crashes import outlive_the_lease
from tests.listed_source import dump_raw, fetch, ingest_here
from tests.processes import Project, await_stop, wait_until
from tests.shop.models import Category, Product, Supplier
from tests.shop.sources import (
    HEADER,
    DripProducts,
    Groups,
    NullProducts,
    Products,
    WaitingFile,
    WaitingProducts,
    make_line,
    make_product,
)
from tests.targets.test_races import ingest_while

pytestmark = pytest.mark.django_db(transaction=True)
COMMIT: Any = getattr(DatabaseWrapper, "_commit")  # noqa: B009  (private in Django, missing from the stubs)
KINDS: dict[str, type[Products]] = {"refuse": Products, "null": NullProducts, "wait": WaitingProducts}


@pytest.fixture(autouse=True)
def listed(settings: Any) -> None:
    names = ("Products", "NullProducts", "WaitingProducts", "DripProducts", "Groups", "WaitingFile")
    settings.ETL_SOURCES = [f"tests.shop.sources.{name}" for name in names]


def make(number: int = 1, **more: Any) -> dict[str, Any]:
    return make_product(number, supplier="ACME", **more)


def sweep_once() -> None:
    """Sweep as if the last sweep's lease had ended, and do what a worker does with what is queued."""
    end_leases(task_leases.ARRIVALS)
    for source in arrivals.list_looks():
        arrivals.look(source)
    work()


def end_leases(name: str) -> None:
    fetch("UPDATE etl_task_leases SET expires_at = now() WHERE name LIKE %s RETURNING 1", f"{name}%")


def work() -> None:
    while run := Run.objects.filter(status="queued").order_by("pk").first():
        executor.execute_queued(run.pk)


def list_groups() -> list[tuple[int, str | None]]:
    return [
        (int(price), slug) for price, slug in Product.objects.order_by("sku").values_list("price", "category__slug")
    ]


def list_states() -> list[tuple[str, str]]:
    return [*QuarantinedRecord.objects.order_by("pk").values_list("status", "code")]


def appear_by_source() -> None:
    ingest_here(Groups([{"id": "cars"}]))
    work()


def appear_by_team() -> None:
    Category.objects.create(slug="cars")


def appear_and_go() -> None:
    appear_by_team()
    Category.objects.get(slug="cars").delete()


HAPPENS: dict[str, Callable[[], None]] = {
    "appears by its source": appear_by_source,
    "appears by the team's code": appear_by_team,
    "never appears": lambda: None,
    "appears and is deleted again": appear_and_go,
}
LANDED: Sequence[str | None] = ["cars"]
NULL: Sequence[str | None] = [None]
REFUSED: Sequence[str | None] = []
STAYS, WAITS, CAME = [("open", "no_parent")], [("open", "parent_missing")], [("replayed", "parent_missing")]
CASES: list[tuple[str, str, Sequence[str | None], list[tuple[str, str]]]] = [
    *(("refuse", happens, REFUSED, STAYS) for happens in HAPPENS),
    *(("null", happens, NULL, []) for happens in HAPPENS),
    ("wait", "appears by its source", LANDED, CAME),
    ("wait", "appears by the team's code", LANDED, CAME),
    ("wait", "never appears", REFUSED, WAITS),
    ("wait", "appears and is deleted again", REFUSED, WAITS),
]


@pytest.mark.parametrize(("missing", "happens", "groups", "states"), CASES)
def test_what_becomes_of_a_record_whose_parent_is_missing(
    missing: str, happens: str, groups: Sequence[str | None], states: list[tuple[str, str]]
) -> None:
    ingest_here(KINDS[missing]([make(group="Cars")]))
    HAPPENS[happens]()
    sweep_once()
    assert ([group for _, group in list_groups()], list_states()) == (groups, states)
    assert verify() == []


@pytest.mark.parametrize("missing", KINDS)
def test_a_record_whose_parent_is_there_lands_at_once(missing: str) -> None:
    appear_by_team()
    ingest_here(KINDS[missing]([make(group="Cars")]))
    assert ([group for _, group in list_groups()], list_states()) == (LANDED, [])


def test_a_run_of_the_source_lands_what_waited_before_it_reads() -> None:
    source = WaitingProducts([make(group="cars")])
    ingest_here(source)
    appear_by_team()
    outcome = ingest_here(source)
    assert (outcome.reason, Product.objects.count()) == ("unchanged", 1)
    replay, last = Run.objects.order_by("pk")[1:]
    assert (replay.trigger, replay.new, replay.status, last.pk) == ("replay", 1, "success", outcome.run)
    assert Checkpoint.objects.get(source="waiting_products").open_quarantine_count == 0


def test_without_an_arrival_no_run_is_queued_and_each_name_is_looked_up_once() -> None:
    source = WaitingProducts([make(number, group="cars") for number in range(300)])
    ingest_here(source)
    runs = Run.objects.count()
    sweep_once()
    ingest_here(source)
    assert Run.objects.count() == runs + 1
    with CaptureQueriesContext(connection) as queries:
        assert find_arrived("waiting_products", source.plan_target(), 10) == []
    (looked,) = [each["sql"] for each in queries.captured_queries if "LATERAL" in each["sql"]]
    assert looked.count("shop.Category") == 1


def test_only_records_whose_row_has_come_are_judged_again() -> None:
    ingest_here(WaitingProducts([make(1, group="cars"), make(2, group="boats"), make(3, group="cars")]))
    appear_by_team()
    sweep_once()
    assert Run.objects.get(trigger="replay").seen == 2
    assert [status for status, _ in list_states()] == ["replayed", "open", "replayed"]


def test_names_are_found_page_by_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "PAGE", 2)
    source = WaitingProducts([make(number, group=f"g{number}") for number in range(7)])
    ingest_here(source)
    for number in (1, 4, 6):
        Category.objects.create(slug=f"g{number}")
    found = find_arrived("waiting_products", source.plan_target(), 10)
    assert found == [f'["shop.Category", "slug", "g{number}"]' for number in (1, 4, 6)]


def test_a_replay_looks_for_more_when_it_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrivals, "MOST_ROWS", 1)
    ingest_here(WaitingProducts([make(number, group=f"g{number}") for number in range(3)]))
    for number in range(3):
        Category.objects.create(slug=f"g{number}")
    sweep_once()
    assert (Product.objects.count(), Run.objects.filter(trigger="replay").count()) == (3, 3)


def test_a_record_with_two_missing_parents_waits_for_one_after_the_other() -> None:
    ingest_here(WaitingProducts([make_product(1, supplier="OTHER", group="cars")]))
    waited = []
    for appear in (lambda: Supplier.objects.create(code="OTHER"), appear_by_team):
        waited.append(QuarantinedRecord.objects.get().awaits)
        appear()
        sweep_once()
    assert waited == ['["shop.Supplier", "code", "OTHER"]', '["shop.Category", "slug", "cars"]']
    assert (Product.objects.count(), list_states()) == (1, CAME)


def test_a_record_that_the_table_refuses_after_its_parent_came_is_broken_and_no_longer_waits() -> None:
    ingest_here(WaitingProducts([make(group="cars", price="0", stock="1")]))
    appear_by_team()
    sweep_once()
    assert (list_states(), count_waiting(["waiting_products"])) == ([("open", "constraint")], {})
    sweep_once()
    assert Run.objects.filter(trigger="replay").count() == 1


def test_a_name_that_is_too_long_for_an_index_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "MOST_BYTES", 30)
    ingest_here(WaitingProducts([make(1, group="cars" * 10), make(2)]))
    assert (list_states(), Product.objects.count()) == (STAYS, 1)


# --- the order of versions ---
def read(*versions: dict[str, Any]) -> Outcome:
    return ingest_here(DripProducts(versions))


def arrive() -> None:
    appear_by_team()
    sweep_once()


def test_a_waiting_version_never_replaces_a_newer_one() -> None:
    read(make(group="cars", price="1"))
    read(make(price="2"))
    arrive()
    assert list_groups() == [(2, None)]
    assert [status for status, _ in list_states()] == ["landed"]


def test_a_waiting_version_that_is_newer_than_the_stored_one_replaces_it_however_long_it_waited() -> None:
    read(make(price="1"))
    read(make(group="cars", price="2"))
    read(make(7))
    arrive()
    assert list_groups()[0] == (2, "cars")
    assert list_states() == CAME
    assert verify() == []


def test_of_two_waiting_versions_the_newer_one_lands() -> None:
    read(make(group="cars", price="1"))
    read(make(group="cars", price="2"))
    read(make(7))
    arrive()
    assert list_groups()[0] == (2, "cars")
    assert [status for status, _ in list_states()] == ["replayed", "replayed"]


def test_a_waiting_version_does_not_land_while_a_newer_one_is_refused() -> None:
    read(make(group="cars", price="1"))
    read(make(group="boats", price="2"))
    arrive()
    assert (list_groups(), list_states()) == ([], [("gone", "parent_missing"), ("open", "parent_missing")])
    Category.objects.create(slug="boats")
    sweep_once()
    assert list_groups() == [(2, "boats")]
    assert verify() == []


@pytest.mark.parametrize("size", [1, 100])
def test_of_two_records_with_an_id_in_one_read_the_first_that_the_target_takes_counts(size: int, settings: Any) -> None:
    settings.ETL_BATCH_SIZE = size
    read(make(group="cars", price="0", stock="1"), make(group="cars", price="2"), make(group="cars", price="3"))
    arrive()
    assert list_groups() == [(2, "cars")]
    assert sorted(list_states()) == [("landed", "constraint"), *CAME, *CAME]


def test_a_record_that_comes_back_and_waits_again_says_for_what() -> None:
    source = WaitingProducts([make(group="cars")])
    ingest_here(Products([make(group="cars")]))
    ingest_here(source)
    ingest_here(WaitingProducts([make(2)]))
    assert ("gone", "parent_missing") in list_states()
    ingest_here(source)
    arrive()
    assert Product.objects.filter(category__slug="cars").count() == 1


def test_a_discarded_record_does_not_land() -> None:
    ingest_here(WaitingProducts([make(group="cars")]))
    quarantine.discard_one(QuarantinedRecord.objects.get().pk, by="a test")
    arrive()
    assert (Product.objects.count(), Run.objects.filter(trigger="replay").count()) == (0, 0)


# --- how it counts ---
class Strict(WaitingProducts):
    gates = Gates(max_refused=0.1, min_refused=1)


@pytest.mark.parametrize("size", [1, 3, 100])
@pytest.mark.parametrize(
    ("broken", "reason"), [(0, "parents_missing"), (1, "records_refused"), (3, "too_many_refused")]
)
def test_waiting_records_are_counted_but_not_as_broken_ones(size: int, broken: int, reason: str, settings: Any) -> None:
    settings.ETL_BATCH_SIZE = size
    records = [make(number, group="cars") for number in range(10)]
    records += [make(number, group="boats", price="0", stock="1") for number in range(10, 12)]
    records += [make(number, price="0", stock="1") for number in range(20, 20 + broken)]
    records += [make(number) for number in range(30, 40)]
    outcome = ingest_here(Strict(records))
    assert (outcome.reason, outcome.counters["quarantined"], outcome.waiting) == (reason, 12 + broken, 12)
    assert outcome.as_json()["waiting"] == 12
    assert str(outcome).endswith(f"{12 + broken} quarantined (12 waiting)")
    assert read_words(["waiting_products"])["waiting_products"] == {0: "fine", 1: "refusing"}.get(broken, "failing")
    found = count_waiting(["waiting_products"])["waiting_products"]
    assert (found.count, found.since) == (12, QuarantinedRecord.objects.earliest("created_at").created_at)


# --- crashes, lost answers, hand-over ---
class Killed(BaseException):
    """The process ends here."""


def kill_at(number: int) -> Callable[..., Any]:
    count = itertools.count(1)

    def execute(execute: Any, sql: Any, params: Any, many: Any, context: Any) -> Any:
        if next(count) == number:
            connection.close()
            raise Killed
        return execute(sql, params, many, context)

    return execute


def test_killed_before_any_statement_a_waiting_record_lands_once_with_its_row_settled() -> None:
    last = 90
    ingest_here(WaitingProducts([make(number, group=f"g{number}") for number in range(1, last)]))
    source, number, is_over = find_source("waiting_products"), 0, False
    assert source is not None
    while not is_over:
        number += 1
        Category.objects.create(slug=f"g{number}")
        selection = arrivals.find(source)
        assert selection is not None
        try:
            with connection.execute_wrapper(kill_at(number)):
                executor.execute_here(
                    source,
                    Options(selection=selection),
                    interruption=Interruption(),
                    report=lambda _: None,
                )
            is_over = True
        except Killed:
            Checkpoint.objects.update(lease_expires_at="2000-01-01T00:00:00Z")
        landed = QuarantinedRecord.objects.filter(status="replayed").count()
        assert Product.objects.count() == len(dump_raw("waiting_products")) == landed
    assert 10 < number < last
    assert verify() == []


@pytest.mark.parametrize("lost_one", [1, 2, 3, 4, 5, 6])
def test_a_lost_answer_to_any_commit_lands_a_waiting_record_once(
    lost_one: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    commits: list[Any] = []

    def commit_and_lose_one_answer(self: Any) -> None:
        COMMIT(self)
        commits.append(self)
        if len(commits) == lost_one:
            self.connection.close()
            raise OperationalError("server closed the connection unexpectedly")

    source = WaitingProducts([make(group="cars"), make(2)])
    ingest_here(source)
    appear_by_team()
    monkeypatch.setattr(DatabaseWrapper, "_commit", commit_and_lose_one_answer)
    ingest_here(source)
    monkeypatch.undo()
    ingest_here(source)
    assert (Product.objects.count(), len(dump_raw("waiting_products")), list_states()) == (2, 2, CAME)
    assert verify() == []


def hold_back(project: Project, count: int, *, groups: int) -> None:
    """Let records wait for these groups, and create them."""
    path = project.folder / "products.csv"
    path.write_text(HEADER + "".join(make_line(number, group=f"g{number % groups}") for number in range(count)))
    project.environment |= {
        "DJANGO_SETTINGS_MODULE": "tests.shop.settings",
        "ETL_SOURCES": "tests.shop.sources.WaitingFile",
        "SHOP_CSV": str(path),
        "ETL_BATCH_SIZE": "10",
    }
    project.ingest("waiting_file")
    Category.objects.bulk_create(Category(slug=f"g{number}") for number in range(groups))


def test_killed_at_any_moment_waiting_records_land_once(project: Project, moments: random.Random) -> None:
    count = 300
    hold_back(project, count, groups=30)

    def count_landed() -> int:
        return QuarantinedRecord.objects.filter(status="replayed").count()

    while count_landed() < count:
        process, target = project.start("ingest", "waiting_file"), count_landed() + moments.randint(20, 120)
        wait_until(lambda: process.poll() is not None or count_landed() >= target)  # noqa: B023  (called at once)
        time.sleep(moments.random() * 0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert_all_landed_once(count)


def assert_all_landed_once(count: int) -> None:
    assert Product.objects.count() == len(dump_raw("waiting_file")) == count
    assert fetch("SELECT sum(new)::int FROM etl_runs") == [(count,)]
    assert verify() == []


def test_a_frozen_replay_that_wakes_after_its_successor_writes_nothing(project: Project) -> None:
    hold_back(project, 40, groups=4)
    sleeper = project.start_python(
        "-m", "tests.freezing", "inside_copy", "ingest", "waiting_file", ETL_LEASE_SECONDS="5"
    )
    await_stop(sleeper)
    outlive_the_lease("waiting_file")
    project.ingest("waiting_file")
    assert_all_landed_once(40)
    sequence = Checkpoint.objects.get(source="waiting_file").sequence
    sleeper.send_signal(signal.SIGCONT)
    sleeper.communicate(timeout=60)
    assert_all_landed_once(40)
    assert Checkpoint.objects.get(source="waiting_file").sequence == sequence
    assert "overtaken" in Run.objects.filter(trigger="replay").earliest("pk").events.values_list("kind", flat=True)


def test_a_replay_that_was_handed_over_goes_on_after_its_last_page(settings: Any) -> None:
    settings.ETL_BATCH_SIZE, settings.ETL_TASK_SECONDS = 2, 0
    ingest_here(WaitingProducts([make(number, group="cars") for number in range(5)]))
    arrive()
    (run,) = Run.objects.filter(trigger="replay")
    assert (run.status, run.new, run.events.filter(kind="handed_over").count() > 0) == ("success", 5, True)
    assert Product.objects.count() == 5


def work_in_short_tasks() -> None:
    orders.queue("waiting_file", trigger=Trigger.API, by="a test")
    work()
    assert Run.objects.latest("pk").events.filter(kind="handed_over").count() > 2


def kill_and_resume() -> None:
    def execute(execute: Any, sql: Any, params: Any, many: Any, context: Any) -> Any:
        if "batch_number = batch_number + 1" in sql and next(count) == 3:
            connection.close()
            raise Killed
        return execute(sql, params, many, context)

    count = itertools.count(1)
    with pytest.raises(Killed), connection.execute_wrapper(execute):
        ingest_here(WaitingFile())
    Checkpoint.objects.update(lease_expires_at="2000-01-01T00:00:00Z")
    ingest_here(WaitingFile())


def replay_in_short_tasks() -> None:
    """Judge records again whose first parent has come, and that wait for the second one then."""
    ingest_here(WaitingFile())
    Supplier.objects.create(code="ACME")
    sweep_once()
    assert Run.objects.get(trigger="replay").events.filter(kind="handed_over").count() > 2


GOES_ON = {
    "in_other_tasks": work_in_short_tasks,
    "in_another_run": kill_and_resume,
    "as_a_replay": replay_in_short_tasks,
}


@pytest.mark.parametrize(
    ("goes_on", "pattern", "price", "reason"),
    [
        ("in_other_tasks", "*.csv", "1,50", "parents_missing"),
        ("in_other_tasks", "*.csv", "x", "records_refused"),
        ("in_other_tasks", "2.csv", "1,50", "parents_missing"),
        ("in_another_run", "*.csv", "1,50", "parents_missing"),
        ("in_another_run", "2.csv", "1,50", "parents_missing"),
        ("in_another_run", "2.csv", "x", "records_refused"),
        ("as_a_replay", "2.csv", "1,50", "parents_missing"),
    ],
)
def test_a_run_that_goes_on_elsewhere_knows_that_its_refused_records_only_wait(
    goes_on: str, pattern: str, price: str, reason: str, settings: Any, tmp_path: Path
) -> None:
    settings.ETL_BATCH_SIZE, settings.ETL_TASK_SECONDS, settings.SHOP_CSV = 2, 0, str(tmp_path / pattern)
    for file in (1, 2):
        lines = [make_line(10 * file + number, group="cars") for number in range(6)]
        lines[3] = make_line(10 * file + 3, group="cars", price=price)
        (path := tmp_path / f"{file}.csv").write_text(HEADER + "".join(lines))
        os.utime(path, (1e9, 1e9))  # a younger file is read again by each task
    if "replay" in goes_on:
        Supplier.objects.all().delete()
    GOES_ON[goes_on]()
    run = Run.objects.latest("pk")
    assert (run.status, run.reason) == ("partial", reason)


def test_the_sweep_looks_for_rows_once_in_ten_minutes() -> None:
    ingest_here(WaitingProducts([make(group="cars")]))
    sweep.sweep()
    appear_by_team()
    sweep.sweep()
    assert not Run.objects.filter(trigger="replay").exists()
    end_leases(task_leases.ARRIVALS)
    sweep.sweep()
    assert Run.objects.filter(status="queued", trigger="replay").count() == 1


def fail() -> None:
    raise OperationalError("the parent's table is locked")


@pytest.mark.parametrize("hinder", [fail, lambda: end_leases(task_leases.SWEEP)], ids=["fails", "takes too long"])
def test_a_source_whose_look_fails_or_takes_too_long_keeps_no_other_waiting(
    hinder: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def find(source: Source) -> Selection | None:
        if source.name == "waiting_products":
            hinder()
        return original(source)

    original = arrivals.find
    ingest_here(WaitingProducts([make(group="cars")]))
    read(make(group="cars"))
    appear_by_team()
    monkeypatch.setattr(arrivals, "find", find)
    sweep.sweep()
    sweep.sweep()
    assert Run.objects.filter(source="drip_products", status="queued", trigger="replay").exists()


def test_a_parent_that_is_deleted_before_its_record_lands_is_waited_for_again() -> None:
    source = WaitingProducts([make(group="cars")])
    ingest_here(source)
    appear_by_team()
    ingest_while(lambda: Category.objects.filter(slug="cars").delete(), source)
    assert (Product.objects.count(), list_states()) == (0, WAITS)
    assert Run.objects.get(trigger="replay").reason == "parents_missing"
    arrive()
    assert (list_groups(), list_states()) == ([(1, "cars")], CAME)
    assert verify() == []


def test_sources_of_children_and_parents_that_run_at_the_same_time_meet_no_deadlock(
    settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    settings.ETL_BATCH_SIZE = 3
    numbers = range(30)

    def run_twice(source: Source) -> None:
        try:
            outcomes.extend(ingest_here(source) for _ in range(2))
        finally:
            connections.close_all()

    outcomes: list[Outcome] = []
    children = WaitingProducts([make(number, group=f"g{number * 7 % 30}") for number in numbers])
    parents = Groups([{"id": f"g{number}"} for number in reversed(numbers)])
    threads = [threading.Thread(target=run_twice, args=(source,)) for source in (children, parents)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sweep_once()
    assert {outcome.status for outcome in outcomes} <= {"success", "partial"}
    assert (Product.objects.count(), "deadlock" in caplog.text) == (30, False)
    assert verify() == []


def test_nothing_is_queued_while_a_read_is_open() -> None:
    ingest_here(WaitingProducts([make(group="cars")]))
    appear_by_team()
    Checkpoint.objects.filter(source="waiting_products").update(is_reading=True, read_number=2)
    sweep_once()
    assert not Run.objects.filter(trigger="replay").exists()
