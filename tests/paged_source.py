"""A source whose records come in pages, for commands of other processes."""

import os

from etl.sources import Contract, JsonApiSource, LinkHeader, NonBlank, timedelta

PATH = "tests.paged_source.Paged"
"""For ETL_SOURCES."""
VARIABLE = "PAGED_URL"
"""The environment variable that names the server's address."""


class Thing(Contract):
    id: NonBlank


class Paged(JsonApiSource):
    name, every, contract = "paged", timedelta(hours=1), Thing
    base_url, endpoint, pages = os.environ.get(VARIABLE, "http://127.0.0.1:1"), "/link", LinkHeader()
    unified = {"external_id": "id", "name": "id"}
