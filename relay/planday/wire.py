"""Sends one request to Planday and says what became of it: an answer read whole, or a named error."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import httpx

from relay.errors import PlandayUnavailable, SendError
from relay.planday.answers import not_answered
from relay.planday.endpoints import Endpoint
from relay.planday.limits import Clock

TIMEOUT = 15.0
_CONNECT_TIMEOUT = 5.0
_AGENT = "planday-relay"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlandayCalled:
    """One call was made. The endpoint is its template, without ids; status is 0 when no answer came."""

    portal: str
    endpoint: str
    status: int
    seconds: float


Notify = Callable[[PlandayCalled], None]


class Wire:
    """One portal's way to Planday. It takes a bare transport, so that no cookie, redirect or proxy gets in between."""

    def __init__(
        self, portal: str, transport: httpx.AsyncBaseTransport, *, clock: Clock, notify: Notify | None = None
    ) -> None:
        self._portal = portal
        self._transport = transport
        self._clock = clock
        self._notify = notify

    async def get(
        self, endpoint: Endpoint, url: str, *, params: dict[str, str], headers: dict[str, str]
    ) -> httpx.Response:
        """Make one read."""
        return await self._send(endpoint, "GET", url, timeout=TIMEOUT, headers=headers, params=params)

    async def post_form(self, endpoint: Endpoint, url: str, *, form: dict[str, str], timeout: float) -> httpx.Response:
        """Post a form. The identity server gets neither X-ClientId nor Authorization."""
        return await self._send(endpoint, "POST", url, timeout=timeout, headers={}, form=form)

    async def _send(
        self,
        endpoint: Endpoint,
        method: str,
        url: str,
        *,
        timeout: float,
        headers: dict[str, str],
        params: dict[str, str] | None = None,
        form: dict[str, str] | None = None,
    ) -> httpx.Response:
        status, began = 0, self._clock()
        limits = httpx.Timeout(timeout, connect=_CONNECT_TIMEOUT).as_dict()
        try:
            request = httpx.Request(
                method,
                url,
                params=params,
                data=form,
                headers={"Accept": "application/json", "User-Agent": _AGENT, **headers},
                extensions={"timeout": limits, "relay_total": timeout},
            )
            async with asyncio.timeout(timeout + 1.0):
                response = await self._transport.handle_async_request(request)
                try:
                    await response.aread()
                finally:
                    await response.aclose()
            status = response.status_code
        except TimeoutError:
            raise PlandayUnavailable(f"{endpoint.template}: no answer in time") from None
        except (httpx.HTTPError, httpx.InvalidURL, SendError) as failure:
            # Its text may hold the URL and so personal data: it does not come along as the cause.
            raise not_answered(failure, endpoint) from None
        finally:
            if self._notify is not None:
                seconds = max(self._clock() - began, 0.0)
                self._notify(
                    PlandayCalled(portal=self._portal, endpoint=endpoint.template, status=status, seconds=seconds)
                )
        return response
