"""The start and end of a test run, and the shared fixtures: real `manage.py` processes on its database, and servers."""

import os
import shutil
import signal
from collections.abc import Generator, Iterator
from pathlib import Path
from types import FrameType

import hypothesis
import pytest
from django.conf import settings
from django.db import connection, connections

from kasparro.embedded import Servers
from tests.laws.bounded import BoundedWaits
from tests.processes import Project, end_processes, run_servers
from tests.settings import RUN_FOLDER

# No deadline: a slow machine must not fail a test. CI runs the same examples each time.
hypothesis.settings.register_profile("kasparro", deadline=None, derandomize=bool(os.environ.get("CI")))
hypothesis.settings.load_profile("kasparro")


def pytest_sessionstart(session: pytest.Session) -> None:
    """Make the run's folder. SIGTERM ends the run like Ctrl-C, so that fixtures clean up."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        session.shouldstop = "ended by SIGTERM"  # in case a test catches the exception
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
    RUN_FOLDER.mkdir()
    RUN_FOLDER.chmod(0o711)  # the servers' user must be able to enter it


@pytest.hookimpl(wrapper=True)
def pytest_sessionfinish() -> Generator[None, None, None]:
    """Leave no process and no folder, for any way in which the run ends."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        return (yield)  # tears down the fixtures that an interrupted run left open
    finally:
        connections.close_all()
        end_processes(RUN_FOLDER)
        settings.EMBEDDED_SERVERS.stop()
        shutil.rmtree(RUN_FOLDER)


@pytest.fixture(autouse=True)
def bounded_waits(request: pytest.FixtureRequest) -> Iterator[None]:
    """Whatever etl writes in this process stands in a transaction whose waits are bounded."""
    if "transactional_db" not in request.fixturenames:
        yield
        return
    request.getfixturevalue("transactional_db")
    with connection.execute_wrapper(BoundedWaits()):
        yield


@pytest.fixture
def project(transactional_db: None, tmp_path: Path) -> Iterator[Project]:
    """`manage.py` as users run it, in separate processes on the test's database; `folder` is for input files."""
    running = Project(tmp_path)
    yield running
    running.kill_all()


@pytest.fixture
def own_servers() -> Iterator[Servers]:
    """Servers that a test may kill."""
    with run_servers() as servers:
        yield servers
