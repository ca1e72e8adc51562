"""Laws of walks through pages: each record once, each page asked for once, and an end that is proven."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytest_django.fixtures import Settings

from etl.exceptions import HandedOver, SourceError
from etl.http.circles import CircleGuard
from etl.readers import walk_reading
from etl.readers.content import Opening
from etl.readers.walk import WalkContent
from etl.records import Chunk, Cursor, Record
from etl.sources import After, Bearer, Contract, JsonApiSource, Key, LinkHeader, NextUrl, NonBlank, Numbered, Token
from etl.vocabulary import Reason
from sandbox.pages import Item, PagedApi
from tests.fakes import RecordingContext

KEY = "k3y-that-stays-secret"
INFO = "data.items.pageInfo"
KINDS: dict[str, Any] = {
    "/link": LinkHeader(),
    "/header-token": Token("cursor", header="X-Next"),
    "/number": Numbered("page"),
    "/next-url": NextUrl("links.next"),
    "/token": Token("cursor", at="meta.next_cursor"),
    "/offset": Numbered("offset", first=0, step=3, total="total"),
    "/after": After("starting_after", of="id", more="has_more"),
    "/graphql": Token(
        into="variables.after", at="data.items.pageInfo.endCursor", more="data.items.pageInfo.hasNextPage"
    ),
}
RECORDS = {"/next-url": "data", "/token": "data", "/offset": "items", "/after": "data", "/graphql": "data.items.nodes"}
SHAPES: dict[str, list[int]] = {
    "no page": [0],
    "one page": [3],
    "an exact multiple": [3, 3, 3],
    "a short last page": [3, 3, 1],
    "a short page in the middle": [3, 1, 3],
    "many pages": [3] * 30,
}


class Thing(Contract):
    id: NonBlank


class Things(JsonApiSource):
    name = "things"
    contract = Thing
    unified = {"external_id": "id", "name": "id"}


def make_pages(sizes: Sequence[Any]) -> list[list[Item]]:
    numbers = iter(range(1, 10_000))
    return [[{"id": f"n{next(numbers)}"} for _ in range(size)] if size else [] for size in sizes]


def make_source(api: PagedApi, path: str, **declared: Any) -> Things:
    attributes = {"base_url": api.url, "endpoint": path, "pages": KINDS.get(path), "records": RECORDS.get(path)}
    if path == "/graphql":
        attributes["body"] = {"query": "…", "variables": {"after": None}}
    kind = type("Declared", (Things,), {**attributes, **declared})
    return kind()  # type: ignore[no-any-return]


def open_walk(source: Things, open_read: str = "") -> WalkContent:
    with source.open(Opening(open_read=open_read), RecordingContext()) as content:
        assert isinstance(content, WalkContent)
        return content


def list_ids(chunks: Sequence[Chunk]) -> list[str]:
    return [item.values["id"] for chunk in chunks for item in chunk.items if isinstance(item, Record)]


def list_all(api: PagedApi) -> list[str]:
    return [item["id"] for page in api.pages for item in page]


# --- each record once -----------------------------------------------------------------------------
@pytest.mark.parametrize("batch_size", [1, 2, 3, 7, 10_000])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("path", KINDS)
def test_each_record_is_read_once_and_each_page_asked_for_once(path: str, shape: str, batch_size: int) -> None:
    with PagedApi(make_pages(SHAPES[shape])) as api:
        chunks = list(open_walk(make_source(api, path)).read(None, batch_size))
        assert list_ids(chunks) == list_all(api)
        assert all(len(chunk.items) <= batch_size for chunk in chunks)
        extra = 1 if path == "/number" and api.total else 0  # only a page without records proves the end
        assert len(api.requests) == len(api.pages) + extra
    positions = [item.position for chunk in chunks for item in chunk.items]
    assert positions == list(range(1, api.total + 1))


@pytest.mark.parametrize("path", ["/link", "/header-token"])
def test_an_empty_page_in_the_middle_ends_no_walk_with_a_next_page(path: str) -> None:
    with PagedApi(make_pages([2, 0, 0, 2])) as api:
        assert list_ids(list(open_walk(make_source(api, path)).read(None, 100))) == list_all(api)


@pytest.mark.parametrize("batch_size", [1, 2, 3, 5, 100])
@pytest.mark.parametrize("path", KINDS)
def test_a_walk_resumed_after_any_chunk_gives_the_rest_and_asks_for_no_page_before_it(
    path: str, batch_size: int
) -> None:
    with PagedApi(make_pages([3, 1, 4, 2])) as api:
        chunks = list(open_walk(make_source(api, path)).read(None, batch_size))
        for number, chunk in enumerate(chunks, start=1):
            api.requests.clear()
            rest = list(open_walk(make_source(api, path)).read(chunk.cursor, batch_size))
            assert list_ids(chunks[:number]) + list_ids(rest) == list_all(api)
            assert len(api.requests) <= len(api.pages) + 1 - chunk.cursor["pages"]


def test_the_first_records_are_judged_without_a_second_request() -> None:
    with PagedApi(make_pages([40] * 30)) as api:
        content = open_walk(make_source(api, "/link"))
        first = next(content.read(None, 1000))
        assert sum(map(len, first.slices)) == 1000
        assert list_ids(list(content.read(None, 1000))) == list_all(api)
        assert len(api.requests) == 30


def test_slow_pages_land_before_there_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walk_reading, "COMMIT_SECONDS", 0)
    with PagedApi(make_pages([2, 2, 2])) as api:
        chunks = list(open_walk(make_source(api, "/link")).read(None, 100))
    assert [len(chunk.items) for chunk in chunks] == [2, 2, 2]


@dataclass
class EndingTask(RecordingContext):
    """The context of a task whose time is up after some pages."""

    most_pages: int = 3

    def end_task_if_due(self) -> None:
        if self.pages >= self.most_pages:
            raise HandedOver("The task's time is up.")


@pytest.mark.parametrize("each", ["", "/items/{id}"])
def test_a_task_that_ends_between_pages_gives_what_it_has_read_first(each: str) -> None:
    with PagedApi(make_pages([2] * 4)) as api:
        source = make_source(api, "/link", each=each)
        given: list[Chunk] = []
        for _ in range(10):  # tasks
            with source.open(Opening(), EndingTask()) as content:
                assert content is not None
                try:
                    given.extend(content.read(given[-1].cursor if given else None, 100))
                    break
                except HandedOver:
                    pass
        assert list_ids(given) == list_all(api)


def test_what_was_read_before_an_error_is_given_first() -> None:
    with PagedApi(make_pages([2, 2, 2])) as api:
        original = api.answer

        def fail_third(path: str, query: Any, body: Any) -> Any:
            return ({"error": "gone"}, {}) if query.get("cursor") == "t2" else original(path, query, body)

        api.answer = fail_third  # type: ignore[method-assign]
        steps = open_walk(make_source(api, "/link")).read(None, 100)
        assert list_ids([next(steps)]) == ["n1", "n2", "n3", "n4"]
        with pytest.raises(SourceError, match="sent an error instead of records"):
            next(steps)


def test_fewer_records_than_the_server_names_are_an_error() -> None:
    with PagedApi(make_pages([2] * 10)) as api, pytest.raises(SourceError, match="14 records of the 20"):
        list(open_walk(make_source(api, "/offset")).read(None, 100))


# --- the same walk --------------------------------------------------------------------------------
def test_a_finished_walk_is_never_unchanged_and_a_cut_one_goes_on() -> None:
    with PagedApi(make_pages([1])) as api:
        source = make_source(api, "/link")
        first, second = open_walk(source).fingerprint, open_walk(source).fingerprint
        assert first != second
        assert open_walk(source, first).fingerprint == first
        assert open_walk(make_source(api, "/number"), first).fingerprint != first


# --- walks without an end -------------------------------------------------------------------------
def walk_in_circle(lead: int, length: int) -> tuple[int, SourceError]:
    """Return after how many pages a walk is stopped whose last page names the one after `lead` pages as the next."""
    with PagedApi(make_pages([1] * (lead + length))) as api:
        original = api.answer

        def lead_back(path: str, query: Any, body: Any) -> Any:
            document, headers = original(path, query, body)
            return document, headers or {"X-Next": f"t{lead}"}

        api.answer = lead_back  # type: ignore[method-assign]
        with pytest.raises(SourceError) as caught:
            list(open_walk(make_source(api, "/header-token")).read(None, 10))
        return len(api.requests), caught.value


@pytest.mark.parametrize(("lead", "length"), [(0, 2), (1, 2), (0, 5), (3, 7), (10, 1), (1, 30)])
def test_a_circle_ends_the_walk_within_three_times_its_length_and_way(
    settings: Settings, lead: int, length: int
) -> None:
    settings.ETL_HTTP_MAX_PAGES = 200  # so that a test that fails ends
    asked, error = walk_in_circle(lead, length)
    assert error.reason is Reason.PAGES_ENDLESS
    assert asked <= 3 * (lead + length) + 1


@given(st.integers(0, 60), st.integers(1, 60))
def test_a_circle_is_found_by_a_walk_that_is_resumed_after_each_page(lead: int, length: int) -> None:
    guard, state, steps = CircleGuard(), 0, 0
    while not guard.closes({"number": state}):
        state = state + 1 if state + 1 < lead + length else lead
        steps += 1
        guard = CircleGuard.of(guard.as_json())
        assert steps <= 3 * (lead + length)


def test_two_pages_that_are_the_same_end_the_walk() -> None:
    """As of a server that ignores the parameter."""
    with PagedApi(make_pages([2, 2])) as api:
        source = make_source(api, "/number", pages=Numbered("seite"))
        with pytest.raises(SourceError, match="two consecutive pages are the same") as caught:
            list(open_walk(source).read(None, 10))
    assert caught.value.reason is Reason.PAGES_ENDLESS
    assert len(api.requests) == 2


def test_more_pages_than_the_setting_permits_end_the_walk(settings: Settings) -> None:
    settings.ETL_HTTP_MAX_PAGES = 3
    with PagedApi(make_pages([1] * 5)) as api, pytest.raises(SourceError, match="ETL_HTTP_MAX_PAGES") as caught:
        list(open_walk(make_source(api, "/link")).read(None, 10))
    assert caught.value.reason is Reason.PAGES_ENDLESS
    assert len(api.requests) == 3


# --- credentials ----------------------------------------------------------------------------------
FOREIGN = [
    "{other}/link?cursor=t1",  # another port
    "http://localhost:{port}/link?cursor=t1",
    "https://127.0.0.1:{port}/link?cursor=t1",
    "//169.254.169.254/latest/meta-data",
    "http://127.0.0.1:{port}@169.254.169.254/latest/meta-data",
]


@pytest.mark.parametrize(("path", "number"), [("/link", 0), ("/next-url", 0), ("/link", 2), ("/next-url", 2)])
@pytest.mark.parametrize("link", FOREIGN)
def test_a_next_page_of_another_origin_is_never_asked_for(link: str, path: str, number: int) -> None:
    with PagedApi(make_pages([1] * 4)) as api, PagedApi(make_pages([1])) as other:
        target, original = link.format(port=api.server.server_port, other=other.url), api.answer

        def lead_away(path: str, query: Any, body: Any) -> Any:
            document, headers = original(path, query, body)
            if query.get("cursor", "t0") != f"t{number}":
                return document, headers
            if path == "/link":
                return document, {"Link": f'<{target}>; rel="next"'}
            return {**document, "links": {"next": target}}, headers

        api.answer = lead_away  # type: ignore[method-assign]
        with pytest.raises(SourceError, match="another origin") as caught:
            list(open_walk(make_source(api, path, auth=Bearer(KEY))).read(None, 10))
    assert len(api.requests) == number + 1
    assert other.requests == []
    assert KEY not in str(caught.value)


def test_a_key_in_the_query_is_put_on_each_page_and_never_stored() -> None:
    with PagedApi(make_pages([1, 1, 1])) as api:
        original = api.answer

        def echo_key(path: str, query: Any, body: Any) -> Any:
            document, headers = original(path, query, body)
            return document, {name: text.replace("?", f"?api_key={KEY}&") for name, text in headers.items()}

        api.answer = echo_key  # type: ignore[method-assign]
        chunks = list(open_walk(make_source(api, "/link", auth=Key(KEY, query="api_key"))).read(None, 1))
        assert list_ids(chunks) == list_all(api)
    assert [request.count(KEY) for request in api.requests] == [1, 1, 1]
    cursors: list[Cursor] = [chunk.cursor for chunk in chunks]
    assert KEY not in str(cursors)
