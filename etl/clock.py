"""The database's clock, the only one that decides anything: as an expression for queries, and read."""

from datetime import datetime

from django.db import connection
from django.db.models import Func, Value

NOW = Func(function="clock_timestamp")
"""Now, within a transaction too."""


def from_now(seconds: float) -> Func:
    """The time so many seconds from now; negative ones lie in the past."""
    return Func(
        Value(seconds),
        function="clock_timestamp",
        template="(clock_timestamp() + %(expressions)s * interval '1 second')",
    )


def read_clock() -> datetime:
    """The database's time, UTC."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        (now,) = cursor.fetchone()
        return now  # type: ignore[no-any-return]
