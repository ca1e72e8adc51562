"""A server that sends raw bytes, and requests to it."""

import re
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Self

from etl.http.client import open_body
from etl.http.request import Request
from etl.readers.json_records import looks_cut
from tests.fakes import RecordingContext

KEY = "k3y-that-stays-secret"
LIST = b'[{"id": "a"}, {"id": "b"}]'

MOST_SECONDS = 12
"""Less than the 15 s after which a slow server ends by itself, and much more than a busy machine takes."""

Answer = bytes | Callable[[socket.socket], None]


@contextmanager
def ending_in_time() -> Iterator[None]:
    """Check that the block ends before a slow server ends by itself."""
    began = time.monotonic()
    yield
    assert time.monotonic() - began < MOST_SECONDS


class RawServer:
    """Sends the next of `answers`, byte for byte, to each connection, and repeats the last one.

    `requests` holds the received heads, with the body of a POST.
    """

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.requests: list[str] = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.origin = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.is_over = threading.Event()

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.is_over.set()
        self.listener.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            answer = self.answers[min(len(self.requests), len(self.answers) - 1)]
            self.requests.append(_receive(connection).decode(errors="replace"))
            threading.Thread(target=self._answer, args=(connection, answer), daemon=True).start()

    def _answer(self, connection: socket.socket, answer: Answer) -> None:
        with connection:
            try:
                if isinstance(answer, bytes):
                    connection.sendall(answer)
                else:
                    answer(connection)
            except OSError:
                pass  # the client has disconnected

    def trickle(self, head: bytes, piece: bytes) -> Answer:
        """Send the head, then the piece repeatedly, for at most 15 s so that a failing test ends."""

        def send(connection: socket.socket) -> None:
            connection.sendall(head)
            for _ in range(750):
                if self.is_over.wait(0.02):
                    return
                connection.sendall(piece)

        return send


def _receive(connection: socket.socket) -> bytes:
    """Return the request, or what came of it before the client reset the connection."""
    received = b""
    with suppress(ConnectionResetError):
        received = connection.recv(65536)
        head, _, body = received.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: ([0-9]+)", head)
        while length and len(body) < int(length[1]) and (block := connection.recv(65536)):
            received, body = received + block, body + block
    return received


def answer(body: bytes = LIST, status: str = "200 OK", **headers: str) -> bytes:
    """A complete response with its length; `_` in a header's name becomes `-`."""
    lines = [f"HTTP/1.1 {status}", "Connection: close"]
    fields = {"Content_Length": str(len(body)), **headers}
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in fields.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def get(
    url: str,
    watch: RecordingContext | None = None,
    *,
    headers: Mapping[str, str] | None = None,
    validators: Mapping[str, str] | None = None,
) -> tuple[bytes, Mapping[str, str]] | None:
    """Body and validators, or None if the server responds that nothing was modified."""
    request, known = Request(url, headers or {}), validators or {}
    with open_body(request, known, watch or RecordingContext(), looks_cut) as body:
        if body is None:
            return None
        body.copy.file.seek(0)
        return body.copy.file.read(), body.validators


def get_body(url: str, watch: RecordingContext | None = None) -> bytes:
    got = get(url, watch)
    assert got is not None
    return got[0]


def redirect(to: str) -> bytes:
    return answer(b"", "302 Found", Location=to)
