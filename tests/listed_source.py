"""A source whose records a test lists, and dumps of whole tables to compare the landed records."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, ClassVar

from django.db import connection

from etl.execution.executor import execute_here
from etl.execution.outcomes import Outcome
from etl.gates import Gates
from etl.judgement import Judge
from etl.read_context import ReadContext
from etl.readers.content import Content, Opening
from etl.readers.lookalikes import HEAD_BYTES
from etl.readers.single_records import make_chunk
from etl.readers.source import Source
from etl.records import Chunk, Cursor, Judged, Record, Refusal, StoredRefusal
from etl.runs.options import Options
from etl.sources import Contract, NonBlank, PositiveDecimal, ZonedTime
from etl.storage.driver import use_last_result
from etl.supervision.os_signals import Interruption
from etl.vocabulary import SourceKind


class Item(Contract):
    id: NonBlank
    name: NonBlank
    price: PositiveDecimal


class TimedItem(Item):
    at: ZonedTime


def make_record(position: int, values: Mapping[str, Any]) -> Record:
    text = json.dumps(values)
    return Record(position, position + 1, values, text, text.encode())


@dataclass
class ListedContent:
    """Records as a reader would return them. The cursor's offset counts records."""

    records: Sequence[Mapping[str, Any]]
    fingerprint: str
    validators: Mapping[str, str] = field(default_factory=dict)
    is_proven: bool = True
    file: str = ""

    def read_head(self) -> bytes:
        return json.dumps(self.records).encode()[:HEAD_BYTES]

    def describe_lookalike(self) -> str:
        return ""

    def find_columns(self) -> None:
        return None

    @property
    def size(self) -> int:
        return max(1, len(self.records))

    def read(self, cursor: Cursor | None, batch_size: int) -> Iterator[Chunk]:
        for start in range(cursor["offset"] if cursor else 0, len(self.records), batch_size):
            values = self.records[start : start + batch_size]
            items: list[Record | Refusal] = [make_record(start + n + 1, value) for n, value in enumerate(values)]
            yield make_chunk(items, {"position": start + len(items), "offset": start + len(items)})


class Listed(Source):
    """A source that reads `records`; a test sets them on an instance."""

    name = "listed"
    kind = SourceKind.API
    every = timedelta(hours=1)
    contract: ClassVar[type[Contract]] = Item
    unified = {"external_id": "id", "name": "name", "value": "price"}
    location = "memory"
    gates = Gates(max_refused=1, min_kept=0)
    """No gate fails what the tests of other laws read."""

    def __init__(self, records: Sequence[Mapping[str, Any]] = ()) -> None:
        self.records = records

    @contextmanager
    def open(self, opening: Opening, context: ReadContext) -> Iterator[Content | None]:
        yield ListedContent(self.records, str(hash(json.dumps(self.records))))

    def revive(self, stored: StoredRefusal) -> Record | Refusal | None:
        return make_record(stored.position, json.loads(stored.payload)) if stored.payload is not None else None


class TimedListed(Listed):
    name = "timed"
    contract = TimedItem
    unified = {**Listed.unified, "event_timestamp": "at"}


def make_item(number: object, *, name: str = "Thing", price: object = "1.5", **more: Any) -> dict[str, Any]:
    return {"id": str(number), "name": name, "price": str(price), **more}


def ingest_here(source: Source, *, full: bool = False) -> Outcome:
    """Run the source in this process, like the command `ingest`."""
    return execute_here(source, Options(full=full), interruption=Interruption(), report=lambda progress: None)


def judge_all(source: Source, records: Sequence[Mapping[str, Any]], *, first: int = 1) -> Judged:
    return Judge(source).judge_chunk(list_chunk(records, first=first))


def list_chunk(records: Sequence[Mapping[str, Any]], *, first: int = 1) -> Chunk:
    return make_chunk([make_record(number, values) for number, values in enumerate(records, start=first)], {})


def fetch(statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        use_last_result(cursor)
        return list(cursor.fetchall())


def dump_unified(source: str) -> list[tuple[Any, ...]]:
    """Return the landed records without ids, times and sequence, which differ from run to run."""
    return fetch(
        "SELECT external_id, name, category, value, currency FROM unified_records WHERE source = %s"
        ' ORDER BY external_id COLLATE "C"',
        source,
    )


def dump_landed(source: Source) -> list[tuple[Any, ...]]:
    """Return what `dump_unified` does, from the table in which the source's records land: the unified one, or things.

    A thing without a record, and a record without a thing, differ from what any record becomes.
    """
    if source.into is None:
        return dump_unified(source.name)
    return fetch(
        "SELECT coalesce(u.external_id, 'nobody knows ' || t.key), t.name, NULL, t.price, NULL FROM shop_thing AS t"
        " FULL JOIN (SELECT * FROM unified_records WHERE source = %s) AS u"
        ' ON u.target_key = t.id::text AND u.external_id = t.key ORDER BY coalesce(u.external_id, t.key) COLLATE "C"',
        source.name,
    )


def dump_raw(source: str) -> list[tuple[Any, ...]]:
    return fetch(
        "SELECT external_id, position, payload::text FROM raw_records WHERE source = %s ORDER BY position, id", source
    )


def dump_quarantine(source: str) -> list[tuple[Any, ...]]:
    return fetch(
        "SELECT position, line, column_name, code, message, status FROM etl_quarantine WHERE source = %s"
        " ORDER BY position",
        source,
    )
