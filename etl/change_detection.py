"""Classifies each record of a batch against the stored records: new, updated, unchanged or duplicate. Pure.

Records are taken in the order of the read, so the outcome does not depend on the batch size.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from itertools import filterfalse

from etl.hashes import is_same_content
from etl.records import Counters, Judged, WrittenLines


@dataclass(slots=True)
class Version:
    """The version of a record that counts so far: the stored one, or one found earlier in this batch.

    `id`: its row in `unified_records`, None while it has no row. `raw_id`: the raw row of its content, None while that
    has no row. `is_met`: whether this read has accepted it. `event_timestamp`: None if it has no time, or one that
    can't be compared with the times of this read. `is_removed`: a read lacked it, so what comes now counts.
    `is_of_later_file`: a file whose name comes after that of the file now read has sent it, so it counts.
    """

    id: int | None
    raw_id: int | None
    content_hash: str
    values_hash: str
    event_timestamp: datetime | None
    is_met: bool
    is_removed: bool = False
    is_of_later_file: bool = False


@dataclass(frozen=True, slots=True)
class Stored:
    """The stored versions of a batch's records, by external id.

    `unchanged` gives the rows of records that the batch sends once, with the stored content and values, and that the
    read has not met before. `known` are the versions of all other stored records.
    """

    known: dict[str, Version] = field(default_factory=dict)
    unchanged: Mapping[str, int] = field(default_factory=dict)


@dataclass
class Batch:
    """The rows that one transaction writes, as indexes of its judged records.

    `versions` become raw rows, in the order of the read. `inserts` (by external id) and `updates` (by row in
    `unified_records`) give the place in `versions` of the last version. `rewrites` (by row) are records whose content
    is stored and whose values differ, because contract or mapping do, or that were removed: each with the raw row that
    it keeps. `met` are the rows found whose content is unchanged, and `found` counts the records that the read finds
    here for the first time; `returned` counts the ones among them that were removed. `outdated` are the rows of records
    that are present, but so far only in a version that is older than the stored one. `repeated` counts the records
    whose id the read has accepted before.
    """

    judged: Judged
    counters: Counters = field(default_factory=Counters)
    versions: list[int] = field(default_factory=list)
    inserts: dict[str, int] = field(default_factory=dict)
    updates: dict[int, int] = field(default_factory=dict)
    rewrites: dict[int, tuple[int, int]] = field(default_factory=dict)
    met: list[int] = field(default_factory=list)
    outdated: list[int] = field(default_factory=list)
    found: int = 0
    returned: int = 0
    repeated: int = 0

    def __post_init__(self) -> None:
        self.counters.quarantined = len(self.judged.refusals)
        self.counters.skipped = self.judged.skipped

    @cached_property
    def lines(self) -> "BatchLines":
        """The COPY text of the records that are written, taken from `judged`. Its first use may wait for a process."""
        rows = sorted([*self.versions, *(index for index, _ in self.rewrites.values())])
        lines, self.judged.lines = self.judged.lines.write(rows), WrittenLines()
        if rows == self.versions:
            return BatchLines(lines.raw, lines.unified)
        raw, unified = (dict(zip(rows, column, strict=True)) for column in (lines.raw, lines.unified))
        rewritten = {row: unified[index] for row, (index, _) in self.rewrites.items()}
        return BatchLines(
            [raw[index] for index in self.versions], [unified[index] for index in self.versions], rewritten
        )


@dataclass(frozen=True, slots=True)
class BatchLines:
    """Lines of COPY text: both for each of the batch's versions, and the unified one by row for each rewrite."""

    raw: Sequence[str]
    unified: Sequence[str]
    rewritten: Mapping[int, str] = field(default_factory=dict)


def drop_refused(batch: Batch, refused: Collection[int], removed: Collection[int]) -> Batch:
    """Return the batch without the records that its target refuses, given as indexes; they count as quarantined.

    `removed` are the rows of the ledger that were removed before the batch. Each record has one version in a batch.
    """
    kept = [place for place, index in enumerate(batch.versions) if index not in refused]
    places = {place: number for number, place in enumerate(kept)}
    rewrites = {row: (index, raw_id) for row, (index, raw_id) in batch.rewrites.items() if index not in refused}
    updates = {row: places[place] for row, place in batch.updates.items() if place in places}
    inserts = {external_id: places[place] for external_id, place in batch.inserts.items() if place in places}
    left_out = [row for row in (*batch.updates, *batch.rewrites) if row not in updates and row not in rewrites]
    new = len(batch.inserts) - len(inserts)
    counters = replace(batch.counters)
    dropped = Batch(
        batch.judged,
        versions=[batch.versions[place] for place in kept],
        inserts=inserts,
        updates=updates,
        rewrites=rewrites,
        met=[*filterfalse(frozenset(left_out).__contains__, batch.met)],
        outdated=batch.outdated,
        found=batch.found - new - len(left_out),
        returned=batch.returned - sum(row in removed for row in left_out),
        repeated=batch.repeated,
    )
    counters.new -= new
    counters.updated -= len(left_out)
    counters.quarantined += new + len(left_out)
    dropped.counters = counters
    lines = batch.lines
    rewritten = {row: line for row, line in lines.rewritten.items() if row in rewrites}
    dropped.lines = BatchLines(
        [lines.raw[place] for place in kept], [lines.unified[place] for place in kept], rewritten
    )
    return dropped


def classify(judged: Judged, stored: Stored) -> Batch:
    """Classify a batch's records; modifies `stored.known`.

    If records carry a time, the newest counts, regardless of its position. Otherwise the first of a read counts.
    """
    batch, known, unchanged = Batch(judged), stored.known, stored.unchanged
    if judged.repeats is not None:
        _place_mostly_new(batch, judged.repeats, known)
        return batch
    batch.counters.unchanged = batch.found = len(unchanged)
    batch.met += unchanged.values()
    rest = [row for row, external_id in enumerate(judged.external_ids) if external_id not in unchanged]
    _place_all(batch, rest, known)
    return batch


def _place_mostly_new(batch: Batch, repeats: Iterable[int], known: dict[str, Version]) -> None:
    """Place a batch of a source's first read: the rows between the repeats are new."""
    begin = 0
    for repeat in repeats:
        _insert(batch, range(begin, repeat))
        _place_all(batch, (repeat,), known)
        begin = repeat + 1
    _insert(batch, range(begin, len(batch.judged)))


def _insert(batch: Batch, rows: range) -> None:
    place = len(batch.versions)
    ids = batch.judged.external_ids[rows.start : rows.stop]
    batch.inserts.update(zip(ids, range(place, place + len(rows)), strict=True))
    batch.versions.extend(rows)
    batch.counters.new += len(rows)
    batch.found += len(rows)


def classify_replayed(judged: Judged, met: Iterable[int], others: Iterable[int], known: dict[str, Version]) -> Batch:
    """Classify records from quarantine, given as indexes. In `known`, `is_met` means that the last read accepted it.

    If no time decides, the records that the last read found (`met`) count like records of that read, after the ones it
    accepted. The `others` are from older reads and replace nothing.
    """
    batch = Batch(judged)
    _place_replayed(batch, met, known)
    for version in known.values():
        version.is_met = not version.is_removed
    _place_replayed(batch, others, known)
    return batch


def classify_reread(judged: Judged, rows: Sequence[tuple[int, int, str]]) -> Batch:
    """Classify present records judged again from their own raw rows: each is rewritten if its values differ.

    `rows` gives for each record its row in `unified_records`, its raw row and the stored hash of its values.
    """
    batch = Batch(judged)
    for index, (row_id, raw_id, values_hash) in enumerate(rows):
        if judged.values_hashes[index] == values_hash:
            batch.counters.unchanged += 1
        else:
            batch.counters.updated += 1
            batch.rewrites[row_id] = (index, raw_id)
    return batch


def _place_replayed(batch: Batch, indexes: Iterable[int], known: dict[str, Version]) -> None:
    for index in indexes:
        version, content_hash = known.get(batch.judged.external_ids[index]), batch.judged.content_hashes[index]
        if version is not None and version.is_met and is_same_content(version.content_hash, content_hash):
            batch.counters.unchanged += 1  # it has the content that counts already, so it is not a duplicate
        else:
            _place_all(batch, (index,), known)


def _place_all(batch: Batch, indexes: Iterable[int], known: dict[str, Version]) -> None:
    inserts, versions, external_ids = batch.inserts, batch.versions, batch.judged.external_ids
    for index in indexes:
        external_id = external_ids[index]
        version = known.get(external_id)
        if version is not None:
            _place_known(batch, index, version)
        elif external_id not in inserts:
            inserts[external_id] = len(versions)
            versions.append(index)
            batch.counters.new += 1
            batch.found += 1
        else:
            _place_known(batch, index, known.setdefault(external_id, _take_inserted(batch, inserts[external_id])))


def _take_inserted(batch: Batch, place: int) -> Version:
    index, judged = batch.versions[place], batch.judged
    return Version(
        None, None, judged.content_hashes[index], judged.values_hashes[index], judged.find_time(index), is_met=True
    )


def _place_known(batch: Batch, index: int, version: Version) -> None:
    batch.repeated += version.is_met
    if _is_duplicate(batch.judged.find_time(index), batch.judged.content_hashes[index], version):
        batch.counters.duplicate += 1
        if not version.is_met and version.id is not None:
            batch.outdated.append(version.id)
        return
    returns = version.is_removed
    if not version.is_met:
        version.is_met, version.is_removed = True, False
        batch.found += 1
        batch.returned += returns
    if not is_same_content(batch.judged.content_hashes[index], version.content_hash):
        batch.counters.updated += 1
        _replace(batch, index, version)
    elif version.raw_id is not None and (returns or batch.judged.values_hashes[index] != version.values_hash):
        batch.counters.updated += 1
        _rewrite(batch, index, version.raw_id, version)
    else:
        batch.counters.unchanged += 1
        if version.id is not None:
            batch.met.append(version.id)


def _is_duplicate(time: datetime | None, content_hash: str, version: Version) -> bool:
    if version.is_removed:
        return False
    stored = version.event_timestamp
    if time is not None and stored is not None and time != stored:
        return time < stored
    return version.is_met or (version.is_of_later_file and content_hash != version.content_hash)


def _replace(batch: Batch, index: int, version: Version) -> None:
    place = len(batch.versions)
    batch.versions.append(index)
    if version.id is None:
        batch.inserts[batch.judged.external_ids[index]] = place
    else:
        batch.rewrites.pop(version.id, None)
        batch.updates[version.id] = place
    version.raw_id, version.content_hash = None, batch.judged.content_hashes[index]
    _take_values(batch, index, version)


def _rewrite(batch: Batch, index: int, raw_id: int, version: Version) -> None:
    assert version.id is not None  # it has a raw row
    batch.rewrites[version.id] = (index, raw_id)
    batch.met.append(version.id)
    _take_values(batch, index, version)


def _take_values(batch: Batch, index: int, version: Version) -> None:
    version.values_hash = batch.judged.values_hashes[index]
    version.event_timestamp = batch.judged.find_time(index)
