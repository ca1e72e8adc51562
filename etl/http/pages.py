"""Kinds of pages: how an API is asked for its first page, and where a response says which one comes next. Pure.

A state says which page to ask for: JSON without anything secret, because the checkpoint stores it. `{}` is the first.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Protocol
from urllib.parse import urljoin, urlsplit

from etl.exceptions import SourceError
from etl.http.credentials import add_to_query
from etl.http.next_pages import find_next_link
from etl.http.request import Request
from etl.vocabulary import Reason

State = Mapping[str, Any]
FIRST: State = {}


@dataclass(frozen=True, slots=True)
class Page:
    """A response as a kind of pages sees it; `location` is its address for messages.

    `siblings`: the values outside the array of records. `count` is the number of its records, `seen` the number of the
    walk's records up to its end. `last`: the values of its last record.
    """

    url: str
    location: str
    headers: Mapping[str, str]
    siblings: Mapping[str, Any] = field(default_factory=dict)
    count: int = 0
    seen: int = 0
    last: Mapping[str, Any] | None = None

    def find(self, path: str) -> Any:
        """Return the value at this path outside the records (`meta.next`), or None."""
        return find_value(self.siblings, path)


class Pages(Protocol):
    """How an API gives its records in pages. `siblings` are the paths next to the records where it looks.

    The kinds below also have `total`: the path or the header in which a response names the number of all records.
    """

    @property
    def siblings(self) -> Sequence[str]: ...

    def ask(self, request: Request, state: State) -> Request:
        """Return the request for the page of this state."""

    def find_next(self, page: Page, state: State) -> State | None:
        """Return the state of the page after this one; None if it is the last. Raises SourceError."""


@dataclass(frozen=True, slots=True)
class OnePage:
    """All records come in one response."""

    siblings: ClassVar[Sequence[str]] = ()

    def ask(self, request: Request, state: State) -> Request:
        return request

    def find_next(self, page: Page, state: State) -> State | None:
        return None


@dataclass(frozen=True, slots=True)
class NextUrl:
    """The body names the next page's address at this path (`links.next`), absolute or relative."""

    path: str
    total: str = ""

    @property
    def siblings(self) -> Sequence[str]:
        return [self.path]

    def ask(self, request: Request, state: State) -> Request:
        return _follow(request, state)

    def find_next(self, page: Page, state: State) -> State | None:
        return _name_link(page, page.find(self.path))


@dataclass(frozen=True, slots=True)
class LinkHeader:
    """The Link header names the next page (`rel="next"`), as at GitHub and Shopify."""

    total: str = ""
    siblings: ClassVar[Sequence[str]] = ()

    def ask(self, request: Request, state: State) -> Request:
        return _follow(request, state)

    def find_next(self, page: Page, state: State) -> State | None:
        return _name_link(page, find_next_link(page.headers.get("Link", ""), page.url))


@dataclass(frozen=True, slots=True)
class Token:
    """A token for the next page: in the body `at` this path, or in this `header`.

    It is sent as a parameter, or put `into` the body of a POST at this path (`variables.after`). With `more`, a false
    value at that path ends the walk even if there is a token.
    """

    parameter: str = ""
    at: str = ""
    header: str = ""
    into: str = ""
    more: str = ""
    total: str = ""

    def __post_init__(self) -> None:
        if bool(self.at) == bool(self.header) or bool(self.parameter) == bool(self.into):
            raise ValueError("Token needs at=… or header=… for where it is found, and parameter or into=… for its use.")

    @property
    def siblings(self) -> Sequence[str]:
        return [path for path in (self.at, self.more) if path]

    def ask(self, request: Request, state: State) -> Request:
        return put(request, self.parameter, self.into, state["token"]) if state else request

    def find_next(self, page: Page, state: State) -> State | None:
        token = page.headers.get(self.header) if self.header else page.find(self.at)
        if self.more and not page.find(self.more):
            return None
        return {"token": token} if token not in (None, "", False) else None


@dataclass(frozen=True, slots=True)
class Numbered:
    """Pages by number, or by offset with `step` records a page. A page without records, or the `total`, ends the walk.

    `total` is the path of the number of all records; to give fewer is an error. A short page ends nothing: servers
    filter after they cut. Such pages shift if a record is added or removed while they are read.
    """

    parameter: str
    first: int = 1
    step: int = 1
    total: str = ""

    @property
    def siblings(self) -> Sequence[str]:
        return [self.total] if self.total else []

    def ask(self, request: Request, state: State) -> Request:
        return put(request, self.parameter, "", state.get("number", self.first))

    def find_next(self, page: Page, state: State) -> State | None:
        most = find_total(self, page)
        if not page.count and most is not None and page.seen < most:
            text = (
                f"it gave {page.seen} records of the {most} that it names as their number; is step={self.step} right?"
            )
            raise SourceError(f"{page.location}: {text}")
        if not page.count or (most is not None and page.seen >= most):
            return None
        return {"number": state.get("number", self.first) + self.step}

    def name_page(self, index: int) -> State:
        """Return the state of the page with this index, from 0."""
        return {"number": self.first + index * self.step} if index else FIRST


@dataclass(frozen=True, slots=True)
class After:
    """The next page begins after the last record's id, as at Stripe. A page without records ends the walk.

    With `more`, a false value at that path ends it too.
    """

    parameter: str
    of: str = "id"
    more: str = ""
    total: str = ""

    @property
    def siblings(self) -> Sequence[str]:
        return [self.more] if self.more else []

    def ask(self, request: Request, state: State) -> Request:
        return put(request, self.parameter, "", state["after"]) if state else request

    def find_next(self, page: Page, state: State) -> State | None:
        has_more = bool(page.find(self.more)) if self.more else page.count > 0
        if not has_more:
            return None
        last = find_value(page.last, self.of)
        if last in (None, ""):
            text = f"the last record of a page has no {self.of!r}"
            if not page.count:
                text = f"a page without records says that there are more ({self.more})"
            raise SourceError(f"{page.location}: {text}, so the page after it can't be asked for.")
        return {"after": _text(last)}


def find_total(pages: Pages, page: Page) -> int | None:
    """Return the number of all records, if the kind of pages says where a response names it."""
    name = getattr(pages, "total", "")
    total = page.find(name) if name else None
    if name and total is None:
        total = page.headers.get(name)
    return int(_text(total)) if _is_number(total) else None


def find_value(values: Any, path: str) -> Any:
    """Return the value at this path. A name with dots is found first (`@odata.nextLink`)."""
    if not isinstance(values, Mapping):
        return None
    if path in values:
        return values[path]
    name, dot, rest = path.partition(".")
    return find_value(values.get(name), rest) if dot else None


def _text(value: Any) -> str:
    """Return a value as text; a number of JSON as it was written."""
    return str(getattr(value, "text", value))


def _is_number(value: Any) -> bool:
    return not isinstance(value, bool) and _text(value).isdecimal()


def _follow(request: Request, state: State) -> Request:
    return replace(request, url=state["url"]) if state else request


def put(request: Request, parameter: str, into: str, value: Any) -> Request:
    """Return the request with this value as a parameter of its query, or `into` its body at this path."""
    if not into:
        return replace(request, url=add_to_query(request.url, {parameter: _text(value)}))
    body = json.loads(request.body or b"{}")
    *names, last = into.split(".")
    inner = body
    for name in names:
        inner = inner.setdefault(name, {})
    inner[last] = value
    return replace(request, body=json.dumps(body).encode())


def _name_link(page: Page, link: Any) -> State | None:
    """Return the state of a link that the server made. Raises SourceError if it leads to another origin."""
    if isinstance(link, Mapping):  # {"href": …}
        link = link.get("href")
    if not link:
        return None
    url = urljoin(page.url, str(link)) if isinstance(link, str) else ""
    if find_origin(url) != find_origin(page.url):
        text = "the next page that it names has another origin; credentials are sent to the source's own alone"
        raise SourceError(f"{page.location}: {text}.", Reason.SOURCE_REFUSED)
    return {"url": url}


def find_origin(url: str) -> tuple[str, str | None, int | None] | None:
    """Return scheme, host and port of an address; None if it is none."""
    try:
        parts = urlsplit(url)
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
        return parts.scheme, parts.hostname, port
    except ValueError:
        return None
