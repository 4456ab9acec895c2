"""Faults that a hostile reading of the line found: each test shows what went wrong once."""

from __future__ import annotations

import pytest
import redis.asyncio as aioredis

from relay.events import DeliveryState
from relay.store.erasing import ErasingStore
from relay.store.work import ClaimedDelivery
from tests.integration.test_store import LEASE, PORTAL, T0, Bench, lane

DEAD = (DeliveryState.DEAD,)


@pytest.fixture
def bench(redis_client: aioredis.Redis, prefix: str) -> Bench:
    return Bench(redis_client, prefix)


async def dead(bench: Bench, count: int, entity: str = "1") -> list[ClaimedDelivery]:
    """So many dead deliveries of one entity, oldest first."""
    claimed = []
    for _ in range(count):
        one = (await bench.routed(bench.event(entity)))[0]
        await bench.settle(one, DeliveryState.DEAD)
        claimed.append(one)
    return claimed


async def replayed(bench: Bench, one: ClaimedDelivery) -> None:
    await bench.store.reopen(one.id, "hours", now=T0, states=DEAD, replay="plan_1")


async def test_a_replay_is_not_due_twice_when_what_was_new_behind_it_ends(bench: Bench) -> None:
    """A replay goes with the new event behind it; when that one is cancelled, the replay still has one holder."""
    old = (await dead(bench, 1))[0]
    await replayed(bench, old)
    await bench.store.pause("hours", now=T0, by="test", reason="test")
    new = bench.event("1")
    await bench.routed(new)
    await bench.store.resume("hours")
    await bench.store.cancel(new.id, "hours", now=T0, reason="test")
    claimed = (await bench.claim(lane(concurrency=8))).deliveries
    assert [one.id for one in claimed] == [old.id]
    await bench.settle(claimed[0])
    assert (await bench.claim(lane(concurrency=8))).deliveries == ()
