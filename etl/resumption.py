"""Decides whether an interrupted walk continues at its cursor, or starts over at its first page."""

from functools import partial

from etl.exceptions import CursorRefused
from etl.readers.source import Source
from etl.readers.walk import WALK
from etl.runs.events import has_event
from etl.runs.open_reads import find_idle_time
from etl.runs.starting import Started
from etl.supervision.run_context import RunContext
from etl.vocabulary import EventKind


def may_continue(source: Source, started: Started, context: RunContext) -> bool:
    """Whether the open read may continue. A walk may not if it was interrupted longer ago than `resume_within`.

    A run that was handed over continues its own walk: the source may have asked for the wait.
    """
    checkpoint, limit = started.checkpoint, source.resume_within
    is_walk = checkpoint.is_reading and checkpoint.read_fingerprint.startswith(f"{source.digest()}:{WALK}")
    if not is_walk or limit is None or started.run.seen:
        return True
    idle = context.retry(partial(find_idle_time, source.name))
    if idle is None or idle <= limit:
        return True
    if context.retry(partial(has_event, started.run.pk, EventKind.RESTARTED)):
        return False
    hours = [each.total_seconds() / 3600 for each in (idle, limit)]
    context.note_restart(
        f"Read {checkpoint.read_number} was interrupted {hours[0]:,.1f} h ago, longer than resume_within"
        f" ({hours[1]:,.1f} h): it starts over at the first page."
    )
    return False


def start_over(refusal: CursorRefused, started: Started, context: RunContext) -> None:
    """Note that the walk starts over, because the server refuses its cursor. Once per run.

    Raises the refusal if the run has started over before.
    """
    run_id, number = started.claim.run_id, started.checkpoint.read_number
    if context.retry(partial(has_event, run_id, EventKind.RESTARTED)):
        raise refusal
    context.note_restart(f"Read {number} starts over at the first page: the server refuses its cursor. {refusal}")
