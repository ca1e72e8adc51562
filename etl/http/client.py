"""One HTTP GET, done with care: retries, deadlines, caps, conditional requests; the body as a local copy.

No name of requests or urllib3 leaves this module. Waits go through the run's `ReadContext`, so that an
interruption or a lost lease ends them.
"""

import hashlib
import random
import re
import ssl
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import partial
from http import HTTPStatus
from typing import Any, BinaryIO, Self
from urllib.parse import urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter

from etl.conf import conf
from etl.deadlines import Deadline, set_deadline
from etl.exceptions import RateLimited, SourceError, TransientSourceError
from etl.local_copy import LocalCopy, open_temporary
from etl.read_context import ReadContext
from etl.vocabulary import Reason

READ_BYTES = 64 << 10
LONGEST_RETRY_AFTER = timedelta(days=1)
RETRIED_STATUSES = frozenset({429, *range(500, 600)})
USER_AGENT = "kasparro"


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


def hide_secrets(url: str) -> str:
    """The URL for people: without user, password, query and fragment, any of which may be a credential."""
    try:
        parts = urlsplit(url)
        _ = parts.port  # a password with an unescaped / or ? passes for host and port: then nothing is shown
    except ValueError:
        return "(no usable address)"
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


@contextmanager
def open_body(
    request: Request, validators: Mapping[str, str], context: ReadContext, looks_cut: Callable[[LocalCopy], bool]
) -> Iterator[Body | None]:
    """The body, downloaded whole to a temporary file, or None if it is not modified.

    `looks_cut` tells a body that ends in the middle: HTTP itself can't, where the length was not announced.
    Raises SourceError, TransientSourceError after the last retry, RateLimited for a wait that is too long.
    """
    with open_temporary() as file:
        yield _get_with_retries(request, validators, context, file, looks_cut)


def _get_with_retries(
    request: Request,
    validators: Mapping[str, str],
    context: ReadContext,
    file: BinaryIO,
    looks_cut: Callable[[LocalCopy], bool],
) -> Body | None:
    retry = SourceRetry.from_settings()
    while True:
        try:
            _await_turn(request, context)
            with set_deadline(conf.ETL_HTTP_DEADLINE_SECONDS) as deadline, _Session(deadline) as session:
                body = session.download(request, validators, file)
            if body is not None and looks_cut(body.copy):
                raise _Failed("the answer was cut in the middle")
            return body
        except _Failed as failure:
            asked = retry.parse_retry_after(failure.retry_after or "")
            if asked > context.max_wait_seconds:
                raise _too_long_a_wait(asked, failure, request) from None
            retry = retry.after(failure, request)
            seconds = max(asked, retry.get_backoff_time())
            context.note_retry(f"Retrying ({retry.number}/{retry.most}) after {seconds:.2f}s due to: {failure}")
            context.wait(seconds)


def _await_turn(request: Request, context: ReadContext) -> None:
    """Wait until the host may be asked; raises RateLimited if that is longer than the context waits."""
    while seconds := context.find_pace(_find_host(request.url), request.rate_limit):
        if seconds > context.max_wait_seconds:
            raise _too_long_a_wait(seconds, _Failed(f"its rate limit is {request.rate_limit}"), request)
        context.wait(seconds)


def _find_host(url: str) -> str:
    """The host of the URL; empty where it has none: asking will tell."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


class _Failed(Exception):
    """One attempt failed in a way that another may not; the text says how, without credentials."""

    def __init__(self, message: str, retry_after: str | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class SourceRetry(urllib3.Retry):
    """urllib3's Retry with full knowledge of Retry-After: rubbish ignored, never shortened, a day at most.

    Backoff is exponential with jitter: ETL_HTTP_BACKOFF_SECONDS · 2ⁿ, at most ETL_HTTP_BACKOFF_CAP_SECONDS.
    """

    most: int = 0

    @classmethod
    def from_settings(cls) -> Self:
        retry = cls(
            total=conf.ETL_HTTP_RETRIES,
            backoff_factor=conf.ETL_HTTP_BACKOFF_SECONDS,
            backoff_max=conf.ETL_HTTP_BACKOFF_CAP_SECONDS,
            status_forcelist=RETRIED_STATUSES,
            redirect=False,
        )
        retry.most = conf.ETL_HTTP_RETRIES
        return retry

    @property
    def number(self) -> int:
        """How many retries have been begun."""
        return len(self.history)

    def after(self, failure: _Failed, request: Request) -> "SourceRetry":
        """The retry that follows this failure; raises TransientSourceError if none is left."""
        try:
            following = self.increment("GET", hide_secrets(request.url), error=_as_urllib3(failure))
        except urllib3.exceptions.HTTPError:
            tries = f"after {self.most} {'retry' if self.most == 1 else 'retries'}"
            raise TransientSourceError(f"{hide_secrets(request.url)} gave no good answer {tries}: {failure}.") from None
        following.most = self.most
        return following

    def get_backoff_time(self) -> float:
        """Half to all of the exponential step, so that many clients don't come back at once."""
        step: float = min(self.backoff_max, self.backoff_factor * 2 ** max(0, self.number - 1))
        return step * random.uniform(0.5, 1)  # noqa: S311  (jitter, no secret)

    def parse_retry_after(self, retry_after: str) -> float:
        """Seconds to wait by a Retry-After header (RFC 9110 §10.2.3: a number or a date), 0 for rubbish."""
        text = retry_after.strip()
        if re.fullmatch(r"[0-9]+(\.[0-9]+)?", text):  # some servers send fractions
            seconds = float(text)
        else:
            try:
                date = parsedate_to_datetime(text)
                seconds = (date.replace(tzinfo=date.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
            except (ValueError, TypeError, OverflowError):
                return 0
        return min(max(seconds, 0), LONGEST_RETRY_AFTER.total_seconds())


def _as_urllib3(failure: _Failed) -> Exception:
    return urllib3.exceptions.ProtocolError(str(failure))


def _too_long_a_wait(seconds: float, failure: _Failed, request: Request) -> RateLimited:
    retry_at = datetime.now(UTC) + timedelta(seconds=seconds)
    return RateLimited(
        f"{hide_secrets(request.url)} asks to wait {seconds:.0f} s ({failure}):"
        f" try again at {retry_at:%Y-%m-%d %H:%M:%S} UTC.",
        retry_at,
    )


def _refuse_if_passed(deadline: Deadline) -> None:
    """Raise _Failed: what was read since may look like an end, since the connection was cut here."""
    if deadline.has_passed:
        raise _Failed(f"the answer was not complete after {deadline.seconds:g} s")


class _Connection(urllib3.connection.HTTPConnection):
    """A connection that its attempt's deadline ends."""

    def __init__(self, *arguments: Any, deadline: Deadline, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.deadline = deadline

    def connect(self) -> None:
        super().connect()
        self.deadline.cover(self.sock.fileno())


class _TlsConnection(urllib3.connection.HTTPSConnection):
    """The same over TLS."""

    def __init__(self, *arguments: Any, deadline: Deadline, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.deadline = deadline

    def connect(self) -> None:
        super().connect()
        assert self.sock is not None
        self.deadline.cover(self.sock.fileno())


class _Adapter(HTTPAdapter):
    """Gives connections that the deadline ends, directly or through a proxy, and does not retry."""

    def __init__(self, deadline: Deadline) -> None:
        super().__init__(max_retries=0)
        self.deadline = deadline

    def get_connection_with_tls_context(self, *arguments: Any, **options: Any) -> Any:
        pool: Any = super().get_connection_with_tls_context(*arguments, **options)
        kind = _TlsConnection if pool.scheme == "https" else _Connection
        pool.ConnectionCls = partial(kind, deadline=self.deadline)
        return pool


class _Session(requests.Session):
    """One attempt, redirects included; credentials go to no other origin than the one asked."""

    def __init__(self, deadline: Deadline) -> None:
        super().__init__()
        self.deadline = deadline
        self.secret_headers: tuple[str, ...] = ()
        self.max_redirects = 5
        self.hooks["response"].append(_drop_redirect_body)
        for scheme in ("http://", "https://"):
            self.mount(scheme, _Adapter(deadline))

    def rebuild_auth(self, prepared_request: requests.PreparedRequest, response: requests.Response) -> None:
        super().rebuild_auth(prepared_request, response)  # type: ignore[no-untyped-call]
        former, following = response.request.url or "", prepared_request.url or ""
        if self.should_strip_auth(former, following):  # type: ignore[no-untyped-call]
            for name in self.secret_headers:
                prepared_request.headers.pop(name, None)

    def download(self, request: Request, validators: Mapping[str, str], file: BinaryIO) -> Body | None:
        """The body, or None if it is not modified; raises _Failed if another attempt may succeed, else SourceError."""
        self.secret_headers = tuple(request.headers)
        condition = _condition(request, validators)
        headers = {"User-Agent": USER_AGENT, **condition, **request.headers}
        timeout = min(conf.ETL_HTTP_TIMEOUT_SECONDS, self.deadline.seconds)
        try:
            with self.get(request.url, headers=headers, timeout=timeout, stream=True) as response:
                _refuse_if_passed(self.deadline)
                _refuse_bad_status(response, request, is_conditional=bool(condition))
                if response.status_code == HTTPStatus.NOT_MODIFIED:
                    return None
                return Body(_store(response, file, self.deadline, request), _find_validators(response, request))
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            _refuse_if_passed(self.deadline)
            # Without its cause: the libraries' texts hold the URL with its credentials.
            raise _translate(error, request) from None


def _drop_redirect_body(response: requests.Response, **options: Any) -> None:
    """Requests would read it whole, into memory, however long it is."""
    if response.is_redirect:
        response.close()


def _refuse_bad_status(response: requests.Response, request: Request, *, is_conditional: bool) -> None:
    status = response.status_code
    reason = "".join(letter for letter in str(response.reason or "") if letter.isprintable())
    line = f"{status} {reason}".strip()
    if status in RETRIED_STATUSES:
        raise _Failed(line, response.headers.get("Retry-After"))
    if status not in ((HTTPStatus.OK, HTTPStatus.NOT_MODIFIED) if is_conditional else (HTTPStatus.OK,)):
        raise SourceError(f"{hide_secrets(request.url)} answered {line}.", Reason.SOURCE_REFUSED)


def _store(response: requests.Response, file: BinaryIO, deadline: Deadline, request: Request) -> LocalCopy:
    """Write the body to the file as it comes, up to the cap and the deadline."""
    file.seek(0)
    file.truncate()
    digest, size = hashlib.sha256(), 0
    while block := response.raw.read1(READ_BYTES, decode_content=True):
        digest.update(block)
        size += file.write(block)
        if size > conf.ETL_HTTP_MAX_BYTES:
            limit = f"{conf.ETL_HTTP_MAX_BYTES} bytes (ETL_HTTP_MAX_BYTES)"
            raise SourceError(f"{hide_secrets(request.url)} sent more than {limit}.")
    _refuse_if_passed(deadline)
    if not size and "Content-Length" not in response.headers and "Transfer-Encoding" not in response.headers:
        raise _Failed("the answer was cut before its body")  # headers that end early look complete
    file.flush()
    return LocalCopy(file, digest.hexdigest(), size)


def _translate(error: Exception, request: Request) -> Exception:
    """An error of the libraries in our words."""
    where = hide_secrets(request.url)
    if _is_caused_by(error, ssl.SSLError) and not _is_caused_by(error, ssl.SSLEOFError):  # EOF: cut, not refused
        return SourceError(f"{where}: no trusted TLS connection ({_name_cause(error)}).", Reason.SOURCE_REFUSED)
    permanent = (
        requests.exceptions.InvalidURL,
        requests.exceptions.MissingSchema,
        requests.exceptions.InvalidSchema,
        requests.exceptions.InvalidHeader,
        requests.exceptions.TooManyRedirects,
    )
    if isinstance(error, permanent):
        return SourceError(f"{where} can't be asked ({type(error).__name__}).", Reason.SOURCE_REFUSED)
    if isinstance(error, ValueError) and not isinstance(
        error, (requests.RequestException, urllib3.exceptions.HTTPError)
    ):
        return SourceError(f"{where}: an address or header can't be used.", Reason.SOURCE_REFUSED)
    if isinstance(error, (requests.Timeout, urllib3.exceptions.TimeoutError)):
        return _Failed(f"no answer within {conf.ETL_HTTP_TIMEOUT_SECONDS:g} s")
    if isinstance(error, OSError) and not isinstance(error, (requests.RequestException, ConnectionError)):
        return SourceError(f"{where}: the answer can't be kept in {tempfile.gettempdir()}: {error.strerror}.")
    return _Failed(f"connection error ({_name_cause(error)})")


def _find_causes(error: BaseException) -> Iterator[BaseException]:
    """The error and what it wraps: libraries put the cause in `__cause__`, `reason` or the arguments."""
    pending, met = [error], set()
    while pending:
        current = pending.pop(0)
        if id(current) in met:
            continue
        met.add(id(current))
        yield current
        inner = (current.__cause__, current.__context__, getattr(current, "reason", None), *current.args)
        pending += [cause for cause in inner if isinstance(cause, BaseException)]


def _is_caused_by(error: BaseException, kind: type[BaseException]) -> bool:
    return any(isinstance(cause, kind) for cause in _find_causes(error))


def _name_cause(error: BaseException) -> str:
    *_, last = _find_causes(error)
    return getattr(last, "strerror", None) or type(last).__name__


def _condition(request: Request, validators: Mapping[str, str]) -> dict[str, str]:
    known = validators
    if known.get("address") != _hash_address(request):
        return {}
    names = {"etag": "If-None-Match", "last_modified": "If-Modified-Since"}
    return {header: known[name] for name, header in names.items() if known.get(name)}


def _find_validators(response: requests.Response, request: Request) -> dict[str, str]:
    found = {"etag": response.headers.get("ETag"), "last_modified": response.headers.get("Last-Modified")}
    # A header folded over lines can't be sent back.
    usable = {name: value for name, value in found.items() if value and value.isprintable()}
    return {"address": _hash_address(request)} | usable


def _hash_address(request: Request) -> str:
    """Validators hold for one address only; hashed, since a URL may hold credentials."""
    return hashlib.sha256(request.url.encode(errors="surrogateescape")).hexdigest()[:16]
