"""Stands for PostgreSQL's driver where none can be imported, so that `check` runs and says so. It opens no session."""

from typing import Any, NoReturn

sql: Any = None


class Error(Exception):
    """Never raised."""


class OperationalError(Error):
    """Raised in the place of a session."""


class Cursor:
    """No connection has one."""


def connect(url: str, **parameters: Any) -> NoReturn:
    """Refuse to open a session."""
    raise OperationalError("Neither psycopg nor psycopg2 can be imported.")
