"""What the relay costs of Planday's budget: the feed of a 200-person portal, and look-ups for events of one staff."""

from __future__ import annotations

import asyncio
from pathlib import Path

import redis.asyncio as aioredis

from bench.rows import Row, at_most
from relay.simulator.flavours import BISTRO
from relay.store.server import EmbeddedServer
from tests.integration.feed_day import one_day
from tests.integration.planday_world import World

PEOPLE = 200


async def run(folder: Path, *, quick: bool) -> list[Row]:
    """Some hours of a living portal in simulated time; then a hundred shift events."""
    hours = 0.5 if quick else 3.0
    with EmbeddedServer(folder, appendfsync="everysec") as server:
        verdict = await one_day(server.url, "day:", seed=1, people=PEOPLE, hours=hours)
        beside = await _look_ups(server.url)
    return [
        at_most(f"feed of {PEOPLE} people over {hours:g} h: mean share of 750/min", verdict.mean_percent, "%", 10),
        Row("  busiest minute", verdict.max_percent, "%"),
        at_most("  refused (429)", verdict.refused, "", 0),
        at_most("  changes missed, doubled or told wrongly", len(verdict.faults()), "", 0),
        at_most("look-ups per 100 shift events of the same staff, beside the shifts", beside, "", 15),
    ]


async def _look_ups(url: str) -> float:
    """Requests beside the shifts themselves, for a hundred thin events of shifts of five people."""
    client: aioredis.Redis = aioredis.Redis.from_url(url)
    try:
        world = World(client, "looked:")
        world.generous()
        shifts = world.simulator.portals[BISTRO].shifts
        first = next(iter(shifts.values()))
        people = sorted(world.simulator.portals[BISTRO].employees)[:5]
        for step in range(100):
            number = 71_000_000 + step
            shifts[number] = {**first, "id": number, "employeeId": people[step % 5]}
        planday = world.planday()
        events = [world.event("planday.shift.updated", 71_000_000 + step) for step in range(100)]
        await asyncio.gather(*(planday.enrich(event, now=world.now()) for event in events))
        return sum(world.asked().values()) - 100
    finally:
        await client.aclose()
