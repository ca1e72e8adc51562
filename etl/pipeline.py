"""The path of a record, top to bottom: claimed source → read → validated → classified → landed → closed.

order ─► claim (epoch) ─► judge the columns and the first records
         ─► for each batch: read ─► drift ─► validate ─► classify
                            BEGIN  checkpoint: compare-and-set, or write nothing
                                   raw ─► unified ─► marks ─► quarantine ─► counters, shape so far
                            COMMIT
         ─► verdict on the read ─► settle refused records, remove what vanished, in batches with the same fence
         ─► close the run with verdict and drift, release the source
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import cast

from etl import landing, removal
from etl.change_detection import Batch, classify
from etl.exceptions import CursorRefused
from etl.fence.reads import FILE, REPEATED, FilesEnd, Read, ReadEnd, UnchangedEnd, choose_read
from etl.first_records import Start, judge_start
from etl.gates import Baseline, Figures, Verdict, choose_outcome, has_shifted, judge_age, judge_read, judge_removals
from etl.increments import EVERYTHING, Increment, choose_increment, find_beginning, note_newest
from etl.models import Checkpoint, Run
from etl.preparation import Prepared
from etl.readers.content import Content, Opening
from etl.readers.source import Source
from etl.reading_process.choice import preparing
from etl.records import Cursor, Judged, Origins, Refusal, refuse_judged
from etl.resumption import may_continue, start_over
from etl.runs import ending
from etl.runs.starting import Started
from etl.settlement import settle_refused
from etl.shifted_pages import settle_pages
from etl.storage.former_refusals import recognize
from etl.storage.ledger import NO_SPANS, Lookup, Spans
from etl.storage.reads import find_former, find_verdict
from etl.supervision.run_context import RunContext


@dataclass(frozen=True, slots=True)
class Progress:
    """A run's progress: the number of records seen, and the share of the content that is read (0 to 1).

    Of a walk, `pages` counts its pages, and `share` is None unless the source names the number of all records.
    """

    seen: int
    share: float | None
    pages: int = 0


@dataclass(frozen=True, slots=True)
class Reading:
    """A content that a run reads: its source, how the run was started, and what it asked the source for."""

    source: Source
    started: Started
    content: Content
    context: RunContext
    increment: Increment = EVERYTHING

    @property
    def is_whole(self) -> bool:
        """Whether the content is proven to be everything that the source has. A delta lacks what has not changed."""
        return self.content.is_proven and not self.increment.is_delta


def run_source(source: Source, started: Started, context: RunContext, report: Callable[[Progress], None]) -> Run | None:
    """Bring the claimed source up to date and close its run. If an error prevents that, the run is still open.

    Returns the closed run's row, or None if it was closed before.
    """
    try:
        return _run(source, started, context, report, continues=may_continue(source, started, context))
    except CursorRefused as refusal:
        start_over(refusal, started, context)
    return _run(source, started, context, report, continues=False)


def _run(
    source: Source, started: Started, context: RunContext, report: Callable[[Progress], None], *, continues: bool
) -> Run | None:
    """Read and land the content, and close the run. `continues`: an interrupted walk is continued at its cursor."""
    checkpoint, increment = started.checkpoint, choose_increment(source, started)
    with source.open(_choose_opening(source, started, increment, continues=continues), context) as content:
        fingerprint = f"{source.digest()}:{content.fingerprint}" if content is not None else checkpoint.fingerprint
        read = choose_read(checkpoint, fingerprint, is_full=started.is_full)
        if content is None or _is_unchanged(checkpoint, read, increment):
            validators = checkpoint.validators
            if content is not None and not increment.is_window:
                validators = content.validators
            return _end_unchanged(source, started, fingerprint, validators, context)
        context.note_read(read)
        former = context.retry(lambda: find_former(source.name, checkpoint.accepted_read))
        reading, start = Reading(source, started, content, context, increment), Start()
        if not read.is_begun:
            start = judge_start(source, content, former, is_delta=increment.is_delta)
        if start.verdict:
            return _end_read(reading, replace(read, seen=start.seen), start.verdict, start.refusals)
        read = land_all(reading, read, report)
        read, shift = settle_pages(source, content, read, context, partial(_land_found, reading))
        read, verdict = conclude(reading, read, former.baseline, shift)
        return _end_read(reading, read, verdict)


def land_all(reading: Reading, read: Read, report: Callable[[Progress], None], later_files: Spans = NO_SPANS) -> Read:
    """Land the content batch by batch, and return the read at its end. `later_files`: see `Lookup`."""
    source, content, context = reading.source, reading.content, reading.context
    lookup = _begin_lookup(source, reading.started.checkpoint, read, later_files)
    begun = find_beginning(read, reading.started) if source.since is not None else None
    seen = 0
    with preparing(
        source, content, read.cursor, read.shape, run=context, finds_repeats=lookup.is_first, begun=begun
    ) as batches:
        for prepared in batches:
            read = replace(read, shape=prepared.shape)
            reach = partial(_describe_reached, content, read, prepared, begun)
            read = _land(reading, read, prepared.judged, reach, lookup)
            context.note_batch()
            seen += prepared.seen
            report(_describe_progress(seen, prepared.cursor, content))
            del prepared, reach  # before the next batch arrives
    return read


def _describe_reached(content: Content, read: Read, prepared: Prepared, begun: datetime | None, batch: Batch) -> Cursor:
    """Return the cursor after the batch, with what else the next run has to know."""
    reached = {**prepared.cursor, "size": content.size}  # for progress bars
    reached |= {FILE: read.file} if read.file else {}
    reached |= {REPEATED: repeated} if (repeated := read.repeated + batch.repeated) else {}
    reached |= note_newest(read, prepared.newest, begun) if begun is not None else {}
    return reached


def _land(reading: Reading, read: Read, judged: Judged, reach: Callable[[Batch], Cursor], lookup: Lookup) -> Read:
    """Land a batch. If the source's own target refuses a record, a later one of the batch with its id counts."""
    source, context = reading.source, reading.context
    while True:
        origins = cast("Origins", judged.lines) if source.target is not None else None
        batch = _compare(lookup, judged, read.file, context)
        try:
            with context.shield():
                return landing.land(
                    reading.started.claim,
                    source,
                    read,
                    batch,
                    reached=reach(batch),
                    wait=context.wait,
                    origins=origins,
                )
        except landing.RepeatedRefused as repeated:
            judged = refuse_judged(judged, repeated.refused, cast("Origins", origins))


def _land_found(reading: Reading, found: Content, read: Read) -> Read:
    """Land the records that a finished walk has found on its pages when it asked for them again."""
    return land_all(replace(reading, content=found), read, lambda _: None)


def _describe_progress(seen: int, reached: Cursor, content: Content) -> Progress:
    if (pages := reached.get("pages")) is None:
        return Progress(seen, reached.get("offset", 0) / max(content.size, 1))
    total = reached.get("total")
    return Progress(seen, min(1.0, reached["position"] / total) if total else None, pages)


def conclude(reading: Reading, read: Read, baseline: Baseline | None, shift: str = "") -> tuple[Read, Verdict]:
    """Judge the finished read. If it is accepted, settle refused records, and remove what a complete read lacked.

    `shift`: why its pages may have shifted, see shifted_pages.py.
    """
    source, started, context, is_whole = reading.source, reading.started, reading.context, reading.is_whole
    is_delta = reading.increment.is_delta
    figures = Figures(read.content, read.seen, read.broken, is_whole=is_whole, shift=shift, is_delta=is_delta)
    verdict = judge_read(source.gates, figures, baseline)
    vanished = None
    if not verdict and is_whole and source.complete and not read.file:
        vanished = removal.count_vanished(source, read, context)
        if baseline is None or not baseline.overrules(read.content):
            verdict = judge_removals(source.gates, baseline, kept=vanished.kept, vanished=vanished.count)
    if verdict:
        return read, verdict
    read = settle_refused(started, source, read, context, is_whole=is_whole)
    if vanished is not None:
        read = removal.remove_vanished(started, source, read, vanished, context)
    return read, ()


def _end_read(reading: Reading, read: Read, verdict: Verdict, refusals: Sequence[Refusal] = ()) -> Run | None:
    """Close the run with the verdict on its read. Without a batch, the `refusals` are all that is kept of it."""
    source, content, increment = reading.source, reading.content, reading.increment
    is_whole = reading.is_whole and not has_shifted(verdict)
    refusals = reading.context.retry(lambda: recognize(source, refusals, read.file))
    read_end = ReadEnd(
        read=read,
        kind=source.kind,
        validators=content.validators,
        is_proven=content.is_proven,
        is_whole=is_whole,
        is_complete=is_whole and source.complete,
        outcome=choose_outcome(verdict),
        verdict=verdict,
        refusals=refusals,
        is_delta=increment.is_delta,
        is_window=increment.is_window,
        watermark=increment.end(read),
        contract=source.contract,
    )
    return end_run(reading.started, reading.context, ending.judged(verdict, read.quarantined, read.waiting), read_end)


def _end_unchanged(
    source: Source, started: Started, fingerprint: str, validators: Mapping[str, str], context: RunContext
) -> Run | None:
    """Close the run with the verdict on the read of the same content."""
    checkpoint = started.checkpoint
    is_stored = fingerprint == checkpoint.fingerprint
    number = checkpoint.accepted_read if is_stored else checkpoint.judged_read
    verdict: Verdict = ()
    has_age = source.gates.fresh_within is not None and source.since is None  # the age of a delta says nothing
    if not is_stored or has_age:
        passed = context.retry(lambda: find_verdict(source.name, number))
        verdict = judge_age(source.gates, passed.age) if is_stored else passed.verdict
    end = UnchangedEnd(fingerprint, validators if is_stored else checkpoint.validators, is_stored=is_stored)
    return end_run(started, context, ending.judged(verdict, 0, is_unchanged=True), end)


def end_run(
    started: Started, context: RunContext, how: ending.Ending, read_end: ReadEnd | UnchangedEnd | FilesEnd | None = None
) -> Run | None:
    """Close the claimed run, and retry after a transient error. Returns its row. Raises Overtaken or LeaseLost."""
    return context.retry(lambda: ending.end(started.claim, how, read_end=read_end))


def _choose_opening(source: Source, started: Started, increment: Increment, *, continues: bool) -> Opening:
    """Ask for the content only if it has changed, unless the run is full, a read is open or the contract changed."""
    checkpoint, contract, bounds = started.checkpoint, f"{source.digest()}:", increment.bounds
    if checkpoint.is_reading:
        open_read = checkpoint.read_fingerprint if continues else ""
        open_read = open_read.removeprefix(contract) if open_read.startswith(contract) else ""
        return Opening(open_read=open_read, bounds=bounds)
    is_forced = started.is_full or increment.is_window or not increment.is_known
    if is_forced or not checkpoint.fingerprint.startswith(contract):
        return Opening(bounds=bounds)
    return Opening(checkpoint.validators, bounds=bounds)


def _is_unchanged(checkpoint: Checkpoint, read: Read, increment: Increment) -> bool:
    """Whether this content has a verdict, of the last accepted read or the last one, and no other read is open.

    Without a watermark of its own, even the same content has to be read for one.
    """
    known = {checkpoint.fingerprint, checkpoint.judged_fingerprint}
    if not increment.is_known:
        return False
    return not read.is_full and not checkpoint.is_reading and read.fingerprint in known


def _begin_lookup(source: Source, checkpoint: Checkpoint, read: Read, later_files: Spans) -> Lookup:
    is_first = not read.is_begun and not checkpoint.record_count and not checkpoint.removed_count
    return Lookup(
        source,
        read_number=read.number,
        read_sequence=read.first_sequence,
        is_first=is_first,
        later_files=later_files,
    )


def _compare(lookup: Lookup, judged: Judged, file: str, context: RunContext) -> Batch:
    """Compare the batch's records with the stored ones, and write its lines."""
    judged.refusals = [*context.retry(lambda: recognize(lookup.source, judged.refusals, file))]
    batch = classify(judged, context.retry(lambda: lookup.find(judged)))
    _ = batch.lines  # before the fence: a reading process may have to write them
    return batch
