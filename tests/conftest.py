"""Fixtures that every test may use: servers of the run, and real `manage.py` processes on its database."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
from django.conf import settings
from django.db import connections

from tests.processes import Project

# A busy machine is no failure; in CI the same examples each time.
hypothesis.settings.register_profile("kasparro", deadline=None, derandomize=bool(os.environ.get("CI")))
hypothesis.settings.load_profile("kasparro")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Leave no server and no folder behind."""
    if settings.EMBEDDED_SERVERS.list_used():
        connections.close_all()
        settings.EMBEDDED_SERVERS.stop()
        shutil.rmtree(settings.EMBEDDED_SERVERS.folder, ignore_errors=True)
        shutil.rmtree(settings.EMBEDDED_HOME, ignore_errors=True)


@pytest.fixture
def project(transactional_db: None, tmp_path: Path) -> Iterator[Project]:
    """`manage.py` as users run it, in processes of its own, on the test's database; `folder` for input files."""
    running = Project(tmp_path)
    yield running
    running.kill_all()
