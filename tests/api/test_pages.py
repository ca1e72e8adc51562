"""Pages for browsers: the docs, the browsable API, static files, and HTTPS."""

import re
from html import unescape
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from django.conf import settings

from tests.api.landed import land
from tests.api.people import People, make_session
from tests.api.web import SECRET_KEY, Web, serving
from tests.processes import Project

LOADED = re.compile(r"""(?:src|href|action)\s*=\s*["']([^"'>]+)|url\(["']?([^"')]+)""")


def list_loaded(page: str) -> set[str]:
    """Addresses that the page loads or links to."""
    return {unescape(first or second) for first, second in LOADED.findall(page)}


def list_foreign(page: str) -> set[str]:
    """Addresses of other hosts, anywhere in the page; names of XML namespaces don't count."""
    found = set(re.findall(r"https?://[^\s\"'<>\\)]+", page))
    return {address for address in found if urlsplit(address).hostname not in ("127.0.0.1", "www.w3.org")}


BROWSED = (
    "/api/v1/",
    "/api/v1/data",
    "/api/v1/runs",
    "/api/v1/quarantine",
    "/api/session/login/",
    "/api/v1/changes?source=listed",
)


def assert_pages_are_complete(web: Web) -> None:
    """Assert that the docs and the browsable API load nothing from other hosts, and that all their files exist."""
    browser = make_session("olga") | {"Accept": "text/html"}
    loaded = set()
    for path in ("/api/docs/", *BROWSED):
        page = web.ask(path, headers=browser)
        assert (page.status, page.content_type.partition(";")[0]) == (200, "text/html"), path
        assert list_foreign(page.text) == set(), path
        loaded |= {address for address in list_loaded(page.text) if address.startswith("/static/")}
    assert len(loaded) > 8
    for address in loaded:
        file = web.ask(address)
        assert (file.status, len(file.body) > 10) == (200, True), address
        assert not file.content_type.startswith("text/html"), address
    schema = web.ask("/api/schema", headers=browser | {"Accept": "application/json"})
    assert schema.json()["openapi"].startswith("3.")


def test_pages_are_complete_in_development(people: People, tmp_path: Path) -> None:
    land()
    with serving(tmp_path, DEBUG="on") as web:
        assert_pages_are_complete(web)


def test_pages_are_complete_in_production_once_static_files_are_collected(
    people: People, project: Project, tmp_path: Path
) -> None:
    land()
    collected = {"DJANGO_SETTINGS_MODULE": "tests.api.collected", "COLLECTED": str(tmp_path / "static")}
    production = {"DEBUG": "off", "SECRET_KEY": SECRET_KEY, "ALLOWED_HOSTS": "127.0.0.1"}
    done = project.run("collectstatic", "--noinput", "-v0", **collected, **production)
    assert done.returncode == 0, done.stderr
    with serving(tmp_path, **collected) as web:
        assert_pages_are_complete(web)
        assert "UserWarning" not in web.log.read_text()


@pytest.fixture(scope="module")
def secure(shared_web: Web, tmp_path_factory: pytest.TempPathFactory) -> object:
    with serving(tmp_path_factory.mktemp("secure"), HTTPS="on", TRUSTED_PROXIES="127.0.0.1") as web:
        yield web


def test_everything_but_health_and_metrics_redirects_to_https(secure: Web, people: People) -> None:
    for path in ("/data", "/api/v1/runs", "/admin/", "/api/docs/", "/stats", "/api/v1/nowhere"):
        answer = secure.ask(path, token=people.viewer)
        assert (answer.status, answer.headers["location"]) == (301, f"https://127.0.0.1:{secure.port}{path}"), path
    for path in ("/health", "/health/live", "/metrics"):
        for prefix in ("", "/api/v1"):
            assert secure.ask(prefix + path, token=people.viewer).status == 200, path
    assert secure.ask("/healthy", token=people.viewer).status == 301


def test_responses_through_an_https_proxy_have_strict_headers(secure: Web, people: People) -> None:
    forwarded = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "8.8.8.8"}
    answer = secure.ask("/data?limit=1", token=people.viewer, headers=forwarded)
    assert answer.status == 200
    assert "max-age=31536000" in answer.headers["strict-transport-security"]
    assert (answer.headers["x-content-type-options"], answer.headers["x-frame-options"]) == ("nosniff", "DENY")
    login = secure.ask("/api/session/login/", headers=forwarded)
    assert "Secure" in login.headers["set-cookie"]
    land()
    following = secure.ask("/data?limit=1", token=people.viewer, headers=forwarded).json()["next"]
    assert following.startswith(f"https://127.0.0.1:{secure.port}/data?")


def test_an_untrusted_client_can_not_claim_https(people: People, tmp_path: Path) -> None:
    with serving(tmp_path, HTTPS="on") as web:
        for name in ("X-Forwarded-Proto", "X-Forwarded-Ssl", "X-Forwarded-Protocol", "Forwarded"):
            value = {"X-Forwarded-Ssl": "on", "Forwarded": "proto=https"}.get(name, "https")
            assert web.ask("/data", token=people.viewer, headers={name: value}).status == 301, name


def test_a_documented_deployment_passes_djangos_checks(project: Project) -> None:
    production = {"DEBUG": "off", "SECRET_KEY": SECRET_KEY, "ALLOWED_HOSTS": "kasparro.test", "HTTPS": "on"}
    done = project.run("check", "--deploy", "--fail-level", "WARNING", **production)
    assert (done.returncode, "no issues" in done.stdout) == (0, True), done.stderr


def test_the_browsable_api_offers_only_permitted_forms(web: Web, people: People) -> None:
    land()
    html = {"Accept": "text/html"}
    operator = web.ask("/api/v1/runs", headers=make_session("olga") | html).text
    viewer = web.ask("/api/v1/runs", headers=make_session("vera") | html).text
    assert 'name="_content"' in operator
    assert 'name="_content"' not in viewer
    assert settings.STATIC_URL in operator
