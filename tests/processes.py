"""Real `manage.py` processes on the test database, which a test can watch, freeze and kill."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from django.conf import settings
from django.core.management import ManagementUtility
from django.db import connection

from kasparro.embedded import Servers
from tests.settings import RUN_FOLDER

ROOT = Path(__file__).resolve().parent.parent
PATIENCE_SECONDS = 60


def wait_until(condition: Callable[[], Any], *, seconds: float = PATIENCE_SECONDS, every: float = 0.02) -> Any:
    """Wait until the condition is true and return its value. Fails the test if it never becomes true."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(every)
    raise AssertionError(f"it did not come true within {seconds} s")


def await_stop(process: Any) -> None:
    """Wait until the process has stopped itself (SIGSTOP). Fails the test, with what it printed, if it ends instead."""
    wait_until(lambda: process.poll() is not None or is_stopped(process))
    assert process.poll() is None, process.communicate()


def is_stopped(process: Any) -> bool:
    return Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def list_processes(folder: Path, *, command: str = "") -> list[int]:
    """List the processes that name this folder in their command line or environment, and have `command` in the line.

    One that has ended and is not waited for has no command line.
    """
    return [
        int(process.name)
        for process in Path("/proc").glob("[0-9]*")
        if process.name != str(os.getpid())
        and os.fsencode(folder) in _read(process / "cmdline", process / "environ")
        and command.encode() in _read(process / "cmdline")
    ]


def _read(*files: Path) -> bytes:
    with suppress(OSError):  # it has just ended, or belongs to another user
        return b"".join(file.read_bytes() for file in files)
    return b""


def end_processes(folder: Path, *, patience_seconds: float = 15) -> None:
    """Interrupt the processes that name this folder, and kill them if they are still running after a while."""
    if not folder.is_absolute() or folder == Path("/"):
        raise ValueError(f"{folder} is not the folder of a test: every process may name it")
    interrupted: set[int] = set()
    deadline = time.monotonic() + patience_seconds
    while found := list_processes(folder):
        is_late = time.monotonic() > deadline
        for pid in found if is_late else set(found) - interrupted:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL if is_late else signal.SIGINT)
        interrupted |= set(found)
        time.sleep(0.02)


def manage_here(capsys: pytest.CaptureFixture[str], *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run `manage.py ARGUMENTS` in this process, for tests of messages: a new process takes a second to start."""
    command = ManagementUtility().fetch_command(arguments[0])
    with pytest.raises(SystemExit) as ended:
        command.run_from_argv(["manage.py", *arguments])
        sys.exit(0)
    output = capsys.readouterr()
    return subprocess.CompletedProcess(arguments, int(ended.value.code or 0), output.out, output.err)


@contextmanager
def run_servers(**used: bool) -> Iterator[Servers]:
    """Run separate embedded servers, which a test may stop or kill."""
    home = Path(tempfile.mkdtemp(prefix="own-", dir=RUN_FOLDER))
    servers = Servers(home, **used)
    try:
        servers.start()
        yield servers
    finally:
        servers.stop()
        shutil.rmtree(home)


def test_database_url() -> str:
    """Return the address of this test's database, for another process."""
    values = connection.settings_dict
    host, query = values["HOST"], dict(values.get("OPTIONS", {}))
    if host.startswith("/"):
        query, host = {**query, "host": host}, ""
    user = quote(values["USER"]) + (f":{quote(values['PASSWORD'])}" if values["PASSWORD"] else "")
    port = f":{values['PORT']}" if values["PORT"] else ""
    query = {name: value for name, value in query.items() if isinstance(value, str)}
    return f"postgresql://{user}@{host}{port}/{values['NAME']}" + (f"?{urlencode(query)}" if query else "")


test_database_url.__test__ = False  # type: ignore[attr-defined]


@dataclass
class Project:
    """The project's commands as processes; `environment` adds to their variables, `prefix` precedes each command."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)
    prefix: tuple[str, ...] = ()
    processes: list["subprocess.Popen[str]"] = field(default_factory=list)

    def start(self, *arguments: str, **environment: str) -> "subprocess.Popen[str]":
        """Start `manage.py ARGUMENTS` without waiting."""
        return self.start_python(str(ROOT / "manage.py"), *arguments, **environment)

    def start_python(self, *arguments: str, **environment: str) -> "subprocess.Popen[str]":
        """Start Python with these arguments in the project's environment."""
        process = subprocess.Popen(
            [*self.prefix, sys.executable, *arguments],
            cwd=ROOT,
            env=self.make_environment(environment),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.processes.append(process)
        return process

    def make_environment(self, more: dict[str, str]) -> dict[str, str]:
        """Return only the variables that a command needs, so that no setting of the developer leaks in."""
        names = ("PATH", "HOME", "LANG", "TMPDIR", "KASPARRO_HOME")
        kept = {name: os.environ[name] for name in names if name in os.environ}
        return {
            **kept,
            "DEBUG": "true",
            "DATABASE_URL": test_database_url(),
            "REDIS_URL": settings.REDIS_URL,
            "ETL_HTTP_BACKOFF_SECONDS": "0.01",
            "PYTHONPATH": str(ROOT),
            "TEST_FOLDER": str(self.folder),  # names the folder, for kill_all
            **self.environment,
            **more,
        }

    def run(self, *arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
        """Run `manage.py ARGUMENTS` to its end."""
        process = self.start(*arguments, **environment)
        output, errors = process.communicate(timeout=PATIENCE_SECONDS)
        return subprocess.CompletedProcess(arguments, process.returncode, output, errors)

    def ingest(self, *arguments: str, **environment: str) -> list[dict[str, Any]]:
        """Run `manage.py ingest --json` and return the objects that it printed."""
        done = self.run("ingest", "--json", *arguments, **environment)
        assert done.returncode in (0, 1, 3, 4), done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    def kill_all(self) -> None:
        """End the processes that a test has left running."""
        for process in self.processes:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
        end_processes(self.folder, patience_seconds=0)  # the processes that `up` started have their own sessions
        for process in self.processes:
            process.communicate()
