"""Surroundings of a request: a server with TLS, and name resolution that a test decides."""

import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.http.raw_server import Answer, RawServer

CERTIFICATE = Path(__file__).parent / "throw_away.pem"
"""Key and certificate for 127.0.0.1, localhost and erp.example, made for these tests only."""


class TlsServer(RawServer):
    """A RawServer with TLS. The fixture `trust` makes clients accept its certificate."""

    def __init__(self, *answers: Answer) -> None:
        super().__init__(*answers)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(CERTIFICATE)
        self.listener = context.wrap_socket(self.listener, server_side=True)
        self.origin = self.origin.replace("http:", "https:")


class Names:
    """Name resolution as a test decides; a list of answers is given one by one, and the last one stays."""

    def __init__(self) -> None:
        self.addresses: dict[str, list[tuple[str, ...]]] = {}
        self.asked: list[str] = []
        self.resolve: Callable[..., Any] = socket.getaddrinfo

    def lead(self, name: str, *answers: tuple[str, ...]) -> None:
        """Let the name resolve to the addresses of each answer."""
        self.addresses[name] = list(answers)

    def getaddrinfo(self, host: str, port: int, *arguments: Any, **options: Any) -> list[Any]:
        self.asked.append(host)
        answers = self.addresses.get(host, [(host,)])
        addresses = answers.pop(0) if len(answers) > 1 else answers[0]
        return [info for address in addresses for info in self.resolve(address, port, *arguments, **options)]
