"""Retention: what has an end and is past its age goes, kind by kind, oldest first, in small steps (docs/privacy.md)."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from relay import telemetry
from relay.pipeline import Outside
from relay.settings import Portal
from relay.settings.retention import Retention as Ages
from relay.store.retention import RetentionStore

EVERY = 600.0
"""One worker looks through everything once in so many seconds."""
_LOCK = "retention"
# Long enough for one round; what a killed worker leaves is taken up by the next one that finds the time come.
_ROUND = 300.0


class Locks(Protocol):
    """Locks shared by all processes."""

    async def take_lock(self, name: str, *, owner: str, seconds: float) -> bool: ...


class Retention:
    """Removes what is past its age; one worker at a time."""

    def __init__(
        self,
        ages: Ages,
        *,
        store: RetentionStore,
        locks: Locks,
        outside: Outside,
        portals: Mapping[str, Portal],
        targets: Sequence[str],
    ) -> None:
        self._ages = ages
        self._store = store
        self._locks = locks
        self._outside = outside
        self._feeds = {portal.id: portal.feeds for portal in portals.values()}
        self._targets = tuple(targets)
        self._looked_at: float | None = None

    async def tick(self, *, stopping: Callable[[], bool] = lambda: False) -> dict[str, int]:
        """A round if the time has come and no other worker is at it; what was removed, by kind.

        Raises StoreError; what is left then goes in the next round.
        """
        now = self._outside.clock()
        if self._looked_at is not None and now - self._looked_at < EVERY:
            return {}
        self._looked_at = now
        # The lock is not given back: it also keeps the other workers from looking again before the time has come.
        if not await self._locks.take_lock(_LOCK, owner=secrets.token_hex(8), seconds=EVERY - 5):
            return {}
        return await self.round(stopping=stopping)

    async def round(self, *, stopping: Callable[[], bool] = lambda: False) -> dict[str, int]:
        """Remove everything that is past its age now; how many of each kind. Tells what it removed."""
        began = now = self._outside.clock()
        ages, store = self._ages, self._store
        over = _Deadline(began + _ROUND, self._outside.clock, stopping)
        removed = dict.fromkeys(("received", "attempts", "events", "entities"), 0)
        async for ids in store.ended("received", before=now - ages.received):
            if over:
                break
            removed["received"] += await store.remove_received(ids, now=now)
            await self._outside.sleep(0)  # the worker's drains come first
        async for ids in store.ended("attempts", before=now - ages.attempts):
            if over:
                break
            removed["attempts"] += await store.remove_attempts(ids)
            await self._outside.sleep(0)
        rank = 0
        while rank >= 0 and not over:
            events, entities, rank = await store.remove_events(
                now=now,
                rank=rank,
                delivered_before=now - ages.delivered,
                failed_before=now - ages.failed,
                entity_life=ages.entities,
            )
            removed["events"] += events
            removed["entities"] += entities
            await self._outside.sleep(0)
        if not over:
            removed["quarantined"] = await store.remove_quarantined(before=now - ages.quarantine)
            removed["plans"] = await store.remove_plans(before=now - ages.plans)
            removed["erasures"] = await store.remove_erasures(before=now - ages.plans)
            removed["acts"] = await store.remove_acts(now=now, before=now - ages.audit)
            removed["targets"] = await store.remove_targets(self._targets)
            removed["snapshots"] = await store.remove_snapshots(self._feeds, before=now - ages.snapshots)
        gone = {kind: count for kind, count in removed.items() if count}
        self._outside.record(
            telemetry.Trimmed(
                removed=" ".join(f"{kind}={count}" for kind, count in gone.items()),
                events=removed["events"],
                seconds=self._outside.clock() - began,
                finished=not over,
            )
        )
        return gone


class _Deadline:
    """Whether a round has to end before it is through."""

    def __init__(self, at: float, clock: Callable[[], float], stopping: Callable[[], bool]) -> None:
        self._at = at
        self._clock = clock
        self._stopping = stopping

    def __bool__(self) -> bool:
        return self._stopping() or self._clock() >= self._at
