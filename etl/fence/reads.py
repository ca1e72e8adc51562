"""A read of a source's content: started or resumed from its checkpoint, and ended."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from etl.contracts.contract import Contract
from etl.drift import Shape
from etl.fence.claims import Also, Claim
from etl.gates import Verdict
from etl.models import Checkpoint
from etl.records import Cursor, Refusal
from etl.vocabulary import ReadOutcome, SourceKind

_NO_OPEN_READ = """
    is_reading = false, is_full_read = false, read_fingerprint = '', read_begun_at = NULL, read_seen = 0,
    read_quarantined = 0, read_waiting = 0, read_shape = NULL, cursor = NULL
"""
_END_READ = f"""
    UPDATE ingestion_checkpoints
    SET {_NO_OPEN_READ}, read_number = %(number)s,
        read_sequence = CASE WHEN %(is_stored)s THEN %(first_sequence)s ELSE read_sequence END,
        read_met = CASE WHEN %(is_stored)s THEN %(met)s ELSE read_met END,
        fingerprint = CASE WHEN %(is_stored)s THEN %(stored)s ELSE fingerprint END,
        validators = CASE WHEN %(is_stored)s THEN %(validators)s::jsonb ELSE validators END,
        judged_read = %(number)s, judged_fingerprint = %(judged)s,
        accepted_read = CASE WHEN %(is_baseline)s THEN %(number)s ELSE accepted_read END,
        watermark = CASE
            WHEN NOT %(moves)s THEN watermark
            WHEN %(is_kept)s THEN greatest(watermark, %(newest)s::timestamptz)
            ELSE %(newest)s::timestamptz
        END,
        watermark_of = CASE WHEN %(moves)s THEN %(watermark_of)s ELSE watermark_of END
    WHERE source = %(source)s AND epoch = %(epoch)s
"""
_FOUND_UNCHANGED = """,
        validators = %(validators)s, judged_read = CASE WHEN %(is_stored)s THEN accepted_read ELSE judged_read END,
        judged_fingerprint = %(judged)s
"""

FILE = "file"
"""The key in the cursor that names the file, if the source has several: two of them may have the same content."""

REMOVED = "removed"
"""The key in the cursor of a read that removes what it lacked. Its reader has finished and ignores it."""

REPEATED = "repeated"
"""The key in the cursor that counts the accepted records whose id the read had accepted before."""


NEWEST = "newest"
"""The key in the cursor for the latest change among the records of an open read: the watermark after its end."""

BEGUN = "begun"
"""The key in the cursor for the time at which the read of a source with `since` began."""


@dataclass(frozen=True, slots=True)
class Watermark:
    """Up to which change a source is read: the latest that the read has met. `of` is what it belongs to.

    `is_kept`: a watermark that is later stays, because the read began at it.
    """

    of: str
    newest: datetime | None
    is_kept: bool


@dataclass(frozen=True, slots=True)
class Read:
    """One pass over a source's content and its progress. Each batch returns the next state.

    `is_begun`: a batch of it has landed. `cursor` is the place after that batch. `seen` counts its records so far,
    `quarantined` the refused ones, `waiting` those among them that only wait for a row, `met` the stored records met,
    and `shape` all records observed, in any run.
    `replaces_open`: batches of another read that did not end have landed before it.
    `first_sequence` is the source's sequence when the read began. `file` is the name of its file if the source has
    several.
    """

    number: int
    fingerprint: str
    is_full: bool
    is_begun: bool
    cursor: Cursor | None
    first_sequence: int
    quarantined: int
    batch_number: int
    seen: int = 0
    waiting: int = 0
    met: int = 0
    shape: Shape = field(default_factory=Shape)
    replaces_open: bool = False
    file: str = ""

    @property
    def content(self) -> str:
        """The hash of only the content."""
        return self.fingerprint.partition(":")[2]

    @property
    def broken(self) -> int:
        """How many of the refused records wait for no row."""
        return self.quarantined - self.waiting

    @property
    def repeated(self) -> int:
        """How many of its accepted records had an id that it had accepted before, in any run."""
        return int((self.cursor or {}).get(REPEATED, 0))

    @property
    def removed(self) -> int:
        """How many records it has removed so far, in any run."""
        return int((self.cursor or {}).get(REMOVED, 0))

    @property
    def newest(self) -> datetime | None:
        """The latest change among its records so far, in any run, that is not later than its beginning."""
        return self._find_time(NEWEST)

    @property
    def begun(self) -> datetime | None:
        """When it began to ask a source with `since`; None before its first batch."""
        return self._find_time(BEGUN)

    def _find_time(self, key: str) -> datetime | None:
        text = (self.cursor or {}).get(key)
        return datetime.fromisoformat(text) if text else None


def find_open_file(checkpoint: Checkpoint) -> str | None:
    """Return the name of the file whose read is open; empty if the source has one file, None without an open read."""
    return str((checkpoint.cursor or {}).get(FILE, "")) if checkpoint.is_reading else None


def choose_read(checkpoint: Checkpoint, fingerprint: str, *, is_full: bool, file: str = "") -> Read:
    """Return the open read if it has the same content, otherwise a new one. A full read replaces an open plain one."""
    is_same = find_open_file(checkpoint) == file and checkpoint.read_fingerprint == fingerprint
    if is_same and (checkpoint.is_full_read or not is_full):
        return Read(
            number=checkpoint.read_number,
            fingerprint=fingerprint,
            is_full=checkpoint.is_full_read,
            is_begun=True,
            cursor=checkpoint.cursor,
            first_sequence=checkpoint.read_sequence,
            quarantined=checkpoint.read_quarantined,
            batch_number=checkpoint.batch_number,
            seen=checkpoint.read_seen,
            waiting=checkpoint.read_waiting,
            met=checkpoint.read_met,
            shape=Shape.from_json(checkpoint.read_shape),
            file=file,
        )
    return Read(
        number=checkpoint.read_number + 1,
        fingerprint=fingerprint,
        is_full=is_full,
        is_begun=False,
        cursor=None,
        first_sequence=checkpoint.sequence,
        quarantined=0,
        batch_number=checkpoint.batch_number,
        replaces_open=checkpoint.is_reading,
        file=file,
    )


@dataclass(frozen=True, slots=True)
class ReadEnd:
    """How a read has ended. All of it is stored in the transaction that closes the run.

    `refusals` are refused records of a read that failed before its first batch. `is_whole`: its end is proven, and it
    has all of one content. `is_delta`: it has only what has changed. `is_window`: only what an operator asked for,
    with which no later read is compared. `watermark` is moved if the read is accepted.
    """

    read: Read
    kind: SourceKind
    validators: Mapping[str, str]
    is_proven: bool
    is_whole: bool
    is_complete: bool
    outcome: ReadOutcome
    verdict: Verdict = ()
    refusals: Sequence[Refusal] = ()
    is_delta: bool = False
    is_window: bool = False
    watermark: Watermark | None = None
    contract: type[Contract] = Contract

    @property
    def is_accepted(self) -> bool:
        return self.outcome is ReadOutcome.ACCEPTED


@dataclass(frozen=True, slots=True)
class UnchangedEnd:
    """The content has been judged before. `is_stored`: it is the content that was accepted, and that is stored."""

    fingerprint: str
    validators: Mapping[str, str]
    is_stored: bool


@dataclass(frozen=True, slots=True)
class FilesEnd:
    """Every file that the source's pattern has found is done. `names` are their names.

    `judged_read`: the read that stands for them all, the first with a verdict; None if they are all fine.
    """

    names: Sequence[str]
    judged_read: int | None


def end_read(cursor: Any, claim: Claim, end: ReadEnd) -> None:
    """Close the read in the transaction that closes the run, and store what the next ones are compared with.

    After an accepted read the stored records are those of its content. After another read that landed batches, they
    are of no single content; if it landed no batch, they are those of the former content.
    """
    read, watermark = end.read, end.watermark
    is_kept_content = end.is_accepted and not end.is_window
    values = {
        "number": read.number,
        "is_stored": is_kept_content or read.is_begun or read.replaces_open,
        "first_sequence": read.first_sequence,
        "met": read.met,
        "stored": read.fingerprint if is_kept_content and end.is_proven else "",
        "validators": json.dumps(dict(end.validators) if is_kept_content and end.is_proven else {}),
        "judged": read.fingerprint if end.is_proven and not end.is_window else "",
        "is_baseline": end.is_accepted and end.is_whole,
        "moves": watermark is not None and end.is_accepted and end.is_proven,
        "newest": watermark.newest if watermark is not None else None,
        "is_kept": watermark is not None and watermark.is_kept,
        "watermark_of": watermark.of if watermark is not None else "",
    }
    cursor.execute(_END_READ, {"source": claim.source, "epoch": claim.epoch, **values})


def end_files(cursor: Any, claim: Claim, end: FilesEnd) -> None:
    """Note the verdict on a source of several files, in the transaction that closes the run."""
    cursor.execute(
        "UPDATE ingestion_checkpoints SET judged_read = %s, judged_fingerprint = '', validators = '{}'"
        " WHERE source = %s AND epoch = %s",
        [end.judged_read, claim.source, claim.epoch],
    )


def take_as_baseline(cursor: Any, source: str, number: int) -> None:
    """Compare the next reads with this one, and read its content again. The checkpoint must be locked."""
    cursor.execute(
        "UPDATE ingestion_checkpoints SET accepted_read = %s, fingerprint = '', validators = '{}',"
        " judged_fingerprint = '' WHERE source = %s",
        [number, source],
    )


def note_unchanged(end: UnchangedEnd) -> Also:
    """Return what notes that the content has been found unchanged, when the run releases the source."""
    values = {
        "validators": json.dumps(dict(end.validators)),
        "is_stored": end.is_stored,
        "judged": end.fingerprint,
    }
    return Also(_FOUND_UNCHANGED, values)
