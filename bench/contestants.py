"""The three servers of the benchmark, one process each: Kasparro, the peer, and bare views with our middleware."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.database import ROOT, Database

START_SECONDS = 60
PEER = "fastapi_service:app"


@dataclass(frozen=True, slots=True)
class Contestant:
    """A running server: its URL, and the process that responds."""

    url: str
    pid: int

    def read_memory_mib(self) -> tuple[float, float]:
        """Return the resident and proportional memory of the process that responds; only on Linux."""
        lines = Path(f"/proc/{self.pid}/smaps_rollup").read_text().splitlines()
        kib = {line.split(":")[0]: int(line.split()[1]) for line in lines[1:]}
        return kib["Rss"] / 1024, kib["Pss"] / 1024


@contextmanager
def serve_ours(database: Database, log: Path, *, threads: int | None = None) -> Iterator[Contestant]:
    """Serve the project as in production: one process, token, throttle, metrics and one log line per request."""
    extra = {"WEB_PROCESSES": "1", "API_THROTTLE_TOKEN": "240000/minute"}
    if threads is not None:
        extra["WEB_THREADS"] = str(threads)
    with _run_gunicorn(database.environment | extra, log) as contestant:
        yield contestant


@contextmanager
def serve_bare(database: Database, log: Path, page: Path) -> Iterator[Contestant]:
    """Serve the views of bare.py by the same server and middleware; `page` is a file with the response."""
    extra = {"WEB_PROCESSES": "1", "DJANGO_SETTINGS_MODULE": "bench.bare_settings", "BENCH_PAGE": str(page)}
    with _run_gunicorn(database.environment | extra, log) as contestant:
        yield contestant


@contextmanager
def serve_peer(database: Database, log: Path, python: Path) -> Iterator[Contestant]:
    """Serve FastAPI by uvicorn, with its faster loop and parser, and no log line per request."""
    url = database.url.replace("postgresql://", "postgresql+asyncpg://", 1)
    environment = {"PATH": database.environment["PATH"], "BENCH_DATABASE_URL": url}
    port = _find_port()
    command = [str(python), "-m", "uvicorn", PEER, "--port", str(port), "--no-access-log", "--log-level", "warning"]
    with _run(command, environment, log, port, ROOT / "bench") as process:
        yield Contestant(f"http://127.0.0.1:{port}", process.pid)


@contextmanager
def _run_gunicorn(environment: Mapping[str, str], log: Path) -> Iterator[Contestant]:
    port = _find_port()
    command = [sys.executable, "-m", "gunicorn", "--config", "python:kasparro.gunicorn"]
    with _run([*command, "--bind", f"127.0.0.1:{port}", "kasparro.wsgi"], environment, log, port, ROOT) as process:
        (worker,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        yield Contestant(f"http://127.0.0.1:{port}", int(worker))


@contextmanager
def _run(
    command: list[str], environment: Mapping[str, str], log: Path, port: int, folder: Path
) -> Iterator["subprocess.Popen[bytes]"]:
    with log.open("wb") as lines:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=lines, stderr=lines, start_new_session=True
        )
    try:
        _await(process, port, log)
        yield process
    finally:
        process.terminate()
        process.wait(START_SECONDS)


def _await(process: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", port)) == 0:
                time.sleep(2)  # gunicorn listens before its worker has started
                return
        time.sleep(0.1)
    sys.exit(f"{' '.join(process.args)} does not start: {log.read_text(errors='replace')[-1000:]}")  # type: ignore[arg-type]


def _find_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return int(server.getsockname()[1])
