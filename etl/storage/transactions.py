"""Sets a transaction's timeouts, and decides which of its failures are worth another attempt."""

import logging
import math
import random
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from django.db import DatabaseError, Error, InterfaceError, OperationalError

from etl.database import atomic, connect, connection
from etl.storage import driver

logger = logging.getLogger(__name__)

STATEMENT_TIMEOUT_SECONDS = 60
LOCK_SECONDS = 10
IDLE_SECONDS = 60
CONNECTION_CHECK_SECONDS = 2
RETRIES = 5
FIRST_BACKOFF_SECONDS = 0.1
SILENT_SECONDS = 10
"""How long after its first failure a silent server is tried again: each attempt may last until connecting times out."""

READ_ONLY = "25006"
"""read_only_sql_transaction: a failover is going on, or the session is still with the former primary."""

_TRANSIENT = {
    "40001",  # serialization_failure
    "40P01",  # deadlock_detected
    "55P03",  # lock_not_available
    "57P01",  # admin_shutdown
    "57P02",  # crash_shutdown
    "57P03",  # cannot_connect_now
    "57P05",  # idle_session_timeout
    "25P03",  # idle_in_transaction_session_timeout
    READ_ONLY,
    "53300",  # too_many_connections
}


# Without statistics (temporary tables, arrays) the planner would scan whole tables for each batch. A scan that can't be
# avoided seems dear then, so that PostgreSQL would compile the statement, which takes longer than to execute it.
_BY_KEY = {
    "statement_timeout": f"{STATEMENT_TIMEOUT_SECONDS}s",
    **dict.fromkeys(("enable_seqscan", "enable_hashjoin", "enable_mergejoin", "jit"), "off"),
}
_SAVEPOINT = "expendable"


def take_last_result(execute: Callable[..., Any], sql: Any, params: Any, many: Any, context: Any) -> Any:
    """An `execute_wrapper` for several statements in one text: the cursor returns the rows of the last."""
    result = execute(sql, params, many, context)
    driver.use_last_result(context["cursor"].cursor)
    return result


class Preface:
    """An `execute_wrapper` that sends its text in one message with the next statement, which saves a round trip."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.is_sent = False

    def __call__(self, execute: Callable[..., Any], sql: Any, params: Any, many: Any, context: Any) -> Any:
        if self.is_sent:
            return execute(sql, params, many, context)
        self.is_sent = True
        if isinstance(sql, str) and not many and driver.takes_statements(context["cursor"].cursor):
            return take_last_result(execute, f"{self.text}; {sql}", params, many, context)
        with context["connection"].cursor() as cursor:  # composed SQL takes no other text
            cursor.execute(self.text)
        return execute(sql, params, many, context)


@contextmanager
def bounded_transaction(
    *,
    by_key: bool = True,
    lock_seconds: float = LOCK_SECONDS,
    idle_seconds: float = IDLE_SECONDS,
    durable: bool = False,
    using: str | None = None,
) -> Iterator[Any]:
    """Open a transaction that never waits for ever, and whose locks are freed if its process stops. Yields its cursor.

    It is READ COMMITTED, whatever the project, the role or the database has as default: after each wait for a lock, the
    next statement must see what the former holder of the lock has committed.
    `by_key`: every statement finds its rows by key, so each also gets a timeout and a plan that uses only indexes.
    Inside another transaction this one is a savepoint with the bounds of the outer one; `durable` forbids that. The
    bounds travel with the first statement, which must not be a COPY. `using` names another database than Kasparro's.
    """
    session = connect(using)
    bounds: AbstractContextManager[None] = nullcontext()
    if not session.in_atomic_block:
        session.queries_log.clear()  # with DEBUG, Django keeps each statement with its parameters
        text = _describe_bounds(by_key=by_key, lock_seconds=lock_seconds, idle_seconds=idle_seconds)
        bounds = session.execute_wrapper(Preface(text))
    with atomic(using=using, durable=durable), session.cursor() as cursor, bounds:
        yield cursor


@contextmanager
def expendable(cursor: Any) -> Iterator[None]:
    """Undo what the block has written if it fails, so that the transaction can continue after the error.

    Like a nested `atomic`, but without round trips of its own: the transaction must be near its end, because the
    savepoint stays, and can't have two such blocks.
    """
    savepoint = Preface(f"SAVEPOINT {_SAVEPOINT}")
    try:
        with connection.execute_wrapper(savepoint):
            yield
    except Exception:
        connection.set_rollback(False)  # Django sets it if a model could not be saved
        if savepoint.is_sent:
            cursor.execute(f"ROLLBACK TO SAVEPOINT {_SAVEPOINT}")
        raise


def _describe_bounds(*, by_key: bool, lock_seconds: float, idle_seconds: float) -> str:
    values = {
        "transaction_isolation": "read committed",
        "lock_timeout": f"{round(lock_seconds * 1000)}ms",
        "idle_in_transaction_session_timeout": f"{round(idle_seconds * 1000)}ms",
        # So that the server notices a killed client even during a statement, and releases its locks.
        "client_connection_check_interval": f"{CONNECTION_CHECK_SECONDS}s",
        **(_BY_KEY if by_key else {}),
    }
    return "; ".join(f"SET LOCAL {name} = '{value}'" for name, value in values.items())


def is_lock_timeout(error: Exception) -> bool:
    """Whether the statement gave up waiting for another session's lock."""
    return find_code(error) == "55P03"


def is_missing_table(error: Exception) -> bool:
    """Whether a table or column does not exist (yet)."""
    return find_code(error) in ("42P01", "42703")


def is_transient(error: Exception) -> bool:
    """Whether the same transaction may succeed if repeated (PostgreSQL's error codes, appendix A)."""
    code = find_code(error)
    return is_silent(error) if code is None else code in _TRANSIENT or code.startswith("08")


def is_silent(error: Exception) -> bool:
    """Whether no server has responded: the connection is lost, or can't be established."""
    # In some places, such as COPY, a driver raises a bare DatabaseError then.
    is_connection_error = isinstance(error, (OperationalError, InterfaceError)) or type(error) is DatabaseError
    return is_connection_error and find_code(error) is None


class Attempt:
    """One attempt at a transaction, as a context manager. A transient error is logged, and raised only by the last."""

    def __init__(self, number: int, silence_ends: float) -> None:
        self.number = number
        self.silence_ends = silence_ends
        self.failed = False

    def __enter__(self) -> None:
        self.failed = False

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> bool:
        self.failed = isinstance(error, Error) and is_transient(error) and not self._is_last(error)
        if self.failed and isinstance(error, Error):
            logger.warning("Database: %s; trying again (%d/%d)", describe(error), self.number + 1, RETRIES)
            _drop_broken_connection(error)
        return self.failed

    def _is_last(self, error: Error) -> bool:
        return self.number == RETRIES or (is_silent(error) and time.monotonic() > self.silence_ends)


def retry_transient(wait: Callable[[float], None], *, silence_ends: float = math.inf) -> Iterator[Attempt]:
    """Yield attempts at one whole transaction that fences itself: another one after a transient error, at most 5.

    A server that stays silent is given up SILENT_SECONDS after the first failure, or at `silence_ends`
    (`time.monotonic`) if that is earlier.

    for attempt in retry_transient(time.sleep):
        with attempt:
            ...
    """
    for number in range(RETRIES + 1):
        attempt = Attempt(number, silence_ends)
        yield attempt
        if not attempt.failed:
            return
        silence_ends = min(silence_ends, time.monotonic() + SILENT_SECONDS)
        wait(FIRST_BACKOFF_SECONDS * 3**number * random.uniform(0.5, 1))  # noqa: S311


def describe(error: Exception) -> str:
    """Return the first line of a database error; the next lines (DETAIL, CONTEXT) may show a record's content."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def find_code(error: Exception) -> str | None:
    """Return PostgreSQL's error code, or None if no server has responded."""
    return driver.find_code(error.__cause__) or driver.find_code(error)


def _drop_broken_connection(error: Exception) -> None:
    if find_code(error) == READ_ONLY:  # the session is fine, but with the wrong server
        connection.close()
    connection.close_if_unusable_or_obsolete()
    if not connection.in_atomic_block and connection.connection is not None and not connection.is_usable():
        connection.close()
