"""The products file."""

from etl.sources import Contract, CsvSource, NonBlank, PositiveDecimal, PositiveInt, lower, setting, timedelta


class Product(Contract):
    product_id: PositiveInt
    name: NonBlank
    category: NonBlank
    price: PositiveDecimal


class ProductsCsv(CsvSource):
    name = "products_csv"
    path = setting("PRODUCTS_CSV")
    every = timedelta(hours=1)
    complete = True
    contract = Product
    unified = {"external_id": "product_id", "name": "name", "category": lower("category"), "value": "price"}
