"""The content of an API that gives its records in pages: asked for page by page while it is read.

first page ─► records, next state ─► … ─► no next state
A chunk is whole pages, or a part of one that is larger than a batch. The cursor names the page to ask for next, so a
resumed walk asks for no page before the last one that has landed.
"""

import hashlib
import json
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial

from etl.conf import conf
from etl.exceptions import AddressRefused, CursorRefused, SourceError
from etl.http.hidden_states import hide, reveal
from etl.http.pages import Numbered, Page, Pages, State, find_total
from etl.http.request import Request
from etl.readers.children import Children
from etl.readers.content import CHUNK_BYTES, FIRST_RECORDS, gather_chunks
from etl.readers.http_content import Response
from etl.readers.json_text import read_siblings
from etl.readers.lookalikes import HEAD_BYTES
from etl.readers.walk_reading import MOST_ASKED_AGAIN, Item, PageRead, Place, Reading, Server, measure
from etl.records import Chunk, Cursor, Record

WALK = "walk:"
"""How the fingerprint of a walk begins."""


@dataclass(frozen=True, slots=True)
class Walk:
    """A way through pages: the first request, the kind of pages, and how to open one response.

    `identify` returns what tells a record from others: its id, if that can be parsed. `pause` may raise HandedOver; it
    is called when there are records to land. With `children`, the pages list elements whose details are the records.
    `has_siblings`: responses have values next to their records.
    """

    request: Request
    pages: Pages
    open: Callable[[Request], AbstractContextManager[Response]]
    identify: Callable[[Record], str]
    pause: Callable[[], None]
    children: Children | None = None
    has_siblings: bool = True

    def fingerprint(self) -> str:
        """Return the part of a fingerprint that all walks of this address have in common."""
        request = self.request
        described = [request.url, (request.body or b"").decode(), repr(self.pages)]
        described += [self.children.template] if self.children is not None else []
        return WALK + hashlib.sha256(json.dumps(described).encode()).hexdigest()[:16]

    def hash_id(self, record: Record) -> str:
        """Return a short hash of what identifies the record."""
        return hashlib.sha256(self.identify(record).encode(errors="surrogatepass")).hexdigest()[:16]


def name_walk(walk: Walk, open_read: str) -> str:
    """Return the fingerprint of a walk: that of the open read, if it walks here, otherwise a new one.

    So an interrupted walk continues, and a finished one is never treated as unchanged.
    """
    here = f"{walk.fingerprint()}:"
    return open_read if open_read.startswith(here) else f"{here}{uuid.uuid4().hex[:16]}"


@dataclass(frozen=True, slots=True)
class PageAgain:
    """A page that was asked for again at the end of a walk, with the number of all records that it names.

    `index` counts the pages from 0. `has_moved_up`: it has the record with which the page after it began.
    """

    items: Sequence[Item]
    index: int
    has_moved_up: bool
    total: int | None


class WalkContent:
    """The records of all pages. Reading asks the server, so it stays in the run's process.

    `end` is the place after the last page, once all pages are read.
    """

    validators: Mapping[str, str] = {}
    size = 0
    file = ""
    is_proven = True  # an interrupted walk raises an error

    def __init__(self, walk: Walk, fingerprint: str) -> None:
        self.walk, self.fingerprint = walk, fingerprint
        self.first: PageRead | None = None
        self.failure: tuple[str | tuple[int, int], SourceError] | None = None
        self.kept: dict[str, PageRead] = {}
        self.kept_children: dict[tuple[int, int], Item] = {}
        self.kept_items = self.kept_bytes = 0
        self.end = Place()

    @property
    def may_shift(self) -> bool:
        """Whether its pages have numbers: a record that is added or removed moves those after it."""
        return isinstance(self.walk.pages, Numbered)

    def read_head(self) -> bytes:
        return self._look_at_first().head

    def describe_lookalike(self) -> str:
        return self._look_at_first().lookalike

    def find_columns(self) -> Sequence[str] | None:
        return self._look_at_first().columns

    def _look_at_first(self) -> PageRead:
        """Return the first page without its records, however often it is called."""
        if self.first is None:
            self.first = replace(self.read_page(Place()), items=())
        return self.first

    def read(self, cursor: Cursor | None, batch_size: int) -> Iterator[Chunk]:
        """Yield the records after the cursor. Raises CursorRefused if the server does not know its page any more."""
        place = Place.of(cursor)

        def ask(at: Place) -> PageRead:
            try:
                return self.read_page(at)
            except AddressRefused as error:
                if at is place and place.state:
                    raise CursorRefused(str(error)) from None
                raise

        children = self.walk.children
        ask_detail = partial(self.read_child, children) if children is not None else None
        server = Server(self.walk.request.location, ask, self.walk.pause, ask_detail)
        reading = Reading(server, place, batch_size)
        yield from reading.read_chunks()
        self.end = reading.place

    def read_page(self, place: Place) -> PageRead:
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
                page = self._ask(state, place.position - place.index)
            except SourceError as error:
                self.failure = name, error
                raise
            if self.kept_items >= FIRST_RECORDS or self.kept_bytes + page.size > CHUNK_BYTES:
                return page
            self.kept[name] = page
            self.kept_items += len(page.items)
            self.kept_bytes += page.size
        return self.kept[name]

    def read_child(self, children: Children, place: Place, element: Item) -> Item:
        """Ask for the detail of this element, unless it is one of the first, which are kept. Raises SourceError.

        One that failed fails again, as a page does.
        """
        name = (place.pages, place.index)
        if self.failure is not None and self.failure[0] == name:
            raise self.failure[1]
        if name not in self.kept_children:
            page = self._name_request(place.state or {})
            try:
                child = children.read(element, page, f"element {place.index + 1} on page {place.pages + 1}")
            except SourceError as error:
                self.failure = (name, error)
                raise
            size = measure(child)
            if len(self.kept_children) >= FIRST_RECORDS or self.kept_bytes + size > CHUNK_BYTES:
                return child
            self.kept_children[name] = child
            self.kept_bytes += size
        return self.kept_children[name]

    def ask_again(self) -> Iterator[PageAgain]:
        """Ask for the first pages of the finished walk again, up to one without records; for none if it had one page.

        Only pages by number can shift while they are read.
        """
        pages, firsts = self.walk.pages, self.end.firsts
        if not isinstance(pages, Numbered) or not firsts:
            return
        for index in range(MOST_ASKED_AGAIN):
            page = self._ask(pages.name_page(index), None)
            found = {self.walk.hash_id(item) for item in page.items if isinstance(item, Record)}
            yield PageAgain(page.items, index, index < len(firsts) and firsts[index] in found, page.total)
            if not page.items:
                return

    def read_details(self, page: PageAgain, elements: Sequence[Item]) -> list[Item]:
        """Ask for the details of these elements of a page that was asked for again. Raises SourceError."""
        pages, children = self.walk.pages, self.walk.children
        assert isinstance(pages, Numbered)
        assert children is not None
        request = self._name_request(pages.name_page(page.index))
        return [children.read(element, request, f"an element on page {page.index + 1}") for element in elements]

    def _ask(self, state: State, before: int | None) -> PageRead:
        """Ask for the page of this state; `before`: the number of records before it, None if its next one is known."""
        request = self._name_request(state)
        with self.walk.open(request) as response:
            chunks = response.content.read(None, conf.ETL_BATCH_SIZE)
            items = [item for chunk in chunks for item in chunk.items]
            page = self._describe(request, response, items, before or 0)
            following = self.walk.pages.find_next(page, state) if before is not None else None
            if following is not None:
                following = hide(following, request, response.body.request)
            return PageRead(
                items=items,
                head=response.copy.read_head(HEAD_BYTES),
                size=response.copy.size,
                fingerprint=response.copy.fingerprint,
                following=following,
                lookalike=response.content.describe_lookalike(),
                columns=response.content.find_columns(),
                total=find_total(self.walk.pages, page),
                first=next((self.walk.hash_id(item) for item in items if isinstance(item, Record)), ""),
            )

    def _name_request(self, state: State) -> Request:
        return self.walk.pages.ask(self.walk.request, reveal(state, self.walk.request.secrets))

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


class FoundAgain(WalkContent):
    """Records that a finished walk has found when it asked for pages again: they come after all others."""

    def __init__(self, content: WalkContent, items: Sequence[Item]) -> None:
        super().__init__(content.walk, content.fingerprint)
        self.end, self.items = content.end, items

    def read(self, cursor: Cursor | None, batch_size: int) -> Iterator[Chunk]:
        first = (cursor or {}).get("position", 0) + 1
        numbered = [replace(item, position=first + number) for number, item in enumerate(self.items)]
        return gather_chunks(numbered, batch_size, lambda position: replace(self.end, position=position).as_cursor())
