"""A source whose records come in pages, for commands of other processes."""

import os
from typing import ClassVar

from etl.sources import Contract, JsonApiSource, LinkHeader, NonBlank, Since, ZonedTime, timedelta

PATH = "tests.paged_source.Paged"
"""For ETL_SOURCES."""
VARIABLE = "PAGED_URL"
"""The environment variable that names the server's address."""


class Thing(Contract):
    id: NonBlank


class Paged(JsonApiSource):
    name, every = "paged", timedelta(hours=1)
    contract: ClassVar[type[Contract]] = Thing
    base_url, endpoint, pages = os.environ.get(VARIABLE, "http://127.0.0.1:1"), "/link", LinkHeader()
    unified = {"external_id": "id", "name": "id"}


class Change(Contract):
    id: NonBlank
    updated_at: ZonedTime


class Changing(Paged):
    name, contract = "changing", Change
    since = Since("since", of="updated_at", overlap=timedelta(minutes=5))
