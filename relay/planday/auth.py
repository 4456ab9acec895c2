"""A portal's authorisation: refresh token in, access token out, one renewal at a time over all processes.

Planday's tokens are tied to one administrator and die with that account (planday-api.md 2.6). A dead one is recorded
where every process sees it, and nobody calls any more until another token comes: from the config, once its own value
changes (candidate.py), or from an operator.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import replace

from relay.errors import AuthorizationLost, PlandayUnavailable, WrongPortal
from relay.events import rfc3339
from relay.planday.answers import Unauthorised
from relay.planday.candidate import NOT_TAKEN, Candidate, Standing, Whose
from relay.planday.identity import Grant, Identity, Refused
from relay.planday.limits import Clock, Sleep
from relay.planday.ports import Cipher, Shared
from relay.planday.tokens import ACCESS, LOST, OTHER_PORTAL, PREVIOUS, Access, Book, TokenRecord, other_portal
from relay.planday.wire import Wire
from relay.settings.models import Portal

# A renewal is one call; a candidate is tried with a few.
_LOCK, _LONG_LOCK = 15.0, 45.0
_POLL, _POLLS = 0.1, 150
_AGAIN = 5.0


class _WentBack(PlandayUnavailable):
    """The token in force failed, and the one before it is in force again."""


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
        self._id = portal.id
        self._shared = shared
        self._clock = clock
        self._sleep = sleep
        self._whose = whose
        self._book = Book(portal.id, shared=shared, cipher=cipher, clock=clock)
        self._identity = Identity(portal.identity_url, wire=wire, clock=clock)
        self._candidate = Candidate(portal, book=self._book, identity=self._identity, whose=whose, clock=clock)
        self._here = asyncio.Lock()
        self._work: asyncio.Task[None] | None = None

    async def access(self, *, instead_of: str | None = None, even_if_lost: bool = False) -> Access:
        """An access token that is good now and belongs to this portal; `instead_of` is one that got a 401."""
        for last in (False, True):
            record = await self._current(instead_of, even_if_lost=even_if_lost)
            access = Access(self._book.open(record.access) or "", self._client(record))
            try:
                await self._confirm(record, access)
            except Unauthorised:
                if last:
                    raise await self.lose(access.token) from None
                instead_of = access.token
            else:
                return access
        raise AssertionError

    async def lose(self, token: str, *, why: str = NOT_TAKEN) -> Exception:
        """Record that the authorisation is dead, unless there is another token by now; gives the error to raise."""
        record = await self._book.read()
        if self._book.open(record.access) != token:
            return self._replaced()
        return await self._lose(record, why)

    async def adopt(self, refresh_token: str) -> None:
        """Take a token that an operator entered, once it is known to work and to be this portal's."""
        try:
            grant = await self._identity.grant(refresh_token, client_id=self._candidate.client_id)
        except Refused as refused:
            raise AuthorizationLost(f"portal {self._name}: {refused}") from None
        await self._take(grant, refresh_token)

    async def exchange(self, code: str, *, redirect_uri: str) -> None:
        """Take what an administrator has just agreed to, once it is known to be this portal's."""
        try:
            grant = await self._identity.exchange(code, client_id=self._candidate.client_id, redirect_uri=redirect_uri)
        except Refused as refused:
            raise AuthorizationLost(f"portal {self._name}: {refused}") from None
        await self._take(grant, "")

    async def _take(self, grant: Grant, refresh_token: str) -> None:
        client_id = self._candidate.client_id
        try:
            whose = await self._whose(Access(grant.access, client_id))
        except Unauthorised:
            raise AuthorizationLost(f"portal {self._name}: Planday does not take this token (401)") from None
        except PlandayUnavailable:
            if grant.refresh != refresh_token:
                # The one that was entered is used up; this one is checked before its first use instead.
                await self._enter(grant, confirmed=False)
            raise
        if whose is not None and whose != self._id:
            if grant.refresh != refresh_token:
                await self._book.hand_over(whose, grant, used=refresh_token, client_id=client_id)
            raise WrongPortal(f"portal {self._name}: {other_portal(whose, self._id)}")
        await self._enter(grant, confirmed=True)
        self._identity.pause_until = 0.0

    async def state(self) -> TokenRecord:
        """What is recorded now, without any call to Planday."""
        return await self._book.read()

    def standing(self, record: TokenRecord) -> Standing:
        """What is known of the token in this process's configuration."""
        return self._candidate.standing(record)

    async def aclose(self) -> None:
        """Let a renewal that is under way end: its answer must be stored."""
        if self._work is not None:
            await asyncio.wait([self._work])

    # A token that is good now ------------------------------------------------------------------

    async def _current(self, instead_of: str | None, *, even_if_lost: bool) -> TokenRecord:
        record = await self._settled(anew=even_if_lost)
        if record.lost and (not even_if_lost or record.lost_why.startswith(OTHER_PORTAL)):
            raise self._lost(record)
        if self._good(record, instead_of, until=record.renew_at):
            return record
        try:
            return await self._renewed(instead_of, even_if_lost=even_if_lost)
        except PlandayUnavailable:
            # Renewal is early on purpose: while the identity server is away, the old token still serves.
            if record.lost or not self._good(record, instead_of, until=record.expires_at - 5.0):
                raise
            return record

    async def _settled(self, *, anew: bool) -> TokenRecord:
        """The record, after the configured token had its chance if it is due for one."""
        record = await self._record()
        if self._candidate.due(record, anew=anew):
            try:
                record = await self._alone(
                    lambda: self._candidate.attempt(anew=anew),
                    settled=lambda now: not self._candidate.due(now, anew=anew),
                    seconds=_LONG_LOCK,
                )
            except PlandayUnavailable:
                self._candidate.put_off()
                if not self._book.serves(record):
                    raise
        if not self._book.readable(record):
            # Not recorded as lost: other processes may have the key.
            standing = self._candidate.standing(record)
            text = f"portal {self._name}: no key of ours opens the stored token"
            if standing.word != "refused":
                raise PlandayUnavailable(f"{text}; the configured one could not be tried", retry_after=_AGAIN)
            raise AuthorizationLost(f"{text}, and the one in this configuration does not work: {standing.why}")
        return record

    async def _renewed(self, instead_of: str | None, *, even_if_lost: bool) -> TokenRecord:
        def settled(record: TokenRecord) -> bool:
            if self._good(record, instead_of, until=record.renew_at):
                return True
            if record.lost and not even_if_lost:
                raise self._lost(record)
            return False

        return await self._alone(lambda: self._renew(instead_of), settled=settled, seconds=_LOCK)

    async def _alone(
        self, work: Callable[[], Awaitable[None]], *, settled: Callable[[TokenRecord], bool], seconds: float
    ) -> TokenRecord:
        """The record once it is settled, by whoever has the lock: another process, or `work` here."""
        lock, owner = f"token:{self._id}", secrets.token_hex(8)
        async with self._here:
            for _ in range(_POLLS):
                record = await self._book.read()
                if settled(record):
                    return record
                if (wait := self._identity.pause_until - self._clock()) > 0:
                    raise PlandayUnavailable("the identity server did not answer a moment ago", retry_after=wait)
                if await self._shared.take_lock(lock, owner=owner, seconds=seconds):
                    # A caller may be cancelled while a rotated token is on its way: the work goes on to its end.
                    self._work = asyncio.create_task(self._locked(work, lock=lock, owner=owner))
                    self._work.add_done_callback(_seen)
                    await asyncio.shield(self._work)
                    return await self._book.read()
                await self._sleep(_POLL)
        raise PlandayUnavailable("another process is renewing the token and does not finish", retry_after=_AGAIN)

    async def _locked(self, work: Callable[[], Awaitable[None]], *, lock: str, owner: str) -> None:
        try:
            await work()
        finally:
            await self._shared.drop_lock(lock, owner=owner)

    async def _renew(self, instead_of: str | None) -> None:
        """Under the lock: the refresh grant, unless the one who had the lock before made it already."""
        while True:
            record = await self._book.read()
            if self._good(record, instead_of, until=record.renew_at):
                return
            refresh_token = self._book.open(record.refresh)
            if refresh_token is None:
                raise self._replaced()
            try:
                grant = await self._identity.grant(refresh_token, client_id=self._client(record))
            except Refused as refused:
                error = await self._lose(record, str(refused))
                if isinstance(error, _WentBack):
                    continue
                raise error from None
            changes = self._book.granted(grant)
            remove = [*LOST]
            if grant.refresh == refresh_token:
                changes["refresh"] = record.refresh
            # One that is not known to be this portal's has not worked, and is nothing to go back to.
            if record.confirmed and grant.refresh == refresh_token:
                remove += PREVIOUS
            elif record.confirmed:
                changes |= record.as_previous()
            # Stored before anybody uses it: a rotated token that is lost here would be lost for good.
            if not await self._book.change(record, changes, remove=remove):
                raise self._replaced()
            return

    async def _confirm(self, record: TokenRecord, access: Access) -> None:
        """Before a new token's first use: two portals hold the same ids, so the wrong one would mix up people."""
        if record.confirmed:
            return
        async with self._here:
            if (await self._book.read()).confirmed:
                return
            whose = await self._whose(access)
            if whose is not None and whose != self._id:
                await self._give_back(record, access, whose)
                raise await self._lose(record, other_portal(whose, self._id))
            await self._book.change(record, {"confirmed": "1"})

    async def _give_back(self, record: TokenRecord, access: Access, whose: int) -> None:
        refresh = self._book.open(record.refresh)
        if refresh is not None and refresh != self._candidate.token and self._candidate.is_in_force(record):
            left = max(record.expires_at - self._clock(), 0.0)
            await self._candidate.hand_over(whose, Grant(access.token, refresh, left))

    # What is stored ----------------------------------------------------------------------------

    async def _record(self) -> TokenRecord:
        """The record. The first process of all makes it of its configured token."""
        record = await self._book.read()
        mine, cipher = self._candidate, self._book.cipher
        if not record.refresh:
            if not mine.token:
                raise AuthorizationLost(f"portal {self._name} has no token yet: relay portals connect {self._name}")
            changes = {"refresh": cipher.encrypt(mine.token), "client": cipher.encrypt(mine.client_id)}
        elif record.configured != mine.fingerprint and self._book.readable(record) and mine.is_in_force(record):
            # The encryption key was exchanged: from now on the old one is not needed any more.
            opened = self._book.open(record.refresh) or ""
            changes = {"refresh": cipher.encrypt(opened), "client": cipher.encrypt(self._client(record))}
        else:
            return record
        changes["configured"] = mine.fingerprint
        await self._book.change(record, changes, remove=(*ACCESS, *PREVIOUS))
        return await self._book.read()

    async def _enter(self, grant: Grant, *, confirmed: bool) -> None:
        """Put an entered token in force, whatever else happens at the same moment."""
        client_id, configured = self._candidate.client_id, self._candidate.fingerprint
        while not await self._book.adopt(
            await self._book.read(), grant, client_id=client_id, configured=configured, confirmed=confirmed
        ):
            pass

    async def _lose(self, record: TokenRecord, why: str) -> Exception:
        if self._book.open(record.previous) is not None:
            if not await self._book.go_back(record, why):
                return self._replaced()
            return _WentBack(f"portal {self._name}: {why}; the one before is tried again", retry_after=1.0)
        # Tried anew and still dead: it is the same loss, which began when it began.
        now = self._clock() if record.lost_since is None else record.lost_since
        changes = {"lost_since": f"{now:.3f}", "lost_why": why}
        if not await self._book.change(record, changes, remove=ACCESS):
            return self._replaced()
        return self._lost(replace(record, lost_since=now, lost_why=why))

    def _lost(self, record: TokenRecord) -> AuthorizationLost:
        since = rfc3339(record.lost_since or 0.0)
        text = f"portal {self._name} needs a new token since {since}: {record.lost_why}"
        if why := self._candidate.standing(record).why:
            text += f"; the one in this configuration does not work either: {why}"
        return AuthorizationLost(text)

    def _replaced(self) -> PlandayUnavailable:
        return PlandayUnavailable(f"portal {self._name}: its token was replaced meanwhile", retry_after=1.0)

    def _client(self, record: TokenRecord) -> str:
        """The App ID that the stored token goes with; this process's configuration may name another."""
        return self._book.open(record.client) or self._candidate.client_id

    def _good(self, record: TokenRecord, instead_of: str | None, *, until: float) -> bool:
        token = self._book.open(record.access)
        return token is not None and token != instead_of and self._clock() < until


def _seen(work: asyncio.Task[None]) -> None:
    """All who waited may be gone; a failure that nobody looks at would be reported as forgotten."""
    if not work.cancelled():
        work.exception()
