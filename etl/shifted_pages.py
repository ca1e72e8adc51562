"""Decides whether the pages of a finished walk have shifted while they were read, and lands records that this has hidden.

finished walk ─► ask for page 1 again ─► it has only ids of the walk ─► whole
                        └─► it has others: land them, ask for the next page, ten at most ─► not proven whole

Only pages by number shift. A record that is added before the place that is read comes to light on the first pages. One
that is removed moves a record up to the page before, which shows there too, and lets the total fall.
"""

from collections.abc import Callable, Sequence
from functools import partial

from etl.fence.reads import Read
from etl.judgement import Judge
from etl.readers.content import Content
from etl.readers.source import Source
from etl.readers.walk import FoundAgain, WalkContent
from etl.readers.walk_reading import MOST_ASKED_AGAIN, Item, has_fallen
from etl.records import Accepted, Refusal
from etl.storage.ledger import find_accepted
from etl.storage.refusals import find_refused
from etl.storage.transactions import bounded_transaction
from etl.supervision.run_context import RunContext

Land = Callable[[Content, Read], Read]


def settle_pages(source: Source, content: Content, read: Read, context: RunContext, land: Land) -> tuple[Read, str]:
    """Return the read with the records found again, and why it is not proven whole; an empty text if it is.

    `land` lands a content as a part of the read. A read that has removed records was settled before.
    """
    if not isinstance(content, WalkContent) or not content.may_shift or read.removed:
        return read, ""
    is_settled, total, has_fewer = True, content.end.total, content.end.fell
    for page in content.ask_again():
        unmet = _find_unmet(source, page.items, read, context)
        if unmet:
            read = land(FoundAgain(content, unmet), read)
        has_fewer = has_fewer or has_fallen(total, page.total)
        total = total if page.total is None else page.total
        is_settled = not unmet and not page.has_moved_up
        if is_settled:
            break
    if not is_settled:
        return read, f"Each of its first {MOST_ASKED_AGAIN} pages, asked for again at the end, had changed."
    return read, _describe_total(read, total, has_fewer=has_fewer)


def _describe_total(read: Read, total: int | None, *, has_fewer: bool) -> str:
    if has_fewer:
        return "The total that the source names became smaller: where a record was removed, another one may be missing."
    distinct = read.seen - read.repeated
    if total is not None and total != distinct:
        return f"The source names a total of {total:,} records, and the walk met {distinct:,} different ones."
    return ""


def _find_unmet(source: Source, items: Sequence[Item], read: Read, context: RunContext) -> list[Item]:
    """Return the items that the read has neither accepted nor refused yet, without those that the source skips."""
    judged = Judge(source).judge(items)
    accepted = {item.unified.external_id for item in judged if isinstance(item, Accepted)}
    refused = [item for item in judged if isinstance(item, Refusal)]
    met = context.retry(partial(_find_met, source.name, read, accepted, refused))
    unmet = []
    for item, result in zip(items, judged, strict=True):
        if isinstance(result, Accepted):
            is_new = result.unified.external_id not in met
        else:
            is_new = isinstance(result, Refusal) and not {result.original.sha256, result.external_id} & met
        unmet += [item] if is_new else []
    return unmet


def _find_met(source: str, read: Read, accepted: set[str], refused: Sequence[Refusal]) -> set[str | bytes]:
    """Return the ids that the read has found, and the hashes of originals that it has refused."""
    ids = accepted | {refusal.external_id for refusal in refused if refusal.external_id is not None}
    with bounded_transaction() as cursor:
        met = find_accepted(cursor, source, ids, read_number=read.number, read_sequence=read.first_sequence)
        return met | find_refused(cursor, source, read.number, refused)
