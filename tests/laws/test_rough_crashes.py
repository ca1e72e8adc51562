"""A rough file lands as if nothing had happened, even if its run and its reading process are killed again and again."""

import os
import random
import signal
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from etl.models import Checkpoint, Run
from etl.reports.verification import verify
from tests.listed_source import fetch
from tests.processes import Project, list_processes, wait_until
from tests.reading_sources import CHILD
from tests.rough_source import PATHS, VARIABLE, Rough, Twin, write_rough
from tests.shop.models import Category, Product, Supplier
from tests.shop.sources import HEADER, ProductsFile, make_line

COUNT, BATCH = 1500, 20
MOST_PROCESSES = 100
"""If this many processes can't finish the read, none will."""

DUMPS = {
    "unified": "SELECT u.external_id, u.name, u.category, u.value, u.currency, u.event_timestamp, u.content_hash::text,"
    " u.values_hash::text, r.position, r.payload::text FROM unified_records AS u JOIN raw_records AS r"
    ' ON r.id = u.raw_id WHERE u.source = %s ORDER BY u.external_id COLLATE "C"',
    "raw": "SELECT external_id, position, payload::text FROM raw_records WHERE source = %s ORDER BY id",
    "quarantine": "SELECT position, line, column_name, code, message, payload::text, original::text, original_length,"
    " original_sha256::text, status, read_number FROM etl_quarantine WHERE source = %s ORDER BY id",
    "snapshots": "SELECT to_jsonb(s) - 'id' - 'source' - 'run_id' - 'created_at' FROM schema_snapshots AS s"
    " WHERE source = %s ORDER BY id",
    "changes": "SELECT to_jsonb(c) - 'id' - 'source' - 'run_id' - 'created_at' - 'snapshot_before_id'"
    " - 'snapshot_after_id' FROM schema_changes AS c WHERE source = %s ORDER BY id",
    "counts": "SELECT sum(seen), sum(new), sum(updated), sum(unchanged), sum(duplicate), sum(quarantined),"
    " sum(versions) FROM etl_runs WHERE source = %s",
    "checkpoint": "SELECT record_count, raw_count, open_quarantine_count, is_reading, read_met, read_number,"
    " split_part(fingerprint, ':', 2) FROM ingestion_checkpoints WHERE source = %s",
}


def dump(source: str) -> dict[str, list[tuple[Any, ...]]]:
    """Return what has landed, without ids, times and sequences."""
    return {name: fetch(statement, source) for name, statement in DUMPS.items()}


def use_edition(project: Project, edition: int) -> None:
    path = write_rough(project.folder / "rough.csv", COUNT, edition=edition)
    project.environment |= {
        "ETL_SOURCES": PATHS,
        VARIABLE: str(path),
        "ETL_BATCH_SIZE": str(BATCH),
        "ETL_READING_PROCESS_BYTES": "0",
    }


def load_undisturbed(project: Project) -> None:
    """Load the twin in one process and in large batches."""
    (outcome,) = project.ingest(Twin.name, ETL_READING_PROCESS_BYTES="never", ETL_BATCH_SIZE="1000")
    assert outcome["status"] == "partial"


def count_batches(source: str) -> int:
    return int(Checkpoint.objects.filter(source=source).values_list("batch_number", flat=True).first() or 0)


def has_finished(source: str, after: int) -> bool:
    return Run.objects.filter(source=source, pk__gt=after, status__in=("success", "partial")).exists()


def kill_readers(project: Project) -> int:
    readers = list_processes(project.folder, command=CHILD)
    for pid in readers:
        with suppress(ProcessLookupError):  # it has just ended
            os.kill(pid, signal.SIGKILL)
    return len(readers)


def ingest_disturbed(project: Project, moments: random.Random, source: str = Rough.name) -> Counter[str]:
    """Ingest while runs and reading processes are killed at random moments; return how many of each."""
    last = Run.objects.order_by("-pk").values_list("pk", flat=True).first() or 0
    kills: Counter[str] = Counter()
    process = project.start("ingest", source)
    for _ in range(MOST_PROCESSES):
        if process.poll() is not None:
            if has_finished(source, last):
                return kills
            process = project.start("ingest", source)
        target = count_batches(source) + moments.randint(1, 30)
        wait_until(lambda: process.poll() is not None or count_batches(source) >= target, every=0.005)  # noqa: B023
        time.sleep(moments.random() * 0.02)
        if moments.random() < 0.5:
            kills["reading process"] += kill_readers(project)
        elif process.poll() is None:
            process.send_signal(signal.SIGKILL)
            process.wait()
            kills["run"] += 1
    raise AssertionError(f"{MOST_PROCESSES} processes did not come through")


def assert_same_as_undisturbed(project: Project) -> None:
    load_undisturbed(project)
    disturbed, expected = dump(Rough.name), dump(Twin.name)
    for name in DUMPS:
        assert disturbed[name] == expected[name], name
    assert verify() == []


def test_a_rough_file_lands_as_if_nothing_had_been_killed(project: Project, moments: random.Random) -> None:
    use_edition(project, 1)
    assert ingest_disturbed(project, moments).total()
    assert_same_as_undisturbed(project)
    (counts,) = fetch("SELECT sum(new), sum(quarantined), sum(duplicate), sum(updated) FROM etl_runs")
    assert counts[0] > 1.8 * COUNT
    assert min(counts) > 0


def test_a_changed_rough_file_lands_as_if_nothing_had_been_killed(project: Project, moments: random.Random) -> None:
    """Few records have changed, so that the run asks the reading process for their lines."""
    use_edition(project, 1)
    project.ingest(Rough.name, ETL_BATCH_SIZE="1000")
    load_undisturbed(project)
    use_edition(project, 2)
    assert ingest_disturbed(project, moments).total()
    assert_same_as_undisturbed(project)
    assert fetch("SELECT count(*) > 10 FROM unified_records WHERE updated_at > ingested_at") == [(True,)]


@pytest.mark.parametrize("edition", [1, 2])
def test_the_rough_file_is_rough(tmp_path: Path, edition: int) -> None:
    text = write_rough(tmp_path / "rough.csv", COUNT, edition=edition).read_bytes()
    assert min(text.count(mark) for mark in (b'""', b"\t", b"\\", b"\r\n", b"\xff", "Ж".encode())) > 3


def test_a_file_lands_in_a_model_as_if_nothing_had_been_killed(project: Project, moments: random.Random) -> None:
    supplier = Supplier.objects.create(code="ACME")
    Category.objects.create(slug="toys")
    Product.objects.create(supplier=supplier, sku="P33", name="Ding 33", price=1, note="ours")
    numbers = range(1, COUNT + 1)
    broken = {number for number in numbers if number % 50 == 0}  # refused by a constraint
    dear = {number for number in numbers if number % 70 == 0} - broken  # refused by the contract
    path = project.folder / "products.csv"
    prices = dict.fromkeys(dear, "dear") | dict.fromkeys(broken, "0")
    lines = [make_line(number, price=prices.get(number, "1,50"), stock=int(number in broken)) for number in numbers]
    path.write_text(HEADER + "".join([*lines, make_line(1)]))
    project.environment |= {
        "DJANGO_SETTINGS_MODULE": "tests.shop.settings",
        "ETL_SOURCES": "tests.shop.sources.ProductsFile",
        "SHOP_CSV": str(path),
        "ETL_BATCH_SIZE": str(BATCH),
        "ETL_READING_PROCESS_BYTES": "0",
    }
    assert ingest_disturbed(project, moments, ProductsFile.name).total()
    refused = broken | dear
    assert set(Product.objects.values_list("sku", flat=True)) == {f"P{n}" for n in numbers if n not in refused}
    assert fetch("SELECT line FROM etl_quarantine ORDER BY line") == [(number + 1,) for number in sorted(refused)]
    (counts,) = fetch("SELECT sum(new), sum(quarantined), sum(duplicate) FROM etl_runs")
    assert counts == (COUNT - len(refused), len(refused), 1)
    assert Product.objects.get(sku="P33").note == "ours"
    assert verify() == []
