"""The supplier's file, as a source. `manage.py startsource acme_products acme.csv` wrote the first version."""

from etl.sources import Contract, Csv, CsvSource, NonBlank, PositiveDecimal, lower, timedelta


class AcmeProduct(Contract):
    artikel: NonBlank
    bezeichnung: NonBlank
    gruppe: NonBlank
    preis: PositiveDecimal


class AcmeProducts(CsvSource):
    name = "acme_products"
    path = "acme.csv"
    every = timedelta(hours=1)
    dialect = Csv(delimiter=";", encoding="cp1252", decimal=",")
    contract = AcmeProduct
    unified = {"external_id": "artikel", "name": "bezeichnung", "category": lower("gruppe"), "value": "preis"}
