"""What a dialect is: the format of a file or of a body."""

from collections.abc import Mapping
from typing import Any, Protocol

from etl.contracts.forms import Form
from etl.local_copy import LocalCopy
from etl.readers.content import Content
from etl.readers.source import Source
from etl.records import Record, Refusal, StoredRefusal
from etl.vocabulary import SourceKind


class Dialect(Protocol):
    """The format of a file: how to read its records, and how its values are written. Instances don't change."""

    @property
    def kind(self) -> SourceKind:
        """Which table keeps the raw records."""

    @property
    def form(self) -> Form:
        """How the values are written."""

    @property
    def has_siblings(self) -> bool:
        """Whether there are values next to the records, which may name a next page."""

    def describe(self) -> Mapping[str, Any]:
        """Return its options that are not the defaults, for the source's digest."""

    def open(
        self, copy: LocalCopy, source: Source, *, validators: Mapping[str, str] | None = None, is_proven: bool = True
    ) -> Content:
        """Return the content of this copy. Raises SourceError if it is of another format."""

    def looks_cut(self, copy: LocalCopy) -> bool:
        """Whether the content ends in the middle, so that it is worth asking the server again."""

    def proves_end(self, copy: LocalCopy) -> bool:
        """Whether the content itself shows that it is complete."""

    def revive(self, stored: StoredRefusal) -> Record | Refusal | None:
        """Read a refused record again for a replay; None if too little of it was kept."""
