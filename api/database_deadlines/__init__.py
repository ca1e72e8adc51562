"""The web process's database sessions: kept across requests, with a deadline for each wait for the server.

PostgreSQL's own timeouts end a slow statement, but not a wait for a server that no longer responds. After one wait has
failed, one thread at a time tries again and all others fail at once; otherwise all threads might wait for the database,
and none could serve health requests.

Only the web process installs this; the pipeline's transactions have their own timeouts.
"""

import select
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from django.core.signals import request_started
from django.db import OperationalError, connections
from django.db.backends.signals import connection_created

from api.conf import conf
from etl.database import connection, name_database
from etl.socket_deadlines import Deadline, Duplicate
from etl.storage import driver
from etl.storage.transactions import find_code

SESSION_SECONDS = 600
CONNECT_SECONDS = 2
"""The shortest timeout that libpq supports."""

GRACE_SECONDS = 1
"""The time that the server gets to cancel a statement after its timeout."""

PATIENCE_SECONDS = 0.5
"""The deadline for a server that did not respond the last time."""


class _Server:
    """Whether the database responds, according to the last waits for it."""

    def __init__(self) -> None:
        self.is_silent = False
        self.answered_at = 0.0
        self.trial = threading.Lock()

    @contextmanager
    def wait(self, session: Duplicate | None = None) -> Iterator[None]:
        """Wait for the server inside this context. Raises OperationalError if it does not respond in time."""
        is_trial, began = self.is_silent, time.monotonic()
        if is_trial and not self.trial.acquire(blocking=False):
            raise driver.OperationalError("the database does not respond")
        try:
            with Deadline(PATIENCE_SECONDS if is_trial else conf.API_STATEMENT_SECONDS + GRACE_SECONDS) as end:
                if session is not None:
                    end.cover(session)
                yield
            self.is_silent, self.answered_at = False, time.monotonic()
        except (driver.OperationalError, OperationalError) as error:
            # An error code is a response. If another session got one in the meantime, only this connection is lost.
            if find_code(error) is None and time.monotonic() - began > PATIENCE_SECONDS and self.answered_at < began:
                self.is_silent = True
            raise
        finally:
            if is_trial:
                self.trial.release()


_server = _Server()


class Sessions:
    """A mixin for one of Django's PostgreSQL backends: the waits of its sessions have deadlines."""

    connection: Any
    wrap_database_errors: Any
    _duplicate: Duplicate | None = None

    def get_connection_params(self) -> dict[str, Any]:
        parameters: dict[str, Any] = super().get_connection_params()  # type: ignore[misc]
        return {**parameters, "connect_timeout": CONNECT_SECONDS, "cursor_factory": Cursor}

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        with _server.wait():  # ended by CONNECT_SECONDS
            session = super().get_new_connection(conn_params)  # type: ignore[misc]
        self._duplicate = Duplicate(session.fileno())
        return session

    def create_cursor(self, name: str | None = None) -> Any:
        cursor = super().create_cursor(name)  # type: ignore[misc]
        cursor.duplicate = self._duplicate
        return cursor

    def close(self) -> None:
        super().close()  # type: ignore[misc]
        self._duplicate = None

    def commit(self) -> None:
        with self._wait():
            super().commit()  # type: ignore[misc]

    def rollback(self) -> None:
        with self._wait():
            super().rollback()  # type: ignore[misc]

    @contextmanager
    def _wait(self) -> Iterator[None]:
        with self.wrap_database_errors, _server.wait(self._duplicate):
            yield


class Cursor(driver.Cursor):  # type: ignore[misc]  # of one of two libraries
    """A cursor whose waits have deadlines."""

    duplicate: Duplicate | None = None
    """Its session's; None for the few cursors that Django's backends take from the driver themselves."""

    def execute(self, *arguments: Any, **options: Any) -> Any:
        with self._wait_for_server():
            return super().execute(*arguments, **options)

    def executemany(self, *arguments: Any, **options: Any) -> Any:
        with self._wait_for_server():
            return super().executemany(*arguments, **options)

    def _wait_for_server(self) -> AbstractContextManager[None]:
        return _server.wait(self.duplicate or Duplicate(self.connection.fileno()))


def install() -> None:
    """Give every statement of this process a deadline, and keep its sessions, with their timeouts, across requests."""
    database = connections.databases[name_database()]
    connection.close()
    del connections[name_database()]  # the next one has this engine
    database["CONFIGURED_ENGINE"], database["ENGINE"] = database["ENGINE"], __name__
    database["CONN_MAX_AGE"] = SESSION_SECONDS
    database["DISABLE_SERVER_SIDE_CURSORS"] = True  # their fetches would have no deadline
    request_started.connect(drop_ended_session)
    connection_created.connect(_bound_session)


def drop_ended_session(**kwargs: Any) -> None:
    """Close this thread's session if it has data to read before a query was sent: the server has ended it."""
    session = connection.connection
    if session is not None and (session.closed or any(select.select([session], [], [], 0))):
        connection.close()


def _bound_session(connection: Any, **kwargs: Any) -> None:
    milliseconds = round(conf.API_STATEMENT_SECONDS * 1000)
    with connection.cursor() as cursor:
        cursor.execute(
            f"SET statement_timeout = {milliseconds}; SET lock_timeout = {milliseconds};"
            f" SET idle_in_transaction_session_timeout = {milliseconds + GRACE_SECONDS * 1000}"
        )
