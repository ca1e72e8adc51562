"""Databases of release 0.1.0 on the server of the tests: loaded from the dump, multiplied, dropped at the end."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from django.db import connection

from etl.storage.driver import open_session
from tests.processes import test_database_url

FOLDER = Path(__file__).resolve().parent
SECRET_KEY = "throw-away-key-of-the-dump-of-0.1.0-that-signs-nothing-of-value"
TOKEN = "kasparro_d6grSPBHYoJf9fdNcYRB0lmHZjJSXYmwDPYuwHi9oPk"
"""Alice's token. Its digest is in the dump and is valid only with that key."""


@contextmanager
def restore() -> Iterator[str]:
    """Yield the URL of a database that holds the dump."""
    name = f"{connection.settings_dict['NAME']}_0_1_0"
    url = urlunsplit(urlsplit(test_database_url())._replace(path=f"/{name}"))
    with connection.cursor() as cursor:
        cursor.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        cursor.execute(f'CREATE DATABASE "{name}"')
    try:
        _send(url, "0.1.0.sql")
        yield url
    finally:
        with connection.cursor() as cursor:
            cursor.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def multiply(url: str, source: str, times: int) -> None:
    """Multiply the records of the source, in a database that no migration has changed yet."""
    _send(url, "multiply.sql", source=source, times=str(times))


def fetch(url: str, statement: str) -> list[tuple[Any, ...]]:
    with open_session(url) as session, session.cursor() as cursor:
        cursor.execute(statement)
        return list(cursor.fetchall())


def _send(url: str, script: str, **parameters: str) -> None:
    with open_session(url) as session, session.cursor() as cursor:
        for name, value in parameters.items():
            cursor.execute("SELECT set_config(%s, %s, false)", [f"multiply.{name}", value])
        cursor.execute((FOLDER / script).read_text())
