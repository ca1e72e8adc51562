"""The web process's sessions: kept from request to request; a slow statement is cancelled, a silent server given up.

PostgreSQL's own timeouts don't end a wait for a server that has stopped answering. Here whoever has waited for half a
second asks it something else; if that is not answered either, all that wait are told, and who comes later at once.

Only the web process installs this: the pipeline's own transactions have their own timeouts (and COPY does not work
with a wait callback).
"""

import select
import threading
import time
from typing import Any

import psycopg2
from django.conf import settings
from django.core.signals import request_started
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.backends.signals import connection_created
from psycopg2 import extensions

SESSION_SECONDS = 600
GRACE_SECONDS = 1
"""How much longer than its statement timeout a statement may take to be cancelled."""

PATIENCE_SECONDS = 0.5
QUESTION_SECONDS = 1.0


class Silence:
    """Whether the database has stopped answering; one thread at a time looks, once a second at most."""

    def __init__(self) -> None:
        self.is_on = False
        self._looking = threading.Lock()
        self._next_look = 0.0

    def look(self) -> bool:
        """Whether the database is silent, as far as is known."""
        if self._looking.acquire(blocking=False):
            try:
                if time.monotonic() >= self._next_look:
                    self.is_on = not _is_answered()
                    self._next_look = time.monotonic() + QUESTION_SECONDS
            finally:
                self._looking.release()
        return self.is_on


_silence = Silence()


def install() -> None:
    """From now on every statement of this process has its deadline, and every session lives on with its timeouts."""
    connections.databases[DEFAULT_DB_ALIAS]["CONN_MAX_AGE"] = SESSION_SECONDS
    request_started.connect(_drop_ended_sessions)
    connection_created.connect(_bound_session)
    extensions.set_wait_callback(_wait)


def _drop_ended_sessions(**kwargs: Any) -> None:
    """A kept session that has something to read before anything was asked has been ended by the server."""
    for connection in connections.all(initialized_only=True):
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


def _wait(session: Any) -> None:
    """psycopg2's wait callback: raises OperationalError, which closes the session, when the server stays silent."""
    if _silence.is_on and _silence.look():
        raise psycopg2.OperationalError("the database does not answer")
    deadline = time.monotonic() + settings.API_STATEMENT_SECONDS + GRACE_SECONDS
    while not _poll(session, PATIENCE_SECONDS):
        if time.monotonic() > deadline or _silence.look():
            raise psycopg2.OperationalError("the database does not answer")


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
    parameters.pop("cursor_factory", None)
    try:
        session = psycopg2.connect(**parameters, async_=True)
        try:
            if not _poll(session, QUESTION_SECONDS):
                return False
            session.cursor().execute("SELECT 1")
            return _poll(session, QUESTION_SECONDS)
        finally:
            session.close()
    except psycopg2.Error:
        return True
