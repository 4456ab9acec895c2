"""How many events came in step by step of time, and what has become of their deliveries: the numbers behind a chart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import redis.asyncio as aioredis

from relay.store.client import Scripts
from relay.store.keys import Keys
from relay.store.store import ms

_BAD = ("dead", "parked")


@dataclass(frozen=True, slots=True)
class Bucket:
    """One step: from `at` (seconds), the events accepted in it, and how their deliveries stand now."""

    at: float
    received: int
    delivered: int
    waiting: int
    failed: int
    """Dead or parked: a person has to decide."""


class Series:
    """Counted from the indexes by time of acceptance: a step's deliveries are those of the events accepted in it."""

    def __init__(self, client: aioredis.Redis, keys: Keys) -> None:
        self._scripts = Scripts(client)
        self._keys = keys

    async def buckets(
        self, targets: Sequence[str], *, now: float, step: float, count: int, events: bool = True
    ) -> list[Bucket]:
        """The last `count` steps of `step` seconds, whole ones but for the one that `now` stands in.

        `events` False leaves the received events out. Raises StoreError.
        """
        first = (now // step - count + 1) * step
        keys, prefix = self._keys, self._keys.prefix
        states = ("delivered", "waiting", *_BAD)
        indexes = [keys.events] if events else []
        indexes += [keys.deliveries_in(target, state) for state in states for target in targets]
        names = [index.removeprefix(prefix) for index in indexes]
        flat = await self._scripts.call("series", prefix, ms(now), ms(first), ms(step), count, *names)
        rows = [flat[at : at + count] for at in range(0, len(flat), count)]
        received = rows.pop(0) if events else [0] * count
        sums = {
            state: [sum(column) for column in zip(*rows[n * len(targets) : (n + 1) * len(targets)], strict=True)]
            or [0] * count
            for n, state in enumerate(states)
        }
        return [
            Bucket(
                at=first + n * step,
                received=received[n],
                delivered=sums["delivered"][n],
                waiting=sums["waiting"][n],
                failed=sum(sums[state][n] for state in _BAD),
            )
            for n in range(count)
        ]
