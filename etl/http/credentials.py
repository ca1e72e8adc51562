"""Credentials that a source declares. They are asked for at each attempt, and added to the request just before it."""

import base64
import hashlib
import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol
from urllib.parse import urlencode, urlsplit, urlunsplit

from etl.exceptions import RunError, SourceError, describe_place
from etl.http.request import Request
from etl.vocabulary import Reason

SHARE_OF_LIFE = 0.8
"""A token is renewed when this share of its life has passed: a request may take a while."""
DEFAULT_LIFE_SECONDS = 300.0
"""How long a token lives whose server does not say it."""
FORM = "application/x-www-form-urlencoded"


class Lazy(Protocol):
    """A value that is read when it is used, such as `setting("TRACKER_TOKEN")`."""

    def read(self) -> str: ...


Value = str | Lazy
Ask = Callable[[Request], bytes]
"""Sends a request for a token, and returns the body of the response. Raises SourceError."""


class Credentials(Protocol):
    """Adds credentials to a request."""

    def sign(self, request: Request, ask: Ask) -> Request:
        """Return the request with its credentials. Raises SourceError if there are none to be had."""

    def renew(self, refused: Request) -> bool:
        """Forget the token of this request, which the server refused. Returns whether another one may be accepted."""


def _read(value: Value) -> str:
    return value if isinstance(value, str) else value.read()


def _add_header(request: Request, name: str, value: str) -> Request:
    return replace(request, headers={**request.headers, name: value})


class _Fixed:
    """Credentials that stay the same."""

    __slots__ = ()

    def renew(self, refused: Request) -> bool:
        return False


@dataclass(frozen=True, slots=True)
class Bearer(_Fixed):
    """`Authorization: Bearer TOKEN`."""

    token: Value = field(repr=False)

    def sign(self, request: Request, ask: Ask) -> Request:
        return _add_header(request, "Authorization", f"Bearer {_read(self.token)}")


@dataclass(frozen=True, slots=True)
class Basic(_Fixed):
    """User and password by HTTP Basic."""

    user: Value = field(repr=False)
    password: Value = field(repr=False)

    def sign(self, request: Request, ask: Ask) -> Request:
        return _add_header(request, "Authorization", _encode_basic(_read(self.user), _read(self.password)))


@dataclass(frozen=True, slots=True)
class Key(_Fixed):
    """A key in a header (`Key(…, header="X-Api-Key")`) or in the query (`Key(…, query="api_key")`)."""

    value: Value = field(repr=False)
    header: str = ""
    query: str = ""

    def __post_init__(self) -> None:
        if bool(self.header) == bool(self.query):
            raise ValueError('Key needs either header="…" or query="…": the name under which the key is sent.')

    def sign(self, request: Request, ask: Ask) -> Request:
        if self.header:
            return _add_header(request, self.header, _read(self.value))
        return replace(request, url=add_to_query(request.url, {self.query: _read(self.value)}))


@dataclass(frozen=True, slots=True)
class Own(_Fixed):
    """The headers that a source's own code returns."""

    give: Callable[[], Mapping[str, str]]

    def sign(self, request: Request, ask: Ask) -> Request:
        try:
            headers = {str(name): "" if value is None else str(value) for name, value in self.give().items()}
        except RunError:
            raise
        except Exception as error:  # noqa: BLE001  (own code may raise anything; its text may contain a key)
            text = (
                f"{request.location}: the source's own auth raised {type(error).__name__} in {describe_place(error)}."
            )
            raise SourceError(text, Reason.SOURCE_REFUSED) from None
        return replace(request, headers={**request.headers, **headers})

    def renew(self, refused: Request) -> bool:
        return True


@dataclass(frozen=True, slots=True)
class ClientCredentials:
    """A token by OAuth 2 client credentials (RFC 6749 §4.4), renewed at 80 % of its life and once after a 401.

    With `in_body` the client's id and secret are sent in the form, for servers that take no HTTP Basic. A token is kept
    only in the memory of the process, for all sources that have these credentials.
    """

    url: str
    client_id: Value = field(repr=False)
    client_secret: Value = field(repr=False)
    scope: str = ""
    in_body: bool = False

    def sign(self, request: Request, ask: Ask) -> Request:
        kept = self._find_kept()
        with kept.lock:
            if kept.token is None or time.monotonic() >= kept.token.renewed_at:
                kept.token = self._ask_for_token(ask)
            return _add_header(request, "Authorization", kept.token.header)

    def renew(self, refused: Request) -> bool:
        kept = self._find_kept()
        with kept.lock:  # another thread may have renewed the token since
            if kept.token is not None and kept.token.header == refused.headers.get("Authorization"):
                kept.token = None
        return True

    def _find_kept(self) -> "_Kept":
        values = (self.url, _read(self.client_id), _read(self.client_secret), self.scope)
        with _lock:
            return _kept.setdefault(hashlib.sha256(repr(values).encode()).digest(), _Kept())

    def _ask_for_token(self, ask: Ask) -> "_Token":
        client_id, client_secret = _read(self.client_id), _read(self.client_secret)
        form = {"grant_type": "client_credentials"} | ({"scope": self.scope} if self.scope else {})
        headers = {"Accept": "application/json", "Content-Type": FORM}
        if self.in_body:
            form |= {"client_id": client_id, "client_secret": client_secret}
        else:
            headers["Authorization"] = _encode_basic(client_id, client_secret)
        request = Request(self.url, headers, secrets=(client_secret,), body=urlencode(form).encode())
        return _read_token(ask(request), request.location)


@dataclass(frozen=True, slots=True)
class _Token:
    header: str = field(repr=False)
    renewed_at: float


@dataclass(slots=True)
class _Kept:
    """The token of certain credentials. The lock is held while it is asked for, so that only one thread asks."""

    token: _Token | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)


_kept: dict[bytes, _Kept] = {}
_lock = threading.Lock()


def _read_token(body: bytes, location: str) -> _Token:
    try:
        answer = json.loads(body)
        token = answer["access_token"]
        life = float(answer.get("expires_in") or DEFAULT_LIFE_SECONDS)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        token, life = None, 0.0
    if not isinstance(token, str) or not token.isprintable() or not token:
        raise SourceError(f"{location} sent no usable access_token.", Reason.SOURCE_REFUSED)
    return _Token(f"Bearer {token}", time.monotonic() + SHARE_OF_LIFE * life)


def _encode_basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def add_to_query(url: str, parameters: Mapping[str, str]) -> str:
    """Return the URL with these parameters at the end of its query, in place of those of the same name."""
    parts = urlsplit(url)
    names = {urlencode({name: ""}) for name in parameters}
    kept = [pair for pair in parts.query.split("&") if pair and pair.partition("=")[0] + "=" not in names]
    return urlunsplit(parts._replace(query="&".join([*kept, urlencode(parameters)])))


def choose_credentials(declared: object) -> Credentials | None:
    """Return the credentials that a source's `auth` stands for: its own method, credentials as they are, or None."""
    if declared is None or (hasattr(declared, "sign") and not isinstance(declared, type)):
        return declared  # type: ignore[return-value]
    if callable(declared) and not isinstance(declared, type):
        return Own(declared)
    raise TypeError("auth is Bearer(…), Basic(…), Key(…), ClientCredentials(…), or a method that returns headers.")
