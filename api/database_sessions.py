"""The web process's sessions: kept from request to request; no wait for a server that has stopped answering lasts.

PostgreSQL's own timeouts end a slow statement, not such a wait. After one has failed, one at a time tries again and
the others fail at once: with all threads waiting for the database, none would answer for health.

Only the web process installs this: the pipeline's own transactions have their own timeouts.
"""

import select
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg2
from django.conf import settings
from django.core.signals import request_started
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.backends.signals import connection_created
from psycopg2 import extensions

from etl.deadlines import set_deadline

SESSION_SECONDS = 600
CONNECT_SECONDS = 2
"""The least that libpq knows."""

GRACE_SECONDS = 1
"""How much longer than its statement timeout a statement may take to be cancelled."""

PATIENCE_SECONDS = 0.5
"""For a server that did not answer the last time."""


class _Server:
    """Whether the database answers, as the last waits for it found."""

    def __init__(self) -> None:
        self.is_silent = False
        self.answered_at = 0.0
        self.trial = threading.Lock()

    @contextmanager
    def wait(self, descriptor: int | None = None) -> Iterator[None]:
        """Inside, the session of this connection waits for an answer. Raises OperationalError if it waits in vain."""
        is_trial, began = self.is_silent, time.monotonic()
        if is_trial and not self.trial.acquire(blocking=False):
            raise psycopg2.OperationalError("the database does not answer")
        try:
            with set_deadline(PATIENCE_SECONDS if is_trial else settings.API_STATEMENT_SECONDS + GRACE_SECONDS) as end:
                if descriptor is not None:
                    end.cover(descriptor)
                yield
            self.is_silent, self.answered_at = False, time.monotonic()
        except psycopg2.OperationalError as error:
            # A code is an answer. While others had one, a single connection is lost, not the server.
            if error.pgcode is None and time.monotonic() - began > PATIENCE_SECONDS and self.answered_at < began:
                self.is_silent = True
            raise
        finally:
            if is_trial:
                self.trial.release()


_server = _Server()


class Session(extensions.connection):
    """A session whose waits have deadlines."""

    def __init__(self, dsn: str, **kwargs: Any) -> None:
        with _server.wait():  # CONNECT_SECONDS end it
            super().__init__(dsn, **kwargs)

    def commit(self) -> None:
        with _server.wait(self.fileno()):
            super().commit()

    def rollback(self) -> None:
        with _server.wait(self.fileno()):
            super().rollback()


class Cursor(extensions.cursor):
    """A cursor of such a session."""

    def execute(self, query: Any, vars: Any = None) -> None:  # noqa: A002  (psycopg2's name)
        with _server.wait(self.connection.fileno()):
            super().execute(query, vars)

    def executemany(self, query: Any, vars_list: Any) -> None:
        with _server.wait(self.connection.fileno()):
            super().executemany(query, vars_list)


def install() -> None:
    """From now on every statement of this process has its deadline, and every session lives on with its timeouts."""
    database = connections.databases[DEFAULT_DB_ALIAS]
    database["CONN_MAX_AGE"] = SESSION_SECONDS
    database["DISABLE_SERVER_SIDE_CURSORS"] = True  # their fetches would have no deadline
    database["OPTIONS"] = {
        **database["OPTIONS"],
        "connect_timeout": CONNECT_SECONDS,
        "connection_factory": Session,
        "cursor_factory": Cursor,
    }
    request_started.connect(drop_ended_session)
    connection_created.connect(_bound_session)


def drop_ended_session(**kwargs: Any) -> None:
    """Close this thread's session if it has something to read before anything was asked: the server has ended it."""
    connection = connections[DEFAULT_DB_ALIAS]
    session = connection.connection
    if session is not None and (session.closed or any(select.select([session], [], [], 0))):
        connection.close()


def _bound_session(connection: Any, **kwargs: Any) -> None:
    milliseconds = round(settings.API_STATEMENT_SECONDS * 1000)
    with connection.cursor() as cursor:
        cursor.execute(
            f"SET statement_timeout = {milliseconds}; SET lock_timeout = {milliseconds};"
            f" SET idle_in_transaction_session_timeout = {milliseconds + GRACE_SECONDS * 1000}"
        )
