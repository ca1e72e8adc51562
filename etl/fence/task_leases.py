"""Leases of tasks that one process at a time does for all sources: taken, renewed and given up as rows with an expiry.

A lock of a session would stay with a process that is frozen; a lease ends.
"""

from dataclasses import dataclass
from typing import Any

from etl.storage.transactions import bounded_transaction

SWEEP = "sweep"
"""The name of the sweep's lease."""

ARRIVALS = "arrivals"
"""The sweep's look for the rows for which records of a source wait; the lease's name ends with that of the source.

It is not given up: one look a lease.
"""

_TAKE = """
    INSERT INTO etl_task_leases (name, owner, taken_at, expires_at)
    VALUES (%(name)s, %(owner)s, clock_timestamp(), clock_timestamp() + %(seconds)s * interval '1 second')
    ON CONFLICT (name) DO UPDATE
    SET owner = EXCLUDED.owner, taken_at = EXCLUDED.taken_at, expires_at = EXCLUDED.expires_at
    WHERE etl_task_leases.expires_at <= clock_timestamp()
        OR etl_task_leases.expires_at > clock_timestamp() + 2 * %(seconds)s * interval '1 second'
    RETURNING taken_at
"""
_RENEW = """
    UPDATE etl_task_leases SET expires_at = clock_timestamp() + %(seconds)s * interval '1 second'
    WHERE name = %(name)s AND owner = %(owner)s AND taken_at = %(taken_at)s AND expires_at > clock_timestamp()
"""
_GIVE_UP = """
    UPDATE etl_task_leases SET expires_at = clock_timestamp()
    WHERE name = %(name)s AND owner = %(owner)s AND taken_at = %(taken_at)s
"""


@dataclass(frozen=True, slots=True)
class HeldTask:
    """A lease that this process has taken."""

    name: str
    owner: str
    seconds: float
    taken_at: Any

    def renew(self) -> bool:
        """Extend the lease from now if this process still holds it, and return whether it does."""
        return self._update(_RENEW)

    def give_up(self) -> None:
        """Others may take it at once."""
        self._update(_GIVE_UP)

    def _update(self, statement: str) -> bool:
        values = {"name": self.name, "owner": self.owner, "seconds": self.seconds, "taken_at": self.taken_at}
        with bounded_transaction() as cursor:
            cursor.execute(statement, values)
            return bool(cursor.rowcount)


def take(name: str, *, owner: str, seconds: float) -> HeldTask | None:
    """Take the task's lease; None while another process has it.

    One that expires more than two lease times from now was written before the database's clock was set back: it
    counts as ended.
    """
    with bounded_transaction() as cursor:
        cursor.execute(_TAKE, {"name": name, "owner": owner, "seconds": seconds})
        row = cursor.fetchone()
        return HeldTask(name, owner, seconds, row[0]) if row is not None else None
