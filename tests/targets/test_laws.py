"""The laws of the write path hold with a team's own table in the place of the unified one."""

import random
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from django.db import OperationalError
from django.db.backends.postgresql.base import DatabaseWrapper

from etl import landing
from etl.change_detection import Stored, classify
from etl.exceptions import Overtaken
from etl.fence import reads
from etl.models import Checkpoint, QuarantinedRecord, Run
from etl.reports.verification import verify
from etl.runs import starting
from etl.runs.options import Options
from etl.runs.starting import Started
from etl.signals import batch_landed
from etl.storage import target_batch
from etl.storage.refusal_selection import Selection
from etl.testing import assert_source
from tests.listed_source import dump_quarantine, dump_raw, fetch, ingest_here, judge_all
from tests.processes import Project, wait_until
from tests.shop.models import Category, Product
from tests.shop.sources import HEADER, Products, ProductsFile, make_line, make_product, make_products

pytestmark = pytest.mark.django_db(transaction=True)
COMMIT: Any = getattr(DatabaseWrapper, "_commit")  # noqa: B009  (private in Django, missing from the stubs)


def start() -> Started:
    started = starting.start_at_terminal("products", Options())
    assert isinstance(started, Started)
    return started


def test_an_overtaken_worker_writes_no_row() -> None:
    first = start()
    Checkpoint.objects.update(lease_expires_at="2000-01-01T00:00:00Z")
    start()
    source = Products()
    judged = judge_all(source, make_products(3))
    read = reads.choose_read(first.checkpoint, "content", is_full=False)
    with pytest.raises(Overtaken):
        landing.land(first.claim, source, read, classify(judged, Stored()), reached={}, wait=lambda _: None)
    assert (Product.objects.count(), dump_raw("products")) == (0, [])


@pytest.mark.parametrize("lost_one", [2, 3, 4, 5])
def test_a_lost_response_to_any_commit_writes_nothing_twice(lost_one: int, monkeypatch: pytest.MonkeyPatch) -> None:
    commits: list[Any] = []

    def commit_and_lose_one_answer(self: Any) -> None:
        COMMIT(self)
        commits.append(self)
        if len(commits) == lost_one:
            self.connection.close()
            raise OperationalError("server closed the connection unexpectedly")

    ingest_here(Products(make_products(1)))
    monkeypatch.setattr(DatabaseWrapper, "_commit", commit_and_lose_one_answer)
    outcome = ingest_here(Products([make_product(2), make_product(3, group="cars"), make_product(4)]))
    assert (outcome.status, outcome.counters["new"], outcome.counters["quarantined"]) == ("partial", 2, 1)
    assert (Product.objects.count(), len(dump_raw("products")), len(dump_quarantine("products"))) == (3, 3, 1)
    assert fetch("SELECT seen, quarantined FROM etl_reads ORDER BY number DESC LIMIT 1") == [(3, 1)]
    assert verify() == []


def test_everything_of_a_failing_batch_is_rolled_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(target_batch, "write_refusals", lambda *_, **__: 1 / 0)
    outcome = ingest_here(Products(make_products(3)))
    assert outcome.reason == "internal_error"
    assert (Product.objects.count(), dump_raw("products")) == (0, [])


def write_file(path: Path, count: int) -> Path:
    """Every tenth record is refused by a CHECK, and every other tenth by the contract."""
    stock = {number: 1 if number % 10 == 0 else 0 for number in range(1, count + 1)}
    prices = {number: "0" if number % 10 == 0 else "x" if number % 10 == 5 else "1,50" for number in stock}
    lines = [make_line(number, price=prices[number], stock=stock[number]) for number in stock]
    path.write_text(HEADER + "".join(lines))
    return path


@pytest.mark.parametrize("least_bytes", [0, None])
def test_a_record_that_the_table_refuses_is_kept_with_its_line_and_bytes(
    least_bytes: int | None, settings: Any, tmp_path: Path
) -> None:
    settings.ETL_READING_PROCESS_BYTES, settings.ETL_BATCH_SIZE = least_bytes, 7
    path = write_file(tmp_path / "products.csv", 30)
    places = [("VK netto", "not_a_number"), ("", "constraint")] * 3
    expected = [(line, *place) for line, place in zip(range(6, 32, 5), places, strict=True)]
    assert_source(ProductsFile, gives=path).refuses(*expected)
    assert Product.objects.count() == 24
    refused = QuarantinedRecord.objects.get(line=11)
    assert bytes(refused.original).decode().strip() == make_line(10, price="0", stock=1).strip()
    assert Product.objects.get(sku="P1").attributes == {"Farbe": "rot"}
    assert verify() == []


def test_a_refused_record_lands_by_a_replay(settings: Any) -> None:
    settings.ETL_BATCH_SIZE = 3
    records = [make_product(n, group="cars" if n % 2 else "toys") for n in range(1, 8)]
    ingest_here(Products([*records, make_product(8, group="boats")]))
    Category.objects.create(slug="cars")
    from etl.execution.executor import execute_here
    from etl.supervision.os_signals import Interruption

    outcome = execute_here(
        Products(),
        Options(selection=Selection(everything=True)),
        interruption=Interruption(),
        report=lambda _: None,
    )
    assert (outcome.counters["new"], outcome.counters["quarantined"]) == (4, 1)
    assert Product.objects.count() == 7
    assert [row[5] for row in dump_quarantine("products")] == ["replayed"] * 4 + ["open"]
    assert verify() == []


def test_a_landed_batch_is_announced_after_its_commit_with_the_keys_of_its_rows() -> None:
    heard: list[Any] = []

    def hear(sender: Any, source: str, keys: Any, **more: Any) -> None:
        heard.append((sender, source, sorted(keys)))

    batch_landed.connect(hear)
    try:
        ingest_here(Products(make_products(2)))
    finally:
        batch_landed.disconnect(hear)
    keys = sorted(str(key) for key in Product.objects.values_list("pk", flat=True))
    assert heard == [(Product, "products", keys)]


def test_killed_at_any_moment_a_source_goes_on_until_it_is_through(project: Project, moments: random.Random) -> None:
    count = 600
    path = write_file(project.folder / "products.csv", count)
    project.environment |= {
        "DJANGO_SETTINGS_MODULE": "tests.shop.settings",
        "ETL_SOURCES": "tests.shop.sources.ProductsFile",
        "SHOP_CSV": str(path),
        "ETL_BATCH_SIZE": "20",
    }

    def count_batches() -> int:
        return int(Checkpoint.objects.values_list("batch_number", flat=True).first() or 0)

    while not Run.objects.filter(status="partial").exists():
        process, target = project.start("ingest", "products_file"), count_batches() + moments.randint(3, 12)
        wait_until(lambda: process.poll() is not None or count_batches() >= target)  # noqa: B023  (called at once)
        time.sleep(moments.random() * 0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
    good = [number for number in range(1, count + 1) if number % 5]
    assert sorted(int(sku[1:]) for sku in Product.objects.values_list("sku", flat=True)) == good
    assert [row[1] for row in dump_raw("products_file")] == good
    assert [row[0] for row in dump_quarantine("products_file")] == [n for n in range(1, count + 1) if not n % 5]
    assert fetch("SELECT sum(new)::int, sum(quarantined)::int, sum(seen)::int FROM etl_runs") == [
        (len(good), count - len(good), count)
    ]
    assert verify() == []
