"""One POST to a webhook: within a deadline, signed, without redirects; its address never gets into a message."""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any
from urllib.parse import unquote, urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.auth import HTTPBasicAuth

from etl.conf import SLACK_PREFIX
from etl.socket_deadlines import Deadline, Duplicate

SECONDS = 10
SLACK_HOSTS = ("hooks.slack.com", "hooks.slack-gov.com")
KEY_LENGTH = 12


@dataclass(frozen=True, slots=True)
class Webhook:
    """An address of ALERT_WEBHOOKS. The address may hold a secret; show `host` and store `key`."""

    address: str
    is_slack: bool

    @property
    def host(self) -> str:
        return urlsplit(self.address).hostname or ""

    @property
    def key(self) -> str:
        """The host and a hash of the address: different for two channels of one host."""
        return f"{self.host} {hashlib.sha256(self.address.encode()).hexdigest()[:KEY_LENGTH]}"


class NotDelivered(Exception):
    """The webhook did not accept the message. The text names host and cause, and holds no secret."""


def parse_webhook(address: str) -> Webhook:
    """Return the webhook of an entry of ALERT_WEBHOOKS."""
    plain = address.removeprefix(SLACK_PREFIX)
    return Webhook(plain, plain != address or (urlsplit(plain).hostname or "") in SLACK_HOSTS)


def post(webhook: Webhook, body: bytes, *, event_id: str, at: datetime, secret: str) -> None:
    """Send the body as JSON. `at` is the time that is signed. Raises NotDelivered unless the response is 2xx."""
    timestamp = str(int(at.timestamp()))
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "kasparro",
        "Kasparro-Id": event_id,
        "Kasparro-Timestamp": timestamp,
        **({"Kasparro-Signature": sign(secret, timestamp, body)} if secret else {}),
    }
    try:
        with Deadline(SECONDS) as deadline, requests.Session() as session:
            for scheme in ("http://", "https://"):
                session.mount(scheme, _Adapter(deadline))
            status = _send(session, webhook, body, headers)
    except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError) as error:
        # Without its cause: the libraries' messages contain the address.
        raise NotDelivered(f"{webhook.host}: {type(error).__name__}") from None
    if not requests.codes.ok <= status < requests.codes.multiple_choices:
        raise NotDelivered(f"{webhook.host}: status {status}")


def sign(secret: str, timestamp: str, body: bytes) -> str:
    """Return the signature that a receiver compares: HMAC-SHA256 of the timestamp, a dot and the body."""
    return f"sha256={hmac.new(secret.encode(), timestamp.encode() + b'.' + body, hashlib.sha256).hexdigest()}"


def _send(session: requests.Session, webhook: Webhook, body: bytes, headers: Mapping[str, str]) -> int:
    parts = urlsplit(webhook.address)
    # With an `auth` of its own, requests does not look for another one in ~/.netrc.
    auth = HTTPBasicAuth(unquote(parts.username), unquote(parts.password or "")) if parts.username else _add_nothing
    with session.post(
        webhook.address, data=body, headers=headers, auth=auth, timeout=SECONDS, allow_redirects=False, stream=True
    ) as response:
        return response.status_code


def _add_nothing(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


class _Plain(urllib3.connection.HTTPConnection):
    """A connection that the deadline shuts down; a timeout would start over with each byte."""

    def __init__(self, *arguments: Any, deadline: Deadline, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.deadline = deadline

    def connect(self) -> None:
        super().connect()
        self.deadline.cover(Duplicate(self.sock.fileno()))


class _Tls(urllib3.connection.HTTPSConnection):
    """Like `_Plain`, over TLS."""

    def __init__(self, *arguments: Any, deadline: Deadline, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.deadline = deadline

    def connect(self) -> None:
        super().connect()
        assert self.sock is not None
        self.deadline.cover(Duplicate(self.sock.fileno()))


class _Adapter(HTTPAdapter):
    def __init__(self, deadline: Deadline) -> None:
        super().__init__(max_retries=0)
        self.deadline = deadline

    def get_connection_with_tls_context(self, *arguments: Any, **options: Any) -> Any:
        pool: Any = super().get_connection_with_tls_context(*arguments, **options)
        pool.ConnectionCls = partial(_Tls if pool.scheme == "https" else _Plain, deadline=self.deadline)
        return pool
