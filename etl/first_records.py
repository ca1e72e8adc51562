"""Judges the start of a content before its first batch lands: its columns, and its first 1,000 records. Pure.

The real reading starts again from the beginning, so the result is the same for every batch size.
"""

import time
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches

from etl.contracts.contract import Contract
from etl.contracts.field_type import FieldType
from etl.contracts.names import trim_name
from etl.drift import Shape, find_maps, join_path
from etl.exceptions import SourceError
from etl.gates import Former, GateFailure, Verdict, describe_empty, describe_refused
from etl.judgement import Judge
from etl.readers.content import BYTE_ORDER_MARK, FIRST_RECORDS, Content
from etl.readers.lookalikes import HEAD_BYTES
from etl.readers.source import Source
from etl.records import Chunk, Refusal
from etl.vocabulary import Reason

START_SECONDS = 30
"""No further records are judged before the first batch after this time: an API may give them slowly."""
KEPT_REFUSALS = 5
"""How many refused records a read keeps that fails here; the verdict counts the others."""
MOST_NAMES = 20
LONGEST_NAME = 60
FEW_RECORDS = 2
"""A field is missing if none of at least this many records has it; a single record without it is refused."""


@dataclass(frozen=True, slots=True)
class Start:
    """The verdict on a content's start, and the refused records that are kept if it fails. `seen`: records judged."""

    verdict: Verdict = ()
    refusals: Sequence[Refusal] = ()
    seen: int = 0


def judge_start(source: Source, content: Content, former: Former, *, is_delta: bool = False) -> Start:
    """Judge the columns and the first records. `former` is the source's last accepted read.

    A delta (`is_delta`) may be empty. An error of the content is not raised here: the records before it may land.
    """
    baseline = former.baseline if content.is_proven and not is_delta else None
    is_overruled = former.baseline is not None and former.baseline.overrules(content.fingerprint)
    if baseline is not None and baseline.seen and not is_overruled and _is_blank(content):
        return Start((describe_empty(baseline),))
    has_contract = type(source).judge is Source.judge
    columns = content.find_columns()
    if has_contract and columns is not None and (missing := source.contract.find_missing(columns)):
        return Start((_describe_missing(missing, columns, former.fields, content),))
    first = _First()
    first.judge(source, content)
    if baseline is not None and baseline.seen and first.is_all and not first.seen and not is_overruled:
        return Start((describe_empty(baseline),))
    if has_contract and columns is None and (missing := _find_missing_fields(source, first)):
        found = sorted(first.shape.tallies)
        return Start((_describe_missing(missing, found, former.fields, content),), (), first.seen)
    return Start() if is_overruled else _judge_refusals(source, first)


def _is_blank(content: Content) -> bool:
    """Whether there is nothing but white space. CSV without a header can't be read at all."""
    try:
        return content.size <= HEAD_BYTES and not content.read_head().removeprefix(BYTE_ORDER_MARK).strip()
    except SourceError:
        return False


def _judge_refusals(source: Source, first: "_First") -> Start:
    """Fail if most of the records are refused for one and the same reason."""
    for reason, count in first.reasons.most_common(1):
        if source.gates.are_too_many(count, first.seen):
            kept = first.kept[reason]
            example = f"The first at line {kept[0].line}: {kept[0].breach.message}."
            return Start((describe_refused(source.gates, count, first.seen, example),), kept, first.seen)
    return Start()


@dataclass(slots=True)
class _First:
    """The first records, judged. `is_all`: the content has no other records.

    `reasons` counts the refused records by code and column, and `kept` has the first of each. No others are kept: they
    may be wide.
    """

    seen: int = 0
    is_all: bool = True
    shape: Shape = field(default_factory=Shape)
    reasons: Counter[tuple[str, str]] = field(default_factory=Counter)
    kept: dict[tuple[str, str], list[Refusal]] = field(default_factory=dict)

    def judge(self, source: Source, content: Content) -> None:
        judge, is_lexical = Judge(source, content.file), source.form.is_file
        maps = find_maps(source.contract)
        try:
            for chunk in self._read(content):
                self.shape = self.shape.observe_slices(chunk.slices, is_lexical=is_lexical, maps=maps)
                self._count(judge.judge_chunk(chunk).refusals)
        except Exception:  # noqa: BLE001  (the read meets the same error again, after what comes before it)
            self.is_all = False

    def _count(self, refusals: Iterable[Refusal]) -> None:
        for refusal in refusals:
            reason = refusal.breach.code, refusal.breach.column
            self.reasons[reason] += 1
            if self.reasons[reason] <= KEPT_REFUSALS:
                self.kept.setdefault(reason, []).append(refusal)

    def _read(self, content: Content) -> Iterator[Chunk]:
        """Yield chunks of FIRST_RECORDS records together. A chunk may be short if its records are wide or slow."""
        cursor, ends_at = None, time.monotonic() + START_SECONDS
        while (left := FIRST_RECORDS - self.seen) and time.monotonic() < ends_at:
            chunk = next(content.read(cursor, left), None)
            if chunk is None:
                return
            self.seen += sum(map(len, chunk.slices)) + len(chunk.refusals)
            cursor = chunk.cursor
            yield chunk
        self.is_all = False


def _find_missing_fields(source: Source, first: "_First") -> list[str]:
    """Return the required fields that no record has."""
    if first.shape.records < FEW_RECORDS:
        return []
    required = _list_required(source.contract)
    return [paths[0] for paths in required if first.shape.tallies.keys().isdisjoint(paths)]


def _list_required(contract: type[Contract]) -> Iterator[list[str]]:
    """Yield the paths that each column of a required field may have in JSON."""
    for each in contract.fields.values():
        if each.is_optional:
            continue
        for spellings in each.columns:
            paths = [join_path("", name) for name in spellings]
            if isinstance(each.kind, FieldType):
                yield paths
            else:
                for inner in _list_required(each.kind):
                    yield [f"{path}.{rest}" for path in paths for rest in inner]


def _describe_missing(
    missing: Sequence[str], found: Sequence[str], known: Collection[str], content: Content
) -> GateFailure:
    text = f"Missing: {_list_names(missing)}. The content has {_list_names(found) or 'no field'}."
    hints = _find_similar(missing, found)
    if hints:
        text += f" Did you mean {_list_names(hints)}?"
    new = [name for name in found if name not in known]
    if new and len(new) < len(found):
        text += f" New since the last accepted read: {_list_names(new)}."
    if lookalike := content.describe_lookalike():
        text += f" This looks like {lookalike}."
    return GateFailure(Reason.COLUMNS_MISSING, len(missing), 0, text)


def _list_names(names: Sequence[str]) -> str:
    shown = [repr(name if len(name) <= LONGEST_NAME else f"{name[:LONGEST_NAME]}…") for name in names[:MOST_NAMES]]
    return ", ".join(shown) + (" and others" if len(names) > MOST_NAMES else "")


def _find_similar(missing: Sequence[str], found: Sequence[str]) -> list[str]:
    """Return names of the content that differ from missing ones only by case, blanks or a slip."""
    plain = {trim_name(name).casefold(): name for name in found}
    similar = [get_close_matches(name.casefold(), plain, n=1, cutoff=0.8) for name in missing]
    return [plain[match] for (match,) in filter(None, similar)]
