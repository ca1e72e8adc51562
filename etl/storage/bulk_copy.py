"""Sends rows to PostgreSQL with COPY, in one stream and in its text format."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

from etl.copy_text import join_values
from etl.database import connection
from etl.storage import driver

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
        driver.copy_in(cursor, statement, _join_blocks(iter(lines)))


def _join_blocks(lines: Iterator[str]) -> Iterator[bytes]:
    """Yield the text in blocks, so that it is never in memory as a whole."""
    while block := "\n".join([*islice(lines, BLOCK_LINES), ""]).encode():
        yield block
