"""Tricks by which a request is led to where it must not go. Each goes through the whole way out; none opens a socket.

Collected from the OWASP SSRF cheat sheet, the WHATWG URL tests, RFC 6890 and its registries, and the metadata services
of the clouds. Names are answered by a table, sockets by a refusal: nothing leaves the process.
"""

from __future__ import annotations

import socket
from ipaddress import ip_address, ip_network

import httpx
import pytest
from aiohttp import AddrInfoType
from aiohttp.abc import AbstractResolver, ResolveResult

from relay.errors import AddressRefused, ConfigError, NotSent
from relay.http import AddressPolicy, OutgoingTransport
from relay.targets.base import address

STRICT = AddressPolicy()
# Every switch that an operator can turn, but for the networks that are tried here.
WIDE = AddressPolicy(
    allow_http=True, allow_ports=frozenset({80, 443, 8443, 6379}), allow_networks=(ip_network("10.99.0.0/16"),)
)
PUBLIC = "8.8.8.8"

ADDRESSES = [
    # This host, and nobody: Linux connects to 0.0.0.0 as to itself.
    "0.0.0.0",
    "0.0.0.1",
    "0.255.255.255",
    "127.0.0.1",
    "127.0.0.53",
    "127.1.2.3",
    "127.255.255.255",
    # Private, carrier-internal, link-local.
    "10.0.0.1",
    "10.255.255.255",
    "172.16.0.1",
    "172.31.255.254",
    "192.168.0.1",
    "192.168.255.255",
    "100.64.0.1",
    "100.127.255.255",
    "169.254.0.1",
    "169.254.255.255",
    # Metadata and agents of the clouds: AWS and most others, AWS ECS, Tencent, Scaleway, Alibaba, Oracle, Azure.
    "169.254.169.254",
    "169.254.170.2",
    "169.254.0.23",
    "169.254.42.42",
    "100.100.100.200",
    "192.0.0.192",
    "168.63.129.16",
    "fd00:ec2::254",
    "fd20:ce::254",
    # Special purposes.
    "192.0.0.1",
    "192.0.0.8",
    "192.0.0.170",
    "192.0.2.1",
    "192.31.196.1",
    "192.52.193.1",
    "192.88.99.1",
    "192.175.48.1",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.7",
    "203.0.113.7",
    # Multicast, reserved, broadcast.
    "224.0.0.1",
    "224.0.0.251",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.254",
    "255.255.255.255",
    # IPv6 of its own.
    "::",
    "::1",
    "::2",
    "100::1",
    "2001::1",
    "2001:2::1",
    "2001:10::1",
    "2001:20::1",
    "2001:db8::1",
    "2620:4f:8000::1",
    "3fff::1",
    "5f00::1",
    "4000::1",
    "8000::1",
    "fc00::1",
    "fdff:ffff::1",
    "fe80::1",
    "fe80::a9fe:a9fe",
    "febf::1",
    "fec0::1",
    "feff::1",
    "ff01::1",
    "ff02::fb",
    "ff0e::1",
    # IPv4 inside IPv6: mapped, compatible, translated, NAT64 (both), 6to4, Teredo, ISATAP.
    "::ffff:127.0.0.1",
    "::ffff:7f00:1",
    "0:0:0:0:0:ffff:a9fe:a9fe",
    "::ffff:10.0.0.1",
    "::ffff:0.0.0.0",
    "::ffff:255.255.255.255",
    "::127.0.0.1",
    "::a00:1",
    "::ffff:0:127.0.0.1",
    "64:ff9b::127.0.0.1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b::6440:1",
    "64:ff9b:1::127.0.0.1",
    "64:ff9b:1:2:3:4:808:808",
    "2002:7f00:1::1",
    "2002:a9fe:a9fe::",
    "2002:c0a8:101::1",
    "2001:0:808:808::80ff:fffe",
    "2a00:1450::5efe:127.0.0.1",
    "2a00:1450:0:1:0:5efe:10.0.0.1",
    "2a00:1450::200:5efe:192.168.1.1",
]

URLS = [
    # Numbers that connect() reads as an address: decimal, octal, hexadecimal, short, mixed, with zeros, out of range.
    "https://2130706433/",
    "https://3232235777/",
    "https://2852039166/",
    "https://0/",
    "https://4294967295/",
    "https://4294967296/",
    "https://017700000001/",
    "https://0177.0.0.1/",
    "https://0251.0376.0251.0376/",
    "https://0x7f000001/",
    "https://0X7F000001/",
    "https://0xa9fea9fe/",
    "https://0x7f.0x0.0x0.0x1/",
    "https://0x7f.1/",
    "https://127.1/",
    "https://127.0.1/",
    "https://10.1/",
    "https://192.168.257/",
    "https://169.254.43518/",
    "https://127.0x0.00.1/",
    "https://127.000.000.001/",
    "https://127.0.0.0x1/",
    "https://00000177.1/",
    "https://256.256.256.256/",
    "https://383.0.0.1/",
    "https://127.0.0.1.1/",
    "https://0x/",
    "https://hooks.example.0x10/",
    # Dots behind.
    "https://127.0.0.1./",
    "https://127.0.0.1../",
    "https://2130706433./",
    "https://8.8.8.8./",
    "https://./",
    # Brackets.
    "https://[::1]/",
    "https://[0:0:0:0:0:0:0:1]/",
    "https://[0000:0000:0000:0000:0000:0000:0000:0001]/",
    "https://[::ffff:127.1]/",
    "https://[::ffff:0x7f.0.0.1]/",
    "https://[127.0.0.1]/",
    "https://[2130706433]/",
    "https://[v1.fe80::a]/",
    "https://[::1]127.0.0.1/",
    "https://[::1",
    "https://::1/",
    "https://[]/",
    "https://[fe80::1%25eth0]/",
    "https://[fe80::1%eth0]/",
    "https://[::1%25lo]/",
    "https://[::1%lo]/",
    "https://[2a00:1450::1%25eth0]/",
    # A user before the host.
    "https://user@hooks.example/",
    "https://user:pw@hooks.example/",
    "https://:@hooks.example/",
    "https://hooks.example@127.0.0.1/",
    "https://hooks.example:443@127.0.0.1/",
    "https://127.0.0.1:443@hooks.example/",
    "https://hooks.example%40@127.0.0.1/",
    "https://a:b:c@127.0.0.1/",
    # Letters and digits that fold into others.
    "https://１２７.０.０.１/",
    "https://①②⑦.⓪.⓪.①/",
    "https://𝟏𝟐𝟕.𝟎.𝟎.𝟏/",
    "https://١٢٧.٠.٠.١/",
    "https://127。0。0。1/",
    "https://127．0．0．1/",
    "https://127｡0｡0｡1/",
    "https://ⓛⓞⓒⓐⓛⓗⓞⓢⓣ/",
    "https://ｌｏｃａｌｈｏｓｔ/",
    "https://lo\u00adcalhost/",
    "https://127.0.0.1\u200b/",
    "https://hooks.example／@127.0.0.1/",
    "https://hooks.example＃.127.0.0.1/",
    # Percent-encoding in the host.
    "https://%31%32%37.0.0.1/",
    "https://127%2e0%2e0%2e1/",
    "https://127.0.0.1%2f.hooks.example/",
    "https://127.0.0.1%23.hooks.example/",
    "https://hooks.example%00.127.0.0.1/",
    "https://ex%61mple.com/",
    "https://%6cocalhost/",
    "https://[%3a%3a1]/",
    # Backslashes, blanks, control characters.
    "https://hooks.example\\@127.0.0.1/",
    "https://127.0.0.1\\@hooks.example/",
    "https://127.0.0.1\\.hooks.example/",
    "https:\\\\127.0.0.1\\",
    "https://127.0.0.1\t/",
    "https://127.0.0.1\n/",
    "https://127.0.\t0.1/",
    "https://hooks.exa\nmple/",
    "https://hooks.example\r\nhost: 127.0.0.1/",
    "https://hooks.example\x00.127.0.0.1/",
    "https://hooks.example 127.0.0.1/",
    " https://127.0.0.1/",
    "ht\ntps://127.0.0.1/",
    # Schemes, in any case, and none.
    "HTTPS://127.0.0.1/",
    "hTTpS://[::1]/",
    "ftp://hooks.example/",
    "FILE:///etc/passwd",
    "file://localhost/etc/passwd",
    "gopher://127.0.0.1:6379/_FLUSHALL",
    "dict://127.0.0.1:6379/info",
    "ldap://127.0.0.1/",
    "unix:///run/redis.sock",
    "http+unix://%2Frun%2Fdocker.sock/info",
    "ws://hooks.example/",
    "wss://hooks.example/",
    "data:text/plain,x",
    "jar:https://hooks.example!/",
    "javascript:alert(1)",
    "//127.0.0.1/",
    "127.0.0.1",
    "hooks.example:443",
    # Hosts that are not there.
    "https://",
    "https:///",
    "https:///127.0.0.1/",
    "https:/127.0.0.1/",
    "https:127.0.0.1",
    "https://?@127.0.0.1/",
    "https://#@127.0.0.1/",
    "https://:443/",
    # Ports.
    "https://hooks.example:22/",
    "https://hooks.example:25/",
    "https://hooks.example:0/",
    "https://hooks.example:65979/",
    "https://hooks.example:-443/",
    "https://hooks.example:443:80/",
    "https://hooks.example:4 43/",
    "https://hooks.example:0x1bb/",
]

# Refused where it is configured; httpx would write it otherwise, and then it is a plain name and port.
MENDED = ["https://@hooks.example/", "https://bücher.example/", "https://hooks.example:٤٤٣/", "https://hooks。example/"]

MIXED = [
    # (addresses that a name has, in this order)
    (PUBLIC, "127.0.0.1"),
    ("127.0.0.1", PUBLIC),
    (PUBLIC, "8.8.4.4", "10.0.0.1"),
    (PUBLIC, "::1"),
    ("2a00:1450::1", "fd00:ec2::254"),
    (PUBLIC, "::ffff:169.254.169.254"),
    ("::1",),
    ("fe80::1%eth0",),
    ("fe80::1%2",),
    ("64:ff9b::a00:1",),
    (PUBLIC, "10.99.0.1", "10.98.0.1"),
    ("localhost",),
    ("127.1",),
    ("0x7f.0.0.1",),
    ("internal.corp",),
    ("",),
]

NAMES = ["localhost", "localhost.", "LOCALHOST", "127.0.0.1.nip.io", "metadata.google.internal", "kubernetes.default"]


class Answers(AbstractResolver):
    """The same answer for every name; `cname` is the name that the answer belongs to."""

    def __init__(self, *addresses: str, cname: str | None = None) -> None:
        self.addresses = addresses
        self.cname = cname
        self.asked: list[str] = []

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        self.asked.append(host)
        return [
            ResolveResult(
                hostname=self.cname or host,
                host=found,
                port=port,
                family=socket.AF_INET6 if ":" in found else socket.AF_INET,
                proto=0,
                flags=0,
            )
            for found in self.addresses
        ]

    async def close(self) -> None:
        pass


class Sockets:
    """In place of sockets: remembers where one was wanted, and has none."""

    def __init__(self) -> None:
        self.wanted: list[str] = []

    def __call__(self, info: AddrInfoType) -> socket.socket:
        self.wanted.append(str(info[4][0]))
        raise OSError("there are no sockets in this test")


@pytest.fixture(params=[STRICT, WIDE], ids=["strict", "every switch"])
def policy(request: pytest.FixtureRequest) -> AddressPolicy:
    found: AddressPolicy = request.param
    return found


async def led(url: str, policy: AddressPolicy, resolver: AbstractResolver) -> list[str]:
    """Where a socket was wanted for; nothing where the way out refused, or httpx cannot read the URL."""
    sockets = Sockets()
    async with OutgoingTransport(policy, resolver=resolver, open_socket=sockets) as transport:
        try:
            await transport.send(httpx.Request("POST", url, content=b"{}"))
        except (AddressRefused, httpx.InvalidURL):
            assert sockets.wanted == []
        except NotSent:
            assert sockets.wanted, url
    return sockets.wanted


@pytest.mark.parametrize("where", ADDRESSES)
async def test_no_form_of_a_forbidden_address_is_reached(where: str, policy: AddressPolicy) -> None:
    """Neither written into the URL nor as the answer for a name, whatever switches are turned."""
    host = f"[{where}]" if ":" in where else where
    resolver = Answers(where)
    assert await led(f"https://{host}/", policy, resolver) == []
    assert resolver.asked == [], "an address in a URL is judged without a look-up"
    assert await led("https://rebound.example/", policy, resolver) == []
    assert resolver.asked == ["rebound.example"]


@pytest.mark.parametrize("url", URLS)
async def test_no_spelling_leads_there(url: str) -> None:
    """Refused at start, where the URL is configured, and again where something is sent, without a look-up."""
    with pytest.raises(ConfigError):
        address("targets.x.url", url, STRICT)
    resolver = Answers(PUBLIC)
    assert await led(url, STRICT, resolver) == []
    assert resolver.asked == []


@pytest.mark.parametrize("url", MENDED)
async def test_an_odd_spelling_of_a_name_is_no_other_place(url: str) -> None:
    """An operator is told to write it plainly; where it is read all the same, the name's own address is judged."""
    with pytest.raises(ConfigError):
        address("targets.x.url", url, STRICT)
    assert await led(url, STRICT, Answers(PUBLIC)) == [PUBLIC]
    assert await led(url, STRICT, Answers("127.0.0.1")) == []


@pytest.mark.parametrize("answer", MIXED, ids=" ".join)
async def test_no_answer_for_a_name_leads_there(answer: tuple[str, ...], policy: AddressPolicy) -> None:
    """A name with one forbidden address, one that is no plain address, or one behind a CNAME, is refused whole."""
    for cname in (None, "internal.corp"):
        assert await led("https://hooks.example/", policy, Answers(*answer, cname=cname)) == []


@pytest.mark.parametrize("name", NAMES)
async def test_no_name_is_trusted_for_its_looks(name: str, policy: AddressPolicy) -> None:
    """What decides is the address that it has: the usual names of this host and of metadata services lead nowhere."""
    for where in ("127.0.0.1", "::1", "169.254.169.254"):
        assert await led(f"https://{name}/", policy, Answers(where)) == []


class Turncoat(Answers):
    """Looks public while it is judged, and is something else when it is used."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        class Changing(dict):  # type: ignore[type-arg]
            reads = 0

            def __getitem__(self, key: str) -> object:
                if key == "host":
                    self.reads += 1
                    return PUBLIC if self.reads == 1 else where
                return super().__getitem__(key)

        (where,) = self.addresses
        (found,) = await super().resolve(host, port, family)
        return [Changing(found)]  # type: ignore[list-item]


@pytest.mark.parametrize("where", ["127.0.0.1", "169.254.169.254", "10.0.0.1"])
async def test_an_answer_that_changes_after_the_check_gains_nothing(where: str, policy: AddressPolicy) -> None:
    """The address is judged once more where the socket would be made."""
    assert await led("https://rebound.example/", policy, Turncoat(where)) == []


async def test_a_name_that_turns_bad_between_two_calls_is_refused_at_the_second() -> None:
    """Nothing of the first judgement is kept for the name: each connection is judged anew."""
    resolver, sockets = Answers(PUBLIC), Sockets()
    async with OutgoingTransport(STRICT, resolver=resolver, open_socket=sockets) as transport:
        with pytest.raises(NotSent):
            await transport.send(httpx.Request("POST", "https://turning.example/"))
        assert sockets.wanted == [PUBLIC]
        resolver.addresses = ("127.0.0.1",)
        assert transport._session is not None
        connector = transport._session.connector
        assert connector is not None
        connector.clear_dns_cache()  # type: ignore[attr-defined]
        with pytest.raises(AddressRefused):
            await transport.send(httpx.Request("POST", "https://turning.example/"))
    assert sockets.wanted == [PUBLIC]


@pytest.mark.parametrize(
    "url",
    [
        "https://hooks.example/#@127.0.0.1/",
        "https://hooks.example/?@127.0.0.1/",
        "https://hooks.example/https://127.0.0.1/",
        "https://hooks.example/..//127.0.0.1/",
        "https://hooks.example?next=https://127.0.0.1/",
        "HTTPS://HOOKS.EXAMPLE/",
        "https://127.0.0.1.hooks.example/",
        "https://hooks.example./",
    ],
)
async def test_what_only_looks_like_a_trick_goes_to_its_own_host(url: str) -> None:
    """An address in a path, a query or a longer name is nobody's destination: the socket is for the name's address."""
    assert await led(url, STRICT, Answers(PUBLIC)) == [PUBLIC]


@pytest.mark.parametrize("where", ["10.99.0.1", "::ffff:10.99.0.1"])
async def test_what_an_operator_allowed_is_reached(where: str) -> None:
    """The refusals above are not those of a guard that refuses everything."""
    host = f"[{where}]" if ":" in where else where
    (wanted,) = await led(f"https://{host}/", WIDE, Answers(PUBLIC))
    assert ip_address(wanted) == ip_address(where)
    assert await led("https://payroll.intern/", WIDE, Answers(where)) == [where]


def test_there_are_enough_of_them() -> None:
    """At least sixty addresses and sixty spellings, none twice."""
    assert len(set(ADDRESSES)) == len(ADDRESSES) >= 60
    assert len(set(URLS)) == len(URLS) >= 60
