"""Walks through pages over several runs: an interrupted walk continues, and each record lands once."""

import signal
from datetime import timedelta
from typing import Any

import pytest
from pytest_django.fixtures import Settings

from etl.clock import from_now
from etl.models import Checkpoint, JudgedRead, Run, RunEvent, UnifiedRecord
from etl.sources import Contract, JsonApiSource, LinkHeader, NonBlank, Numbered
from etl.vocabulary import EventKind, Reason, Status
from sandbox.pages import PagedApi
from tests import paged_source
from tests.laws.test_crashes import outlive_the_lease
from tests.listed_source import ingest_here
from tests.processes import Project, await_stop, wait_until
from tests.readers.test_walk import make_pages

pytestmark = pytest.mark.django_db(transaction=True)


class Thing(Contract):
    id: NonBlank


class Things(JsonApiSource):
    name, every, contract = "things", timedelta(hours=1), Thing
    endpoint, pages = "/link", LinkHeader()
    unified = {"external_id": "id", "name": "id"}
    complete = True


class Changed(Things):
    version = 2


@pytest.fixture(autouse=True)
def small_batches(settings: Settings) -> None:
    settings.ETL_HTTP_RETRIES = 0
    settings.ETL_BATCH_SIZE = 4


def make(api: PagedApi) -> Things:
    source = Things()
    source.base_url = api.url
    return source


def list_expected(api: PagedApi) -> list[str]:
    return sorted(item["id"] for page in api.pages for item in page)


def list_landed() -> list[str]:
    return sorted(UnifiedRecord.objects.filter(removed_at=None).values_list("external_id", flat=True))


def cut_at(api: PagedApi, cursor: str) -> Any:
    """Answer the page of this cursor with an error until the returned function is called."""
    original = api.answer

    def answer(path: str, query: Any, body: Any) -> Any:
        return ({"error": "broken"}, {}) if query.get("cursor") == cursor else original(path, query, body)

    api.answer = answer  # type: ignore[method-assign]

    def mend() -> None:
        api.answer = original  # type: ignore[method-assign]

    return mend


def test_a_walk_that_was_cut_goes_on_at_the_page_after_the_last_landed_one() -> None:
    with PagedApi(make_pages([2] * 8)) as api:
        mend = cut_at(api, "t5")
        cut = ingest_here(make(api))
        assert cut.status == Status.FAILED
        landed = list_landed()
        assert len(landed) == 10
        mend()
        api.requests.clear()
        whole = ingest_here(make(api))
        assert api.requests == ["/link?cursor=t5", "/link?cursor=t6", "/link?cursor=t7"]
        assert (whole.status, whole.counters["seen"]) == (Status.SUCCESS, 6)
        assert list_landed() == list_expected(api)
        assert JudgedRead.objects.count() == 1


def test_a_finished_walk_is_read_again_and_writes_nothing_for_the_same_records() -> None:
    with PagedApi(make_pages([2, 2, 1])) as api:
        ingest_here(make(api))
        again = ingest_here(make(api))
        assert (again.status, again.reason, again.counters["unchanged"]) == (Status.SUCCESS, Reason.NONE, 5)
        assert Checkpoint.objects.values_list("record_count", flat=True).get() == 5


def test_a_finished_walk_of_a_complete_source_removes_what_it_lacks() -> None:
    with PagedApi(make_pages([2] * 20)) as api:
        ingest_here(make(api))
        api.pages[3].pop()
        assert ingest_here(make(api)).counters["removed"] == 1
        assert list_landed() == list_expected(api)


def test_a_walk_that_was_cut_removes_nothing() -> None:
    with PagedApi(make_pages([2] * 20)) as api:
        ingest_here(make(api))
        cut_at(api, "t10")
        before = list_landed()
        assert ingest_here(make(api)).status == Status.FAILED
        assert list_landed() == before


def test_another_contract_walks_from_the_first_page() -> None:
    with PagedApi(make_pages([2] * 8)) as api:
        mend = cut_at(api, "t5")
        ingest_here(make(api))
        mend()
        api.requests.clear()
        changed = Changed()
        changed.base_url = api.url
        ingest_here(changed)
        assert api.requests[0] == "/link"
        assert list_landed() == list_expected(api)


def test_a_full_read_walks_from_the_first_page() -> None:
    with PagedApi(make_pages([2] * 8)) as api:
        mend = cut_at(api, "t5")
        ingest_here(make(api))
        mend()
        api.requests.clear()
        ingest_here(make(api), full=True)
        assert api.requests[0] == "/link"
        assert list_landed() == list_expected(api)


# --- walks that start over ------------------------------------------------------------------------
def list_restarts() -> list[str]:
    return [*RunEvent.objects.filter(kind=EventKind.RESTARTED).order_by("id").values_list("message", flat=True)]


@pytest.mark.parametrize("status", [400, 404, 410])
def test_a_cursor_that_the_server_refuses_starts_the_walk_over(status: int) -> None:
    with PagedApi(make_pages([2] * 8)) as api:
        mend = cut_at(api, "t5")
        ingest_here(make(api))
        mend()
        api.refusals["/link?cursor=t5"] = (status, {})
        api.requests.clear()
        whole = ingest_here(make(api))
        assert api.requests == ["/link?cursor=t5", "/link", *(f"/link?cursor=t{page}" for page in range(1, 8))]
        assert (whole.status, whole.counters["new"], whole.counters["unchanged"]) == (Status.SUCCESS, 6, 10)
        assert list_landed() == list_expected(api)
    (restart,) = list_restarts()
    assert "the server refuses its cursor" in restart
    assert str(status) in restart


def test_a_walk_starts_over_once_in_a_run() -> None:
    with PagedApi(make_pages([2] * 8)) as api:
        mend = cut_at(api, "t5")
        ingest_here(make(api))
        mend()
        api.refused["t5"] = 410
        api.requests.clear()
        failed = ingest_here(make(api))
        assert (failed.status, failed.reason) == (Status.FAILED, Reason.SOURCE_REFUSED)
        assert (api.requests.count("/link"), len(list_restarts())) == (1, 1)


def test_a_page_that_is_missing_in_a_new_walk_fails_the_run() -> None:
    with PagedApi(make_pages([2] * 8)) as api:
        api.refused["t5"] = 404
        failed = ingest_here(make(api))
        assert (failed.status, failed.reason, list_restarts()) == (Status.FAILED, Reason.SOURCE_REFUSED, [])
        assert len(list_landed()) == 10


class Ended(JsonApiSource):
    name, every, contract = "ended", timedelta(hours=1), Thing
    endpoint, pages = "/number", Numbered("page")
    unified = {"external_id": "id", "name": "id"}


def test_an_api_that_answers_404_after_its_last_page_ends_there_if_the_source_says_so() -> None:
    source = Ended()
    source.statuses = {404: "empty"}
    with PagedApi(make_pages([2, 2, 2])) as api:
        source.base_url = api.url
        api.refusals["/number?page=4"] = (404, {})
        ended = ingest_here(source)
        assert (ended.status, ended.counters["new"]) == (Status.SUCCESS, 6)
        assert api.requests == [
            "/number?page=1",
            "/number?page=2",
            "/number?page=3",
            "/number?page=4",
            "/number?page=1",
        ]


@pytest.mark.parametrize(("hours", "starts_over"), [(0.9, False), (1.1, True)])
def test_a_walk_that_was_interrupted_too_long_ago_starts_over(hours: float, starts_over: bool) -> None:
    with PagedApi(make_pages([2] * 8)) as api:
        mend = cut_at(api, "t5")
        ingest_here(make(api))
        Run.objects.update(heartbeat_at=from_now(-3600 * hours))
        mend()
        api.requests.clear()
        assert ingest_here(make(api)).status == Status.SUCCESS
        assert api.requests[0] == ("/link" if starts_over else "/link?cursor=t5")
        assert len(list_restarts()) == starts_over
        assert list_landed() == list_expected(api)


def start_paged(api: PagedApi, **more: str) -> dict[str, str]:
    """Return the variables of a process that reads this API as the source `paged`."""
    return {"ETL_SOURCES": paged_source.PATH, paged_source.VARIABLE: api.url, "ETL_BATCH_SIZE": "4", **more}


@pytest.mark.parametrize("asked", [2, 9, 16])
def test_killed_in_mid_walk_each_record_lands_once_and_no_landed_page_is_asked_for_again(
    project: Project, asked: int
) -> None:
    with PagedApi(make_pages([2] * 20)) as api:
        variables = start_paged(api)
        api.hold(asked)
        process = project.start("ingest", "paged", **variables)
        wait_until(lambda: len(api.requests) >= asked)
        process.send_signal(signal.SIGKILL)
        process.wait()
        api.forget()
        (outcome,) = project.ingest("paged", **variables)
        assert (outcome["status"], outcome["seen"]) == ("success", outcome["new"])
        page = (40 - outcome["new"]) // 2
        assert api.requests[0] == (f"/link?cursor=t{page}" if page else "/link")
        assert list_landed() == list_expected(api)


@pytest.mark.parametrize("place", ["between_batches", "inside_copy"])
def test_a_frozen_walk_that_wakes_after_its_successor_asks_for_nothing_and_writes_nothing(
    project: Project, place: str
) -> None:
    with PagedApi(make_pages([2] * 20)) as api:
        variables = start_paged(api)
        freezing = ("-m", "tests.freezing", place, "ingest", "paged", "--json")
        sleeper = project.start_python(*freezing, ETL_LEASE_SECONDS="5", **variables)
        await_stop(sleeper)
        outlive_the_lease("paged")
        landed = len(list_landed())
        api.requests.clear()
        (successor,) = project.ingest("paged", **variables)
        assert (successor["status"], successor["seen"]) == ("success", 40 - landed)
        pages = range(landed // 2, 20)
        assert api.requests == [f"/link?cursor=t{page}" if page else "/link" for page in pages]
        api.requests.clear()
        sleeper.send_signal(signal.SIGCONT)
        output, errors = sleeper.communicate(timeout=60)
        assert '"status": "failed", "reason": "abandoned"' in output, errors
        assert api.requests == []
        assert list_landed() == list_expected(api)


def test_a_server_that_asks_for_a_long_wait_in_mid_walk_is_asked_for_the_rest_later() -> None:
    with PagedApi(make_pages([2] * 8)) as api:
        api.refusals["/link?cursor=t5"] = (429, {"Retry-After": "3600"})
        first = ingest_here(make(api))
        assert (first.status, first.reason) == (Status.FAILED, Reason.RATE_LIMITED)
        assert len(list_landed()) == 10
        whole = ingest_here(make(api))
        assert (whole.status, whole.counters["seen"]) == (Status.SUCCESS, 6)
        assert list_landed() == list_expected(api)
        assert api.requests == [f"/link?cursor=t{page}" if page else "/link" for page in (0, 1, 2, 3, 4, 5, 5, 6, 7)]


def test_a_circle_is_named_again_by_the_next_run_which_asks_for_one_page_alone() -> None:
    with PagedApi(make_pages([2] * 8)) as api:
        original = api.answer

        def lead_back(path: str, query: Any, body: Any) -> Any:
            document, headers = original(path, query, body)
            return document, headers or {"Link": f'<{api.url}/link?cursor=t3>; rel="next"'}

        api.answer = lead_back  # type: ignore[method-assign]
        first = ingest_here(make(api))
        assert (first.status, first.reason) == (Status.FAILED, Reason.PAGES_ENDLESS)
        assert list_landed() == list_expected(api)
        asked = len(api.requests)
        again = ingest_here(make(api))
        assert (again.reason, again.counters["seen"]) == (Reason.PAGES_ENDLESS, 0)
        assert len(api.requests) == asked + 1


def test_a_walk_with_too_many_pages_asks_for_none_when_it_is_resumed(settings: Settings) -> None:
    settings.ETL_HTTP_MAX_PAGES = 6
    with PagedApi(make_pages([2] * 20)) as api:
        for requests in (6, 6):
            outcome = ingest_here(make(api))
            assert (outcome.status, outcome.reason) == (Status.FAILED, Reason.PAGES_ENDLESS)
            assert len(api.requests) == requests
        assert len(list_landed()) == 12
        settings.ETL_HTTP_MAX_PAGES = 20
        assert ingest_here(make(api)).status == Status.SUCCESS
        assert len(api.requests) == 20
        assert list_landed() == list_expected(api)
