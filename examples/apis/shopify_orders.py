"""The orders of a Shopify shop: an array in an object, pages by Link header, the token in a header of its own."""

from etl.sources import (Contract, Decimal, Email, Identifier, JsonApiSource, Key, LinkHeader, Since,  # noqa: I001
    Text, ZonedTime, setting, timedelta)  # fmt: skip


class Order(Contract):
    id: Identifier
    name: Text
    email: Email | None
    total_price: Decimal
    currency: Text
    updated_at: ZonedTime


class ShopifyOrders(JsonApiSource):
    name, every, contract = "shopify_orders", "*/15 * * * *", Order
    base_url, endpoint = setting("SHOPIFY_URL"), "/admin/api/2025-10/orders.json"
    params, records, pages = {"status": "any", "limit": "250"}, "orders", LinkHeader()
    auth, rate_limit = Key(setting("SHOPIFY_TOKEN"), header="X-Shopify-Access-Token"), "2/second"
    since = Since("updated_at_min", of="updated_at", overlap=timedelta(minutes=5), until="updated_at_max")
    unified = {"external_id": "id", "name": "name", "value": "total_price", "currency": "currency",
               "event_timestamp": "updated_at"}  # fmt: skip
