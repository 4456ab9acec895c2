"""The guard: which URLs and addresses may be reached. Nothing here opens a socket."""

from __future__ import annotations

import asyncio
import socket
from ipaddress import IPv4Address, IPv6Address, ip_network

import httpx
import pytest
from aiohttp import AddrInfoType
from aiohttp.abc import AbstractResolver, ResolveResult
from hypothesis import given
from hypothesis import strategies as st

from relay.errors import AddressRefused, NotSent
from relay.http import AddressPolicy, OutgoingTransport
from relay.http.guard import GuardedResolver, Refusal, guarded_socket

STRICT = AddressPolicy()
LOOPBACK = AddressPolicy(allow_networks=(ip_network("127.0.0.0/8"),))
FORBIDDEN = [
    "0.0.0.0",
    "10.1.2.3",
    "100.64.0.1",
    "100.100.100.200",
    "127.0.0.1",
    "168.63.129.16",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.8",
    "192.0.0.192",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:0:127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::808:808",
    "100::1",
    "2001::1",
    "2001:db8::1",
    "2002:7f00:1::",
    "2002:808:808::",
    "3fff::1",
    "4000::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff02::1",
]


class FixedResolver(AbstractResolver):
    """Knows one answer for every name."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = addresses
        self.asked: list[str] = []

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        self.asked.append(host)
        return [
            ResolveResult(hostname=host, host=address, port=port, family=socket.AF_INET, proto=0, flags=0)
            for address in self.addresses
        ]

    async def close(self) -> None:
        pass


def no_socket(address: AddrInfoType) -> socket.socket:
    raise AssertionError(f"a socket was about to be opened to {address[4]}")


@pytest.mark.parametrize("address", FORBIDDEN)
def test_an_address_that_is_not_public_is_refused(address: str) -> None:
    """Every special-purpose range is refused, also inside another notation."""
    assert STRICT.check_address(address, 443) is not None


@pytest.mark.parametrize("address", ["8.8.8.8", "52.1.2.3", "2a00:1450::1", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_a_public_address_is_allowed(address: str) -> None:
    """Public addresses pass, mapped and NAT64 forms of public ones included."""
    assert STRICT.check_address(address, 443) is None


@pytest.mark.parametrize("address", ["127.1", "0x7f.1", "2130706433", "0177.0.0.1", "127.0.0.1.", "", "localhost"])
def test_only_the_plain_form_of_an_address_is_understood(address: str) -> None:
    """What `connect()` would read as an address, but `ipaddress` does not, is refused even with its network allowed."""
    assert LOOPBACK.check_address(address, 443) == "this is not the plain form of an IP address"


@given(inner=st.ip_addresses(v=4), high=st.integers(0, 2**64 - 1))
def test_a_private_address_is_refused_in_every_wrapping(inner: IPv4Address, high: int) -> None:
    """Whatever is private, loopback, link-local or multicast stays refused when an IPv6 address carries it."""
    number = int(inner)
    wrapped = [
        IPv6Address(0xFFFF << 32 | number),
        IPv6Address(number),
        IPv6Address(0x0064FF9B << 96 | number),
        IPv6Address(0x2002 << 112 | number << 80 | high),
        IPv6Address(0x20010000 << 96 | high & ~0xFFFFFFFF | (number ^ 0xFFFFFFFF)),
    ]
    if not inner.is_global or inner.is_multicast:
        assert STRICT.check_address(str(inner), 443)
        assert all(STRICT.check_address(str(address), 443) for address in wrapped)


@given(st.ip_addresses())
def test_nothing_that_python_calls_special_is_allowed(address: IPv4Address | IPv6Address) -> None:
    """The table is never laxer than `ipaddress` itself, NAT64 of a public address aside."""
    if STRICT.check_address(str(address), 443) is None:
        assert address.is_global
        assert not any((address.is_private, address.is_multicast, address.is_link_local, address.is_loopback))


def test_an_allowed_network_opens_exactly_itself() -> None:
    """allow_networks lets its own addresses through, in mapped notation too, and nothing beside them."""
    policy = AddressPolicy(allow_networks=(ip_network("10.1.0.0/16"), ip_network("fd00:1::/32")))
    assert policy.check_address("10.1.255.255", 443) is None
    assert policy.check_address("::ffff:10.1.0.1", 443) is None
    assert policy.check_address("fd00:1::5", 443) is None
    assert policy.check_address("10.2.0.1", 443)
    assert policy.check_address("fd00:2::5", 443)
    assert policy.check_address("64:ff9b::a01:1", 443), "NAT64 of an allowed address is another destination"


def test_a_refusal_says_which_rule_and_how_to_allow_it() -> None:
    """An operator with an on-premises payroll server can act on the text alone."""
    assert STRICT.check_address("10.0.0.7", 443) == (
        "10.0.0.7 is not a public address (private); allow_networks in the target's section lets a network through"
    )
    assert "allow_ports" in (STRICT.check_address("8.8.8.8", 22) or "")
    assert "allow_http" in (STRICT.check_url("http://hooks.example/") or "")


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.example/",
        "ftp://hooks.example/",
        "unix:///run/redis.sock",
        "http+unix://%2Frun%2Fx/",
        "file:///etc/passwd",
        "hooks.example/path",
        "https://",
        "https:///path",
        "https://user@hooks.example/",
        "https://user:pw@hooks.example/",
        "https://@hooks.example/",
        "https://hooks.example:8443/",
        "https://hooks.example:80/",
        "https://hooks.example:0/",
        "https://hooks.example:99999/",
        "https://bücher.example/",
        "https://１２７.0.0.1/",
        "https://ex%61mple.com/",
        "https://hooks.example\\@evil.example/",
        "https://ho oks.example/",
        "https://127.0.0.1/",
        "https://127.1/",
        "https://127.0.0.1./",
        "https://0x7f.1/",
        "https://0x7f000001/",
        "https://2130706433/",
        "https://0177.0.0.1/",
        "https://8.8.8.8./",
        "https://[::1]/",
        "https://[::ffff:127.0.0.1]/",
        "https://[fe80::1%25eth0]/",
        "https://[::1",
        "https://hooks.0x10/",
    ],
)
def test_a_url_that_shows_its_fault_is_refused(url: str) -> None:
    """Scheme, userinfo, host and port are judged before any name is looked up."""
    assert STRICT.check_url(url) is not None


@pytest.mark.parametrize(
    "url",
    [
        "https://hooks.slack.com/services/T0/B0/x",
        "https://prod-1.westeurope.logic.azure.com:443/workflows/a?sig=%2Fx%3D",
        "https://xn--bcher-kva.example/",
        "https://8.8.8.8/",
        "https://[2a00:1450::1]/",
        "https://trailing.example./",
    ],
)
def test_an_ordinary_url_is_allowed(url: str) -> None:
    """What operators paste from Slack, Teams and payroll vendors passes."""
    assert STRICT.check_url(url) is None


def test_ports_follow_the_switches() -> None:
    """443 alone by default; allow_http adds 80; a port in the URL counts for the allow_networks, and only for them."""
    assert AddressPolicy(allow_http=True).check_url("http://hooks.example/") is None
    assert AddressPolicy(allow_ports=frozenset({443, 8443})).check_url("https://hooks.example:8443/") is None
    assert LOOPBACK.check_url("https://payroll.intern:9000/") is None
    assert LOOPBACK.check_address("127.0.0.1", 9000) is None
    assert LOOPBACK.check_address("8.8.8.8", 9000)


async def test_a_name_with_one_forbidden_address_is_refused_whole() -> None:
    """A mixed answer is how rebinding starts: no address of it is used."""
    inner = FixedResolver("8.8.8.8", "10.0.0.1")
    with pytest.raises(Refusal, match=r"10\.0\.0\.1 is not a public address"):
        await GuardedResolver(STRICT, inner).resolve("mixed.example", 443)
    assert len(await GuardedResolver(STRICT, FixedResolver("8.8.8.8", "8.8.4.4")).resolve("fine.example", 443)) == 2


async def test_a_name_without_addresses_does_not_resolve() -> None:
    """An empty answer is an unresolved name, not a fault inside the client library."""
    with pytest.raises(socket.gaierror):
        await GuardedResolver(STRICT, FixedResolver()).resolve("empty.example", 443)


def test_no_socket_exists_for_a_forbidden_address() -> None:
    """The socket factory asks first: a numeric host passes by every resolver."""
    opened: list[AddrInfoType] = []

    def opener(address: AddrInfoType) -> socket.socket:
        opened.append(address)
        return socket.socket()

    factory = guarded_socket(STRICT, opener)
    for address in ("127.0.0.1", "0x7f.1", "169.254.169.254"):
        with pytest.raises(Refusal):
            factory((socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 443)))
    assert opened == []
    factory((socket.AF_INET, socket.SOCK_STREAM, 6, "", ("8.8.8.8", 443))).close()
    assert len(opened) == 1


@pytest.mark.parametrize(
    ("host", "answer"),
    [
        ("rebound.example", ("127.0.0.1",)),
        ("mixed.example", ("8.8.8.8", "fd00:ec2::254")),
        ("metadata.example", ("169.254.169.254",)),
        ("localhost", ("127.0.0.1",)),
    ],
)
async def test_the_transport_refuses_a_name_by_its_addresses(host: str, answer: tuple[str, ...]) -> None:
    """The outcome is AddressRefused, permanent, names the host and the rule, and no socket was opened."""
    async with OutgoingTransport(STRICT, resolver=FixedResolver(*answer), open_socket=no_socket) as transport:
        with pytest.raises(AddressRefused, match=f"{host}: .* is not a public address") as caught:
            await transport.send(httpx.Request("POST", f"https://{host}/secret-path?sig=s3cret", content=b"{}"))
    assert caught.value.permanent
    assert "s3cret" not in str(caught.value)
    assert "secret-path" not in str(caught.value)


async def test_waiters_for_the_same_lookup_get_the_same_verdict() -> None:
    """Many requests share one look-up; each of them ends AddressRefused, not only the one that asked."""
    resolver = FixedResolver("127.0.0.1")
    async with OutgoingTransport(STRICT, resolver=resolver, open_socket=no_socket) as transport:

        async def one() -> str:
            with pytest.raises(AddressRefused) as caught:
                await transport.send(httpx.Request("GET", "https://rebound.example/"))
            return str(caught.value)

        texts = {await one()}
        texts |= set(await asyncio.gather(*(one() for _ in range(8))))
    assert len(texts) == 1
    assert len(resolver.asked) < 9


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1/",
        "https://127.1/",
        "https://0x7f.1/",
        "https://2130706433/",
        "https://[::1]/",
        "https://[::ffff:127.0.0.1]/",
        "https://[64:ff9b::7f00:1]/",
        "https://user:pw@hooks.example/",
        "http://hooks.example/",
        "https://hooks.example:22/",
    ],
)
async def test_the_transport_refuses_a_url_before_any_lookup(url: str) -> None:
    """What the URL shows is refused without a look-up, a socket or its own secrets in the text."""
    resolver = FixedResolver("8.8.8.8")
    async with OutgoingTransport(STRICT, resolver=resolver, open_socket=no_socket) as transport:
        with pytest.raises(AddressRefused) as caught:
            await transport.send(httpx.Request("GET", url))
    assert resolver.asked == []
    assert "pw" not in str(caught.value)


async def test_an_unresolved_name_was_not_sent() -> None:
    """A name that does not resolve is NotSent and worth another try."""

    class Failing(FixedResolver):
        async def resolve(
            self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
        ) -> list[ResolveResult]:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    for resolver in (Failing(), FixedResolver()):
        async with OutgoingTransport(STRICT, resolver=resolver, open_socket=no_socket) as transport:
            with pytest.raises(NotSent, match=r"nowhere\.example: the name does not resolve") as caught:
                await transport.send(httpx.Request("GET", "https://nowhere.example/"))
        assert not isinstance(caught.value, AddressRefused)
        assert not caught.value.permanent
