"""Homes of embedded servers: empty, used before, or with running servers that tests must not change."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from kasparro.embedded import Servers
from tests.kasparro.homes import copy_home, make_home


@pytest.fixture
def home() -> Iterator[Path]:
    with make_home() as made:
        yield made


@pytest.fixture(scope="package")
def seed() -> Iterator[Path]:
    """A home whose servers ran once and were stopped."""
    with make_home() as made:
        Servers(made).start()
        Servers(made).stop()
        yield made


@pytest.fixture
def used_home(home: Path, seed: Path) -> Path:
    """A home whose servers ran before, for tests that are not about the first start and need not wait for it."""
    copy_home(seed, home)
    return home


@pytest.fixture(scope="package")
def running(seed: Path) -> Iterator[Servers]:
    """Running servers, shared by tests that only read from them."""
    with make_home() as made:
        copy_home(seed, made)
        servers = Servers(made)
        servers.start()
        yield servers
