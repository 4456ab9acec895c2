"""One drain: leases due work, runs it side by side, keeps the leases alive, and ends in good order.

Any number of drains may run, on any number of hosts: leases make that safe. A drain is the body of one arq job
and lives shorter than arq would let it; its successor is started before it stops claiming.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass

from relay import telemetry
from relay.errors import StoreError
from relay.pipeline import Outside, Pipeline
from relay.store.store import Store
from relay.store.wake import WakeList
from relay.store.work import ClaimedDelivery, Held, Holding


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How a drain works; times in seconds."""

    life: float = 20.0
    """How long it claims before its successor takes over."""
    overlap: float = 1.0
    """How long before that the successor is started."""
    lease: float = 8.0
    """How long its work stays its own without a sign of life. What a killed worker held fills its target's places for
    so long, and all must work again within 10 s (design.md 6)."""
    events: int = 100
    """Events of one portal under way at once."""
    deliveries: int = 200
    """Deliveries to one target under way at once."""
    idle: float = 2.0
    """Longest wait between two looks."""


_AFTER_OUTAGE = 1.0
# A successor that could not be started is tried again so soon.
_AGAIN = 0.05


async def ended(*tasks: asyncio.Task[None]) -> None:
    """Cancel tasks and wait until they are gone.

    More than once, if need be: before Python 3.12 asyncio.wait_for, by which redis-py sends, swallows a cancellation
    that comes in the moment in which its work is done (https://github.com/python/cpython/issues/86296).
    """
    pending = {task for task in tasks if not task.done()}
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=0.1)


class Drain:
    """Runs until its life ends or `stop` is set, then finishes what it holds."""

    def __init__(
        self,
        *,
        store: Store,
        pipeline: Pipeline,
        wake: WakeList,
        outside: Outside,
        worker: str,
        name: str,
        stop: asyncio.Event,
        pace: Pace,
    ) -> None:
        self._store = store
        self._pipeline = pipeline
        self._wake = wake
        self._outside = outside
        self._worker = worker
        self._name = name
        self._stop = stop
        self._pace = pace
        self._changed = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._held: dict[tuple[str, str], Held] = {}
        self._events: Counter[str] = Counter()
        self._deliveries: Counter[str] = Counter()
        self._ours_until: dict[Held, float] = {}
        self._turn = 0
        self._away = False

    async def run(self, successor: Callable[[], Awaitable[None]]) -> None:
        """Claim and work; `successor` is called before the end of this life until it succeeds, unless we stop."""
        clock = asyncio.get_running_loop().time
        end = clock() + self._pace.life
        followed = False
        await self._alive()
        helpers = [asyncio.create_task(body()) for body in (self._listen, self._keep, self._heed)]
        try:
            while not self._stop.is_set() and clock() < end:
                if not followed and clock() >= end - self._pace.overlap:
                    followed = await self._quietly(successor())
                wait = await self._claim()
                until = end if followed else end - self._pace.overlap
                await self._pause(min(wait, self._pace.idle, max(until - clock(), _AGAIN)))
            await self._quietly(self._store.leave(drain=self._name))
            while self._tasks:
                await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
                # The room that this leaves is somebody else's: whoever found none looks again.
                await self._quietly(self._store.wake())
        finally:
            await ended(*helpers, *self._tasks)

    async def _claim(self) -> float:
        """Take what fits; returns how long to wait before the next look, if nothing happens before."""
        self._changed.clear()
        self._turn += 1
        try:
            if self._away:
                # Leases ran out while the store was away. Ours first, and a moment for the other drains to do the same,
                # or what they have sent would be taken from them and sent again.
                await self._renew()
                await self._outside.sleep(_AFTER_OUTAGE)
                self._away = False
            claim = await self._store.claim(
                self._pipeline.lanes,
                now=self._outside.clock(),
                lease=self._pace.lease,
                most_events=self._pace.events,
                most_deliveries=self._pace.deliveries,
                holding=Holding(self._events, self._deliveries),
                turn=self._turn,
            )
        except StoreError as error:
            self._away = True
            self._outside.record(telemetry.StoreTrouble(reason=f"no work could be claimed: {error}"))
            await self._outside.sleep(0.5)
            return 0.0
        if claim.released_events:
            self._outside.record(telemetry.LeaseReleased(kind="event", count=claim.released_events))
        if claim.released_deliveries:
            self._outside.record(telemetry.LeaseReleased(kind="delivery", count=claim.released_deliveries))
        for event in claim.events:
            self._start([Held(event.id, "", event.token)], self._pipeline.process(event), self._events, event.portal)
        for call in self._pipeline.calls_of(claim.deliveries):
            held = [Held(one.id, one.target, one.token) for one in call]
            self._ours_until |= dict.fromkeys(held, call[0].lease_until)
            self._start(held, self._pipeline.deliver(*call, ours=self._is_ours), self._deliveries, call[0].target)
        if claim.next_due is None:
            return self._pace.idle
        return max(claim.next_due - self._outside.clock(), 0.0)

    def _start(self, held: Sequence[Held], work: Coroutine[None, None, None], room: Counter[str], whose: str) -> None:
        room[whose] += len(held)
        self._held |= {(one.id, one.target): one for one in held}
        task = asyncio.create_task(self._guarded(held, work))
        self._tasks.add(task)

        def ended(finished: asyncio.Task[None]) -> None:
            self._tasks.discard(finished)
            room[whose] -= len(held)
            for one in held:
                if self._held.get((one.id, one.target)) is one:
                    del self._held[one.id, one.target]
                self._ours_until.pop(one, None)
            self._changed.set()

        task.add_done_callback(ended)

    async def _guarded(self, held: Sequence[Held], work: Coroutine[None, None, None]) -> None:
        """Nothing that one piece of work does ends the drain; its lease brings it back."""
        try:
            await work
        except StoreError as error:
            self._outside.record(telemetry.StoreTrouble(reason=f"work was left to its lease: {error}"))
        except Exception as error:
            first = held[0]
            self._outside.record(telemetry.OwnFault(where="drain", error=error, event=first.id, target=first.target))

    async def _pause(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._changed.wait()

    async def _listen(self) -> None:
        """Turn rings of the store into looks; a ring is only a hint."""
        while True:
            try:
                if await self._wake.wait(self._pace.idle):
                    self._changed.set()
            except StoreError:
                await self._outside.sleep(0.5)

    async def _heed(self) -> None:
        """Do not sleep through a stop."""
        await self._stop.wait()
        self._changed.set()

    async def _keep(self) -> None:
        """Prolong the leases of what is under way, and say that we live."""
        while True:
            await asyncio.sleep(self._pace.lease / 3)
            try:
                await self._renew()
                await self._alive()
            except StoreError as error:
                self._outside.record(telemetry.StoreTrouble(reason=f"leases could not be prolonged: {error}"))

    async def _renew(self) -> None:
        held = list(self._held.values())
        if not held:
            return
        now = self._outside.clock()
        for one, kept in zip(held, await self._store.renew(held, now=now, lease=self._pace.lease), strict=True):
            if one in self._ours_until:
                self._ours_until[one] = now + self._pace.lease if kept else 0.0

    def _is_ours(self, one: ClaimedDelivery) -> bool:
        return self._outside.clock() < self._ours_until.get(Held(one.id, one.target, one.token), 0.0)

    async def _alive(self) -> None:
        await self._store.heartbeat(
            now=self._outside.clock(), life=self._pace.lease, worker=self._worker, drain=self._name
        )

    async def _quietly(self, work: Awaitable[None]) -> bool:
        try:
            await work
            return True
        except StoreError as error:
            self._outside.record(telemetry.StoreTrouble(reason=str(error)))
            return False
