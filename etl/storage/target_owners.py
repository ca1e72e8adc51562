"""Finds the records that rows of a team's own table come from. Writes nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from etl.storage.transactions import bounded_transaction

MOST_OF_ONE_ROW = 20
"""How many records one row can have: several sources may own different columns of it."""

# LIMIT makes PostgreSQL look up each key in the index, with or without statistics (docs/decisions/0025).
_FIND = """
    SELECT kept.target_key, kept.id, kept.source, kept.external_id, kept.updated_at
    FROM unnest(%s::text[]) AS wanted (target_key) CROSS JOIN LATERAL (
        SELECT * FROM unified_records AS u
        WHERE u.target = %s AND u.target_key = wanted.target_key AND u.removed_at IS NULL LIMIT %s
    ) AS kept
"""


@dataclass(frozen=True, slots=True)
class Origin:
    """A present record whose values a row has. `id` is its row in the ledger, `changed_at` its last change."""

    id: int
    source: str
    external_id: str
    changed_at: datetime


def find_origins(label: str, keys: Sequence[str]) -> Mapping[str, Sequence[Origin]]:
    """Return the present records of these rows of a model, by the rows' keys, in one statement."""
    found: dict[str, list[Origin]] = {}
    with bounded_transaction() as cursor:
        cursor.execute(_FIND, [[*keys], label, MOST_OF_ONE_ROW])
        for key, *values in cursor.fetchall():
            found.setdefault(key, []).append(Origin(*values))
    return found
