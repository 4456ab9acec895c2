"""Planday's four budgets: what its headers say, and how long a call has to wait (planday-api.md 3).

The counting itself is shared by all processes (ports.Shared). Each request counts against a portal and a client id.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime

from relay.errors import BudgetSpent
from relay.planday.ports import Shared
from relay.settings.models import Portal

# The documentation contradicts itself (10 or 20 a second): the lower one, until a live answer says otherwise.
PORTAL_POLICY = "1=10,60=750"
CLIENT_POLICY = "1=100,60=2000"

LIVE, FEED, REPAIR, BULK = 0, 1, 2, 3
# What each priority leaves untouched of every budget for those above it, and how it is called.
_SPARE = {LIVE: 0.0, FEED: 0.2, REPAIR: 0.3, BULK: 0.4}
PURPOSES = {LIVE: "live", FEED: "feed", REPAIR: "repair", BULK: "bulk"}

_LONGEST_WAIT = 3600.0
_POLICY = re.compile(r"([0-9]{1,7})\s*;\s*w\s*=\s*([0-9]{1,5})")
_NUMBER = re.compile(r"[0-9]{1,7}(\.[0-9]{1,6})?")

Clock = Callable[[], float]
Sleep = Callable[[float], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class RateHeaders:
    """What `x-ratelimit-*` say; each part is None when it is missing or makes no sense."""

    quota: int | None = None
    portal_policy: str | None = None
    client_policy: str | None = None
    remaining: int | None = None
    reset: float | None = None

    @classmethod
    def read(cls, headers: Mapping[str, str]) -> RateHeaders:
        """Total: garbage gives None, never an error."""
        quota, portal, client = _limit(headers.get("x-ratelimit-limit", ""))
        remaining = _number(headers.get("x-ratelimit-remaining"))
        reset = _number(headers.get("x-ratelimit-reset"))
        return cls(
            quota=quota,
            portal_policy=portal,
            client_policy=client,
            remaining=None if remaining is None else int(remaining),
            reset=None if reset is None else min(reset, _LONGEST_WAIT),
        )

    def window(self) -> tuple[str, int] | None:
        """The scope and window that speak: the one whose limit is the quota. None if that is not one alone."""
        found = [
            (scope, window)
            for scope, policy in (("portal", self.portal_policy), ("client", self.client_policy))
            for window, limit in _pairs(policy)
            if limit == self.quota
        ]
        return found[0] if len(found) == 1 else None

    @staticmethod
    def retry_after(text: str | None, *, now: float) -> float | None:
        """Retry-After as seconds from now, in either of its forms."""
        if text is None:
            return None
        if (seconds := _number(text)) is not None:
            return min(seconds, _LONGEST_WAIT)
        try:
            at = parsedate_to_datetime(text)
        except (ValueError, OverflowError):
            return None
        try:
            seconds = (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() - now
        except (ValueError, OverflowError):
            return None
        return min(max(seconds, 0.0), _LONGEST_WAIT)


class Limiter:
    """One portal's way to the shared budgets."""

    def __init__(self, portal: Portal, *, shared: Shared, clock: Clock, sleep: Sleep, max_wait: float = 2.0) -> None:
        self._settings = portal
        self._portal = f"portal:{portal.id}"
        self._shared = shared
        self._clock = clock
        self._sleep = sleep
        self._max_wait = max_wait
        self._noted: tuple[str | None, str | None] = (None, None)

    @property
    def _client(self) -> str:
        digest = hashlib.blake2b(self._settings.client_id.reveal().encode(), digest_size=8)
        return f"client:{digest.hexdigest()}"

    async def enter(self, *, priority: int = LIVE) -> None:
        """Wait for room in all four budgets, a few seconds at most; after that the caller has to come back."""
        waited = 0.0
        while wait := await self._reserve(priority):
            if waited + wait > self._max_wait:
                raise BudgetSpent("Planday's rate limit leaves no room now", retry_after=round(wait, 3))
            wait += 0.02 * jitter()
            await self._sleep(wait)
            waited += wait

    async def observe(self, headers: RateHeaders) -> None:
        """Take over the live policy, and what is left if that is getting little."""
        policy = (headers.portal_policy, headers.client_policy)
        news = policy not in (self._noted, (None, None))
        left = self._left(headers)
        if news or left:
            await self._shared.note(
                portal=self._portal,
                client=self._client,
                now=self._clock(),
                portal_policy=policy[0] if news else None,
                client_policy=policy[1] if news else None,
                left=left,
            )
            if news:
                self._noted = policy

    async def block(self, headers: RateHeaders, *, seconds: float) -> None:
        """Let nobody call before a 429 is over."""
        window = headers.window()
        scope = window[0] if window else "portal"
        await self._shared.note(portal=self._portal, client=self._client, now=self._clock(), blocked=(scope, seconds))

    async def budget(self) -> tuple[float, tuple[tuple[str, int, int, int], ...]]:
        """How long a call would have to wait now, and what is left per (scope, window, limit)."""
        wait, windows = await self._shared.budget(
            portal=self._portal,
            client=self._client,
            now=self._clock(),
            portal_policy=PORTAL_POLICY,
            client_policy=CLIENT_POLICY,
        )
        return wait, tuple(windows)

    async def _reserve(self, priority: int) -> float:
        return await self._shared.reserve(
            portal=self._portal,
            client=self._client,
            now=self._clock(),
            spare=_SPARE.get(priority, _SPARE[BULK]),
            purpose=PURPOSES.get(priority, PURPOSES[BULK]),
            portal_policy=PORTAL_POLICY,
            client_policy=CLIENT_POLICY,
        )

    def _left(self, headers: RateHeaders) -> tuple[str, int, int, float] | None:
        window = headers.window()
        if window is None or headers.quota is None or headers.remaining is None or headers.reset is None:
            return None
        # While there is plenty, our own count is good enough and the extra step is not worth it.
        if headers.remaining * 2 > headers.quota:
            return None
        return (*window, headers.remaining, min(headers.reset, float(window[1])))


def jitter() -> float:
    """From 0 to 1, so that those who were sent away together do not come back together."""
    return secrets.randbelow(1000) / 1000


def _limit(text: str) -> tuple[int | None, str | None, str | None]:
    """The quota, then the policies of the portal and of the client; in that order they are written."""
    first, _, rest = text.partition(",")
    quota = _number(first.strip())
    found = _POLICY.findall(rest)
    windows = [int(window) for _, window in found]
    half = len(windows) // 2
    if half == 0 or len(windows) % 2 or windows[:half] != windows[half:] or len(set(windows[:half])) != half:
        return (None if quota is None else int(quota)), None, None
    if any(int(limit) < 1 for limit, _ in found) or not all(1 <= window <= _LONGEST_WAIT for window in windows):
        return (None if quota is None else int(quota)), None, None
    written = [f"{window}={int(limit)}" for limit, window in found]
    return (None if quota is None else int(quota)), ",".join(written[:half]), ",".join(written[half:])


def _pairs(policy: str | None) -> list[tuple[int, int]]:
    return [
        (int(window), int(limit))
        for window, _, limit in (part.partition("=") for part in (policy or "").split(","))
        if limit
    ]


def _number(text: str | None) -> float | None:
    if text is None or not _NUMBER.fullmatch(text.strip()):
        return None
    return min(float(text), 1e7)
