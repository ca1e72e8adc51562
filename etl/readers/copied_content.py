"""What all contents have in common that are read from a local copy."""

from etl.local_copy import LocalCopy
from etl.readers.lookalikes import HEAD_BYTES


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
