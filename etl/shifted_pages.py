"""Decides whether the pages of a finished walk have shifted while they were read, and lands records that this hid.

finished walk ─► ask for page 1 again ─► it has only ids of the walk ─► whole
                        └─► it has others: land them, ask for the next page, ten at most ─► not proven whole

Only pages by number shift. A record that is added before the place that is read comes to light on the first pages. One
that is removed moves a record up to the page before, which shows there too, and lets the total fall.
"""

from collections.abc import Callable, Collection, Sequence
from functools import partial

from etl.fence.reads import Read
from etl.judgement import Item as Judgement
from etl.judgement import Judge
from etl.readers.content import Content
from etl.readers.source import Source
from etl.readers.walk import FoundAgain, PageAgain, WalkContent
from etl.readers.walk_reading import MOST_ASKED_AGAIN, Item, has_fallen
from etl.records import Accepted, Record, Refusal, Skipped
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
        unmet = _find_unmet(source, content, page, read, context)
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


def _find_unmet(source: Source, content: WalkContent, page: PageAgain, read: Read, context: RunContext) -> list[Item]:
    """Return the records of the page that the read has neither accepted nor refused, without those to be skipped."""
    items = page.items
    if content.walk.children is not None:
        items = content.read_details(page, _find_unmet_elements(source, items, read, context))
    judged = Judge(source).judge(items)
    ids = {_find_id(result) for result in judged}
    hashes = {result.original.sha256 for result in judged if isinstance(result, Refusal)}
    met = context.retry(partial(_find_met, source.name, read, ids, hashes))
    unmet = []
    for item, result in zip(items, judged, strict=True):
        marks = {_find_id(result), result.original.sha256 if isinstance(result, Refusal) else None}
        unmet += [item] if not isinstance(result, Skipped) and marks.isdisjoint(met) else []
    return unmet


def _find_id(result: Judgement) -> str | None:
    if isinstance(result, Accepted):
        return result.unified.external_id
    return result.external_id if isinstance(result, Refusal) else None


def _find_unmet_elements(source: Source, elements: Sequence[Item], read: Read, context: RunContext) -> list[Item]:
    """Return the elements whose details the read has not found. Only the id of an element is compared."""
    ids = [source.find_external_id(each.values) if isinstance(each, Record) else None for each in elements]
    hashes = {each.original.sha256 for each in elements if isinstance(each, Refusal)}
    met = context.retry(partial(_find_met, source.name, read, set(ids), hashes))
    return [each for each, external_id in zip(elements, ids, strict=True) if external_id not in met]


def _find_met(
    source: str, read: Read, ids: Collection[str | None], hashes: Collection[bytes]
) -> set[str | bytes | None]:
    """Return the ids that the read has accepted or refused, and the hashes of the originals that it has refused."""
    known = {external_id for external_id in ids if external_id is not None}
    with bounded_transaction() as cursor:
        accepted = find_accepted(cursor, source, known, read_number=read.number, read_sequence=read.first_sequence)
        return {*accepted, *find_refused(cursor, source, read.number, known, hashes)}
