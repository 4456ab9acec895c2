"""What is stored of a portal's authorisation: read, opened, and changed in one step each.

Fields of the record, tokens and App IDs encrypted:

    refresh client configured                      in force; the fingerprint of the configured token it came with
    access renew_at expires_at confirmed           what it bought; whether it is known to be this portal's
    previous previous_client previous_configured   the one before, until the one in force has worked once
    lost_since lost_why                            dead
    seen:FINGERPRINT                               a configured token that was in force earlier, or was refused
    pending:FINGERPRINT                            what Planday made of a configured token that is being tried
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Self

from relay.planday.identity import Grant
from relay.planday.limits import Clock
from relay.planday.ports import Cipher, Shared

# How early live clients renew.
_EARLY = 120.0
# So many configured tokens that are not in force are remembered.
_SEEN = 32

LOST = ("lost_since", "lost_why")
ACCESS = ("access", "renew_at", "expires_at")
PREVIOUS = ("previous", "previous_client", "previous_configured")
OTHER_PORTAL = "the token belongs to another portal"

Authorisation = Literal["ok", "lost", "untried"]


class Access(NamedTuple):
    """An access token and the App ID that it goes with."""

    token: str
    client_id: str


class Seen(NamedTuple):
    """What became of a configured token that is not in force."""

    verdict: str
    at: float
    why: str

    def __str__(self) -> str:
        return f"{self.verdict} {self.at:.3f} {self.why}"


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRecord:
    """A portal's record, as it is stored."""

    configured: str = ""
    client: str = ""
    refresh: str = ""
    access: str = ""
    renew_at: float = 0.0
    expires_at: float = 0.0
    confirmed: bool = False
    previous: str = ""
    previous_client: str = ""
    previous_configured: str = ""
    lost_since: float | None = None
    lost_why: str = ""
    seen: Mapping[str, Seen] = field(default_factory=dict)
    pending: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, stored: Mapping[str, str]) -> Self:
        """From the store's fields; anything may be missing."""
        seen: dict[str, Seen] = {}
        pending: dict[str, str] = {}
        for name, value in stored.items():
            kind, _, fingerprint = name.partition(":")
            if kind == "seen":
                verdict, at, why = value.split(" ", 2)
                seen[fingerprint] = Seen(verdict, float(at), why)
            elif kind == "pending":
                pending[fingerprint] = value
        return cls(
            configured=stored.get("configured", ""),
            client=stored.get("client", ""),
            refresh=stored.get("refresh", ""),
            access=stored.get("access", ""),
            renew_at=float(stored.get("renew_at", 0)),
            expires_at=float(stored.get("expires_at", 0)),
            confirmed=stored.get("confirmed") == "1",
            previous=stored.get("previous", ""),
            previous_client=stored.get("previous_client", ""),
            previous_configured=stored.get("previous_configured", ""),
            lost_since=float(stored["lost_since"]) if "lost_since" in stored else None,
            lost_why=stored.get("lost_why", ""),
            seen=seen,
            pending=pending,
        )

    @property
    def lost(self) -> bool:
        """Nobody calls with it any more."""
        return self.lost_since is not None

    @property
    def authorisation(self) -> Authorisation:
        """`untried`: nothing was read with it yet."""
        return "lost" if self.lost else "ok" if self.confirmed else "untried"

    def as_previous(self) -> dict[str, str]:
        """Its token as the one before the next."""
        return dict(zip(PREVIOUS, (self.refresh, self.client, self.configured), strict=True))


def authorisation(stored: Mapping[str, str]) -> Authorisation:
    """The state of a stored record; no key is needed for it."""
    return TokenRecord.read(stored).authorisation


def other_portal(whose: object, configured: int) -> str:
    """What is said of a token of another portal: nothing of that portal but its id."""
    named = f" (id {whose})" if isinstance(whose, int) else ""
    return f"{OTHER_PORTAL}{named}, not to {configured}: `id` and `refresh_token` of two portals are mixed up"


def pair(client_id: str, token: str) -> str:
    """What a fingerprint is of: neither of them works without the other."""
    return f"{client_id}\n{token}"


class Book:
    """One portal's record. A change that was decided by a record is made only while its refresh token is there."""

    def __init__(self, portal: int, *, shared: Shared, cipher: Cipher, clock: Clock) -> None:
        self.portal = portal
        self._shared = shared
        self.cipher = cipher
        self._clock = clock
        self._opened: dict[str, str | None] = {}

    async def read(self) -> TokenRecord:
        """What is stored now."""
        return TokenRecord.read(await self._shared.token(self.portal))

    async def change(self, record: TokenRecord, changes: Mapping[str, str], *, remove: Sequence[str] = ()) -> bool:
        """Change it, unless its refresh token was replaced since it was read."""
        only_if = ("refresh", record.refresh)
        return await self._shared.save_token(self.portal, changes, remove=remove, only_if=only_if)

    async def keep(self, changes: Mapping[str, str]) -> None:
        """Add to it whatever happened meanwhile."""
        await self._shared.save_token(self.portal, changes)

    async def adopt(
        self, record: TokenRecord, grant: Grant, *, client_id: str, configured: str, confirmed: bool = True
    ) -> bool:
        """Another token comes into force; the one before is kept until this one has worked once more."""
        changes = {**self.granted(grant), "client": self.cipher.encrypt(client_id), "configured": configured}
        remove = [*LOST, f"pending:{configured}", f"seen:{configured}"]
        if confirmed:
            changes["confirmed"] = "1"
        else:
            remove.append("confirmed")
        if record.confirmed and self.serves(record):
            changes |= record.as_previous()
        else:
            remove += PREVIOUS
        self._replaces(record, changes, remove)
        return await self.change(record, changes, remove=remove)

    async def refuse(self, record: TokenRecord, configured: str, why: str, *, handed_over: bool = False) -> bool:
        """A configured token is not taken: that is remembered, and what is in force stays."""
        changes: dict[str, str] = {}
        remove = [f"pending:{configured}"] if handed_over else []
        self._remember(record, configured, self._seen("refused", why), changes, remove)
        return await self.change(record, changes, remove=remove)

    async def go_back(self, record: TokenRecord, why: str) -> bool:
        """The token in force fails before it has worked once: the one before is in force again."""
        changes = dict(
            zip(("refresh", "client", "configured"), (getattr(record, name) for name in PREVIOUS), strict=True)
        )
        remove = [*ACCESS, *PREVIOUS, *LOST, "confirmed"]
        if record.previous_configured != record.configured:
            self._remember(record, record.configured, self._seen("refused", why), changes, remove)
            remove.append(f"seen:{record.previous_configured}")
        return await self.change(record, changes, remove=remove)

    async def hand_over(self, portal: int, grant: Grant, *, used: str, client_id: str) -> None:
        """Another portal's token was used up by trying it here: what Planday made of it goes to where it belongs.

        `used` is "" for a consent: that may have ended the token before it, so a portal that has one goes on with
        this, and keeps the other until this has worked once more.
        """
        theirs = TokenRecord.read(await self._shared.token(portal))
        same = self.open(theirs.refresh) == used
        if not used and not theirs.refresh:
            return
        if used and theirs.refresh and not theirs.lost and not same:
            return
        changes = {**self.granted(grant), "client": self.cipher.encrypt(client_id), "confirmed": "1"}
        remove = [*LOST]
        if not used and theirs.confirmed and self.serves(theirs):
            changes |= theirs.as_previous()
        else:
            remove += PREVIOUS
        if used and not same:
            changes["configured"] = self.cipher.fingerprint(pair(client_id, used))
            self._replaces(theirs, changes, remove)
        await self._shared.save_token(portal, changes, remove=remove, only_if=("refresh", theirs.refresh))

    def granted(self, grant: Grant) -> dict[str, str]:
        """The fields that a grant fills."""
        now = self._clock()
        return {
            "refresh": self.cipher.encrypt(grant.refresh),
            "access": self.cipher.encrypt(grant.access),
            "renew_at": f"{now + max(grant.lifetime - _EARLY, grant.lifetime / 2):.3f}",
            "expires_at": f"{now + grant.lifetime:.3f}",
        }

    def readable(self, record: TokenRecord) -> bool:
        """Whether a key of ours opens it."""
        return bool(record.refresh) and self.open(record.refresh) is not None

    def serves(self, record: TokenRecord) -> bool:
        """Whether there is an authorisation that works, as far as is known."""
        return not record.lost and self.readable(record)

    def open(self, stored: str) -> str | None:
        """Decrypt; the latest few are remembered, since every call asks."""
        if not stored:
            return None
        if stored not in self._opened:
            if len(self._opened) > 8:
                self._opened.clear()
            self._opened[stored] = self.cipher.decrypt(stored)
        return self._opened[stored]

    def _replaces(self, record: TokenRecord, changes: dict[str, str], remove: list[str]) -> None:
        """The configured token that is in force now is no more."""
        if record.configured and record.configured != changes["configured"]:
            lost = Seen("refused", record.lost_since or 0.0, record.lost_why)
            self._remember(record, record.configured, lost if record.lost else self._seen("earlier"), changes, remove)

    def _seen(self, verdict: str, why: str = "") -> Seen:
        return Seen(verdict, self._clock(), why)

    @staticmethod
    def _remember(
        record: TokenRecord, fingerprint: str, seen: Seen, changes: dict[str, str], remove: list[str]
    ) -> None:
        changes[f"seen:{fingerprint}"] = str(seen)
        others = sorted((one.at, name) for name, one in record.seen.items() if name != fingerprint)
        remove += [f"{kind}:{name}" for _, name in others[: -_SEEN + 1] for kind in ("seen", "pending")]
