"""Makes a mistake in a copy of the project, and runs the tests there that must catch it."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import redis

from etl.storage.driver import open_session
from kasparro.embedded import Servers

ROOT = Path(__file__).resolve().parents[2]
MOST_SECONDS = 300
"""Time limit for the tests of one mistake; if they hang, the mistake itself is badly written."""

TRIES = 2
"""A test that kills processes may miss a mistake once."""

DATABASE, UNCHANGED = "test_kasparro", "unchanged"
UNPROVEN = "UNPROVEN"
"""Is in each line that says what failed."""

PYTEST = (
    *(sys.executable, "-m", "pytest", "-q", "-rf", "--tb=short", "--reuse-db"),
    *("-p", "no:cacheprovider", "-p", "tests.laws.first_failure"),
)


Change = tuple[str, str]


def drop(text: str) -> Change:
    """Remove the text."""
    return text, ""


def before(text: str, added: str) -> Change:
    """Insert something before the text."""
    return text, added + text


def after(text: str, added: str) -> Change:
    """Insert something after the text."""
    return text, text + added


@dataclass(frozen=True, slots=True)
class Mistake:
    """Replaces the first text of each change with the second one, in `file` or in one file under that folder.

    This breaks the law with this number in docs/architecture.md, and each test in `caught_by` must fail.
    """

    law: int
    name: str
    file: str
    changes: tuple[Change, ...]
    caught_by: tuple[str, ...]

    def find_places(self, folder: Path) -> Iterator[tuple[Path, str, str]]:
        """Yield each path, the text to replace and its replacement; ValueError unless the text occurs exactly once."""
        place = folder / self.file
        paths = [place] if place.is_file() else sorted(place.rglob("*.py"))
        for former, wrong in self.changes:
            found = [path for path in paths for _ in range(path.read_text().count(former))]
            if len(found) != 1:
                raise ValueError(f"{self.name}: {len(found)} times and not once in {self.file}: {former!r}")
            yield found[0], former, wrong

    @contextmanager
    def make(self, folder: Path) -> Iterator[None]:
        """Make the mistake in the project copy in this folder, and undo it on exit."""
        places = list(self.find_places(folder))
        originals = {path: (path.read_bytes(), path.stat()) for path, _, _ in places}
        for path, former, wrong in places:
            path.write_text(path.read_text().replace(former, wrong))
        try:
            yield
        finally:
            for path, (content, status) in originals.items():
                path.write_bytes(content)
                os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))  # its bytecode is still valid

    @property
    def changes_tables(self) -> bool:
        return "migrations" in self.file


class Proof:
    """A copy of the project, its servers, and the unchanged project's database as a template for the others."""

    def __init__(self, folder: Path, servers: Servers) -> None:
        self.folder = folder
        self.servers = servers
        self.has_template = False

    def find_failures(self, tests: Sequence[str], mistake: Mistake | None = None) -> list[str]:
        """Run the tests with this mistake and return those that fail."""
        self._empty_redis()
        self._make_database(mistake)
        with mistake.make(self.folder) if mistake is not None else nullcontext():
            output = self._run(tests, mistake)
        failed = re.findall(r"^FAILED (\S+)", output, re.MULTILINE)
        if failed and mistake is None:
            print(output, flush=True)
        return [test for test in tests if any(one == test or one.startswith(f"{test}[") for one in failed)]

    def find_failures_twice(self, tests: Sequence[str]) -> list[str]:
        """Return the tests that fail without a mistake each time: `make test` is where they must pass at once."""
        failed = list(tests)
        for _ in range(TRIES):
            if failed:
                failed = self.find_failures(failed)
        return failed

    def keep_database(self) -> None:
        """Make the database that the tests have just created, if any, the template for later ones."""
        self.has_template = self._execute(f"SELECT FROM pg_database WHERE datname = '{DATABASE}'") == 1
        if self.has_template:
            self._end_sessions(DATABASE)  # of a process that a test has killed
            self._execute(f"ALTER DATABASE {DATABASE} RENAME TO {UNCHANGED}")

    def _run(self, tests: Sequence[str], mistake: Mistake | None) -> str:
        """The output of pytest, which removes everything that it has started even if this process is ended."""
        environment, pipe = self._make_environment(mistake), subprocess.PIPE
        command = [*PYTEST, *tests]
        # A failing test may print any bytes.
        process = subprocess.Popen(
            command, cwd=self.folder, env=environment, stdout=pipe, text=True, encoding="utf-8", errors="replace"
        )
        try:
            output, _ = process.communicate(timeout=MOST_SECONDS if mistake is not None else None)
        except BaseException:
            process.terminate()
            process.communicate()
            raise
        if process.returncode not in (0, 1):
            raise RuntimeError(f"pytest ended with {process.returncode}:\n{output}")
        return output

    def _make_database(self, mistake: Mistake | None) -> None:
        """Copy the template, unless the mistake is in a migration: then the tests create the database."""
        self._execute(f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)")
        if self.has_template and mistake is not None and not mistake.changes_tables:
            self._execute(f"CREATE DATABASE {DATABASE} TEMPLATE {UNCHANGED}")

    def _end_sessions(self, database: str) -> None:
        self._execute(f"SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = '{database}'")

    def _make_environment(self, mistake: Mistake | None) -> dict[str, str]:
        """Keep a mistake's bytecode off the disk: its file may have the same size and time as the original."""
        return {
            **os.environ,
            "ALL_EXAMPLES": "1",
            "DATABASE_URL": self.servers.database_url(),
            "REDIS_URL": self.servers.redis_url(),
            **({"PYTHONDONTWRITEBYTECODE": "1"} if mistake is not None else {}),
        }

    def _empty_redis(self) -> None:
        with redis.Redis.from_url(self.servers.redis_url()) as client:
            client.flushall()

    def _execute(self, statement: str) -> int:
        """Run the statement and return the number of its rows."""
        # CREATE DATABASE can't run in a transaction.
        with open_session(self.servers.database_url(), autocommit=True) as session, session.cursor() as cursor:
            cursor.execute(statement)
            return int(cursor.rowcount)


@contextmanager
def open_proof() -> Iterator[Proof]:
    """A proof with its own servers; everything is removed on exit."""
    home = Path(tempfile.mkdtemp(prefix="kasparro-proof-"))
    servers = Servers(home / "servers")
    try:
        home.chmod(0o711)  # lets the servers' user reach folders in it
        _copy_project(home / "project")
        servers.start()
        yield Proof(home / "project", servers)
    finally:
        servers.stop()
        shutil.rmtree(home, ignore_errors=True)


def _copy_project(folder: Path) -> None:
    """Copy the files that git tracks or would track."""
    listing = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True, check=True)
    for name in filter(lambda name: (ROOT / name).is_file(), listed.stdout.splitlines()):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, folder / name)


def prove(mistakes: Sequence[Mistake]) -> list[str]:
    """The named tests must pass on the unchanged project, and each mistake must make every test that it names fail.

    Returns the lines that say what failed, which are printed too.
    """
    tests = list(dict.fromkeys(test for mistake in mistakes for test in mistake.caught_by))
    with open_proof() as proof:
        began = time.monotonic()
        if failed := proof.find_failures_twice(tests):
            failures = [f"{UNPROVEN}: fails without any mistake: {test}" for test in failed]
            print("\n".join(failures), flush=True)
            return failures
        print(f"{time.monotonic() - began:5.1f} s  without any mistake {len(tests)} tests pass", flush=True)
        proof.keep_database()
        failures = [line for mistake in mistakes if (line := _find_failure(proof, mistake)) is not None]
    print(f"{len(mistakes) - len(failures)} of {len(mistakes)} mistakes were noticed by each of their tests.")
    return failures


def _find_failure(proof: Proof, mistake: Mistake) -> str | None:
    """Print a line about the mistake, and return it unless each test noticed the mistake."""
    began = time.monotonic()
    passed: Sequence[str] = mistake.caught_by
    for _ in range(TRIES):
        failed = proof.find_failures(passed, mistake)
        passed = [test for test in passed if test not in failed]
        if not passed:
            break
    verdict = f"{UNPROVEN}, not noticed by {', '.join(passed)}" if passed else "noticed"
    line = f"{time.monotonic() - began:5.1f} s  law {mistake.law:<2}  {mistake.name}: {verdict}"
    print(line, flush=True)
    return line if passed else None
