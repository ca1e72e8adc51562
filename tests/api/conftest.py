"""One gunicorn for all tests that need no settings of their own; people with tokens of each kind."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.apps import apps

from api.access.groups import make_groups
from tests.api.people import People, make_people
from tests.api.web import SECRET_KEY, Web, start_web
from tests.execution.test_workers import valkey, workers  # noqa: F401  (fixtures)


@pytest.fixture(scope="session")
def standing_web(
    django_db_setup: None, django_db_blocker: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Web]:
    with django_db_blocker.unblock(), start_web(tmp_path_factory.mktemp("web")) as web:
        yield web


@pytest.fixture(autouse=True)
def window(transactional_db: None, settings: Any) -> None:
    """The tables as migrations leave them (a flushed database has no groups), and the web processes' key."""
    settings.SECRET_KEY = SECRET_KEY
    make_groups(apps)


@pytest.fixture
def web(standing_web: Web, window: None) -> Web:
    return standing_web


@pytest.fixture
def people(window: None) -> People:
    return make_people()
