"""Says what a run with `full` would change, and writes nothing: its batches are tried one by one, and undone.

read ─► compare with what is stored ─► for a model: write the batch, look at the rows, roll back ─► gates ─► removals

A source with many files is read up to the first one that a run would read.
"""

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from itertools import islice
from typing import TypeVar, cast

from etl import landing
from etl.change_detection import Batch, Stored, Version, classify
from etl.clock import read_clock
from etl.conf import conf
from etl.drift import Shape
from etl.exceptions import RunError
from etl.first_records import judge_start
from etl.gates import Baseline, Figures, Former, Verdict, judge_read, judge_removals
from etl.met_ids import MetIds
from etl.models import Checkpoint
from etl.preparation import prepare
from etl.preview import PreviewContext, Refused
from etl.readers.content import Content, Opening
from etl.readers.into import Delete
from etl.readers.source import Source
from etl.readers.target_plan import TargetPlan
from etl.records import Judged, Origins, Refusal, Stamp, refuse_judged
from etl.removal import identify
from etl.storage.files import find_later_spans, load_files
from etl.storage.former_refusals import find_known, recognize
from etl.storage.ledger import NO_SPANS, Lookup, Spans, find_by_key
from etl.storage.reads import find_former
from etl.storage.row_sets import RowSet
from etl.storage.target_changes import require_target
from etl.storage.target_trial import Row, Trial, try_batch, try_removal
from etl.storage.transactions import bounded_transaction, retry_transient
from etl.storage.unified_trial import compare_unified, find_external_ids
from etl.storage.vanished import START, Excused, Place, Search

CREATED, CHANGED, ADOPTED, LEFT, DETACHED = "created", "changed", "adopted", "left", "detached"
ENDED, DELETED, REMOVED = "ended", "deleted", "removed"
"""What would become of a record. `adopted`: its row was there before. `detached`: someone else has deleted its row.

`left`: its row stays as it is. `removed`: a complete read lacked it; nothing happens to its row.
"""
KINDS = (CREATED, CHANGED, ADOPTED, LEFT, DETACHED, ENDED, DELETED, REMOVED)
LONGEST_VALUE = 200

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One field: its stored value and the one that it would have, as text, shortened if they are long."""

    field: str
    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True)
class Example:
    """One record. `key` is the key of its row, empty for a new one."""

    kind: str
    external_id: str
    key: str = ""
    changes: Sequence[FieldChange] = ()


@dataclass(slots=True)
class Difference:
    """What a run would change. `examples` has the first records of each kind, `refused` the first refused ones.

    `counts` counts all of them by kind, `reasons` all refused ones by code and column. `seen`, `duplicates` and
    `skipped` count as a run does. `verdict` is that of the gates, and `error` why the run would stop.
    """

    most: int
    file: str = ""
    counts: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[Example]] = field(default_factory=dict)
    reasons: dict[tuple[str, str], Refused] = field(default_factory=dict)
    refused: list[Refusal] = field(default_factory=list)
    seen: int = 0
    duplicates: int = 0
    skipped: int = 0
    verdict: Verdict = ()
    error: RunError | None = None
    held: str = ""

    @property
    def quarantined(self) -> int:
        return sum(each.count for each in self.reasons.values())

    @property
    def waiting(self) -> int:
        """How many of them only wait for a row to which they refer."""
        return sum(each.count for each in self.reasons.values() if each.first.breach.awaits)

    def add(self, example: Example) -> None:
        """Count a record, and keep it if it is among the first of its kind."""
        self.counts[example.kind] += 1
        self.show(example)

    def show(self, example: Example) -> None:
        kept = self.examples.setdefault(example.kind, [])
        if len(kept) < self.most:
            kept.append(example)

    def refuse(self, refusals: Sequence[Refusal]) -> None:
        for refusal in refusals:
            known = self.reasons.setdefault((refusal.breach.code, refusal.breach.column), Refused(0, refusal))
            known.count += 1
        self.refused += refusals[: max(0, self.most - len(self.refused))]


def find_difference(source: Source, most: int) -> Difference:
    """Try the whole content of the source, and keep `most` examples of each kind. Raises RunError before any batch."""
    if source.target is not None:
        require_target(source.target)
    difference = Difference(most)
    with _open(source) as (content, later_files), MetIds() as met:
        if content is not None:
            difference.file = content.file
            _DryRun(source, content, difference, met, later_files).find()
    return difference


@contextmanager
def _open(source: Source) -> Iterator[tuple[Content | None, Spans]]:
    if not source.has_pattern:
        with source.open(Opening(), PreviewContext()) as content:
            yield content, NO_SPANS
        return
    with bounded_transaction() as cursor:
        known = load_files(cursor, source.name)
    for file in source.list_files() or ():
        with source.open_file(file) as opened:
            fingerprint = f"{source.digest()}:{opened.content.fingerprint}"
            if file.name in known and known[file.name].fingerprint == fingerprint:
                continue
            with bounded_transaction() as cursor:
                spans = find_later_spans(cursor, source.name, file.name)
            yield opened.content, spans
            return
    yield None, NO_SPANS


class _DryRun:
    """One pass over a content. What a run keeps in marks is kept here."""

    def __init__(
        self, source: Source, content: Content, difference: Difference, met: MetIds, later_files: Spans
    ) -> None:
        self.source, self.content, self.difference, self.met = source, content, difference, met
        kept = Checkpoint.objects.filter(source=source.name).first() or Checkpoint(source=source.name)
        self.checkpoint, self.number = kept, kept.read_number + 1
        self.lookup = Lookup(
            source, read_number=self.number, read_sequence=kept.sequence, is_first=False, later_files=later_files
        )
        self.present = Excused()
        self.begun = read_clock()

    def find(self) -> None:
        former = find_former(self.source.name, self.checkpoint.accepted_read)
        if self.content.file:  # files are not compared
            former = Former(None, former.fields)
        start = judge_start(self.source, self.content, former)
        if start.verdict:
            self.difference.verdict, self.difference.seen = start.verdict, start.seen
            self.difference.refuse(start.refusals)
            return
        try:
            self._try_batches()
            self._conclude(former.baseline)
        except RunError as error:
            self.difference.error = error

    # --- batches ---
    def _try_batches(self) -> None:
        for prepared in prepare(self.source, self.content, None, Shape(), conf.ETL_BATCH_SIZE):
            judged = prepared.judged
            judged.refusals = [*_retry(partial(recognize, self.source, judged.refusals, self.content.file))]
            self._try(judged)
            self.difference.seen += prepared.seen

    def _try(self, judged: Judged) -> None:
        while True:
            origins = cast("Origins", judged.lines)
            earlier = self.met.find(judged.external_ids)
            batch = classify(judged, _add_met(_retry(partial(self.lookup.find, judged)), earlier))
            if self.source.target is None:
                self._note(batch, judged.refusals)
                self._show_unified(batch, earlier)
                return
            trial = _retry(partial(try_batch, self.source.target, batch, self._stamp()))
            try:
                refused = landing.describe_refused(self.source, batch, origins, self.content.file, trial.refused)
            except landing.RepeatedRefused as repeated:
                judged = refuse_judged(judged, repeated.refused, origins)
                continue
            self._note(batch, [*judged.refusals, *refused], trial)
            self._note_rows(self.source.target, trial)
            return

    def _note(self, batch: Batch, refusals: Sequence[Refusal], trial: Trial | None = None) -> None:
        self._note_present(batch, trial.refused if trial is not None else {}, refusals)
        difference, counters = self.difference, (trial.landed if trial is not None else batch).counters
        difference.refuse(sorted(refusals, key=lambda refusal: refusal.position))
        difference.duplicates += counters.duplicate
        difference.skipped += counters.skipped
        difference.counts[LEFT] += counters.unchanged
        if trial is None:
            difference.counts[CREATED] += counters.new
            difference.counts[CHANGED] += counters.updated

    def _note_present(self, batch: Batch, refused: Mapping[int, object], refusals: Sequence[Refusal]) -> None:
        """Note which stored records are present: accepted, met in an older version, or refused."""
        judged = batch.judged
        accepted = (index for index in range(len(judged)) if index not in refused)
        self.met.add((judged.external_ids[index], judged.find_time(index)) for index in accepted)
        rows = self.present.rows
        for found in (batch.met, batch.outdated, batch.updates, batch.rewrites):
            rows.add(found)
        ids = {refusal.external_id for refusal in refusals if refusal.external_id is not None}
        unknown = {refusal.identity for refusal in refusals if refusal.external_id is None}
        stored, known = _retry(partial(self._find_refused, ids, unknown))
        rows.add(stored)
        self.present.unidentified += len(unknown - known)

    def _find_refused(self, ids: Collection[str], unknown: Collection[bytes]) -> tuple[list[int], set[bytes]]:
        """Return the rows of records with these ids, and those of these refused records that are not new."""
        with bounded_transaction() as cursor:
            found = find_by_key(cursor, self.lookup.ledger, self.source.name, ids)
            return [row[1] for row in found.values()], find_known(cursor, self.source.name, self.content.file, unknown)

    def _show_unified(self, batch: Batch, earlier: Collection[str]) -> None:
        for external_id, before, after in _retry(partial(compare_unified, batch, self.difference.most)):
            if external_id not in earlier:
                kind = CREATED if before is None else CHANGED
                self.difference.show(Example(kind, external_id, "", _compare(before, after)))

    def _note_rows(self, plan: TargetPlan, trial: Trial) -> None:
        """Note what would become of the rows of the team's table."""
        batch = trial.landed
        own = {*plan.into.owns, *plan.into.first}
        news = {batch.versions[place] for place in batch.inserts.values()}
        for index, key in sorted(trial.keys.items()):
            before, after = trial.before.get(key), trial.after.get(key)
            external_id = batch.judged.external_ids[index]
            if after is None:
                self.difference.add(Example(DETACHED, external_id, key))
                continue
            if before is None:
                filled = {name: text for name, text in after.items() if name in own}
                self.difference.add(Example(CREATED, external_id, "", _compare(None, filled)))
                continue
            changes = _compare(before, after)
            kind = ADOPTED if index in news else CHANGED if changes else LEFT
            self.difference.add(Example(kind, external_id, key, changes))

    def _stamp(self) -> Stamp:
        source, kept = self.source, self.checkpoint
        return Stamp(source.name, source.kind, 0, self.number, kept.sequence + 1, self.begun, self.content.file)

    # --- the end ---
    def _conclude(self, baseline: Baseline | None) -> None:
        """Judge the whole read as a run does, and look at what it lacked."""
        difference, content, source = self.difference, self.content, self.source
        is_whole = content.is_proven
        broken = difference.quarantined - difference.waiting
        figures = Figures(content.fingerprint, difference.seen, broken, is_whole=is_whole)
        difference.verdict = judge_read(source.gates, figures, baseline)
        if difference.verdict or not (is_whole and source.complete) or content.file:
            return
        vanished = self._find_vanished()
        if baseline is None or not baseline.overrules(content.fingerprint):
            kept = self.checkpoint.record_count - len(vanished)
            difference.verdict = judge_removals(source.gates, baseline, kept=kept, vanished=len(vanished))
        if difference.verdict or not vanished:
            return
        if self.present.unidentified:
            difference.held = (
                f"Removing nothing: the content lacks {len(vanished):,} records, and {self.present.unidentified:,}"
                " refused ones have no id that can be read: they may be the same."
            )
            return
        self._try_removals(vanished)

    def _find_vanished(self) -> RowSet:
        sequence = self.checkpoint.sequence
        search = Search(self.source.name, self.number, sequence, partial(identify, self.source))
        rows = RowSet()
        place: Place | None = START
        while place is not None:
            found, place = _retry(partial(search.find_vanished, self.present, place))
            rows.add(found)
        return rows

    def _try_removals(self, vanished: RowSet) -> None:
        plan, left = self.source.target, iter(vanished)
        while rows := list(islice(left, conf.ETL_BATCH_SIZE)):
            if plan is None or plan.into.vanished is None:
                self.difference.counts[REMOVED] += len(rows)
                for external_id in find_external_ids(rows[: self.difference.most]):
                    self.difference.show(Example(REMOVED, external_id))
                continue
            removal = _retry(partial(try_removal, plan, rows, self._stamp()))
            kind = DELETED if isinstance(plan.into.vanished, Delete) else ENDED
            for external_id, key in removal.keys.items():
                before, after = removal.before.get(key or ""), removal.after.get(key or "")
                changes = _compare(before, after) if before is not None and after is not None else []
                self.difference.add(Example(kind if before is not None else DETACHED, external_id, key or "", changes))


def _retry(call: Callable[[], Result]) -> Result:
    """Call again after a transient error of the database."""
    result: list[Result] = []
    for attempt in retry_transient(time.sleep):
        with attempt:
            result.append(call())
    return result[-1]


def _add_met(stored: Stored, earlier: Mapping[str, datetime | None]) -> Stored:
    """Return the stored versions as they would be after the batches that were undone."""
    if not earlier:
        return stored
    known, unchanged = dict(stored.known), dict(stored.unchanged)
    for external_id, newest in earlier.items():
        row = unchanged.pop(external_id, None)
        version = known.get(external_id) or Version(row, None, "", "", newest, is_met=True)
        known[external_id] = replace(version, event_timestamp=newest, is_met=True, is_removed=False)
    return Stored(known, unchanged)


def _compare(before: Row | None, after: Row) -> list[FieldChange]:
    """Return the fields that differ. Of a new record, those that have a value."""
    former: Row = before if before is not None else {}
    return [
        FieldChange(name, _shorten(former.get(name)), _shorten(text))
        for name, text in after.items()
        if text != former.get(name)
    ]


def _shorten(text: str | None) -> str | None:
    return text if text is None or len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]}…"
