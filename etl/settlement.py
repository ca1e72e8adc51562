"""Settles, after a read, the refused records that have landed since, are gone, or came back.

Decision 0030 has the rules. Each page is one fenced transaction; a run that is killed in between leaves the read open,
and the next one settles what is left.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

from etl.fence.batches import count_settled, pass_fence_of_replay, require_landed
from etl.fence.claims import Claim
from etl.fence.reads import Read
from etl.readers.source import Source
from etl.runs.starting import Started
from etl.storage.refusal_states import Changes, Finished, change_met, change_open, write_changes
from etl.storage.transactions import bounded_transaction
from etl.supervision.run_context import RunContext

PAGE = 10_000
"""Number of open rows that one transaction looks at."""

_Look = Callable[[Any, Finished, int], tuple[Changes, int | None]]


def settle_refused(started: Started, source: Source, read: Read, context: RunContext, *, is_whole: bool) -> Read:
    """Settle the source's refused records by this finished read, and return the updated read.

    It writes only what changes, so a repeated read of the same content writes nothing. Without open rows and refused
    records nothing is looked up. Raises Overtaken or LeaseLost; a page is written as a whole or not at all.
    """
    if not started.checkpoint.open_quarantine_count and not read.quarantined:
        return read
    finished = Finished(source.name, read.number, read.first_sequence, is_whole=is_whole, file=read.file)
    for changes in _list_changes(finished, context):
        context.retry(partial(_commit, started.claim, read, changes))
        read = replace(read, batch_number=read.batch_number + 1)
        context.note_batch()
    return read


def _list_changes(finished: Finished, context: RunContext) -> Iterator[Changes]:
    """Yield the changes of each page that has any: first to open rows, then to closed rows that the read found."""
    look_at_open: _Look = partial(change_open, most=PAGE)
    for look, first in ((look_at_open, 0), (change_met, -1)):
        after: int | None = first
        while after is not None:
            changes, after = context.retry(partial(_look, look, finished, after))
            if changes:
                yield changes


def _look(look: _Look, finished: Finished, after: int) -> tuple[Changes, int | None]:
    # In a transaction only for its settings: the fenced one changes the rows that still have their status.
    with bounded_transaction() as cursor:
        return look(cursor, finished, after)


def _commit(claim: Claim, read: Read, changes: Changes) -> None:
    with bounded_transaction(durable=True) as cursor:
        passed = pass_fence_of_replay(cursor, claim, batch_number=read.batch_number)
        if passed is None:
            require_landed(cursor, claim, read.batch_number)
            return
        opened = write_changes(cursor, changes, read.number, passed.now)
        count_settled(cursor, claim, opened)
