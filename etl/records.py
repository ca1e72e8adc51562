"""The values that pass through the pipeline: records as sent, accepted and refused records, counters, chunks."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from decimal import Decimal
from typing import Any, Protocol, Self

from etl.vocabulary import OUTCOMES, BreachCode, SourceKind

ORIGINAL_BYTES = 64 << 10
"""Number of bytes of a refused record that quarantine keeps."""

Cursor = Mapping[str, Any]
"""A source's position in its content: JSON that only the source's reader understands."""


def wrap_payload(text: str) -> str:
    """Return a JSON string of a record that PostgreSQL does not take as JSON, because it has a word such as NaN."""
    return json.dumps(text, ensure_ascii=False)


def unwrap_payload(payload: str) -> str:
    """Return the record as it was sent: what `wrap_payload` took, or the payload itself."""
    if not payload.startswith('"'):
        return payload
    try:
        text = str(json.loads(payload))
    except ValueError:  # it is truncated
        return payload
    return text if text.startswith("{") and ("NaN" in text or "Infinity" in text) else payload


@dataclass(frozen=True, slots=True)
class Breach:
    """Why a record is refused; `column` is the field as the content names it, empty for the record as a whole.

    `awaits` names the missing row for which it waits (etl/storage/waiting.py); empty for a record that is broken.
    """

    code: BreachCode
    message: str
    column: str = ""
    awaits: str = ""


@dataclass(frozen=True, slots=True)
class Record:
    """One item as sent.

    `position` is its number in the read, `line` the physical line on which it begins; both count from 1. `file` is the
    name of its file if the source has several; a reader leaves it empty. `values` are its fields, `payload` is its
    JSON for the raw table, `original` its bytes.
    """

    position: int
    line: int
    values: Mapping[str, Any]
    payload: str
    original: bytes
    file: str = ""


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
    """One refused item with its place and reason; `payload` is None if the item can't be parsed.

    `external_id` is None if its id field can't be parsed. `is_late`: its batch has an accepted record with that id
    before it, in the order of the read. `key` is what it is known by, if that is not the hash of its bytes.
    """

    position: int
    line: int
    breach: Breach
    payload: str | None
    original: Original
    external_id: str | None = None
    is_late: bool = False
    file: str = ""
    key: bytes = b""

    @property
    def identity(self) -> bytes:
        """A hash: two refused items of a source's file that have the same one are one item."""
        return self.key or self.original.sha256

    @classmethod
    def of(cls, record: Record, breach: Breach, external_id: str | None = None, key: bytes = b"") -> Self:
        """Return the refusal of a well-formed record."""
        original = Original.of(record.original)
        return cls(record.position, record.line, breach, record.payload, original, external_id, key=key)


@dataclass(frozen=True, slots=True)
class StoredRefusal:
    """A refused record as stored in quarantine; `original` is None if only its beginning was kept.

    `read_number` is the read that recorded or reopened it. `waits`: it only waits for a row to which it refers.
    """

    id: int
    position: int
    line: int
    breach: Breach
    payload: str | None
    original: bytes | None
    file: str = ""
    read_number: int = 0
    waits: bool = False


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
class OwnedFields(UnifiedFields):
    """One record for a source's own target: the staged values (etl/readers/target_plan.py) as PostgreSQL reads them."""

    texts: tuple[str | None, ...] = ()


@dataclass(frozen=True, slots=True)
class Accepted:
    """A record that fulfils its contract, with its unified fields.

    Hashes are hex text. `content_hash` has 16 bytes, which cover only the content. `values_hash` has 12: 8 of the
    unified fields, and 4 of the mapping of the event time, so that times from different mappings are not compared
    (zeros without a time).
    """

    record: Record
    unified: UnifiedFields
    content_hash: str
    values_hash: str


@dataclass(frozen=True, slots=True)
class Unwanted:
    """The verdict on a record that fulfils its contract, and that its source does not want."""


UNWANTED = Unwanted()


@dataclass(frozen=True, slots=True)
class Skipped:
    """A record that its source does not want: counted, and kept nowhere."""

    record: Record


class Lines(Protocol):
    """The COPY text of a batch's accepted records, without what the batch adds."""

    def write(self, rows: Sequence[int]) -> "WrittenLines":
        """Return the lines of these records; their rows ascend."""


class Origins(Protocol):
    """The records of a batch as they were sent, and their lines, as often as they are asked for."""

    def make_records(self, rows: Sequence[int]) -> "list[Record]":
        """Return these records, with their places and bytes."""

    def write_again(self, rows: Sequence[int]) -> "WrittenLines":
        """Return the lines of these records; their rows ascend."""


@dataclass(slots=True)
class WrittenLines:
    """Lines for the raw table (external id, position, payload) and for the unified table.

    The latter hold external id, name, category, value, currency, event time, content hash and values hash. For a
    source with a target of its own they hold the staged values between external id and content hash.
    """

    raw: list[str] = field(default_factory=list)
    unified: list[str] = field(default_factory=list)

    def write(self, rows: Sequence[int]) -> Self:
        if len(rows) == len(self.raw):
            return self
        return type(self)([self.raw[row] for row in rows], [self.unified[row] for row in rows])

    def drain(self) -> Iterator[Self]:
        """Write the lines of all records, some at a time, and drop those that are written."""
        yield self

    def __getstate__(self) -> tuple[str, str]:
        """Join the lines: one long text is pickled several times as fast as many short ones."""
        return "\n".join(self.raw), "\n".join(self.unified)

    def __setstate__(self, state: tuple[str, str]) -> None:
        self.raw, self.unified = (text.split("\n") if text else [] for text in state)


@dataclass(slots=True)
class PackedLines:
    """All lines of a batch as UTF-8 text in blocks, for raw and unified: much smaller than a string for each line."""

    blocks: list[tuple[bytes, bytes]] = field(default_factory=list)

    @classmethod
    def of(cls, parts: Iterable[WrittenLines]) -> Self:
        return cls([("\n".join(part.raw).encode(), "\n".join(part.unified).encode()) for part in parts if part.raw])

    def write(self, rows: Sequence[int]) -> WrittenLines:
        """Return the lines of these records, and drop the blocks: can be called once."""
        lines = WrittenLines()
        self.blocks.reverse()
        while self.blocks:
            raw, unified = self.blocks.pop()
            lines.raw += raw.decode().split("\n")
            lines.unified += unified.decode().split("\n")
        return lines.write(rows)


@dataclass(slots=True)
class Judged:
    """A batch's judged records: the accepted ones as columns of one length, in the order of the read; and the refused.

    `skipped` is the number of those that the source does not want. `is_backward`: the read began at the content's end.
    `times` are the event times as canonical text, empty for a record without one. `repeats` is known in a source's
    first read: the rows whose id the read may have seen before, in this batch or in an earlier one. The ids of all
    other rows are new. `places` are the positions in the read, given if the source has a target of its own.
    """

    external_ids: list[str] = field(default_factory=list)
    times: list[str] = field(default_factory=list)
    content_hashes: list[str] = field(default_factory=list)
    values_hashes: list[str] = field(default_factory=list)
    lines: Lines = field(default_factory=WrittenLines)
    refusals: list[Refusal] = field(default_factory=list)
    skipped: int = 0
    is_backward: bool = False
    repeats: list[int] | None = None
    places: list[int] = field(default_factory=list)

    def __len__(self) -> int:
        """Return the number of accepted records."""
        return len(self.external_ids)

    def find_time(self, row: int) -> datetime | None:
        """Return the event time of an accepted record. Few are asked for: only those that are compared."""
        text = self.times[row]
        return datetime.fromisoformat(text) if text else None

    def __getstate__(self) -> dict[str, Any]:
        """Join the columns of text: one long text is pickled many times as fast as many short ones."""
        state = {each.name: getattr(self, each.name) for each in fields(self)}
        return state | {name: _join(state[name]) for name in _TEXT_COLUMNS}

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            setattr(self, name, _split(value) if name in _TEXT_COLUMNS else value)


@dataclass(frozen=True, slots=True)
class PickedOrigins:
    """Some of the records of a batch: `rows` are theirs in the whole batch."""

    whole: Origins
    rows: Sequence[int]

    def write(self, rows: Sequence[int]) -> WrittenLines:
        return self.write_again(rows)

    def write_again(self, rows: Sequence[int]) -> WrittenLines:
        return self.whole.write_again([self.rows[row] for row in rows])

    def make_records(self, rows: Sequence[int]) -> list[Record]:
        return self.whole.make_records([self.rows[row] for row in rows])


def refuse_judged(judged: Judged, refused: Mapping[int, Refusal], origins: Origins) -> Judged:
    """Return the batch with these of its accepted records refused."""
    kept = [row for row in range(len(judged)) if row not in refused]
    refusals = [*judged.refusals, *refused.values()]
    refusals.sort(key=lambda refusal: refusal.position, reverse=judged.is_backward)
    return Judged(
        external_ids=[judged.external_ids[row] for row in kept],
        times=[judged.times[row] for row in kept],
        content_hashes=[judged.content_hashes[row] for row in kept],
        values_hashes=[judged.values_hashes[row] for row in kept],
        lines=PickedOrigins(origins, kept),
        refusals=refusals,
        skipped=judged.skipped,
        is_backward=judged.is_backward,
    )


_TEXT_COLUMNS = ("external_ids", "times", "content_hashes", "values_hashes")


def _join(texts: list[str]) -> str | list[str]:
    """Join the strings, one to each line; return them unchanged if one of them has several lines."""
    joined = "\n".join(texts)
    return joined if joined.count("\n") == len(texts) - 1 else texts


def _split(joined: str | list[str]) -> list[str]:
    return joined.split("\n") if isinstance(joined, str) else joined


@dataclass(frozen=True, slots=True)
class Stamp:
    """The values shared by all rows that a batch writes.

    `now` is the database's time in the batch's transaction.
    """

    source: str
    kind: SourceKind
    run_id: int
    read_number: int
    sequence: int
    now: datetime
    file: str = ""


@dataclass(slots=True)
class Counters:
    """Law 4: seen = new + updated + unchanged + duplicate + skipped + quarantined. `removed` is not part of it."""

    new: int = 0
    updated: int = 0
    unchanged: int = 0
    duplicate: int = 0
    skipped: int = 0
    quarantined: int = 0
    removed: int = 0

    @property
    def seen(self) -> int:
        return sum(getattr(self, name) for name in OUTCOMES)

    def as_columns(self) -> dict[str, int]:
        """The counters under the names of the columns of `etl_runs`."""
        return {"seen": self.seen} | {counter.name: getattr(self, counter.name) for counter in fields(self)}


class Slice(Protocol):
    """Well-formed records in the order of the source, held in a form that can be judged column by column."""

    def __len__(self) -> int: ...

    def take(self, name: str) -> Sequence[Any]:
        """Return the values of a top-level field, with None for each record that lacks it."""

    def list_names(self) -> Sequence[str]:
        """Return the names of a file's columns, or the names in any one of its JSON records."""

    def list_columns(self) -> Mapping[str, Sequence[Any]] | None:
        """Return all fields by name if each record has each of them, and None if that is not known."""

    def list_contents(self) -> Sequence[bytes]:
        """Return each record's content in canonical form, for its hash."""

    def list_places(self) -> Sequence[int]:
        """Return each record's position in the read."""

    def list_payloads(self) -> Sequence[str]:
        """Return each record's JSON for the raw table."""

    def make_record(self, index: int) -> Record:
        """Return one record with its place and its bytes."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """What a reader returns for one batch: well-formed records, malformed ones, and the cursor after the last one.

    `is_backward`: it was read from the end of its content, so positions descend.
    """

    slices: Sequence[Slice] = ()
    refusals: Sequence[Refusal] = ()
    cursor: Cursor = field(default_factory=dict)
    is_backward: bool = False

    @property
    def items(self) -> list[Record | Refusal]:
        """The records one by one, in the order of the read."""
        records = (part.make_record(index) for part in self.slices for index in range(len(part)))
        return sorted([*records, *self.refusals], key=lambda item: item.position, reverse=self.is_backward)
