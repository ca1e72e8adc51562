"""Laws of declared credentials: asked for at each attempt, renewed in time and once after a 401, shown nowhere."""

import base64
import json
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from pytest_django.fixtures import Settings

from etl.exceptions import CursorRefused, SourceError
from etl.http import credentials
from etl.http.credentials import Ask, add_to_query
from etl.http.request import Request
from etl.readers.content import Opening
from etl.sources import Basic, Bearer, ClientCredentials, Contract, JsonApiSource, Key, LinkHeader, NonBlank, setting
from tests.factories import read_items
from tests.fakes import RecordingContext
from tests.http.raw_server import RawServer, answer

TOKEN, SECRET = "t0ken-of-this-hour", "s3cret-of-the-client"
LIST = b'[{"id": "a"}]'
DENIED = answer(b'{"error": "token t0ken-of-this-hour has expired"}', "401 Unauthorized")


class Item(Contract):
    id: NonBlank


class Items(JsonApiSource):
    name = "items"
    contract = Item
    unified = {"external_id": "id", "name": "id"}


def read(server: RawServer, *, auth: Any = None, watch: RecordingContext | None = None, **declared: Any) -> list[Any]:
    kind = type("Declared", (Items,), {"base_url": server.origin, "auth": auth, **declared})
    with kind().open(Opening(), watch or RecordingContext()) as content:
        assert content is not None
        return read_items(content)


def grant(token: str = TOKEN, **more: Any) -> bytes:
    return answer(json.dumps({"access_token": token, **more}).encode())


@pytest.fixture(autouse=True)
def no_tokens() -> Iterator[None]:
    credentials._kept.clear()
    yield
    credentials._kept.clear()


def encode(user: str, password: str) -> str:
    return base64.b64encode(f"{user}:{password}".encode()).decode()


# --- what is sent ---------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("auth", "line"),
    [
        (Bearer(TOKEN), f"Authorization: Bearer {TOKEN}"),
        (Basic("user", "pä:ss"), f"Authorization: Basic {encode('user', 'pä:ss')}"),
        (Key(TOKEN, header="X-Api-Key"), f"X-Api-Key: {TOKEN}"),
        (Key("a b&c", query="key"), "GET /?key=a+b%26c HTTP/1.1"),
    ],
)
def test_credentials_are_sent_as_declared(auth: object, line: str) -> None:
    with RawServer(answer(LIST)) as server:
        read(server, auth=auth)
    assert line in server.requests[0].split("\r\n")


def test_a_setting_is_read_when_it_is_used(settings: Settings) -> None:
    auth = Bearer(setting("TRACKER_TOKEN"))
    settings.TRACKER_TOKEN = "of-today"
    with RawServer(answer(LIST)) as server:
        read(server, auth=auth)
    assert "Authorization: Bearer of-today" in server.requests[0]


def test_a_setting_that_is_none_is_empty(settings: Settings) -> None:
    settings.TRACKER_TOKEN = None
    assert setting("TRACKER_TOKEN").read() == ""
    with RawServer(answer(LIST)) as server:
        read(server, auth=Bearer(setting("TRACKER_TOKEN")))
    assert "None" not in server.requests[0]


def test_a_value_of_own_code_that_is_none_is_empty() -> None:
    def auth(source: JsonApiSource) -> Any:
        return {"X-Signature": None}

    with RawServer(answer(LIST)) as server:
        read(server, auth=auth)
    assert "None" not in server.requests[0]


def test_own_code_gives_headers_at_each_attempt() -> None:
    given = iter(("first", "second"))

    def auth(source: JsonApiSource) -> Mapping[str, str]:
        return {"X-Signature": f"{source.name}-{next(given)}"}

    with RawServer(answer(b"", "503 Busy"), answer(LIST)) as server:
        read(server, auth=auth)
    assert ["X-Signature: items-first" in server.requests[0], "X-Signature: items-second" in server.requests[1]] == [
        True,
        True,
    ]


def test_an_exception_of_own_code_is_named_without_its_text() -> None:
    def auth(source: JsonApiSource) -> Mapping[str, str]:
        raise KeyError(SECRET)

    with RawServer(answer(LIST)) as server, pytest.raises(SourceError) as caught:
        read(server, auth=auth)
    assert "auth raised KeyError in auth (test_auth.py:" in str(caught.value)
    assert SECRET not in str(caught.value)
    assert server.requests == []


def test_parameters_and_a_body_are_sent() -> None:
    with RawServer(answer(LIST)) as server:
        read(server, endpoint="/search?state=open", params={"per page": "100"}, body={"query": "ä"})
    head, _, body = server.requests[0].partition("\r\n\r\n")
    assert head.startswith("POST /search?state=open&per+page=100 HTTP/1.1")
    assert "Content-Type: application/json" in head
    assert json.loads(body) == {"query": "ä"}


def test_a_redirected_post_is_not_followed() -> None:
    moved = answer(b"", "307 Temporary Redirect", Location="/elsewhere")
    with RawServer(moved) as server, pytest.raises(SourceError, match="responded with 307"):
        read(server, body={"query": "x"})
    assert len(server.requests) == 1


def test_no_validator_of_a_post_is_kept() -> None:
    class Search(Items):
        body = {"query": "x"}

    with RawServer(answer(LIST, ETag='"1"')) as server:
        source = type("Here", (Search,), {"base_url": server.origin})()
        with source.open(Opening(), RecordingContext()) as content:
            assert content is not None
            assert content.validators == {}


@pytest.mark.parametrize("declared", [{}, {"header": "X-Key", "query": "key"}])
def test_a_key_has_one_place(declared: dict[str, str]) -> None:
    with pytest.raises(ValueError, match='either header="…" or query="…"'):
        Key(TOKEN, **declared)


@pytest.mark.parametrize(
    ("url", "parameters", "expected"),
    [
        ("http://a/b", {"c": "d"}, "http://a/b?c=d"),
        ("http://a/b?x=1&c=2&y", {"c": "d e"}, "http://a/b?x=1&y&c=d+e"),
        ("http://a/b?c=1#f", {"c": ""}, "http://a/b?c=#f"),
    ],
)
def test_a_parameter_replaces_its_namesake(url: str, parameters: dict[str, str], expected: str) -> None:
    assert add_to_query(url, parameters) == expected


# --- tokens ---------------------------------------------------------------------------------------
def ask_for(tokens: RawServer, **options: Any) -> ClientCredentials:
    return ClientCredentials(f"{tokens.origin}/token", "client", SECRET, **options)


def list_tokens(server: RawServer) -> list[str]:
    return [request.partition("Authorization: Bearer ")[2].partition("\r\n")[0] for request in server.requests]


def test_a_token_is_asked_for_once_and_kept() -> None:
    with RawServer(grant(expires_in=3600)) as tokens, RawServer(answer(LIST)) as server:
        auth = ask_for(tokens, scope="read all")
        read(server, auth=auth)
        read(server, auth=auth)
    assert list_tokens(server) == [TOKEN, TOKEN]
    (request,) = tokens.requests
    assert request.startswith("POST /token HTTP/1.1")
    assert f"Authorization: Basic {encode('client', SECRET)}" in request
    assert request.endswith("grant_type=client_credentials&scope=read+all")


def test_id_and_secret_can_be_sent_in_the_form() -> None:
    with RawServer(grant()) as tokens, RawServer(answer(LIST)) as server:
        read(server, auth=ask_for(tokens, in_body=True))
    assert tokens.requests[0].endswith(f"grant_type=client_credentials&client_id=client&client_secret={SECRET}")
    assert "Authorization" not in tokens.requests[0]


def test_a_token_is_renewed_when_most_of_its_life_has_passed() -> None:
    with RawServer(grant("one", expires_in=1e-6), grant("two", expires_in=1000)) as tokens:
        auth = ask_for(tokens)
        with RawServer(answer(LIST)) as server:
            for _ in range(3):
                read(server, auth=auth)
    assert list_tokens(server) == ["one", "two", "two"]
    (kept,) = credentials._kept.values()
    assert kept.token is not None
    assert 700 < kept.token.renewed_at - time.monotonic() <= 800


def test_a_token_that_has_expired_early_is_renewed_once() -> None:
    with RawServer(grant("old"), grant("new")) as tokens, RawServer(DENIED, answer(LIST)) as server:
        read(server, auth=ask_for(tokens))
    assert list_tokens(server) == ["old", "new"]


def page(number: int, *, is_last: bool = False) -> bytes:
    link = {} if is_last else {"Link": f'</?page={number + 1}>; rel="next"'}
    return answer(json.dumps([{"id": f"n{number}"}]).encode(), **link)


BUSY = answer(b"", "503 Busy")
EXPIRED = grant("0", expires_in=1e-6)


@pytest.mark.parametrize(
    ("tokens", "answers", "sent"),
    [
        # between two pages, by its own time and by the server's word
        ([EXPIRED, grant("1")], [page(1), page(2, is_last=True)], "01"),
        ([grant("0"), grant("1")], [page(1), DENIED, page(2, is_last=True)], "001"),
        # twice in one walk
        ([grant("0"), grant("1"), grant("2")], [page(1), DENIED, page(2), DENIED, page(3, is_last=True)], "00112"),
        # while the request waits
        ([EXPIRED, grant("1")], [BUSY, page(1, is_last=True)], "01"),
        ([grant("0"), grant("1")], [BUSY, DENIED, page(1, is_last=True)], "001"),
        # again while the request waits with the renewed token
        ([grant("0"), grant("1"), grant("2")], [DENIED, BUSY, DENIED, page(1, is_last=True)], "0112"),
    ],
)
def test_a_token_may_expire_at_any_time_of_a_walk(tokens: list[bytes], answers: list[bytes], sent: str) -> None:
    with RawServer(*tokens) as granting, RawServer(*answers) as server:
        read(server, auth=ask_for(granting), pages=LinkHeader())
    assert "".join(list_tokens(server)) == sent


def test_a_token_is_asked_for_after_the_wait_for_a_place_in_the_rate_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    watch, paces = RecordingContext(), iter([5.0, 0.0])
    with RawServer(grant()) as tokens, RawServer(answer(LIST)) as server:

        def find_pace(host: str, limit: str) -> float:
            if limit:
                assert not tokens.requests
            return next(paces) if limit else 0

        monkeypatch.setattr(watch, "find_pace", find_pace)
        read(server, auth=ask_for(tokens), watch=watch, rate_limit="1/minute")
    assert (watch.waits, len(tokens.requests)) == ([5], 1)


def give_slowly(asked: list[Request]) -> Ask:
    """Give tokens with their number, and record the requests."""

    def ask(request: Request) -> bytes:
        asked.append(request)
        number = len(asked)
        time.sleep(0.05)
        return json.dumps({"access_token": f"token {number}"}).encode()

    return ask


def test_all_threads_of_a_process_share_one_token() -> None:
    asked: list[Request] = []
    request, ask = Request("http://api.example"), give_slowly(asked)

    def sign(_: int) -> Request:  # of sources with equal credentials
        return ClientCredentials("http://a.example/token", "client", SECRET).sign(request, ask)

    with ThreadPoolExecutor(8) as threads:
        signed = list(threads.map(sign, range(8)))
    assert {each.headers["Authorization"] for each in signed} == {"Bearer token 1"}
    assert len(asked) == 1


def test_a_token_of_other_credentials_is_another_one() -> None:
    asked: list[Request] = []
    request, ask = Request("http://api.example"), give_slowly(asked)
    for secret in ("one-secret", "two-secret", "one-secret"):
        ClientCredentials("http://a.example/token", "client", secret).sign(request, ask)
    assert len(asked) == 2


def test_a_token_that_was_renewed_since_is_kept() -> None:
    asked: list[Request] = []
    auth, request = ClientCredentials("http://a.example", "id", SECRET), Request("http://api.example")
    ask = give_slowly(asked)
    first = auth.sign(request, ask)
    auth.renew(first)
    second = auth.sign(request, ask)
    auth.renew(first)  # by another thread, which was refused with the first one too
    assert auth.sign(request, ask).headers == second.headers != first.headers


def test_a_second_401_ends_the_read() -> None:
    with (
        RawServer(grant()) as tokens,
        RawServer(DENIED) as server,
        pytest.raises(SourceError, match="401 Unauthorized") as caught,
    ):
        read(server, auth=ask_for(tokens))
    assert len(server.requests) == 2
    assert TOKEN not in str(caught.value)


def test_a_body_that_echoes_a_token_is_masked() -> None:
    echo = answer(f'{{"error": "quota of {TOKEN} is used up"}}'.encode())
    with RawServer(grant()) as tokens, RawServer(echo) as server, pytest.raises(SourceError) as caught:
        read(server, auth=ask_for(tokens))
    assert "quota of *** is used up" in str(caught.value)


def test_fixed_credentials_are_not_sent_again_after_a_401() -> None:
    with RawServer(DENIED) as server, pytest.raises(SourceError, match=r"401 Unauthorized: .*\*\*\* has expired"):
        read(server, auth=Bearer(TOKEN))
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "body", [b"", b"[]", b'"x"', b"{}", b'{"access_token": 7}', b'{"access_token": "a\\nb"}', b"{"]
)
def test_an_answer_without_a_token_is_named(body: bytes) -> None:
    with (
        RawServer(answer(body)) as tokens,
        RawServer(answer(LIST)) as server,
        pytest.raises(SourceError, match="/token sent no usable access_token"),
    ):
        read(server, auth=ask_for(tokens))
    assert server.requests == []


def test_a_refused_client_is_named_without_its_secret() -> None:
    denied = answer(f'{{"error": "{SECRET} is wrong"}}'.encode(), "401 Unauthorized")
    with RawServer(denied) as tokens, RawServer(answer(LIST)) as server, pytest.raises(SourceError) as caught:
        read(server, auth=ask_for(tokens))
    assert "/token responded with 401" in str(caught.value)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("status", ["400 Bad Request", "404 Not Found", "410 Gone"])
def test_a_client_that_is_refused_is_not_taken_for_a_page_that_is_gone(status: str) -> None:
    with RawServer(EXPIRED, answer(b"{}", status)) as tokens, RawServer(page(1)) as server:
        kind = type("Walk", (Items,), {"base_url": server.origin, "auth": ask_for(tokens), "pages": LinkHeader()})
        with kind().open(Opening(), RecordingContext()) as content:
            assert content is not None
            first = next(content.read(None, 1))
            with pytest.raises(SourceError, match="/token responded with") as caught:
                next(content.read(first.cursor, 1))
    assert not isinstance(caught.value, CursorRefused)


def test_a_server_of_tokens_that_is_busy_is_asked_again() -> None:
    watch = RecordingContext()
    with RawServer(answer(b"", "503 Busy"), grant()) as tokens, RawServer(answer(LIST)) as server:
        read(server, auth=ask_for(tokens), watch=watch)
    assert len(watch.notes) == 1


def test_no_print_of_credentials_shows_them() -> None:
    declared = (Bearer(TOKEN), Basic(TOKEN, TOKEN), Key(TOKEN, header="x"), ClientCredentials("http://a", TOKEN, TOKEN))
    assert TOKEN not in repr(declared)
