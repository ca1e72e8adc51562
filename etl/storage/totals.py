"""Compares the totals that triggers keep with the rows they count, and repairs them. Only triggers add to totals."""

from decimal import Decimal
from typing import Any

from etl.storage.transactions import bounded_transaction

REPAIR_LOCK_SECONDS = 5
"""A repair makes every batch wait, so it must give up before a waiting batch does (LOCK_TIMEOUT_SECONDS)."""

# A `latest` older than the newest row is wrong; a newer one may be from a run that was pruned since.
_FIND_WRONG = """
    SELECT coalesce(kept.source, counted.source) AS source, coalesce(kept.name, counted.name) AS name,
        coalesce(kept.label, counted.label) AS label,
        coalesce(kept.value - kept.pruned, 0), coalesce(counted.amount, 0), kept.latest, counted.latest
    FROM etl_totals AS kept FULL JOIN etl_count_totals() AS counted
        ON (kept.source, kept.name, kept.label) = (counted.source, counted.name, counted.label)
    WHERE coalesce(kept.value - kept.pruned, 0) <> coalesce(counted.amount, 0)
        OR greatest(kept.latest, counted.latest) IS DISTINCT FROM kept.latest
    ORDER BY source, name, label
"""


def find_wrong(cursor: Any) -> list[str]:
    """Describe each total that differs from its rows, as the transaction sees them."""
    cursor.execute(_FIND_WRONG)
    return [_describe(*row) for row in cursor.fetchall()]


def _describe(source: str, name: str, label: str, kept: Decimal, counted: Decimal, *latest: object) -> str:
    total = f"{source}: the total of {' '.join(filter(None, (name, label)))}"
    if kept != counted:
        return f"{total} is stored as {kept.normalize():f} but should be {counted.normalize():f}"
    return f"{total} has the latest time {latest[0]}, but its newest row is from {latest[1]}"


def repair_totals() -> None:
    """Recount the totals, pruned rows included; a total that was too high is lowered.

    Every writer of a total waits for the repair. So the count is exact without the checkpoints' locks, which a retry's
    event and the closing of a queued run do not take.
    """
    with bounded_transaction(by_key=False, lock_seconds=REPAIR_LOCK_SECONDS, durable=True) as cursor:
        cursor.execute("SELECT etl_mend_totals()")
