"""Prepares a read's batches: reads, observes the shape and judges. It needs no database and no network."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from etl.drift import Shape, find_maps
from etl.judgement import Judge
from etl.readers.backward import read_backward
from etl.readers.content import Content
from etl.readers.source import Source
from etl.records import Chunk, Cursor, Judged
from etl.seen_ids import SeenIds


@dataclass(frozen=True, slots=True)
class Prepared:
    """A batch before it is compared with the stored records.

    `seen` is the number of its records. `shape` also counts all earlier records of the read, and `cursor` is the place
    after the batch. `newest` is the latest change among its records, refused ones included.
    """

    judged: Judged
    seen: int
    shape: Shape
    cursor: Cursor
    newest: datetime | None = None


def prepare(
    source: Source,
    content: Content,
    cursor: Cursor | None,
    shape: Shape,
    batch_size: int,
    *,
    seen_ids: SeenIds | None = None,
    begun: datetime | None = None,
) -> Iterator[Prepared]:
    """Yield the batches of the content from the cursor on; `shape` counts the records before it. Raises SourceError.

    `seen_ids` are the ids of the records before the cursor, with which ids that the read meets again are found; None if
    they need not be. `begun`: find the latest change that is not later than this time; None if the source has no
    `since`.
    """
    preparation = _Preparation(source, content.file, shape, seen_ids, begun)
    # A loop would keep each chunk until the next one is read.
    yield from map(preparation.prepare, read_chunks(source, content, cursor, batch_size))


def read_chunks(source: Source, content: Content, cursor: Cursor | None, batch_size: int) -> Iterator[Chunk]:
    """Yield the records of the batches from the cursor on, which nothing judges."""
    read = content.read if source.keep == "first" else partial(read_backward, content)
    yield from read(cursor, batch_size)


class _Preparation:
    def __init__(
        self, source: Source, file: str, shape: Shape, seen_ids: SeenIds | None, begun: datetime | None
    ) -> None:
        self.source, self.begun = source, begun
        self.judge, self.is_lexical = Judge(source, file), source.form.is_file
        self.maps = find_maps(source.contract)
        self.shape, self.seen_ids = shape, seen_ids

    def prepare(self, chunk: Chunk) -> Prepared:
        # The shape includes records that the contract refuses.
        self.shape = self.shape.observe_slices(chunk.slices, is_lexical=self.is_lexical, maps=self.maps)
        judged = self.judge.judge_chunk(chunk)
        if self.seen_ids is not None:
            judged.repeats = self.seen_ids.add(judged.external_ids)
        seen = sum(map(len, chunk.slices)) + len(chunk.refusals)
        return Prepared(judged, seen, self.shape, chunk.cursor, self._find_newest(chunk))

    def _find_newest(self, chunk: Chunk) -> datetime | None:
        begun = self.begun
        if begun is None:
            return None
        records = (part.make_record(index) for part in chunk.slices for index in range(len(part)))
        times = (self.source.find_change_time(record.values) for record in records)
        return max((time for time in times if time is not None and time <= begun), default=None)
