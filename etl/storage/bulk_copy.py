"""Sends rows to PostgreSQL with COPY, in one stream and in its text format."""

import io
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from django.db import connection

_ESCAPES = str.maketrans({"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r"})
NULL = r"\N"


def copy_rows(cursor: Any, table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """COPY the rows into the table. Values are strings, bytes, numbers, times or None, in the order of `columns`.

    Raises django.db's errors. The names of table and columns must never come from input.
    """
    text = "".join(["\t".join(map(format_value, row)) + "\n" for row in rows])
    statement = f"COPY {table} ({', '.join(columns)}) FROM STDIN"
    with connection.wrap_database_errors:  # Django wraps execute(), but not this
        cursor.copy_expert(statement, io.StringIO(text))


def format_value(value: Any) -> str:
    """Format one value for COPY (PostgreSQL documentation, COPY, "Text Format")."""
    if value is None:
        return NULL
    if isinstance(value, str):
        return value.translate(_ESCAPES)
    if isinstance(value, bytes):
        return rf"\\x{value.hex()}"
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value)
