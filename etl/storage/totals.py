"""The totals that triggers keep in the database: compared with the rows they count, and mended. Nobody adds here."""

from decimal import Decimal
from typing import Any

from etl.storage.transactions import bounded_transaction

MEND_LOCK_SECONDS = 5
"""Mending makes every batch wait: it must give up before a batch behind it does (LOCK_TIMEOUT_SECONDS)."""

# A `latest` behind the newest row is wrong; one before it may be that of a run pruned since.
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
    """What is wrong with each total that differs from its rows, as of the transaction's moment."""
    cursor.execute(_FIND_WRONG)
    return [_describe(*row) for row in cursor.fetchall()]


def _describe(source: str, name: str, label: str, kept: Decimal, counted: Decimal, *latest: object) -> str:
    total = f"{source}: the total of {' '.join(filter(None, (name, label)))}"
    if kept != counted:
        return f"{total} is kept as {kept.normalize():f}, counted are {counted.normalize():f}"
    return f"{total} is kept as last of {latest[0]}, the newest row is of {latest[1]}"


def repair_totals() -> None:
    """Count the totals anew, what is pruned included; one that was too high comes down.

    Every writer of a total waits meanwhile. So it is exact without any checkpoint's lock, which a retry's event
    and the close of a run that waits don't take.
    """
    with bounded_transaction(by_key=False, lock_seconds=MEND_LOCK_SECONDS, durable=True) as cursor:
        cursor.execute("SELECT etl_mend_totals()")
