"""Relays: TCP ports through which a process reaches the servers of a test, which often listen on unix sockets only."""

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode

import redis
from django.conf import settings
from django.db import connection

Address = str | tuple[str, int]
"""The path of a unix socket, or host and port."""

LOCALHOST = "127.0.0.1"
RESET_AT_CLOSE = struct.pack("ii", 1, 0)


@dataclass
class Relay:
    """Forwards connections from its port to a server, in threads of this process. `sent` is what clients have sent."""

    target: Address
    listener: socket.socket
    sent: bytearray = field(default_factory=bytearray)
    pairs: list[tuple[socket.socket, socket.socket]] = field(default_factory=list)
    pumps: list[threading.Thread] = field(default_factory=list)

    @property
    def port(self) -> int:
        return int(self.listener.getsockname()[1])

    def accept(self) -> None:
        """Accept connections until the listener is closed."""
        with suppress(OSError):
            while True:
                self._forward(self.listener.accept()[0])

    def _forward(self, client: socket.socket) -> None:
        server = socket.socket(socket.AF_UNIX if isinstance(self.target, str) else socket.AF_INET)
        self.pairs.append((client, server))
        server.connect(self.target)
        for ends in ((client, server, self.sent), (server, client, bytearray())):
            self.pumps.append(threading.Thread(target=pump, args=ends, daemon=True))
            self.pumps[-1].start()

    def forget(self) -> None:
        """Drop all connections as a restarted server does: each client gets one reset, if packets arrive."""
        for client, server in self.pairs:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_AT_CLOSE)
            for end in (client, server):  # this wakes their threads
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
        for thread in self.pumps:
            thread.join()
        for client, server in self.pairs:
            client.close()
            server.close()
        self.pairs.clear()
        self.pumps.clear()


def pump(source: socket.socket, sink: socket.socket, copied: bytearray) -> None:
    """Copy bytes until one end closes, and add them to `copied`."""
    with suppress(OSError):
        while data := source.recv(65536):
            copied += data
            sink.sendall(data)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


@contextmanager
def relaying(target: Address, host: str = LOCALHOST) -> Iterator[Relay]:
    """A relay on a free port of this host."""
    with socket.create_server((host, 0)) as listener:
        relay = Relay(target, listener)
        thread = threading.Thread(target=relay.accept, daemon=True)
        thread.start()
        try:
            yield relay
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
            relay.forget()


def find_postgresql() -> Address:
    """The address of the server with this test's database."""
    parameters = connection.get_connection_params()
    host, port = str(parameters.get("host", LOCALHOST)), str(parameters.get("port", 5432))
    return f"{host}/.s.PGSQL.{port}" if host.startswith("/") else (host, int(port))


def find_redis(url: str = "") -> Address:
    """The address in a Redis URL; by default that of the test run's Redis."""
    found: dict[str, Any] = redis.connection.parse_url(url or settings.REDIS_URL)  # type: ignore[no-untyped-call]
    return found["path"] if "path" in found else (found.get("host", LOCALHOST), int(found.get("port", 6379)))


def make_database_url(relay: Relay, host: str = LOCALHOST, **parameters: int) -> str:
    """The URL of this test's database through the relay."""
    values = connection.settings_dict
    user = quote(values["USER"]) + (f":{quote(values['PASSWORD'])}" if values["PASSWORD"] else "")
    query = f"?{urlencode(parameters)}" if parameters else ""
    return f"postgresql://{user}@{host}:{relay.port}/{values['NAME']}{query}"


def make_redis_url(relay: Relay, host: str = LOCALHOST) -> str:
    """The URL of a Redis through the relay."""
    return f"redis://{host}:{relay.port}/0"
