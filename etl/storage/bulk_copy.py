"""Sends rows to PostgreSQL with COPY, in one stream and in its text format. Nothing else knows the driver's COPY."""

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any

from django.db import connection

from etl.copy_text import join_values

BLOCK_LINES = 1000
"""How many lines the driver takes at a time."""


def copy_rows(cursor: Any, table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """COPY the rows into the table. Values are strings, bytes, numbers, times or None, in the order of `columns`."""
    copy_lines(cursor, table, columns, (join_values(row) for row in rows))


def copy_lines(cursor: Any, table: str, columns: Sequence[str], lines: Iterable[str]) -> None:
    """COPY lines of text, without their line ends, into the table.

    Raises django.db's errors. The names of table and columns must never come from input.
    """
    statement = f"COPY {table} ({', '.join(columns)}) FROM STDIN"
    with connection.wrap_database_errors:  # Django wraps execute(), but not this
        cursor.copy_expert(statement, _Lines(lines))


class _Lines:
    """Lines as a file that the driver reads: it takes blocks of any size, so the whole text is never in memory."""

    def __init__(self, lines: Iterable[str]) -> None:
        self.lines = iter(lines)

    def read(self, size: int) -> bytes:
        return "\n".join([*islice(self.lines, BLOCK_LINES), ""]).encode()
