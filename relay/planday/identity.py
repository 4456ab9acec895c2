"""Planday's identity server: refresh token in, access token out, or a refusal."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import httpx
import pydantic_core

from relay.errors import PlandayUnavailable
from relay.planday import endpoints
from relay.planday.limits import Clock, RateHeaders
from relay.planday.wire import Wire

# Documented lifetime of an access token.
_LIFETIME = 3600.0
_TIMEOUT = 10.0
# After it did not answer, nobody in this process asks again for so long.
_PAUSE, _LONGEST_PAUSE = 5.0, 60.0


@dataclass(frozen=True, slots=True)
class Grant:
    """What a refresh token bought; `refresh` is the one to use from now on."""

    access: str = field(repr=False)
    refresh: str = field(repr=False)
    lifetime: float


class Refused(Exception):
    """A token is refused for good; the text says by whom."""


class Identity:
    """One portal's identity server."""

    def __init__(self, url: str, *, wire: Wire, clock: Clock) -> None:
        self._url = url.rstrip("/") + endpoints.TOKEN.template
        self._wire = wire
        self._clock = clock
        self.pause_until = 0.0

    async def grant(self, refresh_token: str, *, client_id: str) -> Grant:
        """The refresh grant. Raises Refused, PlandayUnavailable."""
        form = {"client_id": client_id, "grant_type": "refresh_token", "refresh_token": refresh_token}
        try:
            response = await self._wire.post_form(endpoints.TOKEN, self._url, form=form, timeout=_TIMEOUT)
            return _read_grant(response, refresh_token, now=self._clock())
        except PlandayUnavailable as error:
            self.pause_until = self._clock() + min(error.retry_after or _PAUSE, _LONGEST_PAUSE)
            raise

    async def exchange(self, code: str, *, client_id: str, redirect_uri: str) -> Grant:
        """The code of an administrator's consent, which works once. Raises Refused, PlandayUnavailable."""
        form = {
            "client_id": client_id,
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
        }
        response = await self._wire.post_form(endpoints.TOKEN, self._url, form=form, timeout=_TIMEOUT)
        grant = _read_grant(response, "", now=self._clock())
        if not grant.refresh:
            raise Refused("the identity server gave no refresh token: was the app made with offline_access?")
        return grant


def _read_grant(response: httpx.Response, refresh_token: str, *, now: float) -> Grant:
    """What the identity server answered. The status decides: its error bodies are documented nowhere."""
    what = f"{endpoints.TOKEN.template}: {response.status_code}"
    if response.status_code in (400, 401):
        raise Refused(f"the identity server refuses the token ({response.status_code})")
    if response.status_code != 200:
        raise PlandayUnavailable(
            what, retry_after=RateHeaders.retry_after(response.headers.get("retry-after"), now=now)
        )
    try:
        body: Any = pydantic_core.from_json(response.content)
    except ValueError:
        body = None
    access = body.get("access_token") if isinstance(body, dict) else None
    if not isinstance(access, str) or not access:
        raise PlandayUnavailable(f"{what}, but without an access token")
    rotated, lifetime = body.get("refresh_token"), body.get("expires_in")
    known = isinstance(lifetime, int | float) and not isinstance(lifetime, bool) and 0 < lifetime < 1e7
    return Grant(
        access=access,
        refresh=rotated if isinstance(rotated, str) and rotated else refresh_token,
        lifetime=float(lifetime) if known else _LIFETIME,
    )
