"""The steps of a run, which a test takes one by one."""

from typing import Any

from django.db import connection
from django.db.backends.postgresql.base import DatabaseWrapper

from etl import landing
from etl.change_detection import Stored, classify
from etl.fence import reads
from etl.models import Checkpoint
from etl.runs import starting
from etl.runs.options import Options
from etl.runs.starting import Started
from etl.storage.ledger import find_stored
from tests.listed_source import Listed, fetch, judge_all

COMMIT: Any = getattr(DatabaseWrapper, "_commit")  # noqa: B009  (private in Django, missing from the stubs)


def start(source: str = "listed", *, full: bool = False) -> Started:
    """Start a run of the source as in a terminal."""
    started = starting.start_at_terminal(source, Options(full=full))
    assert isinstance(started, Started)
    return started


def end_lease(source: str = "listed") -> None:
    """Let the owner's lease run out."""
    Checkpoint.objects.filter(source=source).update(lease_expires_at="2000-01-01T00:00:00Z")


def land(started: Started, source: Listed, records: list[dict[str, Any]], read: Any = None) -> Any:
    """Land the records as the next batch of the run."""
    read = read or reads.choose_read(started.checkpoint, "content", is_full=started.is_full)
    judged = judge_all(source, records)
    known = find_stored(source, judged, read_number=read.number, read_sequence=read.first_sequence)
    batch = classify(judged, Stored(known))
    return landing.land(started.claim, source, read, batch, reached={"offset": 1, "position": 1}, wait=lambda s: None)


def count_writes() -> list[tuple[Any, ...]]:
    """Return how many rows of each table have been inserted, updated and deleted so far."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_stat_force_next_flush()")
    return fetch(
        "SELECT relname, n_tup_ins, n_tup_upd, n_tup_del FROM pg_stat_user_tables WHERE relname = ANY(%s)"
        " ORDER BY relname",
        ["raw_api_data", "raw_csv_data", "raw_third_source_data", "unified_records", "etl_quarantine", "shop_thing"],
    )
