"""Walks through pages over several runs: an interrupted walk continues, and each record lands once."""

import signal
from datetime import timedelta
from typing import Any

import pytest
from pytest_django.fixtures import Settings

from etl.models import Checkpoint, JudgedRead, UnifiedRecord
from etl.sources import Contract, JsonApiSource, LinkHeader, NonBlank
from etl.vocabulary import Reason, Status
from sandbox.pages import PagedApi
from tests import paged_source
from tests.listed_source import ingest_here
from tests.processes import Project, wait_until
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


@pytest.mark.parametrize("asked", [2, 9, 16])
def test_killed_in_mid_walk_each_record_lands_once_and_no_landed_page_is_asked_for_again(
    project: Project, asked: int
) -> None:
    with PagedApi(make_pages([2] * 20)) as api:
        variables = {"ETL_SOURCES": paged_source.PATH, paged_source.VARIABLE: api.url, "ETL_BATCH_SIZE": "4"}
        api.seconds = 0.05
        process = project.start("ingest", "paged", **variables)
        wait_until(lambda: len(api.requests) >= asked)
        process.send_signal(signal.SIGKILL)
        process.wait()
        api.seconds = 0
        api.requests.clear()
        (outcome,) = project.ingest("paged", **variables)
        assert (outcome["status"], outcome["seen"]) == ("success", outcome["new"])
        page = (40 - outcome["new"]) // 2
        assert api.requests[0] == (f"/link?cursor=t{page}" if page else "/link")
        assert list_landed() == list_expected(api)
