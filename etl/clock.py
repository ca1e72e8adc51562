"""The database's clock, the only one that decisions depend on, and the one way in which answers write a time."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from django.db.models import Func, Value

from etl.database import connection

NOW = Func(function="clock_timestamp")
"""The current time, which advances even within a transaction."""


def from_now(seconds: float) -> Func:
    """Return the time `seconds` from now; a negative number gives a time in the past."""
    return Func(
        Value(seconds),
        function="clock_timestamp",
        template="(clock_timestamp() + %(expressions)s * interval '1 second')",
    )


def as_utc(time: datetime) -> datetime:
    """Return the time in UTC. With USE_TZ off, Django reads times without zone, in the zone of its session."""
    zoned = time if time.tzinfo is not None else time.replace(tzinfo=ZoneInfo(connection.timezone_name))
    return zoned.astimezone(UTC)


def write_time(time: datetime | None) -> str | None:
    """Write the time as ISO 8601 in UTC, to the microsecond: 2026-11-22T14:53:24.120000+00:00."""
    return as_utc(time).isoformat(timespec="microseconds") if time is not None else None


def write_time_in_sql(time: str) -> str:
    """Return SQL that writes the timestamptz expression `time` the same way, regardless of the session's zone."""
    return f"""to_char({time} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"+00:00"')"""


def read_clock() -> datetime:
    """Return the database's time in UTC."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        (now,) = cursor.fetchone()
        return as_utc(now)
