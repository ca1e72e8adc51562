"""Laws of etl.http.limits: how long a server asks to wait, in all the forms that APIs write it, and what is retried."""

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from requests.structures import CaseInsensitiveDict

from etl.exceptions import SourceError
from etl.http.limits import LONGEST_WAIT_SECONDS, find_wait, is_retried
from tests.fakes import RecordingContext
from tests.http.raw_server import LIST, RawServer, answer, get_body

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
EPOCH = int(NOW.timestamp())
LATER = datetime(2026, 11, 26, 12, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("status", "headers", "seconds"),
    [
        # Retry-After: seconds, fractions, a date
        (429, {"Retry-After": "7"}, 7),
        (429, {"Retry-After": "0.5"}, 0.5),
        (503, {"Retry-After": format_datetime(LATER, usegmt=True)}, 60),
        (403, {"Retry-After": "30"}, 30),
        # it takes precedence over a limit
        (429, {"Retry-After": "7", "X-RateLimit-Reset": str(EPOCH + 60)}, 7),
        # GitHub: a time in seconds
        (429, {"X-RateLimit-Reset": str(EPOCH + 60)}, 60),
        (403, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(EPOCH + 60)}, 60),
        # a time in milliseconds, or as a date
        (429, {"X-RateLimit-Reset": str((EPOCH + 60) * 1000)}, 60),
        (429, {"X-RateLimit-Reset": "2026-11-26T12:01:00Z"}, 60),
        # Discord: both a time and a number of seconds
        (429, {"X-RateLimit-Reset": f"{EPOCH + 60}.123", "X-RateLimit-Reset-After": "1.5"}, 1.5),
        # Twitter's spelling
        (429, {"x-rate-limit-reset": str(EPOCH + 60)}, 60),
        # the IETF's drafts: a header each, one for all, and the last one's short names
        (429, {"RateLimit-Reset": "50"}, 50),
        (429, {"RateLimit": "limit=100, remaining=0, reset=50"}, 50),
        (429, {"RateLimit": '"default";r=0;t=30'}, 30),
        # of several limits, the exhausted ones; without a word on that, the first that starts again
        (429, {"RateLimit": '"burst";r=10;t=1, "daily";r=0;t=3600'}, 3600),
        (429, {"RateLimit": '"burst";r=0;t=5, "daily";r=0;t=3600'}, 3600),
        (429, {"RateLimit": '"burst";r=3;t=9, "daily";r=2;t=4'}, 4),
        (403, {"X-RateLimit-Remaining": "17, 0", "X-RateLimit-Reset": "20"}, 20),
        # its window, if it does not say when it starts again
        (429, {"RateLimit": "default;r=0", "RateLimit-Policy": '"burst";q=5;w=1, default;q=100;w=60'}, 60),
        # a name is not a parameter
        (503, {"RateLimit": '"a;r=0, b";r=5;t=7'}, 0),
        # a time since 1970 and a duration as Retry-After, and one that can't be read before a limit
        (429, {"Retry-After": str(EPOCH + 60)}, 60),
        (429, {"Retry-After": "1m0s"}, 60),
        (429, {"Retry-After": "soon", "X-RateLimit-Reset": "20"}, 20),
        (429, {"Retry-After": "0", "X-RateLimit-Reset": "20"}, 0),
        # a duration
        (429, {"X-RateLimit-Reset": "6m0s"}, 360),
        (429, {"X-RateLimit-Reset": "20ms"}, 0.02),
        # another error with an exhausted limit
        (503, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "20"}, 20),
        # nothing asked
        (500, {"X-RateLimit-Remaining": "17", "X-RateLimit-Reset": "20"}, 0),
        (429, {}, 0),
        (429, {"Retry-After": "soon"}, 0),
        (429, {"X-RateLimit-Reset": "soon"}, 0),
        (429, {"X-RateLimit-Reset": str(EPOCH - 60)}, 0),
        # at most a day
        (429, {"Retry-After": "9" * 400}, LONGEST_WAIT_SECONDS),
    ],
)
def test_a_server_asks_to_wait(status: int, headers: Mapping[str, str], seconds: float) -> None:
    assert find_wait(status, CaseInsensitiveDict(headers), NOW) == pytest.approx(seconds)


@given(st.integers(400, 599), st.sampled_from(("Retry-After", "X-RateLimit-Reset", "RateLimit")), st.text())
def test_of_any_header_a_wait_is_read_between_nothing_and_a_day(status: int, name: str, text: str) -> None:
    assert 0 <= find_wait(status, CaseInsensitiveDict({name: text}), NOW) <= LONGEST_WAIT_SECONDS


@pytest.mark.parametrize(
    ("status", "headers", "expected"),
    [
        (408, {}, True),
        (425, {}, True),
        (429, {}, True),
        (500, {}, True),
        (503, {}, True),
        (400, {}, False),
        (401, {}, False),
        (404, {}, False),
        (403, {}, False),
        (403, {"X-RateLimit-Remaining": "12"}, False),
        (403, {"X-RateLimit-Remaining": "0"}, True),
        (403, {"Retry-After": "1"}, True),
        (403, {"RateLimit": "limit=100, remaining=0, reset=50"}, True),
        (403, {"RateLimit": '"burst";r=3;t=9, "daily";r=0;t=40'}, True),
        (403, {"RateLimit": '"default";r=10;t=40'}, False),
    ],
)
def test_only_what_may_succeed_later_is_retried(status: int, headers: Mapping[str, str], expected: bool) -> None:
    assert is_retried(status, CaseInsensitiveDict(headers)) is expected


@pytest.mark.parametrize("text", ['"', '"' * 60_000, '"\\' * 30_000, ";a=1" * 15_000, "; " * 30_000, "a=" * 30_000])
def test_a_hostile_header_is_read_at_once(text: str) -> None:
    began = time.perf_counter()
    find_wait(429, CaseInsensitiveDict({"RateLimit": text, "RateLimit-Policy": text}), NOW)
    assert time.perf_counter() - began < 2


def test_an_exhausted_limit_is_waited_for_by_its_reset() -> None:
    watch = RecordingContext()
    with RawServer(
        answer(b"", "403 Forbidden", X_RateLimit_Remaining="0", X_RateLimit_Reset="17"), answer(LIST)
    ) as server:
        assert get_body(f"{server.origin}/", watch) == LIST
    assert watch.waits == [17]


def test_a_403_of_another_cause_ends_the_read_at_once() -> None:
    watch = RecordingContext()
    with RawServer(answer(b"", "403 Forbidden")) as server, pytest.raises(SourceError, match="403 Forbidden"):
        get_body(f"{server.origin}/", watch)
    assert watch.waits == []


@pytest.mark.parametrize(
    "interim",
    [
        b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n",
        b"HTTP/1.1 102 Processing\r\n\r\n" * 3,
    ],
)
def test_interim_responses_are_skipped(interim: bytes) -> None:
    with RawServer(interim + answer(LIST)) as server:
        assert get_body(f"{server.origin}/") == LIST


def test_endless_interim_responses_fail_the_attempt() -> None:
    watch = RecordingContext()
    with RawServer(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 200 + answer(LIST), answer(LIST)) as server:
        assert get_body(f"{server.origin}/", watch) == LIST
    assert len(watch.notes) == 1
