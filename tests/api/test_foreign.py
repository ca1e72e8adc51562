"""In a project with REST_FRAMEWORK of its own, nothing opens and no response changes."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.urls import get_resolver
from rest_framework.settings import api_settings
from rest_framework.views import APIView

from api.views.base import ClosedView
from etl.clock import read_clock
from etl.models import Run
from etl.runs import schedule
from etl.sources.products import ProductsCsv
from tests.api.landed import Landed, land
from tests.api.people import People
from tests.api.test_access import OPEN, check_all_credentials, list_api_endpoints, walk
from tests.api.web import Answer, Web, serving

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


PROJECTS: dict[str, dict[str, str]] = {
    "REST_FRAMEWORK unset": {},
    "all that DRF can change": {"REST_FRAMEWORK": "hostile", "TIME_ZONE": "America/New_York"},
    "USE_TZ off": {"USE_TZ": "off", "TIME_ZONE": "Asia/Kathmandu"},
}


@pytest.fixture(params=PROJECTS, scope="module")
def foreign(
    request: pytest.FixtureRequest,
    django_db_setup: None,
    django_db_blocker: Any,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Web]:
    """A web process of a foreign project."""
    variables = {"DJANGO_SETTINGS_MODULE": "tests.api.foreign", **PROJECTS[request.param]}
    with django_db_blocker.unblock(), serving(tmp_path_factory.mktemp("foreign"), **variables) as web:
        yield web


def list_views() -> list[type[APIView]]:
    views = [getattr(view, "cls", None) for _, view in walk(get_resolver())]
    return [view for view in views if view is not None and issubclass(view, APIView)]


def test_every_view_is_closed_by_its_own_attributes() -> None:
    views = list_views()
    assert len(views) > 10
    assert [view for view in views if not issubclass(view, ClosedView)] == []
    for view in views:
        assert view.get_exception_handler(view()).__module__ == "api.errors"
        assert view.settings is not api_settings


def test_any_settings_permit_exactly_the_same_credentials(foreign: Web, people: People) -> None:
    check_all_credentials(foreign, people)


def test_no_method_of_any_address_opens_to_anonymous_clients(foreign: Web, people: People) -> None:
    landed = land()
    routes = {route for _, route in list_api_endpoints()} - OPEN
    assert len(routes) > 20
    for route in sorted(routes):
        for method in METHODS:
            content = {"source": "products_csv"} if method in ("POST", "PUT", "PATCH") else None
            answer = foreign.ask(landed.fill(route), method=method, content=content)
            assert answer.status in (401, 405), (method, route, answer.status)


def test_any_settings_give_the_same_responses(web: Web, foreign: Web, people: People) -> None:
    landed = land()
    land_a_failing_source()
    for address in list_addresses(landed):
        for method in ("GET", "OPTIONS"):
            ours, theirs = (
                steady(each, each.ask(address, method=method, token=people.viewer, headers=SAME))
                for each in (web, foreign)
            )
            assert theirs == ours, (method, address)
    for body in (b"null", b"[]", b'{"full": 1}', b'{"source": "nobody"}', b"{"):
        ours, theirs = (
            steady(each, each.ask("/api/v1/runs", method="POST", token=people.operator, body=body, headers=SAME))
            for each in (web, foreign)
        )
        assert theirs == ours, body


def list_addresses(landed: Landed) -> list[str]:
    """All addresses of the API that give the same response to each of two requests, and some that give errors."""
    changing = ("/metrics", "/api/v1/metrics", "/api/schema", "/api/docs", "/api/session")
    addresses = [landed.fill(route) for method, route in list_api_endpoints() if method == "GET"]
    addresses = [address for address in addresses if not address.startswith(changing)]
    addresses += [
        "/api/v1/runs?limit=0",
        "/api/v1/runs/999999",
        "/api/v1/nowhere",
        "/data?limit=1",
        "/data?format=json",
    ]
    addresses += ["/data?format=json"]
    addresses += [f"/api/v1/runs?started_{side}=2026-06-01T12:00:00" for side in ("after", "before")]
    assert len(addresses) > 30
    return addresses


def land_a_failing_source() -> None:
    """Give a source a schedule and failures, so that responses show when it is tried next."""
    schedule.make_missing_entry(ProductsCsv())
    now = read_clock()
    for number in range(3):
        times = dict.fromkeys(("created_at", "started_at", "finished_at"), now)
        Run.objects.create(
            source="products_csv",
            key=f"{number}",
            trigger="schedule",
            status="failed",
            reason="source_unreadable",
            **times,
        )


def test_each_time_in_a_response_is_in_utc_and_of_one_format(foreign: Web, people: People) -> None:
    landed = land()
    land_a_failing_source()
    found = 0
    for address in list_addresses(landed):
        for text in list_texts(foreign.ask(address, token=people.viewer).json()):
            if re.match(r"\d{4}-\d\d-\d\d", text):
                assert UTC_TIME.fullmatch(text), (address, text)
                found += 1
    assert found > 50


def test_a_time_that_was_not_sent_is_neither_shown_nor_matched(foreign: Web, people: People) -> None:
    landed = land()
    record = foreign.ask(f"/api/v1/data/{landed.record}", token=people.viewer).json()
    assert record["event_timestamp"] is None
    for given in ("event_after=0001-01-01", "event_before=9999-12-31"):
        assert foreign.ask(f"/data?{given}", token=people.viewer).json()["data"] == []


def test_a_record_is_replayed_under_any_settings(foreign: Web, people: People) -> None:
    address = f"/api/v1/quarantine/{land().refused}/replay"
    answers = [foreign.ask(address, method="POST", token=people.operator) for _ in range(2)]
    assert [answer.status for answer in answers] == [202, 202]
    assert answers[0].json()["id"] == answers[1].json()["id"]


UTC_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00")


def list_texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from list_texts(each)


SAME = {"Content-Type": "application/json", "X-Request-ID": "same"}
CHANGING = ("date", "content-length", "connection")


def steady(web: Web, answer: Answer) -> tuple[Any, ...]:
    """What a response says, without what differs from one request to the next."""
    headers = {name: value for name, value in answer.headers.items() if name not in CHANGING}
    body = re.sub(rb'"api_latency_ms": ?[0-9.]+|"age_s": ?[0-9.]+|"(beat_age|lag)_s": ?[0-9.]+', b"", answer.body)
    body = body.replace(str(web.port).encode(), b"port")
    return answer.status, headers, body
