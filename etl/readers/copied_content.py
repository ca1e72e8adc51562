"""What all contents have in common that are read from a local copy, and the content that has no record."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from etl.local_copy import LocalCopy
from etl.readers.lookalikes import HEAD_BYTES
from etl.records import Chunk, Cursor


class CopiedContent:
    """A content whose bytes are those of `copy`."""

    __slots__ = ()
    copy: LocalCopy

    @property
    def fingerprint(self) -> str:
        return self.copy.fingerprint

    @property
    def size(self) -> int:
        return self.copy.size

    @property
    def file(self) -> str:
        return self.copy.name

    def read_head(self) -> bytes:
        return self.copy.read_head(HEAD_BYTES)


@dataclass(frozen=True, slots=True)
class EmptyContent(CopiedContent):
    """The content of a response whose status says that there is nothing, such as 204."""

    copy: LocalCopy
    validators: Mapping[str, str] = field(default_factory=dict)
    is_proven: bool = True

    def describe_lookalike(self) -> str:
        return ""

    def find_columns(self) -> None:
        return None

    def read(self, cursor: Cursor | None, batch_size: int) -> Iterator[Chunk]:
        return iter(())
