"""A portal's authorisation: refresh token in, access token out, one renewal at a time over all processes.

Planday's tokens are tied to one administrator and die with that account (planday-api.md 2.6). A dead one is recorded
where every process sees it, and nobody calls any more until another token comes: from the config, once its own value
changes, or from an operator.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

import httpx
import pydantic_core

from relay.errors import AuthorizationLost, PlandayUnavailable, WrongPortal
from relay.events import rfc3339
from relay.planday import endpoints
from relay.planday.answers import Unauthorised
from relay.planday.limits import Clock, RateHeaders, Sleep
from relay.planday.ports import Cipher, Shared
from relay.planday.wire import Wire
from relay.settings.models import Portal

# Documented lifetime of an access token, and how early live clients renew.
_LIFETIME, _EARLY = 3600.0, 120.0
_TIMEOUT = 10.0
_LOCK = 15.0
_POLL, _POLLS = 0.1, 150
# After the identity server did not answer, nobody in this process asks again for so long.
_PAUSE = 5.0

_LOST = ("lost_since", "lost_why")
_ACCESS = ("access", "renew_at", "expires_at")
OTHER_PORTAL = "the token belongs to another portal"

# Asks Planday which portal an access token belongs to; None if it may not say.
Whose = Callable[[str], Awaitable[int | None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRecord:
    """What is stored of a portal's authorisation; both tokens are encrypted."""

    configured: str = ""
    refresh: str = ""
    access: str = ""
    renew_at: float = 0.0
    expires_at: float = 0.0
    confirmed: bool = False
    lost_since: float | None = None
    lost_why: str = ""

    @classmethod
    def read(cls, stored: Mapping[str, str]) -> Self:
        """From the store's fields; anything may be missing."""
        return cls(
            configured=stored.get("configured", ""),
            refresh=stored.get("refresh", ""),
            access=stored.get("access", ""),
            renew_at=float(stored.get("renew_at", 0)),
            expires_at=float(stored.get("expires_at", 0)),
            confirmed=stored.get("confirmed") == "1",
            lost_since=float(stored["lost_since"]) if "lost_since" in stored else None,
            lost_why=stored.get("lost_why", ""),
        )


@dataclass(frozen=True, slots=True)
class _Grant:
    access: str = field(repr=False)
    refresh: str = field(repr=False)
    lifetime: float


class _RefusedByIdentity(Exception):
    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class Auth:
    """The token flow of one portal."""

    def __init__(
        self,
        name: str,
        portal: Portal,
        *,
        wire: Wire,
        shared: Shared,
        cipher: Cipher,
        clock: Clock,
        sleep: Sleep,
        whose: Whose,
    ) -> None:
        self._name = name
        self._portal = portal
        self._wire = wire
        self._shared = shared
        self._cipher = cipher
        self._clock = clock
        self._sleep = sleep
        self._whose = whose
        self._here = asyncio.Lock()
        self._config_checked = False
        self._pause_until = 0.0
        self._opened: dict[str, str | None] = {}
        self._renewal: asyncio.Task[TokenRecord] | None = None

    async def access(self, *, instead_of: str | None = None, even_if_lost: bool = False) -> str:
        """An access token that is good now and belongs to this portal; `instead_of` is one that got a 401."""
        for last in (False, True):
            record = await self._current(instead_of, even_if_lost=even_if_lost)
            token = self._open(record.access) or ""
            try:
                await self._confirm(record, token)
            except Unauthorised:
                if last:
                    raise await self.lose(token) from None
                instead_of = token
            else:
                return token
        raise AssertionError

    async def lose(
        self, token: str, *, why: str = "Planday does not take a token that was just renewed (401)"
    ) -> Exception:
        """Record that the authorisation is dead, unless there is another token by now; gives the error to raise."""
        record = await self._record()
        if self._open(record.access) != token:
            return PlandayUnavailable(f"portal {self._name}: its token was replaced meanwhile", retry_after=1.0)
        return await self._lose(record, why)

    async def adopt(self, refresh_token: str) -> None:
        """Take a token that an operator entered, once it is known to work and to be this portal's."""
        try:
            grant = await self._grant(refresh_token)
        except _RefusedByIdentity as refused:
            raise AuthorizationLost(f"portal {self._name}: {_refusal(refused)}") from None
        configured = self._cipher.fingerprint(self._portal.refresh_token.reveal())
        changes = {**self._stored(grant), "configured": configured}
        try:
            whose = await self._whose(grant.access)
        except Unauthorised:
            raise AuthorizationLost(f"portal {self._name}: Planday does not take this token (401)") from None
        except PlandayUnavailable:
            if grant.refresh != refresh_token:
                # The one that was entered is used up; this one is checked before its first use instead.
                await self._shared.save_token(self._portal.id, changes, remove=(*_LOST, "confirmed"))
            raise
        if whose not in (None, self._portal.id):
            raise WrongPortal(f"portal {self._name}: {OTHER_PORTAL}")
        await self._shared.save_token(self._portal.id, {**changes, "confirmed": "1"}, remove=_LOST)
        self._config_checked = True
        self._pause_until = 0.0

    async def state(self) -> TokenRecord:
        """What is recorded now, without any call to Planday."""
        return TokenRecord.read(await self._shared.token(self._portal.id))

    async def aclose(self) -> None:
        """Let a renewal that is under way end: its answer must be stored."""
        if self._renewal is not None:
            await asyncio.wait([self._renewal])

    # A token that is good now ------------------------------------------------------------------

    async def _current(self, instead_of: str | None, *, even_if_lost: bool) -> TokenRecord:
        record = await self._record()
        lost = record.lost_since is not None
        if lost and not even_if_lost:
            raise self._lost(record)
        if self._good(record, instead_of, until=record.renew_at):
            return record
        try:
            return await self._renewed(instead_of, even_if_lost=even_if_lost)
        except PlandayUnavailable:
            # Renewal is early on purpose: while the identity server is away, the old token still serves.
            if lost or not self._good(record, instead_of, until=record.expires_at - 5.0):
                raise
            return record

    async def _renewed(self, instead_of: str | None, *, even_if_lost: bool) -> TokenRecord:
        lock, owner = f"token:{self._portal.id}", secrets.token_hex(8)
        async with self._here:
            for _ in range(_POLLS):
                record = await self._record()
                if self._good(record, instead_of, until=record.renew_at):
                    return record
                if record.lost_since is not None and not even_if_lost:
                    raise self._lost(record)
                if (wait := self._pause_until - self._clock()) > 0:
                    raise PlandayUnavailable("the identity server did not answer a moment ago", retry_after=wait)
                if await self._shared.take_lock(lock, owner=owner, seconds=_LOCK):
                    # A caller may be cancelled while a rotated token is on its way: the renewal goes on to its end.
                    self._renewal = asyncio.create_task(self._renew(instead_of, lock=lock, owner=owner))
                    self._renewal.add_done_callback(_seen)
                    return await asyncio.shield(self._renewal)
                await self._sleep(_POLL)
        raise PlandayUnavailable("another process is renewing the token and does not finish", retry_after=_PAUSE)

    async def _renew(self, instead_of: str | None, *, lock: str, owner: str) -> TokenRecord:
        try:
            return await self._renew_alone(instead_of)
        finally:
            await self._shared.drop_lock(lock, owner=owner)

    async def _renew_alone(self, instead_of: str | None) -> TokenRecord:
        """Under the lock: the refresh grant, unless the one who had the lock before made it already."""
        record = await self._record()
        if self._good(record, instead_of, until=record.renew_at):
            return record
        refresh_token = self._open(record.refresh)
        assert refresh_token is not None, "_record() leaves no token that cannot be opened"
        try:
            grant = await self._grant(refresh_token)
        except _RefusedByIdentity as refused:
            raise await self._lose(record, _refusal(refused)) from None
        except PlandayUnavailable as error:
            self._pause_until = self._clock() + min(error.retry_after or _PAUSE, 60.0)
            raise
        changes = self._stored(grant)
        if grant.refresh == refresh_token:
            changes["refresh"] = record.refresh
        # Stored before anybody uses it: a rotated token that is lost here would be lost for good.
        if not await self._shared.save_token(
            self._portal.id, changes, remove=_LOST, only_if=("refresh", record.refresh)
        ):
            raise PlandayUnavailable(f"portal {self._name}: its token was replaced meanwhile", retry_after=1.0)
        return TokenRecord.read({**changes, "configured": record.configured, "confirmed": str(int(record.confirmed))})

    async def _confirm(self, record: TokenRecord, token: str) -> None:
        """Before a new token's first use: two portals hold the same ids, so the wrong one would mix up people."""
        if record.confirmed:
            return
        async with self._here:
            if (await self.state()).confirmed:
                return
            whose = await self._whose(token)
            if whose not in (None, self._portal.id):
                raise await self._lose(record, OTHER_PORTAL)
            only_if = ("refresh", record.refresh)
            await self._shared.save_token(self._portal.id, {"confirmed": "1"}, only_if=only_if)

    # What is stored ----------------------------------------------------------------------------

    async def _record(self) -> TokenRecord:
        """The record; a process that just started first sees whether the config's own token changed."""
        record = await self.state()
        usable = record.refresh and self._open(record.refresh) is not None
        if self._config_checked and usable:
            return record
        configured = self._portal.refresh_token.reveal()
        fingerprint = self._cipher.fingerprint(configured)
        only_if = ("refresh", record.refresh)
        if not usable or not self._cipher.matches(configured, record.configured):
            changes = {"configured": fingerprint, "refresh": self._cipher.encrypt(configured)}
            remove = (*_ACCESS, *_LOST, "confirmed")
            await self._shared.save_token(self._portal.id, changes, remove=remove, only_if=only_if)
        elif record.configured != fingerprint:
            # The encryption key was exchanged: from now on the old one is not needed any more.
            changes = {"configured": fingerprint, "refresh": self._cipher.encrypt(self._open(record.refresh) or "")}
            await self._shared.save_token(self._portal.id, changes, remove=_ACCESS, only_if=only_if)
        self._config_checked = True
        return await self.state()

    async def _lose(self, record: TokenRecord, why: str) -> Exception:
        now = self._clock()
        changes = {"lost_since": f"{now:.3f}", "lost_why": why}
        only_if = ("refresh", record.refresh)
        if not await self._shared.save_token(self._portal.id, changes, remove=_ACCESS, only_if=only_if):
            return PlandayUnavailable(f"portal {self._name}: its token was replaced meanwhile", retry_after=1.0)
        return self._lost(replace(record, lost_since=now, lost_why=why))

    def _lost(self, record: TokenRecord) -> AuthorizationLost:
        since = rfc3339(record.lost_since or 0.0)
        return AuthorizationLost(f"portal {self._name} needs a new token since {since}: {record.lost_why}")

    def _good(self, record: TokenRecord, instead_of: str | None, *, until: float) -> bool:
        token = self._open(record.access) if record.access else None
        return token is not None and token != instead_of and self._clock() < until

    def _stored(self, grant: _Grant) -> dict[str, str]:
        now = self._clock()
        return {
            "refresh": self._cipher.encrypt(grant.refresh),
            "access": self._cipher.encrypt(grant.access),
            "renew_at": f"{now + max(grant.lifetime - _EARLY, grant.lifetime / 2):.3f}",
            "expires_at": f"{now + grant.lifetime:.3f}",
        }

    def _open(self, stored: str) -> str | None:
        """Decrypt; the latest few are remembered, since every call asks."""
        if stored not in self._opened:
            if len(self._opened) > 8:
                self._opened.clear()
            self._opened[stored] = self._cipher.decrypt(stored)
        return self._opened[stored]

    # The identity server -----------------------------------------------------------------------

    async def _grant(self, refresh_token: str) -> _Grant:
        form = {
            "client_id": self._portal.client_id.reveal(),
            "grant_type": "refresh_token",
            "refresh_token": refresh_token,
        }
        url = self._portal.identity_url.rstrip("/") + endpoints.TOKEN.template
        response = await self._wire.post_form(endpoints.TOKEN, url, form=form, timeout=_TIMEOUT)
        return _read_grant(response, refresh_token, now=self._clock())


def _read_grant(response: httpx.Response, refresh_token: str, *, now: float) -> _Grant:
    """What the identity server answered. The status decides: its error bodies are documented nowhere."""
    what = f"{endpoints.TOKEN.template}: {response.status_code}"
    if response.status_code in (400, 401):
        raise _RefusedByIdentity(response.status_code)
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
    return _Grant(
        access=access,
        refresh=rotated if isinstance(rotated, str) and rotated else refresh_token,
        lifetime=float(lifetime) if known else _LIFETIME,
    )


def _seen(renewal: asyncio.Task[TokenRecord]) -> None:
    """All who waited may be gone; a failure that nobody looks at would be reported as forgotten."""
    if not renewal.cancelled():
        renewal.exception()


def _refusal(refused: _RefusedByIdentity) -> str:
    return f"the identity server refuses the token ({refused.status})"
