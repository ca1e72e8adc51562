"""A GET request and the body of its response."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from etl.local_copy import LocalCopy


@dataclass(frozen=True, slots=True)
class Request:
    """The URL to get. `headers` may contain credentials and are sent only to the URL's own origin.

    `rate_limit`: the most requests that all workers together send to the host (`10/minute`); empty for no limit.
    """

    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    rate_limit: str = ""


@dataclass(frozen=True, slots=True)
class Body:
    """A body and its validators for a conditional request.

    `is_proven`: its length, its last chunk or the end of its compressed stream proves that it is whole. Otherwise only
    its content can.
    """

    copy: LocalCopy
    validators: Mapping[str, str]
    is_proven: bool
