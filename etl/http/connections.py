"""Connections of one attempt: to checked addresses only, and shut down at the deadline, directly or through a proxy."""

import http.client
import queue
import socket
import threading
from functools import partial
from typing import Any

import urllib3
from requests import PreparedRequest
from requests.adapters import HTTPAdapter
from requests.exceptions import InvalidProxyURL
from requests.utils import select_proxy
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError

from etl.http.addresses import find_host
from etl.http.peers import Peers, read_address
from etl.socket_deadlines import Deadline, Duplicate

MOST_INTERIM_RESPONSES = 100

AddressInfo = tuple[Any, ...]
"""What getaddrinfo returns: family, type, protocol, canonical name, address."""


class _Guarded:
    """Opens the socket of a connection: resolved, checked and connected within the deadline.

    The socket is covered by the deadline before a byte is sent, so also while a proxy answers CONNECT and during the
    TLS handshake.
    """

    is_secure = False
    _dns_host: str
    host: str
    port: int
    proxy: Any
    timeout: Any
    socket_options: Any

    def __init__(self, *arguments: Any, deadline: Deadline, peers: Peers, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.deadline = deadline
        self.peers = peers

    def _new_conn(self) -> socket.socket:
        """Replace urllib3's method, which resolves and connects without a check."""
        try:
            found = resolve(self._dns_host, self.port, self._limit())
            return self._connect(found if self.proxy else self._choose(found))
        except socket.gaierror as error:
            raise NameResolutionError(self.host, self, error) from error  # type: ignore[arg-type]
        except TimeoutError as error:
            raise ConnectTimeoutError(self, "timed out") from error
        except OSError as error:
            raise NewConnectionError(self, str(error)) from error  # type: ignore[arg-type]

    def _limit(self) -> float:
        """Return the seconds that the next step may take. Raises TimeoutError if none are left."""
        seconds = min(self.timeout, self.deadline.seconds_left)
        if seconds <= 0:
            raise TimeoutError
        return float(seconds)

    def _choose(self, found: list[AddressInfo]) -> list[AddressInfo]:
        """Return the addresses that may be reached. Raises SourceError if there is none."""
        permitted, refusals = [], []
        for info in found:
            address = read_address(str(info[4][0]))
            assert address is not None
            why = self.peers.find_refusal(self.host, address, is_secure=self.is_secure)
            permitted += [] if why else [info]
            refusals += [why] if why else []
        if refusals and not permitted:
            raise self.peers.refuse(refusals[0])
        return permitted

    def _connect(self, found: list[AddressInfo]) -> socket.socket:
        failure: OSError = OSError("the name has no address")
        for family, kind, protocol, _, address in found:
            connection = socket.socket(family, kind, protocol)
            try:
                for option in self.socket_options or ():
                    connection.setsockopt(*option)
                connection.settimeout(self._limit())
                connection.connect(address)
                # Not earlier: only a connected socket can be shut down.
                self.deadline.cover(Duplicate(connection.fileno()))
                connection.settimeout(self.timeout)
                return connection
            except OSError as error:
                connection.close()
                failure = error
        raise failure


class FinalResponse(http.client.HTTPResponse):
    """The response after all interim ones. The parent skips a 100 only, and takes `103 Early Hints` for the answer."""

    def begin(self) -> None:
        super().begin()
        skipped = 0
        while 100 <= self.status < 200 and self.status != http.HTTPStatus.SWITCHING_PROTOCOLS:
            skipped += 1
            if skipped > MOST_INTERIM_RESPONSES:
                raise http.client.HTTPException("too many interim responses")
            self.headers = self.msg = None  # type: ignore[assignment]
            super().begin()


class _Connection(_Guarded, urllib3.connection.HTTPConnection):
    """A guarded connection."""

    response_class = FinalResponse


class _TlsConnection(_Guarded, urllib3.connection.HTTPSConnection):
    """A guarded connection with TLS."""

    is_secure = True
    response_class = FinalResponse


class GuardedAdapter(HTTPAdapter):
    """Opens guarded connections. Does not retry."""

    def __init__(self, deadline: Deadline, peers: Peers) -> None:
        super().__init__(max_retries=0)
        self.deadline = deadline
        self.peers = peers

    def get_connection_with_tls_context(
        self, request: PreparedRequest, verify: Any, proxies: Any = None, cert: Any = None
    ) -> Any:
        url = request.url or ""
        if proxy := select_proxy(url, proxies):
            if proxy.lower().startswith("socks"):
                raise InvalidProxyURL("SOCKS")  # its connections are of another class, which nothing guards
            self.peers.check_behind_proxy(find_host(url))
        pool: Any = super().get_connection_with_tls_context(request, verify, proxies, cert)
        kind = _TlsConnection if pool.scheme == "https" else _Connection
        pool.ConnectionCls = partial(kind, deadline=self.deadline, peers=self.peers)
        return pool


def resolve(host: str, port: int, seconds: float) -> list[AddressInfo]:
    """Return the host's addresses. Raises TimeoutError after this time: nothing ends a call of getaddrinfo itself."""
    answers: queue.SimpleQueue[list[AddressInfo] | Exception] = queue.SimpleQueue()

    def ask() -> None:
        try:
            answers.put(list(socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)))
        except Exception as error:  # noqa: BLE001  (any error is raised by the thread that waits)
            answers.put(error)

    threading.Thread(target=ask, name="resolver", daemon=True).start()
    try:
        answer = answers.get(timeout=seconds)
    except queue.Empty:
        raise TimeoutError from None
    if isinstance(answer, Exception):
        raise answer
    return answer
