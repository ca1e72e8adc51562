"""Laws of JSON over HTTP: what is no list of records is named at once, and an end that nothing proves is refused."""

import json
import re
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from etl.exceptions import SourceError, TransientSourceError
from etl.readers.content import Content, Opening
from etl.readers.json_api import JsonApiSource
from etl.readers.json_dialect import JsonLinesSource
from etl.records import Record, Refusal
from etl.sources.coingecko import Coin
from etl.vocabulary import Reason
from sandbox.server import NEXT_PAGES, Sandbox
from tests.factories import read_items
from tests.fakes import RecordingContext
from tests.http.raw_server import RawServer, answer

LINES = b'{"id": "a", "symbol": "a", "name": "A"}\n{"id": "b", "symbol": "b", "name": "B"}\n'
CLOSED = b"HTTP/1.1 200 OK\r\n\r\n"
"""The head of a response whose body ends with the connection."""


class Coins(JsonApiSource):
    name = "coins"
    endpoint = "/coins/list"
    contract = Coin


class Feed(JsonLinesSource):
    name = "feed"
    contract = Coin


class UnprovenFeed(Feed):
    whole = "unproven"


KINDS = pytest.mark.parametrize("kind", [Coins, Feed])


@pytest.fixture
def server() -> Iterator[RawServer]:
    with RawServer() as running:
        yield running


def make(kind: type[Coins | Feed], origin: str) -> Coins | Feed:
    source = kind()
    attribute = "base_url" if isinstance(source, JsonApiSource) else "path"
    setattr(source, attribute, origin)
    return source


def open_content(source: Coins | Feed, opened: ExitStack) -> Content:
    content = opened.enter_context(source.open(Opening(), RecordingContext()))
    assert content is not None
    return content


def fail(source: Coins | Feed) -> SourceError:
    """Return the error with which the source is opened: nothing of it was read."""
    with pytest.raises(SourceError) as caught, source.open(Opening(), RecordingContext()):
        pass
    return caught.value


def read(source: Coins | Feed) -> list[Record | Refusal]:
    with ExitStack() as opened:
        return read_items(open_content(source, opened))


# Other texts

OTHERS = [
    (b"<!DOCTYPE html><title>Please sign in</title>", "an HTML page: Please sign in"),
    (b"<?xml version='1.0'?><Error>AccessDenied</Error>", "XML: AccessDenied"),
    (LINES.decode().encode("utf-16"), "UTF-16 text."),
    (json.dumps([{"id": "a"}]).encode("utf-16-le"), "UTF-16 text."),
    (json.dumps([{"id": "a"}]).encode("utf-32"), "UTF-32 text."),
    (b"BZh91AY&SY" + bytes(99), "a bzip2 file."),
    (b"%PDF-1.7 \n", "a PDF"),
    (b"id,symbol,name\na,a,A\n", "a CSV file: id,symbol,name a,a,A"),
    (b"id;symbol;name\na;a;A\n", "a file separated by semicolons"),
    (b"upstream connect error", "text: upstream connect error"),
]


@KINDS
@pytest.mark.parametrize(("body", "name"), OTHERS, ids=[name for _, name in OTHERS])
def test_another_format_is_named_and_not_retried(
    server: RawServer, kind: type[Coins | Feed], body: bytes, name: str
) -> None:
    server.answers.append(answer(body, ETag='"a"'))
    error = fail(make(kind, server.origin))
    assert f"is not JSON but looks like {name}" in str(error)
    assert (type(error), error.reason) == (SourceError, Reason.SOURCE_UNREADABLE)
    assert len(server.requests) == 1


@KINDS
@pytest.mark.parametrize(
    "body",
    [
        b'{"error": "quota"}',
        b'{\n  "error": "quota"\n}\n',
        b'{"errors": [{"message": "no such field"}]}',
        b'{"message": "Not authorised"}',
    ],
)
def test_an_error_with_status_200_is_shown_and_not_retried(
    server: RawServer, kind: type[Coins | Feed], body: bytes
) -> None:
    server.answers.append(answer(body))
    error = fail(make(kind, server.origin))
    assert str(error).endswith(f" sent an error instead of records: {' '.join(body.decode().split())}.")
    assert (type(error), error.reason) == (SourceError, Reason.SOURCE_REFUSED)
    assert len(server.requests) == 1


@KINDS
@pytest.mark.parametrize("indent", [None, 2])
def test_an_object_around_the_records_is_named_with_the_path_of_its_array(
    server: RawServer, kind: type[Coins | Feed], indent: int | None
) -> None:
    server.answers.append(answer(json.dumps({"data": [json.loads(LINES.splitlines()[0])]}, indent=indent).encode()))
    assert "is one JSON object" in (text := str(fail(make(kind, server.origin))))
    assert "its records may be in 'data'" in text
    assert len(server.requests) == 1


@KINDS
def test_an_object_that_is_cut_is_asked_for_again(server: RawServer, kind: type[Coins | Feed]) -> None:
    array = b"[%s]" % LINES.splitlines()[0]
    server.answers += [answer(b'{\n"data": [\n{"id": "a"},\n{"id"'), answer(array)]
    assert len(read(make(kind, server.origin))) == 1


def test_a_single_record_is_no_envelope(server: RawServer) -> None:
    server.answers.append(
        answer(b'{"id": "a", "symbol": "s", "name": "A", "error": "none", "message": "m", "next": "b"}')
    )
    assert len(read(make(Feed, server.origin))) == 1


def test_the_first_of_many_lines_may_be_broken(server: RawServer) -> None:
    server.answers.append(answer(b'{"id": "z",\n' + LINES))
    assert [type(item) for item in read(make(Feed, server.origin))] == [Refusal, Record, Record]


# Further pages


@KINDS
@pytest.mark.parametrize("sign", ["link", *NEXT_PAGES])
def test_an_undeclared_next_page_fails_before_the_first_record(kind: type[Coins | Feed], sign: str) -> None:
    with Sandbox(plan=sign) as sandbox:
        source = make(kind, sandbox.url if kind is Coins else f"{sandbox.url}/coins/list")
        error = fail(source)
        assert error.reason is Reason.MORE_PAGES
        assert ("coins/list as the next one" if sign == "link" else repr(sign)) in str(error)
        assert len(sandbox.requests) == 1


@pytest.mark.parametrize("shape", ["login", "quota"])
def test_the_sandbox_answers_other_things_with_status_200(shape: str) -> None:
    with Sandbox(plan=shape) as sandbox:
        assert {"login": "an HTML page: Please sign in", "quota": '{"error": "quota"}'}[shape] in str(
            fail(make(Coins, sandbox.url))
        )


# The proof of the end


def test_lines_without_a_proof_of_their_end_are_refused_with_the_remedy(server: RawServer) -> None:
    server.answers.append(CLOSED + LINES)
    error = fail(make(Feed, server.origin))
    assert "without a proof of their end" in str(error)
    assert 'whole = "unproven"' in str(error)
    assert (type(error), error.reason) == (SourceError, Reason.SOURCE_UNREADABLE)
    assert len(server.requests) == 1


@KINDS
@pytest.mark.parametrize("array", [b"[]", b"[%s]" % LINES.splitlines()[0]])
def test_an_array_that_closes_proves_its_end(server: RawServer, kind: type[Coins | Feed], array: bytes) -> None:
    server.answers.append(CLOSED.replace(b"\r\n\r\n", b'\r\nETag: "a"\r\n\r\n') + array + b" \n")
    with ExitStack() as opened:
        content = open_content(make(kind, server.origin), opened)
        assert content.is_proven
        assert content.validators["etag"] == '"a"'


def test_a_source_may_accept_an_end_that_nothing_proves(server: RawServer) -> None:
    server.answers.append(CLOSED.replace(b"\r\n\r\n", b'\r\nETag: "a"\r\n\r\n') + LINES)
    with ExitStack() as opened:
        content = open_content(make(UnprovenFeed, server.origin), opened)
        assert not content.is_proven  # so that the end of its read keeps no validator
        assert len(read_items(content)) == 2


def test_a_proven_body_of_such_a_source_keeps_its_validators(server: RawServer) -> None:
    server.answers.append(answer(LINES, ETag='"a"'))
    with ExitStack() as opened:
        content = open_content(make(UnprovenFeed, server.origin), opened)
        assert content.is_proven
        assert content.validators["etag"] == '"a"'


def test_a_line_that_breaks_off_is_asked_for_again_from_such_a_source_too(server: RawServer, settings: Any) -> None:
    settings.ETL_HTTP_RETRIES = 1
    server.answers.append(CLOSED + LINES[:-5])
    error = fail(make(UnprovenFeed, server.origin))
    assert isinstance(error, TransientSourceError)
    assert re.search("the body is truncated", str(error))
    assert len(server.requests) == 2
