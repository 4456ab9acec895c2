"""The dead man's heartbeat: a URL that is called while all is well, so that somebody else notices when it is not.

One call per interval over all workers. That a call fails is a line in the log and nothing more: whoever watches the
URL misses it, which is the point.
"""

from __future__ import annotations

from ipaddress import ip_network
from typing import Protocol

import httpx

from relay import telemetry
from relay.errors import ConfigError, Fault, SendError
from relay.http import AddressPolicy, OutgoingTransport
from relay.pipeline import Outside
from relay.settings import Address, Alerts
from relay.store.alerts import AlertStore

USER_AGENT = "planday-relay-heartbeat"
_TIMEOUT = 10.0


class Transport(Protocol):
    """The way out; `relay.http.OutgoingTransport` but in tests."""

    async def send(
        self, request: httpx.Request, *, timeout: float | None = None, connect_timeout: float | None = None
    ) -> httpx.Response: ...

    async def aclose(self) -> None: ...


class Heartbeat:
    """Calls `heartbeat_url` by GET, or `heartbeat_fail_url` when all is not well."""

    def __init__(
        self, settings: Alerts, *, store: AlertStore, outside: Outside, transport: Transport | None = None
    ) -> None:
        """Raises ConfigError when a URL can never be called."""
        if faults := check(settings):
            raise ConfigError(faults)
        self._url = _address(settings.heartbeat_url)
        self._fail_url = _address(settings.heartbeat_fail_url)
        self._every = settings.heartbeat_every
        self._store = store
        self._outside = outside
        self._transport = transport or OutgoingTransport(_policy(settings), fresh=True, timeout=_TIMEOUT)
        self._failed = False

    async def is_due(self) -> bool:
        """Whether it is time, and this worker is the one to call. Raises StoreError."""
        return await self._store.take_turn("heartbeat", now=self._outside.clock(), every=self._every)

    async def call(self, *, well: bool) -> None:
        """Say that all is well, or that it is not; without a URL for the latter, say nothing."""
        url = self._url if well else self._fail_url
        if url is None:
            return
        try:
            request = httpx.Request("GET", url, headers={"user-agent": USER_AGENT})
            response = await self._transport.send(request, timeout=_TIMEOUT, connect_timeout=_TIMEOUT / 2)
            reason = "" if response.is_success else f"the far side answered {response.status_code}"
        except SendError as error:
            reason = _for_heartbeat(str(error))
        if reason and not self._failed:
            self._outside.record(telemetry.HeartbeatFailed(reason=reason))
        self._failed = bool(reason)

    async def aclose(self) -> None:
        """Close its connections."""
        await self._transport.aclose()


def check(settings: Alerts) -> list[Fault]:
    """What of the heartbeat's URLs can never be called, as far as that shows without asking anybody."""
    policy, urls = _policy(settings), {"heartbeat_url": settings.heartbeat_url}
    urls["heartbeat_fail_url"] = settings.heartbeat_fail_url
    return [
        Fault(f"alerts.{name}", _for_heartbeat(reason))
        for name, url in urls.items()
        if url is not None and (reason := policy.check_url(url.reveal()))
    ]


def _for_heartbeat(reason: str) -> str:
    """The guard speaks of a target's settings; here they have names of their own."""
    return reason.replace("in the target's section", "in [alerts]").replace("allow_", "heartbeat_allow_")


def _address(address: Address | None) -> httpx.URL | None:
    return None if address is None else httpx.URL(address.reveal())


def _policy(settings: Alerts) -> AddressPolicy:
    return AddressPolicy(
        allow_networks=tuple(ip_network(network) for network in settings.heartbeat_allow_networks),
        allow_http=settings.heartbeat_allow_http,
    )
