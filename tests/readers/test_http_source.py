"""Laws of a source's own limits for its requests, and of what statuses mean to it."""

from datetime import timedelta
from typing import Any

import pytest
from pytest_django.fixtures import Settings

from etl.exceptions import RateLimited, SourceError, TransientSourceError
from etl.readers.content import Opening
from etl.readers.http_source import describe_requests, list_misuses
from etl.records import Record
from etl.sources import LINES, Contract, Csv, FileSource, JsonApiSource, LinkHeader, NonBlank, Numbered
from etl.vocabulary import Reason
from tests.factories import read_items
from tests.fakes import RecordingContext
from tests.http.raw_server import RawServer, answer

LIST = b'[{"id": "a"}]'
BUSY = answer(b"", "503 Busy")
NOTHING = b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"
AGAIN, EMPTY = {202: "again"}, {204: "empty"}


class Item(Contract):
    id: NonBlank


class Items(JsonApiSource):
    name, every, contract = "items", timedelta(hours=1), Item
    unified = {"external_id": "id", "name": "id"}


def later(**headers: str) -> bytes:
    return answer(b'{"state": "preparing"}', "202 Accepted", **headers)


def make(**declared: Any) -> JsonApiSource:
    return type("Declared", (Items,), declared)()  # type: ignore[no-any-return]


def read(server: RawServer, watch: RecordingContext | None = None, **declared: Any) -> list[Any]:
    source = make(base_url=server.origin, **declared)
    with source.open(Opening(), watch or RecordingContext()) as content:
        assert content is not None
        assert content.is_proven
        return [item.values["id"] for item in read_items(content) if isinstance(item, Record)]


# --- retries and deadline -------------------------------------------------------------------------
@pytest.mark.parametrize(("retries", "requests"), [(0, 1), (2, 3), (None, 2)])
def test_a_source_may_have_its_own_number_of_retries(settings: Settings, retries: int | None, requests: int) -> None:
    settings.ETL_HTTP_RETRIES = 1
    with RawServer(BUSY) as server, pytest.raises(TransientSourceError, match=rf"after {requests - 1} retr"):
        read(server, retries=retries)
    assert len(server.requests) == requests


def test_the_attempts_of_a_request_share_the_sources_deadline(settings: Settings) -> None:
    settings.ETL_HTTP_DEADLINE_SECONDS = 0.2
    with RawServer() as server:
        server.answers.append(server.trickle(b"HTTP/1.1 200 OK\r\n\r\n[", b" "))
        with pytest.raises(TransientSourceError, match=r"used up \(0.5 s, the source's deadline\)"):
            read(server, deadline=timedelta(seconds=0.5))
    assert len(server.requests) <= 3


def test_no_deadline_outlives_the_run(settings: Settings) -> None:
    watch = RecordingContext(seconds_left=40)
    settings.ETL_HTTP_BACKOFF_SECONDS = settings.ETL_HTTP_BACKOFF_CAP_SECONDS = 100
    with RawServer(BUSY) as server, pytest.raises(TransientSourceError, match="36 s of ETL_BATCH_DEADLINE_SECONDS"):
        read(server, watch, deadline=timedelta(hours=1))


def test_waiting_for_a_place_in_the_rate_limit_does_not_use_up_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    watch, paces = RecordingContext(), iter([50.0, 0.0])
    monkeypatch.setattr(watch, "find_pace", lambda host, limit: next(paces))
    with RawServer(answer(LIST)) as server:
        assert read(server, watch, rate_limit="1/minute", deadline=timedelta(seconds=20)) == ["a"]
    assert watch.waits == [50]


def test_a_retry_after_beyond_the_deadline_names_the_time_to_try_again() -> None:
    watch = RecordingContext()
    with (
        RawServer(answer(b"", "429 Too Many Requests", Retry_After="30")) as server,
        pytest.raises(RateLimited, match="requires a wait of 30 s"),
    ):
        read(server, watch, deadline=timedelta(seconds=20))
    assert watch.waits == []


# --- statuses -------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("response", "message"),
    [
        (later(), r'202 Accepted.*statuses = \{202: "again"\}'),
        (NOTHING, r'204 No Content.*statuses = \{204: "empty"\}'),
    ],
)
def test_without_a_declaration_a_202_and_a_204_are_errors_that_name_it(response: bytes, message: str) -> None:
    with RawServer(response) as server, pytest.raises(SourceError, match=message) as caught:
        read(server)
    assert caught.value.reason is Reason.SOURCE_REFUSED


@pytest.mark.parametrize("records", [None, "data.items", LINES])
@pytest.mark.parametrize(
    ("response", "statuses"),
    [(NOTHING, EMPTY), (answer(b'{"error": "nothing found"}', "404 Not Found"), {404: "empty"})],
)
def test_a_status_may_mean_that_there_is_nothing(records: Any, response: bytes, statuses: dict[int, str]) -> None:
    with RawServer(response) as server:
        assert read(server, records=records, statuses=statuses) == []
    assert len(server.requests) == 1


def test_a_table_may_be_nothing_too() -> None:
    class Table(FileSource):
        name, contract, dialect, statuses = "table", Item, Csv(), {204: "empty"}

    with RawServer(NOTHING) as server:
        Table.path = f"{server.origin}/table.csv"
        with Table().open(Opening(), RecordingContext()) as content:
            assert content is not None
            assert read_items(content) == []


@pytest.mark.parametrize("pages", [LinkHeader(), Numbered("page")])
def test_a_page_may_be_nothing(pages: object) -> None:
    first = answer(LIST, Link='</?page=2>; rel="next"')
    with RawServer(first, NOTHING) as server:
        assert read(server, pages=pages, statuses=EMPTY) == ["a"]
    assert len(server.requests) == 2


def test_a_status_may_mean_that_the_response_comes_later(settings: Settings) -> None:
    settings.ETL_HTTP_BACKOFF_SECONDS, settings.ETL_HTTP_BACKOFF_CAP_SECONDS = 1, 3.5
    watch = RecordingContext()
    with RawServer(later(Retry_After="3"), later(), later(), answer(LIST)) as server:
        assert read(server, watch, statuses=AGAIN, retries=0) == ["a"]
    assert watch.waits == [3, 2, 3.5]
    assert watch.notes == ["Asking again until the response is ready: 202 Accepted"]


def test_a_response_that_does_not_come_in_time_is_named() -> None:
    named = r"was not ready in time.*202 Accepted"
    with RawServer(later()) as server, pytest.raises(SourceError, match=named) as caught:
        read(server, statuses=AGAIN, deadline=timedelta(seconds=1.1), retries=0)
    assert caught.value.reason is Reason.NOT_READY
    assert len(server.requests) > 1


def test_a_response_that_comes_after_the_deadline_names_the_time_to_try_again() -> None:
    with RawServer(later(Retry_After="600")) as server, pytest.raises(RateLimited, match="requires a wait of 600 s"):
        read(server, statuses=AGAIN, deadline=timedelta(seconds=20))


# --- declarations ---------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("declared", "misused"),
    [
        ({"rate_limit": "5000/hour", "retries": 0, "deadline": timedelta(seconds=9), "statuses": AGAIN | EMPTY}, []),
        ({"rate_limit": ""}, []),
        ({"rate_limit": "often"}, ["rate_limit"]),
        ({"rate_limit": 10}, ["rate_limit"]),
        ({"rate_limit": "0/minute"}, ["rate_limit"]),
        ({"retries": -1}, ["retries"]),
        ({"retries": True}, ["retries"]),
        ({"retries": "2"}, ["retries"]),
        ({"deadline": 30}, ["deadline"]),
        ({"deadline": timedelta(0)}, ["deadline"]),
        ({"statuses": {202: "later"}}, ["statuses"]),
        ({"statuses": {"202": "again"}}, ["statuses"]),
        ({"statuses": {200: "empty"}}, ["statuses"]),
        ({"statuses": {401: "again"}}, ["statuses"]),
        ({"statuses": {700: "again"}}, ["statuses"]),
        ({"statuses": [202]}, ["statuses"]),
    ],
)
def test_what_can_not_be_used_is_named(declared: dict[str, Any], misused: list[str]) -> None:
    assert [name for name, _ in list_misuses(make(**declared))] == misused


def test_declared_limits_are_shown() -> None:
    assert dict(describe_requests(make(rate_limit="10/minute", retries=0, deadline=timedelta(minutes=2)))) == {
        "rate limit": "10/minute",
        "retries": "0",
        "deadline": "0:02:00 for a request with its retries",
    }
    assert dict(describe_requests(make(statuses=EMPTY | AGAIN))) == {"statuses": "202 again, 204 empty"}
    assert dict(describe_requests(make())) == {}
