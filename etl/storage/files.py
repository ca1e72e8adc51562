"""The only writer of `etl_files`: the files that a source's pattern has found, and what was read of each."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, DurationField, ExpressionWrapper, F

from etl.clock import NOW
from etl.gates import GateFailure, Verdict
from etl.models import JudgedRead, SourceFile
from etl.storage.ledger import Spans
from etl.storage.texts import make_storable
from etl.vocabulary import ReadOutcome

_WRITE = """
    INSERT INTO etl_files (source, name, stamp, fingerprint, read_number, outcome, message, run_id, ended_at)
    VALUES (%(source)s, %(name)s, %(stamp)s, %(fingerprint)s, %(read_number)s, %(outcome)s, %(message)s, %(run_id)s,
        clock_timestamp())
    ON CONFLICT (source, name) DO UPDATE SET
        stamp = EXCLUDED.stamp, fingerprint = EXCLUDED.fingerprint,
        read_number = coalesce(EXCLUDED.read_number, etl_files.read_number), outcome = EXCLUDED.outcome,
        message = EXCLUDED.message, run_id = EXCLUDED.run_id, ended_at = EXCLUDED.ended_at, gone_at = NULL
"""
_NOTE_STAMP = "UPDATE etl_files SET stamp = %s, run_id = %s WHERE source = %s AND name = %s"
_NOTE_GONE = """
    UPDATE etl_files SET gone_at = clock_timestamp() WHERE source = %s AND gone_at IS NULL AND name <> ALL (%s)
"""
_NOTE_BACK = "UPDATE etl_files SET gone_at = NULL WHERE source = %s AND gone_at IS NOT NULL AND name = ANY (%s)"
_FIND = """
    SELECT name, stamp, kept.fingerprint, read_number, kept.outcome, kept.run_id, read.outcome, read.verdict
    FROM etl_files AS kept LEFT JOIN etl_reads AS read ON read.source = kept.source AND read.number = kept.read_number
    WHERE kept.source = %s
"""
# Names are compared by their bytes, as Python sorts them.
_FIND_SPANS = """
    SELECT first_sequence, last_sequence FROM etl_reads AS read
    WHERE source = %s AND first_sequence < last_sequence AND file > %s COLLATE "C"
        AND EXISTS (SELECT FROM etl_files AS kept WHERE kept.source = read.source AND kept.name = read.file)
    ORDER BY last_sequence
"""


@dataclass(frozen=True, slots=True)
class KnownFile:
    """A file as the last read of it has left it. `is_overruled`: an operator has accepted that read since."""

    name: str
    stamp: str
    fingerprint: str
    read_number: int | None
    outcome: ReadOutcome
    run_id: int
    is_overruled: bool
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class FileEnd:
    """The state of a file when its read has ended. Without fingerprint the next run reads it again."""

    name: str
    outcome: ReadOutcome
    stamp: str = ""
    fingerprint: str = ""
    read_number: int | None = None
    message: str = ""


def load_files(cursor: Any, source: str) -> dict[str, KnownFile]:
    """Return the source's known files by name."""
    cursor.execute(_FIND, [source])
    return {row[0]: _describe(*row) for row in cursor.fetchall()}


def _describe(
    name: str,
    stamp: str,
    fingerprint: str,
    number: int | None,
    outcome: str,
    run_id: int,
    read_outcome: str | None,
    verdict: str | None,
) -> KnownFile:
    is_overruled = outcome != ReadOutcome.ACCEPTED and read_outcome == ReadOutcome.ACCEPTED
    failures = tuple(map(GateFailure.from_json, json.loads(verdict or "[]")))
    return KnownFile(name, stamp, fingerprint, number, ReadOutcome(outcome), run_id, is_overruled, failures)


def write_file(cursor: Any, source: str, run_id: int, end: FileEnd) -> None:
    """Store what was read of a file, in the transaction that ends its read."""
    columns = {name: getattr(end, name) for name in ("name", "stamp", "fingerprint", "read_number", "outcome")}
    values = {"source": source, "run_id": run_id, "message": make_storable(end.message)}
    cursor.execute(_WRITE, {**columns, **values})


def note_stamp(cursor: Any, source: str, run_id: int, name: str, stamp: str) -> None:
    """Note that the run has found the file's content unchanged under this stamp."""
    cursor.execute(_NOTE_STAMP, [stamp, run_id, source, name])


def note_found(cursor: Any, source: str, names: Sequence[str]) -> None:
    """Note which files a run has found, and that the others are gone."""
    cursor.execute(_NOTE_GONE, [source, list(names)])
    cursor.execute(_NOTE_BACK, [source, list(names)])


def find_later_spans(cursor: Any, source: str, name: str) -> Spans:
    """Return the spans of the source's sequence in which files were landed whose names come after this one."""
    cursor.execute(_FIND_SPANS, [source, name])
    spans = cursor.fetchall()
    return Spans([first for first, _ in spans], [last for _, last in spans])


def is_last_read_of_file(source: str, name: str, number: int) -> bool:
    """Whether no later read of this file has ended."""
    return SourceFile.objects.filter(source=source, name=name, read_number=number).exists()


def find_newest_age(source: str) -> timedelta | None:
    """Return the time since the source's last read began; None if nothing was read."""
    age = ExpressionWrapper(NOW - F("begun_at"), DurationField())
    return JudgedRead.objects.filter(source=source).order_by("-number").values_list(age, flat=True).first()


def count_gone(sources: Sequence[str], before: datetime) -> dict[str, int]:
    """Return by source the number of files that have been gone since before that time."""
    gone = SourceFile.objects.filter(source__in=sources, gone_at__lt=before).order_by()
    return dict(gone.values_list("source").annotate(Count("pk")))


def forget_gone(cursor: Any, sources: Sequence[str], before: datetime) -> None:
    """Delete the rows of these files."""
    cursor.execute("DELETE FROM etl_files WHERE source = ANY (%s) AND gone_at < %s", [list(sources), before])
