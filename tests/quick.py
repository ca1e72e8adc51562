"""`pytest -p tests.quick` runs the tests that need no server, and lets none be started.

A test needs servers if it is marked `servers` or `django_db`, or has a fixture that makes a database or a home for
embedded servers.
"""

import os
from collections.abc import Iterator
from typing import NoReturn

import pytest

from kasparro.embedded import Servers

MARKS = ("servers", "django_db")
FIXTURES = {"db", "transactional_db", "django_db_setup", "home", "seed"}

# Read before the settings are: servers that a developer has named stay out of it too.
for name in ("DATABASE_URL", "REDIS_URL"):
    os.environ.pop(name, None)


def refuse(self: Servers, **options: bool) -> NoReturn:
    raise AssertionError("a quick test wants a server: mark it with pytest.mark.servers")


@pytest.fixture(autouse=True, scope="session")
def no_servers() -> Iterator[None]:
    """Neither PostgreSQL nor Valkey starts in this process."""
    with pytest.MonkeyPatch.context() as patch:
        for method in ("start", "start_missing"):
            patch.setattr(Servers, method, refuse)
        yield


def needs_servers(item: pytest.Item) -> bool:
    fixtures = getattr(item, "fixturenames", ())
    return any(item.get_closest_marker(mark) for mark in MARKS) or not FIXTURES.isdisjoint(fixtures)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    config.hook.pytest_deselected(items=[item for item in items if needs_servers(item)])
    items[:] = [item for item in items if not needs_servers(item)]
