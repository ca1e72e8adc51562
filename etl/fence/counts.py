"""The counts that a checkpoint keeps, changed outside a batch: discarded, pruned, repaired. Needs the row's lock."""

from typing import Any

from etl.fence.locking import PATIENT_ATTEMPTS, lock_checkpoint
from etl.models import Checkpoint

_REPAIR_COUNTS = """
    UPDATE ingestion_checkpoints SET
        record_count = (SELECT count(*) FROM unified_records AS r WHERE r.source = ingestion_checkpoints.source),
        raw_count = (SELECT count(*) FROM raw_records AS r WHERE r.source = ingestion_checkpoints.source),
        open_quarantine_count = (SELECT count(*) FROM etl_quarantine AS q
            WHERE q.source = ingestion_checkpoints.source AND q.status = 'open')
    WHERE source = %s
"""


def count_discarded(cursor: Any, source: str, count: int) -> None:
    """Subtract refused records that are no longer open, in the transaction that resolves them."""
    cursor.execute(
        "UPDATE ingestion_checkpoints SET open_quarantine_count = open_quarantine_count - %s WHERE source = %s",
        [count, source],
    )


def count_pruned(cursor: Any, source: str, *, raw: int = 0, new: int = 0) -> None:
    """Subtract pruned raw records, and remember the `new` ones of pruned runs; in the transaction that prunes."""
    cursor.execute(
        "UPDATE ingestion_checkpoints SET raw_count = raw_count - %s, pruned_new = pruned_new + %s WHERE source = %s",
        [raw, new, source],
    )


def repair_counts() -> None:
    """Count again, one source after the other; no batch of it lands meanwhile. Raises CheckpointLocked."""
    for source in Checkpoint.objects.values_list("source", flat=True):
        with lock_checkpoint(source, attempts=PATIENT_ATTEMPTS, by_key=False) as cursor:
            cursor.execute(_REPAIR_COUNTS, [source])
