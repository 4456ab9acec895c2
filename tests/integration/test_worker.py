"""The worker in this process: arq's frame, its drains, timers and jobs, over a real store and a real socket."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from relay.drain import Pace
from relay.events import DeliveryState, Event, event_id
from relay.replay import PlanRequest
from relay.services import Services, open_services
from relay.settings import load_mapping
from relay.store.cipher import FernetCipher
from relay.store.client import command
from relay.worker import DRAINS_PER_WORKER, WorkerProcess
from tests.servers import Server, answer

SECRET = "whsec_" + "c2VjcmV0LWZvci10ZXN0cy1vbmx5LTEyMzQ="
_numbers = itertools.count(1)


def event(number: int | None = None) -> Event:
    number = number or next(_numbers)
    return Event(
        id=event_id("worker", f"{number}:{time.time_ns()}"),
        source="worker",
        sender_id=str(number),
        type="planday.shift.updated",
        portal=4100001,
        entity="shift",
        entity_id=str(number),
        received_at=time.time(),
    )


async def until(holds: Callable[[], Awaitable[Any]], *, seconds: float = 15.0) -> None:
    """Wait until something is true; fail when it does not become so."""
    end = time.monotonic() + seconds
    while not await holds():
        assert time.monotonic() < end, "it did not happen in time"
        await asyncio.sleep(0.02)


class World:
    """Services with one target at a server of ours, and a worker that the test starts."""

    def __init__(self, services: Services, server: Server) -> None:
        self.services = services
        self.server = server

    @asynccontextmanager
    async def working(self, *, pace: Pace | None = None) -> AsyncIterator[WorkerProcess]:
        worker = WorkerProcess(self.services, pace=pace)
        running = asyncio.create_task(worker.run(signals=False))
        try:
            yield worker
        finally:
            worker.stop("the test is over")
            await asyncio.wait_for(running, 20)

    async def delivered(self, count: int) -> None:
        async def all_there() -> bool:
            stats = await self.services.reading.stats(["hours"], now=time.time())
            return bool(stats["targets"]["hours"]["delivered"] >= count and stats["open"] == 0)

        await until(all_there)

    async def drains(self) -> int:
        _, drains = await self.services.store.live(now=time.time())
        return drains


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with Server(answer(202)) as one:
        yield one


@pytest.fixture
async def world(redis_server: str, prefix: str, server: Server, tmp_path: Path) -> AsyncIterator[World]:
    FernetCipher.load_or_make(tmp_path)
    body = {
        "relay": {"key_prefix": prefix},
        "targets": {
            "hours": {
                "type": "webhook",
                "url": f"{server.url}/hook",
                "signing_secret": "env:SIGNING",
                "events": ["planday.*"],
                "allow_networks": ["127.0.0.0/8"],
                "allow_http": True,
            }
        },
    }
    environ = {"REDIS_URL": redis_server, "SIGNING": SECRET, "RELAY_DATA_DIR": str(tmp_path)}
    settings = load_mapping(body, environ=environ)
    async with open_services(settings, worker=True, strict=False) as services:
        yield World(services, server)


async def test_a_worker_delivers_what_was_accepted_before_it_came(world: World) -> None:
    """Events wait in the store for a worker; nothing but its start is needed."""
    await world.services.intake.accept([event() for _ in range(30)])
    async with world.working():
        await world.delivered(30)
    assert world.server.count == 30


async def test_a_worker_hears_of_new_events_at_once(world: World) -> None:
    """With a drain that waits, an event is on the wire in far less than its idle time."""
    async with world.working():
        await until(lambda: _equals(world.drains, DRAINS_PER_WORKER))
        began = time.monotonic()
        await world.services.intake.accept([event()])
        await world.delivered(1)
        assert time.monotonic() - began < 1.0


async def test_the_bell_alone_starts_a_drain(world: World) -> None:
    """A worker whose own drains ended is started again by the job that the accept script wrote."""
    async with world.working(pace=Pace(life=0.3, overlap=0.0, idle=0.1, lease=1.0)):
        await until(lambda: _equals(world.drains, 0))
        await command(world.services.store.client, "DEL", world.services.keys.drains)
        await world.services.intake.accept([event()])
        await world.delivered(1)


async def test_drains_follow_each_other_and_never_grow_in_number(world: World) -> None:
    """Over many short lives there are as many as wanted, and what comes in meanwhile is delivered once."""
    seen: set[int] = set()
    async with world.working(pace=Pace(life=0.6, overlap=0.3, idle=0.1, lease=3.0)):
        for _ in range(20):
            await world.services.intake.accept([event() for _ in range(5)])
            await asyncio.sleep(0.1)
            seen.add(await world.drains())
        await world.delivered(100)
    assert world.server.count == 100
    assert max(seen) <= 2 * DRAINS_PER_WORKER  # each with its successor


async def test_a_stopped_worker_says_goodbye_and_leaves_no_drain(world: World) -> None:
    """Who looks afterwards sees no worker and no drain, and the stop took no idle time."""
    async with world.working():
        await until(lambda: _equals(world.drains, DRAINS_PER_WORKER))
        began = time.monotonic()
    assert time.monotonic() - began < 1.5
    assert await world.services.store.live(now=time.time()) == (0, 0)


async def test_a_replay_runs_in_the_worker(world: World) -> None:
    """A plan that was started is carried out by whichever worker takes it, and ends."""
    world.server.behaviour = answer(422, b"", "connection: close")
    await world.services.intake.accept([event() for _ in range(3)])
    async with world.working():

        async def three_dead() -> bool:
            stats = await world.services.reading.stats(["hours"], now=time.time())
            return bool(stats["targets"]["hours"]["dead"] == 3)

        await until(three_dead)
        world.server.behaviour = answer(202)
        plan = await world.services.replays.plan(PlanRequest())
        await world.services.start_replay(plan["id"], by="test")
        await world.delivered(3)

        async def ended() -> bool:
            return bool((await world.services.replays.status(plan["id"]))["state"] == "ended")

        await until(ended)
    status = await world.services.replays.status(plan["id"])
    assert (status["results"], status["ends"]) == ({"opened": 3}, {DeliveryState.DELIVERED: 3})


async def test_a_replay_that_lost_its_worker_is_taken_up_by_the_sweep(world: World) -> None:
    """The job that ran it is gone; the plan is started and has items left, and that is enough."""
    world.server.behaviour = answer(422, b"", "connection: close")
    await world.services.intake.accept([event()])
    async with world.working():

        async def dead() -> bool:
            stats = await world.services.reading.stats(["hours"], now=time.time())
            return bool(stats["targets"]["hours"]["dead"] == 1)

        await until(dead)
        world.server.behaviour = answer(202)
        plan = await world.services.replays.plan(PlanRequest())
        await world.services.replays.start(plan["id"], by="test")  # started, but no job was enqueued
        await world.delivered(1)


async def test_errands_are_done_by_the_worker_that_holds_the_secrets(world: World) -> None:
    """A test of a target goes out from the worker, and its answer comes back to whoever asked."""
    async with world.working():
        answered = await world.services.errands.ask("target", "hours", by="t")
        assert (answered["ok"], answered["outcome"], answered["status"]) == (True, "delivered", 202)
        unknown = await world.services.errands.ask("target", "nobody", by="t")
        assert (unknown["ok"], unknown["missing"]) == (False, True)
    assert world.server.received[-1].header("webhook-signature")


async def test_a_worker_shows_its_counters_where_it_is_told_to(
    redis_server: str, prefix: str, server: Server, tmp_path: Path, unused_tcp_port: int
) -> None:
    """What was delivered is counted in the worker, so that is where it can be scraped."""
    environ = {"REDIS_URL": redis_server, "RELAY_DATA_DIR": str(tmp_path)}
    body = {"relay": {"key_prefix": prefix, "worker_metrics_port": unused_tcp_port}}
    async with open_services(load_mapping(body, environ=environ), worker=True, strict=False) as services:
        async with World(services, server).working(), httpx.AsyncClient(trust_env=False) as client:
            page = await client.get(f"http://127.0.0.1:{unused_tcp_port}/metrics")
        assert "planday_relay_delivery_attempts_total" in page.text


async def _equals(ask: Callable[[], Awaitable[int]], wanted: int) -> bool:
    return await ask() == wanted
