"""Both doors into one line: one delivery per change, nothing crosses between portals, and few look-ups."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

import pytest
import redis.asyncio

from relay import telemetry
from relay.simulator.flavours import BISTRO, HARBOUR
from relay.simulator.identity import PAYROLL_SCOPES
from relay.simulator.life import Life, steps
from tests.integration.feed_line import FeedLine
from tests.integration.planday_world import World

SHIFT = 70010045
MINUTE = 60.0


@pytest.fixture
def world(redis_client: redis.asyncio.Redis, prefix: str) -> World:
    return World(redis_client, prefix, scopes=PAYROLL_SCOPES)


async def _after_first_look(world: World, **targets: dict[str, object]) -> FeedLine:
    line = FeedLine(world, **targets)  # type: ignore[arg-type]
    await line.look()
    await line.work()
    assert not any(target.sent for target in line.targets.values()), "a first look is quiet"
    world.clock.advance(MINUTE)
    return line


@pytest.mark.parametrize("first", ["sender", "feed"])
async def test_one_change_through_both_doors_is_one_delivery(world: World, first: str) -> None:
    """Whichever door is first, the other's event ends `duplicate` and names it."""
    line = await _after_first_look(world)
    change, _, _ = world.simulator.act(BISTRO, "shift", "approve", id=SHIFT)
    if first == "sender":
        await line.send(change)
        await line.work()
        await line.look()
    else:
        await line.look()
        await line.work()
        await line.send(change)
    await line.work()
    told = Counter(one["type"] for one in line.sent())
    told.pop("planday.payroll_line.corrected", None)  # what the approval did to the pay is told for itself
    assert told == {"planday.shift.approved": 1}
    (duplicate,) = line.told(telemetry.EventDuplicate)
    assert duplicate.type == "planday.shift.approved"


async def test_approve_unapprove_approve_through_both_doors_is_three(world: World) -> None:
    """Each step is told once, though the last state looks like the first."""
    line = await _after_first_look(world)
    for action in ("approve", "unapprove", "approve"):
        change, _, _ = world.simulator.act(BISTRO, "shift", action, id=SHIFT)
        await line.send(change)
        await line.work()
        world.clock.advance(MINUTE)
        await line.look()
        await line.work()
        world.clock.advance(MINUTE)
    told = [one["type"].rpartition(".")[2] for one in line.sent() if one["subject"] == f"shift/{SHIFT}"]
    assert told == ["approved", "unapproved", "approved"]


async def test_a_feed_event_that_was_overtaken_is_read_anew(world: World) -> None:
    """What the feed saw may be older than what a sender's event brought: the older state is not delivered after it."""
    line = await _after_first_look(world)
    world.simulator.act(BISTRO, "shift", "edit", id=SHIFT, startDateTime="2026-10-24T19:00")
    await line.look()  # seen, accepted, not yet handled
    world.clock.advance(5)
    change, _, _ = world.simulator.act(BISTRO, "shift", "edit", id=SHIFT, startDateTime="2026-10-24T18:00")
    other = FeedLine(world)
    await other.send(change)
    await line.work()
    starts = [one["data"]["object"]["startDateTime"] for one in line.sent() if one["subject"] == f"shift/{SHIFT}"]
    assert starts[-1].startswith("2026-10-24T18:00")
    assert starts == sorted(starts, reverse=True)


async def test_portals_with_equal_ids_and_one_client_id_do_not_mix(world: World) -> None:
    """Two portals that live at the same time: each event is of its own portal, and nobody exceeds a budget."""
    lives = [Life(world.simulator, BISTRO, seed=5, people=15), Life(world.simulator, HARBOUR, seed=6, people=15)]
    line = await _after_first_look(world)
    for _ in steps(lives, world.clock.now() + timedelta(hours=3), step=timedelta(minutes=1)):
        await line.look()
        await line.work()
    found = Counter(one["portalid"] for one in line.sent())
    assert found[str(BISTRO)] > 10
    assert found[str(HARBOUR)] > 10
    names = {str(BISTRO): "Bistro", str(HARBOUR): "Harbour"}
    for one in line.sent():
        portal = one["data"].get("related", {}).get("portal")
        assert portal is None or portal["id"] == int(one["portalid"]), names
    report = world.simulator.budget.report()
    assert all(part["refused"] == 0 for part in (*report["portals"].values(), *report["clients"].values()))
    assert all(part["maxPercent"] <= 100 for part in report["clients"].values())
    assert world.unexpected() == []


async def test_shift_events_of_the_same_staff_cost_few_look_ups(world: World) -> None:
    """The feed's rows are the records: what is read besides are people and places, once (aim: 15 per 100 events)."""
    fields = ["class:A", "class:B", "class:C"]
    line = await _after_first_look(world, hours={"events": ["planday.shift.*"], "fields": fields})
    people = sorted(world.simulator.portals[BISTRO].employees)[:20]
    shifts = sorted(world.simulator.portals[BISTRO].shifts)[:10]
    world.simulator.log.by_endpoint.clear()
    for round_ in range(30):
        for place, number in enumerate(shifts):
            person = people[(round_ * 7 + place * 2) % len(people)]
            world.simulator.act(BISTRO, "shift", "assign", id=number, employeeId=person)
        await line.look("bistro")
        await line.work()
        world.clock.advance(2 * MINUTE)
    made = len(line.sent())
    looked_up = {name: count for name, count in world.asked().items() if name.endswith("}") or name.endswith("info")}
    assert made >= 250
    assert sum(looked_up.values()) * 100 / made <= 15, (made, looked_up)
