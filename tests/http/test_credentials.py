"""Credentials: no `.netrc` replaces or adds any, and no text shows what a source sends in confidence."""

import base64
import logging
import traceback
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import ClassVar
from urllib.parse import quote

import pytest
from pytest_django.fixtures import Settings

from etl.exceptions import SourceError
from etl.http.masking import mask, mask_segments
from etl.http.request import Request
from etl.readers.content import Opening
from etl.readers.json_dialect import JsonLinesSource
from etl.readers.source import Source
from etl.sources import JsonApiSource, secret
from tests.fakes import RecordingContext
from tests.http.raw_server import KEY, LIST, RawServer, answer, get, get_body, redirect

WriteNetrc = Callable[[Mapping[str, str]], None]
ODD = "pä ss/w+rd&é"
BASIC = base64.b64encode(f"user:{ODD}".encode()).decode()


# --- .netrc ---------------------------------------------------------------------------------------
def test_a_netrc_adds_no_credentials(netrc: WriteNetrc) -> None:
    netrc({"127.0.0.1": KEY})
    with RawServer(answer()) as server:
        get(server.origin)
    assert "authorization" not in server.requests[0].lower()


def test_a_netrc_does_not_replace_a_declared_header(netrc: WriteNetrc) -> None:
    netrc({"127.0.0.1": KEY})
    with RawServer(redirect("/moved"), answer()) as server:
        get(server.origin, headers={"Authorization": "Bearer declared"})
    assert ["Authorization: Bearer declared\r\n" in request for request in server.requests] == [True, True]


def test_a_netrc_does_not_replace_user_and_password_of_the_address(netrc: WriteNetrc) -> None:
    netrc({"127.0.0.1": KEY})
    with RawServer(redirect("/moved"), answer()) as server:
        get(server.origin.replace("http://", f"http://user:{quote('p/w', safe='')}@"))
    declared = base64.b64encode(b"user:p/w").decode()
    assert [f"Authorization: Basic {declared}\r\n" in request for request in server.requests] == [True, True]


def test_a_netrc_sends_no_credentials_to_the_target_of_a_redirect(netrc: WriteNetrc, settings: Settings) -> None:
    settings.ETL_HTTP_ALLOW = ["localhost"]
    netrc({"127.0.0.1": KEY, "localhost": KEY})
    with RawServer(answer()) as other, RawServer(redirect(other.origin.replace("127.0.0.1", "localhost"))) as server:
        get(server.origin, headers={"Authorization": "Bearer declared"})
    assert "authorization" not in other.requests[0].lower()


# --- what a server echoes -------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("url", "headers", "echo"),
    [
        ("{origin}/", {"x-api-key": KEY}, KEY),
        ("{origin}/", {"x-api-key": KEY}, KEY.upper()),
        ("{origin}/", {"Authorization": f"Bearer {KEY}"}, KEY),
        ("{origin}/", {"Authorization": f"Basic {BASIC}"}, "user:" + ODD),
        ("{origin}/", {"Cookie": f"a=1; session={KEY}"}, KEY),
        (f"{{login}}user:{KEY}@{{host}}/", {}, KEY),
        (f"{{login}}user:{KEY}@{{host}}/", {}, base64.b64encode(f"user:{KEY}".encode()).decode()),
        (f"{{login}}user:{quote(ODD, safe='')}@{{host}}/", {}, ODD),
        (f"{{login}}user:{quote(ODD, safe='')}@{{host}}/", {}, quote(ODD, safe="").lower()),
        (f"{{origin}}/?key={KEY}", {}, KEY),
        (f"{{origin}}/?{KEY}", {}, KEY),
        (f"{{origin}}/?key={quote(ODD, safe='')}", {}, ODD),
        (f"{{origin}}/?a=1&key={KEY}", {}, base64.b64encode(KEY.encode()).decode()),
    ],
)
@pytest.mark.parametrize("status", [400, 503])
def test_a_reason_phrase_that_echoes_a_secret_is_masked(
    url: str, headers: Mapping[str, str], echo: str, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    watch = RecordingContext()
    with RawServer(answer(status=f"{status} Wrong key <{echo}> given")) as server:
        host = server.origin.partition("//")[2]
        with pytest.raises(SourceError, match=rf"{status} Wrong key <\*\*\*> given") as caught:
            get(url.format(origin=server.origin, login="http://", host=host), watch, headers=headers)
    shown = "\n".join([*traceback.format_exception(caught.value), *watch.notes, caplog.text])
    assert echo not in shown


class HeaderKeyed(JsonApiSource):
    """Sends a key in a header."""

    name = "header_keyed"
    base_url = ""
    headers: ClassVar[Mapping[str, str]] = {"x-api-key": KEY}


@pytest.mark.parametrize("status", ["200 OK", "400 Bad Request", "503 Busy"])
@pytest.mark.parametrize("body", [f'{{"error": "wrong key {KEY}"}}', f"<html>No: {KEY}</html>", "x" * 195 + KEY])
def test_an_error_body_that_echoes_a_secret_is_masked(body: str, status: str) -> None:
    watch = RecordingContext()
    with RawServer(answer(body.encode(), status=status)) as server:
        HeaderKeyed.base_url = server.origin
        with pytest.raises(SourceError) as caught, HeaderKeyed().open(Opening(), watch):
            pass
    shown = "\n".join([*traceback.format_exception(caught.value), *watch.notes])
    assert KEY[:6] not in shown


def test_a_secret_with_control_characters_between_its_letters_is_masked() -> None:
    said = "\x01".join(KEY)
    with RawServer(answer(status=f"400 {said}")) as server, pytest.raises(SourceError) as caught:
        get(server.origin, headers={"x-api-key": KEY})
    assert "responded with 400 ***: [" in str(caught.value)


def test_a_long_reason_phrase_is_shortened() -> None:
    with RawServer(answer(status=f"400 {'x' * 60_000}")) as server, pytest.raises(SourceError) as caught:
        get(server.origin)
    assert len(str(caught.value)) < 400


def test_the_target_of_a_redirect_that_echoes_a_secret_is_masked() -> None:
    with RawServer(redirect(f"http://{KEY}.localhost/")) as server, pytest.raises(SourceError) as caught:
        get(server.origin, headers={"x-api-key": KEY})
    assert KEY not in "".join(traceback.format_exception(caught.value))


def test_no_library_logs_an_address(caplog: pytest.LogCaptureFixture) -> None:
    for name in ("urllib3", "urllib3.connectionpool", "urllib3.connection"):
        caplog.set_level(logging.DEBUG, logger=name)  # as in a project that logs everything
    with RawServer(b"HTTP/1.1 200 OK\r\nno header at all\r\n\r\n[]") as server:
        get(f"{server.origin}/?key={KEY}")
    assert KEY not in caplog.text


# --- masking --------------------------------------------------------------------------------------
@pytest.mark.parametrize("value", ["1", "7", "me", "usd"])
def test_very_short_values_are_not_masked(value: str) -> None:
    request = Request(f"https://me:me@api.example/?page={value}", {"x-page": value})
    text = "429 Too many requests: page 17 of usd, 1 minute"
    assert request.mask(text) == text


def test_the_name_of_a_scheme_and_harmless_headers_are_not_masked() -> None:
    formats = {"Accept": "application/json", "Content-Type": "application/xml", "Content-Encoding": "gzip"}
    ways = {"Connection": "keep-alive", "Prefer": "return=minimal", "Pragma": "no-cache", "Content-Language": "de-DE"}
    request = Request("https://api.example/", {"Authorization": f"Bearer {KEY}", **formats, **ways})
    text = f"a Bearer token for {', '.join((*formats.values(), *ways.values()))}"
    assert request.mask(text) == text


@pytest.mark.parametrize("echoed", ["ab/c+d==", "ab%2Fc+d==", "ab/c%2bd==", "ab%2fc%2Bd%3D%3d", "%61b/c+d=="])
def test_a_secret_is_masked_whichever_bytes_are_percent_encoded(echoed: str) -> None:
    assert mask(f"Wrong key {echoed} here", ["ab/c+d=="]) == "Wrong key *** here"


@pytest.mark.parametrize("echoed", ["a/b", "a%2Fb", "a%2fb", "%61/b"])
def test_a_short_secret_that_is_a_segment_is_masked_in_any_spelling(echoed: str) -> None:
    assert mask_segments(f"https://api.example/{echoed}/list", ["a/b"]) == "https://api.example/***/list"


def test_a_secret_that_the_end_of_a_text_cuts_is_masked() -> None:
    text = f"Wrong key {KEY}"
    masked = {mask(text[:end], [KEY]) for end in range(len(text) - len(KEY) // 2, len(text) + 1)}
    assert masked == {"Wrong key ***"}


def test_of_two_secrets_the_longer_one_is_masked_whole() -> None:
    assert mask(f"({KEY}-and-more)", [KEY, f"{KEY}-and-more"]) == "(***)"


# --- keys in the path -----------------------------------------------------------------------------
class Keyed(JsonApiSource):
    name = "keyed"
    every = timedelta(hours=1)
    base_url: str
    key = secret("KEY_OF_THE_TEST")

    @property
    def endpoint(self) -> str:  # type: ignore[override]
        return f"/v1/{quote(self.key, safe='')}/list"


class KeyedFeed(JsonLinesSource):
    name = "keyed"
    key = secret("KEY_OF_THE_TEST")
    origin: ClassVar[str]

    @property
    def path(self) -> str:  # type: ignore[override]
        return f"{self.origin}/v1/{self.key}/list"


@pytest.mark.parametrize("key", [KEY, "a b/ü", "k3"])
def test_a_key_in_the_path_that_is_declared_secret_is_not_shown(
    key: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.KEY_OF_THE_TEST = key
    monkeypatch.setattr(Keyed, "base_url", "https://user:pass@api.example", raising=False)
    assert Keyed().location == "https://api.example/v1/***/list"


@pytest.mark.parametrize("kind", [Keyed, KeyedFeed])
@pytest.mark.parametrize("status", ["404 Nothing at {}", "503 Busy with {}", "302 Found"])
def test_a_key_in_the_path_appears_in_no_message(
    kind: type[Source], status: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.KEY_OF_THE_TEST = KEY
    watch = RecordingContext()
    target = {"Location": f"http://10.0.0.1/{KEY}"} if status.startswith("302") else {}
    with RawServer(answer(b"", status.format(KEY), **target)) as server:
        for name in ("base_url", "origin"):
            monkeypatch.setattr(kind, name, server.origin, raising=False)
        with pytest.raises(SourceError, match=r"/v1/\*\*\*/list") as caught, kind().open(Opening(), watch):
            pass
    assert f"/v1/{KEY}/list" in server.requests[0]
    assert KEY not in "".join([*traceback.format_exception(caught.value), *watch.notes])


def test_a_short_key_is_masked_in_its_place_only() -> None:
    request = Request("https://api.example/v1/list/1", secrets=("1", ""))
    assert request.location == "https://api.example/v1/list/***"


def test_a_secret_in_the_name_of_the_host_is_not_shown() -> None:
    request = Request(f"https://{KEY}.api.example/list", secrets=(KEY,))
    assert (request.location, request.host) == ("https://***.api.example/list", "***.api.example")


def test_the_body_arrives_whatever_is_secret(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.KEY_OF_THE_TEST = KEY
    with RawServer(answer()) as server:
        assert get_body(server.origin) == LIST
        monkeypatch.setattr(Keyed, "base_url", server.origin, raising=False)
        with Keyed().open(Opening(), RecordingContext()) as content:
            assert content is not None
