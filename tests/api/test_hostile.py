"""Every parameter, header and body with hostile values: a precise 4xx or a correct response, and never a 5xx."""

import json
from collections.abc import Iterator
from urllib.parse import quote

from api.views.data import ChangesViewSet, DataViewSet
from api.views.monitoring import MetricsViewSet, StatsViewSet
from api.views.quarantine import QuarantineViewSet
from api.views.runs import ComparisonViewSet, RunViewSet
from api.views.sources import ChangeViewSet, CheckpointViewSet, SnapshotViewSet, SourceViewSet
from tests.api.landed import SOURCE, Landed, land
from tests.api.people import People
from tests.api.test_access import list_endpoints
from tests.api.web import Answer, Web

VALUES = {
    name: quote(name, safe="%")
    for name in (
        *("-1", "0", "1", "abc", "1000000000", "9223372036854775807", "9223372036854775808", "1e3", "1.0", "+1", "0x1"),
        *("NaN", "Infinity", "-inf", "1e999999", "1e-999999", "9" * 40, "0." + "1" * 40, "9999-99-99", "10000-01-01"),
        *("0001-01-01", "9999-12-31T23:59:59.999999-23:59", "0001-01-01T00:00:00+23:59", "2026-01-01T00:00:00Z"),
        *("٣", "１", "₁", "'; DROP TABLE etl_runs; --", "%25_\\", "{}", "[]", "null", "true", "a|b=c", "id", "-id"),
        *(
            "--id",
            "external_id",
            "exact",
            "x" * 1000,
            "x" * 5000,
            "🦄",
            "\u202e",
            "\ufeff",
            "\u200b1",
            " 1",
            "1 ",
            "1\n",
        ),
    )
} | {
    "nothing": "",
    "null byte": "%00",
    "null byte within": "a%00b",
    "surrogate": "%ED%A0%80",
    "no UTF-8": "%FF%FE",
    "cut UTF-8": "%C3",
    "bad escape": "%ZZ",
}
HARSHEST = (
    *("-1", "0", "abc", "1000000000", "9223372036854775808", "null byte", "surrogate", "NaN", "1e999999", "9999-99-99"),
    *("9999-12-31T23:59:59.999999-23:59", "true", "x" * 5000, "nothing"),
)
VIEWS = {
    "/api/v1/data": (DataViewSet, "list"),
    "/api/v1/data/{pk}/history": (DataViewSet, "history"),
    "/api/v1/changes": (ChangesViewSet, "list"),
    "/api/v1/runs": (RunViewSet, "list"),
    "/api/v1/runs/{pk}": (RunViewSet, "retrieve"),
    "/api/v1/runs/{pk}/events": (RunViewSet, "events"),
    "/api/v1/compare-runs": (ComparisonViewSet, "list"),
    "/api/v1/sources": (SourceViewSet, "list"),
    "/api/v1/checkpoints": (CheckpointViewSet, "list"),
    "/api/v1/schema-snapshots": (SnapshotViewSet, "list"),
    "/api/v1/schema-changes": (ChangeViewSet, "list"),
    "/api/v1/quarantine": (QuarantineViewSet, "list"),
    "/api/v1/stats": (StatsViewSet, "list"),
    "/api/v1/metrics": (MetricsViewSet, "list"),
}


def list_parameters(route: str) -> list[str]:
    view, action = VIEWS[route]
    return [parameter.name for parameter in view(action=action).list_parameters() if parameter.location == "query"]


def add(landed: Landed, route: str, name: str, value: str) -> str:
    """The address with this parameter and the others that the route requires."""
    address, _, needed = landed.fill(route).partition("?")
    given = [pair for pair in needed.split("&") if pair and not pair.startswith(f"{name}=")]
    return f"{address}?{'&'.join([*given, f'{name}={value}'])}"


def assert_precise(answer: Answer, about: object, statuses: tuple[int, ...] = (400,)) -> None:
    """Assert that the response is a problem with the request's id and one of these statuses."""
    assert answer.status in statuses, (about, answer.status, answer.body[:300])
    assert answer.content_type == "application/problem+json", about
    problem = answer.json()
    assert problem["status"] == answer.status, about
    assert problem["request_id"] == answer.headers["x-request-id"], about
    assert problem["type"].startswith("urn:kasparro:problem:"), about
    assert problem["detail"], about
    assert len(answer.body) < 10_000, about


def list_all_parameters() -> list[tuple[str, str]]:
    return [(route, name) for route in VIEWS for name in list_parameters(route)]


def test_no_value_of_any_parameter_breaks_a_list(web: Web, people: People) -> None:
    landed = land()
    assert len(list_all_parameters()) > 40
    for route, name in list_all_parameters():
        refused = 0
        for value in VALUES.values() if route == "/api/v1/data" else map(VALUES.__getitem__, HARSHEST):
            answer = web.ask(add(landed, route, name, value), token=people.viewer)
            if answer.status == 200:
                answer.json()
            else:
                assert_precise(answer, (route, name, value[:50]), (400, 404))
                refused += 1
        assert refused >= 3, (route, name)


def test_unknown_and_repeated_parameters_are_refused(web: Web, people: People) -> None:
    landed = land()
    for route in VIEWS:
        for name in ("nonsense", "format", "source%00", "%ED%A0%80", "", "Limit", "limit%5B%5D", "x" * 3000):
            answer = web.ask(add(landed, route, name, "1"), token=people.viewer)
            assert_precise(answer, (route, name))
            assert "errors" in answer.json(), (route, name)
    for route, name in list_all_parameters():
        answer = web.ask(f"{add(landed, route, name, '1')}&{name}=1", token=people.viewer)
        assert_precise(answer, (route, name))
        assert answer.json()["errors"][0]["parameter"] == name


def test_no_id_in_a_path_breaks_an_address(web: Web, people: People) -> None:
    landed = land()
    details = ("data/{}", "data/{}/history", "runs/{}", "runs/{}/events", "schema-snapshots/{}", "schema-changes/{}")
    for route in (*details, "quarantine/{}"):
        for value in (value for value in VALUES.values() if value != ""):
            answer = web.ask(f"/api/v1/{route.format(value)}", token=people.viewer)
            if answer.status != 200:
                assert_precise(answer, (route, value[:50]), (404, 400))
    orders = ("runs/{}/cancel", "schema-changes/{}/acknowledge", "quarantine/{}/replay", "quarantine/{}/discard")
    for route in orders:
        for value in (value for name, value in VALUES.items() if value != "" and name not in ("1", "1\n")):
            answer = web.ask(f"/api/v1/{route.format(value)}", method="POST", token=people.operator)
            assert_precise(answer, (route, value[:50]), (404, 400))
    assert landed.record


def list_bodies() -> Iterator[tuple[bytes, int]]:
    """Bodies for POST /runs, each with the expected status."""
    value: object
    for value in (None, 1, -1, 2**63, 1.5, True, [], {}, [1], "", "abc", "x" * 5000, "\x00", "a\x00b", "🦄", "\u202e"):
        yield json.dumps({"source": value}).encode(), 400
    for value in (None, 0, 1, 2, -1, 1.0, "yes", "true", "false", "on", "abc", [], {}, "", "x" * 5000, "\x00", 10**30):
        yield json.dumps({"source": "products_csv", "full": value}).encode(), 400
    yield b'{"source": "\\ud800"}', 400
    yield b'{"source": "products_csv", "full": "\\ud800"}', 400
    yield b'{"source": "products_csv", "\\ud800": 1}', 400
    yield b'{"source": "products_csv", "\\u0000": 1}', 400
    yield b'{"source": "products_csv", "full": NaN}', 400
    yield b'{"source": "products_csv", "full": 1e999999}', 400
    yield b'{"source": "products_csv", "full": -Infinity}', 400
    yield b'{"source": "products_csv", "full": ' + b"9" * 5000 + b"}", 400
    yield b'{"source": "products_csv", "more": 1}', 400
    yield b'{"source": "products_csv", "options": {"full": true}}', 400
    for text in (b"", b"null", b"1", b'"x"', b"[]", b"[{}]", b"true", b"{", b"{}", b"\xff\xfe", b"\xed\xa0\x80"):
        yield text, 400
    yield b"[" * 100_000, 400
    yield b'{"a":' * 100_000, 400
    yield b"[" * 5_000 + b"]" * 5_000, 400
    yield '{"source": "products_csv"}'.encode("utf-16"), 400
    yield b"\xef\xbb\xbf" + b'{"source": "products_csv"}', 400
    yield b" " * 3_000_000, 413
    yield b'{"source": "' + b"x" * 3_000_000 + b'"}', 413


def test_no_body_breaks_a_run_request(web: Web, people: People) -> None:
    for body, status in list_bodies():
        answer = web.ask(
            "/api/v1/runs",
            method="POST",
            token=people.operator,
            body=body,
            headers={"Content-Type": "application/json"},
        )
        assert_precise(answer, body[:60], (status,))


def test_only_json_bodies_are_accepted(web: Web, people: People) -> None:
    body = '{"source": "products_csv"}'
    for kind in (
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "x",
        "a/b;c=\xff",
    ):
        answer = web.ask(
            "/api/v1/runs", method="POST", token=people.operator, body=body, headers={"Content-Type": kind}
        )
        assert_precise(answer, kind, (415,))
    for kind in ("application/json; charset=utf-7", "application/json; charset=nonsense", "application/json; charset="):
        answer = web.ask(
            "/api/v1/runs", method="POST", token=people.operator, body=body, headers={"Content-Type": kind}
        )
        assert answer.status in (202, 400, 415), kind


def test_no_header_breaks_a_response(web: Web, people: People) -> None:
    hostile = (
        *("", " ", "x" * 5000, "a b", "\t", "é", "\xff", "\x80", '"', "<script>", "a,b", "Token", "Token \xff"),
        *(
            "Token " + "x" * 5000,
            "Token \x7f",
            "kasparro_" + "x" * 95,
            "kasparro_é",
            "\ud83e".encode("utf-8", "replace").decode(),
        ),
    )
    for value in hostile:
        for name in ("Authorization", "X-API-Key", "X-Request-ID", "Cookie", "Accept-Language", "If-None-Match"):
            answer = web.ask("/api/v1/data", headers={"X-API-Key": people.viewer, name: value})
            assert answer.status in (200, 400, 401), (name, value[:50])
        for accept in (value, f"{value}/{value}", f"application/json;{value}", "text/html;q=x"):
            answer = web.ask("/api/v1/data", token=people.viewer, headers={"Accept": accept})
            assert answer.status in (200, 400, 406, 431), accept[:50]
        key = web.ask(
            "/api/v1/runs",
            method="POST",
            token=people.operator,
            content={"source": "products_csv"},
            headers={"Idempotency-Key": value},
        )
        is_accepted = (
            value.strip(" \t").isascii()
            and value.strip(" \t").isprintable()
            and 0 < len(value.strip(" \t")) <= 200
            and " " not in value.strip()
        )
        assert key.status == (202 if is_accepted else 400), (value[:50], key.body)


def test_a_forged_host_is_refused_as_a_problem(web: Web) -> None:
    for host in ("evil.test", "127.0.0.1:99999", "a b", "127.0.0.1@evil.test", "", "x" * 3000, "[::1"):
        for path in ("/api/v1/data", "/health", "/api/docs/"):
            answer = web.ask(path, headers={"Host": host})
            assert answer.status in (400, 401, 200), (host, answer.status)
            assert b"evil.test" not in answer.body


def test_other_methods_get_a_precise_response(web: Web, people: People) -> None:
    landed = land()
    others = ("/api/v1/quarantine/{pk}/replay", "/health", "/health/live", "/data", "/api/v1/nowhere")
    for route in (*VIEWS, *others):
        address = landed.fill(route)
        for method in ("PUT", "PATCH", "DELETE", "TRACE", "CONNECT", "BREW"):
            answer = web.ask(address, method=method, token=people.operator)
            is_known = method in ("PUT", "PATCH", "DELETE")
            assert_precise(answer, (method, route), (404 if route.endswith("nowhere") and is_known else 405,))
        got, head = (web.ask(address, method=method, token=people.viewer) for method in ("GET", "HEAD"))
        assert (head.status, head.content_type, head.body) == (got.status, got.content_type, b""), route
        assert web.ask(address.partition("?")[0], method="OPTIONS", token=people.viewer).status in (200, 404), route


HOSTILE_QUERIES = (
    "",
    "?version=%00",
    "?lang=%00",
    "?next=%00",
    "?format=%ED%A0%80",
    "?x=" + "%C3" * 2000,
    "?limit=-1&limit=%00",
)
HOSTILE_HEADERS: tuple[dict[str, str], ...] = (
    {},
    {"Accept": "text/html"},
    {"Accept": "application/x-ndjson;q=x"},
    {"Accept-Language": "\xff,../../x"},
    {"Content-Type": "multipart/form-data"},
    {"Cookie": "sessionid=%00; csrftoken=\x80"},
)


def test_no_method_of_any_address_answers_with_5xx(web: Web, people: People) -> None:
    landed = land()
    routes = sorted({route for _, route in list_endpoints()} | {"/api/v1/nowhere", "/admin/login/"})
    for route in routes:
        address = landed.fill(route).partition("?")[0]
        for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
            asked = [(query, HOSTILE_HEADERS[0]) for query in HOSTILE_QUERIES]
            asked += [("", headers) for headers in HOSTILE_HEADERS]
            tokens = (people.operator, None) if method in ("GET", "POST") else (people.operator,)
            for query, headers in asked:
                for token in tokens:
                    body = b'{"source": "\x00' if method in ("POST", "PUT", "PATCH") else None
                    answer = web.ask(address + query, method=method, token=token, headers=headers, body=body)
                    assert answer.status < 500, (method, route, query[:20], headers)
                    if not route.startswith(("/admin", "/api/session", "/favicon")):
                        assert answer.headers["cache-control"] == "private, no-store", (method, route)
                        assert {"Authorization", "Accept", "Cookie"} <= set(answer.headers["vary"].split(", "))


def test_the_docs_say_as_json_why_they_refuse(web: Web, people: People) -> None:
    for path in ("/api/docs/", "/api/schema"):
        for accept in ("text/html", "application/vnd.oai.openapi", "*/*"):
            assert_precise(web.ask(path, headers={"Accept": accept}), path, (401, 406))
            assert_precise(web.ask(f"{path}?version=%00", token=people.viewer), path, (400,))
    assert web.ask("/api/docs/", method="OPTIONS", token=people.viewer).json()["name"]


def test_malformed_http_is_refused(web: Web) -> None:
    for request in (
        b"GET /health HTTP/9.9\r\n\r\n",
        b"nonsense\r\n\r\n",
        b"GET /health\x00 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        b"GET /data?x=\xff\xfe HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        b"GET http://evil.test/data HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        b"POST /api/v1/runs HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: -1\r\n\r\n",
        b"POST /api/v1/runs HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0",
        b"POST /api/v1/runs HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 50\r\n\r\n{",
    ):
        answer = web.send_raw(request)
        assert not answer.startswith((b"HTTP/1.1 5", b"HTTP/1.0 5")), (request, answer[:200])
    assert web.ask("/health/live").status == 200


def list_lists(landed: Landed) -> dict[str, str]:
    """Addresses of different lists, each with a cursor to its next page."""
    return {
        "data": "/api/v1/data?limit=1",
        "data by external id": "/api/v1/data?limit=1&ordering=external_id",
        "data downwards": "/api/v1/data?limit=1&ordering=-id",
        "data of a source": f"/api/v1/data?limit=1&source={SOURCE}",
        "data of a name": "/api/v1/data?limit=1&name=Thing",
        "runs": "/api/v1/runs?limit=1",
        "runs of a source": f"/api/v1/runs?limit=1&source={SOURCE}",
        "runs with a status": "/api/v1/runs?limit=1&status=partial",
        "events": f"/api/v1/runs/{landed.run}/events?limit=1",
        "history": f"/api/v1/data/{landed.record}/history?limit=1",
        "snapshots": "/api/v1/schema-snapshots?limit=1",
    }


def test_a_cursor_of_another_list_is_refused(web: Web, people: People) -> None:
    lists = list_lists(land())
    cursors = {}
    for name, address in lists.items():
        following = web.ask(address, token=people.viewer).json()["next"]
        cursors[name] = following.partition("cursor=")[2].partition("&")[0]
        assert web.follow(following, token=people.viewer).status == 200
    for name, address in lists.items():
        for other, cursor in cursors.items():
            answer = web.ask(f"{address}&cursor={cursor}", token=people.viewer)
            if other == name:
                assert answer.status == 200
            else:
                assert_precise(answer, (name, other))
                assert "cursor" in answer.json()["detail"]


def test_a_tampered_cursor_is_refused(web: Web, people: People) -> None:
    land()
    following = web.ask("/api/v1/data?limit=1", token=people.viewer).json()["next"]
    address, _, rest = following.partition("cursor=")
    cursor = rest.partition("&")[0]
    for at in range(len(cursor)):
        for other in "Az0_":
            if cursor[at] != other:
                tampered = f"{cursor[:at]}{other}{cursor[at + 1 :]}"
                answer = web.follow(
                    f"{address.removesuffix('?').removesuffix('&')}?cursor={tampered}", token=people.viewer
                )
                assert answer.status == 400 or (at == len(cursor) - 1 and answer.status == 200), tampered
    for damaged in (cursor[:-2], cursor[1:], cursor * 2, "A", "=", "====", "x" * 2001):
        assert_precise(web.ask(f"/api/v1/data?limit=1&cursor={damaged}", token=people.viewer), damaged)
