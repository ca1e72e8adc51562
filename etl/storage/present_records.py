"""Loads the present records of a source with the raw rows that they came from, page by page."""

from dataclasses import dataclass

from etl.readers.content import CHUNK_BYTES
from etl.records import unwrap_payload
from etl.storage.marks import is_marked, load_marks
from etl.storage.transactions import bounded_transaction
from etl.vocabulary import MarkKind

# By the index on source and external id. LATERAL and LIMIT look up each raw row by its key, with or without statistics.
_LOAD = """
    SELECT id, external_id, raw_id, encode(values_hash, 'hex'), sequence, position, payload FROM (
        SELECT *, sum(octet_length(payload)) OVER (ORDER BY external_id) - octet_length(payload) AS bytes_before FROM (
            SELECT stored.id, stored.external_id, stored.raw_id, stored.values_hash, stored.sequence, raw.position,
                raw.payload
            FROM (
                SELECT * FROM unified_records
                WHERE source = %s AND external_id > %s AND removed_at IS NULL ORDER BY external_id LIMIT %s
            ) AS stored CROSS JOIN LATERAL (
                SELECT position, payload::text AS payload FROM raw_records WHERE id = stored.raw_id LIMIT 1
            ) AS raw
        ) AS page
    ) AS measured WHERE bytes_before < %s ORDER BY external_id
"""


@dataclass(frozen=True, slots=True)
class PresentRecord:
    """A present record: its row in `unified_records`, and the raw row that holds its content.

    `is_met`: the source's last read has written it or found it unchanged.
    """

    row_id: int
    external_id: str
    raw_id: int
    values_hash: str
    position: int
    payload: str
    is_met: bool


def load_present(source: str, after: str, most: int, *, read_number: int, read_sequence: int) -> list[PresentRecord]:
    """Return the next present records by external id: at most `most`, and about a chunk's bytes of content.

    `read_sequence` is the source's sequence when its last read began.
    """
    # In a transaction only for its settings: the source's owner alone changes its records.
    with bounded_transaction() as cursor:
        cursor.execute(_LOAD, [source, after, most, CHUNK_BYTES])
        rows = cursor.fetchall()
        marks = load_marks(cursor, source, read_number, MarkKind.RECORD, [row[0] for row in rows])
    return [
        PresentRecord(
            row_id,
            external_id,
            raw_id,
            values_hash,
            position,
            unwrap_payload(payload),
            is_met=sequence > read_sequence or is_marked(marks, row_id),
        )
        for row_id, external_id, raw_id, values_hash, sequence, position, payload in rows
    ]
