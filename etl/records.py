"""The values that travel through the pipeline: records as sent, refused and accepted ones, counters, chunks."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from decimal import Decimal
from typing import Any, Self

from etl.vocabulary import BreachCode, SourceKind

ORIGINAL_BYTES = 64 << 10
"""How much of a refused record quarantine keeps."""

Cursor = Mapping[str, Any]
"""A source's position in its content: JSON, understood by that source's reader alone."""


@dataclass(frozen=True, slots=True)
class Breach:
    """Why a record is refused; `column` is a field path (`price.amount`), empty for the record as a whole."""

    code: BreachCode
    message: str
    column: str = ""


@dataclass(frozen=True, slots=True)
class Record:
    """One item as sent.

    `position` counts the read's records from 1, `line` is the physical line on which it begins, also from 1.
    `values` are its fields, `payload` its JSON text for the raw table, `original` its bytes.
    """

    position: int
    line: int
    values: Mapping[str, Any]
    payload: str
    original: bytes


@dataclass(frozen=True, slots=True)
class Original:
    """The bytes of a refused item: the first of them, how many there were, and the SHA-256 of all."""

    head: bytes
    length: int
    sha256: bytes

    @classmethod
    def of(cls, original: bytes) -> Self:
        return cls(original[:ORIGINAL_BYTES], len(original), hashlib.sha256(original).digest())


@dataclass(frozen=True, slots=True)
class Refusal:
    """One refused item with its place and reason; `payload` is None where it can't be parsed."""

    position: int
    line: int
    breach: Breach
    payload: str | None
    original: Original


@dataclass(frozen=True, slots=True)
class StoredRefusal:
    """A refused record as quarantine has it; `original` is None where only its beginning was kept."""

    id: int
    position: int
    line: int
    breach: Breach
    payload: str | None
    original: bytes | None


@dataclass(frozen=True, slots=True)
class UnifiedFields:
    """One record in our fields; None where the source has none."""

    external_id: str
    name: str
    category: str | None = None
    value: Decimal | None = None
    currency: str | None = None
    event_timestamp: datetime | None = None


@dataclass(frozen=True, slots=True)
class Accepted:
    """A record that keeps its contract, with what it is in our fields and the hash of its content."""

    record: Record
    unified: UnifiedFields
    content_hash: bytes


@dataclass(frozen=True, slots=True)
class Stamp:
    """What all rows that a batch writes have in common.

    `now` is the database's time of the batch's transaction; it is also the event time of a record that has none.
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
    """What a reader gives for one batch: items in the order of the source, and the cursor behind the last."""

    items: list[Record | Refusal] = field(default_factory=list)
    cursor: Cursor = field(default_factory=dict)
