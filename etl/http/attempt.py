"""One attempt at a request: a deadline ends it, credentials are sent to one origin, the body becomes a local copy."""

import hashlib
import logging
import ssl
import tempfile
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from functools import partial
from http import HTTPStatus
from typing import Any, BinaryIO

import requests
import urllib3
from requests.auth import AuthBase, HTTPBasicAuth
from requests.utils import get_auth_from_url

from etl.conf import conf
from etl.exceptions import AddressRefused, SourceError
from etl.http.addresses import find_host, hide_secrets
from etl.http.connections import GuardedAdapter
from etl.http.decoding import ACCEPTED, CutStream, WrongEncoding, decode, list_encodings
from etl.http.excerpts import EXCERPT_BYTES, make_excerpt
from etl.http.limits import find_wait, is_retried
from etl.http.next_pages import find_next_link, report_more_pages
from etl.http.peers import Peers
from etl.http.request import Body, Request
from etl.http.retries import AttemptFailed, NotReady, Unauthorized
from etl.local_copy import LocalCopy, write_copy
from etl.socket_deadlines import Deadline, Duplicate
from etl.vocabulary import Reason

READ_BYTES = 64 << 10
USER_AGENT = "kasparro"
VALIDATORS = b"of proven bodies "
EXCERPT_SECONDS = 2
"""The time for reading the text of an error response, which only makes the message better."""
MOST_OF_A_TEXT = 200
REMEDIES = {
    202: ' If the response comes later, declare statuses = {202: "again"} in the source.',
    204: ' If that means that there are no records, declare statuses = {204: "empty"} in the source.',
}
LEAST_TIMEOUT_SECONDS = 0.001
"""urllib3 takes no 0."""


_KINDS: Mapping[int, type[SourceError]] = {
    HTTPStatus.UNAUTHORIZED: Unauthorized,
    HTTPStatus.BAD_REQUEST: AddressRefused,
    HTTPStatus.NOT_FOUND: AddressRefused,
    HTTPStatus.GONE: AddressRefused,
}
_is_attempting: ContextVar[bool] = ContextVar("is_attempting", default=False)


def _is_by_others(record: logging.LogRecord) -> bool:
    """Whether another user of urllib3 caused the line: it would show our URL with its query, and what a server says."""
    return not _is_attempting.get()


for _name in ("urllib3.connection", "urllib3.connectionpool"):
    logging.getLogger(_name).addFilter(_is_by_others)


def _refuse_if_passed(deadline: Deadline) -> None:
    """Raise AttemptFailed: the deadline has shut down the connection, which looks like the end of the body."""
    if not deadline.seconds_left:
        raise AttemptFailed(f"the response was not complete after {round(deadline.seconds, 1):g} s")


class _DeclaredAuth(AuthBase):
    """Sends user and password of the address itself. It also keeps requests from taking others from a `.netrc`."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        user, password = get_auth_from_url(request.url or "")
        return HTTPBasicAuth(user, password)(request) if user or password else request


class Attempt(requests.Session):
    """One attempt, including its redirects: each of them reaches only permitted peers, and none leads away from TLS.

    Credentials are sent only to the origin of the request. Proxies come from the environment, credentials never do.
    """

    def __init__(self, request: Request, deadline: Deadline) -> None:
        super().__init__()
        self.source_request = request
        self.deadline = deadline
        self.peers = Peers.of(request)
        self.auth = _DeclaredAuth()
        self.max_redirects = 5
        self.hooks["response"].append(_drop_redirect_body)
        for scheme in ("http://", "https://"):
            self.mount(scheme, GuardedAdapter(deadline, self.peers))

    def rebuild_auth(self, prepared_request: requests.PreparedRequest, response: requests.Response) -> None:
        """Replace the parent's method, which sends credentials of a `.netrc` to a redirect's target."""
        former, following = response.request.url or "", prepared_request.url or ""
        if _is_secure(former) and not _is_secure(following):
            host = self.source_request.mask(find_host(following))[:MOST_OF_A_TEXT]
            raise self.peers.refuse(f"it redirects from https to an address of {host} without TLS")
        if self.should_strip_auth(former, following):  # type: ignore[no-untyped-call]
            for name in ("Authorization", *self.source_request.headers):
                prepared_request.headers.pop(name, None)

    def download(self, validators: Mapping[str, str], file: BinaryIO) -> Body | None:
        """Return the body, or None if it is not modified.

        Raises AttemptFailed if another attempt may succeed, otherwise SourceError.
        """
        request = self.source_request
        condition = _make_condition(request, validators)
        headers = {"User-Agent": USER_AGENT, "Accept-Encoding": ACCEPTED, **condition, **request.headers}
        attempting = _is_attempting.set(True)
        timeout = max(LEAST_TIMEOUT_SECONDS, min(conf.ETL_HTTP_TIMEOUT_SECONDS, self.deadline.seconds_left))
        try:
            with self.request(
                request.method,
                request.url,
                headers=headers,
                data=request.body,
                timeout=timeout,
                stream=True,
                allow_redirects=request.body is None,  # a body may hold a secret, and a redirect turns POST into GET
            ) as response:
                _refuse_if_passed(self.deadline)
                if (meaning := request.statuses.get(response.status_code)) is None:
                    _refuse_bad_status(response, request, is_conditional=bool(condition))
                elif meaning == "again":
                    raise NotReady(_show_status(response, request), _find_wait(response))
                if not request.is_page:
                    _refuse_next_page(response, request)
                if response.status_code == HTTPStatus.NOT_MODIFIED:
                    return None
                if meaning == "empty":
                    copy = LocalCopy(file, *write_copy((), file, request.location))
                    return Body(copy, {}, True, request, response.headers, response.status_code)
                copy, is_proven = _store(response, file, self.deadline, request)
                return Body(copy, _find_validators(response, request), is_proven, request, response.headers)
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            _refuse_if_passed(self.deadline)
            # Without its cause, because the libraries' messages contain the URL with its credentials.
            raise _translate(error, request) from None
        finally:
            _is_attempting.reset(attempting)


def _drop_redirect_body(response: requests.Response, **options: Any) -> None:
    """Close a redirect unread; requests would read its body into memory, regardless of its size."""
    if response.is_redirect:
        response.close()


def _is_secure(url: str) -> bool:
    return url.lower().startswith("https:")


def _decode(text: str) -> str:
    """Return a text of a response's head, which was read as Latin-1, as the UTF-8 that it often is."""
    try:
        return text.encode("latin-1").decode()
    except UnicodeError:
        return text


def _show(text: str, request: Request) -> str:
    """Return a server's text for a message: without control characters and secrets, and short."""
    return request.mask("".join(letter for letter in text if letter.isprintable()))[:MOST_OF_A_TEXT]


def _refuse_bad_status(response: requests.Response, request: Request, *, is_conditional: bool) -> None:
    status, line = response.status_code, _show_status(response, request)
    if is_retried(status, response.headers):
        raise AttemptFailed(line, _find_wait(response), _read_excerpt(response, request))
    if status not in ((HTTPStatus.OK, HTTPStatus.NOT_MODIFIED) if is_conditional else (HTTPStatus.OK,)):
        excerpt = _read_excerpt(response, request)
        answer = f"{line}: {excerpt}" if excerpt else line
        kind = _KINDS.get(status, SourceError)
        remedy = REMEDIES.get(status, "")
        raise kind(f"{request.location} responded with {answer}.{remedy}", Reason.SOURCE_REFUSED)


def _show_status(response: requests.Response, request: Request) -> str:
    return f"{response.status_code} {_show(_decode(str(response.reason or '')), request)}".strip()


def _find_wait(response: requests.Response) -> float:
    return find_wait(response.status_code, response.headers, datetime.now(UTC))


def _read_excerpt(response: requests.Response, request: Request) -> str:
    """Return the beginning of an error's text; empty if no text comes at once, or if it can't be decoded."""
    head = b""
    try:
        with Deadline(EXCERPT_SECONDS) as deadline:
            if not response.raw.closed:
                deadline.cover(Duplicate(response.raw.fileno()))
            for piece in decode(_read_blocks(response), _list_encodings(response)):
                head += piece
                if len(head) >= EXCERPT_BYTES:
                    break
    except (urllib3.exceptions.HTTPError, OSError, WrongEncoding, CutStream):
        pass  # the part that has arrived is enough
    return make_excerpt(head[:EXCERPT_BYTES], request.mask)


def _refuse_next_page(response: requests.Response, request: Request) -> None:
    """Raise SourceError if the response is one page of several: the records of the others would be missing."""
    link = find_next_link(response.headers.get("Link", ""), response.url)
    if link:
        sign = f"its Link header names {request.mask(hide_secrets(link, request.secrets))} as the next one"
        raise report_more_pages(request.location, sign)


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
                raise SourceError(f"{request.location} sent more than {limit}.")
    except WrongEncoding as error:
        raise SourceError(f"{request.location}: {error}.") from None
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
    where, cause = request.location, _show(_name_cause(error), request)
    if _is_caused_by(error, ssl.SSLError) and not _is_caused_by(error, ssl.SSLEOFError):  # EOF: cut off, not refused
        return SourceError(f"{where}: no trusted TLS connection ({cause}).", Reason.SOURCE_REFUSED)
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
    return AttemptFailed(f"connection error ({cause})")


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
    if str(last).startswith("Tunnel connection failed"):  # with the proxy's status, and nothing of the address
        return f"the proxy responded with {str(last).partition(': ')[2]}"
    return getattr(last, "strerror", None) or type(last).__name__


def _make_condition(request: Request, validators: Mapping[str, str]) -> dict[str, str]:
    if request.body is not None or validators.get("address") != _hash_address(request):
        return {}
    names = {"etag": "If-None-Match", "last_modified": "If-Modified-Since"}
    return {header: validators[name] for name, header in names.items() if validators.get(name)}


def _find_validators(response: requests.Response, request: Request) -> dict[str, str]:
    if request.body is not None:  # a conditional POST means something else
        return {}
    found = {"etag": response.headers.get("ETag"), "last_modified": response.headers.get("Last-Modified")}
    # A header that is folded over several lines can't be sent back.
    usable = {name: value for name, value in found.items() if value and value.isprintable()}
    return {"address": _hash_address(request)} | usable


def _hash_address(request: Request) -> str:
    """Hash the only URL for which the validators are valid; the URL itself may contain credentials.

    Validators of a body whose end was not proven yet were hashed without VALIDATORS, so they are not sent.
    """
    return hashlib.sha256(VALIDATORS + request.url.encode(errors="surrogateescape")).hexdigest()[:16]
