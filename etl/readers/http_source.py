"""What all sources have in common that are asked over HTTP: the limits of their requests, and what statuses mean."""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import ClassVar, get_args

from etl.http import rate_limits
from etl.http.request import Meaning, Request
from etl.readers.http_content import Whole
from etl.readers.source import Source

UNTOUCHED = (200, 206, 304, 401)
"""Statuses whose meaning no source changes: a body, nothing new, and credentials that are renewed."""


class HttpSource(Source):
    """A source that may be asked over HTTP.

    `rate_limit`, such as `10/minute`, is shared by all workers and counts each request. A request is repeated at most
    `retries` times, and takes at most `deadline` with all its attempts; the settings' limits hold without them. In
    `statuses`, "again" is a status with which the response comes later, "empty" one that says that there is nothing.
    `headers` and credentials are sent only to the address's own host. With `whole = "unproven"` it accepts a body whose
    end nothing proves.
    """

    rate_limit: str = ""
    retries: int | None = None
    deadline: timedelta | None = None
    statuses: Mapping[int, Meaning] = {}
    whole: ClassVar[Whole] = "proven"

    @property
    def headers(self) -> Mapping[str, str]:
        return {}

    def make_request(self, url: str, headers: Mapping[str, str] | None = None, body: bytes | None = None) -> Request:
        """Return a request with the source's options."""
        return Request(
            url,
            self.headers if headers is None else headers,
            self.rate_limit,
            tuple(self.secrets),
            body,
            retries=self.retries,
            deadline=self.deadline.total_seconds() if self.deadline is not None else None,
            statuses=self.statuses,
        )


def list_misuses(source: HttpSource) -> Iterator[tuple[str, str]]:
    """Yield each option of the requests that can't be used, and what to write instead."""
    if not _is_rate(source.rate_limit):
        yield "rate_limit", 'Use a rate such as "10/minute" or "5000/hour".'
    if source.retries is not None and not _is_number(source.retries, least=0):
        yield "retries", "Use a whole number; 0 for a single attempt."
    if source.deadline is not None and not (isinstance(source.deadline, timedelta) and source.deadline > timedelta(0)):
        yield "deadline", "Use the time for a request with all its attempts, such as timedelta(seconds=90)."
    if not _are_meanings(source.statuses):
        yield "statuses", 'Use {202: "again", 204: "empty"}: a status that is an error otherwise, and its meaning.'


def describe_requests(source: HttpSource) -> Iterator[tuple[str, str]]:
    """Yield the options of the requests that the source declares, as label and text."""
    if source.rate_limit:
        yield "rate limit", source.rate_limit
    if source.retries is not None:
        yield "retries", str(source.retries)
    if source.deadline is not None:
        yield "deadline", f"{source.deadline} for a request with its retries"
    if source.statuses:
        yield "statuses", ", ".join(f"{status} {meaning}" for status, meaning in sorted(source.statuses.items()))


def _is_rate(rate: object) -> bool:
    try:
        return isinstance(rate, str) and (not rate or rate_limits.parse(rate).amount > 0)
    except ValueError:
        return False


def _is_number(value: object, *, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _are_meanings(statuses: object) -> bool:
    return isinstance(statuses, Mapping) and all(
        _is_number(status, least=201) and status < 600 and status not in UNTOUCHED and meaning in get_args(Meaning)
        for status, meaning in statuses.items()
    )
