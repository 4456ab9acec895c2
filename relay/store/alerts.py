"""What the watch over the relay itself asks and writes: how things stand, and the record of each incident.

An incident's record and the event that tells of it are written by one script (scripts/alert.lua).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pydantic_core
import redis.asyncio as aioredis

from relay.events import Event
from relay.store.client import Scripts, command, translated
from relay.store.headroom import default_limit
from relay.store.keys import Keys
from relay.store.store import ENTITY_LIFE, Bell, ms

# So many events that told of incidents are known as such: their own failures are no news.
TOLD_KEPT = 1000
_EVENTS_LOOKED_AT = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetState:
    """How one target fares; times in seconds since 1970. What failed of our own alerts is not counted."""

    dead: int = 0
    parked: int = 0
    due_since: float | None = None
    """When the delivery became due that has waited longest for its turn; replays do not count."""
    failing_since: float | None = None
    """Since when its breaker is open."""
    failures: int = 0
    """Calls that failed in a row; its breaker counts them while it is closed."""
    paused_since: float | None = None
    paused_by_relay: bool = False
    paused_why: str = ""
    """Why the relay paused it; what a person wrote is not told on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerState:
    """One incarnation of a worker: when it was first seen, and when its last heartbeat ends or ended."""

    first_seen: float
    until: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreState:
    """How things stand, read at one moment."""

    targets: Mapping[str, TargetState] = field(default_factory=dict)
    workers: Mapping[str, WorkerState] = field(default_factory=dict)
    """Those that left in good order are not among them."""
    oldest_events: Mapping[int, float] = field(default_factory=dict)
    """Portal -> when the oldest of the events that are next to be enriched was accepted."""
    open: int = 0
    quarantined_at: float | None = None
    """When the newest body but so many as were asked for was put into the quarantine; None: there are fewer."""
    memory_share: float | None = None
    """How much Redis uses of the memory above which new events are refused; None without a limit."""


class AlertStore:
    """Incidents and turns. Raises StoreError when Redis does not do what is asked."""

    def __init__(
        self, client: aioredis.Redis, keys: Keys, *, bell: Callable[[float], Bell], memory_limit: int | None
    ) -> None:
        """`memory_limit` in bytes, as for `Headroom`."""
        self._memory_limit = memory_limit
        self._client = client
        self._keys = keys
        self._bell = bell
        self._scripts = Scripts(client)

    async def incidents(self) -> dict[str, bytes]:
        """The record of each incident that is not over, as it was written."""
        flat = await command(self._client, "HGETALL", self._keys.alerts)
        return {name.decode(): value for name, value in flat.items()}

    async def change(
        self, incident: str, *, expected: bytes, record: bytes, now: float, event: Event | None = None
    ) -> bool:
        """Replace a record (b"": there is none) and accept the event that tells of it; False: it was another."""
        bell = self._bell(now)
        args: list[Any] = [incident, expected, record, TOLD_KEPT, ENTITY_LIFE]
        args += [bell.id, bell.blob, int(bell.life * 1000), self._keys.queue]
        if event is not None:
            args += (event.id, event.lane, event.type, event.to_json())
        return bool(await self._scripts.call("alert", self._keys.prefix, ms(now), *args))

    async def take_turn(self, what: str, *, now: float, every: float) -> bool:
        """Whether it is this caller that does something which is done every so many seconds by one of all workers."""
        return bool(await self._scripts.call("alert_turn", self._keys.prefix, ms(now), what, int(every * 1000)))

    async def was_taken(self, event: str) -> bool:
        """Whether some target has this event."""
        targets = await command(self._client, "HGET", self._keys.event(event), "tg")
        names = targets.decode().split() if targets else []
        with translated():
            pipe = self._client.pipeline(transaction=False)
            for name in names:
                pipe.hget(self._keys.delivery(event, name), "st")
            return b"delivered" in await pipe.execute()

    async def state(self, targets: Sequence[str], *, quarantine_count: int, now: float) -> StoreState:
        """How things stand with these targets and with everything else."""
        keys = self._keys
        with translated():
            pipe = self._client.pipeline(transaction=False)
            pipe.zcard(keys.open)
            pipe.smembers(keys.portals)
            pipe.lindex(keys.quarantine, quarantine_count - 1)
            pipe.info("memory")
            pipe.zrange(keys.told, 0, -1)
            open_, portals, quarantined, memory, told = await pipe.execute()
        limit = self._memory_limit or default_limit(memory)
        return StoreState(
            targets=await self._targets(targets, told),
            workers=await self._workers(now),
            oldest_events=await self._oldest_events(portals),
            open=open_,
            quarantined_at=pydantic_core.from_json(quarantined)["at"] if quarantined else None,
            memory_share=memory["used_memory"] / limit if limit else None,
        )

    async def _targets(self, names: Sequence[str], told: Sequence[bytes]) -> dict[str, TargetState]:
        keys = self._keys
        with translated():
            pipe = self._client.pipeline(transaction=False)
            for name in names:
                pipe.hgetall(keys.target(name))
                pipe.zrange(keys.due_deliveries(name), 0, 0, withscores=True)
                for state in ("dead", "parked"):
                    pipe.zcard(keys.deliveries_in(name, state))
            answers = iter(await pipe.execute())
        found = {}
        for name in names:
            raw = {key.decode(): value.decode() for key, value in next(answers).items()}
            due = next(answers)
            dead, parked = [
                await self._without(told, keys.deliveries_in(name, state), next(answers))
                for state in ("dead", "parked")
            ]
            by_relay = raw.get("by") == "relay"
            found[name] = TargetState(
                dead=dead,
                parked=parked,
                due_since=due[0][1] / 1000 if due else None,
                failures=int(raw.get("fails", 0)),
                failing_since=float(raw.get("brk_since", 0)) / 1000 if raw.get("brk") else None,
                paused_since=float(raw.get("since", 0)) / 1000 if "paused" in raw else None,
                paused_by_relay=by_relay,
                paused_why=raw.get("paused", "") if by_relay else "",
            )
        return found

    async def _without(self, told: Sequence[bytes], index: str, count: int) -> int:
        """How many of an index are no alerts of ours."""
        if not count or not told:
            return count
        scores = await command(self._client, "ZMSCORE", index, *told)
        return max(count - sum(score is not None for score in scores), 0)

    async def _workers(self, now: float) -> dict[str, WorkerState]:
        keys = self._keys
        with translated():
            pipe = self._client.pipeline(transaction=False)
            pipe.zrange(keys.workers, 0, -1, withscores=True)
            pipe.hgetall(keys.seen_workers)
            listed, seen = await pipe.execute()
            known = {worker.decode(): until / 1000 for worker, until in listed}
            first = {worker.decode(): float(at) / 1000 for worker, at in seen.items()}
            pipe = self._client.pipeline(transaction=False)
            for worker in known.keys() - first.keys():
                pipe.hsetnx(keys.seen_workers, worker, ms(now))
            if gone := first.keys() - known.keys():
                pipe.hdel(keys.seen_workers, *gone)
            await pipe.execute()
        return {worker: WorkerState(first_seen=first.get(worker, now), until=until) for worker, until in known.items()}

    async def _oldest_events(self, portals: Sequence[bytes]) -> dict[int, float]:
        keys = self._keys
        with translated():
            pipe = self._client.pipeline(transaction=False)
            for portal in portals:
                pipe.zrange(keys.due_events(portal.decode()), 0, _EVENTS_LOOKED_AT - 1)
            heads = await pipe.execute()
            pipe = self._client.pipeline(transaction=False)
            for ids in heads:
                for one in ids:
                    pipe.hget(keys.event(one.decode()), "at")
            accepted = iter(await pipe.execute())
        oldest = {}
        for portal, ids in zip(portals, heads, strict=True):
            if times := [float(at) / 1000 for at in [next(accepted) for _ in ids] if at]:
                oldest[int(portal)] = min(times)
        return oldest
