"""Law 1: every commit is complete. After each one, another session finds consistent tables."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connections
from django.db.backends.postgresql.base import DatabaseWrapper

from etl.operations import quarantine
from etl.pruning import Policy, prune
from etl.reports.verification import verify
from etl.runs.starting import Started
from tests.laws.test_attacks import count_waiting
from tests.listed_source import dump_unified, ingest_here, make_item
from tests.processes import wait_until
from tests.shop.sources import CompleteThings
from tests.single_steps import COMMIT, land, start
from tests.test_pruning import pass_days
from tests.test_replay import EVERYTHING, Fickle, read, replay_now

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def sources(settings: Any) -> None:
    settings.ETL_SOURCES = ["tests.test_replay.Fickle"]
    settings.ETL_BATCH_SIZE = 2
    Fickle.refused = set()


def ingest() -> None:
    ingest_here(Fickle([make_item(1), make_item("bad", price="x"), make_item(2), make_item("worse", price="y")]))


def replay() -> None:
    replay_now()


def discard() -> None:
    quarantine.discard(EVERYTHING, by="a test")


def settle() -> None:
    ingest_here(Fickle([make_item(2), make_item(9)]))


def prune_all() -> None:
    prune(Policy(raw_days=1, quarantine_days=1, events_days=1, runs_days=1), batch=1)


def land_and_remove_in_a_model() -> None:
    """Two of the things go, one comes, and the table refuses another."""
    ingest_here(CompleteThings(list(map(make_item, "abcde"))))
    ingest_here(CompleteThings([*map(make_item, "abcf"), make_item("many", price=10**9)]))


def prepare() -> None:
    """Land old versions, and refused records that a replay accepts."""
    for name in ("a", "b", "c"):
        read(make_item(1, name=name), make_item(2, name="bad"), make_item(3, name="bad"), make_item(4, name="bad"))
    pass_days(20)


def verify_from_outside(found: list[str]) -> None:
    def look() -> None:
        try:
            found.extend(finding.message for finding in verify())
        finally:
            connections.close_all()

    looking = threading.Thread(target=look)
    looking.start()
    looking.join()


@pytest.mark.parametrize(
    "act", [ingest, replay, discard, settle, prune_all, land_and_remove_in_a_model], ids=lambda act: act.__name__
)
def test_every_commit_leaves_the_counts_that_the_rows_have(
    act: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare()
    commits: list[Any] = []
    found: list[str] = []

    def commit_and_look(self: Any) -> None:
        COMMIT(self)
        if threading.current_thread() is threading.main_thread():
            commits.append(self)
            verify_from_outside(found)

    monkeypatch.setattr(DatabaseWrapper, "_commit", commit_and_look)
    act()
    assert len(commits) >= 2
    assert found == []


def test_a_batch_that_waits_for_a_row_has_locked_none_of_a_later_key() -> None:
    """Another writer in key order then waits as well instead of deadlocking with the batch.

    The rows' ids are in the opposite order, and the update's plan follows the ids.
    """
    for key in "cba":
        ingest_here(Fickle([make_item(key)]))
    started = start()
    landing = threading.Thread(target=land_and_close, args=[started, [make_item(key, name="v") for key in "abc"]])
    other = connections["default"].copy()
    with other.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute("SELECT FROM unified_records WHERE external_id = 'a' FOR UPDATE")
        landing.start()
        wait_until(lambda: count_waiting(cursor))
        cursor.execute("SELECT FROM unified_records WHERE external_id = 'c' FOR UPDATE NOWAIT")
        cursor.execute("COMMIT")
    landing.join()
    other.close()
    assert {row[1] for row in dump_unified("listed")} == {"v"}


def land_and_close(started: Started, records: list[dict[str, Any]]) -> None:
    try:
        land(started, Fickle(), records)
    finally:
        connections.close_all()
