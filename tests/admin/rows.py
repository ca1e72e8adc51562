"""Rows of each table that the admin shows, with strings as hostile as a source can make them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, ClassVar

from django.utils import timezone

from etl.models import (
    Checkpoint,
    QuarantinedRecord,
    RawApiRecord,
    RawCsvRecord,
    RawThirdSourceRecord,
    Run,
    RunEvent,
    SchemaChange,
    SchemaSnapshot,
    UnifiedRecord,
)
from etl.vocabulary import COUNTERS
from tests.listed_source import Listed, make_item

HOSTILE = '<script>alert(1)</script>"><img src=x onerror=alert(2)>\u202egnp.\u2066{{ 7*7 }}\x1b[31m\x07'


class Wares(Listed):
    """The source of the admin's tests; one of its records is refused."""

    name = "wares"
    content: ClassVar[list[dict[str, Any]]] = [
        make_item(1),
        make_item(2, name=HOSTILE.replace("\x07", "")),
        make_item(3, price=HOSTILE),
    ]

    def __init__(self, records: Sequence[Mapping[str, Any]] | None = None) -> None:
        super().__init__(self.content if records is None else records)


class Idle(Listed):
    """A source that has never run."""

    name = "idle"


def make_run(source: str = "wares", **columns: Any) -> Run:
    now = timezone.now()
    values = {"key": f"test:{Run.objects.count()}:{source}", "trigger": "schedule", "status": "success"}
    closed = {"started_at": now, "finished_at": now, "epoch": 1}
    return Run.objects.create(**{"source": source, **values, **closed, **columns})


def count(**counters: int) -> dict[str, Any]:
    """All counters, consistent with each other."""
    return {**dict.fromkeys(COUNTERS, 0), "seen": sum(counters.values()), **counters}


def make_refused(number: int = 1, *, source: str = "wares", **columns: Any) -> QuarantinedRecord:
    original = f"{source} {number}".encode()
    values = {
        "position": number,
        "line": number + 1,
        "column_name": "price",
        "code": "not_a_number",
        "message": "price must be a number",
        "payload": '{"id": "1", "price": "x"}',
        "original": original,
        "original_length": len(original),
        "original_sha256": sha256(original).digest(),
    }
    if "run" not in columns and "run_id" not in columns:
        columns["run"] = Run.objects.filter(source=source).first() or make_run(source)
    return QuarantinedRecord.objects.create(**{"source": source, **values, **columns})


def make_snapshots(source: str = "wares", path: str = "price") -> tuple[SchemaSnapshot, SchemaSnapshot, SchemaChange]:
    kept = {"type": "text", "nullable": False, "presence": "every"}
    shapes = [{"records": 1, "is_cut": False, "fields": fields} for fields in ({"id": kept}, {"id": kept, path: kept})]
    first, second = (
        SchemaSnapshot.objects.create(source=source, number=number, shape=shape)
        for number, shape in enumerate(shapes, 1)
    )
    change = SchemaChange.objects.create(
        source=source, snapshot_before=first, snapshot_after=second, path=path, kind="added", after="text, never null"
    )
    return first, second, change


@dataclass
class Shown:
    """One row of each table."""

    run: Run
    refused: QuarantinedRecord
    snapshot: SchemaSnapshot
    change: SchemaChange
    unified: UnifiedRecord
    raws: list[Any]
    checkpoint: Checkpoint

    @property
    def rows(self) -> list[Any]:
        return [self.run, self.refused, self.snapshot, self.change, self.unified, *self.raws, self.checkpoint]


def make_hostile() -> Shown:
    """Make rows whose outside strings are all HOSTILE, of a source that is no longer in ETL_SOURCES."""
    source = '<b onclick="x">sou/rce_5F</b>'
    run = make_run(source, status="failed", reason="internal_error", error=HOSTILE, key=HOSTILE, **count(new=1))
    for kind in ("retry", "drift", HOSTILE):
        RunEvent.objects.create(run=run, kind=kind, message=HOSTILE)
    payload = '{"<script>alert(1)</script>": "\\ud800\\u0000\\u202e<script>alert(1)</script>", "n": 1e131071}'
    refused = make_refused(
        source=source,
        run=run,
        column_name=HOSTILE,
        message=HOSTILE,
        payload=payload,
        original=HOSTILE.encode() + b"\xff\x00\r\n",
    )
    _, snapshot, change = make_snapshots(source, HOSTILE)
    raws = [
        model.objects.create(run=run, source=source, external_id=HOSTILE, position=1, sequence=1, payload=payload)
        for model in (RawApiRecord, RawCsvRecord, RawThirdSourceRecord)
    ]
    now = timezone.now()
    unified = UnifiedRecord.objects.create(
        source=source,
        external_id=HOSTILE,
        name=HOSTILE,
        category=HOSTILE,
        currency=HOSTILE,
        event_timestamp=now,
        ingested_at=now,
        updated_at=now,
        content_hash=b"\x01",
        sequence=1,
        raw_id=raws[0].pk,
        value="1.500000000000000000",
    )
    checkpoint = Checkpoint.objects.create(
        source=source, owner=HOSTILE, owner_run=run, fingerprint=HOSTILE, open_quarantine_count=1
    )
    return Shown(run, refused, snapshot, change, unified, raws, checkpoint)
