"""Replay plans: a fixed list of what will be opened again, and the book-keeping of its run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pydantic_core
import redis.asyncio as aioredis

from relay.errors import NotFoundError, RefusedError
from relay.store.client import Scripts, command, translated
from relay.store.keys import Keys
from relay.store.store import ms

Turn = Literal["start", "pause", "resume", "cancel"]
# A plan whose maker died is forgotten after so long (seconds).
DRAFT_LIFE = 3600.0
# So many per call keep Redis for a few milliseconds.
_STRETCH = 1000


@dataclass(frozen=True, slots=True, order=True)
class Item:
    """One thing that a plan opens. `target` "" is an event that goes through the line again."""

    at: float
    sequence: int
    event: str
    target: str
    state: str
    data: str

    @property
    def text(self) -> str:
        return f"{self.event}:{self.target}:{self.state}:{self.data}"


@dataclass(frozen=True, slots=True)
class Read:
    """What came of reading an item anew: an envelope of its own, or why it is not sent (`result`)."""

    result: str
    envelope: bytes = b""
    before: str = ""


@dataclass(frozen=True, slots=True)
class Moved:
    """What a step did: items passed, room for more, seconds until the rate allows more; `unread` are the next items,
    as "event:state", that must be read anew before."""

    state: Literal["moved", "lost", "paused", "cancelled"]
    passed: int = 0
    room: int = 0
    wait: float = 0.0
    unread: tuple[str, ...] = ()


class Plans:
    """The plans of this relay. Raises StoreError when Redis does not do what is asked."""

    def __init__(self, client: aioredis.Redis, keys: Keys) -> None:
        self.client = client
        self.keys = keys
        self._scripts = Scripts(client)

    # Making ----------------------------------------------------------------------------------------

    async def draft(self, plan: str, items: Sequence[Item]) -> None:
        """Put items aside for the plan, besides those that `select` found."""
        by_target: dict[str, dict[str, str]] = {}
        for item in items:
            by_target.setdefault(item.target, {})[f"{item.sequence:012d}:{item.text}"] = ms(item.at)
        with translated():
            pipe = self.client.pipeline(transaction=False)
            for target, members in by_target.items():
                pipe.zadd(self.keys.plan_draft(plan, target), members)
                pipe.pexpire(self.keys.plan_draft(plan, target), int(DRAFT_LIFE * 1000))
            await pipe.execute()

    async def seal(self, plan: str, targets: Iterable[str]) -> dict[str, tuple[int, int]]:
        """Fix what was put aside, per target oldest first. Returns where each target's items begin, and how many."""
        parts: dict[str, tuple[int, int]] = {}
        first = 0
        for target in targets:
            size = 0
            while moved := await self._call("plan_seal", 0.0, plan, target, _STRETCH, int(DRAFT_LIFE * 1000)):
                size += moved
            parts[target] = (first, size)
            first += size
        return parts

    async def save(
        self, plan: str, facts: Mapping[str, Any], parts: Mapping[str, tuple[int, int]], *, now: float
    ) -> None:
        """Keep a plan whose items are fixed; from now on it can be found, and run."""
        fields: dict[str, Any] = {**facts, "total": sum(size for _, size in parts.values())}
        for target, (first, size) in parts.items():
            fields |= {f"first:{target}": first, f"size:{target}": size}
        with translated():
            pipe = self.client.pipeline(transaction=True)
            pipe.hset(
                self.keys.plan(plan), mapping={name: pydantic_core.to_json(value) for name, value in fields.items()}
            )
            pipe.persist(self.keys.plan_items(plan))
            pipe.zadd(self.keys.plans, {plan: ms(now)})
            await pipe.execute()

    # Looking ---------------------------------------------------------------------------------------

    async def get(self, plan: str) -> dict[str, Any]:
        """A plan's facts and book-keeping, as they are kept. Raises NotFoundError."""
        raw: dict[bytes, bytes] = await command(self.client, "HGETALL", self.keys.plan(plan))
        if b"id" not in raw:
            raise NotFoundError(f"there is no replay plan {plan}; `relay replay list` shows those that are kept")
        return {name.decode(): pydantic_core.from_json(value) for name, value in raw.items()}

    async def newest(self, *, limit: int) -> list[str]:
        """The newest plans."""
        return [one.decode() for one in await command(self.client, "ZREVRANGE", self.keys.plans, 0, limit - 1)]

    async def running(self) -> list[str]:
        """Plans that were started and have not ended, paused ones too."""
        return sorted(one.decode() for one in await command(self.client, "SMEMBERS", self.keys.plans_running))

    async def items(self, plan: str, *, start: int, most: int) -> list[str]:
        """Some of a plan's items, in its order."""
        raw = await command(self.client, "LRANGE", self.keys.plan_items(plan), start, start + most - 1)
        return [one.decode() for one in raw]

    # Running ---------------------------------------------------------------------------------------

    async def turn(self, plan: str, turn: Turn, *, by: str, reason: str, now: float, rate: float | None = None) -> None:
        """Start, pause, resume or cancel. Raises NotFoundError, or RefusedError where the plan does not stand so."""
        said = [pydantic_core.to_json(value) for value in (now, by, reason)]
        answer = await self._call("plan_turn", now, plan, turn, *said, "" if rate is None else f"{rate:g}")
        if answer[0] == b"missing":
            raise NotFoundError(f"there is no replay plan {plan}; `relay replay list` shows those that are kept")
        if answer[0] == b"refused":
            raise RefusedError(_refusal(plan, turn, answer[1].decode()))

    async def sequence_before(self, event: str) -> str:
        """The newest sequence of an event's entity now, as a step of the plan will compare it; "" for none."""
        lane = await command(self.client, "HGET", self.keys.event(event), "lane")
        if lane is None:
            return ""
        return (await command(self.client, "HGET", self.keys.entity(lane.decode()), "seq") or b"").decode()

    async def take(self, plan: str, *, owner: str, seconds: float) -> bool:
        """Be the one who runs a plan, until `seconds` pass without a step; False when somebody else does."""
        key = self.keys.plan_lock(plan)
        return bool(await command(self.client, "SET", key, owner, "NX", "PX", int(seconds * 1000)))

    async def hold(self, plan: str, *, owner: str, seconds: float) -> None:
        """Go on being the one; who is not any more finds out by the next step."""
        key = self.keys.plan_lock(plan)
        if await command(self.client, "GET", key) == owner.encode():
            await command(self.client, "PEXPIRE", key, int(seconds * 1000))

    async def leave(self, plan: str, *, owner: str) -> None:
        """Let somebody else go on with a plan."""
        key = self.keys.plan_lock(plan)
        if await command(self.client, "GET", key) == owner.encode():
            await command(self.client, "DEL", key)

    async def is_run(self, plan: str) -> bool:
        """Whether somebody runs a plan now."""
        return bool(await command(self.client, "EXISTS", self.keys.plan_lock(plan)))

    async def open(
        self,
        plan: str,
        target: str,
        *,
        owner: str,
        seconds: float,
        number: int,
        most: int,
        window: int,
        interval: float,
        force: bool,
        salt: str,
        reason: str,
        read: Sequence[Read],
        now: float,
    ) -> Moved:
        """Open the next items to one target from `number` on and count them, in one step.

        At most `most`, as many as keep those that have not ended within `window`, and one per `interval` seconds.
        Those that must be read anew are opened as far as `read` goes.
        """
        args: list[Any] = [plan, owner, int(seconds * 1000), target, number, most, window, f"{interval * 1000:.3f}"]
        args += [int(force), salt, reason]
        for one in read:
            args += (one.result, one.envelope, one.before)
        answer = await self._call("plan_open", now, *args)
        state = answer[0].decode()
        if state != "moved":
            return Moved(state)
        _, passed, room, wait, unread = answer
        return Moved("moved", passed, room, wait / 1000, tuple(one.decode() for one in unread))

    async def withdraw(
        self, plan: str, target: str, *, owner: str, seconds: float, number: int, most: int, reason: str, now: float
    ) -> tuple[int, int] | None:
        """Take back what waits of the opened items from `number` on.

        Returns how many were looked at and how many are still open; None when somebody else runs the plan.
        """
        answer = await self._call("plan_withdraw", now, plan, owner, int(seconds * 1000), target, number, most, reason)
        return None if answer[0] == b"lost" else (answer[1], answer[2])

    async def wait_for(self, plan: str, why: str | None) -> None:
        """Note what a plan waits for besides its own pace, None when it goes on."""
        key = self.keys.plan(plan)
        if why is None:
            await command(self.client, "HDEL", key, "waits_for")
        else:
            await command(self.client, "HSET", key, "waits_for", pydantic_core.to_json(why))

    async def end(self, plan: str, *, now: float) -> None:
        """Nothing is left of a plan, and nothing that it opened is on its way."""
        with translated():
            pipe = self.client.pipeline(transaction=True)
            pipe.hsetnx(self.keys.plan(plan), "ended_at", pydantic_core.to_json(now).decode())
            pipe.srem(self.keys.plans_running, plan)
            await pipe.execute()

    async def forget_running(self, plan: str) -> None:
        """A plan that is not kept any more is not running either."""
        await command(self.client, "SREM", self.keys.plans_running, plan)

    async def _call(self, name: str, now: float, *args: Any) -> Any:
        return await self._scripts.call(name, self.keys.prefix, ms(now), *args)


def _refusal(plan: str, turn: Turn, state: str) -> str:
    done = {
        "start": f"{plan} was started before and is {state}; a plan runs once: make a new one to replay again",
        "pause": f"{plan} is {state}: only a running plan can be paused. Nothing was changed",
        "resume": f"{plan} is {state}: only a paused plan can be resumed. Nothing was changed",
        "cancel": f"{plan} is {state}: there is nothing left to cancel. Nothing was changed",
    }
    return done[turn]
