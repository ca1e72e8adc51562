"""Law 5 across the upgrade from 0.1.0: migration, full reads and a new contract write no record again."""

from collections.abc import Iterator
from importlib import import_module
from typing import Any

import pytest

from etl.storage.driver import open_session
from sandbox.server import Sandbox
from tests.processes import Project
from tests.upgrade.inputs import write_inputs
from tests.upgrade.restored import SECRET_KEY, fetch, restore

TABLES = ("raw_api_data", "raw_csv_data", "raw_third_source_data", "unified_records", "etl_quarantine")
COUNTERS = ("new", "updated", "unchanged", "duplicate", "quarantined")
EDITION_2 = {"new": 0, "updated": 0, "unchanged": 1000, "duplicate": 2, "quarantined": 20}


@pytest.fixture
def database(project: Project) -> Iterator[str]:
    """The URL of a restored database, which the project's commands use."""
    with restore() as url:
        use(project, url)
        yield url


@pytest.fixture
def upgraded(project: Project, database: str) -> str:
    """An upgraded database in which the interrupted read of the products is finished."""
    run(project, "migrate", "-v0")
    (outcome,) = ingest(project, "products_csv")
    assert outcome["status"] == "partial"
    return database


def use(project: Project, url: str) -> None:
    project.environment |= {"DATABASE_URL": url, "SECRET_KEY": SECRET_KEY}


def run(project: Project, *arguments: str) -> None:
    done = project.run(*arguments)
    assert done.returncode == 0, done.stdout + done.stderr


def ingest(project: Project, *arguments: str, **environment: str) -> list[dict[str, Any]]:
    """Ingest edition 2, which each source has read last."""
    files = write_inputs(project.folder, edition=2)
    with Sandbox(project.folder / "coins.json") as sandbox:
        return project.ingest(*arguments, COINGECKO_BASE_URL=sandbox.url, **files, **environment)


def list_tuples(url: str) -> dict[str, list[tuple[Any, ...]]]:
    """Return every column of every row, with its place in the table and the transaction that wrote it.

    NULLs and empty texts at the end are left out: a migration may add columns.
    """
    columns = r"""ctid, xmin, regexp_replace(t::text, '(,("")?)+\)$', ')')"""
    return {table: fetch(url, f"SELECT {columns} FROM {table} AS t ORDER BY ctid") for table in TABLES}


def list_sequences(url: str) -> list[tuple[Any, ...]]:
    """Return the change feed's numbers, and where the tables take their ids from."""
    changes = fetch(url, "SELECT source, sequence FROM ingestion_checkpoints ORDER BY source")
    names = ("raw_record_id", *(f"{table}_id_seq" for table in ("unified_records", "etl_quarantine")))
    return changes + [(name, *fetch(url, f"SELECT last_value, is_called FROM {name}")) for name in names]


def count(outcome: dict[str, Any]) -> dict[str, int]:
    return {name: outcome[name] for name in COUNTERS}


def test_the_migration_changes_neither_sequences_nor_times_of_change(project: Project, database: str) -> None:
    kept = (
        "SELECT id, source, external_id, name, category, value, currency, raw_id, sequence, ingested_at, updated_at,"
        " CASE WHEN source = 'listings_json' THEN event_timestamp END FROM unified_records ORDER BY id"
    )
    others = {table: rows for table, rows in list_tuples(database).items() if table != "unified_records"}
    before, sequences = fetch(database, kept), list_sequences(database)
    run(project, "migrate", "-v0")
    assert fetch(database, kept) == before
    assert list_sequences(database) == sequences
    assert {table: rows for table, rows in list_tuples(database).items() if table != "unified_records"} == others


def test_only_a_record_whose_source_names_a_time_keeps_one(project: Project, database: str) -> None:
    run(project, "migrate", "-v0")
    timed = "SELECT source, bool_or(event_timestamp IS NULL), bool_or(event_timestamp IS NOT NULL)"
    assert fetch(database, f"{timed} FROM unified_records GROUP BY source ORDER BY source") == [
        ("coingecko_api", True, False),
        ("listings_json", False, True),
        ("products_csv", True, False),
        ("vendors_csv", True, False),
    ]


def test_the_migration_hashes_every_record_and_counts_the_versions_of_every_run(
    project: Project, database: str
) -> None:
    run(project, "migrate", "-v0")
    lengths = "SELECT DISTINCT length(content_hash), length(values_hash) FROM unified_records"
    assert fetch(database, lengths) == [(16, 12)]
    assert fetch(database, "SELECT count(*) FROM etl_runs WHERE versions <> new + updated") == [(0,)]
    landed = "SELECT count(*) FROM raw_records"
    assert fetch(database, "SELECT sum(versions) FROM etl_runs") == fetch(database, landed)


def test_a_full_read_of_the_same_content_writes_nothing(project: Project, upgraded: str) -> None:
    """Refused records that the content no longer has become gone in the first one; release 0.1.0 kept them open."""
    tuples, sequences = list_tuples(upgraded), list_sequences(upgraded)
    outcomes = {outcome["source"]: count(outcome) for outcome in ingest(project, "--all", "--full")}
    assert outcomes == dict.fromkeys(("coingecko_api", "listings_json", "products_csv", "vendors_csv"), EDITION_2)
    after = list_tuples(upgraded)
    written = {row[2] for row in after.pop("etl_quarantine")} - {row[2] for row in tuples.pop("etl_quarantine")}
    assert all(",gone," in row for row in written)
    assert after == tuples
    assert list_sequences(upgraded) == sequences
    tuples = list_tuples(upgraded)
    ingest(project, "--all", "--full")
    assert list_tuples(upgraded) == tuples


def test_a_contract_with_one_more_field_writes_nothing(project: Project, upgraded: str) -> None:
    tuples, sequences = list_tuples(upgraded), list_sequences(upgraded)
    fuller = "tests.upgrade.more_fields.FullerProducts"
    (outcome,) = ingest(project, "products_csv", ETL_SOURCES=fuller)
    assert count(outcome) == EDITION_2
    assert list_tuples(upgraded) == tuples
    assert list_sequences(upgraded) == sequences


def test_an_interrupted_migration_goes_on(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    migration: Any = import_module("etl.migrations.0021_hash_content_alone")
    result = "SELECT t::text FROM unified_records AS t ORDER BY id"
    with restore() as url:
        use(project, url)
        run(project, "migrate", "-v0")
        expected = fetch(url, result)
    with restore() as url:
        use(project, url)
        run(project, "migrate", "etl", "0020", "-v0")
        monkeypatch.setattr(migration, "PAGE", 700)
        with open_session(url) as session, session.cursor() as cursor:
            migration.change_page(cursor, 0)
        assert fetch(url, "SELECT count(*) FROM unified_records WHERE length(content_hash) = 16") == [(700,)]
        run(project, "migrate", "-v0")
        assert fetch(url, result) == expected
