"""The only writer of `etl_reads`: the reads that have ended, and the verdicts on them."""

import json
from dataclasses import dataclass, fields
from datetime import timedelta
from typing import Any

from django.db.models import DurationField, ExpressionWrapper, F

from etl.clock import NOW
from etl.gates import Baseline, Former, GateFailure, Verdict
from etl.models import JudgedRead
from etl.storage.snapshots import find_fields
from etl.vocabulary import ReadOutcome

# A read that landed no batch began with its run.
_WRITE = """
    INSERT INTO etl_reads (source, number, run_id, content, fingerprint, file, is_proven, is_whole, is_complete,
        outcome, verdict, seen, quarantined, met, removed, first_sequence, last_sequence, begun_at, ended_at)
    SELECT %(source)s, %(number)s, run.id, %(content)s, %(fingerprint)s, %(file)s, %(is_proven)s, %(is_whole)s,
        %(is_complete)s, %(outcome)s, %(verdict)s, %(seen)s, %(quarantined)s, %(met)s, %(removed)s,
        %(first_sequence)s, kept.sequence, coalesce(read_begun_at, run.started_at), clock_timestamp()
    FROM etl_runs AS run, ingestion_checkpoints AS kept
    WHERE run.id = %(run_id)s AND kept.source = %(source)s
"""


@dataclass(frozen=True, slots=True)
class PassedVerdict:
    """The verdict on an earlier read, and the time since that read began."""

    verdict: Verdict
    age: timedelta


@dataclass(frozen=True, slots=True)
class EndedRead:
    """The columns of a read that ends; JudgedRead describes them."""

    number: int
    content: str
    fingerprint: str
    file: str
    is_proven: bool
    is_whole: bool
    is_complete: bool
    outcome: ReadOutcome
    verdict: Verdict
    seen: int
    quarantined: int
    met: int
    removed: int
    first_sequence: int


def write_read(cursor: Any, source: str, run_id: int, ended: EndedRead) -> None:
    """Store a read that ends, in the transaction that closes its run, before the checkpoint forgets it."""
    verdict = json.dumps([failure.as_json() for failure in ended.verdict])
    columns = {each.name: getattr(ended, each.name) for each in fields(ended)}
    cursor.execute(_WRITE, {**columns, "source": source, "run_id": run_id, "verdict": verdict})


def accept_read(cursor: Any, read_id: int, user_id: int | None) -> None:
    """Note that an operator has accepted the read."""
    cursor.execute(
        "UPDATE etl_reads SET outcome = %s, accepted_by_id = %s, accepted_at = clock_timestamp() WHERE id = %s",
        [ReadOutcome.ACCEPTED, user_id, read_id],
    )


def find_former(source: str, number: int | None) -> Former:
    """Return the source's last accepted read, given its number."""
    kept = JudgedRead.objects.filter(source=source, number=number).first() if number is not None else None
    if kept is None:
        return Former(None)
    return Former(Baseline(kept.content, kept.seen, kept.met, kept.accepted_at is not None), find_fields(source))


def find_verdict(source: str, number: int | None) -> PassedVerdict:
    """Return the verdict on the read with this number; none for an unknown one."""
    if number is None:
        return PassedVerdict((), timedelta())
    age = ExpressionWrapper(NOW - F("begun_at"), DurationField())
    kept = JudgedRead.objects.filter(source=source, number=number).values_list("verdict", age).first()
    if kept is None:
        return PassedVerdict((), timedelta())
    return PassedVerdict(tuple(map(GateFailure.from_json, kept[0])), kept[1])
