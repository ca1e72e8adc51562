"""Products of a shop: one row for each variant, and rows that only hold a picture, which are not wanted."""

from etl.sources import Contract, CsvSource, Decimal, Text, constant, field, timedelta


class Variant(Contract):
    handle: Text = field(column="Handle")
    sku: Text | None = field(column="Variant SKU")
    option: Text | None = field(column="Option1 Value")
    price: Decimal | None = field(column="Variant Price")


class ShopProducts(CsvSource):
    name = "shop_products"
    path = "examples/files/data/shop_products.csv"
    every = timedelta(hours=1)
    complete = True
    contract = Variant
    unified = {"external_id": ("handle", "sku"), "name": "handle", "value": "price", "currency": constant("EUR")}

    def skips(self, values: dict[str, object]) -> bool:
        return values["sku"] is None
