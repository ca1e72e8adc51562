"""Sources with one mistake each, for the system checks."""

from datetime import timedelta

from etl.sources import CsvSource
from etl.sources.products import Product


class Nameless(CsvSource):
    path = "x.csv"
    every = timedelta(hours=1)
    contract = Product
    unified = {"external_id": "product_id", "name": "name"}


class LongNamed(Nameless):
    name = "n" * 194


class Unmapped(Nameless):
    name = "unmapped"
    unified = {"external_id": "product_id"}


class Misspelt(Nameless):
    name = "misspelt"
    unified = {"external_id": "product_id", "name": "nmae"}


class Unfit(Nameless):
    name = "unfit"
    unified = {"external_id": "product_id", "name": "name", "value": "category"}
