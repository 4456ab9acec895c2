"""Finds what a replay plan shall take: stretch by stretch of an index, so that Redis is never kept for long."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import redis.asyncio as aioredis

from relay.store.client import Scripts, translated
from relay.store.keys import Keys
from relay.store.plans import DRAFT_LIFE
from relay.store.store import ms
from relay.store.work import Body

# So many per call keep Redis for a few milliseconds.
_STRETCH = 250


@dataclass(frozen=True, slots=True, kw_only=True)
class Index:
    """Where to look: a sorted set of event ids; with `target` and `state` one of deliveries in that state."""

    key: str
    target: str = ""
    state: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Which of what is found there is taken, and how; times in seconds, "" means any."""

    since: float | None = None
    until: float | None = None
    portal: str = ""
    entity: str = ""
    type: str = ""
    employee: str = ""
    department: str = ""
    force: bool = False
    kinds: tuple[str, ...] = ()
    portals: tuple[int, ...] = ()
    states: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Counted:
    """So many deliveries to one target, chosen in `state`; `fate` says what their plan will do with them."""

    target: str
    state: str
    fate: str
    count: int
    first_at: float
    last_at: float


@dataclass(frozen=True, slots=True)
class Candidate:
    """An event that some target has no delivery of."""

    event: str
    at: float
    sequence: int
    state: str
    type: str
    targets: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Stretch:
    """What a look at one part of an index found; `place` is where the next begins, None at the end."""

    place: tuple[str, str] | None
    looked: int
    counts: tuple[Counted, ...]
    candidates: tuple[Candidate, ...]


class Choosing:
    """The questions of whoever makes a plan. Changes nothing but the plan's draft."""

    def __init__(self, client: aioredis.Redis, keys: Keys) -> None:
        self.client = client
        self.keys = keys
        self._scripts = Scripts(client)

    async def select(self, plan: str, index: Index, choice: Choice, place: tuple[str, str] | None = None) -> Stretch:
        """Look at the next stretch of an index; what is taken is put aside for the plan."""
        low = "-inf" if choice.since is None else ms(choice.since)
        score, after = place or (low, "")
        name = index.key.removeprefix(self.keys.prefix)
        args: list[Any] = [plan, int(DRAFT_LIFE * 1000), name, index.target, index.state, score, after]
        args += ["+inf" if choice.until is None else ms(choice.until), _STRETCH]
        args += [choice.portal, choice.entity, choice.type, choice.employee, choice.department, int(choice.force)]
        args += [" ".join(choice.kinds), " ".join(map(str, choice.portals))]
        args += [" ".join(choice.states), " ".join(choice.targets)]
        last, id_, looked, counts, rows = await self._scripts.call("plan_select", self.keys.prefix, "0", *args)
        return Stretch(
            place=(last.decode(), id_.decode()) if id_ else None,
            looked=looked,
            counts=tuple(_counted(*one) for one in counts),
            candidates=tuple(_candidate(row) for row in rows.decode().splitlines()),
        )

    async def span_of(self, index: str, *, since: float | None, until: float | None) -> tuple[int, float, float]:
        """How many of an index were accepted in a period, and when the first and the last was (seconds; 0: none)."""
        low, high = "-inf" if since is None else ms(since), "+inf" if until is None else ms(until)
        with translated():
            pipe = self.client.pipeline(transaction=False)
            pipe.zcount(index, low, high)
            pipe.zrangebyscore(index, low, high, start=0, num=1, withscores=True)
            pipe.zrevrangebyscore(index, high, low, start=0, num=1, withscores=True)
            count, first, last = await pipe.execute()
        if not first or not last:
            return 0, 0.0, 0.0
        return count, first[0][1] / 1000, last[0][1] / 1000

    async def envelopes(self, events: Sequence[str]) -> list[bytes | None]:
        """The enriched envelopes that are kept, None where there is none."""
        if not events:
            return []
        with translated():
            bodies = await self.client.mget([self.keys.body(event) for event in events])
        return [None if raw is None else Body.read(raw).envelope for raw in bodies]

    async def high_marks(self, asked: Sequence[tuple[str, str]]) -> list[int]:
        """Per (lane, target) the newest sequence of which the target has the state, or may have it; 0 for none."""
        if not asked:
            return []
        with translated():
            pipe = self.client.pipeline(transaction=False)
            for lane, target in asked:
                pipe.hmget(self.keys.entity(lane), [f"hi:{target}", f"ho:{target}"])
            return [max(int(high or 0), int(read or 0)) for high, read in await pipe.execute()]

    async def types_of(self, events: Sequence[str]) -> list[str]:
        """The types of events, "" for one that is gone."""
        if not events:
            return []
        with translated():
            pipe = self.client.pipeline(transaction=False)
            for event in events:
                pipe.hget(self.keys.event(event), "ty")
            return [(kind or b"").decode() for kind in await pipe.execute()]


def _counted(key: bytes, count: int, first: bytes, last: bytes) -> Counted:
    target, state, fate = key.decode().split(" ")
    return Counted(target, state, fate, count, float(first) / 1000, float(last) / 1000)


def _candidate(row: str) -> Candidate:
    event, at, sequence, state, type_, *targets = row.split(" ")
    return Candidate(event, float(at) / 1000, int(sequence), state, type_, tuple(name for name in targets if name))
