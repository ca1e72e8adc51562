"""The listings feed: NDJSON or one JSON array, a file or an http(s) address."""

# fmt: off
from etl.sources import Contract, JsonLinesSource, NonBlank, PositiveDecimal, ZonedTime, lower, setting, timedelta


class Department(Contract):
    name: NonBlank

class Price(Contract):
    amount: PositiveDecimal
    currency: NonBlank

class Listing(Contract):
    sku: NonBlank
    title: NonBlank
    department: Department
    price: Price
    updated_at: ZonedTime

class Listings(JsonLinesSource):
    name, path, every, contract = "listings_json", setting("LISTINGS_JSON"), timedelta(hours=1), Listing
    unified = {"external_id": "sku", "name": "title", "category": lower("department.name"),
               "value": "price.amount", "currency": "price.currency", "event_timestamp": "updated_at"}
