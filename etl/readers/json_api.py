"""APIs: one request that returns records in a dialect, or one for each page of them."""

import json
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any, ClassVar

from etl.http.addresses import hide_secrets
from etl.http.credentials import add_to_query, choose_credentials
from etl.http.masking import mask
from etl.http.pages import OnePage, Pages
from etl.http.request import Request
from etl.http.since import ALL, Bounds
from etl.read_context import ReadContext
from etl.readers.children import Children
from etl.readers.content import Content, Opening
from etl.readers.dialect import Dialect
from etl.readers.http_content import Response, open_response
from etl.readers.http_source import HttpSource
from etl.readers.json_dialect import Json
from etl.readers.json_object import JsonObject
from etl.readers.json_path import Records
from etl.readers.walk import Walk, WalkContent, name_walk
from etl.records import Record, Refusal, StoredRefusal
from etl.vocabulary import BreachCode, SourceKind


class ApiSource(HttpSource):
    """`GET {base_url}{endpoint}`, which returns records in a `dialect`. Raw records are kept in `raw_api_data`.

    `params` are added to the query. A `body` is sent as JSON, by POST. `auth` is Bearer, Basic, Key or
    ClientCredentials, or a method that returns headers. Declare a key in the address by `secret`.
    """

    kind = SourceKind.API
    dialect: ClassVar[Dialect]
    base_url: str
    endpoint: str = ""
    params: ClassVar[Mapping[str, str]] = {}
    body: ClassVar[Mapping[str, Any] | None] = None
    auth: Any = None
    pages: ClassVar[Pages | None] = None
    each: str = ""
    resume_within: timedelta | None = timedelta(hours=1)

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "dialect" in vars(cls):
            cls.form = cls.dialect.form

    @classmethod
    def describe_reading(cls) -> Mapping[str, Any]:
        return cls.dialect.describe()

    @property
    def url(self) -> str:
        return self.base_url.rstrip("/") + self.endpoint

    @property
    def location(self) -> str:
        return hide_secrets(self.url, self.secrets)

    def describe_query(self) -> str:
        request = self._request()
        return json.dumps([self.location, mask(request.url, self.secrets), (request.body or b"").decode(), self.each])

    def _request(self, bounds: Bounds = ALL) -> Request:
        url = add_to_query(self.url, self.params) if self.params else self.url
        body = None if self.body is None else json.dumps(self.body).encode()
        headers = self.headers if body is None else {"Content-Type": "application/json", **self.headers}
        request = self.make_request(url, headers, body)
        return self.since.ask(request, bounds) if self.since is not None else request

    @contextmanager
    def open(self, opening: Opening, context: ReadContext) -> Iterator[Content | None]:
        if self.pages is not None or self.each:
            yield self._walk(self.pages or OnePage(), opening, context)
            return
        with self._ask(self._request(opening.bounds), opening, context) as response:
            yield response.content if response is not None else None

    def _ask(
        self, request: Request, opening: Opening, context: ReadContext, dialect: Dialect | None = None
    ) -> AbstractContextManager[Response | None]:
        credentials = choose_credentials(self.auth)
        return open_response(
            self, dialect or self.dialect, request, opening, context, whole=self.whole, credentials=credentials
        )

    def _walk(self, pages: Pages, opening: Opening, context: ReadContext) -> WalkContent:
        @contextmanager
        def open_page(request: Request, dialect: Dialect | None = None) -> Iterator[Response]:
            context.note_page()
            with self._ask(request, Opening(), context, dialect) as response:
                assert response is not None  # nothing was asked on a condition
                yield response

        root, open_child = self.base_url.rstrip("/"), partial(open_page, dialect=JsonObject())
        children = Children(self.each, root, self, open_child) if self.each else None
        request = replace(self._request(opening.bounds), is_page=self.pages is not None)
        has_siblings = self.dialect.has_siblings
        walk = Walk(request, pages, open_page, self._identify, context.end_task_if_due, children, has_siblings)
        return WalkContent(walk, name_walk(walk, opening.open_read))

    def _identify(self, record: Record) -> str:
        return self.find_external_id(record.values) or record.payload

    def revive(self, stored: StoredRefusal) -> Record | Refusal | None:
        if stored.breach.code == BreachCode.CHILD_MISSING:  # what was kept is the list's element
            return None
        return self.dialect.revive(stored)


class JsonApiSource(ApiSource):
    """An API that returns a JSON array.

    If the array is within an object, `records` is the path to it; LINES declares one record per line.
    """

    dialect: ClassVar[Json] = Json(must_be_array=True)
    records: ClassVar[Records] = None

    def __init_subclass__(cls, **options: Any) -> None:
        if "records" in vars(cls):
            cls.dialect = replace(cls.dialect, records=cls.records)
        super().__init_subclass__(**options)
