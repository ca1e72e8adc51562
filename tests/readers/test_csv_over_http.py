"""Laws of CSV over HTTP: what holds for JSON holds for tables."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from datetime import timedelta
from typing import Any

import pytest

from etl.exceptions import SourceError, TransientSourceError
from etl.readers.content import Content, Opening
from etl.readers.csv_end import breaks_off_in_quotes
from etl.readers.csv_syntax import CsvSyntax
from etl.sources import Contract, CsvSource, NonBlank, secret
from etl.vocabulary import Reason
from tests.factories import hold, read_items
from tests.fakes import RecordingContext
from tests.http.raw_server import RawServer, answer

TABLE = b'id,name\n1,Nut\n2,"Bolt\n, long"\n'
CLOSED = b"HTTP/1.1 200 OK\r\n\r\n"


class Part(Contract):
    id: NonBlank
    name: NonBlank


class Parts(CsvSource):
    name, every, contract = "parts", timedelta(hours=1), Part
    unified = {"external_id": "id", "name": "name"}


class UnprovenParts(Parts):
    whole = "unproven"


class KeyedParts(Parts):
    key = secret("PARTS_KEY")
    rate_limit = "100/second"

    @property
    def headers(self) -> Mapping[str, str]:
        return {"X-Api-Key": self.key}


@pytest.fixture
def server() -> Iterator[RawServer]:
    with RawServer() as running:
        yield running


def make(kind: type[Parts], address: str) -> Parts:
    source = kind()
    setattr(source, "path", address)  # noqa: B010  (a class attribute)
    return source


def open_content(source: Parts, opened: ExitStack, validators: Mapping[str, str] | None = None) -> Content | None:
    return opened.enter_context(source.open(Opening(validators or {}), RecordingContext()))


def fail(source: Parts) -> SourceError:
    with pytest.raises(SourceError) as caught, source.open(Opening(), RecordingContext()):
        pass
    return caught.value


def test_a_table_is_read_with_its_validators(server: RawServer) -> None:
    server.answers.append(answer(TABLE, ETag='"a"'))
    with ExitStack() as opened:
        content = open_content(make(Parts, server.origin), opened)
        assert content is not None
        assert content.is_proven
        assert content.validators["etag"] == '"a"'
        assert [item.line for item in read_items(content)] == [2, 3]


def test_a_table_that_is_not_modified_is_not_sent_again(server: RawServer) -> None:
    server.answers += [answer(TABLE, ETag='"a"'), b"HTTP/1.1 304 Not Modified\r\n\r\n"]
    source = make(Parts, server.origin)
    with ExitStack() as opened:
        first = open_content(source, opened)
        assert first is not None
        assert open_content(source, opened, first.validators) is None
    assert 'If-None-Match: "a"' in server.requests[1]


def test_headers_are_sent_and_what_echoes_them_is_masked(server: RawServer, settings: Any) -> None:
    settings.PARTS_KEY = "k3y-that-stays-secret"
    server.answers.append(answer(b"<title>No access with k3y-that-stays-secret</title>"))
    text = str(fail(make(KeyedParts, server.origin)))
    assert "X-Api-Key: k3y-that-stays-secret" in server.requests[0]
    assert "No access with ***" in text
    assert "k3y" not in text


def test_a_body_that_is_shorter_than_announced_is_asked_for_again(server: RawServer) -> None:
    server.answers += [answer(TABLE)[:-9], answer(TABLE)]
    with ExitStack() as opened:
        assert open_content(make(Parts, server.origin), opened) is not None
    assert len(server.requests) == 2


def test_a_table_without_a_proof_of_its_end_is_refused_with_the_remedy(server: RawServer) -> None:
    server.answers.append(CLOSED + TABLE)
    error = fail(make(Parts, server.origin))
    assert 'whole = "unproven"' in str(error)
    assert (type(error), error.reason) == (SourceError, Reason.SOURCE_UNREADABLE)


def test_a_source_may_accept_an_end_that_nothing_proves(server: RawServer) -> None:
    server.answers.append(CLOSED + TABLE)
    with ExitStack() as opened:
        content = open_content(make(UnprovenParts, server.origin), opened)
        assert content is not None
        assert not content.is_proven


@pytest.mark.parametrize("kind", [Parts, UnprovenParts])
def test_a_table_that_breaks_off_in_quotes_is_asked_for_again(
    server: RawServer, settings: Any, kind: type[Parts]
) -> None:
    settings.ETL_HTTP_RETRIES = 1
    server.answers.append(answer(b'id,name\n1,"Nut an'))
    error = fail(make(kind, server.origin))
    assert isinstance(error, TransientSourceError)
    assert "the body is truncated" in str(error)
    assert len(server.requests) == 2


OTHERS = [
    (b"<!DOCTYPE html><title>Please sign in</title>", "an HTML page: Please sign in."),
    (b"<?xml version='1.0'?><Error>AccessDenied</Error>", "XML: AccessDenied."),
    (b'{"error": "quota"}', 'JSON: {"error": "quota"}.'),
    (b'[{"id": 1}]', 'JSON: [{"id": 1}].'),
]


@pytest.mark.parametrize(("body", "name"), OTHERS, ids=[name for _, name in OTHERS])
def test_a_page_or_an_error_with_status_200_is_shown_and_not_retried(server: RawServer, body: bytes, name: str) -> None:
    server.answers.append(answer(body, ETag='"a"'))
    error = fail(make(Parts, server.origin))
    assert str(error).endswith(f" did not send a table but {name}")
    assert (type(error), error.reason) == (SourceError, Reason.SOURCE_REFUSED)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("text", "is_cut"),
    [
        (b'id,name\n1,"Nut', True),
        (b'id,name\n1,"Nut ""an', True),
        (b'id,name\n1,"Nut ""', True),
        (b'id,name\n1,"Nut"', False),
        (b'id,name\n1,"Nut\n2,Bolt\n', False),  # a malformed record further up
        (b'id,name\n1,"Nut,\n2,"\n', False),  # a value of two lines
        (b'id,name\n1,5" disk\n', False),
        (b"id,name\n1,Nut", False),
        (b"", False),
    ],
)
def test_only_a_last_line_with_an_open_quote_looks_cut(text: bytes, is_cut: bool) -> None:
    assert breaks_off_in_quotes(hold(text), CsvSyntax()) is is_cut
