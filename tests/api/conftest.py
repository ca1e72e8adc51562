"""One gunicorn shared by the tests that need no special settings, and users with tokens of each kind."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.apps import apps

from api.access.groups import make_groups
from tests.api.people import People, make_people
from tests.api.web import SECRET_KEY, Web, start_web
from tests.execution.test_workers import workers  # noqa: F401  (a fixture)


@pytest.fixture(scope="session")
def shared_web(
    django_db_setup: None, django_db_blocker: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Web]:
    with django_db_blocker.unblock(), start_web(tmp_path_factory.mktemp("web")) as web:
        yield web


@pytest.fixture(autouse=True)
def prepared(transactional_db: None, settings: Any) -> None:
    """Restore the groups that migrations create, and use the web processes' key."""
    settings.SECRET_KEY = SECRET_KEY
    make_groups(apps)


@pytest.fixture
def web(shared_web: Web, prepared: None) -> Web:
    return shared_web


@pytest.fixture
def people(prepared: None) -> People:
    return make_people()
