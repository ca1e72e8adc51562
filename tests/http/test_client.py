"""Laws of etl.http, tested against the sandbox and against servers that send raw bytes."""

import gc
import gzip
import hashlib
import logging
import re
import resource
import socket
import threading
import time
import traceback
import tracemalloc
import zlib
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import ClassVar

import pytest
from pytest_django.fixtures import Settings

from etl.exceptions import Interrupted, RateLimited, SourceError, TransientSourceError
from etl.http import attempt
from etl.http.addresses import hide_secrets
from etl.http.client import open_body
from etl.http.request import Request
from etl.readers.content import Opening
from etl.readers.json_api import JsonApiSource
from etl.readers.json_dialect import JsonLinesSource
from etl.readers.json_records import looks_cut
from etl.sources.coingecko import Coin
from etl.vocabulary import Reason
from sandbox.server import DEFAULT_LIST, Sandbox
from tests.fakes import RecordingContext
from tests.http.raw_server import KEY, LIST, Answer, RawServer, answer, ending_in_time, get, get_body, redirect
from tests.relays import RESET_AT_CLOSE


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as running:
        yield running


@pytest.fixture
def coins(sandbox: Sandbox) -> str:
    return f"{sandbox.url}/coins/list"


# --- retries --------------------------------------------------------------------------------------
@pytest.mark.parametrize("fault", ["429", "500", "502", "503", "504", "reset", "cut"])
def test_a_temporary_failure_is_retried_until_the_body_is_complete(sandbox: Sandbox, coins: str, fault: str) -> None:
    sandbox.plan(f"{fault},{fault}")
    assert get_body(coins) == DEFAULT_LIST.read_bytes()
    assert len(sandbox.requests) == 3


def test_a_retry_is_reported_in_one_exact_form(sandbox: Sandbox, coins: str) -> None:
    sandbox.plan("503:0.5,429:2.17")
    watch = RecordingContext()
    get(coins, watch)
    assert watch.notes == [
        "Retrying (1/4) after 0.50s due to: 503 Service Unavailable",
        "Retrying (2/4) after 2.17s due to: 429 Too Many Requests",
    ]
    assert watch.waits == [0.5, 2.17]


def test_after_the_last_retry_the_source_is_unreachable(sandbox: Sandbox, coins: str, settings: Settings) -> None:
    settings.ETL_HTTP_RETRIES = 2
    sandbox.plan("500,500,500,500")
    with pytest.raises(TransientSourceError, match="after 2 retries: 500 Internal Server Error") as caught:
        get(coins)
    assert caught.value.reason is Reason.SOURCE_UNREACHABLE
    assert len(sandbox.requests) == 3


def test_a_closed_port_is_retried(settings: Settings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
    watch = RecordingContext()
    with pytest.raises(TransientSourceError, match="Connection refused"):
        get(url, watch)
    assert len(watch.waits) == settings.ETL_HTTP_RETRIES


@pytest.mark.parametrize("status", ["400", "401", "403", "404", "410", "418", "451"])
def test_other_4xx_are_not_retried(sandbox: Sandbox, coins: str, status: str) -> None:
    sandbox.plan(status)
    with pytest.raises(SourceError, match=status) as caught:
        get(coins)
    assert not issubclass(caught.type, TransientSourceError)
    assert caught.value.reason is Reason.SOURCE_REFUSED
    assert len(sandbox.requests) == 1


def test_a_tls_error_is_not_retried() -> None:
    with RawServer(answer()) as server, pytest.raises(SourceError, match="no trusted TLS connection") as caught:
        get(server.origin.replace("http:", "https:"))
    assert caught.type is SourceError
    assert caught.value.reason is Reason.SOURCE_REFUSED
    assert len(server.requests) == 1


def test_a_connection_cut_off_in_the_tls_handshake_is_retried(settings: Settings) -> None:
    with RawServer(b"") as server, pytest.raises(TransientSourceError):
        get(server.origin.replace("http:", "https:"))
    assert len(server.requests) == 1 + settings.ETL_HTTP_RETRIES


def test_a_connection_reset_before_the_tls_handshake_is_retried(settings: Settings) -> None:
    settings.ETL_HTTP_RETRIES = 1
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def reset() -> None:
            for _ in range(2):
                connection, _ = listener.accept()
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_AT_CLOSE)
                connection.close()

        resetting = threading.Thread(target=reset, daemon=True)
        resetting.start()
        with pytest.raises(TransientSourceError, match="connection error"):
            get(f"https://127.0.0.1:{listener.getsockname()[1]}")
        resetting.join(5)
        assert not resetting.is_alive()  # it has reset both attempts
    gc.collect()  # a socket that only its destructor closes is a warning, which is an error


def test_the_backoff_doubles_with_jitter_up_to_its_cap(sandbox: Sandbox, coins: str, settings: Settings) -> None:
    settings.ETL_HTTP_RETRIES, settings.ETL_HTTP_BACKOFF_SECONDS, settings.ETL_HTTP_BACKOFF_CAP_SECONDS = 6, 1, 10
    sandbox.plan("500,500,500,500,500,500")
    watch = RecordingContext()
    get(coins, watch)
    steps = (1, 2, 4, 8, 10, 10)
    assert all(step / 2 <= wait <= step for wait, step in zip(watch.waits, steps, strict=True))
    assert len(set(watch.waits)) == len(watch.waits)


def test_an_interruption_of_the_wait_ends_the_read(sandbox: Sandbox, coins: str) -> None:
    sandbox.plan("503")
    with pytest.raises(Interrupted):
        get(coins, RecordingContext(ends_with=Interrupted()))
    assert len(sandbox.requests) == 1


# --- Retry-After ----------------------------------------------------------------------------------
@pytest.mark.parametrize(("text", "seconds"), [("7", 7), (" 60 ", 60), ("0000000000000030", 30), ("2.5", 2.5)])
def test_retry_after_in_seconds_is_waited_for_in_full(sandbox: Sandbox, coins: str, text: str, seconds: float) -> None:
    sandbox.faults.append(f"429:{text}")
    watch = RecordingContext()
    get(coins, watch)
    assert watch.waits == [seconds]


@pytest.mark.parametrize("form", ["%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %d %H:%M:%S %Y"])
def test_retry_after_as_a_date_is_waited_for(sandbox: Sandbox, coins: str, form: str) -> None:
    date = (datetime.now(UTC) + timedelta(seconds=30)).replace(microsecond=0)
    sandbox.faults.append(f"503:{date:{form}}")
    watch, before = RecordingContext(), datetime.now(UTC)
    get(coins, watch)
    assert (date - datetime.now(UTC)).total_seconds() <= watch.waits[0] <= (date - before).total_seconds()


def test_retry_after_is_never_shortened_by_the_backoff_cap(sandbox: Sandbox, coins: str) -> None:
    sandbox.plan("429:59")
    watch = RecordingContext()
    get(coins, watch)
    assert watch.waits == [59]


def test_a_retry_after_shorter_than_the_backoff_does_not_shorten_it(
    sandbox: Sandbox, coins: str, settings: Settings
) -> None:
    settings.ETL_HTTP_BACKOFF_SECONDS = settings.ETL_HTTP_BACKOFF_CAP_SECONDS = 8
    sandbox.plan("429:1")
    watch = RecordingContext()
    get(coins, watch)
    assert 4 <= watch.waits[0] <= 8


@pytest.mark.parametrize("text", ["", "-5", "nan", "inf", "1e9", "soon", "٣", "60, 60", "1,000", "0x10"])
def test_an_invalid_retry_after_is_ignored(settings: Settings, text: str) -> None:
    refusal = answer(status="429 Too Many Requests", Retry_After=text.encode().decode("latin-1"))
    watch = RecordingContext()
    with RawServer(refusal, answer()) as server:
        get(server.origin, watch)
    assert 0 < watch.waits[0] <= settings.ETL_HTTP_BACKOFF_CAP_SECONDS


def test_a_retry_after_in_the_past_is_ignored(sandbox: Sandbox, coins: str, settings: Settings) -> None:
    sandbox.faults.append(f"429:{format_datetime(datetime(2001, 2, 3, tzinfo=UTC), usegmt=True)}")
    watch = RecordingContext()
    get(coins, watch)
    assert watch.waits[0] <= settings.ETL_HTTP_BACKOFF_CAP_SECONDS


@pytest.mark.parametrize("text", ["9999999999", "9" * 400, "Wed, 21 Oct 2099 07:28:00 GMT"])
def test_retry_after_is_capped_at_a_day(sandbox: Sandbox, coins: str, text: str) -> None:
    sandbox.faults.append(f"429:{text}")
    watch = RecordingContext(max_wait_seconds=float("inf"))
    get(coins, watch)
    assert watch.waits == [86_400]


@pytest.mark.parametrize("retries", [4, 0])
def test_a_wait_beyond_the_longest_ends_the_read_with_the_time_to_retry(
    sandbox: Sandbox, coins: str, settings: Settings, retries: int
) -> None:
    settings.ETL_HTTP_RETRIES = retries
    sandbox.plan("429:61")
    watch, before = RecordingContext(max_wait_seconds=60), datetime.now(UTC)
    with pytest.raises(RateLimited) as caught:
        get(coins, watch)
    requested = timedelta(seconds=61)
    assert before + requested <= caught.value.retry_at <= datetime.now(UTC) + requested
    assert f"{caught.value.retry_at:%Y-%m-%d %H:%M:%S} UTC" in str(caught.value)
    assert caught.value.reason is Reason.RATE_LIMITED
    assert watch.waits == []


# --- conditional requests -------------------------------------------------------------------------
def test_an_unmodified_list_gives_none(sandbox: Sandbox, coins: str) -> None:
    first = get(coins)
    assert first is not None
    assert get(coins, validators=first[1]) is None
    assert sandbox.requests[-1][2]["if-none-match"] == first[1]["etag"]


def test_last_modified_is_sent_back() -> None:
    date = "Wed, 21 Oct 2015 07:28:00 GMT"
    with RawServer(answer(Last_Modified=date), answer(b"", "304 Not Modified")) as server:
        first = get(server.origin)
        assert first is not None
        assert get(server.origin, validators=first[1]) is None
    assert f"If-Modified-Since: {date}" in server.requests[1]


def test_validators_of_another_address_are_not_sent(sandbox: Sandbox, coins: str) -> None:
    first = get(coins)
    assert first is not None
    assert get(f"{coins}?page=2", validators=first[1]) is not None
    assert "if-none-match" not in sandbox.requests[-1][2]


def test_validators_do_not_reveal_the_address(coins: str) -> None:
    first = get(f"{coins}?key={KEY}")
    assert first is not None
    assert KEY not in repr(first[1])


def test_not_modified_in_response_to_an_unconditional_request_is_refused() -> None:
    with RawServer(answer(b"", "304 Not Modified")) as server, pytest.raises(SourceError, match="304 Not Modified"):
        get(server.origin)


def test_a_validator_that_can_not_be_sent_back_is_not_kept() -> None:
    with RawServer(answer(ETag='"one\r\n two"')) as server:
        first = get(server.origin)
        assert first is not None
        assert get(server.origin, validators=first[1]) is not None


def test_validators_from_before_ends_were_proven_are_not_sent(sandbox: Sandbox, coins: str) -> None:
    """Release 0.1.0 kept them of cut bodies as well, and its hash of an address was the plain one."""
    former = {"address": hashlib.sha256(coins.encode()).hexdigest()[:16], "etag": '"kept"'}
    assert get(coins, validators=former) is not None
    assert "if-none-match" not in sandbox.requests[0][2]


# --- further pages --------------------------------------------------------------------------------
@pytest.mark.parametrize("status", ["200 OK", "304 Not Modified"])
def test_a_response_that_names_a_next_page_is_refused_and_not_retried(status: str) -> None:
    link = f'<https://user:{KEY}@api.example/v2/coins?page=2&key={KEY}>; rel="next"'
    with RawServer(answer(ETag='"a"'), answer(status=status, Link=link)) as server:
        first = get(server.origin)
        assert first is not None
        with pytest.raises(SourceError, match=re.escape("https://api.example/v2/coins")) as caught:
            get(server.origin, validators=first[1])
    assert caught.value.reason is Reason.MORE_PAGES
    assert KEY not in str(caught.value)
    assert len(server.requests) == 2


def test_a_response_whose_links_name_no_next_page_is_read() -> None:
    with RawServer(answer(Link='</coins?page=1>; rel="prev", </coins?page=2>; rel="self"')) as server:
        assert get_body(server.origin) == LIST


# --- the texts of errors --------------------------------------------------------------------------
@pytest.mark.parametrize("status", ["401 Unauthorized", "404 Not Found"])
def test_the_text_of_an_error_is_shown(status: str) -> None:
    refusal = answer(b'{"message":\r\n "Bad \x1b[31mcredentials"}', status)
    with RawServer(refusal) as server, pytest.raises(SourceError) as caught:
        get(server.origin)
    assert str(caught.value).endswith(f'{status}: {{"message": "Bad [31mcredentials"}}.')


def test_the_text_of_the_last_error_is_shown_after_all_retries(settings: Settings) -> None:
    settings.ETL_HTTP_RETRIES = 1
    refusal = answer(gzip.compress(b'{"error": "quota"}'), "429 Too Many Requests", Content_Encoding="gzip")
    watch = RecordingContext()
    with RawServer(refusal) as server, pytest.raises(TransientSourceError) as caught:
        get(server.origin, watch)
    assert str(caught.value).endswith('failed after 1 retry: 429 Too Many Requests: {"error": "quota"}.')
    assert [note.endswith("due to: 429 Too Many Requests") for note in watch.notes] == [True]


def test_the_text_of_an_error_is_shown_with_a_long_wait() -> None:
    refusal = answer(b'{"error": "quota"}', "429 Too Many Requests", Retry_After="999")
    with RawServer(refusal) as server, pytest.raises(RateLimited, match=re.escape('Requests: {"error": "quota"}')):
        get(server.origin)


def test_an_error_page_is_shown_by_its_title() -> None:
    page = b"<!DOCTYPE html><html><head><title>Attention Required!</title></head><body>" + b"x" * 9999
    shown = re.escape("403 Forbidden: Attention Required!.")
    with RawServer(answer(page, "403 Forbidden")) as server, pytest.raises(SourceError, match=shown):
        get(server.origin)


@pytest.mark.parametrize(
    "refusal",
    [
        b"HTTP/1.1 404 Not Found\r\nContent-Length: 99\r\n\r\nsome",
        b"HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nsome\r\nz",
        answer(gzip.compress(b"some" * 999)[:20], "404 Not Found", Content_Encoding="gzip"),
        answer(b"some", "404 Not Found", Content_Encoding="br"),
        answer(b"", "404 Not Found"),
    ],
)
def test_an_error_whose_text_is_broken_is_an_error_of_its_status(refusal: bytes) -> None:
    with RawServer(refusal) as server, pytest.raises(SourceError, match="404 Not Found") as caught:
        get(server.origin)
    assert caught.value.reason is Reason.SOURCE_REFUSED


def test_the_text_of_an_error_that_never_ends_is_not_waited_for(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempt, "EXCERPT_SECONDS", 0.2)
    settings.ETL_HTTP_RETRIES = 0
    with RawServer() as server:
        server.answers.append(server.trickle(b"HTTP/1.1 500 Odd\r\n\r\nsome", b"."))
        with ending_in_time(), pytest.raises(TransientSourceError, match=re.escape("500 Odd: some")):
            get(server.origin)


# --- limits ---------------------------------------------------------------------------------------
def test_a_slow_body_ends_at_the_deadline(sandbox: Sandbox, coins: str, settings: Settings) -> None:
    settings.ETL_HTTP_DEADLINE_SECONDS, settings.ETL_HTTP_RETRIES = 0.3, 1
    sandbox.plan("slow:0.05,slow:0.05")
    watch, begin = RecordingContext(), time.monotonic()
    with pytest.raises(TransientSourceError, match=re.escape("not complete after 0.3 s")):
        get(coins, watch)
    assert 0.6 <= time.monotonic() - begin < 10  # each body would last for 12 s
    assert "the response was not complete after 0.3 s" in watch.notes[0]


@pytest.mark.parametrize(
    ("head", "piece"),
    [
        (b"HTTP/1.1 200 OK\r\nX-Endless: ", b"x"),
        (b"HTTP/1.1 2", b"0"),
        (b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"0"),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + gzip.compress(b"", mtime=0)[:10], b""),
        (b"HTTP/1.1 200 OK\r\n\r\n[", b""),
        (b"HTTP/1.1 200 OK\r\n\r\n[]", b" "),
        (b"HTTP/1.1 302 Found\r\nLocation: /\r\n", b"X: x\r\n"),
    ],
    ids=["header", "status", "continue", "chunk-size", "gzip-silence", "silence", "looks-whole", "redirect"],
)
def test_no_trickle_outlives_the_deadline(settings: Settings, head: bytes, piece: bytes) -> None:
    settings.ETL_HTTP_DEADLINE_SECONDS, settings.ETL_HTTP_RETRIES = 0.3, 0
    with RawServer() as server:
        server.answers.append(server.trickle(head, piece))
        with ending_in_time(), pytest.raises(TransientSourceError):
            get(server.origin)


def test_a_trickle_over_tls_ends_at_the_deadline(settings: Settings) -> None:
    settings.ETL_HTTP_DEADLINE_SECONDS, settings.ETL_HTTP_RETRIES = 0.3, 0
    with RawServer() as server:
        server.answers.append(server.trickle(b"\x16\x03\x03\x40\x00", b"\x02"))  # a handshake that never ends
        with ending_in_time(), pytest.raises(TransientSourceError):
            get(server.origin.replace("http:", "https:"))


def test_an_endless_body_ends_at_the_cap(sandbox: Sandbox, coins: str, settings: Settings) -> None:
    settings.ETL_HTTP_MAX_BYTES = 1 << 20
    sandbox.plan("endless")
    with pytest.raises(SourceError, match="more than 1048576 bytes") as caught:
        get(coins)
    assert caught.type is SourceError
    assert len(sandbox.requests) == 1


def test_a_body_of_exactly_the_cap_is_accepted(settings: Settings) -> None:
    settings.ETL_HTTP_MAX_BYTES = len(LIST)
    with RawServer(answer()) as server:
        assert get_body(server.origin) == LIST


@pytest.mark.parametrize(
    "cut",
    [
        answer(LIST, Content_Length=str(len(LIST) + 1)),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1a\r\n" + LIST[:5],
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1a\r\n" + LIST + b"\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n" + LIST[:-1],
        b'HTTP/1.1 200 OK\r\n\r\n{"id": "a"}\n{"id": ',
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + gzip.compress(LIST * 100, mtime=0)[:40],
        b"HTTP/1.1 200 OK\r\nContent-",
    ],
    ids=["length", "chunk", "last-chunk", "array", "lines", "gzip", "headers"],
)
def test_a_truncated_body_is_requested_again(cut: bytes) -> None:
    watch = RecordingContext()
    with RawServer(cut, answer()) as server:
        assert get_body(server.origin, watch) == LIST
    assert len(watch.notes) == 1


@pytest.mark.parametrize("header", ["Content_Length", "Transfer_Encoding"])
def test_a_compressed_stream_without_its_end_is_cut_although_all_its_bytes_came(header: str) -> None:
    stream = zlib.compressobj(wbits=16 + zlib.MAX_WBITS)
    flushed = stream.compress(b'{"id": "a"}\n') + stream.flush(zlib.Z_SYNC_FLUSH)
    framed = {
        "Content_Length": answer(flushed, Content_Encoding="gzip"),
        "Transfer_Encoding": chunked(flushed, "Content-Encoding: gzip"),
    }
    watch = RecordingContext()
    with RawServer(framed[header], answer()) as server:
        assert get_body(server.origin, watch) == LIST
    assert "the compressed body ends in the middle" in watch.notes[0]


LINES = b'{"id": "a"}\n{"id": "b"}\n'


def chunked(body: bytes, *headers: str) -> bytes:
    head = "\r\n".join(("HTTP/1.1 200 OK", "Connection: close", "Transfer-Encoding: chunked", *headers))
    return head.encode() + b"\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)


@pytest.mark.parametrize(
    ("whole", "is_proven"),
    [
        (answer(LINES), True),
        (chunked(LINES), True),
        (chunked(LINES, "Content-Length: 1"), True),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + gzip.compress(LINES, mtime=0), True),
        (b"HTTP/1.0 200 OK\r\nContent-Encoding: deflate\r\n\r\n" + zlib.compress(LINES), True),
        (b"HTTP/1.1 200 OK\r\n\r\n" + LINES, False),
        (b"HTTP/1.0 200 OK\r\n\r\n" + LINES, False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n" + LINES, False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n" + LINES, False),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\n" + LINES, False),
    ],
    ids=["length", "chunks", "both", "gzip", "deflate", "nothing", "HTTP/1.0", "no-number", "negative", "identity"],
)
def test_a_length_chunks_or_a_compressed_stream_prove_the_end(whole: bytes, is_proven: bool) -> None:
    with (
        RawServer(whole) as server,
        open_body(Request(server.origin), {}, RecordingContext(), looks_cut) as body,
    ):
        assert body is not None
        assert (body.copy.size, body.is_proven) == (len(LINES), is_proven)


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, br", "rot13"])
def test_an_encoding_that_can_not_be_decoded_is_named_and_not_retried(encoding: str) -> None:
    with RawServer(answer(Content_Encoding=encoding)) as server, pytest.raises(SourceError) as caught:
        get(server.origin)
    assert caught.type is SourceError
    assert repr(encoding.rsplit(", ", maxsplit=1)[-1]) in str(caught.value)
    assert len(server.requests) == 1


def test_only_encodings_that_can_be_decoded_are_asked_for(sandbox: Sandbox, coins: str) -> None:
    get(coins)
    assert sandbox.requests[0][2]["accept-encoding"] == "gzip, deflate"


def test_a_compressed_body_is_read() -> None:
    with RawServer(answer(gzip.compress(LIST), Content_Encoding="gzip")) as server:
        assert get_body(server.origin) == LIST


def test_a_compressed_body_is_capped_by_its_unpacked_size(settings: Settings) -> None:
    settings.ETL_HTTP_MAX_BYTES = 1 << 20
    bomb = answer(gzip.compress(b" " * (64 << 20)), Content_Encoding="gzip")
    tracemalloc.start()
    try:
        with RawServer(bomb) as server, pytest.raises(SourceError, match="more than 1048576 bytes"):
            get(server.origin)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 << 20


def test_a_body_that_does_not_fit_on_the_disk_is_an_error_of_one_sentence() -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    with RawServer(answer(b" " * (1 << 20))) as server:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, limits[1]))
        try:
            with pytest.raises(SourceError, match=r"can't be stored in .*: File too large") as caught:
                get(server.origin)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert caught.type is SourceError
    assert len(server.requests) == 1


# --- credentials ----------------------------------------------------------------------------------
def test_the_key_is_sent_to_its_own_origin() -> None:
    with RawServer(redirect("/moved"), answer()) as server:
        get(server.origin, headers={"x-cg-demo-api-key": KEY})
    assert [KEY in request for request in server.requests] == [True, True]


def test_credentials_are_not_sent_to_another_origin() -> None:
    with RawServer(answer()) as other, RawServer(redirect(f"{other.origin}/moved")) as server:
        url = server.origin.replace("http://", f"http://user:{KEY}@")
        get(f"{url}/?key={KEY}", headers={"x-cg-demo-api-key": KEY, "Cookie": f"session={KEY}"})
    assert "GET /moved" in other.requests[0]
    assert KEY not in other.requests[0]
    assert "authorization" not in other.requests[0].lower()
    assert "authorization" in server.requests[0].lower()


def test_credentials_are_not_restored_by_a_second_redirect() -> None:
    with RawServer() as server, RawServer() as other:
        server.answers += [redirect(other.origin), answer()]
        other.answers.append(redirect(f"{server.origin}/back"))
        get(server.origin, headers={"x-cg-demo-api-key": KEY})
    assert "GET /back" in server.requests[1]
    assert KEY not in server.requests[1]


def test_circular_redirects_end() -> None:
    with RawServer(redirect("/")) as server, pytest.raises(SourceError, match="TooManyRedirects") as caught:
        get(server.origin)
    assert caught.type is SourceError
    assert len(server.requests) == 6


def test_the_endless_body_of_a_redirect_is_not_read() -> None:
    with RawServer() as server:
        head = b"HTTP/1.1 302 Found\r\nLocation: /moved\r\n\r\n"
        server.answers += [server.trickle(head, b"x" * 65536), answer()]
        with ending_in_time():
            assert get_body(server.origin) == LIST


@pytest.mark.parametrize(
    "url",
    [
        "{origin}/404",
        "{origin}/429",
        "{origin}/500",
        "{origin}/reset",
        "{origin}/circle",
        "{origin}/cut",
        "{origin}/odd-headers",
        "https{origin}/tls",
        "http://user:{key}@127.0.0.1:1/refused?key={key}",
        "http://user:{key}@host.invalid/nowhere?key={key}",
        "http://user:{key}@127.0.0.1:port/?key={key}",
        "http://user:{key}@[::1/?key={key}",
        "http://user:{key}/x@127.0.0.1/?key={key}",
        "http://user:{key}@/?key={key}",
        "ftp://user:{key}@host.invalid/?key={key}",
    ],
)
def test_credentials_appear_in_no_message(caplog: pytest.LogCaptureFixture, url: str) -> None:
    caplog.set_level(logging.DEBUG)
    odd = b"HTTP/1.1 500 Odd\r\nno header at all\r\n\r\n"
    scripts: dict[str, Answer] = {
        "404": answer(status="404 Not Found"),
        "429": answer(status="429 Too Many Requests", Retry_After="999"),
        "500": answer(status="500 Internal Server Error"),
        "circle": redirect(f"/?key={KEY}"),
        "cut": answer(Content_Length="999"),
        "odd-headers": odd,
    }
    watch = RecordingContext()
    with RawServer(scripts.get(url.rpartition("/")[2], b"")) as server:
        origin = server.origin.replace("http://", "" if url.startswith("https") else f"http://user:{KEY}@")
        address = url.replace("https{origin}", f"https://user:{KEY}@{origin}?key={KEY}#")
        address = address.format(origin=origin, key=KEY) + ("" if "?key=" in address else f"?key={KEY}")
        with pytest.raises(SourceError) as caught:
            get(address, watch, headers={"x-cg-demo-api-key": KEY})
    shown = [*traceback.format_exception(caught.value), *watch.notes, *caplog.messages, caplog.text]
    assert not [text for text in shown if KEY in text]


def test_a_key_that_is_not_a_valid_header_is_not_shown(sandbox: Sandbox, coins: str) -> None:
    with pytest.raises(SourceError, match="InvalidHeader") as caught:
        get(coins, headers={"x-cg-demo-api-key": f"{KEY}\nX: y"})
    assert KEY not in "".join(traceback.format_exception(caught.value))
    assert sandbox.requests == []


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://api.example/v3/list", "https://api.example/v3/list"),
        (f"https://user:{KEY}@api.example:8443/list?key={KEY}#{KEY}", "https://api.example:8443/list"),
        (f"https://user:a@{KEY}@api.example/list", "https://api.example/list"),
        (f"https://user:{KEY}/a@api.example/list", "(no usable address)"),
        (f"https://user:{KEY}?a@api.example/list", "(no usable address)"),
        (f"https://user:{KEY}@[::1/list", "(no usable address)"),
    ],
)
def test_an_address_is_shown_without_its_credentials(url: str, shown: str) -> None:
    assert hide_secrets(url) == shown


# --- the sources that read by HTTP ----------------------------------------------------------------
class Coins(JsonApiSource):
    name = "coins"
    contract = Coin
    endpoint = "/coins/list"
    headers: ClassVar[Mapping[str, str]] = {"x-cg-demo-api-key": KEY}


def test_a_json_api_is_requested_with_its_headers_and_read(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Coins, "base_url", sandbox.url, raising=False)
    with Coins().open(Opening(), RecordingContext()) as content:
        assert content is not None
        records = [item for chunk in content.read(None, 100) for item in chunk.items]
    assert len(records) == DEFAULT_LIST.read_text().count('"id"')
    assert sandbox.requests[0][2]["x-cg-demo-api-key"] == KEY


def test_a_json_api_that_is_unmodified_has_no_content(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Coins, "base_url", sandbox.url, raising=False)
    with Coins().open(Opening(), RecordingContext()) as first:
        assert first is not None
        opening = Opening(first.validators)
    with Coins().open(opening, RecordingContext()) as second:
        assert second is None


class Feed(JsonLinesSource):
    name = "feed"
    contract = Coin


@pytest.mark.parametrize("body", [LIST, b'{"id": "a"}\n{"id": "b"}\n', b'{"id": "a"}\r\n\r\n{"id": "b"}'])
def test_a_json_feed_is_read_from_an_address(monkeypatch: pytest.MonkeyPatch, body: bytes) -> None:
    with RawServer(answer(body)) as server:
        monkeypatch.setattr(Feed, "path", server.origin.replace("http", "HTTP"), raising=False)
        with Feed().open(Opening(), RecordingContext()) as content:
            assert content is not None
            assert [item.position for chunk in content.read(None, 1) for item in chunk.items] == [1, 2]


def test_a_json_feed_is_named_without_its_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Feed, "path", f"HTTPS://user:{KEY}@feeds.example/list?key={KEY}", raising=False)
    assert Feed().location == "https://feeds.example/list"
