"""The path of a refused record that is replayed, top to bottom: open in quarantine → landed, refused again, or gone.

order ─► claim (epoch) ─► for each page: load ─► revive ─► validate ─► classify
                            BEGIN  checkpoint: compare-and-set, or write nothing; the page's rows still open
                                   raw ─► unified ─► quarantine ─► counters
                            COMMIT
         ─► if asked for, judge the present records again (reread.py) ─► close the run, release the source

A replay changes nothing that the next read compares with: cursor, fingerprint and shape stay (docs/decisions/0012).
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace

from etl import landing
from etl.change_detection import classify_replayed
from etl.conf import conf
from etl.judgement import Item, Judge, tabulate
from etl.landing import Page, PageChanged
from etl.models import Checkpoint, Run
from etl.pipeline import Progress, end_run
from etl.readers.source import Source
from etl.records import Accepted, Original, Record, Refusal, Skipped, StoredRefusal
from etl.reread import Reached, reread_present
from etl.runs import ending
from etl.runs.open_reads import refuse_replay_while_open
from etl.runs.options import Options
from etl.runs.starting import Started
from etl.storage.ledger import find_stored
from etl.storage.refusal_selection import Selection
from etl.storage.refusals import Place, filter_replayable, find_coming, load_replayable
from etl.storage.waiting_versions import find_counting, find_outdated
from etl.supervision.run_context import RunContext


def run_replay(source: Source, started: Started, context: RunContext, report: Callable[[Progress], None]) -> Run | None:
    """Replay the records that the claimed run selects, and close it. If an error prevents that, it is still open.

    Returns the closed run's row, or None if it was closed before.
    """
    run, checkpoint, options = started.run, started.checkpoint, Options.from_json(started.run.options)
    if checkpoint.is_reading:
        refuse_replay_while_open(run)
    selection = options.selection or Selection(everything=True)
    reached = Reached.from_cursor(run.cursor_after)
    place = Place(**run.cursor_after) if run.cursor_after and reached is None else None
    batch_number, seen, quarantined, waiting = checkpoint.batch_number, 0, run.quarantined, run.waiting
    total = context.retry(lambda: filter_replayable(selection, source.name, source.digest()).count())
    while reached is None and (page := _prepare(source, checkpoint, selection, place, context)):
        landed = _land(started, source, page, batch_number, options.user, context)
        if landed is None:
            continue
        context.note_batch()
        place, batch_number = Place(**page.reached), batch_number + 1
        seen += landed.batch.counters.seen
        quarantined += landed.batch.counters.quarantined
        waiting += landing.count_waiting(landed.refused.values())
        report(Progress(seen, min(1, seen / total)))
    left = ""
    if options.from_raw:
        left = _reread(source, started, context, reached or Reached(), batch_number, report).describe_left()
    return end_run(started, context, ending.reread(quarantined, waiting, left))


def _reread(
    source: Source,
    started: Started,
    context: RunContext,
    reached: Reached,
    batch_number: int,
    report: Callable[[Progress], None],
) -> Reached:
    seen, present = 0, max(1, started.checkpoint.record_count)

    def count(records: int) -> None:
        nonlocal seen
        seen += records
        report(Progress(seen, min(1, seen / present)))

    return reread_present(source, started, context, reached, batch_number=batch_number, report=count)


def _land(
    started: Started, source: Source, page: Page, batch_number: int, user_id: int | None, context: RunContext
) -> Page | None:
    """Land the page, and return it as it has landed; None if one of its rows has been discarded since it was loaded."""
    try:
        with context.shield():
            return landing.land_page(
                started.claim,
                source,
                page,
                read_number=started.checkpoint.read_number,
                batch_number=batch_number,
                user_id=user_id,
                wait=context.wait,
            )
    except PageChanged:
        return None


def _prepare(
    source: Source, checkpoint: Checkpoint, selection: Selection, after: Place | None, context: RunContext
) -> Page | None:
    """Return the next rows, judged by the current contract and compared with the stored records; None at the end."""
    return context.retry(lambda: _load_page(source, checkpoint, selection, after))


def _load_page(source: Source, checkpoint: Checkpoint, selection: Selection, after: Place | None) -> Page | None:
    stored, reached = load_replayable(selection, source.name, source.digest(), after, conf.ETL_BATCH_SIZE)
    if reached is None or not stored:
        return None
    items = Judge(source).judge([_revive(source, row) for row in stored])
    read_number = checkpoint.read_number
    if source.target is not None and len(items) > (most := _count_different(items)):
        stored, items = stored[:most], items[:most]
        reached = Place(stored[-1].read_number, stored[-1].id)
    items, waiting = _drop_outdated(source, stored, items, read_number)
    judged = tabulate(items)
    accepted = {row.id: _name(row, item) for row, item in zip(stored, items, strict=True) if isinstance(item, Accepted)}
    known = find_stored(
        source,
        judged,
        read_number=read_number,
        read_sequence=checkpoint.read_sequence,
        is_replay=True,
    )
    met = find_counting(source.name, accepted, waiting, read_number)
    batch = classify_replayed(
        judged,
        [index for index, row_id in enumerate(accepted) if row_id in met],
        [index for index, row_id in enumerate(accepted) if row_id not in met],
        known,
    )
    places = {index: place for place, index in enumerate(batch.versions)}
    return Page(
        batch=batch,
        landed={row_id: places.get(index) for index, row_id in enumerate(accepted)},
        refused={row.id: item.breach for row, item in zip(stored, items, strict=True) if isinstance(item, Refusal)},
        external_ids={row.id: found for row, item in zip(stored, items, strict=True) if (found := _find_id(item))},
        unwanted=[row.id for row, item in zip(stored, items, strict=True) if isinstance(item, Skipped)],
        reached=asdict(reached),
        coming=find_coming(selection, reached),
    )


def _count_different(items: Sequence[Item]) -> int:
    """Return how many of the records come before the first one with an id that is there already.

    The target may refuse a record. The next one with its id is judged after that is known.
    """
    known: set[str] = set()
    for number, item in enumerate(items):
        if isinstance(item, Accepted) and item.unified.external_id in known:
            return number
        known |= {item.unified.external_id} if isinstance(item, Accepted) else set()
    return len(items)


def _drop_outdated(
    source: Source, stored: Sequence[StoredRefusal], items: Sequence[Item], read_number: int
) -> tuple[list[Item], dict[int, tuple[str, int]]]:
    """Skip waiting records of which another version came later and is refused too. Also returns the waiting ones."""
    waiting = {
        row.id: _name(row, item)
        for row, item in zip(stored, items, strict=True)
        if row.waits and isinstance(item, Accepted)
    }
    outdated = find_outdated(source.name, waiting, read_number)
    kept = [
        Skipped(item.record) if row.id in outdated and isinstance(item, Accepted) else item
        for row, item in zip(stored, items, strict=True)
    ]
    return kept, {row: named for row, named in waiting.items() if row not in outdated}


def _name(row: StoredRefusal, item: Accepted) -> tuple[str, int]:
    return item.unified.external_id, row.read_number


def _find_id(item: Item) -> str | None:
    if isinstance(item, Skipped):
        return None
    return item.unified.external_id if isinstance(item, Accepted) else item.external_id


def _revive(source: Source, stored: StoredRefusal) -> Record | Refusal:
    """Revive the stored record; a record that can't be revived stays refused, for its old reason."""
    revived = source.revive(stored)
    if revived is not None:
        return replace(revived, file=stored.file)
    return Refusal(stored.position, stored.line, stored.breach, stored.payload, Original.of(stored.original or b""))
