"""Which peers a source's requests may reach: no redirect, name server or proxy leads them into an inner network."""

import re
import socket
from collections.abc import Callable

import pytest
from pytest_django.fixtures import Settings

from etl.exceptions import SourceError
from etl.http.peers import Peers, read_address
from etl.http.request import Request
from etl.vocabulary import Reason
from tests.fakes import RecordingContext
from tests.http.raw_server import KEY, LIST, RawServer, answer, get, get_body, redirect
from tests.http.surroundings import Names, TlsServer

METADATA = [
    "169.254.169.254",
    "[::ffff:169.254.169.254]",
    "[64:ff9b::169.254.169.254]",
    "[64:ff9b:1::169.254.169.254]",
    "[2002:a9fe:a9fe::]",
    "[::169.254.169.254]",
    "[::ffff:0:169.254.169.254]",
    "[2606:4700::5efe:169.254.169.254]",
    "2852039166",
    "0xa9fea9fe",
    "0xA9.0xFE.0xA9.0xFE",
    "0251.0376.0251.0376",
    "169.254.43518",
    "169.254.169.254.",
    "%31%36%39.254.169.254",
    "①⑥⑨。254.169.254",
    "169.254.170.23",
    "[fe80::1]",
    "[fe80::1%25eth0]",
    "[fd00:ec2::254]",
    "100.100.100.200",
    "168.63.129.16",
]
INNER = {
    "10.0.0.1": "private",
    "172.16.0.1": "private",
    "192.168.1.1": "private",
    "100.64.0.1": "not public",
    "127.0.0.2": "loopback",
    "2130706434": "loopback",
    "[::1]": "loopback",
    "[::ffff:127.0.0.1]": "loopback",
    "[::ffff:10.0.0.1]": "private",
    "[2002:a00:1::]": "private",
    "[64:ff9b::10.0.0.1]": "private",
    "0": "unspecified",
    "[::]": "unspecified",
    "224.0.0.1": "multicast",
    "[ff02::1]": "multicast",
    "255.255.255.255": "reserved",
    "[fd12::1]": "private",
    "[fec0::1]": "not public",
}
PUBLIC = ["8.8.8.8", "[2606:4700::1111]", "[::ffff:8.8.8.8]", "[64:ff9b::8.8.8.8]", "[2002:808:808::1]"]


def find_refusal(host: str, own: str = "feeds.example") -> str | None:
    address = read_address(host)
    assert address is not None
    return Peers.of(Request(f"http://{own}/list")).find_refusal(host, address, is_secure=False)


@pytest.mark.parametrize("host", METADATA)
def test_metadata_and_link_local_addresses_are_refused_in_any_spelling(host: str, settings: Settings) -> None:
    settings.ETL_HTTP_ALLOW = ["0.0.0.0/0", "::/0", host]
    assert "ETL_HTTP_ALLOW can't allow" in str(find_refusal(host, own=host))


@pytest.mark.parametrize("host", INNER)
def test_addresses_that_are_not_public_are_refused_in_any_spelling(host: str) -> None:
    assert f"is {INNER[host]}." in str(find_refusal(host))


@pytest.mark.parametrize("host", PUBLIC)
def test_public_addresses_are_reached(host: str) -> None:
    assert find_refusal(host) is None


@pytest.mark.parametrize(
    "target",
    [
        "http://169.254.169.254/latest/meta-data/",
        "http://[::ffff:169.254.169.254]/",
        "http://2852039166/",
        "http://10.0.0.1/",
        "http://metadata.google.internal/",
        "//169.254.169.254/",
    ],
)
def test_no_redirect_leads_to_a_refused_address(target: str, names: Names) -> None:
    names.lead("metadata.google.internal", ("169.254.169.254",))
    watch = RecordingContext()
    with RawServer(redirect(target)) as server, pytest.raises(SourceError, match="ETL_HTTP_ALLOW") as caught:
        get(server.origin, watch)
    assert caught.type is SourceError
    assert caught.value.reason is Reason.SOURCE_REFUSED
    assert (len(server.requests), watch.notes) == (1, [])


@pytest.mark.parametrize("spelling", ["localhost", "inner.example", "[::ffff:127.0.0.1]"])
def test_the_target_of_a_redirect_gets_no_byte_before_its_address_is_checked(spelling: str, names: Names) -> None:
    names.lead("localhost", ("127.0.0.1",))
    names.lead("inner.example", ("127.0.0.1",))
    with RawServer(answer()) as other:
        target = other.origin.replace("127.0.0.1", spelling)
        with RawServer(redirect(target)) as server, pytest.raises(SourceError, match="is loopback"):
            get(server.origin)
    assert other.requests == []


def test_each_redirect_is_checked(names: Names) -> None:
    names.lead("inner.example", ("127.0.0.1",))
    with RawServer(answer()) as other, RawServer() as server:
        target = other.origin.replace("127.0.0.1", "inner.example")
        server.answers += [redirect("/one"), redirect("/two"), redirect(target)]
        with pytest.raises(SourceError, match="is loopback"):
            get(server.origin)
    assert (len(server.requests), other.requests) == (3, [])


def test_a_source_reads_from_its_own_private_host_and_redirects_within_it() -> None:
    with RawServer(answer()) as other, RawServer(redirect(other.origin)) as server:
        assert get_body(server.origin) == LIST


@pytest.mark.parametrize("name", ["localhost", "sandbox", "inventory.internal", "nas.local"])
def test_a_source_reads_from_a_host_whose_name_no_public_server_has(name: str, names: Names) -> None:
    names.lead(name, ("127.0.0.1",))
    with RawServer(answer()) as server:
        assert get_body(server.origin.replace("127.0.0.1", name)) == LIST


def test_a_host_may_be_declared_and_allowed_in_its_own_script(names: Names, settings: Settings) -> None:
    settings.ETL_HTTP_ALLOW = ["Bücher.example"]
    names.lead("xn--bcher-kva.example", ("127.0.0.1",))
    names.lead("xn--bcher-kva.internal", ("127.0.0.1",))
    with RawServer(answer()) as server:
        for name in ("bücher.example", "bücher.internal"):
            assert get_body(server.origin.replace("127.0.0.1", name)) == LIST


def test_a_public_name_does_not_lead_to_a_private_address(names: Names) -> None:
    names.lead("feeds.example", ("127.0.0.1",))
    with RawServer(answer()) as server, pytest.raises(SourceError) as caught:
        get(server.origin.replace("127.0.0.1", f"user:{KEY}@feeds.example") + f"/?key={KEY}")
    port = server.origin.rpartition(":")[2]
    assert str(caught.value) == (
        f"http://feeds.example:{port}/ is not read: feeds.example (127.0.0.1) is loopback. If the source is meant to"
        " read there, name the host or its network in ETL_HTTP_ALLOW."
    )
    assert server.requests == []


@pytest.mark.usefixtures("trust")
def test_over_tls_a_public_name_may_lead_to_a_private_address_because_its_certificate_proves_it(names: Names) -> None:
    names.lead("erp.example", ("127.0.0.1",))
    with TlsServer(answer()) as server:
        assert get_body(server.origin.replace("127.0.0.1", "erp.example")) == LIST


@pytest.mark.parametrize("allowed", ["feeds.example", "Feeds.Example.", "127.0.0.1", "127.0.0.0/8"])
def test_etl_http_allow_names_hosts_addresses_and_networks(allowed: str, names: Names, settings: Settings) -> None:
    settings.ETL_HTTP_ALLOW = ["10.0.0.0/8", allowed]
    names.lead("feeds.example", ("127.0.0.1",))
    with RawServer(answer()) as server:
        assert get_body(server.origin.replace("127.0.0.1", "feeds.example")) == LIST


def test_etl_http_allow_holds_for_redirects(settings: Settings, names: Names) -> None:
    settings.ETL_HTTP_ALLOW = ["localhost"]
    names.lead("localhost", ("127.0.0.1",))
    with RawServer(answer()) as other, RawServer(redirect(other.origin.replace("127.0.0.1", "localhost"))) as server:
        assert get_body(server.origin) == LIST


def test_the_address_that_was_checked_is_the_one_that_is_reached(names: Names, settings: Settings) -> None:
    settings.ETL_HTTP_ALLOW = ["127.0.0.1"]
    names.lead("feeds.example", ("127.0.0.1",), ("10.0.0.1",))
    with RawServer(answer()) as server:
        assert get_body(server.origin.replace("127.0.0.1", "feeds.example")) == LIST
    assert names.asked == ["feeds.example"]


def test_of_several_addresses_those_that_are_permitted_are_tried(names: Names, settings: Settings) -> None:
    settings.ETL_HTTP_ALLOW = ["127.0.0.1"]
    names.lead("feeds.example", ("169.254.169.254", "10.0.0.1", "127.0.0.1"))
    with RawServer(answer()) as server:
        assert get_body(server.origin.replace("127.0.0.1", "feeds.example")) == LIST


# --- https stays https ----------------------------------------------------------------------------
@pytest.mark.usefixtures("trust")
def test_no_redirect_leads_from_https_to_http() -> None:
    cause = "redirects from https to an address of 127.0.0.1 without TLS"
    with (
        RawServer(answer()) as other,
        TlsServer(redirect(other.origin)) as server,
        pytest.raises(SourceError, match=re.escape(cause)) as caught,
    ):
        get(server.origin)
    assert caught.value.reason is Reason.SOURCE_REFUSED
    assert (len(server.requests), other.requests) == (1, [])


@pytest.mark.usefixtures("trust")
def test_a_redirect_leads_from_http_to_https() -> None:
    with TlsServer(answer()) as other, RawServer(redirect(other.origin)) as server:
        assert get_body(server.origin) == LIST


# --- proxies --------------------------------------------------------------------------------------
UseProxy = Callable[[RawServer], None]


def test_a_proxy_may_be_anywhere_and_resolves_names_itself(proxies: UseProxy, names: Names) -> None:
    with RawServer(answer()) as proxy:
        proxies(proxy)
        assert get_body("http://feeds.example/list") == LIST
    assert proxy.requests[0].startswith("GET http://feeds.example/list HTTP/1.1\r\n")
    assert names.asked == ["127.0.0.1"]


@pytest.mark.parametrize(
    "target",
    [
        "http://169.254.169.254/",
        "http://2852039166/",
        "http://[::ffff:10.0.0.1]/",
        "http://localhost:8000/",
        "http://METADATA.google.internal./",
        "https://10.0.0.1/",
    ],
)
def test_a_proxy_is_not_asked_for_a_refused_address(target: str, proxies: UseProxy) -> None:
    with RawServer(redirect(target)) as proxy:
        proxies(proxy)
        with pytest.raises(SourceError, match="ETL_HTTP_ALLOW") as caught:
            get("http://feeds.example/list")
    assert caught.value.reason is Reason.SOURCE_REFUSED
    assert len(proxy.requests) == 1


def test_a_source_whose_own_host_is_private_is_read_through_a_proxy(proxies: UseProxy) -> None:
    with RawServer(answer()) as proxy:
        proxies(proxy)
        assert get_body("http://10.0.0.1/list") == LIST


def test_a_socks_proxy_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "socks5://127.0.0.1:1080")
    monkeypatch.setenv("no_proxy", "")
    with pytest.raises(SourceError, match="InvalidProxyURL"):
        get("http://feeds.example/list")


def test_a_proxy_that_refuses_is_named_as_the_cause(proxies: UseProxy, settings: Settings) -> None:
    settings.ETL_HTTP_RETRIES = 0
    with RawServer(answer(status="407 Proxy Authentication Required")) as proxy:
        proxies(proxy)
        with pytest.raises(SourceError, match="the proxy responded with 407 Proxy Authentication Required"):
            get("https://feeds.example/list")


def test_a_name_without_an_address_is_retried(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
    def fail(*arguments: object, **options: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    watch = RecordingContext()
    with pytest.raises(SourceError, match="Name or service not known"):
        get("http://feeds.example/list", watch)
    assert len(watch.notes) == settings.ETL_HTTP_RETRIES
