"""A request and the body of its response."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from etl.http import masking
from etl.http.addresses import find_host, hide_secrets
from etl.local_copy import LocalCopy

Meaning = Literal["again", "empty"]
"""What a status means that is neither a body nor an error: the body comes later, or there is none."""


@dataclass(frozen=True, slots=True)
class Request:
    """The URL to get, or to POST a `body` to. `headers` may contain credentials and are sent only to the URL's origin.

    `rate_limit`: the most requests that all workers together send to the host (`10/minute`); empty for no limit.
    `secrets`: parts of the URL's path that no text may show. `retries`: the most attempts after the first one, and
    `deadline` the seconds for all of them; None for the settings' limits. `statuses`: what certain statuses mean.
    """

    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    rate_limit: str = ""
    secrets: tuple[str, ...] = ()
    body: bytes | None = field(default=None, repr=False)
    is_page: bool = False
    """Whether the source asks for the next page by itself, so that a response may name one."""
    retries: int | None = None
    deadline: float | None = None
    statuses: Mapping[int, Meaning] = field(default_factory=dict)

    @property
    def method(self) -> str:
        return "GET" if self.body is None else "POST"

    @property
    def location(self) -> str:
        """The address for messages, without anything secret."""
        return hide_secrets(self.url, self.secrets)

    @property
    def host(self) -> str:
        """The host for messages and rate limits."""
        return masking.mask(find_host(self.url), self.secrets)

    def mask(self, text: str) -> str:
        """Mask in the text everything that this request sends in confidence: what a server says may echo it."""
        return masking.mask(text, (*self.secrets, *masking.find_secrets(self.url, self.headers)))


@dataclass(frozen=True, slots=True)
class Body:
    """A body, its validators for a conditional request, its headers, and the request with its credentials.

    `is_proven`: its length, its last chunk or the end of its compressed stream proves that it is whole. Otherwise only
    its content can.
    """

    copy: LocalCopy
    validators: Mapping[str, str]
    is_proven: bool
    request: Request
    headers: Mapping[str, str]
    status: int = 200

    @property
    def is_empty(self) -> bool:
        """Whether the status says that there is nothing, as the source has declared."""
        return self.request.statuses.get(self.status) == "empty"
