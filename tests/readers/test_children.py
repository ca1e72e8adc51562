"""Laws of `each`: the record is the detail of an element, asked for once; one that is missing costs only itself."""

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from pytest_django.fixtures import Settings

import etl.preview
from etl import first_records
from etl.exceptions import HandedOver, RateLimited, SourceError
from etl.management.commands.preview import judge_end
from etl.preview import preview
from etl.readers import walk_reading
from etl.readers.children import find_misuse
from etl.readers.content import Opening
from etl.readers.walk import WalkContent
from etl.records import Chunk, Refusal, StoredRefusal
from etl.sources import Bearer, Contract, Key, NonBlank, secret
from etl.vocabulary import BreachCode, Reason
from sandbox.pages import PagedApi
from tests.fakes import RecordingContext
from tests.readers.test_walk import KINDS, list_all, list_ids, make_pages, make_source, open_walk

KEY = "k3y-that-stays-secret"
NOT_FOUND: Any = (404, {"error": "not found"}, {})


class Detail(Contract):
    id: NonBlank
    detail: NonBlank


@pytest.fixture
def api() -> Iterator[PagedApi]:
    with PagedApi(make_pages([3, 2, 1])) as running:
        yield running


def make(api: PagedApi, path: str = "/link", **declared: Any) -> Any:
    unified = {"external_id": "id", "name": "detail"}
    return make_source(api, path, **{"contract": Detail, "unified": unified, "each": "/items/{id}", **declared})


def read(api: PagedApi, batch_size: int = 100, cursor: Any = None, **declared: Any) -> list[Chunk]:
    return list(open_walk(make(api, **declared)).read(cursor, batch_size))


def list_details(api: PagedApi) -> list[str]:
    return [request for request in api.requests if request.startswith("/items/")]


def list_refusals(chunks: Sequence[Chunk]) -> list[Refusal]:
    return [item for chunk in chunks for item in chunk.items if isinstance(item, Refusal)]


# --- each detail once -----------------------------------------------------------------------------
@pytest.mark.parametrize("batch_size", [1, 2, 3, 100])
@pytest.mark.parametrize("path", ["/link", "/next-url", "/number", "/after"])
def test_the_detail_of_each_element_is_the_record_and_asked_for_once(api: PagedApi, path: str, batch_size: int) -> None:
    chunks = read(api, batch_size, path=path)
    assert list_ids(chunks) == list_all(api)
    items = [item for chunk in chunks for item in chunk.items]
    assert [item.values["detail"] for item in items] == [f"all of {name}" for name in list_all(api)]  # type: ignore[union-attr]
    assert [item.position for item in items] == [1, 2, 3, 4, 5, 6]
    assert list_details(api) == [f"/items/{name}" for name in list_all(api)]
    assert max(len(chunk.items) for chunk in chunks) <= batch_size


def test_a_list_may_have_no_pages(api: PagedApi) -> None:
    api.pages = make_pages([4])
    assert list_ids(read(api, pages=None)) == ["n1", "n2", "n3", "n4"]
    assert len(api.requests) == 5


def test_a_list_that_names_a_next_page_is_refused_if_no_pages_are_declared(api: PagedApi) -> None:
    with pytest.raises(SourceError) as caught:
        read(api, pages=None)
    assert caught.value.reason is Reason.MORE_PAGES
    assert list_details(api) == []


@pytest.mark.parametrize("batch_size", [1, 2, 4])
@pytest.mark.parametrize("path", KINDS)
def test_resumed_after_any_chunk_it_asks_for_no_detail_before_it(api: PagedApi, path: str, batch_size: int) -> None:
    chunks = read(api, batch_size, path=path)
    for number, chunk in enumerate(chunks, start=1):
        api.requests.clear()
        rest = read(api, batch_size, chunk.cursor, path=path)
        landed = list_ids(chunks[:number])
        assert landed + list_ids(rest) == list_all(api)
        assert list_details(api) == [f"/items/{name}" for name in list_all(api)[len(landed) :]]


def test_slow_details_land_before_there_are_many(api: PagedApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walk_reading, "COMMIT_SECONDS", 0)
    assert [len(chunk.items) for chunk in read(api)] == [1] * 6


def test_the_first_details_are_judged_without_a_second_request(api: PagedApi) -> None:
    found = preview(make(api), 2)
    assert (found.accepted, len(found.shown)) == (6, 2)
    assert len(list_details(api)) == 6


def test_a_detail_that_fails_among_the_first_is_not_asked_for_again(api: PagedApi) -> None:
    api.details["n5"] = (429, {}, {"Retry-After": "3600"})
    found = preview(make(api), 10)
    assert (found.seen, "requires a wait of 3600 s" in str(found.error)) == (4, True)
    assert judge_end(found) == ("failed", "rate_limited")
    assert list_details(api).count("/items/n5") == 1


def test_a_preview_of_slow_details_asks_for_few(api: PagedApi, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (first_records, etl.preview):
        monkeypatch.setattr(module, "START_SECONDS", 0)
    monkeypatch.setattr(walk_reading, "COMMIT_SECONDS", 0)
    found = preview(make(api), 2)
    assert (found.seen, found.is_all) == (2, False)
    assert len(list_details(api)) == 3


def test_a_finished_walk_has_details_that_may_have_changed(api: PagedApi) -> None:
    with_details, without = open_walk(make(api)), open_walk(make(api, each=""))
    assert with_details.walk.fingerprint() != without.walk.fingerprint()
    assert open_walk(make(api)).fingerprint != with_details.fingerprint


# --- addresses ------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("each", "element", "asked"),
    [
        ("/items/{id}", {"id": "a b/c?d=e&ü"}, "/items/a%20b%2Fc%3Fd%3De%26%C3%BC"),
        ("/items/{id}", {"id": 17}, "/items/17"),
        ("/items/{meta.id}", {"meta": {"id": "x"}}, "/items/x"),
        ("/items/{meta.id}", {"meta.id": "y"}, "/items/y"),
        ("/items/{id}?full={kind}&a=1", {"id": "x", "kind": "a&b"}, "/items/x?full=a%26b&a=1"),
        ("{links.self}", {"links": {"self": "/items/z?v=2"}}, "/items/z?v=2"),
    ],
)
def test_values_of_the_element_make_the_address(api: PagedApi, each: str, element: dict[str, Any], asked: str) -> None:
    api.pages = [[element]]
    read(api, each=each)
    assert list_details(api) == [asked]


@pytest.mark.parametrize(
    ("each", "element", "message"),
    [
        ("/items/{id}", {}, "has no id that can name its detail"),
        ("/items/{id}", {"id": None}, "has no id"),
        ("/items/{id}", {"id": ""}, "has no id"),
        ("/items/{id}", {"id": ["x"]}, "has no id"),
        ("/items/{id}", {"id": True}, "has no id"),
        ("/items/{id}/x", {"id": ".."}, "has no id"),
        ("/items/{meta.id}", {"meta": "x"}, "has no meta.id"),
        ("{url}", {"url": "http://localhost:{port}/items/x"}, "names in url a detail of another origin"),
        ("{url}", {"url": "//169.254.169.254/latest"}, "names in url a detail of another origin"),
    ],
)
def test_an_element_without_a_usable_value_is_refused_and_nothing_asked(
    api: PagedApi, each: str, element: dict[str, Any], message: str
) -> None:
    port = str(api.server.server_port)
    api.pages = [[{name: v.replace("{port}", port) if isinstance(v, str) else v for name, v in element.items()}]]
    (refusal,) = list_refusals(read(api, each=each, auth=Bearer(KEY)))
    assert (refusal.breach.code, refusal.position) == (BreachCode.CHILD_MISSING, 1)
    assert message in refusal.breach.message
    assert len(api.requests) == 1


def test_credentials_are_sent_with_each_request_and_shown_nowhere(api: PagedApi) -> None:
    api.details["n5"] = NOT_FOUND
    for auth in (Bearer(KEY), Key(KEY, query="api_key")):
        chunks = read(api, 2, auth=auth)
        shown = [str(chunk.cursor) for chunk in chunks] + [refusal.breach.message for refusal in list_refusals(chunks)]
        assert KEY not in "".join(shown)
    assert sum(headers.get("authorization") == f"Bearer {KEY}" for headers in api.headers) == 9
    assert sum(f"api_key={KEY}" in request for request in api.requests) == 9


def test_a_secret_of_the_path_is_not_shown(api: PagedApi, settings: Settings) -> None:
    settings.PATH_KEY = KEY

    class Keyed:
        key = secret("PATH_KEY")
        each = property(lambda self: f"/items/{self.key}/{{id}}")

    api.details[f"{KEY}/n2"] = NOT_FOUND
    keyed = {"key": Keyed.__dict__["key"], "each": Keyed.__dict__["each"]}
    (refusal,) = list_refusals(read(api, **keyed))
    assert "/items/***/n2 responded with 404" in refusal.breach.message


# --- what goes wrong ------------------------------------------------------------------------------
@pytest.mark.parametrize("status", [404, 410])
def test_a_missing_detail_is_a_refusal_with_its_place(api: PagedApi, status: int) -> None:
    api.details["n5"] = (status, {"error": "gone"}, {})
    chunks = read(api)
    assert list_ids(chunks) == ["n1", "n2", "n3", "n4", "n6"]
    (refusal,) = list_refusals(chunks)
    assert (refusal.breach.code, refusal.position, refusal.payload) == (BreachCode.CHILD_MISSING, 5, '{"id": "n5"}')
    assert refusal.breach.message.endswith(f"/items/n5 responded with {status}; it is element 2 on page 2")


def test_a_missing_detail_keeps_the_id_that_the_list_gives(api: PagedApi) -> None:
    api.details["n5"] = NOT_FOUND
    (refusal,) = list_refusals(read(api))
    assert refusal.external_id == "n5"


def test_a_replay_lands_no_element_in_the_place_of_its_detail(api: PagedApi) -> None:
    api.details["n5"] = NOT_FOUND
    (refusal,) = list_refusals(read(api))
    stored = StoredRefusal(1, 5, 1, refusal.breach, refusal.payload, refusal.original.head)
    assert make(api).revive(stored) is None


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ((403, {"error": "no"}, {}), "responded with 403"),
        ((500, {}, {}), "responded with 500|failed after 0 retries: 500"),
        ((202, {}, {}), "responded with 202"),
        ((200, {"error": "quota"}, {}), "sent an error instead of records"),
    ],
)
def test_any_other_error_ends_the_walk_after_what_was_read_before(
    api: PagedApi, settings: Settings, answer: Any, message: str
) -> None:
    settings.ETL_HTTP_RETRIES = 0
    api.details["n5"] = answer
    steps = open_walk(make(api)).read(None, 100)
    chunk = next(steps)
    assert list_ids([chunk]) == ["n1", "n2", "n3", "n4"]
    with pytest.raises(SourceError, match=message) as caught:
        next(steps)
    assert "It happened at the detail of element 2 on page 2, " in str(caught.value)
    del api.details["n5"]
    api.requests.clear()
    assert list_ids(read(api, 100, chunk.cursor)) == ["n5", "n6"]
    assert list_details(api) == ["/items/n5", "/items/n6"]


def test_a_long_wait_ends_the_walk_with_the_time_to_go_on(api: PagedApi) -> None:
    api.details["n5"] = (429, {}, {"Retry-After": "3600"})
    steps = open_walk(make(api)).read(None, 100)
    assert list_ids([next(steps)]) == ["n1", "n2", "n3", "n4"]
    with pytest.raises(RateLimited, match="requires a wait of 3600 s"):
        next(steps)


def test_a_worker_that_stops_in_a_wait_gives_what_it_has_read_first(api: PagedApi) -> None:
    api.details["n5"] = (429, {}, {"Retry-After": "3"})
    context = RecordingContext(ends_with=HandedOver("The worker stops."))
    with make(api).open(Opening(), context) as content:
        steps = content.read(None, 100)
        assert list_ids([next(steps)]) == ["n1", "n2", "n3", "n4"]
        with pytest.raises(HandedOver):
            next(steps)


@pytest.mark.parametrize("document", [[], ["x"], "x", 12, None])
def test_a_detail_that_is_no_object_is_refused(api: PagedApi, document: Any) -> None:
    api.details["n5"] = (200, document, {})
    (refusal,) = list_refusals(read(api))
    assert refusal.breach.code == BreachCode.NOT_AN_OBJECT


def test_a_detail_beyond_the_limit_is_refused(api: PagedApi, settings: Settings) -> None:
    settings.ETL_MAX_RECORD_BYTES = 100
    api.details["n5"] = (200, {"id": "n5", "detail": "x" * 200}, {})
    (refusal,) = list_refusals(read(api))
    assert (refusal.breach.code, refusal.original.length) == (BreachCode.TOO_LONG, 226)


def test_the_next_link_of_a_detail_means_nothing(api: PagedApi) -> None:
    api.details["n5"] = (200, {"id": "n5", "detail": "x", "next": "/items/n6"}, {"Link": '</items/n6>; rel="next"'})
    assert list_ids(read(api)) == list_all(api)


def test_the_rate_limit_counts_every_request(api: PagedApi, monkeypatch: pytest.MonkeyPatch) -> None:
    context = RecordingContext()
    limits: list[str] = []

    def find_pace(host: str, limit: str) -> float:
        limits.append(limit)
        return 0

    monkeypatch.setattr(context, "find_pace", find_pace)
    with make(api, rate_limit="10/minute").open(Opening(), context) as content:
        assert isinstance(content, WalkContent)
        assert len(list_ids(list(content.read(None, 100)))) == 6
    assert limits == ["10/minute"] * 9


@pytest.mark.parametrize(
    ("template", "is_usable"),
    [
        ("", True),
        ("/issues/{id}", True),
        ("?id={meta.id}", True),
        ("{url}", True),
        ("/issues", False),
        ("issues/{id}", False),
        ("https://elsewhere.example/{id}", False),
        ("{url}/more", False),
        (7, False),
    ],
)
def test_a_template_names_a_value(template: object, is_usable: bool) -> None:
    assert (find_misuse(template) == "") == is_usable
