"""An admin with two sources, and clients of its users."""

from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.test import Client

from api.access.groups import make_groups
from tests.admin.people import make_client


@pytest.fixture(autouse=True)
def two_sources(transactional_db: None, settings: Any, tmp_path: Path) -> None:
    make_groups(apps)  # a flushed database has no groups
    settings.ETL_SOURCES = ["tests.admin.rows.Wares", "tests.admin.rows.Idle"]
    settings.STATIC_ROOT = str(tmp_path)  # whitenoise warns if the folder does not exist


@pytest.fixture
def operator() -> Client:
    return make_client("operator")


@pytest.fixture
def viewer() -> Client:
    return make_client("viewer")
