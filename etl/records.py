"""The values that pass through the pipeline: records as sent, accepted and refused records, counters, chunks."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from decimal import Decimal
from typing import Any, Self

from etl.vocabulary import BreachCode, SourceKind

ORIGINAL_BYTES = 64 << 10
"""Number of bytes of a refused record that quarantine keeps."""

Cursor = Mapping[str, Any]
"""A source's position in its content: JSON that only the source's reader understands."""


@dataclass(frozen=True, slots=True)
class Breach:
    """Why a record is refused; `column` is a field path (`price.amount`), empty for the record as a whole."""

    code: BreachCode
    message: str
    column: str = ""


@dataclass(frozen=True, slots=True)
class Record:
    """One item as sent.

    `position` is its number in the read, `line` the physical line on which it begins; both count from 1. `values` are
    its fields, `payload` is its JSON for the raw table, `original` its bytes.
    """

    position: int
    line: int
    values: Mapping[str, Any]
    payload: str
    original: bytes


@dataclass(frozen=True, slots=True)
class Original:
    """The bytes of a refused item: the first ORIGINAL_BYTES of them, their number, and the SHA-256 of all."""

    head: bytes
    length: int
    sha256: bytes

    @classmethod
    def of(cls, original: bytes) -> Self:
        return cls(original[:ORIGINAL_BYTES], len(original), hashlib.sha256(original).digest())


@dataclass(frozen=True, slots=True)
class Refusal:
    """One refused item with its place and reason; `payload` is None if the item can't be parsed."""

    position: int
    line: int
    breach: Breach
    payload: str | None
    original: Original


@dataclass(frozen=True, slots=True)
class StoredRefusal:
    """A refused record as stored in quarantine; `original` is None if only its beginning was kept."""

    id: int
    position: int
    line: int
    breach: Breach
    payload: str | None
    original: bytes | None


@dataclass(frozen=True, slots=True)
class UnifiedFields:
    """One record in the unified fields; a field is None if the source has no value for it."""

    external_id: str
    name: str
    category: str | None = None
    value: Decimal | None = None
    currency: str | None = None
    event_timestamp: datetime | None = None


@dataclass(frozen=True, slots=True)
class Accepted:
    """A record that fulfils its contract, with its unified fields and the hash of its content."""

    record: Record
    unified: UnifiedFields
    content_hash: bytes


@dataclass(frozen=True, slots=True)
class Stamp:
    """The values shared by all rows that a batch writes.

    `now` is the database's time in the batch's transaction. It is also the event time of a record without a time.
    """

    source: str
    kind: SourceKind
    run_id: int
    read_number: int
    sequence: int
    now: datetime


@dataclass(slots=True)
class Counters:
    """Law 4: seen = new + updated + unchanged + duplicate + quarantined."""

    new: int = 0
    updated: int = 0
    unchanged: int = 0
    duplicate: int = 0
    quarantined: int = 0

    @property
    def seen(self) -> int:
        return sum(getattr(self, counter.name) for counter in fields(self))

    def as_columns(self) -> dict[str, int]:
        """The counters under the names of the columns of `etl_runs`."""
        return {"seen": self.seen} | {counter.name: getattr(self, counter.name) for counter in fields(self)}


@dataclass(frozen=True, slots=True)
class Chunk:
    """The items of one batch from a reader, in the order of the source, and the cursor after the last item."""

    items: list[Record | Refusal] = field(default_factory=list)
    cursor: Cursor = field(default_factory=dict)
