"""The web process's sessions: kept from request to request; a slow statement is cancelled, a silent server given up.

Only the web process installs this: the pipeline's own transactions have their own timeouts (and COPY does not work
with a wait callback).
"""

import select
from typing import Any

import psycopg2
from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.backends.signals import connection_created
from psycopg2 import extensions

SESSION_SECONDS = 600
GRACE_SECONDS = 1
"""How much longer than its statement timeout a server may be silent before it counts as hanging."""


def install() -> None:
    """From now on every statement of this process has its deadline, and every session lives on with its timeouts."""
    connections.databases[DEFAULT_DB_ALIAS]["CONN_MAX_AGE"] = SESSION_SECONDS
    connection_created.connect(_bound_session)
    extensions.set_wait_callback(_wait)


def _bound_session(connection: Any, **kwargs: Any) -> None:
    milliseconds = round(settings.API_STATEMENT_SECONDS * 1000)
    with connection.cursor() as cursor:
        cursor.execute(
            f"SET statement_timeout = {milliseconds}; SET lock_timeout = {milliseconds};"
            f" SET idle_in_transaction_session_timeout = {milliseconds + GRACE_SECONDS * 1000}"
        )


def _wait(session: Any) -> None:
    """psycopg2's wait callback: raises OperationalError, which closes the session, when the server stays silent."""
    patience = settings.API_STATEMENT_SECONDS + GRACE_SECONDS
    while True:
        status = session.poll()
        if status == extensions.POLL_OK:
            return
        reading, writing = ([session], []) if status == extensions.POLL_READ else ([], [session])
        if not any(select.select(reading, writing, [], patience)):
            raise psycopg2.OperationalError(f"the database was silent for {patience:g} s")
