"""The path of a record, top to bottom: claimed source → read → validated → classified → landed → closed.

order ─► claim (epoch) ─► for each batch: read ─► drift ─► validate ─► classify
                            BEGIN  checkpoint: compare-and-set with the shape so far, or write nothing
                                   raw ─► unified ─► marks ─► quarantine ─► counters
                            COMMIT
         ─► close the run with the read's drift, release the source
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from django.conf import settings

from etl import checkpoints, delivery, runs
from etl.checkpoints import Claim, Read
from etl.classification import Batch, Judge, classify
from etl.collector import patient_collector
from etl.models import Checkpoint
from etl.readers.base import Opening, Source
from etl.records import Chunk, Reason, Record, SourceKind, Status
from etl.runs import ReadEnd, Started
from etl.storage.lookup import find_stored
from etl.storage.transactions import retry_transient
from etl.watch import RunWatch


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run has come: records it has seen, and the share of the content's bytes (0 to 1)."""

    seen: int
    share: float


@patient_collector()
def run_source(source: Source, started: Started, watch: RunWatch, report: Callable[[Progress], None]) -> None:
    """Bring the claimed source up to date and close its run; raises what keeps it from that, run still open."""
    claim, checkpoint = started.claim, started.checkpoint
    with source.open(_choose_opening(source, started), watch) as content:
        fingerprint = f"{source.digest()}:{content.fingerprint}" if content is not None else checkpoint.fingerprint
        validators = content.validators if content is not None else checkpoint.validators
        read = checkpoints.choose_read(checkpoint, fingerprint, is_full=started.is_full)
        if content is None or _is_unchanged(checkpoint, read):
            return _close(claim, watch, Status.SUCCESS, Reason.UNCHANGED, ReadEnd(fingerprint, validators))
        watch.note_read(read)
        seen = 0
        for chunk in content.read(read.cursor, settings.ETL_BATCH_SIZE):
            read = _observe(source, chunk, read)
            batch = _prepare(source, chunk, read, watch)
            with watch.shield():
                reached = {**chunk.cursor, "size": content.size}  # for whoever looks on
                read = delivery.land(claim, source, read, batch, reached=reached, wait=watch.wait)
            watch.note_batch()
            seen += len(chunk.items)
            report(Progress(seen, chunk.cursor.get("offset", 0) / max(content.size, 1)))
        outcome = (Status.PARTIAL, Reason.RECORDS_REFUSED) if read.quarantined else (Status.SUCCESS, Reason.NONE)
        return _close(claim, watch, *outcome, ReadEnd(fingerprint, validators, read.shape))


def _choose_opening(source: Source, started: Started) -> Opening:
    """Ask for the content only if it has changed, unless all of it is wanted or a read of it is open."""
    checkpoint = started.checkpoint
    is_same_contract = checkpoint.fingerprint.startswith(f"{source.digest()}:")
    if started.is_full or checkpoint.is_reading or not is_same_contract:
        return Opening()
    return Opening(checkpoint.validators)


def _is_unchanged(checkpoint: Checkpoint, read: Read) -> bool:
    """Whether the last finished read was of this content, and no other has begun to land since."""
    return not read.is_full and not checkpoint.is_reading and read.fingerprint == checkpoint.fingerprint


def _observe(source: Source, chunk: Chunk, read: Read) -> Read:
    """The read with the chunk's records in its shape, those too that the contract will refuse."""
    records = [item.values for item in chunk.items if isinstance(item, Record)]
    return replace(read, shape=read.shape.observe(records, is_lexical=source.kind is SourceKind.CSV))


def _prepare(source: Source, chunk: Chunk, read: Read, watch: RunWatch) -> Batch:
    """Judge the chunk's items by the contract, and compare what is accepted with what is stored."""
    judged = Judge(source).judge(chunk.items)
    with watch.shield():
        known = retry_transient(
            lambda: find_stored(source, judged, read_number=read.number, read_sequence=read.first_sequence), watch.wait
        )
    return classify(judged, known)


def _close(claim: Claim, watch: RunWatch, status: Status, reason: Reason, read_end: ReadEnd) -> None:
    with watch.shield():
        retry_transient(lambda: runs.close(claim, status, reason, read_end=read_end), watch.wait)
