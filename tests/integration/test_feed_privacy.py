"""Nothing of the classes D to H is kept or sent where no target may have it, whatever the feed reads."""

from __future__ import annotations

import io
import json
import logging
import re
from datetime import timedelta
from typing import Any

import pytest
import redis.asyncio

from relay import telemetry
from relay.simulator.flavours import BISTRO
from relay.simulator.identity import PAYROLL_SCOPES
from relay.simulator.life import Life
from tests.integration.feed_line import FeedLine
from tests.integration.planday_world import World

# A long simulation runs each line a thousand times: coverage learns nothing from it that smaller tests do not show.
pytestmark = pytest.mark.no_cover

_MARKER = re.compile(r"MARKER-([A-H])-[\w-]*")


@pytest.fixture
def world(redis_client: redis.asyncio.Redis, prefix: str) -> World:
    return World(redis_client, prefix, scopes=PAYROLL_SCOPES)


async def _lived(world: World, **targets: Any) -> FeedLine:
    """Three hours of all feeds, their first and daily whole looks included, with everything delivered."""
    life = Life(world.simulator, BISTRO, seed=3, people=15)
    line = FeedLine(world, **targets)

    async def step(_clock: object) -> None:
        await line.look("bistro")
        await line.work()

    await life.run_async(world.clock.now() + timedelta(hours=3), on_step=step)
    # Whatever the seed did: one of each kind that carries markers.
    world.simulator.act(
        BISTRO, "shift", "edit", id=70010045, comment="MARKER-H-again", startDateTime="2026-10-24T19:00"
    )
    world.clock.advance(2000)
    await line.look("bistro")
    await line.work()
    assert any(target.sent for target in line.targets.values())
    return line


async def _everything(world: World) -> str:
    """All keys under the prefix, of every type, names and values, as one text."""
    parts: list[str] = []
    client = world.redis
    async for key in client.scan_iter(match=f"{world.prefix}*", count=1000):
        kind = (await client.type(key)).decode()
        value: Any
        match kind:
            case "string":
                value = await client.get(key)
            case "hash":
                value = await client.hgetall(key)  # type: ignore[misc]
            case "list":
                value = await client.lrange(key, 0, -1)  # type: ignore[misc]
            case "zset":
                value = await client.zrange(key, 0, -1)
            case _:
                value = await client.smembers(key)  # type: ignore[misc]
        parts += [key.decode(), str(value)]
    return "\n".join(parts)


def _written(line: FeedLine) -> str:
    """What logs and the metrics page hold of everything that happened."""
    told = telemetry.Telemetry(log_format="json", level="debug")
    log, root = io.StringIO(), logging.getLogger()
    handlers, level = list(root.handlers), root.level
    told.configure(log)
    try:
        for happening in line.heard:
            told.record(happening)
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
        logging.captureWarnings(False)
    page = told.metrics.render({}).decode()
    assert "feed_looks_total" in page
    assert "feed.looked" in log.getvalue()
    return page + log.getvalue()


def _classes(text: str) -> set[str]:
    return set(_MARKER.findall(text))


async def test_the_simulator_shows_markers_of_every_class(world: World) -> None:
    """Else the other tests would prove nothing."""
    portal = world.simulator.portals[BISTRO]
    text = str([portal.employees, portal.shifts, portal.punches, portal.absence_requests, portal.shift_types])
    assert _classes(text) >= set("DEFGH")


async def test_nothing_above_b_is_kept_for_targets_that_may_have_nothing_above_b(world: World) -> None:
    """The default of a webhook target: classes A and B."""
    line = await _lived(world)
    assert _classes(await _everything(world)) == set()
    assert _classes(json.dumps([dict(sending.envelope) for sending in line.targets["hours"].sent])) == set()
    assert _classes(str(line.heard)) == set()
    assert _classes(_written(line)) == set()


async def test_pay_is_kept_for_payroll_alone_and_never_sent_to_others(world: World) -> None:
    """The union of what targets may have is kept, each target gets its own part."""
    pay = {"fields": ["class:A", "class:B", "class:E"], "events": ["planday.payroll_line.*", "planday.shift.*"]}
    line = await _lived(world, pay=pay, slack={"fields": ["class:A"]})
    assert _classes(await _everything(world)) <= {"E"}
    assert _classes(json.dumps(line.sent("slack"))) == set()
    assert any(one["type"].startswith("planday.payroll_line") for one in line.sent("pay"))
    assert all(
        "salary" in one["data"]["object"]
        for one in line.sent("pay")
        if "created" in one["type"] and "payroll" in one["type"]
    )
    assert _classes(str(line.heard)) == set()


async def test_absence_is_told_by_name_without_its_period(world: World) -> None:
    """`approved` is told although no target may have the status; when somebody is away is kept nowhere."""
    line = FeedLine(world)
    await line.look("bistro")
    request, _, _ = world.simulator.act(
        BISTRO,
        "absence_request",
        "create",
        employeeId=910233,
        start="2026-12-01",
        end="2026-12-03",
    )
    world.clock.advance(1000)
    await line.look("bistro")
    world.simulator.act(BISTRO, "absence_request", "approve", id=request.id)
    world.clock.advance(1000)
    await line.look("bistro")
    await line.work()
    told = [one["type"] for one in line.sent() if one["subject"] == f"absence_request/{request.id}"]
    assert told == ["planday.absence_request.created", "planday.absence_request.approved"]
    text = await _everything(world)
    assert "2026-12-01" not in text
    assert "2026-12-03" not in text
