"""The watch over the relay itself: a real store, a stepped clock, targets played by hand, and watchers that die."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import pytest
import redis.asyncio as aioredis

from relay.alerts.heartbeat import Heartbeat
from relay.alerts.watch import WATCH_EVERY, Watch, open_incidents
from relay.events import NO_PORTAL, Event, EventState, Outcome, event_id
from relay.feed.marks import Mark
from relay.jobs import Jobs
from relay.planday.tokens import Authorisation
from relay.settings import Settings, load_mapping
from relay.store.alerts import AlertStore
from relay.store.checks import Finding
from relay.store.feeds import FeedStore
from relay.store.keys import Keys
from relay.store.reading import EventFilter, Reading
from relay.store.shelf import Quarantined, Shelf
from relay.store.store import Store
from relay.targets import Result, Sending
from tests.fakes import FakeClock, Relay
from tests.servers import Server, answer

_numbers = itertools.count(1)
OPS = {"events": ["relay.*"]}


def event(entity_id: str | None = None, *, at: float = 1_790_000_000.0) -> Event:
    number = f"n{next(_numbers)}"
    return Event(
        id=event_id("test", number),
        source="test",
        sender_id=number,
        type="planday.shift.published",
        portal=4100001,
        entity="shift",
        entity_id=entity_id or number,
        received_at=at,
    )


def says(outcome: Outcome, reason: str = "the target asks to come back later (503)") -> Callable[[Sending], Result]:
    return lambda _: Result(outcome=outcome, reason=reason, status=503, tried=True)


class Died(Exception):
    """The process is gone; nothing after this happens."""


class Mortal:
    """A store whose user dies at call number `at`: before it is made, or just after it was done."""

    def __init__(self, store: AlertStore, *, at: int, after: bool) -> None:
        self._store = store
        self._left = at
        self._after = after

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        method = getattr(self._store, name)

        async def call(*args: Any, **named: Any) -> Any:
            self._left -= 1
            if self._left == 0 and not self._after:
                raise Died
            found = await method(*args, **named)
            if self._left == 0:
                raise Died
            return found

        return call


class World:
    """A relay with its watch, over simulated time."""

    def __init__(
        self, client: aioredis.Redis, prefix: str, *, limit: int = 10_000, **targets: Mapping[str, Any]
    ) -> None:
        self.clock = FakeClock()
        self.keys = Keys(prefix)
        self.jobs = Jobs(prefix, self.keys.queue)
        self.store = Store(client, self.keys, backlog_limit=limit, bell=self.jobs.bell)
        self.reading = Reading(client, self.keys)
        self.shelf = Shelf(client, self.keys)
        self.relay = Relay(self.store, self.clock, **targets)
        self.settings: Settings = self.relay.settings.model_copy(
            update={"relay": self.relay.settings.relay.model_copy(update={"backlog_limit": limit})}
        )
        self.marks = FeedStore(client, self.keys, backlog_limit=limit, bell=self.jobs.bell)
        self.alert_store = AlertStore(client, self.keys, bell=self.jobs.bell, memory_limit=None)
        self.states: dict[str, Authorisation] = {}
        self.findings: list[Finding] = []
        self.watch = self.watcher()

    def watcher(self, store: Any = None, heartbeat: Heartbeat | None = None) -> Watch:
        """Another process that watches."""

        async def states() -> Mapping[str, Authorisation]:
            return self.states

        return Watch(
            self.settings,
            store=store or self.alert_store,
            marks=self.marks,
            known_targets=self.reading.known_targets,
            portal_states=states,
            findings=lambda: self.findings,
            heartbeat=heartbeat,
            outside=self.relay.outside,
        )

    async def go(self, seconds: float, *, step: float = 5.0) -> None:
        """Let so much time pass, with a worker that works and watches."""
        end = self.clock.now + seconds
        while self.clock.now < end:
            await self.relay.work()
            await self.watch.tick()
            await self.relay.work()
            self.clock.now += step

    def told(self, target: str = "ops") -> list[str]:
        """The types of what a target was told, without what is common to them."""
        return [one.envelope["type"].removeprefix("relay.") for one in self.relay.targets[target].sent]

    def last(self, target: str = "ops") -> Mapping[str, Any]:
        """The facts of the last alert as the target gets it, by its own list of fields."""
        one = self.relay.targets[target]
        return dict(one.fields.apply(one.sent[-1].envelope)["data"]["object"])

    async def relay_events(self) -> Counter[str]:
        page = await self.reading.list_events(EventFilter(type="relay.*"), limit=200)
        return Counter(one.event.type for one in page.rows)

    async def open(self) -> list[str]:
        return [one.key for one in await open_incidents(self.alert_store)]


Make = Callable[..., World]


@pytest.fixture
def make(redis_client: aioredis.Redis, prefix: str) -> Make:
    return lambda **named: World(redis_client, prefix, **named)


# A target's outage ---------------------------------------------------------------------------------


@pytest.mark.parametrize("events", [1, 300])
async def test_an_outage_is_told_to_another_target_once_and_so_is_its_end(make: Make, events: int) -> None:
    """Within five minutes, whether much or little is to be sent; the end after the calm time, with nothing lost."""
    world = make(hours={}, ops=OPS)
    hours = world.relay.targets["hours"]
    hours.answer = says(Outcome.RETRY)
    await world.store.accept([event() for _ in range(events)], now=world.clock())
    began = world.clock.now
    while "target.failing" not in world.told():
        await world.go(5)
        assert world.clock.now - began <= 300
    facts = world.last()
    assert facts["target"] == "hours"
    assert "none is lost" in facts["summary"]
    await world.go(4 * 3600, step=60)
    assert world.told() == ["target.failing"]
    assert await world.open() == ["target_failing:hours"]
    hours.answer = says(Outcome.DELIVERED)
    await world.go(12 * 3600, step=60)
    assert world.told() == ["target.failing", "target.recovered"]
    assert "until" in world.last()
    assert await world.open() == []
    assert (await world.reading.stats(["hours"], now=world.clock()))["targets"]["hours"]["delivered"] == events


async def test_a_blip_is_not_told(make: Make) -> None:
    """What works again within the minute is nobody's trouble."""
    world = make(hours={}, ops=OPS)
    hours = world.relay.targets["hours"]
    hours.answer = says(Outcome.RETRY)
    await world.store.accept([event() for _ in range(10)], now=world.clock())
    await world.go(20)
    hours.answer = says(Outcome.DELIVERED)
    await world.go(600)
    assert world.told() == []


# Whoever dies --------------------------------------------------------------------------------------


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("at", range(1, 9))
async def test_each_edge_is_told_once_whoever_dies_when(make: Make, at: int, after: bool) -> None:
    """Watchers die again and again, at each of their calls of the store; another goes on: one beginning, one end."""
    world = make(hours={}, ops=OPS)
    await world.store.pause("hours", now=world.clock(), by="cli:somebody", reason="x")
    for turn in range(20):
        if turn == 10:
            await world.store.resume("hours", now=world.clock())
        mortal = Mortal(world.alert_store, at=at, after=after)
        for watch in (world.watcher(mortal), world.watcher()):
            with contextlib.suppress(Died):
                await watch.look()
            world.clock.now += 1.0
        await world.relay.work()
        world.clock.now += WATCH_EVERY
    assert world.told() == ["target.paused", "target.resumed"]
    assert await world.open() == []


async def test_many_watchers_at_once_tell_once(make: Make) -> None:
    """Ten look at the same moment, at every moment; the store lets one of them write."""
    world = make(hours={}, ops=OPS)
    await world.store.pause("hours", now=world.clock(), by="relay", reason="it refuses us (401)")
    for turn in range(8):
        if turn == 4:
            await world.store.resume("hours", now=world.clock())
        await asyncio.gather(*(world.watcher().look() for _ in range(10)))
        await world.relay.work()
        world.clock.now += WATCH_EVERY
    assert world.told() == ["target.paused", "target.resumed"]


async def test_one_of_all_workers_watches(make: Make) -> None:
    """Ten workers tick each five seconds: a quarter of a minute has one look, and a clock that ran ahead stops none."""
    world = make(ops=OPS)
    turns = 0
    for _ in range(60):
        for _ in range(10):
            turns += await world.alert_store.take_turn("watch", now=world.clock(), every=WATCH_EVERY)
        world.clock.now += 5
    assert turns == 20
    await world.alert_store.take_turn("watch", now=world.clock() + 86_400, every=WATCH_EVERY)
    assert await world.alert_store.take_turn("watch", now=world.clock(), every=WATCH_EVERY)


# Never in a loop -----------------------------------------------------------------------------------


@pytest.mark.parametrize("outcome", [Outcome.RETRY, Outcome.REJECTED, Outcome.UNKNOWN, Outcome.TARGET_BROKEN])
async def test_two_broken_targets_that_watch_each_other_make_no_loop(make: Make, outcome: Outcome) -> None:
    """Two weeks in which both take nothing: each incident was told once, and the telling of it caused none."""
    both = {"events": ["planday.*", "relay.*"]}
    world = make(left={**both, "dedupes": False}, right=both)
    for target in world.relay.targets.values():
        target.answer = says(outcome)
    await world.store.accept([event() for _ in range(5)], now=world.clock())
    await world.go(1800, step=15)
    await world.go(6 * 86_400, step=3600)
    found = await world.relay_events()
    # What dies one after the other is told a few times; nothing else more than once per target.
    assert found.pop("relay.delivery.exhausted", 0) <= 10
    assert all(count <= 2 for count in found.values()), found
    before = await world.relay_events()
    await world.go(8 * 86_400, step=7200)
    assert await world.relay_events() == before
    for name, target in world.relay.targets.items():
        about = {
            one.envelope["data"]["object"].get("target") for one in target.sent if "relay." in one.envelope["type"]
        }
        assert name not in about


async def test_what_the_relay_says_goes_only_to_those_who_ask(make: Make) -> None:
    """A target of everything gets none of it, and the event ends unrouted, with the reason."""
    world = make(hours={}, everything={"events": ["*"]}, departments={"events": ["relay.target.*"], "departments": [1]})
    await world.store.pause("hours", now=world.clock(), by="cli:somebody", reason="x")
    await world.go(30)
    assert world.told("everything") == world.told("hours") == []
    assert world.told("departments") == ["target.paused"]  # a filter on Planday's records does not concern it
    await world.store.pause("departments", now=world.clock(), by="cli:somebody", reason="x")
    await world.go(30)
    (alone,) = (await world.reading.list_events(EventFilter(state=EventState.UNROUTED), limit=10)).rows
    assert alone.routing["departments"] == "it is about target departments itself, which cannot tell of its own trouble"
    assert alone.routing["everything"] == "type relay.target.paused matches none of *"


# The other kinds -----------------------------------------------------------------------------------


async def test_an_alert_concerns_no_portal_and_asks_nothing_of_planday(make: Make) -> None:
    """Its envelope names the relay as source and is whole without a look-up."""
    world = make(hours={}, ops=OPS)
    await world.store.pause("hours", now=world.clock(), by="relay", reason="it refuses us (401)")
    await world.go(15)
    envelope = world.relay.targets["ops"].sent[0].envelope
    assert envelope["source"] == "urn:planday-relay"
    assert "portalid" not in envelope
    assert envelope["subject"] == "target/hours"
    assert envelope["data"]["enrichment"]["state"] == "complete"
    assert world.last()["reason"] == "it refuses us (401)"
    assert world.relay.planday.asked == []


async def test_dead_letters_are_told_by_their_number(make: Make) -> None:
    """One alert for all that died together, another when more died an hour later, an end when they were replayed."""
    world = make(hours={}, ops=OPS)
    hours = world.relay.targets["hours"]
    hours.answer = says(Outcome.REJECTED)
    first = [event() for _ in range(7)]
    await world.store.accept(first, now=world.clock())
    await world.go(60)
    assert (world.told(), world.last()["count"]) == (["delivery.exhausted"], 7)
    second = [event(), event()]
    await world.store.accept(second, now=world.clock())
    await world.go(3000)
    assert len(world.told()) == 1
    await world.go(700)
    assert (world.told(), world.last()["count"]) == (["delivery.exhausted"] * 2, 9)
    hours.answer = says(Outcome.DELIVERED)
    for one in (*first, *second):
        await world.store.reopen(one.id, "hours", now=world.clock(), states=["dead"])  # type: ignore[list-item]
    await world.go(400)
    assert world.told() == ["delivery.exhausted", "delivery.exhausted", "delivery.cleared"]


async def test_a_parked_delivery_is_told(make: Make) -> None:
    """It waits for a person, who has to hear of it; once it is cancelled all is well."""
    world = make(wages={"dedupes": False}, ops=OPS)
    world.relay.targets["wages"].answer = says(Outcome.UNKNOWN)
    one = event()
    await world.store.accept([one], now=world.clock())
    await world.go(30)
    assert (world.told(), world.last()["count"]) == (["delivery.parked"], 1)
    await world.store.cancel(one.id, "wages", now=world.clock(), reason="it is there")
    await world.go(400)
    assert world.told() == ["delivery.parked", "delivery.decided"]


async def test_a_worker_that_vanished_is_told_and_one_that_left_is_not(make: Make) -> None:
    """Its heartbeat ends, nobody takes its place: told within two minutes; a new one is its end."""
    world = make(ops=OPS)

    async def live(seconds: float, *workers: str) -> None:
        end = world.clock.now + seconds
        while world.clock.now < end:
            for worker in workers:
                await world.store.heartbeat(now=world.clock(), life=15, worker=worker)
            await world.go(5)

    await live(300, "w:1", "w:2", "w:3")
    await world.store.leave(worker="w:3")
    await live(300, "w:1", "w:2")
    assert world.told() == []
    await live(120, "w:1")
    assert world.told() == ["worker.silent"]
    assert (world.last()["count"], world.last()["workers"]) == (1, 1)
    await live(600, "w:1", "w:4")
    assert world.told() == ["worker.silent", "worker.back"]
    await live(40, "w:1")  # w:4 dies ...
    await live(600, "w:1", "w:5")  # ... and is started again in good time
    assert world.told() == ["worker.silent", "worker.back"]


async def test_a_gap_in_which_no_worker_lived_is_told_by_the_next(make: Make) -> None:
    """Nobody could tell it meanwhile."""
    world = make(ops=OPS)
    await world.store.heartbeat(now=world.clock(), life=15, worker="w:1")
    await world.go(10)
    world.clock.now += 1200
    for _ in range(100):
        await world.store.heartbeat(now=world.clock(), life=15, worker="w:2")
        await world.go(5)
    assert world.told() == ["worker.silent", "worker.back"]


async def test_a_quarantine_that_grows_is_told(make: Make) -> None:
    """Ten bodies within ten minutes; calm when no more come."""
    world = make(ops=OPS)
    for number in range(10):
        one = Quarantined(id=f"q{number}", source="s", at=world.clock(), reason="r", content_type="t", body="b")
        await world.shelf.quarantine(one, most=100)
        await world.go(15)
        assert world.told() == (["quarantine.growing"] if number == 9 else [])
    await world.go(1200, step=15)
    assert world.told() == ["quarantine.growing", "quarantine.calm"]


async def test_a_backlog_near_its_limit_still_lets_the_alert_in(make: Make) -> None:
    """Senders are refused, but what tells of it is not."""
    world = make(limit=20, hours={}, ops=OPS)
    await world.store.pause("hours", now=world.clock(), by="cli:somebody", reason="x")
    await world.store.accept([event() for _ in range(20)], now=world.clock())
    await world.go(30)
    assert sorted(world.told()) == ["backlog.growing", "target.paused"]
    await world.store.resume("hours", now=world.clock())
    await world.go(600)
    assert sorted(world.told()) == ["backlog.calm", "backlog.growing", "target.paused", "target.resumed"]


async def test_a_target_that_cannot_keep_up_is_told(make: Make) -> None:
    """More waits than its rate lets out; a replay of old events behind it is no backlog."""
    world = make(hours={"rate": {"per_second": 0.1}}, ops=OPS)
    await world.store.accept([event() for _ in range(150)], now=world.clock())
    await world.go(960, step=10)
    assert world.told() == ["backlog.growing"]
    assert world.last()["target"] == "hours"
    await world.go(1500, step=10)
    assert world.told() == ["backlog.growing", "backlog.calm"]


async def test_events_that_nobody_enriches_are_told(make: Make) -> None:
    """Of one portal, unless its authorisation is lost: that is told by an event of its own."""
    world = make(ops=OPS)
    await world.store.accept([event()], now=world.clock())
    for _ in range(80):
        await world.watch.tick()
        world.clock.now += 15
    assert await world.open() == ["backlog_growing:events.4100001"]


async def test_an_unfit_store_is_told(make: Make) -> None:
    """Each finding that makes it unfit; critical."""
    world = make(ops=OPS)
    world.findings.append(Finding("error", "appendonly is no", "a restart loses events", "CONFIG SET appendonly yes"))
    world.findings.append(Finding("warning", "maxmemory is not set", "x", "y"))
    await world.go(15)
    assert world.told() == ["store.unhealthy"]
    assert world.last()["findings"] == [str(world.findings[0])]
    world.findings.clear()
    await world.go(400)
    assert world.told() == ["store.unhealthy", "store.healthy"]


async def test_a_feed_that_is_behind_is_told(make: Make) -> None:
    """After three minutes of failures; with its portal; not while the authorisation is lost."""
    world = make(ops=OPS)
    portals = {"bistro": {"id": 4100001, "client_id": "x", "feeds": ["shifts"]}}
    world.settings = load_mapping({"portals": portals}, environ={})
    world.watch = world.watcher()
    world.states = {"bistro": "ok"}
    mark = Mark(read_to=world.clock(), began=world.clock(), due=world.clock() + 60)
    await world.marks.save_mark(4100001, "shifts", mark.write())
    await world.go(30)
    world.states = {"bistro": "lost"}
    failed = mark.failed("Planday answers 503", due=world.clock() + 60)
    await world.marks.save_mark(4100001, "shifts", failed.write())
    await world.go(400)
    assert world.told() == []
    world.states = {"bistro": "ok"}
    await world.go(240)
    assert world.told() == ["feed.behind"]
    envelope = world.relay.targets["ops"].sent[0].envelope
    assert (envelope["portalid"], envelope["subject"]) == ("4100001", "feed/bistro.shifts")
    assert world.last()["reason"] == "Planday answers 503"
    done = mark.done(at=world.clock(), whole=True, events=0, due=world.clock() + 60)
    await world.marks.save_mark(4100001, "shifts", done.write())
    await world.go(200)
    assert len(world.told()) == 1
    await world.go(160)
    assert world.told() == ["feed.behind", "feed.caught_up"]


# Who tells when nobody can be told -----------------------------------------------------------------


def beating(world: World, server: Server, *, fail: bool = True) -> tuple[Heartbeat, Watch]:
    body = {
        "heartbeat_url": f"{server.url}/ping",
        "heartbeat_allow_networks": ["127.0.0.0/8"],
        "heartbeat_allow_http": True,
    }
    if fail:
        body["heartbeat_fail_url"] = f"{server.url}/ping/fail"
    settings = load_mapping({"alerts": body}, environ={}).alerts
    heartbeat = Heartbeat(settings, store=world.alert_store, outside=world.relay.outside)
    return heartbeat, world.watcher(heartbeat=heartbeat)


def called(server: Server) -> list[str]:
    return [one.line for one in server.received]


async def test_the_heartbeat_is_called_once_a_minute_over_all_workers(make: Make) -> None:
    """By GET, while all is well; also while an incident is open that somebody was told of."""
    world = make(hours={}, ops=OPS)
    async with Server(answer(200)) as server:
        heartbeat, world.watch = beating(world, server)
        other = world.watcher(heartbeat=heartbeat)
        for turn in range(60):
            if turn == 30:
                await world.store.pause("hours", now=world.clock(), by="cli:somebody", reason="x")
            await other.tick()
            await world.go(5)
        await heartbeat.aclose()
    assert called(server) == ["GET /ping HTTP/1.1"] * 5
    assert await world.open() == ["target_paused:hours"]


async def test_the_only_alert_target_is_the_broken_one(make: Make) -> None:
    """Nobody can be told: the incident is listed as untold, and the heartbeat calls for help, until it is over."""
    world = make(ops={"events": ["planday.*", "relay.*"]})
    async with Server(answer(200)) as server:
        heartbeat, world.watch = beating(world, server)
        world.relay.targets["ops"].answer = says(Outcome.RETRY)
        await world.store.accept([event()], now=world.clock())
        await world.go(600)
        (incident,) = await open_incidents(world.alert_store)
        assert (incident.key, incident.taken) == ("target_failing:ops", False)
        assert called(server)[-1] == "GET /ping/fail HTTP/1.1"
        world.relay.targets["ops"].answer = says(Outcome.DELIVERED)
        await world.go(4 * 3600, step=30)
        await heartbeat.aclose()
    assert await world.open() == []
    assert called(server)[-1] == "GET /ping HTTP/1.1"


async def test_without_a_fail_url_the_heartbeat_falls_silent(make: Make) -> None:
    """A critical incident: whoever watches the URL notices."""
    world = make(ops=OPS)
    world.findings.append(Finding("error", "appendonly is no", "x", "y"))
    async with Server(answer(200)) as server:
        heartbeat, world.watch = beating(world, server, fail=False)
        await world.go(600)
        await heartbeat.aclose()
    assert world.told() == ["store.unhealthy"]
    assert called(server) == []


async def test_a_heartbeat_that_cannot_be_called_is_a_line_in_the_log(make: Make) -> None:
    """Once, until it works again; no incident comes of it, and its URL stands nowhere."""
    world = make(ops=OPS)
    async with Server(answer(500)) as server:
        heartbeat, world.watch = beating(world, server)
        await world.go(300)
        await heartbeat.aclose()
    lines = [one for one in world.relay.heard if type(one).__name__ == "HeartbeatFailed"]
    assert [str(getattr(one, "reason", "")) for one in lines] == ["the far side answered 500"]
    assert await world.open() == []


async def test_no_alert_is_about_a_portal_that_is_none() -> None:
    """The number that stands for no portal is none of Planday's."""
    assert NO_PORTAL < 1
