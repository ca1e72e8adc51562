"""The client's address behind proxies: X-Forwarded-For and -Proto are believed only from TRUSTED_PROXIES."""

import ipaddress
from functools import cache

from django.http import HttpRequest

from api.conf import conf

_FORWARDED = ("HTTP_X_FORWARDED_FOR", "HTTP_X_FORWARDED_PROTO", "HTTP_X_FORWARDED_HOST", "HTTP_FORWARDED")


def apply_forwarded(request: HttpRequest) -> None:
    """Apply the client's address and scheme; drop the headers of proxies that are not trusted."""
    forwarded = {name: request.META.pop(name) for name in _FORWARDED if name in request.META}
    if not forwarded or not conf.TRUSTED_PROXIES or not _is_trusted(request.META.get("REMOTE_ADDR", "")):
        return
    hops = [hop.strip() for hop in forwarded.get("HTTP_X_FORWARDED_FOR", "").split(",") if hop.strip()]
    for hop in reversed(hops):
        if not _is_address(hop):
            break
        request.META["REMOTE_ADDR"] = hop
        if not _is_trusted(hop):
            break
    if forwarded.get("HTTP_X_FORWARDED_PROTO", "").strip().lower() == "https":
        request.META["wsgi.url_scheme"] = "https"
        request.META["HTTP_X_FORWARDED_PROTO"] = "https"


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _is_trusted(text: str) -> bool:
    return _is_address(text) and any(
        ipaddress.ip_address(text) in _parse_network(network) for network in conf.TRUSTED_PROXIES
    )


@cache
def _parse_network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    return ipaddress.ip_network(text)
