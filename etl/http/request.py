"""What to get, and what came."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from etl.local_copy import LocalCopy


@dataclass(frozen=True, slots=True)
class Request:
    """What to get; `headers` may hold credentials and are sent to the URL's own origin only.

    `rate_limit`: how often its host may be asked, by all workers together (`10/minute`); empty for no limit.
    """

    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    rate_limit: str = ""


@dataclass(frozen=True, slots=True)
class Body:
    """A whole body, and the validators under which the server knows it."""

    copy: LocalCopy
    validators: Mapping[str, str]
