"""Which addresses a request may reach, so that no redirect and no name server can lead it into an inner network."""

import socket
import unicodedata
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Self
from urllib.parse import unquote

from etl.conf import conf
from etl.exceptions import SourceError
from etl.http.addresses import find_host
from etl.http.request import Request
from etl.vocabulary import Reason

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


def _list_networks(*texts: str) -> tuple[Network, ...]:
    return tuple(ip_network(text) for text in texts)


FORBIDDEN = _list_networks(
    "169.254.0.0/16",  # link-local: the metadata services of most clouds
    "fe80::/10",
    "100.100.100.200/32",  # metadata: Alibaba
    "168.63.129.16/32",  # Azure
    "192.0.0.192/32",  # Oracle
    "fd00:ec2::/32",  # AWS
    "fd20:ce::254/128",  # Google
    "fd00:42::42/128",  # Scaleway
    "fd00:a9fe:a9fe::1/128",  # Akamai
)
"""Credentials of the machine are served there. No source is, so nothing allows these addresses."""

METADATA_NAMES = frozenset(
    {"metadata", "metadata.google.internal", "metadata.goog", "instance-data", "instance-data.ec2.internal"}
)
"""For requests through a proxy, which resolves names itself."""

LOCAL_NAMES = ("localhost", "local", "internal", "lan", "home", "corp", "intranet", "private", "test", "home.arpa")
"""Ends of names that no public name server has."""

_TRANSLATED = _list_networks("::ffff:0:0/96", "::ffff:0:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48", "::/96")
"""IPv6 addresses that end with the IPv4 address that they wrap: mapped, SIIT, NAT64, compatible."""

_GLOBAL_UNICAST = IPv6Network("2000::/3")
_ISATAP = (0x0000_5EFE, 0x0200_5EFE)


def read_address(host: str) -> Address | None:
    """Return the address if the host is one, in any spelling that a resolver takes: 0xa9fea9fe, 2852039166, [::1]."""
    text = unicodedata.normalize("NFKC", unquote(host)).replace("。", ".").strip("[]").rstrip(".")
    with suppress(ValueError):
        return ip_address(text)
    with suppress(ValueError, OSError):
        return IPv4Address(socket.inet_aton(text))
    return None


def _find_meant(address: Address) -> Iterator[Address]:
    """Yield the address and every IPv4 address that it wraps."""
    yield address
    if isinstance(address, IPv4Address):
        return
    low = int(address) & 0xFFFF_FFFF
    is_isatap = int(address) >> 32 & 0xFFFF_FFFF in _ISATAP
    is_special = address.is_loopback or address.is_unspecified
    if is_isatap or (any(address in network for network in _TRANSLATED) and not is_special):
        yield IPv4Address(low)
    if address.sixtofour is not None:
        yield address.sixtofour
    if address.teredo is not None:
        yield address.teredo[1]


def _is_public(address: Address) -> bool:
    if isinstance(address, IPv4Address):
        return address.is_global and not address.is_multicast
    if any(address in network for network in _TRANSLATED[:-1]):
        return True  # the IPv4 address that it wraps decides
    return address in _GLOBAL_UNICAST and address.is_global


def _name_kind(address: Address) -> str:
    kinds = ("unspecified", "loopback", "multicast", "reserved", "private")
    return next((kind for kind in kinds if getattr(address, f"is_{kind}")), "not public")


def _is_local_name(host: str) -> bool:
    return "." not in host or host.endswith(tuple(f".{end}" for end in LOCAL_NAMES))


def _normalize(host: str) -> str:
    """Return the host in the spelling in which requests connects to it, so that two spellings of one are equal."""
    address = read_address(host)
    if address is not None:
        return str(address)
    name = host.lower().rstrip(".")
    with suppress(UnicodeError):
        return name.encode("idna").decode()
    return name


@dataclass(frozen=True, slots=True)
class Peers:
    """The peers that one request and its redirects may reach: public ones, the source's own host, ETL_HTTP_ALLOW.

    The source's own host may be private if the source names it by number, by a name that no public name server has
    (`LOCAL_NAMES`, or a name without a dot), or with https, where its certificate proves the name. By http, a public
    name could be made to lead anywhere by those who serve it.
    """

    request: Request
    own_host: str
    hosts: frozenset[str]
    networks: tuple[Network, ...]

    @classmethod
    def of(cls, request: Request) -> Self:
        """Return the peers of this request, by today's settings."""
        networks, hosts = [], set()
        for item in conf.ETL_HTTP_ALLOW:
            try:
                networks.append(ip_network(item))
            except ValueError:
                hosts.add(_normalize(item))
        return cls(request, _normalize(find_host(request.url)), frozenset(hosts), tuple(networks))

    def find_refusal(self, host: str, address: Address, *, is_secure: bool) -> str | None:
        """Return why the host may not be reached at this address, or None if it may."""
        meant = tuple(_find_meant(address))
        for one in meant:
            if any(one in network for network in FORBIDDEN):
                kind = "link-local or a cloud's metadata service"
                return f"{self._describe(host, one)} is {kind}, which ETL_HTTP_ALLOW can't allow"
        inner = [one for one in meant if not _is_public(one) and not any(one in network for network in self.networks)]
        if not inner or self._is_named(_normalize(host), is_secure=is_secure):
            return None
        kind = _name_kind(inner[-1])
        allow = "If the source is meant to read there, name the host or its network in ETL_HTTP_ALLOW"
        return f"{self._describe(host, inner[-1])} is {kind}. {allow}"

    def refuse(self, why: str) -> SourceError:
        """Return the error for a host that may not be reached."""
        return SourceError(f"{self.request.location} is not read: {why}.", Reason.SOURCE_REFUSED)

    def check_behind_proxy(self, host: str) -> None:
        """Raise SourceError if a proxy may not be asked for this host: an address, or one of a few names."""
        name, address = host.lower().rstrip("."), read_address(host)
        if address is None and name in METADATA_NAMES:
            address = IPv4Address("169.254.169.254")
        elif address is None and (name == "localhost" or name.endswith(".localhost")):
            address = IPv4Address("127.0.0.1")
        if address is not None and (why := self.find_refusal(host, address, is_secure=False)):
            raise self.refuse(why)

    def _is_named(self, host: str, *, is_secure: bool) -> bool:
        """Whether the host may be reached at any address that is not forbidden."""
        if host in self.hosts:
            return True
        is_provable = is_secure or read_address(host) is not None or _is_local_name(host)
        return host == self.own_host and is_provable

    def _describe(self, host: str, address: Address) -> str:
        shown = self.request.mask(host)
        return shown if _normalize(host) == str(address) else f"{shown} ({address})"
