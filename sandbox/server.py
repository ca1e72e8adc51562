"""A stand-in for CoinGecko over real HTTP: serves a list of coins with an ETag, and misbehaves as planned.

    python -m sandbox.server --list sandbox/coins.json --port 8900 --plan 429:2,503

A plan is a list of faults, one per request; after the last fault the server behaves normally. `PUT /plan` with
such a list as its body sets a new plan.

    429:SECONDS   429 with that Retry-After (any string)   slow:SECONDS  the body in small pieces with pauses
    500, 404 …    that status                              cut           half of the body, then the connection ends
    reset         no response                              endless       an array that never ends
    link          the list, with a next page in its Link   login         a login page with status 200
    next, next_cursor, has_more, @odata.nextLink           quota         an error object with status 200
                  an object with the list and a next page  lines         lines, without a proof of their end
"""

import argparse
import hashlib
import json
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Self

DEFAULT_LIST = Path(__file__).parent / "coins.json"
PATH = "/coins/list"
SLOW_BYTES = 64
NEXT_PAGE = f"{PATH}?page=2"
NEXT_PAGES: Mapping[str, object] = {
    "next": NEXT_PAGE,
    "next_cursor": "Y29pbi0xMDA",
    "has_more": True,
    "@odata.nextLink": NEXT_PAGE,
}
LOGIN_PAGE = b"<!DOCTYPE html><html><head><title>Please sign in</title></head><body><form></form></body></html>"


class Sandbox:
    """The server in a thread of this process, as a context manager; `url` is a value for COINGECKO_BASE_URL.

    `requests` records every request: method, path and headers (names in lower case). Requests beyond
    `most_per_second` within a second get a 429 and are counted in `refused` (0: no limit).
    """

    def __init__(
        self,
        list_path: Path = DEFAULT_LIST,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        plan: str = "",
        most_per_second: int = 0,
    ) -> None:
        self.list_path = list_path
        self.most_per_second = most_per_second
        self.refused = 0
        self.recent: deque[float] = deque()
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        self.faults: deque[str] = deque()
        self.plan(plan)
        self.server = _Server((host, port), _Handler)
        self.server.sandbox = self
        self.url = f"http://{host}:{self.server.server_port}"

    def plan(self, text: str) -> None:
        """Set the faults of the next requests."""
        self.faults = deque(fault.strip() for fault in text.split(",") if fault.strip())

    def is_too_fast(self) -> bool:
        """Record a request and return whether it exceeds the limit of this second."""
        now = time.monotonic()
        while self.recent and self.recent[0] <= now - 1:
            self.recent.popleft()
        self.recent.append(now)
        is_too_fast = 0 < self.most_per_second < len(self.recent)
        self.refused += is_too_fast
        return is_too_fast

    def __enter__(self) -> Self:
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.server.shutdown()
        self.server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    sandbox: Sandbox

    def handle_error(self, request: object, client_address: object) -> None:
        """Report errors, unless a client just closed its connection early."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        sandbox = self.server.sandbox
        sandbox.requests.append((self.command, self.path, {name.lower(): text for name, text in self.headers.items()}))
        fault, _, detail = (sandbox.faults.popleft() if sandbox.faults else "").partition(":")
        if sandbox.is_too_fast():
            self._answer(HTTPStatus.TOO_MANY_REQUESTS, b"{}", {"Retry-After": "1"})
        elif fault.isdigit():
            headers = {"Retry-After": detail} if detail else {}
            self._answer(HTTPStatus(int(fault)), b'{"error": "as planned"}', headers)
        elif fault == "reset":
            self.close_connection = True
        elif self.path.partition("?")[0] != PATH:
            self._answer(HTTPStatus.NOT_FOUND, b'{"error": "only /coins/list exists"}', {})
        elif (answer := make_odd_answer(fault, sandbox.list_path.read_bytes())) is not None:
            self._answer(HTTPStatus.OK, *answer)
        elif fault:
            self._misbehave(fault, float(detail or 1))
        else:
            self._serve_list(sandbox.list_path.read_bytes())

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path == "/plan":
            self.server.sandbox.plan(body.decode())
            self._answer(HTTPStatus.NO_CONTENT, b"", {})
        else:
            self._answer(HTTPStatus.NOT_FOUND, b"", {})

    def _serve_list(self, body: bytes) -> None:
        etag = f'"{hashlib.sha256(body).hexdigest()[:20]}"'
        if self.headers.get("If-None-Match") == etag:
            self._answer(HTTPStatus.NOT_MODIFIED, b"", {"ETag": etag})
        else:
            self._answer(HTTPStatus.OK, body, {"ETag": etag})

    def _answer(self, status: HTTPStatus, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def _misbehave(self, fault: str, seconds: float) -> None:
        """Send a body without a Content-Length, so that only its content shows whether it is complete."""
        self.close_connection = True
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", "application/json")
        self.send_header("Connection", "close")
        self.end_headers()
        try:
            for piece in self._cut_up(fault, seconds):
                self.wfile.write(piece)
        except OSError:
            pass  # the client closed the connection

    def _cut_up(self, fault: str, seconds: float) -> Iterator[bytes]:
        body = self.server.sandbox.list_path.read_bytes()
        if fault == "cut":
            yield body[: len(body) // 2]
        elif fault == "lines":
            yield from (json.dumps(coin).encode() + b"\n" for coin in json.loads(body))
        elif fault == "endless":
            yield b"["
            number = 0
            while True:
                yield b"".join(
                    b'{"id":"coin-%d","symbol":"c","name":"Coin"},' % item for item in range(number, number + 1000)
                )
                number += 1000
        elif fault == "slow":
            for start in range(0, len(body), SLOW_BYTES):
                yield body[start : start + SLOW_BYTES]
                time.sleep(seconds)
        else:
            raise ValueError(f"unknown fault {fault!r}")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (the parent's name)
        """Log nothing, because the client logs its requests."""


def make_odd_answer(fault: str, body: bytes) -> tuple[bytes, dict[str, str]] | None:
    """Return the body and the headers of a response with status 200 that is not the whole list."""
    headers = {"ETag": f'"{fault}"'}
    if fault in NEXT_PAGES:
        return b'{"data": %s, "%s": %s}' % (body, fault.encode(), json.dumps(NEXT_PAGES[fault]).encode()), headers
    if fault == "link":
        return body, headers | {"Link": f'<{PATH}?page=1>; rel="first", <{NEXT_PAGE}>; rel="next"'}
    if fault == "login":
        return LOGIN_PAGE, headers | {"Content-Type": "text/html"}
    return (b'{"error": "quota"}', headers) if fault == "quota" else None


def main() -> None:
    """Serve until stopped."""
    parser = argparse.ArgumentParser(description="A stand-in for CoinGecko's /coins/list.")
    parser.add_argument("--list", type=Path, default=DEFAULT_LIST, help="JSON file with the list to serve")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (0.0.0.0: all)")
    parser.add_argument("--port", type=int, default=8900, help="port to listen on (default 8900)")
    parser.add_argument("--most-per-second", type=int, default=0, help="respond with 429 above this rate (0: never)")
    parser.add_argument("--plan", default="", help="faults of the first requests, such as 429:2,503,cut")
    arguments = parser.parse_args()
    with Sandbox(
        arguments.list,
        host=arguments.host,
        port=arguments.port,
        plan=arguments.plan,
        most_per_second=arguments.most_per_second,
    ) as sandbox:
        print(f"COINGECKO_BASE_URL={sandbox.url}", flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
