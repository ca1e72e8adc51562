"""The path of a record, top to bottom: claimed source → read → validated → classified → landed → closed.

order ─► claim (epoch) ─► for each batch: read ─► drift ─► validate ─► classify
                            BEGIN  checkpoint: compare-and-set, or write nothing
                                   raw ─► unified ─► marks ─► quarantine ─► counters, shape so far
                            COMMIT
         ─► close the run with the read's drift, release the source
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from etl import landing
from etl.change_detection import Batch, classify
from etl.fence.reads import Read, choose_read
from etl.models import Checkpoint
from etl.readers.content import Opening
from etl.readers.source import Source
from etl.reading_process.choice import preparing
from etl.records import Judged
from etl.runs import ending
from etl.runs.ending import ReadEnd
from etl.runs.starting import Started
from etl.settlement import settle_refused
from etl.storage.ledger import Lookup
from etl.storage.transactions import retry_transient
from etl.supervision.run_context import RunContext
from etl.vocabulary import Reason, Status


@dataclass(frozen=True, slots=True)
class Progress:
    """A run's progress: the number of records seen, and the share of the content's bytes that is read (0 to 1)."""

    seen: int
    share: float


def run_source(source: Source, started: Started, context: RunContext, report: Callable[[Progress], None]) -> None:
    """Bring the claimed source up to date and close its run. If an error prevents that, the run is still open."""
    checkpoint = started.checkpoint
    with source.open(_choose_opening(source, started), context) as content:
        fingerprint = f"{source.digest()}:{content.fingerprint}" if content is not None else checkpoint.fingerprint
        validators = content.validators if content is not None else checkpoint.validators
        read = choose_read(checkpoint, fingerprint, is_full=started.is_full)
        if content is None or _is_unchanged(checkpoint, read):
            unchanged = ending.finished(Status.SUCCESS, Reason.UNCHANGED)
            end_run(started, context, unchanged, ReadEnd(fingerprint, validators))
            return
        context.note_read(read)
        lookup = _begin_lookup(source, checkpoint, read)
        seen = 0
        with preparing(source, content, read.cursor, read.shape, run=context, finds_repeats=lookup.is_first) as batches:
            for prepared in batches:
                read = replace(read, shape=prepared.shape)
                batch = _compare(lookup, prepared.judged, context)
                with context.shield():
                    reached = {**prepared.cursor, "size": content.size}  # for progress bars
                    read = landing.land(started.claim, source, read, batch, reached=reached, wait=context.wait)
                context.note_batch()
                seen += prepared.seen
                report(Progress(seen, prepared.cursor.get("offset", 0) / max(content.size, 1)))
        read = settle_refused(started, source, read, context, is_whole=True)
        end_run(started, context, describe_end(read.quarantined), ReadEnd(fingerprint, validators, read.shape))


def describe_end(quarantined: int) -> ending.Ending:
    """Return how a finished run ends, given the number of records that were refused."""
    if quarantined:
        return ending.finished(Status.PARTIAL, Reason.RECORDS_REFUSED)
    return ending.finished(Status.SUCCESS)


def end_run(started: Started, context: RunContext, how: ending.Ending, read_end: ReadEnd | None = None) -> None:
    """Close the claimed run, and retry after a transient error. Raises Overtaken or LeaseLost."""
    with context.shield():
        for attempt in retry_transient(context.wait):
            with attempt:
                ending.end(started.claim, how, read_end=read_end)


def _choose_opening(source: Source, started: Started) -> Opening:
    """Ask for the content only if it has changed, unless the run is full, a read is open or the contract changed."""
    checkpoint = started.checkpoint
    is_same_contract = checkpoint.fingerprint.startswith(f"{source.digest()}:")
    if started.is_full or checkpoint.is_reading or not is_same_contract:
        return Opening()
    return Opening(checkpoint.validators)


def _is_unchanged(checkpoint: Checkpoint, read: Read) -> bool:
    """Whether the last finished read was of this content and no other read has landed a batch since."""
    return not read.is_full and not checkpoint.is_reading and read.fingerprint == checkpoint.fingerprint


def _begin_lookup(source: Source, checkpoint: Checkpoint, read: Read) -> Lookup:
    is_first = not read.is_begun and not checkpoint.record_count
    return Lookup(source, read_number=read.number, read_sequence=read.first_sequence, is_first=is_first)


def _compare(lookup: Lookup, judged: Judged, context: RunContext) -> Batch:
    """Compare the batch's accepted records with the stored ones, and write its lines."""
    with context.shield():
        for attempt in retry_transient(context.wait):
            with attempt:
                stored = lookup.find(judged)
    batch = classify(judged, stored)
    _ = batch.lines  # before the fence: a reading process may have to write them
    return batch
