"""Fixtures for requests: trust, name resolution, proxies, a `.netrc`."""

import socket
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.http.raw_server import RawServer
from tests.http.surroundings import CERTIFICATE, Names


@pytest.fixture
def trust(monkeypatch: pytest.MonkeyPatch) -> None:
    """Accept the certificate of a TlsServer."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(CERTIFICATE))


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    """Decide how names are resolved."""
    names = Names()
    monkeypatch.setattr(socket, "getaddrinfo", names.getaddrinfo)
    return names


@pytest.fixture
def proxies(monkeypatch: pytest.MonkeyPatch) -> Callable[[RawServer], None]:
    """Send the requests through a proxy, by http and by https."""

    def use(server: RawServer) -> None:
        for name in ("http_proxy", "https_proxy"):
            monkeypatch.setenv(name, server.origin)
        for name in ("no_proxy", "NO_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.delenv(name, raising=False)

    return use


@pytest.fixture
def netrc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Mapping[str, str]], None]:
    """Write a `.netrc` with a password for each machine."""

    def write(passwords: Mapping[str, str]) -> None:
        path = tmp_path / "netrc"
        path.write_text("".join(f"machine {name} login me password {word}\n" for name, word in passwords.items()))
        path.chmod(0o600)
        monkeypatch.setenv("NETRC", str(path))

    return write
