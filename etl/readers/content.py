"""A source's content while it is read: opened, in chunks of records, with a cursor after each."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from etl.exceptions import SourceError
from etl.http.since import ALL, Bounds
from etl.readers.single_records import make_chunk
from etl.records import Chunk, Cursor, Record, Refusal

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
MAX_RECORD_BYTES = 1 << 20
"""A longer record is refused: in CSV its cause is nearly always a quote that is never closed."""


@dataclass(frozen=True, slots=True)
class Opening:
    """The server's validators from the last finished read, for a conditional request; empty to force a body.

    `open_read`: the fingerprint of an interrupted read of this source, which may be resumed; otherwise empty.
    `bounds`: the times between which the records have changed that are asked for.
    """

    validators: Mapping[str, str] = field(default_factory=dict)
    open_read: str = ""
    bounds: Bounds = ALL


FIRST_RECORDS = 1000
"""The number of records that are read twice: a run judges them before it lands any."""

CHUNK_BYTES = 4 << 20
"""A chunk ends at this size even with fewer records than a batch may have: wide records must not fill the memory."""


def gather_chunks(
    items: Iterable[Record | Refusal], batch_size: int, describe_cursor: Callable[[int], Cursor]
) -> Iterator[Chunk]:
    """Yield the items in chunks of at most `batch_size`. Items before a SourceError are valid and are yielded first.

    `describe_cursor` takes the position of the last item taken and returns the cursor after that item.
    """
    gathered: list[Record | Refusal] = []
    size = 0
    try:
        for item in items:
            gathered.append(item)
            size += len(item.original) if isinstance(item, Record) else len(item.original.head)
            if len(gathered) == batch_size or size >= CHUNK_BYTES:
                size = 0
                yield _empty(gathered, describe_cursor)
    except SourceError:
        if gathered:
            yield _empty(gathered, describe_cursor)
        raise
    if gathered:
        yield _empty(gathered, describe_cursor)


def _empty(gathered: list[Record | Refusal], describe_cursor: Callable[[int], Cursor]) -> Chunk:
    """Move the items into a chunk."""
    chunk = make_chunk(gathered, describe_cursor(gathered[-1].position))
    gathered.clear()
    return chunk


class Content(Protocol):
    """A source's content. It can't change while it is read, unless it is asked for page by page (walk.py).

    `fingerprint` is a hash of its bytes; `validators` are for the next conditional GET; `size` is in bytes. Its end
    `is_proven`, or records after it may be missing.
    """

    @property
    def fingerprint(self) -> str: ...
    @property
    def validators(self) -> Mapping[str, str]: ...
    @property
    def size(self) -> int: ...
    @property
    def file(self) -> str:
        """The name of the file, if its source has several."""

    @property
    def is_proven(self) -> bool:
        """Whether its end is proven."""

    def read_head(self) -> bytes:
        """Return its first bytes, at most lookalikes.HEAD_BYTES. Raises SourceError if a server has to be asked."""

    def describe_lookalike(self) -> str:
        """Say what its first bytes look like, or return an empty string if they look as its source declares."""

    def find_columns(self) -> Sequence[str] | None:
        """Return the names of its columns; None if each record names its own fields. Raises SourceError."""

    def read(self, cursor: Cursor | None, batch_size: int) -> Iterator[Chunk]:
        """Yield chunks of at most `batch_size` items, starting after the cursor. A cursor's `offset` counts bytes."""


@dataclass(frozen=True, slots=True)
class OpenedFile:
    """A file of a source that has several. `stamp` shows whether it has changed; empty if that can't be seen yet."""

    content: Content
    stamp: str
