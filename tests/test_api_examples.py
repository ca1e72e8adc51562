"""Each API of examples/apis is read as its documentation answers: page by page, each record once."""

import importlib
from collections.abc import Mapping
from typing import Any

import pytest
from pytest_django.fixtures import Settings

from etl.judgement import Judge
from etl.readers.content import Opening
from etl.records import Accepted
from etl.sources import JsonApiSource
from sandbox.pages import Answer, PagedApi
from tests.fakes import RecordingContext
from tests.processes import ROOT

EXAMPLES = sorted(ROOT.glob("examples/apis/*.py"))
SETTINGS = {
    "GITHUB_TOKEN": "token-of-github",
    "SHOPIFY_TOKEN": "token-of-shopify",
    "STRIPE_KEY": "key-of-stripe",
    "SHOP_TOKEN": "token-of-shop",
    "ODATA_USER": "user",
    "ODATA_PASSWORD": "password",
}


class GitHub(PagedApi):
    def answer(self, path: str, query: Mapping[str, str], body: Any) -> Answer:
        assert path == "/repos/django/django/issues"
        assert (query["state"], query["per_page"]) == ("all", "100")
        page = int(query.get("page", "1"))
        following = f"{self.url}{path}?state=all&per_page=100&page={page + 1}"
        is_last = page == len(self.pages)
        return self.take(page - 1), {} if is_last else {"Link": f'<{following}>; rel="next", <{self.url}>; rel="last"'}


class Shopify(PagedApi):
    def answer(self, path: str, query: Mapping[str, str], body: Any) -> Answer:
        assert path == "/admin/api/2025-10/orders.json"
        index = int(query.get("page_info", "p0")[1:])
        following = f"{self.url}{path}?limit=250&page_info=p{index + 1}"
        is_last = index + 1 == len(self.pages)
        return {"orders": self.take(index)}, {} if is_last else {"Link": f'<{following}>; rel="next"'}


class Stripe(PagedApi):
    def answer(self, path: str, query: Mapping[str, str], body: Any) -> Answer:
        assert (path, query["limit"]) == ("/v1/charges", "100")
        last_ids = [page[-1]["id"] for page in self.pages]
        index = last_ids.index(query["starting_after"]) + 1 if "starting_after" in query else 0
        has_more = index + 1 < len(self.pages)
        return {"object": "list", "url": "/v1/charges", "has_more": has_more, "data": self.take(index)}, {}


class GraphQl(PagedApi):
    def answer(self, path: str, query: Mapping[str, str], body: Any) -> Answer:
        assert path == "/graphql"
        assert "products(first: 100" in body["query"]
        index = int((body["variables"]["after"] or "c0")[1:])
        info = {"hasNextPage": index + 1 < len(self.pages), "endCursor": f"c{index + 1}"}
        return {"data": {"products": {"nodes": self.take(index), "pageInfo": info}}}, {}


class OData(PagedApi):
    def answer(self, path: str, query: Mapping[str, str], body: Any) -> Answer:
        assert path == "/Customers"
        index = int(query.get("$skiptoken", "0"))
        link = (
            {"@odata.nextLink": f"{self.url}/Customers?$skiptoken={index + 1}"} if index + 1 < len(self.pages) else {}
        )
        return {"@odata.context": f"{self.url}/$metadata#Customers", "value": self.take(index), **link}, {}


def make_issue(number: int) -> dict[str, Any]:
    user = {"login": "octocat", "id": 1} if number % 2 else None
    return {"number": number, "title": f"Bug {number}", "state": "open", "user": user, "body": None,
            "updated_at": "2026-11-26T12:00:00Z", "pull_request": {"url": "https://api.github.com/x"}}  # fmt: skip


def make_order(number: int) -> dict[str, Any]:
    return {"id": 450789469 + number, "name": f"#{number}", "email": None if number % 2 else "bob@example.com",
            "total_price": "598.94", "currency": "USD", "updated_at": "2026-01-10T11:00:00-05:00"}  # fmt: skip


def make_charge(number: int) -> dict[str, Any]:
    return {"id": f"ch_{number}", "object": "charge", "amount": 1099, "currency": "usd", "status": "succeeded",
            "created": 1764158400, "livemode": False, "metadata": {}}  # fmt: skip


def make_product(number: int) -> dict[str, Any]:
    return {"id": f"gid://shop/Product/{number}", "title": f"Lamp {number}", "vendor": None}


def make_customer(number: int) -> dict[str, Any]:
    return {"CustomerID": f"C{number}", "CompanyName": "Alfreds Futterkiste", "Country": "Germany", "Fax": None,
            "ModifiedDate": "2026-11-26T12:00:00Z"}  # fmt: skip


PLAYED = {
    "github_issues": (GitHub, make_issue, "authorization", "Bearer token-of-github"),
    "shopify_orders": (Shopify, make_order, "x-shopify-access-token", "token-of-shopify"),
    "stripe_charges": (Stripe, make_charge, "authorization", "Bearer key-of-stripe"),
    "graphql_products": (GraphQl, make_product, "authorization", "Bearer token-of-shop"),
    "odata_customers": (OData, make_customer, "authorization", "Basic dXNlcjpwYXNzd29yZA=="),
}


def load(name: str) -> type[JsonApiSource]:
    module = importlib.import_module(f"examples.apis.{name}")
    (found,) = (each for each in vars(module).values() if getattr(each, "__module__", "") == module.__name__
                and isinstance(each, type) and issubclass(each, JsonApiSource))  # fmt: skip
    return found


@pytest.fixture(autouse=True)
def keys(settings: Settings) -> None:
    for name, value in SETTINGS.items():
        setattr(settings, name, value)


def test_each_example_is_played() -> None:
    assert {path.stem for path in EXAMPLES} == set(PLAYED)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_has_at_most_25_lines_and_imports_the_public_face_alone(path: Any) -> None:
    lines = [line for line in path.read_text().splitlines() if line.strip()]
    assert len(lines) <= 25
    assert [line.split()[1] for line in lines if line.startswith(("from ", "import "))] == ["etl.sources"]


@pytest.mark.parametrize("name", PLAYED)
def test_each_record_of_an_example_is_read_once_with_its_credentials(name: str) -> None:
    kind, make, header, value = PLAYED[name]
    numbers = iter(range(1, 100))
    with kind([[make(next(numbers)) for _ in range(size)] for size in (3, 1, 3)]) as api:
        source = type("Played", (load(name),), {"base_url": api.url, "rate_limit": ""})()
        with source.open(Opening(), RecordingContext()) as content:
            assert content is not None
            items = [item for chunk in content.read(None, 4) for item in Judge(source).judge(chunk.items)]
    assert [type(item) for item in items] == [Accepted] * 7, items
    assert len({item.unified.external_id for item in items if isinstance(item, Accepted)}) == 7
    assert [headers[header] for headers in api.headers] == [value] * 3
