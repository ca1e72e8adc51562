"""COPY: rows to PostgreSQL in one stream, in its text format."""

import io
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from django.db import connection

_ESCAPES = str.maketrans({"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r"})
NULL = r"\N"


def copy_rows(cursor: Any, table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """COPY the rows into the table; their values are text, bytes, numbers, times or None, in `columns`' order.

    Raises django.db's errors. The names are ours, never input.
    """
    text = "".join(["\t".join(map(format_value, row)) + "\n" for row in rows])
    statement = f"COPY {table} ({', '.join(columns)}) FROM STDIN"
    with connection.wrap_database_errors:  # Django wraps execute(), but not this
        cursor.copy_expert(statement, io.StringIO(text))


def format_value(value: Any) -> str:
    """One value in COPY's text format (PostgreSQL documentation, COPY, "Text Format")."""
    if value is None:
        return NULL
    if isinstance(value, str):
        return value.translate(_ESCAPES)
    if isinstance(value, bytes):
        return rf"\\x{value.hex()}"
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value)
