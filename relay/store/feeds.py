"""What the change feed remembers: how far it has come, and how each record stood when it was last seen.

A snapshot and the events that tell how it came about are written by one script (scripts/observe.lua): whoever dies in
between has done both or neither. Days are ordinals of the proleptic Gregorian calendar (date.toordinal), 0 for none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import redis.asyncio as aioredis

from relay.events import Event
from relay.store.client import Scripts, command
from relay.store.headroom import Headroom
from relay.store.keys import Keys
from relay.store.store import ENTITY_LIFE, Bell, ms

_AT_ONCE = 500
_OBSERVED_AT_ONCE = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """A snapshot as it is in the store: its name, when what it shows was read (seconds), and what it shows."""

    version: str
    read_at: float
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """One record as a look found it, and the events that tell what differs.

    `expected` is the name of the snapshot that it was compared with, "" for none; `snapshot` None removes it.
    """

    id: str
    expected: str
    snapshot: bytes | None
    version: str
    day: int
    read_at: float
    events: tuple[Event, ...] = field(default=())


class FeedStore:
    """Marks and snapshots of all feeds. Raises StoreError when Redis does not do what is asked."""

    def __init__(
        self,
        client: aioredis.Redis,
        keys: Keys,
        *,
        backlog_limit: int,
        bell: Callable[[float], Bell],
        memory_limit: int | None = None,
    ) -> None:
        """`memory_limit`: the bytes from which on Redis takes no new events; see Headroom."""
        self._headroom = Headroom(client, limit=memory_limit)
        self._client = client
        self._keys = keys
        self._backlog_limit = backlog_limit
        self._bell = bell
        self._scripts = Scripts(client)

    async def mark(self, portal: int, feed: str) -> dict[str, str]:
        """How far a feed has come; empty before its first look."""
        flat = await command(self._client, "HGETALL", self._keys.feed_mark(portal, feed))
        pairs = flat.items() if isinstance(flat, Mapping) else zip(flat[::2], flat[1::2], strict=True)
        return {name.decode(): value.decode() for name, value in pairs}

    async def save_mark(
        self, portal: int, feed: str, values: Mapping[str, str | float | int], *, remove: Sequence[str] = ()
    ) -> None:
        """Write some of its fields, and take some away."""
        key = self._keys.feed_mark(portal, feed)
        if values:
            await command(self._client, "HSET", key, *(part for pair in values.items() for part in pair))
        if remove:
            await command(self._client, "HDEL", key, *remove)

    async def snapshots(self, portal: int, kind: str, ids: Sequence[str]) -> dict[str, Stored]:
        """What is remembered of these records; those that are not known are left out."""
        found: dict[str, Stored] = {}
        for begin in range(0, len(ids), _AT_ONCE):
            some = ids[begin : begin + _AT_ONCE]
            values = await command(self._client, "HMGET", self._keys.snapshots(portal, kind), *some)
            found |= {one: _stored(value) for one, value in zip(some, values, strict=True) if value is not None}
        return found

    async def known(self, portal: int, kind: str, *, first: int | None = None, last: int | None = None) -> list[str]:
        """The ids of what is remembered of these days, both included; None is open."""
        key = self._keys.snapshot_days(portal, kind)
        low, high = "-inf" if first is None else first, "+inf" if last is None else last
        return [one.decode() for one in await command(self._client, "ZRANGEBYSCORE", key, low, high)]

    async def observe(self, portal: int, kind: str, observations: Sequence[Observation], *, now: float) -> list[bool]:
        """Write snapshots with their events, each as a whole or not at all; False where somebody else wrote meanwhile.

        Raises BacklogFull or StoreFull, and then nothing of that batch was written.
        """
        await self._headroom.demand(now=now)
        kept: list[bool] = []
        for begin in range(0, len(observations), _OBSERVED_AT_ONCE):
            kept += await self._observe(portal, kind, observations[begin : begin + _OBSERVED_AT_ONCE], now)
        return kept

    async def trim(self, portal: int, kind: str, *, before: int) -> int:
        """Forget what lies before a day, but not what has none; returns how many."""
        keys, removed = (self._keys.snapshots(portal, kind), self._keys.snapshot_days(portal, kind)), 0
        while count := await self._scripts.call("feed_trim", self._keys.prefix, ms(0), *keys, before, _AT_ONCE):
            removed += int(count)
        return removed

    async def _observe(self, portal: int, kind: str, observations: Sequence[Observation], now: float) -> list[bool]:
        bell = self._bell(now)
        args: list[Any] = [self._backlog_limit, ENTITY_LIFE, bell.id, bell.blob, int(bell.life * 1000)]
        args += [self._keys.queue, self._keys.snapshots(portal, kind), self._keys.snapshot_days(portal, kind)]
        for one in observations:
            body = b"" if one.snapshot is None else f"{one.version}\n{ms(one.read_at)}\n".encode() + one.snapshot
            args += [one.id, one.expected, body, one.day, len(one.events)]
            for event in one.events:
                args += (event.id, event.lane, event.type, event.to_json())
        answers = await self._scripts.call("observe", self._keys.prefix, ms(now), *args)
        return [bool(answer) for answer in answers]


def _stored(value: bytes) -> Stored:
    version, read_at, body = value.split(b"\n", 2)
    return Stored(version=version.decode(), read_at=float(read_at) / 1000, body=body)
