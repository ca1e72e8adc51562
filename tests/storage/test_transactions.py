"""A retry begins on a connection that works."""

import pytest
from django.db import connection, connections

from etl.models import Run
from etl.storage.transactions import retry_transient
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
