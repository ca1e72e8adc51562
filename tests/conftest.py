"""Start and end of a test run, and fixtures for all tests: real `manage.py` processes, and servers to kill."""

import os
import random
import secrets
import shutil
import signal
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import hypothesis
import pytest
from django.conf import settings
from django.db import connection, connections
from django.db.backends.postgresql.operations import DatabaseOperations

from etl.reading_process.process import ReadingProcess
from kasparro.embedded import Servers
from tests import examples
from tests.examples import IN_CI
from tests.laws.bounded import BoundedWaits
from tests.processes import ROOT, Project, end_processes, run_servers
from tests.settings import RUN_FOLDER

MOST_PROCESSES = 4
SLOWEST = (
    "tests/laws/test_crashes.py",
    "tests/execution/test_workers.py",
    "tests/laws/test_black_holes.py",
    "tests/browser/test_admin.py",
    "tests/management/test_commands.py",
    "tests/test_foreign_project.py",
    "tests/test_pruning.py",
    "tests/kasparro/test_embedded.py",
    "tests/laws/test_memory.py",
    "tests/upgrade/test_nothing_written.py",
    "tests/api/test_hostile.py",
    "tests/api/test_trouble.py",
    "tests/laws/reading_process/test_in_runs.py",
    "tests/upgrade/test_from_0_1_0.py",
    "tests/api/test_foreign.py",
    "tests/test_replay.py",
    "tests/laws/test_rough_crashes.py",
    "tests/targets/test_waiting.py",
)
"""They begin first, so that no process is left alone with one of them at the end (`--no-loadscope-reorder`)."""

# No deadline: a slow machine must not fail a test. CI runs the same examples each time.
hypothesis.settings.register_profile(
    "kasparro", deadline=None, derandomize=IN_CI, max_examples=examples.DEFAULT // examples.DIVISOR
)
hypothesis.settings.load_profile("kasparro")


def pytest_addoption(parser: pytest.Parser) -> None:
    """CI always kills at the same moments."""
    seed = 20261122 if IN_CI else secrets.randbelow(2**32)
    parser.addoption("--crash-seed", type=int, default=seed, help="kill processes at the moments of an earlier run")


@pytest.hookimpl(optionalhook=True)  # pytest-xdist's
def pytest_xdist_auto_num_workers() -> int:
    """One more than there are cores, because tests wait for a third of their time.

    Each process has servers of its own. Named servers serve one process: it owns all of their Redis.
    """
    servers = settings.EMBEDDED_SERVERS
    is_alone = servers.runs_postgresql and servers.runs_valkey
    return min((os.cpu_count() or 1) + 1, MOST_PROCESSES) if is_alone else 1


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Move the slowest files to the front."""
    ranks = {ROOT / path: rank for rank, path in enumerate(SLOWEST)}
    items.sort(key=lambda item: ranks.get(item.path, len(ranks)))


def pytest_report_header(config: pytest.Config) -> str:
    return f"crash seed: {config.getoption('--crash-seed')}"


def pytest_sessionstart(session: pytest.Session) -> None:
    """Create the run's folder, and let SIGTERM end the run like Ctrl-C, so that fixtures clean up."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        session.shouldstop = "ended by SIGTERM"  # in case a test catches the exception
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
    RUN_FOLDER.mkdir()
    RUN_FOLDER.chmod(0o711)  # the servers' user must be able to enter


@pytest.hookimpl(wrapper=True)
def pytest_sessionfinish() -> Generator[None, None, None]:
    """Remove all processes and the folder of the run, regardless of how it ends."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        return (yield)  # tears down the fixtures that an interrupted run left open
    finally:
        connections.close_all()
        end_processes(RUN_FOLDER)
        settings.EMBEDDED_SERVERS.stop()
        shutil.rmtree(RUN_FOLDER)


@pytest.fixture(scope="session")
def started_servers() -> None:
    settings.EMBEDDED_SERVERS.start()


@pytest.fixture(autouse=True)
def needed_servers(request: pytest.FixtureRequest) -> None:
    """Start the servers for a test that is marked: one that needs Redis alone has no fixture that starts them."""
    if request.node.get_closest_marker("servers"):
        request.getfixturevalue("started_servers")


@pytest.fixture(autouse=True)
def bounded_waits(request: pytest.FixtureRequest) -> Iterator[None]:
    """Check that etl, in this process, writes only in transactions whose waits are bounded."""
    marker = request.node.get_closest_marker("django_db")
    is_transactional = "transactional_db" in request.fixturenames or (marker and marker.kwargs.get("transaction"))
    if not is_transactional:
        yield
        return
    request.getfixturevalue("transactional_db")
    with connection.execute_wrapper(BoundedWaits()):
        yield


def truncate_used(operations: DatabaseOperations, style: object, tables: Sequence[str], **options: Any) -> list[str]:
    """Return a statement that truncates the tables with rows; to truncate an empty one costs as much."""
    with operations.connection.cursor() as cursor:
        cursor.execute(
            "SELECT oid::regclass::text FROM pg_class WHERE relname = ANY(%s) AND pg_relation_size(oid) > 0",
            [list(tables)],
        )
        used = [name for (name,) in cursor.fetchall()]
    return [f"TRUNCATE {', '.join(used)} CASCADE"] if used else []


@pytest.fixture(scope="session", autouse=True)
def quick_flush() -> Iterator[None]:
    """Make the flush after each test cheap."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DatabaseOperations, "sql_flush", truncate_used)
        yield


@pytest.fixture
def project(transactional_db: None, tmp_path: Path) -> Iterator[Project]:
    """`manage.py` in real processes, as users run it, on the test's database; `folder` is for input files."""
    running = Project(tmp_path)
    yield running
    running.kill_all()


@pytest.fixture
def moments(request: pytest.FixtureRequest) -> random.Random:
    """Where to kill a process, by chance. A failed test shows the seed that repeats its choices."""
    seed = request.config.getoption("--crash-seed")
    print(f"Crash seed {seed}: repeat this test with `pytest --crash-seed {seed}`.")
    return random.Random(seed)


@pytest.fixture
def own_servers() -> Iterator[Servers]:
    """Servers that a test may kill."""
    with run_servers() as servers:
        yield servers


@pytest.fixture
def valkey() -> Iterator[Servers]:
    """A separate Valkey, which the test may kill and which has no message of another test."""
    with run_servers(runs_postgresql=False) as servers:
        yield servers


@pytest.fixture
def start_slowly(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Let a reading process read even short content, and be ready after this many batches of the run's own."""

    def start_slowly(batches: int) -> None:
        settings.ETL_READING_PROCESS_BYTES = min(batches, 1)
        answers = iter([False] * (batches - 1))
        monkeypatch.setattr(ReadingProcess, "has_answered", lambda process: next(answers, True))

    return start_slowly
