"""A stand-in for APIs that give their records in pages, over real HTTP: each kind of pages at a path of its own.

By GET: /next-url, /link, /token, /header-token, /number, /offset and /after, and /items/ID for the detail of a record.
By POST: /graphql, whose cursor is in its variables.
"""

import json
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlsplit

Item = dict[str, Any]
Answer = tuple[Any, Mapping[str, str]]


class PagedApi:
    """The server in a thread of this process, as a context manager.

    `pages` are the records page by page. `requests` records path with query, or the body of a POST; `headers` those of
    each request, with names in lower case. `seconds` is how long each takes. `encode` writes what is sent; without
    another format, as JSON. `refusals`: status and headers of the next answer to such a request, once. `repeats_last`:
    the last page names itself as the next, and is sent for any page after it. `details` are answers to /items/ID, with
    status, document and headers; without one, it is the record with `detail`. `refused` are cursors
    that always get another status than 200, such as 410. From `hold` to `forget` some requests get no answer.
    """

    def __init__(self, pages: Sequence[Sequence[Item]]) -> None:
        self.pages = [list(page) for page in pages]
        self.requests: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.seconds = 0.0
        self.held_from: int | None = None
        self.in_progress = 0
        self.change = threading.Condition()
        self.encode: Callable[[Any], bytes] = encode_json
        self.details: dict[str, tuple[int, Any, Mapping[str, str]]] = {}
        self.refused: dict[str, int] = {}
        self.refusals: dict[str, tuple[int, Mapping[str, str]]] = {}
        self.repeats_last = False
        self.server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"api": self}))
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.server.shutdown()
        self.server.server_close()

    def hold(self, number: int) -> None:
        """Let the request with this number, from 1, and all later ones wait until `forget`."""
        self.held_from = number

    def forget(self) -> None:
        """Let the requests that wait go on, wait until none is in progress, and forget all of them."""
        with self.change:
            self.held_from = None
            self.change.notify_all()
            self.change.wait_for(lambda: not self.in_progress)
            self.requests.clear()
            self.headers.clear()

    @contextmanager
    def receiving(self, logged: str, headers: Mapping[str, str]) -> Iterator[None]:
        """Record a request, and let it wait while it is held."""
        with self.change:
            self.requests.append(logged)
            self.headers.append({name.lower(): text for name, text in headers.items()})
            number, self.in_progress = len(self.requests), self.in_progress + 1
            self.change.wait_for(lambda: self.held_from is None or number < self.held_from)
        try:
            yield
        finally:
            with self.change:
                self.in_progress -= 1
                self.change.notify_all()

    @property
    def total(self) -> int:
        return sum(map(len, self.pages))

    def take(self, index: int) -> list[Item]:
        """Return the records of the page with this index, from 0; none after the last page."""
        if index >= len(self.pages):
            return self.pages[-1] if self.repeats_last else []
        return self.pages[index]

    def find_following(self, index: int) -> int | None:
        """Return the index of the page after this one; None after the last page."""
        last = len(self.pages) - 1
        return last if index >= last and self.repeats_last else index + 1 if index < last else None

    def answer(self, path: str, query: Mapping[str, str], body: Any) -> Answer:
        """Return what is sent, and headers."""
        kind = path.strip("/").replace("-", "_")
        index = int(query.get("cursor", "t0").removeprefix("t"))
        following = self.find_following(index)
        answers = {
            "next_url": self._name_url,
            "link": self._link,
            "token": self._token,
            "header_token": self._header_token,
        }
        if kind in answers:
            return answers[kind](index, following)
        if kind == "graphql":
            return self._connect(body)
        return self._count(kind, query)

    def describe(self, name: str) -> tuple[int, Any, Mapping[str, str]]:
        """Return status, document and headers of the detail of the record with this id."""
        return self.details.get(name, (200, {"id": name, "detail": f"all of {name}"}, {}))

    def _name_url(self, index: int, following: int | None) -> Answer:
        link = None if following is None else f"/next-url?cursor=t{following}"
        return {"links": {"next": link}, "data": self.take(index)}, {}

    def _link(self, index: int, following: int | None) -> Answer:
        link = f'<{self.url}/link?cursor=t{following}>; rel="next"'
        return self.take(index), {} if following is None else {"Link": link}

    def _token(self, index: int, following: int | None) -> Answer:
        return {"data": self.take(index), "meta": {"next_cursor": None if following is None else f"t{following}"}}, {}

    def _header_token(self, index: int, following: int | None) -> Answer:
        return self.take(index), {} if following is None else {"X-Next": f"t{following}"}

    def _connect(self, body: Any) -> Answer:
        index = int((body["variables"].get("after") or "t0").removeprefix("t"))
        following = self.find_following(index)
        info = {"hasNextPage": following is not None, "endCursor": f"t{index + 1 if following is None else following}"}
        return {"data": {"items": {"nodes": self.take(index), "pageInfo": info}}}, {}

    def _count(self, kind: str, query: Mapping[str, str]) -> Answer:
        if kind == "number":
            return self.take(int(query.get("page", "1")) - 1), {}
        if kind == "offset":  # a short page lacks records that the server filters out after it has cut the page
            size = max(len(self.pages[0]), 1)
            return {"total": self.total, "items": self.take(int(query.get("offset", "0")) // size)}, {}
        last_ids = [page[-1]["id"] if page else None for page in self.pages]
        index = last_ids.index(query["starting_after"]) + 1 if "starting_after" in query else 0
        return {"data": self.take(index), "has_more": self.find_following(index) is not None}, {}


def encode_json(document: Any) -> bytes:
    return json.dumps(document).encode()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Report errors, unless a client was killed or closed its connection early."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


class _Handler(BaseHTTPRequestHandler):
    api: PagedApi
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        with self.api.receiving(self.path, dict(self.headers)):
            self._answer(self.path, None)

    def do_POST(self) -> None:
        text = self.rfile.read(int(self.headers.get("Content-Length", "0"))).decode()
        with self.api.receiving(text, dict(self.headers)):
            self._answer(text, json.loads(text))

    def _answer(self, logged: str, body: Any) -> None:
        time.sleep(self.api.seconds)
        parts = urlsplit(self.path)
        if parts.path.startswith("/items/"):
            self._send(*self.api.describe(unquote(parts.path.removeprefix("/items/"))))
            return
        query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        if (refusal := self.api.refusals.pop(logged, None)) is not None:
            self._send(refusal[0], {"error": "as planned"}, refusal[1])
            return
        if status := self.api.refused.get(query.get("cursor", "")):
            self._send(status, {"error": "unknown cursor"}, {})
            return
        self._send(200, *self.api.answer(parts.path, query, body))

    def _send(self, status: int, document: Any, headers: Mapping[str, str]) -> None:
        content = self.api.encode(document)
        if "ETag" in headers and self.headers.get("If-None-Match") == headers["ETag"]:
            status, content = 304, b""
        self.send_response(status)
        for name, text in {"Content-Type": "application/json", "Content-Length": str(len(content)), **headers}.items():
            self.send_header(name, text)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002  (the parent's name)
        """Print nothing."""
