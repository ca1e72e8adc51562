"""The time of a request: its attempts share the batch deadline, and nothing outlives the deadline of an attempt.

The slow servers here end by themselves after 15 s, so a law that is broken takes at least as long as that.
"""

import re
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from pytest_django.fixtures import Settings

from etl.exceptions import RateLimited, TransientSourceError
from etl.vocabulary import Reason
from tests.fakes import RecordingContext
from tests.http.raw_server import LIST, MOST_SECONDS, RawServer, answer, ending_in_time, get, get_body
from tests.http.surroundings import Names, TlsServer
from tests.processes import wait_until

UseProxy = Callable[[RawServer], None]


# --- all attempts of a request --------------------------------------------------------------------
def test_the_attempts_of_a_request_share_the_time_until_the_batch_deadline(settings: Settings) -> None:
    settings.ETL_HTTP_DEADLINE_SECONDS = 0.4
    watch = RecordingContext(seconds_left=1)
    with RawServer() as server:
        server.answers.append(server.trickle(b"HTTP/1.1 200 OK\r\n\r\n[", b" "))
        with pytest.raises(TransientSourceError, match=r"used up .*ETL_BATCH_DEADLINE_SECONDS") as caught:
            get(server.origin, watch)
    assert caught.value.reason is Reason.SOURCE_UNREACHABLE
    assert "The last attempt: the response was not complete after" in str(caught.value)
    assert len(server.requests) <= 3 < 1 + settings.ETL_HTTP_RETRIES


def test_an_attempt_gets_only_the_time_that_is_left(settings: Settings) -> None:
    settings.ETL_HTTP_DEADLINE_SECONDS = 300
    watch = RecordingContext(seconds_left=0.34)
    with RawServer() as server, ending_in_time():
        server.answers.append(server.trickle(b"HTTP/1.1 200 OK\r\n\r\n[", b" "))
        with pytest.raises(TransientSourceError, match=r"not complete after 0\.[0-3] s"):
            get(server.origin, watch)


def test_a_wait_that_leaves_no_time_for_an_attempt_is_not_begun(settings: Settings) -> None:
    settings.ETL_HTTP_BACKOFF_SECONDS = settings.ETL_HTTP_BACKOFF_CAP_SECONDS = 100
    watch = RecordingContext(seconds_left=40)
    busy, cause = answer(status="503 Service Unavailable"), "The last attempt: 503 Service Unavailable"
    with RawServer(busy) as server, pytest.raises(TransientSourceError, match=cause):
        get(server.origin, watch)
    assert (len(server.requests), watch.waits) == (1, [])


def test_a_retry_after_beyond_the_time_that_is_left_names_the_time_to_try_again() -> None:
    watch = RecordingContext(max_wait_seconds=600, seconds_left=100)
    busy = answer(status="429 Too Many Requests", Retry_After="95")
    with RawServer(busy) as server, pytest.raises(RateLimited, match="requires a wait of 95 s"):
        get(server.origin, watch)
    assert watch.waits == []


def test_a_rate_limit_beyond_the_time_that_is_left_names_the_time_to_try_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    watch = RecordingContext(max_wait_seconds=600, seconds_left=100)
    paces = iter([95.0, 0.0])
    monkeypatch.setattr(watch, "find_pace", lambda host, limit: next(paces))
    with RawServer(answer()) as server, pytest.raises(RateLimited, match="requires a wait of 95 s"):
        get(server.origin, watch)
    assert server.requests == []


def test_without_time_no_attempt_succeeds() -> None:
    with RawServer(answer()) as server, pytest.raises(TransientSourceError, match="is used up"):
        get(server.origin, RecordingContext(seconds_left=-1))


# --- one attempt ----------------------------------------------------------------------------------
@pytest.fixture
def hasty(settings: Settings) -> None:
    """One attempt, with a short deadline and a timeout that does not end it."""
    settings.ETL_HTTP_DEADLINE_SECONDS, settings.ETL_HTTP_RETRIES, settings.ETL_HTTP_TIMEOUT_SECONDS = 0.3, 0, 30


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize(
    ("head", "piece"),
    [
        (b"HTTP/1.1 200 Connection established\r\nX-Endless: ", b"x"),
        (b"HTTP/1.1 2", b"0"),
        (b"", b""),
    ],
    ids=["header", "status", "silence"],
)
@pytest.mark.parametrize("proxy_kind", [RawServer, TlsServer])
def test_a_proxy_that_answers_connect_byte_by_byte_does_not_outlive_the_deadline(
    head: bytes, piece: bytes, proxy_kind: type[RawServer], proxies: UseProxy, trust: None
) -> None:
    with proxy_kind() as proxy:
        proxy.answers.append(proxy.trickle(head, piece))
        proxies(proxy)
        with ending_in_time(), pytest.raises(TransientSourceError, match=re.escape("not complete after 0.3 s")):
            get("https://feeds.example/list")
        wait_until(lambda: proxy.requests)
    assert proxy.requests[0].startswith("CONNECT feeds.example:443 ")


@pytest.mark.usefixtures("hasty")
def test_a_handshake_through_a_proxy_does_not_outlive_the_deadline(proxies: UseProxy) -> None:
    with RawServer() as proxy:
        proceed = proxy.trickle(b"\x16\x03\x03\x40\x00", b"\x02")

        def answer_slowly(connection: socket.socket) -> None:
            connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            connection.recv(65536)  # the client's hello
            assert callable(proceed)
            proceed(connection)

        proxy.answers.append(answer_slowly)
        proxies(proxy)
        with ending_in_time(), pytest.raises(TransientSourceError, match=re.escape("not complete after 0.3 s")):
            get("https://feeds.example/list")


@pytest.mark.usefixtures("hasty")
def test_the_resolution_of_a_name_does_not_outlive_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *arguments, **options: time.sleep(MOST_SECONDS + 1))
    with ending_in_time(), pytest.raises(TransientSourceError, match=re.escape("not complete after 0.3 s")):
        get("http://feeds.example/list")


@pytest.mark.usefixtures("hasty")
def test_connecting_to_addresses_that_do_not_answer_does_not_outlive_the_deadline(
    names: Names, settings: Settings
) -> None:
    settings.ETL_HTTP_ALLOW = ["127.0.0.1"]
    names.lead("feeds.example", ("127.0.0.1",) * 50)
    in_time = re.escape("not complete after 0.3 s")
    with full_listener() as port, ending_in_time(), pytest.raises(TransientSourceError, match=in_time):
        get(f"http://feeds.example:{port}/list")


@contextmanager
def full_listener() -> Iterator[int]:
    """A port that accepts no connection and refuses none: its queue is full."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            client = stack.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


def test_the_next_address_is_tried_if_one_does_not_answer(names: Names, settings: Settings) -> None:
    settings.ETL_HTTP_ALLOW, settings.ETL_HTTP_RETRIES = ["127.0.0.0/8"], 0
    names.lead("feeds.example", ("127.0.0.9", "127.0.0.1"))
    with RawServer(answer()) as server:
        assert get_body(server.origin.replace("127.0.0.1", "feeds.example")) == LIST


def test_a_slow_resolution_of_one_name_disturbs_no_other(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
    settings.ETL_HTTP_DEADLINE_SECONDS, settings.ETL_HTTP_RETRIES = 0.3, 0
    resolve = socket.getaddrinfo

    def resolve_slowly(host: str, *arguments: Any, **options: Any) -> Any:
        if host == "feeds.example":
            time.sleep(MOST_SECONDS + 1)
        return resolve(host, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", resolve_slowly)
    with RawServer(answer()) as server, ending_in_time():
        with pytest.raises(TransientSourceError):
            get("http://feeds.example/list")
        settings.ETL_HTTP_DEADLINE_SECONDS = 30
        assert get_body(server.origin) == LIST
