"""What was read from Planday a moment ago, shared by all processes, and one read at a time of the same record.

An entry is (when it was read, a body or why there is none). Whoever needs a record as it was after some moment says
`not_before`: neither an older entry nor a read that began earlier is good enough then.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import pydantic_core

from relay.planday.limits import Clock, Sleep
from relay.planday.ports import CacheKey, Shared

# How long each kind may be old; what is missing here is an event's own record, read anew for each event.
LIFETIMES = {
    "portal": 3600.0,
    "department": 3600.0,
    "employee_group": 3600.0,
    "position": 3600.0,
    "shift_type": 3600.0,
    "account_type": 3600.0,
    "employee": 300.0,
}
# Where the change feed watches people, it is the feed that makes an old entry useless, within minutes of a change.
WATCHED_LIFETIMES = {**LIFETIMES, "employee": 3600.0}
OWN_LIFETIME = 60.0
NOTHING_LIFETIME = 60.0

# The lock of a read gives way after this; those who wait for it look again in short steps.
_LOCK = 10.0
_POLL, _POLLS = 0.05, 60
_FORGOTTEN = "forgotten"


@dataclass(frozen=True, slots=True)
class Entry:
    """What was read at a moment: a body, or the reason why there is none."""

    at: float
    body: Any = None
    why: str = ""

    def to_json(self) -> bytes:
        return pydantic_core.to_json({"at": self.at, "body": self.body, "why": self.why})

    @classmethod
    def from_json(cls, raw: bytes | None) -> Entry | None:
        """None for nothing, and for what another release may have written otherwise."""
        if raw is None:
            return None
        try:
            stored = pydantic_core.from_json(raw)
            return cls(at=float(stored["at"]), body=stored["body"], why=str(stored["why"]))
        except (ValueError, TypeError, KeyError):
            return None


# The same few people, departments and groups stand behind most events: what was decoded once is decoded.
_entry = lru_cache(maxsize=4096)(Entry.from_json)

# Reads from Planday: a body, or None and the reason.
Read = Callable[[], Awaitable[tuple[Any, str]]]


@dataclass(frozen=True, slots=True)
class _Flight:
    began: float
    task: asyncio.Task[Entry]


class Cache:
    """The shared cache of all portals, as one process sees it."""

    def __init__(self, *, shared: Shared, clock: Clock, sleep: Sleep) -> None:
        self._shared = shared
        self._clock = clock
        self._sleep = sleep
        self._flights: dict[CacheKey, _Flight] = {}

    async def peek(self, keys: Sequence[CacheKey], *, not_before: float = 0.0) -> list[Entry | None]:
        """What is known of several records, in one step."""
        entries = [_entry(raw) for raw in await self._shared.cached(keys)]
        return [entry if entry and entry.at >= not_before and entry.why != _FORGOTTEN else None for entry in entries]

    async def read(self, key: CacheKey, read: Read, *, lifetime: float, not_before: float = 0.0) -> Entry:
        """Read a record, or join the one who is reading it; several callers cost one call."""
        # Clocks of two machines differ a little, and nobody can ask for what is read later than now.
        not_before = min(not_before, self._clock())
        while True:
            flight = self._flights.get(key)
            joined = flight is not None and flight.began >= not_before and not flight.task.done()
            if flight is None or not joined:
                task = asyncio.create_task(self._fly(key, read, lifetime=lifetime, not_before=not_before))
                flight = self._flights[key] = _Flight(self._clock(), task)
                task.add_done_callback(partial(self._landed, key))
            # A caller that gives up does not take the others with it.
            entry = await asyncio.shield(flight.task)
            # Whoever began it may have been content with an older entry than we are.
            if not joined or entry.at >= not_before:
                return entry

    async def forget(self, key: CacheKey, *, at: float) -> None:
        """Nothing that was read before `at` is known any more; a read that began earlier does not bring it back."""
        mark = Entry(at=at, why=_FORGOTTEN)
        await self._shared.cache(key, mark.to_json(), at=at, seconds=NOTHING_LIFETIME)

    async def aclose(self) -> None:
        """End the reads that are under way."""
        tasks = [flight.task for flight in self._flights.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _fly(self, key: CacheKey, read: Read, *, lifetime: float, not_before: float) -> Entry:
        lock, owner = "read:" + ":".join(map(str, key)), secrets.token_hex(8)
        for _ in range(_POLLS):
            if await self._shared.take_lock(lock, owner=owner, seconds=_LOCK):
                try:
                    (known,) = await self.peek([key], not_before=not_before)
                    return known or await self._read(key, read, lifetime=lifetime)
                finally:
                    await self._shared.drop_lock(lock, owner=owner)
            await self._sleep(_POLL)
            (known,) = await self.peek([key], not_before=not_before)
            if known:
                return known
        return await self._read(key, read, lifetime=lifetime)

    async def _read(self, key: CacheKey, read: Read, *, lifetime: float) -> Entry:
        at = self._clock()
        body, why = await read()
        entry = Entry(at=at, body=body, why=why)
        seconds = NOTHING_LIFETIME if why else lifetime
        await self._shared.cache(key, entry.to_json(), at=at, seconds=seconds)
        return entry

    def _landed(self, key: CacheKey, task: asyncio.Task[Entry]) -> None:
        flight = self._flights.get(key)
        if flight is not None and flight.task is task:
            del self._flights[key]
        if not task.cancelled():
            task.exception()  # looked at here, because all who waited may be gone
