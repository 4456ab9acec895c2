"""A look that a person asks for, and what such a look finds that was told on the way."""

from __future__ import annotations

from collections import Counter

import pytest
import redis.asyncio

from relay import telemetry
from relay.feed.marks import Mark
from relay.feed.runner import look_now
from relay.simulator.flavours import BISTRO
from tests.integration.feed_line import FeedLine
from tests.integration.planday_world import World

SHIFT = 70010045


@pytest.fixture
def world(redis_client: redis.asyncio.Redis, prefix: str) -> World:
    return World(redis_client, prefix)


async def _after_first_look(world: World) -> FeedLine:
    line = FeedLine(world, feeds=("shifts",))
    await line.look()
    await line.work()
    world.clock.advance(10)  # the next look would be 50 s away
    return line


async def test_a_look_that_is_asked_for_is_taken_at_the_next_tick(world: World) -> None:
    """Before its time, and once: then the feed has its usual pace again."""
    line = await _after_first_look(world)
    await line.look()
    assert len(line.told(telemetry.FeedLooked)) == 2, "one for each portal"
    assert await look_now(line.feed_store, line.portals["bistro"], now=world.now()) == ("shifts",)
    for _ in range(2):
        world.clock.advance(5)
        await line.look()
    assert [one.portal for one in line.told(telemetry.FeedLooked)][2:] == ["bistro"]


async def test_a_look_that_ends_does_not_take_a_wish_back(world: World) -> None:
    """What is asked for while a look is under way is taken after it: that one may have read the list already."""
    line = await _after_first_look(world)
    mark = Mark.read(await line.feed_store.mark(BISTRO, "shifts"))
    await look_now(line.feed_store, line.portals["bistro"], now=world.now())
    await line.feed_store.save_mark(BISTRO, "shifts", mark.write())  # a look that began before it ends now
    assert Mark.read(await line.feed_store.mark(BISTRO, "shifts")).is_due(world.now())


async def test_what_was_told_on_the_way_is_not_told_again(world: World) -> None:
    """A sender tells of a new shift and of each step after; the look that finds it in the end repeats nothing."""
    line = await _after_first_look(world)
    change, record, _ = world.simulator.act(
        BISTRO, "shift", "create", startDateTime="2026-10-27T09:00", endDateTime="2026-10-27T15:00", departmentId=4101
    )
    await line.send(change)
    await line.work()
    world.clock.advance(10)
    change, _, _ = world.simulator.act(BISTRO, "shift", "edit", id=record["id"], startDateTime="2026-10-27T10:00")
    await line.send(change)
    await line.work()
    world.clock.advance(60)
    await line.look()
    await line.work()
    subject = f"shift/{record['id']}"
    told = Counter(one["type"].rpartition(".")[2] for one in line.sent() if one["subject"] == subject)
    assert told == {"created": 1, "updated": 1}


async def test_a_step_that_was_not_told_is_not_taken_for_told(world: World) -> None:
    """The sender tells that a shift is new and no more; what it has become since is sent."""
    line = await _after_first_look(world)
    change, record, _ = world.simulator.act(
        BISTRO, "shift", "create", startDateTime="2026-10-27T09:00", endDateTime="2026-10-27T15:00", departmentId=4101
    )
    await line.send(change)
    await line.work()
    world.clock.advance(10)
    world.simulator.act(BISTRO, "shift", "edit", id=record["id"], startDateTime="2026-10-27T10:00")
    world.clock.advance(60)
    await line.look()
    await line.work()
    sent = [one for one in line.sent() if one["subject"] == f"shift/{record['id']}"]
    assert sent[-1]["data"]["object"]["startDateTime"].startswith("2026-10-27T10:00")
