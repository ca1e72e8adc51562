"""The source of `bench/models.py`; BENCH_FOLDER is where it reads."""

from bench.loads.sources import FOLDER, NEVER
from bench.shop.models import Category, Product, Supplier
from etl.sources import Csv, CsvSource, Into, choice, lower, parent


class ShopProducts(CsvSource):
    name = "bench_shop"
    path = f"{FOLDER}/shop.csv"
    every = NEVER
    dialect = Csv(delimiter=";", decimal=",")
    into = Into(
        Product,
        key=("supplier", "sku"),
        owns={
            "supplier": parent(Supplier, code="Lieferant"),
            "sku": "Artikelnummer",
            "category": parent(Category, slug=lower("Warengruppe"), missing="null"),
            "name": "Bezeichnung",
            "ean": "EAN",
            "price": "VK netto",
            "list_price": "UVP",
            "stock": "Bestand",
            "status": choice("Status", {"J": "active", "N": "ended"}),
            "listed_on": "Gelistet",
            "description": "Text",
        },
    )


SOURCES = f"{__name__}.{ShopProducts.__name__}"
