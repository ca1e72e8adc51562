"""The database's clock, the only one that decisions depend on: as an expression for queries, or its current time."""

from datetime import datetime

from django.db import connection
from django.db.models import Func, Value

NOW = Func(function="clock_timestamp")
"""The current time, which advances even within a transaction."""


def from_now(seconds: float) -> Func:
    """Return the time `seconds` from now; a negative number gives a time in the past."""
    return Func(
        Value(seconds),
        function="clock_timestamp",
        template="(clock_timestamp() + %(expressions)s * interval '1 second')",
    )


def read_clock() -> datetime:
    """Return the database's time in UTC."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        (now,) = cursor.fetchone()
        return now  # type: ignore[no-any-return]
