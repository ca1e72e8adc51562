"""The age of the statistics that `/stats` shows."""

from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from api.views import monitoring
from tests.api.landed import land
from tests.api.people import People, make_token
from tests.api.web import serving
from tests.processes import wait_until


@pytest.fixture
def lasting(settings: Any, tmp_path: Path) -> None:
    settings.STATIC_ROOT = str(tmp_path)
    settings.API_STATS_SECONDS = 1e9
    monitoring._read_statistics_of.cache_clear()


def test_many_requests_for_statistics_cost_one_reading(lasting: None, django_assert_num_queries: Any) -> None:
    client = Client(SERVER_NAME="localhost", headers={"Authorization": f"Token {make_token()}"})
    first = client.get("/stats").json()
    with django_assert_num_queries(1):  # the token's
        assert client.get("/stats").json() == first


def test_kept_statistics_are_shown_only_to_those_who_may_see_them(lasting: None) -> None:
    token = make_token()
    assert Client(SERVER_NAME="localhost", headers={"Authorization": f"Token {token}"}).get("/stats").status_code == 200
    assert Client(SERVER_NAME="localhost").get("/stats").status_code == 401


def test_statistics_follow_what_happens_within_the_period(people: People, tmp_path: Path) -> None:
    with serving(tmp_path, API_STATS_SECONDS="0.5") as web:
        before = web.ask("/stats", token=people.viewer).json()["total_runs"]
        land()
        wait_until(lambda: web.ask("/stats", token=people.viewer).json()["total_runs"] > before)
