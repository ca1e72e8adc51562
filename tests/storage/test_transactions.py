"""A transaction is bounded from its first statement on, and a retry begins on a connection that works."""

import pytest
from django.db import IntegrityError, OperationalError, connection, connections

from etl.models import Run
from etl.storage.transactions import bounded_transaction, expendable, retry_transient
from tests.listed_source import fetch

pytestmark = pytest.mark.django_db(transaction=True)


def end_session(pid: int) -> None:
    """Another session ends it, as a restart of the server does, and waits until it is gone."""
    other = connections["default"].copy()
    with other.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s, 10000)", [pid])
    other.close()


def test_a_session_that_is_ended_between_two_statements_is_replaced() -> None:
    """Outside a transaction: at the end of one, Django itself drops a broken connection."""
    ((ended,),) = fetch("SELECT pg_backend_pid()")
    end_session(ended)
    waits: list[float] = []
    for attempt in retry_transient(waits.append):
        with attempt:
            count = Run.objects.count()
    assert (count, len(waits)) == (0, 1)
    assert fetch("SELECT pg_backend_pid()") != [(ended,)]
    assert connection.is_usable()


BOUNDED = "SELECT current_setting('lock_timeout'), current_setting('enable_seqscan')"


def test_the_bounds_of_a_transaction_hold_from_its_first_statement_to_its_end() -> None:
    with bounded_transaction(lock_seconds=3):
        assert [fetch(BOUNDED), fetch(BOUNDED)] == 2 * [[("3s", "off")]]
        with bounded_transaction(lock_seconds=4):
            assert fetch(BOUNDED) == [("3s", "off")]
    assert fetch(BOUNDED) == [("0", "on")]


@pytest.mark.parametrize("by_key", [True, False])
@pytest.mark.parametrize("default", ["repeatable read", "serializable"])
def test_a_transaction_sees_what_others_have_committed_whatever_the_default_is(default: str, by_key: bool) -> None:
    Run.objects.create(source="listed", key="a", trigger="api", status="queued")
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('default_transaction_isolation', %s, false)", [default])
    other = connections["default"].copy()
    try:
        with bounded_transaction(by_key=by_key), other.cursor() as cursor:
            before = Run.objects.count()
            cursor.execute("DELETE FROM etl_runs")
            assert (before, Run.objects.count()) == (1, 0)
    finally:
        other.close()
        connection.close()


def test_a_statement_by_key_is_never_compiled() -> None:
    """Scans are off, so one that can't be avoided seems so dear that PostgreSQL would compile the statement."""
    asked = "SELECT current_setting('jit')"
    with connection.cursor() as cursor:
        cursor.execute("SET jit = on")
    try:
        with bounded_transaction():
            assert fetch(asked) == [("off",)]
        with bounded_transaction(by_key=False):
            assert fetch(asked) == [("on",)]
    finally:
        connection.close()


def test_a_first_statement_that_takes_no_other_text_is_bounded_too() -> None:
    Run.objects.create(source="listed", key="a", trigger="api", status="queued")
    with bounded_transaction(lock_seconds=3), connection.cursor() as cursor:
        cursor.executemany("SET LOCAL work_mem = %s", [["1MB"], ["2MB"]])
        assert fetch(BOUNDED) == [("3s", "off")]
    with bounded_transaction(lock_seconds=3):
        assert [run.key for run in Run.objects.iterator()] == ["a"]
        assert fetch(BOUNDED) == [("3s", "off")]


def test_a_first_statement_waits_for_a_lock_no_longer_than_the_transaction_may() -> None:
    other = connections["default"].copy()
    other.set_autocommit(False)
    try:
        with other.cursor() as cursor:
            cursor.execute("LOCK TABLE etl_runs")
        with pytest.raises(OperationalError, match="lock timeout"), bounded_transaction(lock_seconds=0.1) as cursor:
            cursor.execute("SELECT count(*) FROM etl_runs")
    finally:
        other.rollback()
        other.close()


def test_an_expendable_part_that_fails_costs_only_itself() -> None:
    def add(key: str) -> None:
        Run.objects.create(source=key, key=key, trigger="api", status="queued")

    with bounded_transaction() as cursor:
        add("before")
        with pytest.raises(IntegrityError), expendable(cursor):
            add("within")
            add("within")
        add("after")
    with bounded_transaction() as cursor:
        with pytest.raises(ZeroDivisionError), expendable(cursor):
            add(str(1 // 0))
        with expendable(cursor):
            add("well")
    assert set(Run.objects.values_list("key", flat=True)) == {"before", "after", "well"}
