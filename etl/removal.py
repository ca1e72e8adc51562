"""Removes what vanished: the stored records that a whole read of a complete source lacked.

finished read ─► count what it lacked (gates judge the number) ─► for each batch of those records:
    BEGIN  checkpoint: compare-and-set, or write nothing
           unified: removed_at, the batch's sequence ─► counters
    COMMIT
"""

import json
from dataclasses import dataclass, field
from functools import partial
from itertools import islice

from etl import landing
from etl.conf import conf
from etl.fence.reads import Read
from etl.readers.source import Source
from etl.records import unwrap_payload
from etl.runs.starting import Started
from etl.storage.row_sets import RowSet
from etl.storage.vanished import START, Excused, Place, Search
from etl.supervision.run_context import RunContext


@dataclass(frozen=True, slots=True)
class Vanished:
    """What a read lacked, by row in `unified_records`. `present` is the number of present records, these included.

    `new` of them were added by the read.
    `unidentified` counts the refused records that the read was the first to meet, and whose id could not be parsed:
    each may be one of the rows.
    """

    present: int
    new: int
    rows: RowSet = field(default_factory=RowSet)
    unidentified: int = 0

    @property
    def count(self) -> int:
        return len(self.rows)

    @property
    def kept(self) -> int:
        """How many records stay present that were so before the read, however many rows are removed already."""
        return self.present - self.new - self.count


def count_vanished(source: Source, read: Read, context: RunContext) -> Vanished:
    """Find the present records that the read lacked, before the first of them is removed. Writes nothing.

    The read must have seen its last record. If it found as many records as are present, this costs one short statement;
    nothing is scanned if refused and outdated records explain the difference.
    """
    search = Search(source.name, read.number, read.first_sequence, partial(identify, source))
    present, new = context.retry(search.count_present)
    if read.met == present:
        return Vanished(present, new)
    excused = context.retry(search.find_excused)
    if present - read.met == context.retry(partial(search.count_excused, excused)):
        return Vanished(present, new)
    return Vanished(present, new, _scan(search, excused, context), excused.unidentified)


def identify(source: Source, payload: str) -> str | None:
    """Return the id in a refused record's payload, if it can be parsed."""
    values = json.loads(unwrap_payload(payload))
    return source.find_external_id(values) if isinstance(values, dict) else None


def _scan(search: Search, excused: Excused, context: RunContext) -> RowSet:
    rows = RowSet()
    place: Place | None = START
    while place is not None:
        found, place = context.retry(partial(search.find_vanished, excused, place))
        rows.add(found)
        context.raise_if_over()
    return rows


def remove_vanished(started: Started, source: Source, read: Read, vanished: Vanished, context: RunContext) -> Read:
    """Remove these records in fenced batches of the read. Returns the read after the last one.

    A run that stops in between leaves the read open; the next run counts again, and removes the others. Nothing is
    removed if a refused record could be one of them.
    """
    if vanished.count and vanished.unidentified:
        context.note_removal(_describe_hold(vanished))
        return read
    if vanished.count:
        context.note_removal(f"Removing {vanished.count:,} of {vanished.present:,} records, which the read lacked.")
    left = iter(vanished.rows)
    while rows := list(islice(left, conf.ETL_BATCH_SIZE)):
        with context.shield():
            read = landing.remove(started.claim, source, read, rows, wait=context.wait)
        context.note_batch()
    return read


def _describe_hold(vanished: Vanished) -> str:
    return (
        f"Removing nothing: the read lacked {vanished.count:,} of {vanished.present:,} records, and"
        f" {vanished.unidentified:,} refused for the first time have no id that can be read: they may be the same. A"
        " read of other content decides again."
    )
