"""What retention asks of the store: remove what is past its age, in steps so small that nobody waits for one.

Times are seconds. Every step may be broken off and done again; two workers at once remove the same things once.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Literal

import pydantic_core
import redis.asyncio as aioredis

from relay.store.client import Scripts, command, translated
from relay.store.keys import Keys
from relay.store.store import ms

EVENTS_AT_ONCE = 200
# Redis does nothing else meanwhile: this is a few milliseconds.
_REMOVED_AT_ONCE = 50
_ACTS_AT_ONCE = 500
_SCANNED_AT_ONCE = 1000

Part = Literal["attempts", "received"]


class RetentionStore:
    """Removes by age. Raises StoreError when Redis does not do what is asked."""

    def __init__(self, client: aioredis.Redis, keys: Keys) -> None:
        self._client = client
        self._keys = keys
        self._scripts = Scripts(client)

    # Whole events --------------------------------------------------------------------------------

    async def remove_events(
        self, *, now: float, rank: int, delivered_before: float, failed_before: float, entity_life: float
    ) -> tuple[int, int, int]:
        """Look at some of the oldest events from `rank` on, and remove those that ended before their time.

        Returns how many events and how many entities' records went, and the rank to go on from (-1: at the end).
        """
        answer = await self._call(
            "retain_events",
            now,
            rank,
            _REMOVED_AT_ONCE,
            ms(delivered_before),
            ms(failed_before),
            int(entity_life * 1000),
        )
        events, entities, following = answer
        return events, entities, following

    # Parts of events that stay ---------------------------------------------------------------------

    async def ended(self, part: Part, *, before: float) -> AsyncIterator[list[str]]:
        """Events that ended before a time and still have this part, some at a time, each once in a round.

        In order of acceptance, from where the last round stopped; those that had work left when they were passed come
        after them. A batch counts as done when the next one is asked for.
        """
        while True:
            ids, following = await self._next(part, before)
            ready = await self._past(ids, before)
            yield ready
            if late := set(ids).difference(ready):
                await command(self._client, "SADD", self._keys.retention_late(part), *late)
            if following is None:
                break
            await command(self._client, "HSET", self._keys.retention, part, repr(following))
        cursor = 0
        while True:
            key = self._keys.retention_late(part)
            cursor, found = await command(self._client, "SSCAN", key, cursor, "COUNT", EVENTS_AT_ONCE)
            ready = await self._past([id_.decode() for id_ in found], before)
            yield ready
            if ready:
                await command(self._client, "SREM", key, *ready)
            if int(cursor) == 0:
                return

    async def remove_attempts(self, ids: Sequence[str]) -> int:
        """Remove all attempts of these events; how many lists went."""
        keys = [self._keys.attempts(id_, target) for id_, targets in await self._targets(ids) for target in targets]
        return int(await command(self._client, "DEL", *keys)) if keys else 0

    async def remove_received(self, ids: Sequence[str], *, now: float) -> int:
        """Take the senders' own words out of these events; out of how many envelopes and records.

        What a worker writes at the same moment is left as it is.
        """
        names = [f"b:{id_}" for id_ in ids]
        names += [f"b:{id_}:{target}" for id_, targets in await self._targets(ids) for target in targets]
        removed = 0
        bodies = await command(self._client, "MGET", *(self._keys.prefix + name for name in names)) if names else []
        for name, body in zip(names, bodies, strict=True):
            if body is not None and (cut := without_received(body)) is not None:
                removed += int(await self._call("swap", now, "string", name, "", body, cut))
        return removed

    async def _next(self, part: Part, before: float) -> tuple[list[str], float | None]:
        """The events that come next, and the mark behind them; None when none come after them."""
        keys = self._keys
        mark = await command(self._client, "HGET", keys.retention, part)
        low = "-inf" if mark is None else f"({float(mark)!r}"
        high = f"({ms(before)}"
        with translated():
            found: list[tuple[bytes, float]] = await self._client.zrangebyscore(
                keys.events, low, high, start=0, num=EVENTS_AT_ONCE, withscores=True
            )
            if len(found) < EVENTS_AT_ONCE:
                return [id_.decode() for id_, _ in found], None
            # Many events can share one time: the mark may only pass all of them.
            last = found[-1][1]
            same: list[bytes] = await self._client.zrangebyscore(keys.events, last, last)
        return [id_.decode() for id_ in dict.fromkeys((*(id_ for id_, _ in found), *same))], last

    async def _past(self, ids: Sequence[str], before: float) -> list[str]:
        """Those that ended before a time, and those that are gone."""
        with translated():
            pipe = self._client.pipeline(transaction=False)
            for id_ in ids:
                pipe.zscore(self._keys.open, id_)
                pipe.hmget(self._keys.event(id_), ["at", "done"])
            answers = await pipe.execute()
        return [
            id_
            for id_, is_open, (at, done) in zip(ids, answers[::2], answers[1::2], strict=True)
            if at is None or (is_open is None and float(done or at) / 1000 < before)
        ]

    async def _targets(self, ids: Sequence[str]) -> list[tuple[str, list[str]]]:
        with translated():
            pipe = self._client.pipeline(transaction=False)
            for id_ in ids:
                pipe.hget(self._keys.event(id_), "tg")
            answers = await pipe.execute()
        return [(id_, (raw or b"").decode().split()) for id_, raw in zip(ids, answers, strict=True)]

    # Beside the line -------------------------------------------------------------------------------

    async def remove_quarantined(self, *, before: float) -> int:
        """Drop kept bodies that came before a time."""
        removed = 0
        while True:
            oldest = await command(self._client, "LRANGE", self._keys.quarantine, -50, -1)
            past = [one for one in oldest if pydantic_core.from_json(one)["at"] < before]
            for one in past:
                removed += int(await command(self._client, "LREM", self._keys.quarantine, -1, one))
            if len(past) < 50:
                return removed

    async def remove_plans(self, *, before: float) -> int:
        """Remove replay plans that were made before a time and are not under way."""
        keys = self._keys
        running = await command(self._client, "SMEMBERS", keys.plans_running)
        removed = 0
        for raw in await command(self._client, "ZRANGEBYSCORE", keys.plans, "-inf", f"({ms(before)}"):
            if raw not in running:
                plan = raw.decode()
                await command(self._client, "UNLINK", keys.plan(plan), keys.plan_items(plan), keys.plan_lock(plan))
                removed += int(await command(self._client, "ZREM", keys.plans, plan))
        return removed

    async def remove_erasures(self, *, before: float) -> int:
        """Remove what is noted of erasures that began before a time and have ended; the tombstones stay."""
        keys = self._keys
        removed = 0
        for raw in await command(self._client, "ZRANGEBYSCORE", keys.erasures, "-inf", f"({ms(before)}"):
            key = keys.erasure(raw.decode())
            if await command(self._client, "HEXISTS", key, "ended_at"):
                await command(self._client, "UNLINK", key)
                removed += int(await command(self._client, "ZREM", keys.erasures, raw))
        return removed

    async def remove_acts(self, *, now: float, before: float) -> int:
        """Take acts out of the audit that were done before a time."""
        removed = 0
        while gone := int(await self._call("retain_audit", now, repr(before), _ACTS_AT_ONCE)):
            removed += gone
        return removed

    async def remove_targets(self, configured: Sequence[str]) -> int:
        """Forget targets that left the configuration and of which no delivery is kept any more."""
        removed = 0
        for raw in await command(self._client, "SMEMBERS", self._keys.targets):
            target = raw.decode()
            states = ("waiting", "delivered", "dead", "parked", "cancelled", "superseded")
            indexes = [self._keys.deliveries_in(target, state) for state in states]
            if target in configured or await command(self._client, "EXISTS", *indexes):
                continue
            await command(self._client, "DEL", self._keys.target(target))
            await command(self._client, "ZREM", self._keys.served, target)
            removed += int(await command(self._client, "SREM", self._keys.targets, target))
        return removed

    async def remove_snapshots(self, kinds: Mapping[int, Sequence[str]], *, before: float) -> int:
        """Forget what feeds remember of portals and kinds of record that nobody looks at since a time.

        `kinds`: per configured portal the feeds that look. Returns how many feeds were forgotten.
        """
        from_prefix = self._keys.feed_mark(0, "").removesuffix("0:")
        removed = 0
        async for key in self._scan(f"{from_prefix}*"):
            portal, _, feed = key.removeprefix(from_prefix).partition(":")
            mark = await command(self._client, "HMGET", key, "tried", "read_to")
            looked = max((float(one) for one in mark if one is not None), default=0.0)
            if feed in kinds.get(int(portal), ()) or looked >= before:
                continue
            names = FEED_KINDS.get(feed, ())
            await command(
                self._client,
                "UNLINK",
                key,
                *(self._keys.snapshots(int(portal), kind) for kind in names),
                *(self._keys.snapshot_days(int(portal), kind) for kind in names),
            )
            removed += 1
        return removed

    async def _scan(self, pattern: str) -> Any:
        cursor = 0
        while True:
            cursor, found = await command(
                self._client, "SCAN", cursor, "MATCH", _literal(pattern), "COUNT", _SCANNED_AT_ONCE
            )
            for key in found:
                yield key.decode()
            if int(cursor) == 0:
                return

    async def _call(self, name: str, now: float, *args: Any) -> Any:
        return await self._scripts.call(name, self._keys.prefix, ms(now), *args)


FEED_KINDS: Mapping[str, tuple[str, ...]] = {
    "employees": ("employee",),
    "shifts": ("shift",),
    "punchclock": ("punchclock_entry",),
    "absence": ("absence_request", "absence_record"),
    "payroll": ("payroll_line",),
    "reference": ("department", "employee_group", "position", "shift_type", "portal"),
}
"""The kinds of record that each feed remembers."""


def without_received(body: bytes) -> bytes | None:
    """What is kept of an event, or of one delivery, without what its sender wrote; None where there is nothing."""
    lines = body.split(b"\n")
    found = False
    for number, line in enumerate(lines):
        if b'"data":' not in line and b'"received":' not in line:
            continue
        value = pydantic_core.from_json(line)
        if "src" in value and value.get("data") is not None:  # the accepted event
            value["data"] = None
        elif isinstance(value.get("data"), dict) and "received" in value["data"]:  # an envelope
            del value["data"]["received"]
        else:
            continue
        lines[number], found = pydantic_core.to_json(value), True
    return b"\n".join(lines) if found else None


def _literal(pattern: str) -> str:
    """A pattern in which nothing but the last star is one: a prefix may hold what SCAN would read as more."""
    return "".join(f"\\{char}" if char in "[]?\\^" else char for char in pattern)
