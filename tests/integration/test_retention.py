"""Retention over a real Redis: what has an end and is past its age goes with every key of it; nothing else does."""

from __future__ import annotations

import asyncio
import itertools
import secrets
from collections.abc import Iterator

import pydantic_core
import pytest
import redis.asyncio as aioredis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from relay import telemetry
from relay.events import DeliveryState
from relay.pipeline import Outside
from relay.retention import EVERY, Retention
from relay.settings import Portal, load_mapping
from relay.settings.retention import Retention as Ages
from relay.store.audit import Audit
from relay.store.client import command, connect
from relay.store.feeds import FeedStore, Observation
from relay.store.plans import Item, Plans
from relay.store.retention import RetentionStore, without_received
from relay.store.shared import SharedState
from relay.store.shelf import Quarantined, Shelf
from relay.store.store import Store
from relay.store.work import Finished
from tests.fakes import FakeClock
from tests.integration.test_store import T0, Bench, lane

DAY = 86400.0
AGES = Ages(delivered=30 * DAY, failed=90 * DAY, received=7 * DAY, attempts=20 * DAY)
# What no age removes: what the relay is, and what it has counted.
FIXED = {
    "count",
    "portals",
    "retention",
    "wake",
    "arq:queue",
    "erased",
    "erasedkey",
    "format",
    "served",
    "workers",
    "drains",
}


class World:
    """A store with retention beside it, and a clock that is moved."""

    def __init__(self, client: aioredis.Redis, prefix: str, *, ages: Ages = AGES) -> None:
        self.bench = Bench(client, prefix)
        self.client = client
        self.clock = FakeClock(T0)
        self.told: list[telemetry.Happening] = []
        self.shared = SharedState(client, self.bench.keys)
        self.shelf = Shelf(client, self.bench.keys)
        self.plans = Plans(client, self.bench.keys)
        self.audit = Audit(client, self.bench.keys)
        self.retention = self.worker(ages)

    def worker(self, ages: Ages = AGES) -> Retention:
        portal = Portal(id=4100001, client_id="app", feeds=("employees",))  # type: ignore[arg-type]
        return Retention(
            ages,
            store=RetentionStore(self.client, self.bench.keys),
            locks=self.shared,
            outside=Outside(clock=self.clock, sleep=self.clock.sleep, record=self.told.append),
            portals={"bistro": portal},
            targets=("hours",),
        )

    @property
    def store(self) -> Store:
        return self.bench.store

    async def event(self, end: str, *, accepted: float, ended: float, entity: str, data: object = None) -> str:
        """One event that came to this end at this time; "parked", "waiting" and "accepted" are none."""
        event = self.bench.event(entity)
        if data is not None:
            event = event.__class__(**{**{n: getattr(event, n) for n in event.__slots__}, "received": data})
        await self.store.accept([event], now=accepted)
        if end == "accepted":
            return event.id
        (claimed,) = (await self.bench.claim(lane("nobody"), now=accepted, deliveries=0)).events
        envelope = pydantic_core.to_json({"type": event.type, "data": {"received": data} if data is not None else {}})
        targets = () if end == "unrouted" else ("hours",)
        finished = Finished(id=claimed.id, token=claimed.token, envelope=envelope, targets=targets, people=("77",))
        await self.store.finish(finished, now=ended if end == "unrouted" else accepted)
        if end in ("delivered", "dead", "parked"):
            (delivery,) = (await self.bench.claim(now=ended)).deliveries
            await self.bench.settle(delivery, DeliveryState(end), now=ended)
        elif end == "cancelled":
            await self.store.cancel(event.id, "hours", now=ended, reason="test")
        return event.id

    async def plan(self) -> None:
        """A replay plan of one item, made at T0."""
        item = Item(at=T0, sequence=1, event="evt_1", target="hours", state="dead", data="")
        await self.plans.draft("plan_1", [item])
        parts = await self.plans.seal("plan_1", ["hours"])
        await self.plans.save("plan_1", {"id": "plan_1"}, parts, now=T0)

    async def keys(self) -> set[str]:
        prefix = self.bench.keys.prefix
        return {key.decode().removeprefix(prefix) async for key in self.client.scan_iter(match=f"{prefix}*")}


@pytest.fixture
def world(redis_client: aioredis.Redis, prefix: str) -> World:
    return World(redis_client, prefix)


ENDS = ("delivered", "dead", "cancelled", "unrouted", "parked", "waiting", "accepted")
EVENTS = st.lists(st.tuples(st.sampled_from(ENDS), st.integers(0, 120), st.integers(0, 120)), max_size=12)
_numbers: Iterator[int] = itertools.count()


def test_exactly_what_is_past_its_age_goes(redis_server: str) -> None:
    """Of any mix of ends and ages: the ended ones past their age go, with all their keys; all others stay untouched."""

    @settings(max_examples=40, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(events=EVENTS)
    def check(events: list[tuple[str, int, int]]) -> None:
        asyncio.run(_check(redis_server, events))

    check()


async def _check(url: str, events: list[tuple[str, int, int]]) -> None:
    client = connect(url)
    world = World(client, f"ret{secrets.token_hex(4)}{next(_numbers)}:")
    try:
        stay, go = set[str](), set[str]()
        # Those that wait come last, so that whoever claims finds the one it is about.
        for number, (end, first, second) in enumerate(sorted(events, key=lambda one: ENDS.index(one[0]))):
            # An entity of its own each: what is parked holds its lane, and that is not what this is about.
            old, young = max(first, second) + 0.5, min(first, second) + 0.5
            id_ = await world.event(end, accepted=T0 - old * DAY, ended=T0 - young * DAY, entity=str(number))
            age = {"delivered": 30, "dead": 90, "cancelled": 90, "unrouted": 90}.get(end)
            (go if age is not None and young > age else stay).add(id_)
        removed = await world.retention.round()
        keys = await world.keys()
        assert {key[2:] for key in keys if key.startswith("e:")} == stay
        assert not [key for key in keys for id_ in go if id_ in key]
        assert removed.get("events", 0) == len(go)
        indexed = await client.zrange(world.bench.keys.events, 0, -1)
        assert {id_.decode() for id_ in indexed} == stay
        assert await world.retention.round() == {}, "a second round finds nothing"
    finally:
        if left := [key async for key in client.scan_iter(match=f"{world.bench.keys.prefix}*", count=1000)]:
            await client.unlink(*left)
        await client.aclose()


async def test_redis_is_trimmed_to_zero(world: World) -> None:
    """Once everything is past its age, nothing is left but what the relay itself is."""
    for number, end in enumerate(("delivered", "dead", "cancelled", "unrouted", "delivered")):
        await world.event(end, accepted=T0, ended=T0, entity=str(number % 3), data={"employeeId": 77})
    await world.shelf.quarantine(
        Quarantined(id="qua_1", source="s", at=T0, reason="not JSON", content_type="text/plain", body="x"), most=10
    )
    await world.plan()
    await world.audit.record(by="cli:anna", act="replay.plan", on="plan_1", now=T0)
    feeds = FeedStore(world.client, world.bench.keys, backlog_limit=10, bell=world.store._bell)
    seen = Observation(id="1", expected="", snapshot=b"{}", version="a", day=0, read_at=T0)
    await feeds.observe(999, "employee", [seen], now=T0)
    await feeds.save_mark(999, "employees", {"tried": T0})
    world.clock.now = T0 + 3000 * DAY
    removed = await Retention.round(world.worker(AGES.model_copy(update={"audit": 100 * DAY})))
    assert removed["events"] == 5
    left = await world.keys()
    assert left <= FIXED | {"targets"}, left - FIXED
    trimmed = [one for one in world.told if isinstance(one, telemetry.Trimmed)]
    assert trimmed[-1].events == 5
    assert "quarantined=1 plans=1" in trimmed[-1].removed
    assert "acts=1" in trimmed[-1].removed
    assert "snapshots=1" in trimmed[-1].removed


async def test_what_has_work_left_stays_however_old_it_is(world: World) -> None:
    """A parked delivery waits for a person, and may wait for years."""
    id_ = await world.event("parked", accepted=T0, ended=T0, entity="1", data={"note": "kept"})
    world.clock.now = T0 + 3000 * DAY
    assert await world.retention.round() == {}
    assert (await world.bench.reading.event(id_)).event.received == {"note": "kept"}
    assert await world.bench.reading.attempts(id_, "hours")
    await world.store.cancel(id_, "hours", now=world.clock(), reason="decided")
    world.clock.now += 91 * DAY
    assert (await world.retention.round())["events"] == 1


async def test_a_senders_own_words_go_before_the_event(world: World) -> None:
    """After seven days they are gone from record and envelope, and the event is there; a late one follows."""
    id_ = await world.event("delivered", accepted=T0, ended=T0, entity="1", data={"note": "Sofie is ill"})
    late = await world.event("parked", accepted=T0, ended=T0, entity="2", data={"note": "Sofie is ill"})
    world.clock.now = T0 + 8 * DAY
    assert await world.retention.round() == {"received": 1}
    record = await world.bench.reading.event(id_)
    assert record.event.received is None
    assert record.envelope is not None
    assert "received" not in record.envelope["data"]
    assert (await world.bench.reading.event(late)).event.received == {"note": "Sofie is ill"}
    await world.store.cancel(late, "hours", now=world.clock(), reason="decided")
    assert await world.retention.round() == {}
    world.clock.now += 8 * DAY
    assert await world.retention.round() == {"received": 1}
    assert b"Sofie" not in await world.client.get(world.bench.keys.body(late))


async def test_attempts_go_and_the_delivery_stays(world: World) -> None:
    """The clerk still sees that it was delivered, only not how."""
    id_ = await world.event("dead", accepted=T0, ended=T0, entity="1")
    world.clock.now = T0 + 21 * DAY
    assert await world.retention.round() == {"attempts": 1}
    assert (await world.bench.reading.delivery(id_, "hours")).state is DeliveryState.DEAD
    assert await world.bench.reading.attempts(id_, "hours") == []


async def test_order_outlives_the_events(world: World) -> None:
    """The sequence and what a target has are kept after the events, and end by themselves when their time has come."""
    await world.event("delivered", accepted=T0, ended=T0, entity="1")
    world.clock.now = T0 + 31 * DAY
    assert (await world.retention.round())["events"] == 1
    entity = world.bench.keys.entity("4100001:shift:1")
    assert await command(world.client, "HGET", entity, "hi:hours") == b"1"
    left = await world.client.ttl(entity)
    assert left == pytest.approx((400 - 31) * DAY, abs=60)


async def test_many_events_of_one_moment(world: World) -> None:
    """More than one step holds, all accepted at the same time: each is looked at, none twice."""
    events = [world.bench.event(str(number)) for number in range(450)]
    await world.store.accept(events, now=T0)
    while claimed := (await world.bench.claim(lane("nobody"), deliveries=0)).events:
        for one in claimed:
            await world.bench.finish(one)
    world.clock.now = T0 + 91 * DAY
    assert (await world.retention.round())["events"] == 450


async def test_one_worker_at_a_time_and_not_all_the_time(world: World) -> None:
    """Of two workers one looks, and neither again before the time has come."""
    other = world.worker()
    await world.event("delivered", accepted=T0 - 100 * DAY, ended=T0 - 100 * DAY, entity="1")
    first, second = await asyncio.gather(world.retention.tick(), other.tick())
    assert sorted([first.get("events", 0), second.get("events", 0)]) == [0, 1]
    await world.event("delivered", accepted=T0 - 100 * DAY, ended=T0 - 100 * DAY, entity="2")
    world.clock.now += EVERY / 2
    assert await world.retention.tick() == {}


async def test_a_stopping_worker_leaves_the_rest(world: World) -> None:
    """What it does not get to goes in the next round."""
    await world.event("delivered", accepted=T0 - 100 * DAY, ended=T0 - 100 * DAY, entity="1")
    assert await world.retention.round(stopping=lambda: True) == {}
    assert [one.finished for one in world.told if isinstance(one, telemetry.Trimmed)] == [False]
    assert (await world.retention.round())["events"] == 1


async def test_a_running_plan_stays(world: World) -> None:
    """A plan that was started and has not ended has work left."""
    await world.plan()
    await world.plans.turn("plan_1", "start", by="t", reason="", now=T0)
    world.clock.now = T0 + 1000 * DAY
    assert await world.retention.round() == {}
    await world.plans.turn("plan_1", "cancel", by="t", reason="", now=world.clock())
    # As its runner does when it is through.
    await command(world.client, "SREM", world.bench.keys.plans_running, "plan_1")
    assert await world.retention.round() == {"plans": 1}


def test_a_senders_words_are_found_in_each_line() -> None:
    """The accepted event and an envelope; what holds none is left as it is."""
    record = pydantic_core.to_json({"src": "s", "data": {"a": 1.50}, "ext": {}})
    envelope = pydantic_core.to_json({"data": {"object": {"x": 1}, "received": [1]}})
    assert without_received(record + b"\n" + envelope + b"\n{}") == (
        b'{"src":"s","data":null,"ext":{}}\n{"data":{"object":{"x":1}}}\n{}'
    )
    assert without_received(b'{"src":"s","data":null}\n{"data":{"object":null}}\n{}') is None


def test_order_must_outlive_the_events_by_the_settings() -> None:
    """Without it a replay could send an older state after a newer one."""
    with pytest.raises(Exception, match="entities must be 90d at least"):
        load_mapping({"retention": {"entities": "30d"}}, environ={})
    assert load_mapping({"retention": {"audit": "2190d"}}, environ={}).retention.audit == 2190 * DAY
    with pytest.raises(Exception, match="an age is a number and a unit"):
        load_mapping({"retention": {"audit": "for ever"}}, environ={})
