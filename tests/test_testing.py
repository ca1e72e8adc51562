"""assert_source: a source's test runs the real pipeline, and each assertion fails when what it says is not so."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from django.test import TestCase

from etl.models import Run
from etl.sources import Contract, CsvSource, JsonApiSource, NonBlank, PositiveDecimal, ZonedTime
from etl.testing import SourceAssertion, SourceTestMixin, assert_source
from tests.shop.models import Category, Product, Supplier
from tests.shop.sources import HEADER, ProductsFile, make_line

pytestmark = pytest.mark.django_db


class Part(Contract):
    part_id: NonBlank
    title: NonBlank
    price: PositiveDecimal
    at: ZonedTime | None


class Parts(CsvSource):
    name = "parts"
    path = "nowhere.csv"
    every = timedelta(hours=1)
    contract = Part
    unified = {"external_id": "part_id", "name": "title", "value": "price", "event_timestamp": "at"}


class ApiParts(JsonApiSource):
    name = "api_parts"
    base_url = "https://parts.example"
    every = timedelta(hours=1)
    contract = Part
    unified = {"external_id": "part_id", "name": "title"}


TEXT = "part_id,title,price,at\n1,Nut,1.50,2026-01-01T01:00:00+01:00\n2,,2,\n3,Bolt,free,\n4,Cog,4,\n"


def run() -> SourceAssertion:
    return assert_source(Parts, gives=TEXT)


def test_what_lands_and_what_is_refused() -> None:
    landed = {"external_id": "1", "name": "Nut", "value": "1.5", "event_timestamp": "2026-01-01T00:00:00Z"}
    (
        assert_source(Parts, gives=TEXT)
        .lands(2, landed, {"name": "Cog", "event_timestamp": None})
        .refuses((3, "title", "blank"), (4, "price", "not_a_number"))
        .skips(0)
        .twice_writes_nothing()
    )
    assert Run.objects.filter(source="parts").count() == 2


@pytest.mark.parametrize(
    ("claim", "message"),
    [
        (lambda: run().lands(3), "2 records have landed, not 3"),
        (lambda: run().lands(2, {"name": "Nut", "value": "2"}), "no landed record has"),
        (lambda: run().lands(2, {"title": "Nut"}), "title is not a unified field"),
        (lambda: run().refuses((3, "title", "blank")), "refused are"),
        (lambda: run().refuses(), "line 3: title is blank (blank)"),
        (lambda: run().skips(1), "0 records were skipped, not 1"),
        (lambda: run().fails("columns_missing"), "the run must fail with columns_missing, but ended partial"),
        (lambda: assert_source(Parts, gives="part,title\n1,Nut\n").lands(0), "Missing: "),
    ],
)
def test_a_claim_that_is_not_so_fails(claim: Callable[[], object], message: str) -> None:
    with pytest.raises(AssertionError) as failure:
        claim()
    assert message in str(failure.value)


def test_a_verdict_may_be_what_is_expected() -> None:
    assert_source(Parts, gives="part,title\n1,Nut\n").fails("columns_missing")


@pytest.mark.parametrize("as_text", [False, True])
def test_a_file_may_give_the_content(tmp_path: Path, as_text: bool) -> None:
    path = tmp_path / "parts.csv"
    path.write_text(TEXT)
    assert_source(Parts, gives=str(path) if as_text else path).lands(2).twice_writes_nothing()


def test_an_api_gives_what_a_test_says_and_is_not_asked() -> None:
    body = b'[{"part_id": "1", "title": "Nut", "price": 1.5}, {"part_id": "2", "price": 1}]'
    assert_source(ApiParts, gives=body).lands(1, {"name": "Nut"}).refuses(
        (1, "title", "missing")
    ).twice_writes_nothing()


class PartsTest(SourceTestMixin, TestCase):
    def test_a_test_case_has_the_same(self) -> None:
        self.assert_source(Parts, gives=TEXT).lands(2).twice_writes_nothing()


@pytest.mark.django_db(transaction=True)
def test_without_a_surrounding_transaction_it_is_the_same() -> None:
    run().lands(2).twice_writes_nothing()


SHOP = HEADER + make_line(1, price="12,50") + make_line(2, price="0,005")


def test_of_a_source_with_into_the_fields_of_its_model_are_compared() -> None:
    Supplier.objects.create(code="ACME")
    Category.objects.create(slug="toys")
    row = {"external_id": "P1", "supplier": "ACME", "category": "toys", "price": "12.50", "stock": 0, "note": ""}
    landed = assert_source(ProductsFile, gives=SHOP).lands(1, row).refuses((3, "VK netto", "too_precise"))
    landed.twice_writes_nothing()
    for wrong, message in (
        ({"price": "1"}, r"no landed record has \{'price': '1'\}:\n  \{'external_id': 'P1', 'supplier': 'ACME'"),
        ({"value": "1"}, "value is not a field of shop.Product; they are external_id, id, supplier, category"),
    ):
        with pytest.raises(AssertionError, match=message):
            landed.lands(1, wrong)
    Product.objects.update(price=3)
    landed.lands(1, {"price": "3"})
