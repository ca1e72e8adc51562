"""The pages of a walk, one after the other, gathered into chunks. Asking for a page is another module's work.

A chunk is whole pages, or a part of one that is larger than a batch. It ends when it has as many records as a batch, or
after COMMIT_SECONDS. Its cursor names the page to ask for next.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from etl.conf import conf
from etl.exceptions import HandedOver, SourceError
from etl.http.circles import CircleGuard
from etl.http.pages import FIRST, State
from etl.readers.content import CHUNK_BYTES
from etl.readers.single_records import make_chunk
from etl.records import Chunk, Cursor, Record, Refusal
from etl.vocabulary import Reason

Item = Record | Refusal
COMMIT_SECONDS = 30
"""A chunk ends after this time with whole pages, even if there is room for more: slow pages must not be asked twice."""
MOST_ASKED_AGAIN = 10
"""How many of its first pages a walk by number asks for again at most."""


@dataclass(frozen=True, slots=True)
class Place:
    """A place in a walk: before the record `index` of a page; `position` records come before it in the walk.

    `state` is None after the last page. `former` is the hash of the page before this one. `total` is the number of all
    records that the server has named last, and it `fell` if it was larger before. `firsts` identify the first records
    of the pages after the first one, as far as those are asked for again.
    """

    state: State | None = field(default_factory=lambda: FIRST)
    index: int = 0
    position: int = 0
    pages: int = 0
    former: str = ""
    guard: Mapping[str, Any] = field(default_factory=dict)
    total: int | None = None
    fell: bool = False
    firsts: Sequence[str] = ()

    @classmethod
    def of(cls, cursor: Cursor | None) -> "Place":
        return cls(**{name: cursor[name] for name in cls.__slots__ if name in cursor}) if cursor is not None else cls()

    def as_cursor(self) -> Cursor:
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class PageRead:
    """A page that was read: its records, its bytes' beginning, number and hash, and the state of the page after it.

    `lookalike` and `columns` are what its content says of itself. `total`: the number of all records, if it names one.
    `first` identifies its first record.
    """

    items: Sequence[Item]
    head: bytes
    size: int
    fingerprint: str
    following: State | None
    lookalike: str
    columns: Sequence[str] | None
    total: int | None = None
    first: str = ""


@dataclass(frozen=True, slots=True)
class Server:
    """How the server of a walk is asked: for a page, and for the detail of an element if details are the records.

    `location` is its address for messages. `pause` may raise HandedOver. It is called when records are gathered, which
    then land before the end.
    """

    location: str
    ask: Callable[[Place], PageRead]
    pause: Callable[[], None]
    ask_detail: Callable[[Place, Item], Item] | None = None


class Reading:
    """The pages from a place on, gathered into chunks of at most `batch_size` records."""

    def __init__(self, server: Server, place: Place, batch_size: int) -> None:
        self.server, self.place, self.batch_size = server, place, batch_size
        self.gathered: list[Item] = []
        self.size = 0
        self.began = time.monotonic()

    def read_chunks(self) -> Iterator[Chunk]:
        try:
            while self.place.state is not None:
                if self.gathered:
                    self.server.pause()
                if self.gathered and time.monotonic() - self.began > COMMIT_SECONDS:
                    yield self._finish()
                yield from self._add_page(self._read_page())
        except (SourceError, HandedOver):
            if self.gathered:
                yield self._finish()
            raise
        if self.gathered:
            yield self._finish()

    def _read_page(self) -> PageRead:
        if self.place.pages >= conf.ETL_HTTP_MAX_PAGES:
            raise self._report(f"it has more than {conf.ETL_HTTP_MAX_PAGES} pages (ETL_HTTP_MAX_PAGES)")
        page = self.server.ask(self.place)
        if page.items and not self.place.index and page.fingerprint == self.place.former:
            raise self._report("two consecutive pages are the same")
        return page

    def _add_page(self, page: PageRead) -> Iterator[Chunk]:
        """Take the page's records, and yield chunks that are full."""
        if self.server.ask_detail is not None:
            yield from self._add_details(self.server.ask_detail, page)
            return
        rest = page.items[self.place.index :]
        if self.gathered and (len(self.gathered) + len(rest) > self.batch_size or self.size + page.size > CHUNK_BYTES):
            yield self._finish()
        while len(rest) > self.batch_size:
            self._take(rest[: self.batch_size])
            rest = rest[self.batch_size :]
            yield self._finish()
        self._take(rest)
        self.size += page.size
        self.place = self._go_on(page)
        if len(self.gathered) == self.batch_size:
            yield self._finish()

    def _add_details(self, ask_detail: Callable[[Place, Item], Item], page: PageRead) -> Iterator[Chunk]:
        """Ask for the detail of each element of the page, and yield chunks that are full or have taken long."""
        elements = page.items[self.place.index :]
        for element in elements:
            if self.gathered:
                self.server.pause()
            detail = ask_detail(self.place, element)
            self._take([detail])
            self.size += measure(detail)
            if self.place.index >= len(page.items):
                self.place = self._go_on(page)
            is_full = len(self.gathered) == self.batch_size or self.size >= CHUNK_BYTES
            if is_full or time.monotonic() - self.began > COMMIT_SECONDS:
                yield self._finish()
        if not elements:
            self.place = self._go_on(page)

    def _take(self, items: Sequence[Item]) -> None:
        first = self.place.position + 1
        self.gathered += [replace(item, position=first + number) for number, item in enumerate(items)]
        self.place = replace(self.place, index=self.place.index + len(items), position=self.place.position + len(items))

    def _go_on(self, page: PageRead) -> Place:
        place, guard = self.place, CircleGuard.of(self.place.guard)
        if page.following is not None and guard.closes(page.following):
            raise self._report("its pages go in a circle: it comes back to a page that was read before")
        is_noted = page.items and 0 < place.pages <= MOST_ASKED_AGAIN
        return Place(
            state=page.following,
            position=place.position,
            pages=place.pages + 1,
            former=page.fingerprint,
            guard=guard.as_json(),
            total=place.total if page.total is None else page.total,
            fell=place.fell or has_fallen(place.total, page.total),
            firsts=[*place.firsts, page.first] if is_noted else place.firsts,
        )

    def _finish(self) -> Chunk:
        chunk = make_chunk(self.gathered, self.place.as_cursor())
        self.gathered, self.size, self.began = [], 0, time.monotonic()
        return chunk

    def _report(self, complaint: str) -> SourceError:
        text = f"{self.server.location}: the walk through its pages stops after {self.place.pages}: {complaint}."
        return SourceError(text, Reason.PAGES_ENDLESS)


def has_fallen(former: int | None, total: int | None) -> bool:
    """Whether there are fewer records than before."""
    return former is not None and total is not None and total < former


def measure(item: Item) -> int:
    """Return the number of bytes that an item keeps in memory."""
    return len(item.original) if isinstance(item, Record) else len(item.original.head)
