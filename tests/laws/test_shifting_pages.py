"""Walks through pages by number that shift while they are read: all records land, or the run says that some may not."""

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, ClassVar

import pytest
from pytest_django.fixtures import Settings

from etl.models import JudgedRead, UnifiedRecord
from etl.sources import Contract, JsonApiSource, NonBlank, Numbered
from etl.vocabulary import Reason, Status
from sandbox.pages import Answer, PagedApi
from tests.listed_source import ingest_here

pytestmark = pytest.mark.django_db(transaction=True)

Change = Callable[[list[str]], object]
SIZE = 3


class ChangingApi(PagedApi):
    """Pages of three records by number or offset. `changes` happen after the request with this number, from 1."""

    def __init__(self, ids: Sequence[str], changes: Mapping[int, Change] | None = None) -> None:
        super().__init__([])
        self.ids, self.changes = list(ids), dict(changes or {})
        self.total_error = 0
        self.is_broken = False

    @property
    def pages_asked(self) -> list[int]:
        return [int(request.partition("=")[2] or 1) for request in self.requests]

    def answer(self, path: str, query: Mapping[str, str], body: Any) -> Answer:
        start = int(query.get("offset", 0)) + SIZE * (int(query.get("page", 1)) - 1)
        ids, total = self.ids[start : start + SIZE], len(self.ids) + self.total_error
        self.changes.pop(len(self.requests), _do_nothing)(self.ids)
        if self.is_broken and start >= 2 * SIZE:
            return {"error": "broken"}, {}
        return {"total": total, "items": [{"id": each} for each in ids]}, {}


def _do_nothing(ids: list[str]) -> None:
    """Change nothing."""


def add(new: str) -> Change:
    return lambda ids: ids.insert(0, new)


def remove(old: str) -> Change:
    return lambda ids: ids.remove(old)


class Thing(Contract):
    id: NonBlank


class Things(JsonApiSource):
    name, every, contract = "things", timedelta(hours=1), Thing
    endpoint, pages = "/things", Numbered("page")
    records: ClassVar[Any] = "items"
    unified = {"external_id": "id", "name": "id"}

    def skips(self, values: Mapping[str, Any]) -> bool:
        return str(values["id"]).startswith("skipped")


class Totalled(Things):
    pages = Numbered("offset", first=0, step=SIZE, total="total")
    complete = True


class Detailed(Things):
    endpoint, records, each = "/number", None, "/items/{id}"


@pytest.fixture(autouse=True)
def small_batches(settings: Settings) -> None:
    settings.ETL_HTTP_RETRIES = 0
    settings.ETL_BATCH_SIZE = 4


def make(api: PagedApi, kind: type[Things] = Things) -> Things:
    source = kind()
    source.base_url = api.url
    return source


def number(last: int) -> list[str]:
    return [f"n{each:02}" for each in range(1, last + 1)]


def list_landed() -> list[str]:
    return sorted(UnifiedRecord.objects.filter(removed_at=None).values_list("external_id", flat=True))


CASES: dict[str, tuple[list[str], Mapping[int, Change], list[int]]] = {
    "no page": ([], {}, [1]),
    "one page": (number(2), {}, [1, 2]),
    "one page, and one more record": (number(3), {1: add("n00")}, [1, 2, 3, 1, 2]),
    "nothing changes": (number(9), {}, [1, 2, 3, 4, 1]),
    "a record is added early": (number(9), {1: add("n00")}, [1, 2, 3, 4, 5, 1, 2]),
    "a record is added late": (number(9), {3: add("n00")}, [1, 2, 3, 4, 5, 1, 2]),
    "a record is added while pages are asked for again": (number(9), {4: add("n00")}, [1, 2, 3, 4, 1, 2]),
    "four records are added": (
        number(9),
        {1: lambda ids: ids.__setitem__(slice(0, 0), ["a", "b", "c", "d"])},
        [1, 2, 3, 4, 5, 6, 1, 2],
    ),
    "a record is removed early": (number(9), {1: remove("n01")}, [1, 2, 3, 4, 1, 2]),
    "a record is removed late": (number(9), {2: remove("n01")}, [1, 2, 3, 4, 1, 2, 3]),
}


@pytest.mark.parametrize("case", CASES)
def test_what_moves_to_a_page_that_was_read_lands_and_each_request_is_known(case: str) -> None:
    ids, changes, asked = CASES[case]
    with ChangingApi(ids, changes) as api:
        outcome = ingest_here(make(api))
        assert api.pages_asked == asked
        assert outcome.status == Status.SUCCESS
        assert set(list_landed()) == {*ids, *api.ids}


def test_a_page_asked_for_again_needs_no_detail_that_the_walk_has_found() -> None:
    with PagedApi([[{"id": each} for each in number(3)], [{"id": each} for each in number(6)[3:]]]) as api:
        api.details["n02"] = (404, {}, {})
        source = make(api, Detailed)
        outcome = ingest_here(source)
        details = [f"/items/{each}" for each in number(6)]
        pages = [f"/number?page={page}" for page in (1, 2, 3, 1)]
        assert api.requests == [pages[0], *details[:3], pages[1], *details[3:], *pages[2:]]
        assert (outcome.counters["seen"], outcome.counters["quarantined"]) == (6, 1)


def test_a_walk_without_change_counts_no_record_twice() -> None:
    ids = ["n01", "", "skipped", *number(9)[1:]]
    with ChangingApi(ids) as api:
        for status in (Status.PARTIAL, Status.PARTIAL):
            outcome = ingest_here(make(api))
            assert (outcome.status, outcome.reason) == (status, Reason.RECORDS_REFUSED)
            counted = [outcome.counters[name] for name in ("seen", "skipped", "quarantined", "duplicate")]
            assert counted == [11, 1, 1, 0]
        assert api.pages_asked == [1, 2, 3, 4, 5, 1] * 2


def test_a_record_that_was_missed_beyond_the_tenth_page_makes_the_run_partial_and_lands_in_the_next() -> None:
    with ChangingApi(number(45), {14: remove("n01")}) as api:
        outcome = ingest_here(make(api))
        assert (outcome.status, outcome.reason) == (Status.PARTIAL, Reason.PAGES_SHIFTED)
        assert api.pages_asked == [*range(1, 17), *range(1, 11)]
        assert "n43" not in list_landed()
        api.requests.clear()
        assert ingest_here(make(api)).status == Status.SUCCESS
        assert api.pages_asked == [*range(1, 17), 1]
        assert list_landed() == number(45)


def test_ids_that_a_walk_has_met_are_known_after_it_was_cut() -> None:
    with ChangingApi(number(12), {2: add("n00")}) as api:
        api.is_broken = True
        assert ingest_here(make(api)).status == Status.FAILED
        api.is_broken = False
        api.requests.clear()
        outcome = ingest_here(make(api))
        assert (outcome.status, outcome.counters["new"]) == (Status.SUCCESS, 7)
        assert api.pages_asked == [3, 4, 5, 6, 1, 2]
        assert list_landed() == ["n00", *number(12)]


# --- totals ---------------------------------------------------------------------------------------
TOTALS: dict[str, tuple[Mapping[int, Change], int, Status]] = {
    "nothing changes": ({}, 0, Status.SUCCESS),
    "a record is added": ({1: add("n00")}, 0, Status.SUCCESS),
    "a record is removed": ({2: remove("n01")}, 0, Status.PARTIAL),
    "a record is removed that is not read yet": ({1: remove("n09")}, 0, Status.PARTIAL),
    "one is removed, and another is added later": ({2: remove("n01"), 3: add("n00")}, 0, Status.PARTIAL),
    "the total is too small": ({}, -1, Status.PARTIAL),
}


@pytest.mark.parametrize("case", TOTALS)
def test_a_total_that_falls_or_differs_from_the_ids_that_were_met_makes_the_run_partial(case: str) -> None:
    changes, error, status = TOTALS[case]
    with ChangingApi(number(9), changes) as api:
        api.total_error = error
        outcome = ingest_here(make(api, Totalled))
        reason = Reason.PAGES_SHIFTED if status == Status.PARTIAL else Reason.NONE
        assert (outcome.status, outcome.reason) == (status, reason)
        read = JudgedRead.objects.get()
        assert (read.is_whole, read.is_complete) == (status == Status.SUCCESS,) * 2


def test_a_total_reached_needs_no_page_without_records() -> None:
    with ChangingApi(number(9)) as api:
        ingest_here(make(api, Totalled))
        assert api.requests == ["/things?offset=0", "/things?offset=3", "/things?offset=6", "/things?offset=0"]


# --- removals -------------------------------------------------------------------------------------
def test_a_complete_walk_by_number_removes_what_it_lacks_unless_its_pages_have_shifted() -> None:
    with ChangingApi(number(9)) as api:
        ingest_here(make(api, Totalled))
        api.ids.remove("n05")
        api.changes = {len(api.requests) + 2: remove("n01")}
        shifted = ingest_here(make(api, Totalled))
        assert (shifted.reason, shifted.counters["removed"]) == (Reason.PAGES_SHIFTED, 0)
        assert list_landed() == number(9)
        assert ingest_here(make(api, Totalled)).counters["removed"] == 2
        assert list_landed() == sorted(api.ids)
