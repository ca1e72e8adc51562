"""JSON APIs: one GET that returns an array of records."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import ClassVar

from etl.http.addresses import hide_secrets
from etl.http.request import Request
from etl.read_context import ReadContext
from etl.readers.content import Content, Opening
from etl.readers.http_content import Whole, open_remote
from etl.readers.json_dialect import Json
from etl.readers.source import Source
from etl.records import Record, Refusal, StoredRefusal
from etl.vocabulary import SourceKind


class JsonApiSource(Source):
    """`GET {base_url}{endpoint}`, which returns a JSON array. Raw records are kept in `raw_api_data`.

    Override `headers` to send credentials; they are sent only to the address's own host. Declare a key in the address
    by `secret`. `rate_limit`, such as `10/minute`, is shared by all workers. With `whole = "unproven"` it accepts a
    body whose end nothing proves.
    """

    kind = SourceKind.API
    dialect: ClassVar[Json] = Json(must_be_array=True)
    base_url: str
    endpoint: str = ""
    rate_limit: str = ""
    whole: ClassVar[Whole] = "proven"

    @property
    def url(self) -> str:
        return self.base_url.rstrip("/") + self.endpoint

    @property
    def headers(self) -> Mapping[str, str]:
        return {}

    @property
    def location(self) -> str:
        return hide_secrets(self.url, self.secrets)

    @contextmanager
    def open(self, opening: Opening, context: ReadContext) -> Iterator[Content | None]:
        request = Request(self.url, self.headers, self.rate_limit, tuple(self.secrets))
        with open_remote(self, self.dialect, request, opening, context, whole=self.whole) as content:
            yield content

    def revive(self, stored: StoredRefusal) -> Record | Refusal | None:
        return self.dialect.revive(stored)
