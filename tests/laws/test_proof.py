"""Law 12 over several runs: of a body whose end is not proven, nothing is kept that could hide the missing records."""

import base64
import gzip
import socket
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from etl.models import Checkpoint, QuarantinedRecord, Run
from etl.sources import Contract, JsonApiSource, JsonLinesSource, NonBlank
from etl.vocabulary import Reason, Status
from sandbox.server import NEXT_PAGES, Sandbox
from tests.http.raw_server import RawServer, answer
from tests.listed_source import dump_unified, ingest_here

pytestmark = pytest.mark.django_db(transaction=True)

LINES = [b'{"id": "%d", "name": "n%d"}\n' % (number, number) for number in range(8)]
CUT_AT_LINE_END = base64.b64decode(
    "H4sIAAAAAAACA6tWykxRslJQMlDSUVDKS8xNBXHyDJRquaqhMoYoMoZIMkYoMkZIMsYoMsZIMiYoMiZAGQA="
)
"""A gzip stream of the first five lines, flushed but not ended, as a process that was killed leaves it."""

ETAG = 'ETag: "constant"\r\n'
UNPROVEN = f"HTTP/1.1 200 OK\r\nConnection: close\r\n{ETAG}".encode()


class Thing(Contract):
    id: NonBlank
    name: NonBlank


class Things(JsonLinesSource):
    name, every, contract = "things", timedelta(hours=1), Thing
    unified = {"external_id": "id", "name": "name"}
    path = ""


class UnprovenThings(Things):
    whole = "unproven"


class Api(JsonApiSource):
    name, every, contract = "api", timedelta(hours=1), Thing
    unified = {"external_id": "id", "name": "name"}
    endpoint = "/coins/list"


@pytest.fixture(autouse=True)
def one_attempt(settings: Any) -> None:
    settings.ETL_HTTP_RETRIES = 0


@pytest.fixture
def server() -> Iterator[RawServer]:
    with RawServer() as running:
        yield running


def conditional(server: RawServer, whole: bytes) -> Callable[[socket.socket], None]:
    """Answer as a server whose ETag does not tell a cut body from the whole one."""

    def send(connection: socket.socket) -> None:
        is_known = "if-none-match" in server.requests[-1].lower()
        connection.sendall(answer(b"", "304 Not Modified", ETag='"constant"') if is_known else whole)

    return send


def make(kind: type[Things], server: RawServer) -> Things:
    source = kind()
    source.path = server.origin
    return source


def read_ids() -> list[str]:
    return [row[0] for row in dump_unified("things")]


@pytest.mark.parametrize("has_length", [True, False])
def test_a_gzip_body_cut_at_a_line_end_fails_and_the_next_run_lands_everything(
    server: RawServer, has_length: bool
) -> None:
    encoding = b"Content-Encoding: gzip\r\n"
    length = b"Content-Length: %d\r\n" % len(CUT_AT_LINE_END) if has_length else b""
    server.answers += [
        UNPROVEN + encoding + length + b"\r\n" + CUT_AT_LINE_END,
        conditional(server, UNPROVEN + encoding + b"\r\n" + gzip.compress(b"".join(LINES))),
    ]
    source = make(Things, server)
    outcome = ingest_here(source)
    assert (outcome.status, outcome.reason) == (Status.FAILED, Reason.SOURCE_UNREACHABLE)
    assert "the compressed body ends in the middle" in outcome.message
    assert Checkpoint.objects.values_list("fingerprint", "validators").get() == ("", {})
    assert read_ids() == []
    assert ingest_here(source).counters["new"] == len(LINES)
    assert ingest_here(source).reason == Reason.UNCHANGED


def test_a_gzip_file_cut_at_a_line_end_fails_and_the_next_run_lands_everything(tmp_path: Path) -> None:
    source, file = Things(), tmp_path / "things.ndjson.gz"
    source.path = str(file)
    file.write_bytes(CUT_AT_LINE_END)
    outcomes = [ingest_here(source) for _ in range(2)]
    assert [(outcome.status, outcome.reason) for outcome in outcomes] == [(Status.FAILED, Reason.SOURCE_UNREADABLE)] * 2
    assert "is a gzip file that is cut off" in outcomes[0].message
    assert Checkpoint.objects.values_list("fingerprint", "judged_fingerprint").get() == ("", "")
    assert read_ids() == []
    file.write_bytes(gzip.compress(b"".join(LINES)))
    assert ingest_here(source).counters["new"] == len(LINES)


def test_the_same_content_packed_again_is_unchanged(tmp_path: Path) -> None:
    source, file = Things(), tmp_path / "things.ndjson.gz"
    source.path = str(file)
    for mtime in (1, 2):
        file.write_bytes(gzip.compress(b"".join(LINES), mtime=mtime))
        outcome = ingest_here(source)
    assert outcome.reason == Reason.UNCHANGED


def test_lines_without_a_proof_of_their_end_fail_each_run_and_land_nothing(server: RawServer) -> None:
    server.answers.append(conditional(server, UNPROVEN + b"\r\n" + b"".join(LINES)))
    source = make(Things, server)
    outcomes = [ingest_here(source) for _ in range(2)]
    assert [(outcome.status, outcome.reason) for outcome in outcomes] == [(Status.FAILED, Reason.SOURCE_UNREADABLE)] * 2
    assert read_ids() == []


def test_of_a_body_whose_end_nothing_proves_no_validator_is_kept(server: RawServer) -> None:
    server.answers += [
        UNPROVEN + b"\r\n" + b"".join(LINES[:5]),
        conditional(server, UNPROVEN + b"\r\n" + b"".join(LINES)),
    ]
    source = make(UnprovenThings, server)
    assert ingest_here(source).counters["new"] == 5
    assert Checkpoint.objects.values_list("validators", flat=True).get() == {}
    assert ingest_here(source).counters["new"] == len(LINES) - 5
    assert len(read_ids()) == len(LINES)


@pytest.mark.parametrize("sign", ["link", *NEXT_PAGES])
def test_an_undeclared_next_page_fails_each_run_and_nothing_lands(sign: str) -> None:
    with Sandbox(plan=f"{sign},{sign}") as sandbox:
        source = Api()
        source.base_url = sandbox.url
        outcomes = [ingest_here(source) for _ in range(2)]
        assert [(outcome.status, outcome.reason) for outcome in outcomes] == [(Status.FAILED, Reason.MORE_PAGES)] * 2
        assert len(sandbox.requests) == 2
    assert (dump_unified("api"), QuarantinedRecord.objects.count()) == ([], 0)
    assert set(Run.objects.values_list("seen", flat=True)) == {0}


@pytest.mark.parametrize("shape", ["login", "quota", "link"])
def test_another_thing_with_status_200_leaves_the_landed_records_and_the_next_list_lands(shape: str) -> None:
    with Sandbox(plan="") as sandbox:
        source = Api()
        source.base_url = sandbox.url
        landed = ingest_here(source).counters["new"]
        sandbox.plan(shape)
        before = Checkpoint.objects.values_list("fingerprint", "validators").get()
        assert ingest_here(source, full=True).status == Status.FAILED
        assert Checkpoint.objects.values_list("fingerprint", "validators").get() == before
        assert ingest_here(source).reason == Reason.UNCHANGED
        assert len(dump_unified("api")) == landed
