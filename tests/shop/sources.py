"""Sources that write to the shop's models."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from etl.read_context import ReadContext
from etl.readers.content import Content, Opening
from etl.sources import (
    Contract,
    Csv,
    CsvSource,
    Gates,
    Identifier,
    Into,
    NonBlank,
    PositiveDecimal,
    choice,
    constant,
    delete,
    end,
    field,
    lower,
    parent,
    rest,
    setting,
    timedelta,
)
from etl.sources.products import ProductsCsv
from tests.listed_source import Listed, ListedContent
from tests.shop.models import Category, Product, Supplier, Thing

OWNS: dict[str, Any] = {
    "supplier": parent(Supplier, code=constant("ACME")),
    "sku": "id",
    "name": "name",
    "price": "price",
    "stock": "stock",
    "category": parent(Category, slug=lower("group")),
    "status": choice("state", {"J": "active", "N": "ended"}),
    "barcode": "ean",
    "attributes": rest(),
}


class Products(Listed):
    """A supplier's products."""

    name = "products"
    into = Into(Product, key=("supplier", "sku"), owns=OWNS, first={"margin": "margin"})


class FirstProducts(Products):
    """Products of which only new ones get their category."""

    name = "first_products"
    into = Into(
        Product,
        key=("supplier", "sku"),
        owns={name: value for name, value in OWNS.items() if name != "category"},
        first={"category": OWNS["category"]},
    )


class EndingProducts(Products):
    name = "ending_products"
    complete = True
    into = Into(Product, key=("supplier", "sku"), owns=OWNS, vanished=end(status="ended"))


class DeletingProducts(Products):
    name = "deleting_products"
    complete = True
    into = Into(Product, key=("supplier", "sku"), owns=OWNS, vanished=delete())


class WaitingProducts(Products):
    """Products whose category, and whose supplier, may come later."""

    name = "waiting_products"
    into = Into(
        Product,
        key=("supplier", "sku"),
        owns={
            **OWNS,
            "supplier": parent(Supplier, code="supplier", missing="wait"),
            "category": parent(Category, slug=lower("group"), missing="wait"),
        },
    )


class NullProducts(Products):
    name = "null_products"
    into = Into(
        Product,
        key=("supplier", "sku"),
        owns={**OWNS, "category": parent(Category, slug=lower("group"), missing="null")},
    )


class DripProducts(WaitingProducts):
    """The end of its content is never proven, so what a read lacks is not gone."""

    name = "drip_products"

    @contextmanager
    def open(self, opening: Opening, context: ReadContext) -> Iterator[Content | None]:
        yield ListedContent(self.records, str(hash(json.dumps(self.records))), is_proven=False)


class Groups(Listed):
    """The categories of the products, from a source of their own."""

    name = "groups"
    into = Into(Category, key="slug", owns={"slug": "id"})


class KnownProducts(Products):
    name = "known_products"
    into = Into(Product, key=("supplier", "sku"), owns=OWNS, creates=False)


def make_product(number: object, **more: Any) -> dict[str, Any]:
    return {"id": f"P{number}", "name": f"Thing {number}", "price": "1.50", **more}


def make_products(count: int, **more: Any) -> list[dict[str, Any]]:
    return [make_product(number, **more) for number in range(1, count + 1)]


class KeepingProducts(Products):
    name = "keeping_products"
    complete = True


class ProductsFile(CsvSource):
    """The same products in a file of a German supplier."""

    name = "products_file"
    every = timedelta(hours=1)
    path = setting("SHOP_CSV")
    dialect = Csv(delimiter=";", decimal=",")
    gates = Gates(max_refused=1)
    into = Into(
        Product,
        key=("supplier", "sku"),
        owns={
            "supplier": parent(Supplier, code=constant("ACME")),
            "sku": "Artikelnummer",
            "name": "Bezeichnung",
            "price": "VK netto",
            "category": parent(Category, slug=lower("Warengruppe"), missing="null"),
            "stock": "Bestand",
            "attributes": rest(),
        },
    )


class NarrowedFile(ProductsFile):
    """A file whose contract says more than the model does."""

    class Row(Contract):
        Artikelnummer: Identifier
        name: NonBlank = field(column="Bezeichnung")
        price: PositiveDecimal = field(column="VK netto")

    name = "narrowed_file"
    contract = Row
    into = Into(
        Product,
        key=("supplier", "sku"),
        owns={
            "supplier": parent(Supplier, code=constant("ACME")),
            "sku": "Artikelnummer",
            "name": "name",
            "price": "price",
        },
    )


class WaitingFile(ProductsFile):
    name = "waiting_file"
    into = Into(
        Product,
        key=("supplier", "sku"),
        owns={
            "supplier": parent(Supplier, code=constant("ACME"), missing="wait"),
            "sku": "Artikelnummer",
            "name": "Bezeichnung",
            "price": "VK netto",
            "category": parent(Category, slug=lower("Warengruppe"), missing="wait"),
        },
    )


HEADER = "Artikelnummer;Bezeichnung;VK netto;Warengruppe;Bestand;Farbe\n"


def make_line(number: int, *, price: str = "1,50", stock: int = 0, group: str = "TOYS") -> str:
    return f"P{number};Ding {number};{price};{group};{stock};rot\n"


THINGS: dict[str, Any] = {
    "key": "id",
    "name": "name",
    "price": "price",
    "category": parent(Category, slug="group"),
}


class Things(Listed):
    """The records of `Listed` in a team's own model."""

    into = Into(Thing, key="key", owns=THINGS)


class CompleteThings(Listed):
    complete = True
    into = Into(Thing, key="key", owns=THINGS, vanished=delete())


class ProductsIntoThings(ProductsCsv):
    """The products of the file in a team's own model."""

    into = Into(Thing, key="key", owns={"key": "product_id", "name": "name", "price": "price"})
