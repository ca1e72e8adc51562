"""Chooses where content is read: large content in a reading process, the rest, and what that can't read, here.

While a reading process starts, which takes half a second, the run prepares the first batches itself.
"""

import inspect
import logging
from collections.abc import Generator, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from etl.conf import conf
from etl.drift import Shape
from etl.preparation import Prepared, prepare, read_chunks
from etl.readers.content import Content
from etl.readers.source import Source
from etl.reading_process.messages import Order, Position
from etl.reading_process.process import ProcessLost, ReadingProcess, RemoteLines
from etl.records import Cursor, Judged, Lines, Record, WrittenLines
from etl.seen_ids import pack, recall

logger = logging.getLogger(__name__)

MOST_ID_BYTES = 4 << 20
"""A run holds no more ids than this for its reading process, which may never be ready."""


class Run(Protocol):
    """What a read in another process needs from its run."""

    def shield(self) -> AbstractContextManager[None]:
        """Let the block finish before an interruption is raised."""

    def raise_if_over(self) -> None:
        """Raise the error that ends the run, if there is one."""

    def note_retry(self, message: str) -> None:
        """Log a retry, and store it as an event of the run."""


@contextmanager
def preparing(
    source: Source,
    content: Content,
    cursor: Cursor | None,
    shape: Shape,
    *,
    run: Run,
    finds_repeats: bool = False,
    begun: datetime | None = None,
) -> Iterator[Iterator[Prepared]]:
    """Provide what `prepare` yields, in batches of ETL_BATCH_SIZE. After the block no reading process is left.

    At most two batches are in memory: the one yielded last, and the next one in the reading process. A batch that is
    yielded is one that has landed when the next is asked for, so its cursor is enough to continue in another process.
    `finds_repeats`: find the ids that the read meets again, which takes 8 MiB. In a resumed read, only the database
    knows all ids.
    """
    read = _Read(
        source,
        content,
        run,
        cursor=cursor,
        shape=shape,
        begun=begun,
        finds_repeats=finds_repeats,
        earlier_ids=[] if finds_repeats and cursor is None else None,
    )
    with closing(read.prepare()) as batches:
        yield batches


@dataclass(slots=True)
class _Read:
    """A read, and how far it has got: `cursor` and `shape`.

    `earlier_ids` are the packed ids of each batch that the run has prepared itself; None if repeats are not found.
    """

    source: Source
    content: Content
    run: Run
    cursor: Cursor | None
    shape: Shape
    begun: datetime | None
    finds_repeats: bool
    earlier_ids: list[bytes] | None

    def prepare(self) -> Generator[Prepared, None, None]:
        while self._is_long():
            has_progressed = False
            process = None
            try:
                with self.run.shield():
                    process = self._start()
                if process is None:
                    break
                if (yield from self._prepare_while_it_starts(process)):
                    return
                process.begin(Position(self.cursor, self.shape, self.earlier_ids), self.run.raise_if_over)
                for prepared in process.receive(self.run.raise_if_over):
                    self._secure_lines(prepared.judged)
                    yield prepared
                    self.cursor, self.shape, has_progressed = prepared.cursor, prepared.shape, True
                    self.earlier_ids = None
                    del prepared
                return
            except ProcessLost as loss:
                is_worth_another = has_progressed or loss.is_due_to_run
                self.run.raise_if_over()
                next_step = "Another one continues" if is_worth_another else "The run reads on without it"
                self.run.note_retry(f"{loss} {next_step}.")
                if not is_worth_another:
                    break
            finally:
                if process is not None:
                    with self.run.shield():
                        process.end()
        yield from self._prepare_here()

    def _prepare_while_it_starts(self, process: ReadingProcess) -> Generator[Prepared, None, bool]:
        """Prepare batches until the process is ready. Return whether the content is at its end.

        A read from the end first scans the whole content, which only one of both should do.
        """
        if conf.ETL_READING_PROCESS_BYTES == 0 or self.source.keep == "last":
            return False
        with closing(self._prepare_here()) as batches:
            for prepared in batches:
                self._note_ids(prepared.judged.external_ids)
                yield prepared
                self.cursor, self.shape = prepared.cursor, prepared.shape
                del prepared
                if process.has_answered():
                    return False
        return True

    def _note_ids(self, ids: Sequence[str]) -> None:
        """Remember the ids of a batch for the process. If there are too many, it lets the database find repeats."""
        if self.earlier_ids is not None:
            self.earlier_ids.append(pack(ids))
            if sum(map(len, self.earlier_ids)) > MOST_ID_BYTES:
                self.earlier_ids = None

    def _prepare_here(self) -> Generator[Prepared, None, None]:
        yield from prepare(
            self.source,
            self.content,
            self.cursor,
            self.shape,
            conf.ETL_BATCH_SIZE,
            seen_ids=recall(self.earlier_ids),
            begun=self.begun,
        )

    def _is_long(self) -> bool:
        least = conf.ETL_READING_PROCESS_BYTES
        return least is not None and self.content.size - (self.cursor or {}).get("offset", 0) >= least

    def _start(self) -> ReadingProcess | None:
        """Start a reading process. Returns None if it can't be started, or can't be given this source or content."""
        source = self.source
        made_of = _choose_origin(source)
        if made_of is None:
            return None
        level = logging.getLogger().getEffectiveLevel()
        order = Order(
            made_of, source.digest(), self.content, conf.ETL_BATCH_SIZE, self.finds_repeats, level, self.begun
        )
        try:
            return ReadingProcess(order, conf.ETL_LEASE_SECONDS)
        except OSError as error:
            logger.warning("%s is read without a reading process, which can't be started: %s", source.name, error)
        except Exception as error:  # noqa: BLE001  (pickle raises anything)
            text = "%s can't be sent to a reading process (%s). It is read without one, which takes longer."
            logger.info(text, source.name, error)
        return None

    def _secure_lines(self, judged: Judged) -> None:
        """Let the lines outlive the process that has withheld them."""
        if isinstance(judged.lines, RemoteLines) or self.source.into is not None:
            judged.lines = _LinesInAnyCase(
                judged.lines, self.source, self.content, self.cursor, self.shape, judged.places
            )


@dataclass(frozen=True, slots=True)
class _LinesInAnyCase:
    """The lines of a batch: from the reading process, or if that is lost, from the same batch prepared again here.

    The records themselves are always made here: only few are needed, those that a target refuses. `places` are the
    positions of all of them.
    """

    remote: Lines
    source: Source
    content: Content
    cursor: Cursor | None
    shape: Shape
    places: Sequence[int]

    def write(self, rows: Sequence[int]) -> WrittenLines:
        try:
            return self.remote.write(rows)
        except ProcessLost:  # noted when the next batch is asked for
            return self._prepare_again().write(rows)

    def make_records(self, rows: Sequence[int]) -> list[Record]:
        """Return these records as they were sent: read again, but not judged again."""
        wanted = [self.places[row] for row in rows]
        some = frozenset(wanted)
        chunk = next(read_chunks(self.source, self.content, self.cursor, conf.ETL_BATCH_SIZE))
        found = {
            place: part.make_record(index)
            for part in chunk.slices
            for index, place in enumerate(part.list_places())
            if place in some
        }
        return [found[place] for place in wanted]

    def write_again(self, rows: Sequence[int]) -> WrittenLines:
        """Write lines after the reading process has been asked, which it can be only once."""
        return self._prepare_again().write(rows)

    def _prepare_again(self) -> Lines:
        again = prepare(self.source, self.content, self.cursor, self.shape, conf.ETL_BATCH_SIZE)
        return next(again).judged.lines


def _choose_origin(source: Source) -> type[Source] | Source | None:
    """Return what another process can make the same source of: its class, or itself if it was made with arguments."""
    kind = type(source)
    if kind.__module__ == "__main__":
        return None
    if inspect.signature(kind).parameters:
        return source
    return kind if kind.__init__ is not object.__init__ or not vars(source) else source
