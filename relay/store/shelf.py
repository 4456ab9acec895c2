"""What lies beside the line: the bounded quarantine, replay plans, and the data format's version."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pydantic_core
import redis.asyncio as aioredis

from relay.errors import NotFoundError, StoreUnfit
from relay.store.client import Scripts, command, translated
from relay.store.keys import Keys
from relay.store.store import ms

# Raised when a release writes what an older one cannot read; `relay migrate` brings older data up.
FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarantined:
    """A body that was signed by a source but could not be read. Times in seconds."""

    id: str
    source: str
    at: float
    reason: str
    content_type: str
    body: str

    def to_json(self) -> bytes:
        return pydantic_core.to_json(
            {
                "id": self.id,
                "src": self.source,
                "at": self.at,
                "r": self.reason,
                "ct": self.content_type,
                "b": self.body,
            }
        )

    @classmethod
    def from_json(cls, raw: bytes) -> Quarantined:
        body = pydantic_core.from_json(raw)
        return cls(
            id=body["id"],
            source=body["src"],
            at=body["at"],
            reason=body["r"],
            content_type=body["ct"],
            body=body["b"],
        )


class Shelf:
    """Small things kept in Redis that are no part of an event's way."""

    def __init__(self, client: aioredis.Redis, keys: Keys) -> None:
        self._client = client
        self._keys = keys
        self._scripts = Scripts(client)

    # Quarantine ----------------------------------------------------------------------------------

    async def quarantine(self, one: Quarantined, *, most: int) -> None:
        """Keep a body; the oldest makes room."""
        with translated():
            pipe = self._client.pipeline(transaction=True)
            pipe.lpush(self._keys.quarantine, one.to_json())
            pipe.ltrim(self._keys.quarantine, 0, max(most - 1, 0))
            await pipe.execute()

    async def quarantined(self, *, limit: int, offset: int = 0) -> list[Quarantined]:
        """Kept bodies, newest first."""
        raw = await command(self._client, "LRANGE", self._keys.quarantine, offset, offset + limit - 1)
        return [Quarantined.from_json(one) for one in raw]

    async def quarantined_one(self, id_: str) -> Quarantined:
        """One kept body. Raises NotFoundError."""
        for one in await self.quarantined(limit=100_000):
            if one.id == id_:
                return one
        raise NotFoundError(f"there is no {id_} in the quarantine; the oldest are dropped when it is full")

    # Replay plans --------------------------------------------------------------------------------

    async def save_plan(self, plan: str, facts: Mapping[str, Any], items: Sequence[str], *, now: float) -> None:
        """Keep a plan and the fixed list of what it will open again."""
        with translated():
            pipe = self._client.pipeline(transaction=True)
            pipe.hset(
                self._keys.plan(plan), mapping={name: pydantic_core.to_json(value) for name, value in facts.items()}
            )
            for start in range(0, len(items), 1000):
                pipe.rpush(self._keys.plan_items(plan), *items[start : start + 1000])
            pipe.zadd(self._keys.plans, {plan: ms(now)})
            await pipe.execute()

    async def plan(self, plan: str) -> dict[str, Any]:
        """A plan's facts and progress. Raises NotFoundError."""
        raw: dict[bytes, bytes] = await command(self._client, "HGETALL", self._keys.plan(plan))
        if not raw:
            raise NotFoundError(f"there is no replay plan {plan}")
        return {name.decode(): pydantic_core.from_json(value) for name, value in raw.items()}

    async def plans(self, *, limit: int) -> list[str]:
        """The newest plans."""
        return [one.decode() for one in await command(self._client, "ZREVRANGE", self._keys.plans, 0, limit - 1)]

    async def start_plan(self, plan: str, *, now: float) -> bool:
        """Mark a plan as begun; False when it had begun before."""
        key = self._keys.plan(plan)
        return bool(await command(self._client, "HSETNX", key, "started_at", pydantic_core.to_json(now)))

    async def items_of_plan(self, plan: str, *, start: int, most: int) -> list[str]:
        """Some of a plan's items, in its order."""
        raw = await command(self._client, "LRANGE", self._keys.plan_items(plan), start, start + most - 1)
        return [one.decode() for one in raw]

    async def take_plan(self, plan: str, *, owner: str, seconds: float) -> bool:
        """Be the one who runs a plan, until `seconds` pass without a step; False when somebody else does."""
        key = self._keys.plan_lock(plan)
        return bool(await command(self._client, "SET", key, owner, "NX", "PX", int(seconds * 1000)))

    async def leave_plan(self, plan: str) -> None:
        """Let somebody else go on with a plan, by the one who runs it."""
        await command(self._client, "DEL", self._keys.plan_lock(plan))

    async def is_run(self, plan: str) -> bool:
        """Whether somebody runs a plan now."""
        return bool(await command(self._client, "EXISTS", self._keys.plan_lock(plan)))

    async def done_of_plan(
        self, plan: str, *, owner: str, number: int, result: str, now: float, seconds: float
    ) -> bool:
        """Item `number` is handled, counted and passed in one step; False when somebody else has the plan now."""
        args = (self._keys.prefix, ms(now), plan, owner, number, result, int(seconds * 1000))
        return bool(await self._scripts.call("plan_step", *args))

    async def end_plan(self, plan: str, *, now: float) -> None:
        """Nothing is left of a plan."""
        await command(self._client, "HSET", self._keys.plan(plan), "ended_at", pydantic_core.to_json(now))

    # Format --------------------------------------------------------------------------------------

    async def data_format(self) -> int | None:
        """The version of the data in this Redis, None when there are none of ours."""
        raw = await command(self._client, "GET", self._keys.format)
        return int(raw) if raw is not None else None

    async def claim_format(self) -> None:
        """Mark new data with our version; raises StoreUnfit when the data are of another one."""
        await command(self._client, "SET", self._keys.format, FORMAT, "NX")
        found = await self.data_format()
        if found is not None and found > FORMAT:
            raise StoreUnfit(
                f"the data in this Redis have format {found}, this release reads up to {FORMAT}: "
                "run the release that wrote them; nothing was changed"
            )
        if found is not None and found < FORMAT:
            raise StoreUnfit(
                f"the data in this Redis have format {found}, this release needs {FORMAT}: "
                "stop all processes, then run `relay migrate`; nothing was changed"
            )
