"""A published schedule: hundreds of changes at once become few messages in Slack, and none of them is missing.

The whole line over a real store, to a stand-in for Slack on the loopback that reads every message and counts by second.
"""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
import redis.asyncio as aioredis

from relay.events import Event, event_id
from relay.jobs import Jobs
from relay.messages import Messages
from relay.pipeline import Line, Outside, Pipeline
from relay.planday.enrich import Enrichment
from relay.routing import Router
from relay.settings import load_mapping
from relay.simulator import create_simulator, running
from relay.simulator.clock import Clock
from relay.simulator.faults import Fault
from relay.simulator.simulator import Simulator
from relay.simulator.slack_standin import Message, SlackStandin
from relay.store.keys import Keys
from relay.store.reading import Reading
from relay.store.store import Store
from relay.store.work import Lane
from relay.targets import build_all
from tests.fakes import FakeClock, FakePlanday, Relay

BURST = 500
_numbers = itertools.count(1)


class SimulatorClock(Clock):
    """The simulator lives on the test's clock."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__()
        self._clock = clock

    def now(self) -> datetime:
        return datetime.fromtimestamp(self._clock.now, UTC)


class Scene(Relay):
    """A line whose one target is a real one."""

    def __init__(self, client: aioredis.Redis, prefix: str, *, clock: FakeClock, url: str, **slack: Any) -> None:
        keys = Keys(prefix)
        self.clock = clock
        self.store = Store(client, keys, backlog_limit=10_000, bell=Jobs(prefix, keys.queue).bell)
        self.reading = Reading(client, keys)
        self.planday = FakePlanday()
        target = {
            "type": "slack",
            "url": url,
            "events": ["planday.*", "relay.*"],
            "allow_http": True,
            "allow_networks": ["127.0.0.0/8"],
        }
        self.settings = load_mapping({"targets": {"slack": {**target, **slack}}}, environ={})
        self.real = build_all(self.settings.targets, messages=Messages())
        lanes = tuple(
            Lane(
                target=name,
                concurrency=target.settings.rate.concurrency,
                per_second=target.settings.rate.per_second,
                burst=target.settings.rate.burst,
                limiter=target.limiter,
                dedupes=target.dedupes,
                gathers=target.gathers,
            )
            for name, target in self.real.items()
        )
        line = Line(planday=self.planday, router=Router(self.settings.targets), targets=self.real, lanes=lanes)
        self.outside = Outside(clock=clock, sleep=clock.sleep, chance=lambda: 0.0)
        self.pipeline = Pipeline(self.store, line, self.outside)

    def shift(self, number: int, type_: str = "planday.shift.updated") -> Event:
        """A change of a shift of a person of its own."""
        self.planday.records[f"shift/{number}"] = Enrichment(
            object={
                "id": number,
                "departmentId": 4101 + number % 3,
                "start": {"local": f"2026-11-{1 + number % 28:02}T08:00", "zone": "Europe/Copenhagen"},
                "end": {"local": f"2026-11-{1 + number % 28:02}T16:00", "zone": "Europe/Copenhagen"},
            },
            related={
                "employee": {"id": number, "firstName": "Søren", "lastName": f"Nr{number}"},
                "department": {"id": 4101 + number % 3, "name": ("Harbour", "Kitchen", "Bar")[number % 3]},
            },
            fetched_at=self.clock(),
        )
        return self._event(type_, "shift", str(number))

    def trouble(self) -> Event:
        """What the relay tells of itself."""
        return self._event("relay.target.failing", "target", "hours")

    def _event(self, type_: str, entity: str, entity_id: str) -> Event:
        number = f"b{next(_numbers)}"
        return Event(
            id=event_id("test", number),
            source="test",
            sender_id=number,
            type=type_,
            portal=4100001,
            entity=entity,
            entity_id=entity_id,
            received_at=self.clock(),
        )

    async def happen(self, *events: Event) -> None:
        await self.store.accept(list(events), now=self.clock())

    async def counts(self) -> dict[str, int]:
        found = await self.reading.stats(["slack"], now=self.clock())
        return {name: count for name, count in found["targets"]["slack"].items() if count and isinstance(count, int)}


class Channel:
    """The stand-in's side: what people see."""

    def __init__(self, standin: SlackStandin) -> None:
        self._standin = standin

    @property
    def messages(self) -> list[Message]:
        return list(self._standin.posts)

    @property
    def lines(self) -> list[str]:
        """The lines of events, as they stand in the messages."""
        blocks = [
            block for message in self.messages for block in message.payload["blocks"] if block["type"] == "section"
        ]
        return [line for block in blocks for line in block["text"]["text"].splitlines() if line.startswith("• ")]


class World:
    """Time, and Slack."""

    def __init__(
        self, client: aioredis.Redis, prefix: str, *, clock: FakeClock, url: str, simulator: Simulator
    ) -> None:
        self._client, self._prefix = client, prefix
        self.clock, self.url, self.simulator = clock, url, simulator
        self.channel = Channel(simulator.slack)
        self.scenes: list[Scene] = []

    def scene(self, **slack: Any) -> Scene:
        url = f"{self.url}/slack/services/T0/B0/token"
        made = Scene(self._client, self._prefix, clock=self.clock, url=url, **slack)
        self.scenes.append(made)
        return made


@pytest.fixture
async def world(redis_client: aioredis.Redis, prefix: str) -> AsyncIterator[World]:
    clock = FakeClock(datetime(2026, 11, 23, 10, 0, 7, tzinfo=UTC).timestamp())
    app = create_simulator(clock=SimulatorClock(clock))
    simulator = app.state.simulator
    # Slack itself: more than one a second is refused, and seen.
    simulator.settings.slack_per_second = 1
    async with running(app) as url:
        made = World(redis_client, prefix, clock=clock, url=url, simulator=simulator)
        yield made
        for scene in made.scenes:
            for target in scene.real.values():
                await target.aclose()


def named(channel: Channel, number: int) -> list[str]:
    return [line for line in channel.lines if f"*Søren Nr{number}*" in line]


@pytest.mark.parametrize("gather", ["30s", "0s"])
async def test_a_burst_is_few_messages_and_none_is_missing(world: World, gather: str) -> None:
    """500 changes: at most 10 messages, no two within a second, each change with name, day, time and place."""
    scene = world.scene(digest={"gather": gather})
    began = world.clock.now
    await scene.happen(*(scene.shift(number) for number in range(BURST)))
    await scene.work_until_done(most=1000)
    assert await scene.counts() == {"delivered": BURST}
    messages = world.channel.messages
    assert len(messages) <= 10
    assert all(message.accepted and not message.warnings for message in messages)
    assert len({message.at[:19] for message in messages}) == len(messages)
    assert world.clock.now - began < 45
    alone = [message for message in messages if "\n• " not in message.payload["text"]]
    told = "\n".join((*world.channel.lines, *(message.payload["text"] for message in alone)))
    for number in range(BURST):
        assert told.count(f"*Søren Nr{number}*") == 1
    if not alone:
        (line,) = named(world.channel, 5)
        assert line == "• *Søren Nr5* · Fri 6 Nov 2026, 08:00–16:00 · Bar"
        assert messages[0].payload["text"].startswith("100 × Shift changed\n")
        assert "Harbour" in messages[0].payload["text"].splitlines()[1]


async def test_a_lone_event_looks_as_ever(world: World) -> None:
    """At the end of its window, as a message of its own kind."""
    scene = world.scene(digest={"gather": "30s"})
    await scene.happen(scene.shift(1, "planday.shift.published"))
    await scene.work()
    assert world.channel.messages == []
    await scene.work_until_done()
    (message,) = world.channel.messages
    assert message.payload["text"] == "Shift published\n*Søren Nr1* · Kitchen\nMon 2 Nov 2026, 08:00–16:00"
    assert message.at.startswith("2026-11-23T10:00:30")


async def test_quiet_hours_end_in_one_message_and_what_is_urgent_wakes(world: World) -> None:
    """Held until six on the portal's clock; trouble of the relay's own goes out at night."""
    world.clock.now = datetime(2026, 11, 23, 22, 30, tzinfo=UTC).timestamp()
    scene = world.scene(quiet="22:00-06:00", zone="Europe/Copenhagen")
    await scene.happen(*(scene.shift(number) for number in range(40)), scene.trouble())
    await scene.work_until_done()
    first, second = world.channel.messages
    assert first.payload["text"].startswith("Target hours keeps failing")
    assert first.at.startswith("2026-11-23T22:30:00")
    assert second.payload["text"].startswith("40 × Shift changed")
    assert second.at.startswith("2026-11-24T05:00:0")
    assert await scene.counts() == {"delivered": 41}


async def test_a_digest_that_slack_did_not_take_comes_again_whole(world: World) -> None:
    """After the wait of a first failure: each event is in it, and has an end of its own."""
    scene = world.scene(digest={"gather": "30s"})
    await scene.happen(*(scene.shift(number) for number in range(5)))
    world.simulator.faults.add(Fault.read({"path": "/slack/*", "kind": "503"}))
    await scene.work_until_done()
    assert await scene.counts() == {"delivered": 5}
    failed, taken = world.channel.messages
    assert (failed.accepted, taken.accepted) == (False, True)
    assert taken.at.startswith("2026-11-23T10:00:35")
    assert failed.payload == taken.payload


async def test_what_failed_in_the_evening_does_not_come_at_night(world: World) -> None:
    """A retry keeps quiet hours, too."""
    world.clock.now = datetime(2026, 11, 23, 20, 59, 58, tzinfo=UTC).timestamp()
    scene = world.scene(quiet="22:00-06:00", zone="Europe/Copenhagen")
    await scene.happen(*(scene.shift(number) for number in range(3)))
    world.simulator.faults.add(Fault.read({"path": "/slack/*", "kind": "503"}))
    await scene.work_until_done()
    assert await scene.counts() == {"delivered": 3}
    *_, last = world.channel.messages
    assert last.at.startswith("2026-11-24T05:00:0")


async def test_a_channel_that_is_away_opens_its_breaker(world: World) -> None:
    """A refusal of Slack's own counts against the target, as with any other."""
    scene = world.scene(breaker={"failures": 2, "wait": "1h", "longest": "1h"})
    world.simulator.faults.add(Fault.read({"path": "/slack/*", "kind": "503", "count": 2}))
    await scene.happen(*(scene.shift(number) for number in range(3)))
    await scene.work_until_done()
    assert await scene.counts() == {"delivered": 3}
    assert world.clock.now - datetime(2026, 11, 23, 10, 0, 7, tzinfo=UTC).timestamp() > 3600
