"""Classifies each record of a batch against the stored records: new, updated, unchanged or duplicate. Pure.

Records are taken in the order of the read, so the outcome does not depend on the batch size.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from etl.records import Accepted, Counters, Refusal


@dataclass(slots=True)
class Version:
    """The version of a record that counts so far: the stored one, or one found earlier in this batch.

    `id`: its row in `unified_records`, None while it has no row. `is_met`: whether this read has accepted it.
    `event_timestamp`: None if its time can't be compared with the times of this read.
    """

    id: int | None
    content_hash: bytes
    event_timestamp: datetime | None
    is_met: bool


@dataclass(slots=True)
class Batch:
    """The rows that one transaction writes.

    `versions` become raw rows, in the order of the read. `inserts` (by external id) and `updates` (by row in
    `unified_records`) give the index in `versions` of the last version. `met` are the rows found unchanged.
    """

    counters: Counters = field(default_factory=Counters)
    versions: list[Accepted] = field(default_factory=list)
    inserts: dict[str, int] = field(default_factory=dict)
    updates: dict[int, int] = field(default_factory=dict)
    met: list[int] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)


def classify(judged: Iterable[Accepted | Refusal], known: dict[str, Version]) -> Batch:
    """Classify a batch's records. `known` holds their stored versions by external id, and is modified.

    If records carry a time, the newest counts, regardless of its position. Otherwise the first of a read counts.
    """
    batch = Batch()
    for item in judged:
        if isinstance(item, Refusal):
            batch.refusals.append(item)
            batch.counters.quarantined += 1
        else:
            _place(batch, item, known)
    return batch


def classify_replayed(
    met: Iterable[Accepted | Refusal], others: Iterable[Accepted | Refusal], known: dict[str, Version]
) -> Batch:
    """Classify records from quarantine. In `known`, `is_met` means that the last read accepted it; it is modified.

    If no time decides, the records that the last read found (`met`) count like records of that read, after the ones it
    accepted. The `others` are from older reads and replace nothing.
    """
    batch = Batch()
    _place_all(batch, met, known)
    for version in known.values():
        version.is_met = True
    _place_all(batch, others, known)
    return batch


def _place_all(batch: Batch, items: Iterable[Accepted | Refusal], known: dict[str, Version]) -> None:
    for item in items:
        if isinstance(item, Refusal):
            batch.refusals.append(item)
            batch.counters.quarantined += 1
        elif _is_same(item, known.get(item.unified.external_id)):
            batch.counters.unchanged += 1
        else:
            _place(batch, item, known)


def _is_same(item: Accepted, version: Version | None) -> bool:
    """Whether a replayed record has the content that counts already: it is unchanged then, not a duplicate."""
    return version is not None and version.is_met and version.content_hash == item.content_hash


def _place(batch: Batch, item: Accepted, known: dict[str, Version]) -> None:
    external_id = item.unified.external_id
    version = known.get(external_id)
    if version is None:
        batch.counters.new += 1
        batch.inserts[external_id] = len(batch.versions)
        known[external_id] = _write(batch, item, None)
    elif _is_duplicate(item, version):
        batch.counters.duplicate += 1
    elif item.content_hash == version.content_hash:
        batch.counters.unchanged += 1
        version.is_met = True
        if version.id is not None:
            batch.met.append(version.id)
    else:
        batch.counters.updated += 1
        if version.id is None:
            batch.inserts[external_id] = len(batch.versions)
        else:
            batch.updates[version.id] = len(batch.versions)
        known[external_id] = _write(batch, item, version.id)


def _is_duplicate(item: Accepted, version: Version) -> bool:
    time, stored = item.unified.event_timestamp, version.event_timestamp
    if time is not None and stored is not None and time != stored:
        return time < stored
    return version.is_met


def _write(batch: Batch, item: Accepted, row: int | None) -> Version:
    batch.versions.append(item)
    return Version(row, item.content_hash, item.unified.event_timestamp, is_met=True)
