"""Request limits, counted once for all web processes, by token or by address."""

import os
import signal
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from kasparro.embedded import Servers
from tests.api.people import People, make_session, make_token
from tests.api.web import Web, serving


@pytest.fixture
def counting(tmp_path: Path, valkey: Servers) -> Iterator[Web]:
    """Two web processes that count in this test's own Valkey and trust a proxy."""
    with serving(
        tmp_path,
        WEB_PROCESSES="2",
        REDIS_URL=valkey.redis_url(),
        API_THROTTLE_TOKEN="15/minute",
        API_THROTTLE_ADDRESS="4/minute",
        TRUSTED_PROXIES="127.0.0.1,10.0.0.0/8",
    ) as web:
        yield web


def ask_often(
    web: Web, times: int, *, token: str | None = None, headers: Mapping[str, str] | None = None
) -> Counter[int]:
    with ThreadPoolExecutor(8) as pool:
        return Counter(pool.map(lambda _: web.ask("/stats", token=token, headers=headers).status, range(times)))


def test_requests_beyond_the_limit_get_a_429_with_retry_after(counting: Web, people: People) -> None:
    """Both processes together let exactly the permitted number of concurrent requests pass."""
    assert ask_often(counting, 40, token=people.viewer) == {200: 15, 429: 25}
    assert ask_often(counting, 3, headers={"X-API-Key": people.viewer}) == {429: 3}
    assert ask_often(counting, 20, token=make_token("vera")) == {200: 15, 429: 5}
    assert ask_often(counting, 20, headers=make_session("vera")) == {200: 15, 429: 5}
    assert ask_often(counting, 20, headers=make_session("nobody")) == {403: 15, 429: 5}
    refused = counting.ask("/stats", token=people.viewer)
    assert (refused.status, refused.content_type) == (429, "application/problem+json")
    assert refused.json()["type"] == "urn:kasparro:problem:throttled"
    assert 1 <= int(refused.headers["retry-after"]) <= 60
    assert counting.ask("/health").status == 200

    assert ask_often(counting, 10, headers=via("8.8.8.8")) == {401: 4, 429: 6}
    assert ask_often(counting, 3, token="kasparro_wrong", headers=via("8.8.8.8")) == {429: 3}
    assert ask_often(counting, 10, token="kasparro_wrong", headers=via("8.8.4.4")) == {401: 4, 429: 6}
    assert ask_often(counting, 3, token=people.operator, headers=via("8.8.8.8")) == {200: 3}

    forged = [via(f"1.1.1.{number}, 9.9.9.9") for number in range(3)] + [via("9.9.9.9, 10.1.2.3"), via("x, 9.9.9.9 ")]
    assert [counting.ask("/stats", headers=headers).status for headers in forged] == [401, 401, 401, 401, 429]
    others = [via(hop) for hop in ("2001:db8::1", "9.9.9.8, ", "unknown, 9.9.9.7", "9.9.9.9, 9.9.9.6")]
    assert [counting.ask("/stats", headers=headers).status for headers in others] == [401] * 4
    # An invalid address counts for the proxy that sent it.
    unknown = [via(hop) for hop in ("", ",", "nonsense", "9.9.9.5:80", "' OR 1=1", "x" * 3000)]
    assert [counting.ask("/stats", headers=headers).status for headers in unknown] == [401] * 4 + [429] * 2


def via(addresses: str) -> dict[str, str]:
    return {"X-Forwarded-For": addresses}


def test_forwarded_addresses_of_an_untrusted_client_are_ignored_and_a_window_ends(
    tmp_path: Path, people: People
) -> None:
    with serving(tmp_path, API_THROTTLE_ADDRESS="3/10 second", TRUSTED_PROXIES="10.0.0.0/8") as web:
        headers = [
            via(f"7.7.7.{number}") | {"Forwarded": f"for=7.7.7.{number}", "X-Real-IP": "7.7.7.7"} for number in range(5)
        ]
        answers = [web.ask("/stats", headers=each) for each in headers]
        assert [answer.status for answer in answers] == [401, 401, 401, 429, 429]
        assert {line["ip"] for line in web.read_log() if "ip" in line} == {"127.0.0.1"}
        time.sleep(int(answers[-1].headers["retry-after"]))
        assert web.ask("/stats", headers=headers[0]).status == 401


def test_without_redis_requests_pass_with_a_warning(tmp_path: Path, people: People, valkey: Servers) -> None:
    with serving(tmp_path, REDIS_URL=valkey.redis_url(), API_THROTTLE_TOKEN="2/minute") as web:
        (server,) = valkey.list_used()
        process = server.find_process()
        assert process is not None
        assert [web.ask("/stats", token=people.viewer, seconds=15).status for _ in range(3)] == [200, 200, 429]
        os.kill(process, signal.SIGSTOP)
        assert [web.ask("/stats", token=people.viewer, seconds=15).status for _ in range(3)] == [200] * 3
        began = time.monotonic()
        health = web.ask("/health")
        assert (health.status, health.json()["status"], health.json()["redis"]) == (200, "degraded", "unreachable")
        assert time.monotonic() - began < 15
        os.kill(process, signal.SIGCONT)
        assert web.ask("/stats", token=people.viewer, seconds=15).status == 429
        os.kill(process, signal.SIGKILL)
        assert [web.ask("/stats", token=people.viewer, seconds=15).status for _ in range(3)] == [200] * 3
        began = time.monotonic()
        health = web.ask("/health")
        assert (health.status, health.json()["status"], health.json()["redis"]) == (200, "degraded", "unreachable")
        assert time.monotonic() - began < 15
        warnings = [
            line["event"]
            for line in web.read_log()
            if line["level"] == "warning" and line["logger"] == "api.access.throttling"
        ]
        assert len(warnings) == 6
