"""The path of a refused record that is tried again, top to bottom: open in quarantine → landed, or refused again.

order ─► claim (epoch) ─► for each page: load ─► revive ─► validate ─► classify
                            BEGIN  checkpoint: compare-and-set, or write nothing; the page's rows still open
                                   raw ─► unified ─► quarantine ─► counters
                            COMMIT
         ─► close the run, release the source

It changes nothing that the next read compares with: cursor, fingerprint and shape stay (docs/decisions/0012).
"""

from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from typing import TypeVar

from django.conf import settings

from etl import delivery, runs
from etl.classification import Judge, classify_replayed
from etl.delivery import Page, PageChanged
from etl.exceptions import ReadOpen
from etl.models import Checkpoint
from etl.pipeline import Progress
from etl.readers.base import Source
from etl.records import Accepted, Kept, Original, Reason, Record, Refusal, Status
from etl.runs import Started
from etl.selection import Selection
from etl.storage.lookup import find_met_refusals, find_stored
from etl.storage.refusals import Place, count_open, load_open
from etl.storage.transactions import retry_transient
from etl.watch import RunWatch

Result = TypeVar("Result")


def run_replay(source: Source, started: Started, watch: RunWatch, report: Callable[[Progress], None]) -> None:
    """Replay what the claimed run selects and close it; raises what keeps it from that, run still open."""
    run, checkpoint = started.run, started.checkpoint
    if checkpoint.is_reading:
        raise ReadOpen(f"Read {checkpoint.read_number} of {source.name} was cut: a replay waits until it is through.")
    selection = Selection.from_json(run.options["selection"])
    place = Place(**run.cursor_after) if run.cursor_after else None
    batch_number, seen, quarantined = checkpoint.batch_number, 0, run.quarantined
    total = _retry(watch, lambda: count_open(selection, source.name))
    while page := _retry(watch, partial(_prepare, source, checkpoint, selection, place)):
        if not _land(source, started, page, batch_number, watch):
            continue
        watch.note_batch()
        place, batch_number = Place(**page.reached), batch_number + 1
        seen += page.batch.counters.seen
        quarantined += page.batch.counters.quarantined
        report(Progress(seen, min(1, seen / total)))
    outcome = (Status.PARTIAL, Reason.RECORDS_REFUSED) if quarantined else (Status.SUCCESS, Reason.NONE)
    _retry(watch, lambda: runs.close(started.claim, *outcome))


def _retry(watch: RunWatch, work: Callable[[], Result]) -> Result:
    with watch.shield():
        return retry_transient(work, watch.wait)


def _land(source: Source, started: Started, page: Page, batch_number: int, watch: RunWatch) -> bool:
    """False if a row of the page has been discarded meanwhile."""
    try:
        with watch.shield():
            delivery.land_page(
                started.claim,
                source,
                page,
                read_number=started.checkpoint.read_number,
                batch_number=batch_number,
                user_id=started.run.options.get("user"),
                wait=watch.wait,
            )
    except PageChanged:
        return False
    return True


def _prepare(source: Source, checkpoint: Checkpoint, selection: Selection, behind: Place | None) -> Page | None:
    """Judge the next open rows by today's contract, and compare what is accepted with what is stored."""
    kept, reached = load_open(selection, source.name, behind, settings.ETL_BATCH_SIZE)
    if reached is None or not kept:
        return None
    judged = Judge(source).judge([_revive(source, row) for row in kept])
    read_number = checkpoint.read_number
    known = find_stored(source, judged, read_number=read_number, read_sequence=checkpoint.read_sequence, is_replay=True)
    met = find_met_refusals(source.name, read_number, [row.id for row in kept])
    rows = list(zip(kept, judged, strict=True))
    batch = classify_replayed(
        [item for row, item in rows if row.id in met], [item for row, item in rows if row.id not in met], known
    )
    places = {id(version): index for index, version in enumerate(batch.versions)}
    return Page(
        batch=batch,
        landed={row.id: places.get(id(item)) for row, item in rows if isinstance(item, Accepted)},
        refused={row.id: item.breach for row, item in rows if isinstance(item, Refusal)},
        reached=asdict(reached),
    )


def _revive(source: Source, kept: Kept) -> Record | Refusal:
    """What cannot be revived stays refused, for its old reason."""
    revived = source.revive(kept)
    if revived is not None:
        return revived
    return Refusal(kept.position, kept.line, kept.breach, kept.payload, Original.of(kept.original or b""))
