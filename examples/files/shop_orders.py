"""Orders of a shop: JSON whose array is in an object, with a buyer and lines in each order."""

from etl.sources import Contract, Decimal, Email, Identifier, JsonLinesSource, Text, Time, timedelta


class Line(Contract):
    sku: Text | None
    price: Decimal


class Order(Contract):
    id: Identifier
    email: Email | None
    created_at: Time
    currency: Text
    total_price: Decimal
    line_items: list[Line]


class ShopOrders(JsonLinesSource):
    name, path, every, contract = "shop_orders", "examples/files/data/shop_orders.json", timedelta(hours=1), Order
    records = "orders"
    unified = {"external_id": "id", "name": "id", "value": "total_price", "currency": "currency",
               "event_timestamp": "created_at"}  # fmt: skip
