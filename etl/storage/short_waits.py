"""Locks rows of a team's own table without a deadlock: the batch waits for a short time only, and then begins again.

A team's transaction may lock rows in another order, and wait for the batch while the batch waits for it. So the batch
gives up all its locks on the team's rows before PostgreSQL looks for a deadlock and ends one of the two.
"""

import random
import time
from collections.abc import Callable
from typing import Any, TypeVar

from django.db import DatabaseError

from etl.database import atomic
from etl.storage.transactions import LOCK_SECONDS, is_lock_timeout

Result = TypeVar("Result")

SHORT_WAIT_SECONDS = 0.1
"""Much shorter than `deadlock_timeout`, after which PostgreSQL ends one of the transactions that wait in a circle."""
SHORT_WAITS = 40
"""After this many attempts with short waits the batch itself is begun again, or fails."""


def in_short_waits(cursor: Any, write: Callable[[], Result]) -> Result:
    """Return what `write` returns. It runs in a savepoint, and again after it has waited too long for a lock."""
    for number in range(1, SHORT_WAITS + 1):
        try:
            with atomic():
                _limit_waits(cursor, SHORT_WAIT_SECONDS)
                result = write()
                _limit_waits(cursor, LOCK_SECONDS)
                return result
        except DatabaseError as error:
            if number == SHORT_WAITS or not is_lock_timeout(error):
                raise
        time.sleep(SHORT_WAIT_SECONDS * random.uniform(0.5, 2))  # noqa: S311
    raise AssertionError("unreachable")


def _limit_waits(cursor: Any, seconds: float) -> None:
    cursor.execute(f"SET LOCAL lock_timeout = '{round(seconds * 1000)}ms'")
