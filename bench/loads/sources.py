"""The sources of the load benchmark; ETL_SOURCES names them, and BENCH_FOLDER and BENCH_URL are where they read."""

import os
from typing import Any

from etl.sources import (
    Contract,
    Csv,
    CsvSource,
    Date,
    Decimal,
    JsonApiSource,
    JsonLinesSource,
    NonBlank,
    PositiveDecimal,
    PositiveInt,
    Text,
    Time,
    ZonedTime,
    constant,
    field,
    lower,
)

FOLDER = os.environ.get("BENCH_FOLDER", "")
NEVER = "0 0 29 2 1"
"""A 29th of February that is a Monday, as in 2044: a worker must not start a run of its own."""


class Product(Contract):
    product_id: PositiveInt
    name: NonBlank
    category: NonBlank
    price: PositiveDecimal


PRODUCT_MAPPING: dict[str, Any] = {
    "external_id": "product_id",
    "name": "name",
    "category": lower("category"),
    "value": "price",
}


class Products(CsvSource):
    name = "bench_products"
    path = f"{FOLDER}/products.csv"
    every = NEVER
    contract = Product
    unified = PRODUCT_MAPPING


class ProductLines(JsonLinesSource):
    name = "bench_lines"
    path = f"{FOLDER}/products.ndjson"
    every = NEVER
    contract = Product
    unified = PRODUCT_MAPPING


class ProductArray(JsonApiSource):
    name = "bench_array"
    base_url = os.environ.get("BENCH_URL", "http://127.0.0.1:1")
    endpoint = "/products.json"
    every = NEVER
    contract = Product
    unified = PRODUCT_MAPPING


class RoughRecord(Contract):
    code: NonBlank
    title: NonBlank
    body: NonBlank
    section: NonBlank
    amount: PositiveDecimal
    currency: NonBlank
    updated_at: ZonedTime
    released: Date
    note: Text | None
    supplier: Text | None


class Rough(CsvSource):
    name = "bench_rough"
    path = f"{FOLDER}/rough.csv"
    every = NEVER
    contract = RoughRecord
    unified = {
        "external_id": "code",
        "name": "title",
        "category": lower("section"),
        "value": "amount",
        "currency": "currency",
        "event_timestamp": "updated_at",
    }


class Booking(Contract):
    number: NonBlank = field(column="Beleg")
    day: Date = field(column="Buchungstag", formats=["%d.%m.%Y"])
    at: Time = field(column="Zeitpunkt", formats=["%d.%m.%Y %H:%M"], twice="earlier", missing="shift")
    party: Text = field(column="Empfänger")
    amount: Decimal = field(column="Betrag")
    currency: Text = field(column="Währung")
    purpose: Text | None = field(column="Verwendung")
    customer: Text | None = field(column="Kunde")


class Export(CsvSource):
    name = "bench_export"
    path = f"{FOLDER}/export.csv"
    every = NEVER
    zone = "Europe/Berlin"
    dialect = Csv(delimiter=";", encoding="cp1252", decimal=",", thousands=".")
    contract = Booking
    unified = {
        "external_id": "number",
        "name": "party",
        "category": "customer",
        "value": "amount",
        "currency": "currency",
        "event_timestamp": "at",
    }


class Measurement(Contract):
    number: NonBlank
    amount: PositiveDecimal


class Wide(CsvSource):
    name = "bench_wide"
    path = f"{FOLDER}/wide.csv"
    every = NEVER
    contract = Measurement
    unified = {"external_id": "number", "name": "number", "category": constant("wide"), "value": "amount"}


_CLASSES = (Products, ProductLines, ProductArray, Rough, Export, Wide)
SOURCES = ",".join(f"{__name__}.{each.__name__}" for each in _CLASSES)
