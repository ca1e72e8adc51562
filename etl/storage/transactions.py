"""How a transaction of the pipeline behaves: its timeouts, and which of its failures are worth another try."""

import logging
import random
from collections.abc import Callable
from typing import Any, TypeVar

from django.db import DatabaseError, Error, InterfaceError, OperationalError, connection

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

STATEMENT_TIMEOUT_SECONDS = 60
LOCK_TIMEOUT_SECONDS = 10
IDLE_IN_TRANSACTION_SECONDS = 60
CONNECTION_CHECK_SECONDS = 2
RETRIES = 5
FIRST_BACKOFF_SECONDS = 0.1

_TRANSIENT = {
    "40001",  # serialization_failure
    "40P01",  # deadlock_detected
    "55P03",  # lock_not_available
    "57P01",  # admin_shutdown
    "57P02",  # crash_shutdown
    "57P03",  # cannot_connect_now
    "57P05",  # idle_session_timeout
    "25P03",  # idle_in_transaction_session_timeout
    "53300",  # too_many_connections
}


def bound_statements(
    cursor: Any,
    *,
    lock_timeout_seconds: float = LOCK_TIMEOUT_SECONDS,
    idle_seconds: float = IDLE_IN_TRANSACTION_SECONDS,
) -> None:
    """Give the open transaction its timeouts, and plans by index only: each statement here goes by key."""
    connection.queries_log.clear()  # with DEBUG on Django keeps each statement, with all that was given to it
    timeouts = {
        "statement_timeout": STATEMENT_TIMEOUT_SECONDS,
        "lock_timeout": lock_timeout_seconds,
        "idle_in_transaction_session_timeout": idle_seconds,
        # So that the server notices a killed client also in the middle of a statement, and frees its locks.
        "client_connection_check_interval": CONNECTION_CHECK_SECONDS,
    }
    settings = [f"SET LOCAL {name} = '{round(seconds * 1000)}ms'" for name, seconds in timeouts.items()]
    # Without statistics (temporary tables, arrays) the planner would scan whole tables for each batch.
    settings += [f"SET LOCAL enable_{plan} = off" for plan in ("seqscan", "hashjoin", "mergejoin")]
    cursor.execute("; ".join(settings))


def is_lock_timeout(error: Exception) -> bool:
    """Whether the statement gave up waiting for somebody's lock."""
    return find_code(error) == "55P03"


def is_missing_table(error: Exception) -> bool:
    """Whether a table or column is not there (yet)."""
    return find_code(error) in ("42P01", "42703")


def is_transient(error: Exception) -> bool:
    """Whether the same transaction may well succeed if tried again (PostgreSQL's error codes, appendix A)."""
    code = find_code(error)
    if code is not None:
        return code in _TRANSIENT or code.startswith("08")
    # Without a code no server has spoken: the connection is lost. In some places, COPY among them, psycopg2 says so
    # with a bare DatabaseError.
    return isinstance(error, (OperationalError, InterfaceError)) or type(error) is DatabaseError


def retry_transient(work: Callable[[], Result], wait: Callable[[float], None]) -> Result:
    """Do the work, a whole transaction that fences itself, and again after a transient error, 5 times at most."""
    for attempt in range(RETRIES):
        try:
            return work()
        except Error as error:
            if not is_transient(error):
                raise
            logger.warning("Database: %s; trying again (%d/%d)", describe(error), attempt + 1, RETRIES)
            _drop_broken_connection()
            wait(FIRST_BACKOFF_SECONDS * 3**attempt * random.uniform(0.5, 1))  # noqa: S311
    return work()


def describe(error: Exception) -> str:
    """The first line of a database error; the lines behind it (DETAIL, CONTEXT) may show a record's content."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def find_code(error: Exception) -> str | None:
    """PostgreSQL's error code; None where no server has spoken."""
    return getattr(error.__cause__, "pgcode", None) or getattr(error, "pgcode", None)


def _drop_broken_connection() -> None:
    connection.close_if_unusable_or_obsolete()
    if not connection.in_atomic_block and connection.connection is not None and not connection.is_usable():
        connection.close()
