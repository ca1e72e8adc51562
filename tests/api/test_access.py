"""Access: every address of the URLconf, with every kind of credentials."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from django.contrib.auth.models import User
from django.urls import URLResolver, get_resolver

from api.models import Token
from tests.api.landed import Landed, land
from tests.api.people import People, make_session, make_token
from tests.api.web import Web, serving

ORDERS = {"cancel": None, "replay": None, "discard": None, "acknowledge": None, "runs": {"source": "products_csv"}}
PASSED = frozenset((200, 202))


def walk(resolver: Any, before: str = "") -> Iterator[tuple[str, Any]]:
    """Every route as an address with `{pk}`, and its view."""
    for entry in resolver.url_patterns:
        route = before + str(entry.pattern).removeprefix("^").removesuffix("$").replace("(?P<pk>[0-9]+)", "{pk}")
        if isinstance(entry, URLResolver):
            yield from walk(entry, route)
        else:
            yield f"/{route}", entry.callback


def list_endpoints(*, of_admin: bool = False) -> list[tuple[str, str]]:
    """Method and route of all endpoints."""
    endpoints = []
    for route, view in walk(get_resolver()):
        if route.startswith("/admin") is of_admin and not route.startswith("/api(/|"):
            actions = getattr(view, "actions", None) or {"get": ""}
            endpoints += [(method.upper(), route) for method in actions if method != "head"]  # DRF adds HEAD to GET
    return endpoints


def ask_all(
    web: Web, landed: Landed, endpoints: list[tuple[str, str]], headers: Mapping[str, str]
) -> dict[tuple[str, str], int]:
    """The status of each endpoint; 409 counts as permitted, because the action may have been done already."""
    answers = {}
    for method, route in endpoints:
        content = ORDERS.get(route.rpartition("/")[2]) if method == "POST" else None
        status = web.ask(landed.fill(route), method=method, headers=headers, content=content).status
        answers[method, route] = 200 if status in (200, 202, 409) else status
    return answers


OPEN = {"/health", "/api/v1/health", "/health/live", "/api/v1/health/live", "/api/session/login/"}
FOR_ALL_KNOWN = {"/api/v1/", "/api/schema", "/api/docs/"}


def expect(
    endpoints: list[tuple[str, str]], *, reading: int, operating: int, known: int = 200, opened: int = 200
) -> Any:
    """The expected status of each endpoint for one kind of credentials."""
    return {
        (method, route): (
            200
            if route.endswith("/live") or route.startswith("/api/session/")
            else opened
            if route in OPEN
            else known
            if route in FOR_ALL_KNOWN
            else reading
            if method == "GET"
            else operating
        )
        for method, route in endpoints
    }


def list_api_endpoints() -> list[tuple[str, str]]:
    """All endpoints except two open ones that only redirect."""
    return [endpoint for endpoint in list_endpoints() if endpoint[1] not in ("/api/session/logout/", "/favicon.ico")]


def test_every_address_permits_exactly_the_right_credentials(web: Web, people: People) -> None:
    check_all_credentials(web, people)


def check_all_credentials(web: Web, people: People) -> None:
    landed, endpoints = land(), list_api_endpoints()
    assert len(endpoints) > 30
    nothing = make_token("gone")
    User.objects.get(username="gone").groups.clear()
    inactive = make_token("ina", scope="operate")
    User.objects.filter(username="ina").update(is_active=False)
    revoked = make_token("olga", scope="operate")
    Token.objects.filter(prefix=revoked[:15]).delete()
    wrong = [
        *({"Authorization": f"Token {bad}"} for bad in ("kasparro_no", "x", people.viewer + "x", inactive, revoked)),
        {"Authorization": f"Token {make_token('olga', scope='operate', has_expired=True)}"},
        {"X-API-Key": "kasparro_wrong"},
        {"X-API-Key": ""},
        {"Authorization": f"Bearer {people.operator}"},
        {"Authorization": "Basic b2xnYTpvbGdh"},
        {"Authorization": "Token"},
        {"Authorization": f"Token {people.operator} {people.operator}"},
        {"Authorization": "Token wrong", **make_session("olga")},
    ]
    kinds = [
        ({}, expect(endpoints, reading=401, operating=401, known=401)),
        *((headers, expect(endpoints, reading=401, operating=401, known=401, opened=401)) for headers in wrong),
        ({"Authorization": f"Token {people.viewer}"}, expect(endpoints, reading=200, operating=403)),
        ({"X-API-Key": people.viewer}, expect(endpoints, reading=200, operating=403)),
        ({"X-API-Key": make_token("olga", scope="read")}, expect(endpoints, reading=200, operating=403)),
        ({"Authorization": f"Token {nothing}"}, expect(endpoints, reading=403, operating=403)),
        (make_session("vera", has_csrf=True), expect(endpoints, reading=200, operating=403)),
        (make_session("olga"), expect(endpoints, reading=200, operating=403)),
        (make_session("nobody", has_csrf=True), expect(endpoints, reading=403, operating=403)),
        ({"Cookie": "sessionid=forged"}, expect(endpoints, reading=401, operating=401, known=401)),
        (make_session("olga", has_csrf=True), expect(endpoints, reading=200, operating=200)),
        ({"Authorization": f"Token {people.operator}"}, expect(endpoints, reading=200, operating=200)),
        ({"Authorization": f"TOKEN  {people.operator} "}, expect(endpoints, reading=200, operating=200)),
    ]
    for headers, expected in kinds:
        assert ask_all(web, landed, endpoints, headers) == expected, headers


def test_a_token_does_not_open_the_admin(web: Web, people: People) -> None:
    User.objects.filter(username="olga").update(is_staff=True, is_superuser=True)
    routes = [route for _, route in list_endpoints(of_admin=True) if not re.search(r"<|\(|login", route)]
    assert len(routes) > 10
    for headers in ({}, {"X-API-Key": people.operator}, {"Authorization": f"Token {people.operator}"}):
        assert {route: web.ask(route, headers=headers).status for route in routes} == dict.fromkeys(routes, 302)


def test_refusals_name_the_scheme_and_the_requests_id(web: Web, people: People) -> None:
    for path, token, status in (("/data", None, 401), ("/data", "wrong", 401), ("/api/v1/nowhere", None, 404)):
        answer = web.ask(path, token=token, headers={"X-Request-ID": "mine"})
        assert (answer.status, answer.content_type) == (status, "application/problem+json")
        assert answer.json()["request_id"] == answer.headers["x-request-id"] == "mine"
        assert answer.headers.get("www-authenticate") == ("Token" if status == 401 else None)


def test_docs_and_metrics_are_as_open_as_they_are_configured(people: People, tmp_path: Path) -> None:
    with serving(tmp_path, API_DOCS_OPEN="on", METRICS_ACCESS="private") as web:
        opened = {route for method, route in list_api_endpoints() if method == "GET" and web.ask(route).status == 200}
    assert opened == OPEN | {"/api/schema", "/api/docs/", "/metrics", "/api/v1/metrics"}


def test_private_metrics_are_closed_to_public_addresses(people: People, tmp_path: Path) -> None:
    with serving(tmp_path, METRICS_ACCESS="private", TRUSTED_PROXIES="127.0.0.1") as web:
        statuses = {
            address: web.ask("/metrics", headers={"X-Forwarded-For": address}).status
            for address in ("10.1.2.3", "8.8.8.8", "10.1.2.3, 8.8.8.8", "::ffff:8.8.8.8", "2001:4860::8888", "fd00::1")
        }
        assert web.ask("/metrics", token=people.viewer, headers={"X-Forwarded-For": "8.8.8.8"}).status == 200
    assert statuses == {
        "10.1.2.3": 200,
        "8.8.8.8": 401,
        "10.1.2.3, 8.8.8.8": 401,
        "::ffff:8.8.8.8": 401,
        "2001:4860::8888": 401,
        "fd00::1": 200,
    }
