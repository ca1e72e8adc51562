"""Takes a sample of the data at a path or an address, unpacked, in the way in which a source would read it."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from etl.contracts.contract import Contract
from etl.contracts.forms import FILE_FORM, Form
from etl.exceptions import SourceError
from etl.local_copy import LocalCopy
from etl.read_context import ReadContext
from etl.readers.content import Content, Opening
from etl.readers.file_source import FileSource
from etl.readers.lookalikes import HEAD_BYTES
from etl.readers.source import Source
from etl.records import Chunk, Cursor, Record, Refusal, StoredRefusal
from etl.vocabulary import SourceKind

SAMPLE_BYTES = 8 << 20
"""How much of the data is looked at."""


@dataclass(slots=True)
class Sample:
    """The beginning of the data. `is_all`: there is no more of it."""

    data: bytes = b""
    is_all: bool = True


@dataclass(frozen=True, slots=True)
class Kept:
    """A content that is only looked at."""

    sample: Sample
    fingerprint: str = ""
    validators: Mapping[str, str] = field(default_factory=dict)
    size: int = 0
    file: str = ""
    is_proven: bool = True

    def read_head(self) -> bytes:
        return self.sample.data[:HEAD_BYTES]

    def describe_lookalike(self) -> str:
        return ""

    def find_columns(self) -> Sequence[str] | None:
        return None

    def read(self, cursor: Cursor | None, batch_size: int) -> Iterator[Chunk]:
        return iter(())


@dataclass(frozen=True, slots=True)
class _AnyFormat:
    """Takes the bytes of any file, and at an address of JSON too, which is refused where a table is expected."""

    kind: SourceKind = SourceKind.THIRD
    form: Form = FILE_FORM
    has_siblings: bool = False

    def describe(self) -> Mapping[str, Any]:
        return {}

    def open(
        self, copy: LocalCopy, source: Source, *, validators: Mapping[str, str] | None = None, is_proven: bool = True
    ) -> Content:
        data = copy.read_head(SAMPLE_BYTES)
        return Kept(Sample(data, is_all=len(data) == copy.size))

    def looks_cut(self, copy: LocalCopy) -> bool:
        return False

    def proves_end(self, copy: LocalCopy) -> bool:
        return True

    def revive(self, stored: StoredRefusal) -> Record | Refusal | None:
        return None


class _Sampled(FileSource):
    every = timedelta(hours=1)
    contract = Contract
    dialect = _AnyFormat()
    whole = "unproven"

    def __init__(self, path: str) -> None:
        self.name, self.path = "sample", path


def take_sample(path: str, context: ReadContext) -> Sample:
    """Return the beginning of the data at a path or address. Raises SourceError."""
    opened: AbstractContextManager[Any] = _Sampled(path).open(Opening(), context)
    with opened as content:
        if not isinstance(content, Kept):
            raise SourceError(f"Nothing can be read at {path}.")
        return content.sample
