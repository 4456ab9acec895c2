"""Nobody waits for somebody else: portals, targets, replays and what is new each have their own room."""

from __future__ import annotations

from dataclasses import replace

import pytest
import redis.asyncio as aioredis

from relay.events import DeliveryState, Event
from relay.store.reading import DeliveryFilter
from relay.store.work import Holding
from tests.integration.test_store import LEASE, PORTAL, T0, Bench, lane

OTHER = 4100002


@pytest.fixture
def bench(redis_client: aioredis.Redis, prefix: str) -> Bench:
    return Bench(redis_client, prefix)


def of_other_portal(event: Event) -> Event:
    return replace(event, portal=OTHER, id=event.id.replace("evt_", "evt_b"))


async def test_a_portal_with_a_backlog_does_not_hold_up_another(bench: Bench) -> None:
    """Each has its own room in a drain: fifty older events of one portal, and the other's is claimed at once."""
    await bench.store.accept([bench.event(str(n)) for n in range(50)], now=T0)
    await bench.store.accept([of_other_portal(bench.event("a"))], now=T0 + 1)
    claim = await bench.claim(now=T0 + 2, events=10)
    assert sorted(one.portal for one in claim.events) == [str(PORTAL)] * 10 + [str(OTHER)]


async def test_a_portal_that_fills_its_room_leaves_the_other_its_own(bench: Bench) -> None:
    """While a slow Planday holds all of one portal's places, events of the other are still taken."""
    await bench.store.accept([bench.event(str(n)) for n in range(20)], now=T0)
    await bench.store.accept([of_other_portal(bench.event(f"a{n}")) for n in range(20)], now=T0)
    found = await bench.store.claim(
        [], now=T0, lease=LEASE, most_events=10, most_deliveries=0, holding=Holding({str(PORTAL): 10}, {})
    )
    assert [one.portal for one in found.events] == [str(OTHER)] * 10


async def test_a_target_that_fills_its_room_leaves_the_others_theirs(bench: Bench) -> None:
    """A drain full of calls to a slow target still takes what is due for a quick one."""
    await bench.store.accept([bench.event(str(n)) for n in range(8)], now=T0)
    for one in (await bench.claim(lane("nobody"), deliveries=0)).events:
        await bench.finish(one, "slow", "quick")
    found = await bench.store.claim(
        [lane("slow"), lane("quick")],
        now=T0,
        lease=LEASE,
        most_events=0,
        most_deliveries=5,
        holding=Holding({}, {"slow": 5}),
    )
    assert [one.target for one in found.deliveries] == ["quick"] * 5


async def test_what_is_new_goes_before_what_a_replay_opened(bench: Bench) -> None:
    """However much a replay opens, a live event is next; the replay has what room is left, but for a quarter."""
    for one in await bench.routed(*(bench.event(str(n)) for n in range(6))):
        await bench.settle(one, DeliveryState.DEAD)
    page = [one.delivery.event for one in (await bench.reading.list_deliveries(_dead(), limit=10)).rows]
    for id_ in page:
        await bench.store.reopen(id_, "hours", now=T0, states=[DeliveryState.DEAD], replay="plan_1")
    new = bench.event("new")
    await bench.store.accept([new], now=T0 + 5)
    for event in (await bench.claim(lane("nobody"), now=T0 + 5, deliveries=0)).events:
        await bench.finish(event, "hours", now=T0 + 5)
    claim = await bench.claim(lane(concurrency=4), now=T0 + 6)
    assert claim.deliveries[0].id == new.id
    assert [one.replay for one in claim.deliveries] == [None, "plan_1", "plan_1"]


async def test_what_is_new_does_not_wait_for_replays_of_other_records(bench: Bench) -> None:
    """A replayed delivery with something new behind it in its own record's lane leaves the end of the queue."""
    events = [bench.event(str(n)) for n in range(4)]
    dead = await bench.routed(*events)
    for one in dead:
        await bench.settle(one, DeliveryState.DEAD)
    for one in dead:
        await bench.store.reopen(one.id, "hours", now=T0, states=[DeliveryState.DEAD], replay="plan_1")
    await bench.store.accept([bench.event("3", type_="planday.shift.approved")], now=T0 + 1)
    for event in (await bench.claim(lane("nobody"), now=T0 + 1, deliveries=0)).events:
        await bench.finish(event, "hours", now=T0 + 1)
    claim = await bench.claim(lane(concurrency=1), now=T0 + 2)
    assert [one.id for one in claim.deliveries] == [events[3].id]


def _dead() -> DeliveryFilter:
    return DeliveryFilter(state=DeliveryState.DEAD)


# What is overtaken ---------------------------------------------------------------------------------


async def states(bench: Bench, *events: Event) -> list[str]:
    return [(await bench.reading.delivery(one.id, "hours")).state.value for one in events]


async def finished(bench: Bench, *, latest: tuple[str, ...] = ("hours",), now: float = T0) -> None:
    while (claim := await bench.claim(lane("nobody"), now=now, deliveries=0)).events:
        for one in claim.events:
            await bench.finish(one, "hours", now=now, latest=latest)


async def test_the_newest_update_takes_the_place_of_those_that_wait(bench: Bench) -> None:
    """Of three updates that nobody took yet the last is sent; the others are on record, with what came instead."""
    events = [bench.event() for _ in range(3)]
    await bench.store.accept(events, now=T0)
    await finished(bench)
    assert await states(bench, *events) == ["superseded", "superseded", "waiting"]
    found = await bench.reading.delivery(events[1].id, "hours")
    assert events[2].id in found.reason
    assert [one.id for one in (await bench.claim()).deliveries] == [events[2].id]


async def test_what_means_something_of_its_own_is_always_sent(bench: Bench) -> None:
    """Approved, updated, approved: only updates give way, and only to updates."""
    kinds = ("updated", "approved", "updated", "approved")
    events = [bench.event(type_=f"planday.shift.{kind}") for kind in kinds]
    await bench.store.accept(events, now=T0)
    while (claim := await bench.claim(lane("nobody"), deliveries=0)).events:
        for one in claim.events:
            kind = events[[event.id for event in events].index(one.id)].type
            await bench.finish(one, "hours", latest=("hours",) if kind.endswith("updated") else ())
    assert await states(bench, *events) == ["superseded", "waiting", "waiting", "waiting"]


async def test_a_target_that_wants_every_version_gets_every_version(bench: Bench) -> None:
    """Nothing gives way where the target is not among those that want the newest."""
    events = [bench.event() for _ in range(3)]
    await bench.store.accept(events, now=T0)
    await finished(bench, latest=("slack",))
    assert await states(bench, *events) == ["waiting", "waiting", "waiting"]


@pytest.mark.parametrize("state", [DeliveryState.SENDING, DeliveryState.PARKED])
async def test_what_the_target_may_have_does_not_give_way(bench: Bench, state: DeliveryState) -> None:
    """What is on the wire, or parked, comes to its own end first; the newer one waits behind it."""
    older, newer = bench.event(), bench.event()
    claimed = await bench.routed(older)
    if state is DeliveryState.PARKED:
        await bench.settle(claimed[0], state)
    await bench.store.accept([newer], now=T0)
    await finished(bench)
    assert await states(bench, older, newer) == [state.value, "waiting"]
    assert (await bench.claim()).deliveries == ()


async def test_what_a_person_forced_does_not_give_way(bench: Bench) -> None:
    """A forced retry is wanted as it is."""
    older, newer = bench.event(), bench.event()
    await bench.settle((await bench.routed(older))[0], DeliveryState.DEAD)
    await bench.store.reopen(older.id, "hours", now=T0, states=[DeliveryState.DEAD], force=True, reason="asked for")
    await bench.store.accept([newer], now=T0)
    await finished(bench)
    assert await states(bench, older, newer) == ["waiting", "waiting"]


async def test_an_update_that_waits_for_its_next_attempt_gives_way(bench: Bench) -> None:
    """The newer one goes out at once, not when the older one's wait is over."""
    older, newer = bench.event(), bench.event()
    await bench.settle((await bench.routed(older))[0], DeliveryState.WAITING, due=T0 + 3600)
    await bench.store.accept([newer], now=T0 + 5)
    await finished(bench, now=T0 + 5)
    assert [one.id for one in (await bench.claim(now=T0 + 6)).deliveries] == [newer.id]
    assert await states(bench, older) == ["superseded"]
