"""The authorisation code flow: from a link for an administrator to a token for every process (planday-api.md 2.3).

A `state` is made for one portal, is kept as a hash for ten minutes, and works once: whoever comes back from Planday
without one that we made changes nothing.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import pydantic_core
from redis.asyncio import Redis

from relay.settings import Portal
from relay.store.client import command
from relay.store.keys import Keys

LIFE = 600
"""Seconds within which an administrator has to agree."""
PATH = "/connect/callback"
"""Where Planday sends the administrator's browser back to; an address with this path is registered with the app."""

_ALWAYS = ("openid", "offline_access")
# What is read to enrich an event, whatever the feeds.
_ENRICHING = ("employee:read", "department:read", "employeegroup:read", "shift:read", "shiftposition:read")
# Where no feed says what matters, senders may tell of these too.
_TOLD = ("punchclockshift:read", "absence:read", "shifttype:read")
FEED_SCOPES: Mapping[str, tuple[str, ...]] = {
    "employees": ("employee:read",),
    "shifts": ("shift:read",),
    "punchclock": ("punchclockshift:read",),
    "absence": ("absence:read",),
    "payroll": ("payroll:read", "department:read"),
    "reference": ("department:read", "employeegroup:read", "shiftposition:read", "shifttype:read"),
}
"""The scopes that each feed cannot do without."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Awaited:
    """An administrator's consent that somebody waits for."""

    portal: str
    redirect_uri: str


class Consents:
    """The consents that are awaited. Raises StoreError."""

    def __init__(self, client: Redis, keys: Keys) -> None:
        self._client = client
        self._keys = keys

    async def begin(self, portal: str, *, redirect_uri: str) -> str:
        """A new `state` for one portal."""
        state = secrets.token_urlsafe(32)
        body = pydantic_core.to_json({"portal": portal, "redirect_uri": redirect_uri})
        await command(self._client, "SET", self._key(state), body, "EX", LIFE)
        return state

    async def redeem(self, state: str) -> Awaited | None:
        """What a `state` was made for, once; None for one that is unknown, used or too old."""
        raw = await command(self._client, "GETDEL", self._key(state))
        if raw is None:
            return None
        body = pydantic_core.from_json(raw)
        return Awaited(portal=body["portal"], redirect_uri=body["redirect_uri"])

    async def tell(self, state: str, answer: Mapping[str, Any]) -> None:
        """What came of it, for whoever began it."""
        key = f"{self._key(state)}:answer"
        await command(self._client, "RPUSH", key, pydantic_core.to_json(dict(answer)))
        await command(self._client, "EXPIRE", key, LIFE)

    async def answer(self, state: str, *, seconds: float) -> dict[str, Any] | None:
        """Wait for what came of it; None when nothing did. The client's socket must be willing to wait that long."""
        found = await command(self._client, "BLPOP", f"{self._key(state)}:answer", seconds)
        return None if found is None else dict(pydantic_core.from_json(found[1]))

    def _key(self, state: str) -> str:
        return self._keys.consent(hashlib.blake2b(state.encode(), digest_size=16).hexdigest())


def link(portal: Portal, *, state: str, redirect_uri: str) -> str:
    """Where an administrator agrees: Planday's consent screen, for all scopes that this configuration needs."""
    query = {
        "client_id": portal.client_id.reveal(),
        "response_type": "code",
        "redirect_uri": redirect_uri,
        "scope": " ".join(scopes(portal.feeds)),
        "state": state,
    }
    return f"{portal.identity_url}/connect/authorize?{urlencode(query)}"


def scopes(feeds: Sequence[str]) -> tuple[str, ...]:
    """The scopes that enrichment and these feeds need, each once; without feeds all that senders may tell of."""
    wanted = (*_ALWAYS, *_ENRICHING, *(scope for feed in feeds for scope in FEED_SCOPES[feed]))
    wanted += () if feeds else _TOLD
    return tuple(dict.fromkeys(wanted))
