"""Runs that ask for the detail of each element: a missing one costs only itself, and nothing else is lost or shown."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from pytest_django.fixtures import Settings

from etl.models import QuarantinedRecord, UnifiedRecord
from etl.sources import Contract, JsonApiSource, Key, LinkHeader, NonBlank
from etl.vocabulary import BreachCode, QuarantineStatus, Reason, Status
from sandbox.pages import PagedApi
from tests.listed_source import fetch, ingest_here
from tests.readers.test_walk import make_pages

pytestmark = pytest.mark.django_db(transaction=True)

KEY = "k3y-that-stays-secret"
NOT_FOUND: Any = (404, {"error": f"nothing for {KEY}"}, {})


class Detail(Contract):
    id: NonBlank
    detail: NonBlank


class Details(JsonApiSource):
    name, every, contract = "details", timedelta(hours=1), Detail
    endpoint, pages, each = "/link", LinkHeader(), "/items/{id}"
    auth = Key(KEY, query="api_key")
    unified = {"external_id": "id", "name": "detail"}
    complete = True


@pytest.fixture
def api(settings: Settings) -> Iterator[PagedApi]:
    settings.ETL_HTTP_RETRIES = 0
    with PagedApi(make_pages([3, 2, 3])) as running:
        yield running


def make(api: PagedApi) -> Details:
    source = Details()
    source.base_url = api.url
    return source


def list_present() -> list[str]:
    return sorted(UnifiedRecord.objects.filter(removed_at=None).values_list("external_id", flat=True))


def dump_all() -> str:
    """Return every row of every table."""
    tables = fetch("SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'")
    return str([fetch(f'SELECT t::text FROM "{table}" t') for (table,) in tables])


def test_a_missing_detail_is_a_refused_record_until_it_is_there(api: PagedApi) -> None:
    api.details["n5"] = NOT_FOUND
    outcome = ingest_here(make(api))
    assert (outcome.status, outcome.reason) == (Status.PARTIAL, Reason.RECORDS_REFUSED)
    refused = QuarantinedRecord.objects.get()
    assert (refused.code, refused.external_id, refused.position) == (BreachCode.CHILD_MISSING, "n5", 5)
    assert list_present() == ["n1", "n2", "n3", "n4", "n6", "n7", "n8"]
    api.details.clear()
    assert ingest_here(make(api)).status == Status.SUCCESS
    refused.refresh_from_db()
    assert refused.status == QuarantineStatus.LANDED


def test_a_record_whose_detail_is_missing_stays_and_one_that_left_the_list_goes(api: PagedApi) -> None:
    ingest_here(make(api))
    api.details["n5"] = NOT_FOUND
    api.pages[2].pop()
    assert ingest_here(make(api)).counters["removed"] == 1
    assert list_present() == ["n1", "n2", "n3", "n4", "n5", "n6", "n7"]


def test_an_interrupted_run_continues_at_the_detail_after_the_last_landed_one(
    api: PagedApi, settings: Settings
) -> None:
    settings.ETL_BATCH_SIZE = 2
    api.details["n5"] = (500, {}, {})
    assert ingest_here(make(api)).status == Status.FAILED
    assert list_present() == ["n1", "n2", "n3", "n4"]
    api.details.clear()
    api.requests.clear()
    assert ingest_here(make(api)).counters["seen"] == 4
    paths = [request.partition("api_key")[0].rstrip("?&") for request in api.requests]
    assert paths == ["/link?cursor=t1", "/items/n5", "/link?cursor=t2", "/items/n6", "/items/n7", "/items/n8"]


def test_no_row_has_the_key(api: PagedApi, settings: Settings) -> None:
    settings.ETL_BATCH_SIZE = 2
    for answer in (NOT_FOUND, (500, {"error": KEY}, {}), (429, {"error": KEY}, {"Retry-After": "3600"})):
        api.details["n5"] = answer
        ingest_here(make(api))
        dumped = dump_all()
        assert "/items/n5" in dumped
        assert KEY not in dumped
