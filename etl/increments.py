"""Increments: what a run asks a source for, and up to which time a source is read once its read has ended.

A watermark belongs to a contract and to what is asked for: with any other, the source is read from its start again.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from etl.clock import as_utc
from etl.exceptions import SourceError
from etl.fence.reads import BEGUN, NEWEST, Read, Watermark
from etl.http.since import ALL, Bounds
from etl.readers.source import Source
from etl.runs.starting import Started


@dataclass(frozen=True, slots=True)
class Increment:
    """What a run asks its source for: the records within these bounds. The default is a source without `since`.

    `digest` is what its watermark belongs to. `is_known`: the stored watermark does. `is_window`: the bounds are those
    of an operator, so the watermark stays. `follows`: the bounds begin at the stored watermark.
    """

    bounds: Bounds = ALL
    digest: str = ""
    is_known: bool = True
    is_window: bool = False
    follows: bool = False

    @property
    def is_delta(self) -> bool:
        """Whether the source sends only a part of its records, so that others can't be missed."""
        return self.bounds != ALL

    def end(self, read: Read) -> Watermark | None:
        """Return the watermark after this read, if it is accepted; None if it stays as it is."""
        if self.is_window:
            return None
        return Watermark(self.digest, read.newest, is_kept=self.follows)


EVERYTHING = Increment()


def choose_increment(source: Source, started: Started) -> Increment:
    """Choose what the run asks for: a window, what has changed since the watermark, or everything.

    An interrupted read that the run resumes was chosen from the same checkpoint, so it goes on with the same bounds.
    Raises SourceError.
    """
    checkpoint, since = started.checkpoint, source.since
    if since is None:
        if started.window is not None:
            raise SourceError(f"{source.name} declares no `since`, so no window of it can be fetched.")
        return EVERYTHING
    digest = _digest(source)
    if started.window is not None:
        return Increment(started.window, digest, is_window=True)
    is_full = started.is_full or (checkpoint.is_reading and checkpoint.is_full_read)
    is_known = checkpoint.watermark_of == digest
    watermark = checkpoint.watermark if is_known and not is_full else None
    bounds = Bounds(since.choose_since(as_utc(watermark) if watermark is not None else None))
    return Increment(bounds, digest, is_known=is_known, follows=watermark is not None)


def find_beginning(read: Read, started: Started) -> datetime:
    """Return when the read began to ask its source, in any run. A record that claims a later change moves nothing."""
    assert started.run.started_at is not None
    return read.begun or as_utc(started.run.started_at)


def note_newest(read: Read, newest: datetime | None, begun: datetime) -> Mapping[str, str]:
    """Return what the cursor after a batch keeps for the watermark; `newest` is the latest change within the batch."""
    times = [time for time in (read.newest, newest) if time is not None]
    return {BEGUN: begun.isoformat()} | ({NEWEST: max(times).isoformat()} if times else {})


def _digest(source: Source) -> str:
    since = source.since
    described = [source.digest(), source.describe_query(), since.of if since is not None else ""]
    return hashlib.sha256(json.dumps(described).encode()).hexdigest()[:16]
