"""The token in this process's configuration: tried before it replaces one that is stored, and judged once for all.

Hosts may hold different configurations, and a shell an old one. So what is stored and works stays in force until a
configured token shows up that nobody has seen, works, and is this portal's. One that was in force earlier is tried
again only when the stored one is dead; one that was refused, after a while.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from relay.planday.answers import Unauthorised
from relay.planday.identity import Grant, Identity, Refused
from relay.planday.limits import Clock
from relay.planday.tokens import OTHER_PORTAL, Access, Book, TokenRecord, other_portal, pair
from relay.settings.models import Portal

# A refused token is not tried again for so long; one that could not be tried waits the shorter time.
_REFUSED_FOR, _UNREACHED_FOR = 3600.0, 60.0
NOT_TAKEN = "Planday does not take a token that was just renewed (401)"
_UNPROVEN = "Planday does not let it say which portal it belongs to (403), and the stored one works"

# Asks Planday which portal an access token belongs to; None if it may not say.
Whose = Callable[[Access], Awaitable[int | None]]


@dataclass(frozen=True, slots=True)
class Standing:
    """`in force`: what is stored came with it; `earlier`: it was in force once; `refused`, and why; `untried`."""

    word: Literal["in force", "earlier", "refused", "untried"]
    at: float = 0.0
    why: str = ""


class Candidate:
    """One portal's configured token."""

    def __init__(self, portal: Portal, *, book: Book, identity: Identity, whose: Whose, clock: Clock) -> None:
        self._portal = portal
        self._book = book
        self._identity = identity
        self._whose = whose
        self._clock = clock
        self._not_before = 0.0

    @cached_property
    def client_id(self) -> str:
        return self._portal.client_id.reveal()

    @cached_property
    def token(self) -> str:
        """The token itself, "" where the configuration has none."""
        return "" if self._portal.refresh_token is None else self._portal.refresh_token.reveal()

    @cached_property
    def fingerprint(self) -> str:
        """Of token and App ID: neither works without the other."""
        return self._book.cipher.fingerprint(self._text)

    def is_in_force(self, record: TokenRecord) -> bool:
        """Whether what is stored came with it."""
        return record.configured == self.fingerprint or self._matches(record.configured)

    def standing(self, record: TokenRecord) -> Standing:
        """What is known of it."""
        if self._book.readable(record) and self.is_in_force(record):
            return Standing("in force")
        seen = record.seen.get(self.fingerprint)
        if seen is None:
            seen = next((one for name, one in record.seen.items() if self._matches(name)), None)
        if seen is None:
            return Standing("untried")
        return Standing("refused" if seen.verdict == "refused" else "earlier", seen.at, seen.why)

    def due(self, record: TokenRecord, *, anew: bool = False) -> bool:
        """Whether it is to be tried now; `anew`: an operator asks, who may have mended what is dead."""
        serves = self._book.serves(record)
        if not self.token:
            return False
        if self._clock() < self._not_before and (serves or not anew):
            return False
        standing = self.standing(record)
        match standing.word:
            case "in force":
                return False
            case "earlier":
                return not serves
            case "refused":
                if standing.why.startswith(OTHER_PORTAL):
                    return False  # that will never change
                return (
                    (anew or standing.why == _UNPROVEN) and not serves
                ) or self._clock() >= standing.at + _REFUSED_FOR
            case "untried":
                return True

    def put_off(self) -> None:
        """It could not be tried: this process does without it for a while."""
        self._not_before = self._clock() + _UNREACHED_FOR

    async def attempt(self, *, anew: bool) -> None:
        """Under the lock: take it if it works and is this portal's, else remember that it is refused."""
        record = await self._book.read()
        if not self.due(record, anew=anew):
            return
        try:
            grant, whose = await self._proven(record)
        except Refused as refused:
            await self._book.refuse(record, self.fingerprint, str(refused))
            return
        if whose is not None and whose != self._portal.id:
            if grant.refresh != self.token:
                await self.hand_over(whose, grant)
            why = other_portal(whose, self._portal.id)
            await self._book.refuse(record, self.fingerprint, why, handed_over=True)
        elif whose is None and self._book.serves(record):
            await self._book.refuse(record, self.fingerprint, _UNPROVEN)
        else:
            # If an operator entered a token meanwhile, that one stays.
            await self._book.adopt(record, grant, client_id=self.client_id, configured=self.fingerprint)

    async def hand_over(self, whose: int, grant: Grant) -> None:
        """It is another portal's, and was used up here."""
        await self._book.hand_over(whose, grant, used=self.token, client_id=self.client_id)

    async def _proven(self, record: TokenRecord) -> tuple[Grant, int | None]:
        """What it buys and whose it is; what an earlier try left behind goes first."""
        pending = self._book.open(record.pending.get(self.fingerprint, ""))
        if pending is not None:
            try:
                return await self._tried(pending)
            except Refused:
                pass
        return await self._tried(self.token)

    async def _tried(self, token: str) -> tuple[Grant, int | None]:
        for _ in range(2):
            grant = await self._identity.grant(token, client_id=self.client_id)
            if grant.refresh != token:
                # Used up: its successor is safe before anything else happens.
                await self._book.keep({f"pending:{self.fingerprint}": self._book.cipher.encrypt(grant.refresh)})
                token = grant.refresh
            try:
                return grant, await self._whose(Access(grant.access, self.client_id))
            except Unauthorised:
                continue
        raise Refused(NOT_TAKEN)

    @property
    def _text(self) -> str:
        return pair(self.client_id, self.token)

    def _matches(self, fingerprint: str) -> bool:
        return self._book.cipher.matches(self._text, fingerprint)
