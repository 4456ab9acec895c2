"""Which URLs and addresses an outgoing request may reach: pure decisions, and the hooks into aiohttp that ask them.

The address is judged where the connection is made, not where the URL is written, so that a name which changes its
answer between the check and the use gains nothing (OWASP, SSRF Prevention Cheat Sheet, case 2).
"""

from __future__ import annotations

import re
import socket
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

import yarl
from aiohttp import AddrInfoType
from aiohttp.abc import AbstractResolver, ResolveResult

_HOST = re.compile(r"[A-Za-z0-9_.-]+")
_NUMERIC_LABEL = re.compile(r"[0-9]+|0[xX][0-9A-Fa-f]*")
_TO_ALLOW = "allow_networks in the target's section lets a network through"

# `is_global` alone lets multicast, 192.0.0.8, 6to4, NAT64 and Azure's host agent pass on Python 3.11.
_DENIED = tuple(
    (ip_network(network), kind)
    for network, kind in (
        ("0.0.0.0/8", "unspecified"),
        ("10.0.0.0/8", "private"),
        ("100.64.0.0/10", "carrier-internal"),
        ("127.0.0.0/8", "loopback"),
        ("168.63.129.16/32", "cloud host agent"),
        ("169.254.0.0/16", "link-local"),
        ("172.16.0.0/12", "private"),
        ("192.0.0.0/24", "protocol assignment"),
        ("192.0.2.0/24", "documentation"),
        ("192.31.196.0/24", "AS112"),
        ("192.52.193.0/24", "AMT relay"),
        ("192.88.99.0/24", "6to4 relay"),
        ("192.168.0.0/16", "private"),
        ("192.175.48.0/24", "AS112"),
        ("198.18.0.0/15", "benchmark"),
        ("198.51.100.0/24", "documentation"),
        ("203.0.113.0/24", "documentation"),
        ("224.0.0.0/4", "multicast"),
        ("240.0.0.0/4", "reserved"),
        ("::/128", "unspecified"),
        ("::1/128", "loopback"),
        ("::/96", "IPv4-compatible"),
        ("64:ff9b:1::/48", "local NAT64"),
        ("100::/64", "discard"),
        ("2001::/32", "Teredo"),
        ("2001::/23", "protocol assignment"),
        ("2001:db8::/32", "documentation"),
        ("2002::/16", "6to4"),
        ("2620:4f:8000::/48", "AS112"),
        ("3fff::/20", "documentation"),
        ("fc00::/7", "private"),
        ("fe80::/10", "link-local"),
        ("fec0::/10", "site-local"),
        ("ff00::/8", "multicast"),
    )
)
_NAT64 = IPv6Network("64:ff9b::/96")
_GLOBAL_UNICAST = IPv6Network("2000::/3")
# The middle of an ISATAP address, but for the bit that says whether the IPv4 address in its end is unique (RFC 5214).
_ISATAP = 0x00005EFE


class Refusal(OSError):
    """The guard's verdict on its way through aiohttp, which lets an OSError of a resolver or a socket pass."""


@dataclass(frozen=True, slots=True)
class AddressPolicy:
    """What one target may reach. Both checks answer None, or the reason for refusing."""

    allow_networks: tuple[IPv4Network | IPv6Network, ...] = ()
    allow_ports: frozenset[int] = frozenset({443})
    allow_http: bool = False

    def check_url(self, url: str | yarl.URL) -> str | None:
        """Judge what the URL itself shows: scheme, userinfo, host, port. A numeric host is judged as an address.

        The transport asks with the very object it connects to, so that no second parser can read the URL otherwise.
        """
        try:
            parsed = yarl.URL(url, encoded=True) if isinstance(url, str) else url
            port = parsed.port
        except ValueError:
            return "this is not a URL"
        return self._check_scheme(parsed) or self._check_host(parsed) or self._check_target(parsed, port)

    def _check_scheme(self, url: yarl.URL) -> str | None:
        if url.scheme == "http" and not self.allow_http:
            return "http:// is not encrypted and is refused; allow_http = true in the target's section allows it"
        if url.scheme not in {"http", "https"}:
            return f"only https:// is sent to, not {url.scheme or 'a URL without a scheme'}"
        return "a URL must not hold a user name or password" if "@" in url.raw_authority else None

    def _check_host(self, url: yarl.URL) -> str | None:
        host = url.raw_host
        if not host or not host.strip("."):
            return "the URL has no host"
        if not url.raw_authority.isascii():
            return "write host and port in ASCII (a name in its form xn--...)"
        if "%" in host:
            return "the host must not be percent-encoded or hold a zone"
        return None if ":" in host or _HOST.fullmatch(host) else "the host holds characters that no host name has"

    def _check_target(self, url: yarl.URL, port: int | None) -> str | None:
        host = url.raw_host or ""
        if not port:
            return "port 0 cannot be reached"
        if port not in self.ports and not (url.explicit_port is not None and self.allow_networks):
            return self._port_reason(port)
        numeric = ":" in host or _NUMERIC_LABEL.fullmatch(host.rstrip(".").rpartition(".")[2])
        return self.check_address(host, port) if numeric else None

    def check_address(self, address: str, port: int) -> str | None:
        """Judge one resolved address. Only its plain form is understood: 127.1, 0x7f.1 and 2130706433 are refused."""
        try:
            ip = ip_address(address.partition("%")[0])
        except ValueError:
            return "this is not the plain form of an IP address"
        shown = str(ip)
        if isinstance(ip, IPv6Address) and ip.ipv4_mapped:  # the same destination in another notation
            ip = ip.ipv4_mapped
        if any(ip in network for network in self.allow_networks):
            return None
        if port not in self.ports:
            return self._port_reason(port)
        kind = _denied(ip)
        return f"{shown} is not a public address ({kind}); {_TO_ALLOW}" if kind else None

    @property
    def ports(self) -> frozenset[int]:
        return self.allow_ports | {80} if self.allow_http else self.allow_ports

    def _port_reason(self, port: int) -> str:
        return f"port {port} is not among allow_ports {sorted(self.ports)}, and the address is in no allow_networks"


def _denied(ip: IPv4Address | IPv6Address) -> str | None:
    for network, kind in _DENIED:
        if ip in network:
            return kind
    if isinstance(ip, IPv4Address):
        return None if ip.is_global else "special purpose"
    if ip in _NAT64:
        return _denied_inside(ip, "NAT64")
    if int(ip) >> 32 & 0xFDFFFFFF == _ISATAP and (isatap := _denied_inside(ip, "ISATAP")):
        return isatap
    return None if ip in _GLOBAL_UNICAST else "not global unicast"


def _denied_inside(ip: IPv6Address, notation: str) -> str | None:
    """Whether the IPv4 address in its last four bytes is denied."""
    inner = IPv4Address(int(ip) & 0xFFFFFFFF)
    kind = _denied(inner)
    return f"{notation} of {inner}, {kind}" if kind else None


class GuardedResolver(AbstractResolver):
    """Refuses a name whole when any one of its addresses is forbidden."""

    def __init__(self, policy: AddressPolicy, inner: AbstractResolver) -> None:
        self._policy = policy
        self._inner = inner

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        found = await self._inner.resolve(host, port, family)
        if not found:
            raise socket.gaierror(socket.EAI_NONAME, "no address")
        for result in found:
            if reason := self._policy.check_address(result["host"], result["port"]):
                raise Refusal(reason)
        return found

    async def close(self) -> None:
        await self._inner.close()


OpenSocket = Callable[[AddrInfoType], socket.socket]


def plain_socket(address: AddrInfoType) -> socket.socket:
    """What aiohttp would open without a guard."""
    family, kind, protocol, _, _ = address
    return socket.socket(family, kind, protocol)


def guarded_socket(policy: AddressPolicy, open_socket: OpenSocket) -> OpenSocket:
    """A socket factory that asks the policy first: it also sees numeric hosts, which pass by every resolver."""

    def open_checked(address: AddrInfoType) -> socket.socket:
        if reason := policy.check_address(str(address[4][0]), int(address[4][1])):
            raise Refusal(reason)
        return open_socket(address)

    return open_checked
