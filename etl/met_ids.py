"""Remembers exactly which ids a read has accepted, on disk, so that memory does not grow with the source."""

import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import closing
from datetime import datetime
from typing import Self

MOST = 500
"""How many ids one statement looks for: SQLite limits its parameters."""


class MetIds:
    """The ids with the newest event time of each, in a temporary database that ends with the object."""

    def __init__(self) -> None:
        self.database = sqlite3.connect("")
        self.database.execute("CREATE TABLE met (id TEXT PRIMARY KEY, time TEXT) WITHOUT ROWID")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.database.close()

    def add(self, met: Iterable[tuple[str, datetime | None]]) -> None:
        """Add these ids; the newest time of each is kept."""
        rows = ((external_id, time.isoformat() if time is not None else None) for external_id, time in met)
        self.database.executemany(
            "INSERT INTO met VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET time = max(coalesce(time, ''), excluded.time)"
            " WHERE excluded.time IS NOT NULL",
            rows,
        )

    def find(self, ids: Sequence[str]) -> dict[str, datetime | None]:
        """Return those of the ids that were added, with their times."""
        found: dict[str, datetime | None] = {}
        for begin in range(0, len(ids), MOST):
            part = ids[begin : begin + MOST]
            marks = ",".join("?" * len(part))
            statement = f"SELECT id, time FROM met WHERE id IN ({marks})"
            with closing(self.database.execute(statement, part)) as rows:
                found |= {row[0]: datetime.fromisoformat(row[1]) if row[1] else None for row in rows}
        return found
