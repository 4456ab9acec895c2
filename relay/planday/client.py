"""One portal's reads: each call written as the layers it passes, from the token to the wire.

read -> with a token that works -> again after a hiccup -> within the budget -> over the wire
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import httpx

from relay.errors import PlandayUnavailable, RecordGone, ScopeMissing
from relay.planday import endpoints
from relay.planday.answers import (
    Hiccup,
    Page,
    TooMany,
    Unauthorised,
    read_body,
    read_page,
    read_record,
    wait_after_429,
)
from relay.planday.auth import Auth
from relay.planday.endpoints import Endpoint
from relay.planday.limits import LIVE, Clock, Limiter, RateHeaders, Sleep, jitter
from relay.planday.paging import Listing, read_rows
from relay.planday.ports import Cipher, Shared
from relay.planday.tokens import Access
from relay.planday.wire import Notify, PlandayCalled, Wire
from relay.settings.models import Portal

__all__ = ["PlandayCalled", "PortalClient"]

# Pauses before the second and third try of one call; one that was slow to fail is not tried again at once.
_PAUSES = (0.25, 1.0)
_QUICK = 2.0

T = TypeVar("T")
Reader = Callable[[httpx.Response, Endpoint], T]


@dataclass(frozen=True, slots=True)
class _Ask:
    """What is asked of Planday."""

    endpoint: Endpoint
    ids: tuple[int, ...] = ()
    params: dict[str, str] = field(default_factory=dict)
    priority: int = LIVE


class PortalClient:
    """Reads of one portal, as Planday answers them."""

    def __init__(
        self,
        name: str,
        portal: Portal,
        *,
        transport: httpx.AsyncBaseTransport,
        shared: Shared,
        cipher: Cipher,
        clock: Clock,
        sleep: Sleep,
        notify: Notify | None = None,
        max_wait: float = 2.0,
    ) -> None:
        self._clock = clock
        self._sleep = sleep
        self._base = portal.api_url.rstrip("/")
        self._wire = Wire(name, transport, clock=clock, notify=notify)
        self.limiter = Limiter(portal, shared=shared, clock=clock, sleep=sleep, max_wait=max_wait)
        self.auth = Auth(
            name,
            portal,
            wire=self._wire,
            shared=shared,
            cipher=cipher,
            clock=clock,
            sleep=sleep,
            whose=self._whose,
        )

    def now(self) -> float:
        """The time by the clock that this client was given."""
        return self._clock()

    async def record(self, endpoint: Endpoint, *ids: int, priority: int = LIVE) -> dict[str, Any]:
        """One record by id."""
        return await self._authorised(_Ask(endpoint, ids, {}, priority), read_record)

    async def body(self, endpoint: Endpoint, *, params: Mapping[str, str], priority: int = LIVE) -> dict[str, Any]:
        """An answer that has neither pages nor the usual envelope."""
        return await self._authorised(_Ask(endpoint, (), dict(params), priority), read_body)

    async def page(
        self,
        endpoint: Endpoint,
        *ids: int,
        params: Mapping[str, str] | None = None,
        limit: int | None = None,
        offset: int = 0,
        priority: int = LIVE,
    ) -> Page:
        """One page of a list."""
        query = dict(params or {})
        if endpoint.limit:
            query[endpoint.limit_name] = str(limit or endpoint.limit)
            query[endpoint.offset_name] = str(offset)
        return await self._authorised(_Ask(endpoint, ids, query, priority), read_page)

    async def rows(
        self,
        endpoint: Endpoint,
        *,
        params: Mapping[str, str] | None = None,
        wanted: int | None = None,
        priority: int = LIVE,
    ) -> Listing:
        """A whole list, or as much of it as it takes to find the record `wanted`."""

        async def page(offset: int) -> Page:
            return await self.page(endpoint, params=params, offset=offset, priority=priority)

        return await read_rows(page, asked=endpoint.limit, wanted=wanted)

    async def _authorised(self, ask: _Ask, read: Reader[T]) -> T:
        token: str | None = None
        for _ in range(2):
            access = await self.auth.access(instead_of=token)
            token = access.token
            try:
                return await self._patient(ask, read, access)
            except Unauthorised:
                continue
        assert token is not None
        raise await self.auth.lose(token)

    async def _patient(self, ask: _Ask, read: Reader[T], access: Access) -> T:
        for pause in (*_PAUSES, None):
            began = self._clock()
            try:
                return await self._within_budget(ask, read, access)
            except Hiccup as error:
                slow = self._clock() - began > _QUICK or (error.retry_after or 0.0) > _QUICK
                if pause is None or slow:
                    raise PlandayUnavailable(str(error), retry_after=error.retry_after) from None
            await self._sleep(pause * (0.5 + jitter()))
        raise AssertionError

    async def _within_budget(self, ask: _Ask, read: Reader[T], access: Access) -> T:
        await self.limiter.enter(priority=ask.priority)
        response = await self._wire.get(
            ask.endpoint,
            self._base + ask.endpoint.path(*ask.ids),
            params=ask.params,
            headers={"X-ClientId": access.client_id, "Authorization": f"Bearer {access.token}"},
        )
        headers = RateHeaders.read(response.headers)
        await self.limiter.observe(headers)
        try:
            return read(response, ask.endpoint)
        except TooMany as error:
            wait = wait_after_429(response, headers, now=self._clock(), jitter=jitter())
            await self.limiter.block(headers, seconds=wait)
            raise PlandayUnavailable(str(error), retry_after=wait) from None
        except Hiccup as error:
            error.retry_after = RateHeaders.retry_after(response.headers.get("retry-after"), now=self._clock())
            raise

    async def _whose(self, access: Access) -> int | None:
        """The portal that an access token belongs to; None where Planday does not let the app ask."""
        try:
            info = await self._patient(_Ask(endpoints.PORTAL), read_record, access)
        except ScopeMissing:
            return None
        except RecordGone as gone:
            raise PlandayUnavailable(str(gone)) from None
        number = info.get("id")
        if not isinstance(number, int):
            raise PlandayUnavailable(f"{endpoints.PORTAL.template}: the answer does not say whose it is")
        return number
