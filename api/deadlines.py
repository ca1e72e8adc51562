"""The web process's sessions: kept from request to request; a slow statement is cancelled, a silent server given up.

PostgreSQL's own timeouts don't end a wait for a server that has stopped answering. Here a thread watches who waits:
after half a second it asks the server something else; if that is not answered either, the sessions of all who wait
are cut, and who comes later is told at once. Whoever waits does so inside libpq and pays nothing for being watched.

Only the web process installs this: the pipeline's own transactions have their own timeouts.
"""

import logging
import os
import select
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psycopg2
from django.conf import settings
from django.core.signals import request_started
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.backends.signals import connection_created
from psycopg2 import extensions

logger = logging.getLogger(__name__)

SESSION_SECONDS = 600
CONNECT_SECONDS = 2
"""The least that libpq knows."""

FRESH_SECONDS = 0.05

GRACE_SECONDS = 1
"""How much longer than its statement timeout a statement may take to be cancelled."""

WATCH_SECONDS = 0.1
PATIENCE_SECONDS = 0.5
QUESTION_SECONDS = 1.0


class Watch:
    """Who waits for the database, and the thread that looks after them."""

    def __init__(self) -> None:
        self._is_silent = False
        self._next_question = 0.0
        self._waiting: dict[Session, float] = {}
        """Since when (`time.monotonic`); whoever has left is not cut any more: that is what the lock is for."""
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """From the first session on: a process that forks has none yet."""
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="deadlines", daemon=True)
                self._thread.start()

    @contextmanager
    def over(self, session: "Session") -> Iterator[None]:
        """Inside, the session waits. Raises OperationalError at once while the server is silent."""
        if self._is_silent:
            raise psycopg2.OperationalError("the database does not answer")
        self._waiting[session] = time.monotonic()
        try:
            yield
        finally:
            with self._lock:
                del self._waiting[session]
            session.used_at = time.monotonic()

    def _run(self) -> None:
        while True:
            time.sleep(WATCH_SECONDS)
            try:
                self._look()
            except Exception:  # without this thread nobody has a deadline
                logger.exception("Whoever waits for the database could not be looked after.")

    def _look(self) -> None:
        waiting = list(self._waiting.items())
        now = time.monotonic()
        is_in_doubt = self._is_silent or any(now - since > PATIENCE_SECONDS for _, since in waiting)
        if is_in_doubt and now >= self._next_question:
            self._is_silent = not _is_answered()
            self._next_question = time.monotonic() + QUESTION_SECONDS
        most_seconds = PATIENCE_SECONDS if self._is_silent else settings.API_STATEMENT_SECONDS + GRACE_SECONDS
        for session, since in waiting:
            if time.monotonic() - since > most_seconds:
                self._cut(session, since)

    def _cut(self, session: "Session", since: float) -> None:
        """End the wait that began then, if it still lasts: libpq finds its connection closed."""
        with self._lock, suppress(OSError, psycopg2.Error):
            if self._waiting.get(session) == since:
                with socket.socket(fileno=os.dup(session.fileno())) as line:
                    line.shutdown(socket.SHUT_RDWR)


_watch = Watch()


class Session(extensions.connection):
    """A session whose waits are watched."""

    used_at: float
    """When it last had an answer (`time.monotonic`)."""

    def __init__(self, dsn: str, **kwargs: Any) -> None:
        _watch.start()
        with _watch.over(self):
            super().__init__(dsn, **kwargs)

    def commit(self) -> None:
        with _watch.over(self):
            super().commit()

    def rollback(self) -> None:
        with _watch.over(self):
            super().rollback()


class Cursor(extensions.cursor):
    """A cursor of such a session."""

    connection: Session

    def execute(self, query: Any, vars: Any = None) -> None:  # noqa: A002  (psycopg2's name)
        with _watch.over(self.connection):
            super().execute(query, vars)

    def executemany(self, query: Any, vars_list: Any) -> None:
        with _watch.over(self.connection):
            super().executemany(query, vars_list)


def install() -> None:
    """From now on every statement of this process has its deadline, and every session lives on with its timeouts."""
    database = connections.databases[DEFAULT_DB_ALIAS]
    database["CONN_MAX_AGE"] = SESSION_SECONDS
    database["DISABLE_SERVER_SIDE_CURSORS"] = True  # their fetches would wait unwatched
    database["OPTIONS"] = {
        "connect_timeout": CONNECT_SECONDS,
        **database["OPTIONS"],
        "connection_factory": Session,
        "cursor_factory": Cursor,
    }
    request_started.connect(drop_ended_session)
    connection_created.connect(_bound_session)


def drop_ended_session(**kwargs: Any) -> None:
    """Close this thread's session if it has something to read before anything was asked: the server has ended it.

    One that was used a moment ago is taken for whole: under load, looking each time costs each request.
    """
    connection = connections[DEFAULT_DB_ALIAS]
    session = connection.connection
    if session is None or (not session.closed and time.monotonic() - session.used_at < FRESH_SECONDS):
        return
    if session.closed or any(select.select([session], [], [], 0)):
        connection.close()


def _bound_session(connection: Any, **kwargs: Any) -> None:
    milliseconds = round(settings.API_STATEMENT_SECONDS * 1000)
    with connection.cursor() as cursor:
        cursor.execute(
            f"SET statement_timeout = {milliseconds}; SET lock_timeout = {milliseconds};"
            f" SET idle_in_transaction_session_timeout = {milliseconds + GRACE_SECONDS * 1000}"
        )


def _poll(session: Any, seconds: float) -> bool:
    """Go on with whatever the session does; False if it is not through after so many seconds without a sign."""
    while True:
        status = session.poll()
        if status == extensions.POLL_OK:
            return True
        reading, writing = ([session], []) if status == extensions.POLL_READ else ([], [session])
        if not any(select.select(reading, writing, [], seconds)):
            return False


def _is_answered() -> bool:
    """Whether the server answers a new session in time; one that refuses it answers too."""
    parameters = connections[DEFAULT_DB_ALIAS].get_connection_params()
    for factory in ("connection_factory", "cursor_factory"):
        parameters.pop(factory, None)
    try:
        session = psycopg2.connect(**parameters, async_=True)
        try:
            if not _poll(session, QUESTION_SECONDS):
                return False
            session.cursor().execute("SELECT 1")
            return _poll(session, QUESTION_SECONDS)
        finally:
            session.close()
    except (psycopg2.Error, OSError, ValueError):  # the last: a socket that is closed already
        return True
