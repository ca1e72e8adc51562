"""The content of an API that gives its records in pages: asked for page by page while it is read.

first page ─► records, next state ─► … ─► no next state
A chunk is whole pages, or a part of one that is larger than a batch. The cursor names the page to ask for next, so a
resumed walk asks for no page before the last one that has landed.
"""

import hashlib
import json
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from etl.conf import conf
from etl.exceptions import SourceError
from etl.http.circles import CircleGuard
from etl.http.pages import Page, Pages, State
from etl.http.request import Request
from etl.readers.children import Children
from etl.readers.content import CHUNK_BYTES, FIRST_RECORDS
from etl.readers.http_content import Response
from etl.readers.json_text import read_siblings
from etl.readers.lookalikes import HEAD_BYTES
from etl.readers.single_records import make_chunk
from etl.records import Chunk, Cursor, Record, Refusal
from etl.vocabulary import Reason

Item = Record | Refusal
COMMIT_SECONDS = 30
"""A chunk ends after this time with whole pages, even if there is room for more: slow pages must not be asked twice."""


@dataclass(frozen=True, slots=True)
class Walk:
    """A way through pages: the first request, the kind of pages, and how to open one response.

    `has_siblings`: responses have values next to their records.
    """

    request: Request
    pages: Pages
    open: Callable[[Request], AbstractContextManager[Response]]
    children: Children | None = None
    has_siblings: bool = True

    def fingerprint(self) -> str:
        """Return the part of a fingerprint that all walks of this address have in common."""
        request = self.request
        described = [request.url, (request.body or b"").decode(), repr(self.pages)]
        described += [self.children.template] if self.children is not None else []
        return "walk:" + hashlib.sha256(json.dumps(described).encode()).hexdigest()[:16]


def name_walk(walk: Walk, open_read: str) -> str:
    """Return the fingerprint of a walk: that of the open read, if it walks here, otherwise a new one.

    So an interrupted walk continues, and a finished one is never treated as unchanged.
    """
    here = f"{walk.fingerprint()}:"
    return open_read if open_read.startswith(here) else f"{here}{uuid.uuid4().hex[:16]}"


@dataclass(frozen=True, slots=True)
class _Place:
    """A place in a walk: before the record `index` of a page; `position` records come before it in the walk.

    `state` is None after the last page. `former` is the hash of the page before this one.
    """

    state: State | None = field(default_factory=dict)
    index: int = 0
    position: int = 0
    pages: int = 0
    former: str = ""
    guard: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, cursor: Cursor | None) -> "_Place":
        return cls(**{name: cursor[name] for name in cls.__slots__}) if cursor is not None else cls()

    def as_cursor(self) -> Cursor:
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class _Read:
    """A page that was read: its records, its bytes' beginning, number and hash, and the state of the page after it.

    `lookalike` and `columns` are what its content says of itself.
    """

    items: Sequence[Item]
    head: bytes
    size: int
    fingerprint: str
    following: State | None
    lookalike: str
    columns: Sequence[str] | None


class WalkContent:
    """The records of all pages. Reading asks the server, so it stays in the run's process."""

    validators: Mapping[str, str] = {}
    size = 0
    file = ""
    is_proven = True  # an interrupted walk raises an error

    def __init__(self, walk: Walk, fingerprint: str) -> None:
        self.walk, self.fingerprint = walk, fingerprint
        self.first: _Read | None = None
        self.failure: tuple[str, SourceError] | None = None
        self.kept: dict[str, _Read] = {}
        self.kept_children: dict[tuple[int, int], Item] = {}
        self.kept_items = self.kept_bytes = 0

    def read_head(self) -> bytes:
        return self._look_at_first().head

    def describe_lookalike(self) -> str:
        return self._look_at_first().lookalike

    def find_columns(self) -> Sequence[str] | None:
        return self._look_at_first().columns

    def _look_at_first(self) -> _Read:
        """Return the first page without its records, however often it is called."""
        if self.first is None:
            self.first = replace(self.read_page(_Place()), items=())
        return self.first

    def read(self, cursor: Cursor | None, batch_size: int) -> Iterator[Chunk]:
        return _Reading(self, _Place.of(cursor), batch_size).read_chunks()

    def read_page(self, place: _Place) -> _Read:
        """Ask for the page of this place, unless it is one of the first ones, which are kept. Raises SourceError.

        A page that failed among the first records fails again, without a request: the server may have asked to wait.
        """
        state = place.state
        assert state is not None
        name = json.dumps(state, sort_keys=True)
        if self.failure is not None and self.failure[0] == name:
            raise self.failure[1]
        if name not in self.kept:
            try:
                page = self._ask(place, state)
            except SourceError as error:
                self.failure = name, error
                raise
            if self.kept_items >= FIRST_RECORDS or self.kept_bytes + page.size > CHUNK_BYTES:
                return page
            self.kept[name] = page
            self.kept_items += len(page.items)
            self.kept_bytes += page.size
        return self.kept[name]

    def read_child(self, children: Children, place: _Place, element: Item) -> Item:
        """Ask for the detail of this element, unless it is one of the first, which are kept. Raises SourceError."""
        name = (place.pages, place.index)
        if name not in self.kept_children:
            page = self.walk.pages.ask(self.walk.request, _reveal(place.state or {}, self.walk.request.secrets))
            child = children.read(element, page, f"element {place.index + 1} on page {place.pages + 1}")
            size = measure(child)
            if len(self.kept_children) >= FIRST_RECORDS or self.kept_bytes + size > CHUNK_BYTES:
                return child
            self.kept_children[name] = child
            self.kept_bytes += size
        return self.kept_children[name]

    def _ask(self, place: _Place, state: State) -> _Read:
        request = self.walk.pages.ask(self.walk.request, _reveal(state, self.walk.request.secrets))
        with self.walk.open(request) as response:
            chunks = response.content.read(None, conf.ETL_BATCH_SIZE)
            items = [item for chunk in chunks for item in chunk.items]
            page = self._describe(request, response, items, place.position - place.index)
            following = self.walk.pages.find_next(page, state)
            if following is not None:
                following = _hide(following, request, response.body.request)
            return _Read(
                items,
                response.copy.read_head(HEAD_BYTES),
                response.copy.size,
                response.copy.fingerprint,
                following,
                response.content.describe_lookalike(),
                response.content.find_columns(),
            )

    def _describe(self, request: Request, response: Response, items: Sequence[Item], before: int) -> Page:
        last = next((item.values for item in reversed(items) if isinstance(item, Record)), None)
        return Page(
            url=request.url,
            location=request.location,
            headers=response.body.headers,
            siblings=read_siblings(response.copy) if self.walk.has_siblings else {},
            count=len(items),
            seen=before + len(items),
            last=last,
        )


def measure(item: Item) -> int:
    """Return the number of bytes that an item keeps in memory."""
    return len(item.original) if isinstance(item, Record) else len(item.original.head)


class _Reading:
    """The pages from a place on, gathered into chunks of at most `batch_size` records."""

    def __init__(self, content: WalkContent, place: _Place, batch_size: int) -> None:
        self.content, self.place, self.batch_size = content, place, batch_size
        self.gathered: list[Item] = []
        self.size = 0
        self.began = time.monotonic()

    def read_chunks(self) -> Iterator[Chunk]:
        try:
            while self.place.state is not None:
                if self.gathered and time.monotonic() - self.began > COMMIT_SECONDS:
                    yield self._finish()
                yield from self._add_page(self._read_page())
        except SourceError:
            if self.gathered:
                yield self._finish()
            raise
        if self.gathered:
            yield self._finish()

    def _read_page(self) -> _Read:
        if self.place.pages >= conf.ETL_HTTP_MAX_PAGES:
            raise self._report(f"it has more than {conf.ETL_HTTP_MAX_PAGES} pages (ETL_HTTP_MAX_PAGES)")
        page = self.content.read_page(self.place)
        if page.items and not self.place.index and page.fingerprint == self.place.former:
            raise self._report("two pages after each other are the same")
        return page

    def _add_page(self, page: _Read) -> Iterator[Chunk]:
        """Take the page's records, and yield chunks that are full."""
        if (children := self.content.walk.children) is not None:
            yield from self._add_children(children, page)
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

    def _add_children(self, children: Children, page: _Read) -> Iterator[Chunk]:
        """Ask for the detail of each element of the page, and yield chunks that are full or have taken long."""
        elements = page.items[self.place.index :]
        for element in elements:
            child = self.content.read_child(children, self.place, element)
            self._take([child])
            self.size += measure(child)
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

    def _go_on(self, page: _Read) -> _Place:
        guard = CircleGuard.of(self.place.guard)
        if page.following is not None and guard.closes(page.following):
            raise self._report("its pages go in a circle: it comes back to a page that was read before")
        return _Place(
            state=page.following,
            position=self.place.position,
            pages=self.place.pages + 1,
            former=page.fingerprint,
            guard=guard.as_json(),
        )

    def _finish(self) -> Chunk:
        chunk = make_chunk(self.gathered, self.place.as_cursor())
        self.gathered, self.size, self.began = [], 0, time.monotonic()
        return chunk

    def _report(self, complaint: str) -> SourceError:
        where = self.content.walk.request.location
        text = f"{where}: the walk through its pages stops after {self.place.pages}: {complaint}."
        return SourceError(text, Reason.PAGES_ENDLESS)


def _hide(state: State, request: Request, signed: Request) -> State:
    """Return the state without credentials: keys that were added to the query, and secrets of the path."""
    if "url" in state and (added := _list_names(signed.url) - _list_names(request.url)):
        parts = urlsplit(state["url"])
        pairs = [pair for pair in parse_qsl(parts.query, keep_blank_values=True) if pair[0] not in added]
        state = {"url": urlunsplit(parts._replace(query=urlencode(pairs)))}
    return _replace(state, {secret: _stand_in(number) for number, secret in enumerate(request.secrets) if secret})


def _reveal(state: State, secrets: Sequence[str]) -> State:
    return _replace(state, {_stand_in(number): secret for number, secret in enumerate(secrets)})


def _stand_in(number: int) -> str:
    return f"{{secret {number}}}"


def _replace(state: State, texts: Mapping[str, str]) -> State:
    replaced = dict(state)
    for name, value in state.items():
        for former, new in texts.items() if isinstance(value, str) else ():
            replaced[name] = replaced[name].replace(former, new)
    return replaced


def _list_names(url: str) -> set[str]:
    return {name for name, _ in parse_qsl(urlsplit(url).query, keep_blank_values=True)}
