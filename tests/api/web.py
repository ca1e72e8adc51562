"""The web process as gunicorn runs it, on the test's database, and plain HTTP requests to it, sent unchanged."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from tests.processes import Project, wait_until

SECRET_KEY = "a-key-of-the-tests-that-is-long-enough-to-be-accepted-and-that-no-response-and-no-log-line-may-show"
DEFAULT_VARIABLES = {
    "DEBUG": "off",
    "HTTPS": "off",
    "SECRET_KEY": SECRET_KEY,
    "ALLOWED_HOSTS": "127.0.0.1,kasparro.test",
    "LOG_FORMAT": "json",
    "WEB_PROCESSES": "1",
    "ETL_SOURCES": "etl.sources.products.ProductsCsv,etl.sources.vendors.VendorsCsv,tests.listed_source.Listed"
    ",tests.paged_source.Changing",
    "API_THROTTLE_TOKEN": "1000000/minute",
    "API_THROTTLE_ADDRESS": "1000000/minute",
    "API_STATS_SECONDS": "0",
}


@dataclass(frozen=True)
class Answer:
    """A response, with its headers' names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def content_type(self) -> str:
        return self.headers.get("content-type", "")

    @property
    def text(self) -> str:
        return self.body.decode()

    def json(self) -> Any:
        return json.loads(self.body, parse_constant=_refuse_constant)


def _refuse_constant(name: str) -> None:
    raise AssertionError(f"{name} is not valid JSON")


@dataclass
class Web:
    """A gunicorn master and its processes; `log` is the file of their standard error."""

    port: int
    log: Path
    process: "subprocess.Popen[bytes]"

    def ask(
        self,
        path: str,
        *,
        method: str = "GET",
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes | str | None = None,
        content: Any = None,
        seconds: float = 30,
    ) -> Answer:
        """Send one request on its own connection, with `content` as JSON and `path` unchanged."""
        sent = dict(headers or {})
        if token is not None:
            sent["Authorization"] = f"Token {token}"
        if content is not None:
            body = json.dumps(content)
            sent.setdefault("Content-Type", "application/json")
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=seconds)
        try:
            connection.request(method, path, body, sent)
            answer = connection.getresponse()
            return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def follow(self, address: str, **how: Any) -> Answer:
        """Request an address that a response contained."""
        parts = urlsplit(address)
        return self.ask(f"{parts.path}?{parts.query}" if parts.query else parts.path, **how)

    def send_raw(self, request: bytes) -> bytes:
        """Send exactly these bytes and return all that is received until the server closes."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=30) as connection:
            connection.sendall(request)
            connection.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: connection.recv(65536), b""))

    def read_log(self) -> list[dict[str, Any]]:
        """All lines of the log. Each of them is JSON, gunicorn's own and warnings too."""
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def list_processes(self) -> list[int]:
        """The ids of the processes that serve requests."""
        return [
            int(pid) for pid in Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        ]

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()


def start_web(folder: Path, **environment: str) -> Web:
    """Start gunicorn with its configuration, on a free port, and wait until it responds."""
    project = Project(folder, environment=DEFAULT_VARIABLES)
    log = folder / f"web-{len(list(folder.iterdir()))}.log"
    with socket.create_server(("127.0.0.1", 0), backlog=256) as listening, log.open("wb") as errors:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "gunicorn", "--config", "python:kasparro.gunicorn"),
                *("--bind", f"fd://{listening.fileno()}", "kasparro.wsgi"),
            ],
            cwd=Path(__file__).resolve().parents[2],
            env=project.make_environment(environment),
            pass_fds=[listening.fileno()],
            stdout=errors,
            stderr=errors,
            start_new_session=True,
        )
        web = Web(listening.getsockname()[1], log, process)
    expected = int(environment.get("WEB_PROCESSES", "1"))
    try:
        wait_until(lambda: process.poll() is not None or log.read_text().count("Booting worker") >= expected)
        wait_until(lambda: process.poll() is not None or web.ask("/health/live").status < 500)
    except BaseException:
        web.stop()
        raise
    assert process.poll() is None, log.read_text()
    return web


@contextmanager
def serving(folder: Path, **environment: str) -> Iterator[Web]:
    """`start_web` for the length of a block."""
    with start_web(folder, **environment) as web:
        yield web
