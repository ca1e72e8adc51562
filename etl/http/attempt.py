"""One attempt at a GET: a deadline ends it, credentials are sent to one origin, the body becomes a local copy."""

import hashlib
import ssl
import tempfile
from collections.abc import Iterator, Mapping
from functools import partial
from http import HTTPStatus
from typing import Any, BinaryIO

import requests
import urllib3
from requests.adapters import HTTPAdapter

from etl.conf import conf
from etl.exceptions import SourceError
from etl.http.addresses import hide_secrets
from etl.http.decoding import ACCEPTED, CutStream, WrongEncoding, decode, list_encodings
from etl.http.excerpts import EXCERPT_BYTES, make_excerpt
from etl.http.next_pages import find_next_link, report_more_pages
from etl.http.request import Body, Request
from etl.http.retries import RETRIED_STATUSES, AttemptFailed
from etl.local_copy import LocalCopy
from etl.socket_deadlines import Deadline, set_deadline
from etl.vocabulary import Reason

READ_BYTES = 64 << 10
USER_AGENT = "kasparro"
VALIDATORS = b"of proven bodies "
EXCERPT_SECONDS = 2
"""The time for reading the text of an error response, which only makes the message better."""


def _refuse_if_passed(deadline: Deadline) -> None:
    """Raise AttemptFailed: the deadline has shut down the connection, which looks like the end of the body."""
    if deadline.has_passed:
        raise AttemptFailed(f"the response was not complete after {deadline.seconds:g} s")


class _Connection(urllib3.connection.HTTPConnection):
    """A connection that the attempt's deadline shuts down."""

    def __init__(self, *arguments: Any, deadline: Deadline, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.deadline = deadline

    def connect(self) -> None:
        super().connect()
        self.deadline.cover(self.sock.fileno())


class _TlsConnection(urllib3.connection.HTTPSConnection):
    """Like `_Connection`, over TLS."""

    def __init__(self, *arguments: Any, deadline: Deadline, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.deadline = deadline

    def connect(self) -> None:
        super().connect()
        assert self.sock is not None
        self.deadline.cover(self.sock.fileno())


class _Adapter(HTTPAdapter):
    """Opens connections that the deadline shuts down, directly or through a proxy. Does not retry."""

    def __init__(self, deadline: Deadline) -> None:
        super().__init__(max_retries=0)
        self.deadline = deadline

    def get_connection_with_tls_context(self, *arguments: Any, **options: Any) -> Any:
        pool: Any = super().get_connection_with_tls_context(*arguments, **options)
        kind = _TlsConnection if pool.scheme == "https" else _Connection
        pool.ConnectionCls = partial(kind, deadline=self.deadline)
        return pool


class Attempt(requests.Session):
    """One attempt, including its redirects. Credentials are sent only to the origin of the request."""

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
        """Return the body, or None if it is not modified.

        Raises AttemptFailed if another attempt may succeed, otherwise SourceError.
        """
        self.secret_headers = tuple(request.headers)
        condition = _make_condition(request, validators)
        headers = {"User-Agent": USER_AGENT, "Accept-Encoding": ACCEPTED, **condition, **request.headers}
        timeout = min(conf.ETL_HTTP_TIMEOUT_SECONDS, self.deadline.seconds)
        try:
            with self.get(request.url, headers=headers, timeout=timeout, stream=True) as response:
                _refuse_if_passed(self.deadline)
                _refuse_bad_status(response, request, is_conditional=bool(condition))
                _refuse_next_page(response, request)
                if response.status_code == HTTPStatus.NOT_MODIFIED:
                    return None
                copy, is_proven = _store(response, file, self.deadline, request)
                return Body(copy, _find_validators(response, request), is_proven)
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            _refuse_if_passed(self.deadline)
            # Without its cause, because the libraries' messages contain the URL with its credentials.
            raise _translate(error, request) from None


def _drop_redirect_body(response: requests.Response, **options: Any) -> None:
    """Close a redirect unread; requests would read its body into memory, regardless of its size."""
    if response.is_redirect:
        response.close()


def _refuse_bad_status(response: requests.Response, request: Request, *, is_conditional: bool) -> None:
    status = response.status_code
    reason = "".join(letter for letter in str(response.reason or "") if letter.isprintable())
    line = f"{status} {reason}".strip()
    if status in RETRIED_STATUSES:
        raise AttemptFailed(line, response.headers.get("Retry-After"), _read_excerpt(response))
    if status not in ((HTTPStatus.OK, HTTPStatus.NOT_MODIFIED) if is_conditional else (HTTPStatus.OK,)):
        excerpt = _read_excerpt(response)
        answer = f"{line}: {excerpt}" if excerpt else line
        raise SourceError(f"{hide_secrets(request.url)} responded with {answer}.", Reason.SOURCE_REFUSED)


def _read_excerpt(response: requests.Response) -> str:
    """Return the beginning of an error's text; empty if it has none, can't be decoded or does not come at once."""
    head = b""
    try:
        with set_deadline(EXCERPT_SECONDS) as deadline:
            if not response.raw.closed:
                deadline.cover(response.raw.fileno())
            for piece in decode(_read_blocks(response), _list_encodings(response)):
                head += piece
                if len(head) >= EXCERPT_BYTES:
                    break
    except (urllib3.exceptions.HTTPError, OSError, WrongEncoding, CutStream):
        pass  # the part that has arrived is enough
    return make_excerpt(head[:EXCERPT_BYTES])


def _refuse_next_page(response: requests.Response, request: Request) -> None:
    """Raise SourceError if the response is one page of several: the records of the others would be missing."""
    link = find_next_link(response.headers.get("Link", ""), response.url)
    if link:
        sign = f"its Link header names {hide_secrets(link)} as the next one"
        raise report_more_pages(hide_secrets(request.url), sign)


def _read_blocks(response: requests.Response) -> Iterator[bytes]:
    """Yield the body as sent. Raises an error of urllib3 if it ends before its length or its last chunk."""
    return iter(partial(response.raw.read1, READ_BYTES, decode_content=False), b"")


def _list_encodings(response: requests.Response) -> list[str]:
    return list_encodings(response.headers.get("Content-Encoding", ""))


def _has_announced_end(response: requests.Response) -> bool:
    """Whether a length or chunks show where the body ends: then reading it raises an error if it ends before that."""
    coding = response.headers.get("Transfer-Encoding")
    return coding.strip().lower() == "chunked" if coding else response.raw.length_remaining is not None


def _store(response: requests.Response, file: BinaryIO, deadline: Deadline, request: Request) -> tuple[LocalCopy, bool]:
    """Stream the body to the file, up to the size cap and the deadline; return also whether its end is proven."""
    file.seek(0)
    file.truncate()
    digest, size = hashlib.sha256(), 0
    has_end, encodings = _has_announced_end(response), _list_encodings(response)
    try:
        for piece in decode(_read_blocks(response), encodings):
            digest.update(piece)
            size += file.write(piece)
            if size > conf.ETL_HTTP_MAX_BYTES:
                limit = f"{conf.ETL_HTTP_MAX_BYTES} bytes (ETL_HTTP_MAX_BYTES)"
                raise SourceError(f"{hide_secrets(request.url)} sent more than {limit}.")
    except WrongEncoding as error:
        raise SourceError(f"{hide_secrets(request.url)}: {error}.") from None
    except CutStream as error:
        _refuse_if_passed(deadline)
        raise AttemptFailed(str(error)) from None
    _refuse_if_passed(deadline)
    if not response.raw.tell() and not has_end:
        raise AttemptFailed("the connection was cut off before the body")  # truncated headers look complete
    file.flush()
    return LocalCopy(file, digest.hexdigest(), size), has_end or bool(encodings)


def _translate(error: Exception, request: Request) -> Exception:
    """Return the SourceError or AttemptFailed for an error of the libraries."""
    where = hide_secrets(request.url)
    if _is_caused_by(error, ssl.SSLError) and not _is_caused_by(error, ssl.SSLEOFError):  # EOF: cut off, not refused
        return SourceError(f"{where}: no trusted TLS connection ({_name_cause(error)}).", Reason.SOURCE_REFUSED)
    permanent = (
        requests.exceptions.InvalidURL,
        requests.exceptions.MissingSchema,
        requests.exceptions.InvalidSchema,
        requests.exceptions.InvalidHeader,
        requests.exceptions.TooManyRedirects,
    )
    if isinstance(error, permanent):
        return SourceError(f"{where} can't be requested ({type(error).__name__}).", Reason.SOURCE_REFUSED)
    if isinstance(error, ValueError) and not isinstance(
        error, (requests.RequestException, urllib3.exceptions.HTTPError)
    ):
        return SourceError(f"{where}: the address or a header is invalid.", Reason.SOURCE_REFUSED)
    if isinstance(error, (requests.Timeout, urllib3.exceptions.TimeoutError)):
        return AttemptFailed(f"no response within {conf.ETL_HTTP_TIMEOUT_SECONDS:g} s")
    if isinstance(error, OSError) and not isinstance(error, (requests.RequestException, ConnectionError)):
        return SourceError(f"{where}: the response can't be stored in {tempfile.gettempdir()}: {error.strerror}.")
    return AttemptFailed(f"connection error ({_name_cause(error)})")


def _find_causes(error: BaseException) -> Iterator[BaseException]:
    """Yield the error and all errors it wraps; libraries put the cause in `__cause__`, `reason` or the arguments."""
    pending, seen = [error], set()
    while pending:
        current = pending.pop(0)
        if id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        inner = (current.__cause__, current.__context__, getattr(current, "reason", None), *current.args)
        pending += [cause for cause in inner if isinstance(cause, BaseException)]


def _is_caused_by(error: BaseException, kind: type[BaseException]) -> bool:
    return any(isinstance(cause, kind) for cause in _find_causes(error))


def _name_cause(error: BaseException) -> str:
    *_, last = _find_causes(error)
    return getattr(last, "strerror", None) or type(last).__name__


def _make_condition(request: Request, validators: Mapping[str, str]) -> dict[str, str]:
    if validators.get("address") != _hash_address(request):
        return {}
    names = {"etag": "If-None-Match", "last_modified": "If-Modified-Since"}
    return {header: validators[name] for name, header in names.items() if validators.get(name)}


def _find_validators(response: requests.Response, request: Request) -> dict[str, str]:
    found = {"etag": response.headers.get("ETag"), "last_modified": response.headers.get("Last-Modified")}
    # A header that is folded over several lines can't be sent back.
    usable = {name: value for name, value in found.items() if value and value.isprintable()}
    return {"address": _hash_address(request)} | usable


def _hash_address(request: Request) -> str:
    """Hash the only URL for which the validators are valid; the URL itself may contain credentials.

    Validators of a body whose end was not proven yet were hashed without VALIDATORS, so they are not sent.
    """
    return hashlib.sha256(VALIDATORS + request.url.encode(errors="surrogateescape")).hexdigest()[:16]
