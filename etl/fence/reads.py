"""A read of a source's content: started or resumed from its checkpoint, and ended."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from etl.drift import Shape
from etl.fence.claims import Claim
from etl.models import Checkpoint
from etl.records import Cursor

_END_READ = """
    UPDATE ingestion_checkpoints
    SET is_reading = false, is_full_read = false, read_fingerprint = '', read_quarantined = 0, read_shape = NULL,
        cursor = NULL, fingerprint = %(fingerprint)s, validators = %(validators)s
    WHERE source = %(source)s AND epoch = %(epoch)s
"""

REMOVED = "removed"
"""The key in the cursor of a read that removes what it lacked. Its reader has finished and ignores it."""


@dataclass(frozen=True, slots=True)
class Read:
    """One pass over a source's content and its progress. Each batch returns the next state.

    `is_begun`: a batch of it has landed. `cursor` is the place after that batch. `quarantined` counts the records
    refused so far, `met` the stored records met so far, and `shape` all records observed so far, in any run.
    `first_sequence` is the source's sequence when the read began.
    """

    number: int
    fingerprint: str
    is_full: bool
    is_begun: bool
    cursor: Cursor | None
    first_sequence: int
    quarantined: int
    batch_number: int
    met: int = 0
    shape: Shape = field(default_factory=Shape)

    @property
    def removed(self) -> int:
        """How many records it has removed so far, in any run."""
        return int((self.cursor or {}).get(REMOVED, 0))


def choose_read(checkpoint: Checkpoint, fingerprint: str, *, is_full: bool) -> Read:
    """Return the open read if it has the same content, otherwise a new one. A full read replaces an open plain one."""
    is_same = checkpoint.is_reading and checkpoint.read_fingerprint == fingerprint
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
            met=checkpoint.read_met,
            shape=Shape.from_json(checkpoint.read_shape),
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
    )


def end_read(cursor: Any, claim: Claim, *, fingerprint: str, validators: Mapping[str, str]) -> None:
    """Close the read, and store its content's fingerprint and validators, in the transaction that closes the run."""
    values = {"fingerprint": fingerprint, "validators": json.dumps(dict(validators))}
    cursor.execute(_END_READ, {"source": claim.source, "epoch": claim.epoch, **values})
