"""The statements that write `etl_standings`: since when a source is scheduled, and what was announced of it."""

from typing import Any

from etl.database import connection

# The time changes only when the schedule is switched on or off. Any other edit leaves it.
_NOTE_SCHEDULE = """
    INSERT INTO etl_standings AS kept (source, scheduled_since, announced, milder_runs)
    VALUES (%s, CASE WHEN %s THEN clock_timestamp() END, 'fine', 0)
    ON CONFLICT (source) DO UPDATE SET scheduled_since = excluded.scheduled_since
    WHERE (kept.scheduled_since IS NULL) <> (excluded.scheduled_since IS NULL)
"""
_SAVE_ANNOUNCED = """
    INSERT INTO etl_standings (source, announced, milder_since, milder_runs) VALUES (%s, %s, %s, %s)
    ON CONFLICT (source) DO UPDATE SET announced = excluded.announced, milder_since = excluded.milder_since,
        milder_runs = excluded.milder_runs
"""


def note_schedule(source: str, *, is_enabled: bool) -> None:
    """Store that the source's schedule is on or off, in the caller's transaction."""
    with connection.cursor() as cursor:
        cursor.execute(_NOTE_SCHEDULE, [source, is_enabled])


def save_announced(cursor: Any, source: str, announced: str, milder_since: Any, milder_runs: int) -> None:
    """Store what was announced of the source, in the caller's transaction."""
    cursor.execute(_SAVE_ANNOUNCED, [source, announced, milder_since, milder_runs])
