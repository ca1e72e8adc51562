"""Changes a checkpoint's counts outside a batch, after discarding, pruning or for repair. The row must be locked."""

from typing import Any

from etl.fence.locking import PATIENT_ATTEMPTS, lock_checkpoint
from etl.models import Checkpoint

_REPAIR_COUNTS = """
    UPDATE ingestion_checkpoints SET
        (record_count, removed_count) = (
            SELECT count(*) FILTER (WHERE removed_at IS NULL), count(*) FILTER (WHERE removed_at IS NOT NULL)
            FROM unified_records AS r WHERE r.source = ingestion_checkpoints.source),
        raw_count = (SELECT count(*) FROM raw_records AS r WHERE r.source = ingestion_checkpoints.source),
        open_quarantine_count = (SELECT count(*) FROM etl_quarantine AS q
            WHERE q.source = ingestion_checkpoints.source AND q.status = 'open')
    WHERE source = %s
"""


def count_opened(cursor: Any, source: str, count: int) -> None:
    """Raise the count of open refused records by `count`, or lower it by -`count`, in the transaction that does it."""
    cursor.execute(
        "UPDATE ingestion_checkpoints SET open_quarantine_count = open_quarantine_count + %s WHERE source = %s",
        [count, source],
    )


def count_pruned(cursor: Any, source: str, *, raw: int = 0, new: int = 0) -> None:
    """Subtract pruned raw records, and add up the `new` records of pruned runs, in the transaction that prunes."""
    cursor.execute(
        "UPDATE ingestion_checkpoints SET raw_count = raw_count - %s, pruned_new = pruned_new + %s WHERE source = %s",
        [raw, new, source],
    )


def repair_counts() -> None:
    """Recount one source after the other. No batch of a source lands during its count. Raises CheckpointLocked."""
    for source in Checkpoint.objects.values_list("source", flat=True):
        with lock_checkpoint(source, attempts=PATIENT_ATTEMPTS, by_key=False) as cursor:
            cursor.execute(_REPAIR_COUNTS, [source])
