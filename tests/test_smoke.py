"""Tests that the smoke test can fail; .ci/smoke tests that it passes on a working stack."""

import os
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.processes import ROOT


class Yes(BaseHTTPRequestHandler):
    """A server that answers every request with success."""

    def do_GET(self) -> None:
        body = b'{"status": "ok", "data": []}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET  # noqa: N815

    def log_message(self, *args: object) -> None:
        """Nothing."""


@pytest.fixture
def yes() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Yes) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def smoke(url: str) -> "subprocess.CompletedProcess[str]":
    environment = {"PATH": os.environ["PATH"], "TOKEN": "x", "SMOKE_SECONDS": "1"}
    command = ["bash", str(ROOT / "scripts" / "smoke_test.sh"), url]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


def test_a_stack_that_is_down_is_an_error() -> None:
    done = smoke("http://127.0.0.1:1")
    assert done.returncode == 2
    assert "The stack can't be used: GET /api/v1/sources: ConnectionError" in done.stdout
    assert "Traceback" not in done.stderr


def test_a_stack_that_lets_everyone_in_fails(yes: str) -> None:
    done = smoke(yes)
    assert done.returncode == 1
    assert "FAIL without a valid token nothing is shown: GET /api/v1/data returned 200" in done.stdout
    assert "skip after a worker is killed" in done.stdout
    passed, _, checks = done.stdout.strip().splitlines()[-1].split()[:3]
    assert int(passed) < int(checks)
