"""Home folders of embedded servers, and `manage.py` on them without any of the developer's own settings."""

import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from etl.storage.driver import open_session, use_last_result
from kasparro.embedded import Server, Servers
from tests.processes import ROOT, end_processes
from tests.settings import RUN_FOLDER

STRANGER = 12_345  # a user who runs no server
LOCATED = re.compile(r"/var/tmp/kasparro-\d+-[0-9a-f]{12}")
DURABLE_ROW = "CREATE TABLE IF NOT EXISTS kept (n int); INSERT INTO kept VALUES (1)"
SHELL = ("shell", "--verbosity", "0", "--command")
CONNECT = (*SHELL, "from django.db import connection; connection.ensure_connection()")
COUNT_KEPT = (
    "from django.db import connection; cursor = connection.cursor();"
    "cursor.execute('SELECT count(*) FROM kept'); print(cursor.fetchone()[0])"
)
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user or mount a disk")


@contextmanager
def make_home() -> Iterator[Path]:
    """An empty home folder. On exit its processes are ended, and it and the target of its `location` are removed."""
    others = set(Path("/var/tmp").iterdir())
    home = Path(tempfile.mkdtemp(prefix="home-", dir=RUN_FOLDER))
    home.chmod(0o755)
    try:
        yield home
    finally:
        located = {link.readlink() for link in home.rglob("location")}
        # The code under test created the targets: remove one only if it is new and has the name of such a folder.
        for folder in (home, *(path for path in located - others if LOCATED.fullmatch(str(path)))):
            end_processes(folder)
            shutil.rmtree(folder, ignore_errors=True)


def copy_home(seed: Path, home: Path) -> None:
    for path in seed.iterdir():
        is_program = "-" in path.name  # hard links are enough, because programs are never written to
        subprocess.run(["cp", "-al" if is_program else "-a", str(path), str(home)], check=True)


def start_manage(
    home: Path, *arguments: str, prefix: Sequence[str] = (), **environment: str
) -> "subprocess.Popen[str]":
    """Start `manage.py ARGUMENTS`. An empty variable counts as unset."""
    unset = dict.fromkeys(("DATABASE_URL", "REDIS_URL", "SECRET_KEY", "ALLOWED_HOSTS", "HTTPS", "ETL_SOURCES"), "")
    path = os.environ.get("PATH", os.defpath)
    known = {"PATH": path, "DEBUG": "true", "KASPARRO_HOME": str(home), "PYTHONDONTWRITEBYTECODE": "1", **unset}
    return subprocess.Popen(
        [*prefix, sys.executable, str(ROOT / "manage.py"), *arguments],
        cwd=ROOT,
        env={**known, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def manage(
    home: Path, *arguments: str, prefix: Sequence[str] = (), **environment: str
) -> "subprocess.CompletedProcess[str]":
    process = start_manage(home, *arguments, prefix=prefix, **environment)
    output, errors = process.communicate(timeout=90)
    assert "Traceback" not in errors, errors
    return subprocess.CompletedProcess(arguments, process.returncode, output, errors)


def run_sql(servers: Servers, sql: str) -> object:
    with open_session(servers.database_url()) as session, session.cursor() as cursor:
        cursor.execute(sql)
        use_last_result(cursor)
        row = cursor.fetchone() if cursor.description else None
        return row[0] if row else None


def list_servers(folder: Path) -> list[str]:
    """Return the names of the server programs that run on this folder (for PostgreSQL, only the postmaster)."""
    done = subprocess.run(["ps", "-ww", "-eo", "args="], capture_output=True, text=True, check=True)
    programs = [Path(line.split()[0]).name for line in done.stdout.splitlines() if f"{folder}/" in line]
    return sorted(program for program in programs if program in ("postgres", "valkey-server"))


def find_pid(server: Server) -> int:
    pid = server.find_process()
    assert pid is not None
    return pid


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)
