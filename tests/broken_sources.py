"""Sources with one mistake each, for the system checks."""

from datetime import timedelta
from typing import Any, ClassVar

from etl.sources import (
    ApiSource,
    Bearer,
    Contract,
    Csv,
    CsvSource,
    Date,
    JsonApiSource,
    JsonLinesSource,
    LinkHeader,
    NextUrl,
    Numbered,
    Since,
    Text,
)
from etl.sources.products import Product


class Nameless(CsvSource):
    path = "x.csv"
    every = timedelta(hours=1)
    contract: ClassVar[type[Contract]] = Product
    unified = {"external_id": "product_id", "name": "name"}


class Hurried(Nameless):
    name = "hurried"
    rate_limit = "often"


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


class OneSecret(Nameless):
    name = "one_secret"
    secrets = "a-key"


class Guessed(JsonLinesSource):
    name = "guessed"
    path = "x.ndjson"
    every = timedelta(hours=1)
    contract: ClassVar[type[Contract]] = Product
    unified = {"external_id": "product_id", "name": "name"}
    whole: ClassVar[Any] = "mostly"


class Contradictory(Guessed):
    name = "contradictory"
    whole = "unproven"
    complete = True


class Note(Contract):
    number: Text
    title: Text | None
    day: Date


class Optional(Nameless):
    name = "optional"
    contract = Note
    unified = {"external_id": "number", "name": "title"}


class Daily(Nameless):
    name = "daily"
    contract = Note
    unified = {"external_id": "number", "name": "number", "event_timestamp": "day"}


class Api(JsonApiSource):
    name, every, contract = "api", timedelta(hours=1), Note
    base_url = "https://api.example.org"
    unified = {"external_id": "number", "name": "number"}


class Unsigned(Api):
    auth = Bearer  # without its token


class Unopened(Api):
    pages: ClassVar[Any] = LinkHeader  # without parentheses


class Shifting(Api):
    pages = Numbered("page")
    complete = True


class Bare(Api):
    pages = NextUrl("links.next")  # without records: a bare array has no place for a link


class Undetailed(Api):
    each = "/products"  # without the name of a value


class Tabled(ApiSource):
    name = "tabled"
    base_url = "https://api.example.com"
    every = timedelta(hours=1)
    contract: ClassVar[type[Contract]] = Product
    unified = {"external_id": "product_id", "name": "name"}
    dialect = Csv()
    each = "/products/{product_id}"


class Halved(Api):
    since = Since("since", of="day")
    complete = True


class Timeless(Api):
    since = Since("since", of="number")


class Unread(Api):
    since = Since("since", of="updated_at")


class Bodiless(Api):
    since = Since(into="variables.since", of="day")


class Sinceless(Nameless):
    name = "sinceless"
    since = Since("since", of="day")
