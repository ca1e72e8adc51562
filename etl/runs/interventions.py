"""Runs that an operator ends: cancelled ones, and those whose source is released."""

from etl.fence import claims
from etl.fence.locking import FORCING_ATTEMPTS, PATIENT_ATTEMPTS, lock_checkpoint
from etl.models import Run
from etl.runs.ending import cancelled, released, take_turn, write_ending
from etl.vocabulary import OPEN_STATUSES, Status


def cancel(run: Run, *, by: str) -> bool:
    """Close a queued or running run, end its epoch and free its source, in one transaction.

    Returns False if the run is already closed. Raises CheckpointLocked if a batch takes longer than half a minute.
    """
    # Locks the checkpoint's row first, like every batch, start and end. From here on the run's status can't change.
    with lock_checkpoint(run.source, attempts=PATIENT_ATTEMPTS) as cursor:
        take_turn(cursor, run.source)
        is_open = Run.objects.select_for_update().filter(pk=run.pk, status__in=OPEN_STATUSES).exists()
        if is_open:
            claims.revoke_from_run(cursor, run.source, run.pk)
            write_ending(cursor, run.source, cancelled(by), run.pk, only_if=OPEN_STATUSES)
        return is_open


def release(source: str, *, by: str) -> Run | None:
    """Take the source from the run that owns it, and close that run. Returns the closed run, or None.

    Its worker writes nothing further. Raises CheckpointLocked.
    """
    with lock_checkpoint(source, attempts=PATIENT_ATTEMPTS, forces_after=FORCING_ATTEMPTS) as cursor:
        take_turn(cursor, source)
        claims.revoke_from_any_run(cursor, source)
        run = Run.objects.select_for_update().filter(source=source, status=Status.RUNNING).first()
        if run is not None:
            write_ending(cursor, source, released(by), run.pk)
        return run
