"""Backpressure: new events are refused while Redis has room left for the outcome of what it took."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import redis.asyncio as aioredis

from relay.errors import StoreFull
from relay.events import Event, event_id
from relay.jobs import Jobs
from relay.store.feeds import FeedStore
from relay.store.headroom import Headroom, default_limit
from relay.store.keys import Keys
from relay.store.reading import Reading
from relay.store.server import EmbeddedServer
from relay.store.store import Store
from tests.fakes import FakeClock, Relay
from tests.integration.web_world import problem, settings, thin, web_over

MIB = 2**20
_numbers = itertools.count(1)


def event(size: int = 2000) -> Event:
    number = f"h{next(_numbers)}"
    return Event(
        id=event_id("test", number),
        source="test",
        sender_id=number,
        type="planday.shift.published",
        portal=4100001,
        entity="shift",
        entity_id=number,
        received_at=1_790_000_000.0,
        received={"note": "x" * size},
    )


@pytest.fixture
async def small(tmp_path: Path) -> AsyncIterator[aioredis.Redis]:
    """A Redis with 16 MiB, which refuses what is over that."""
    with EmbeddedServer(tmp_path / "store", appendfsync="everysec", maxmemory=16 * MIB) as server:
        client = aioredis.Redis.from_url(server.url)
        yield client
        await client.aclose()


def store_on(client: aioredis.Redis, prefix: str = "relay:", *, memory_limit: int | None = None) -> Store:
    keys = Keys(prefix)
    return Store(client, keys, backlog_limit=1_000_000, bell=Jobs(prefix, keys.queue).bell, memory_limit=memory_limit)


async def fill(store: Store, clock: FakeClock, relay: Relay | None = None) -> int:
    """Hand in events until no more are taken; how many were."""
    taken = 0
    while True:
        try:
            await store.accept([event() for _ in range(50)], now=clock())
        except StoreFull:
            return taken
        taken += 50
        clock.now += 1
        if relay is not None:
            await relay.work()


@pytest.mark.parametrize("workers", ["at work", "away"])
async def test_what_was_taken_is_worked_on_when_no_more_is(small: aioredis.Redis, workers: str) -> None:
    """Redis never has to refuse the outcome of what was sent: all that was taken is delivered, each once."""
    store, clock = store_on(small), FakeClock()
    relay = Relay(store, clock, hours={"fields": ["data.object", "data.received"]})
    taken = await fill(store, clock, relay if workers == "at work" else None)
    assert taken >= 500
    await relay.work_until_done()
    assert len(relay.targets["hours"].sent) == taken
    found = (await Reading(small, store.keys).stats(["hours"], now=clock()))["targets"]["hours"]
    assert (found["delivered"], found["waiting"]) == (taken, 0)


async def test_when_there_is_room_again_it_is_taken_again(redis_client: aioredis.Redis, prefix: str) -> None:
    """At the next try, and nothing of what was refused is there: its sender comes again and is no duplicate."""
    used = int((await redis_client.info("memory"))["used_memory"])
    store, clock, ballast = (
        store_on(redis_client, prefix, memory_limit=used + 32 * MIB),
        FakeClock(),
        f"{prefix}ballast",
    )
    await redis_client.setrange(ballast, 64 * MIB, "x")
    refused = event()
    with pytest.raises(StoreFull, match=r"nothing new is accepted until there is room, what was accepted goes on"):
        await store.accept([refused], now=clock())
    await redis_client.delete(ballast)
    (accepted,) = await store.accept([refused], now=clock())
    assert not accepted.duplicate


async def test_what_tells_of_it_is_taken_all_the_same(redis_client: aioredis.Redis, prefix: str) -> None:
    """The alert about a full store is an event as well: it is not refused for what it tells of."""
    store, clock = store_on(redis_client, prefix, memory_limit=1), FakeClock()
    with pytest.raises(StoreFull):
        await store.accept([event()], now=clock())
    (accepted,) = await store.accept([event()], now=clock(), urgent=True)
    assert not accepted.duplicate


async def test_feeds_wait_as_senders_do(redis_client: aioredis.Redis, prefix: str) -> None:
    """What the feed sees is written together with its event, or not at all."""
    keys = Keys(prefix)
    feed = FeedStore(redis_client, keys, backlog_limit=1000, bell=Jobs(prefix, keys.queue).bell, memory_limit=1)
    with pytest.raises(StoreFull):
        await feed.observe(4100001, "shift", [], now=FakeClock()())


async def test_a_sender_is_told_when_to_come_back(redis_server: str, prefix: str) -> None:
    """503 with Retry-After and a reason for the operator; nothing is stored; other pages answer."""
    told = settings(redis_server, prefix)
    told = told.model_copy(update={"store": told.store.model_copy(update={"memory_limit": MIB // 2})})
    async with web_over(told) as web:
        answer = await web.send(thin(id="x"))
        problem(answer, 503, "store")
        assert int(answer.headers["retry-after"]) >= 30
        assert await web.count() == 0
        assert (await web.get("/stats")).status_code == 200


async def test_the_store_is_asked_once_a_second(small: aioredis.Redis) -> None:
    """However many senders come; a clock that was set back is no reason to go on with an old answer."""
    headroom = Headroom(small, limit=2**60)
    before = await _infos(small)
    for n in range(40):
        await headroom.demand(now=1000.0 + n * 0.1)
    assert await _infos(small) - before == 4
    await headroom.demand(now=900.0)
    assert await _infos(small) - before == 5


async def _infos(client: aioredis.Redis) -> int:
    """How often this server was asked for its memory, these questions aside."""
    found = await client.info("commandstats")
    return int(found.get("cmdstat_info", {"calls": 0})["calls"]) - next(_asked)


_asked = itertools.count()


@pytest.mark.parametrize(
    ("memory", "limit"),
    [
        ({"maxmemory": 1000, "total_system_memory": 10_000}, 900),
        ({"maxmemory": 0, "total_system_memory": 10_000}, 8000),
        ({"total_system_memory": 10_000}, 8000),
        ({"maxmemory": 0}, None),
        ({}, None),
    ],
)
def test_without_a_setting_the_limit_follows_redis_and_the_machine(memory: dict[str, int], limit: int | None) -> None:
    """Nine tenths of what Redis may use; else eight tenths of the machine; where neither is known, none."""
    assert default_limit(memory) == limit
