"""Faults that a hostile reading of the line found: each test shows what went wrong once."""

from __future__ import annotations

from collections import Counter

import pytest
import redis.asyncio as aioredis

from relay.events import DeliveryState, EventState, Outcome
from relay.store.client import command
from relay.store.erasing import ErasingStore
from relay.store.reading import DeliveryFilter
from relay.store.work import ClaimedDelivery
from relay.targets import Result, Sending
from tests.fakes import FakeClock, Relay
from tests.integration.replay_world import World
from tests.integration.test_store import LEASE, T0, Bench, lane

DEAD = (DeliveryState.DEAD,)


@pytest.fixture
def bench(redis_client: aioredis.Redis, prefix: str) -> Bench:
    return Bench(redis_client, prefix)


async def dead(bench: Bench, count: int, entity: str = "1") -> list[ClaimedDelivery]:
    """So many dead deliveries of one entity, oldest first."""
    claimed = []
    for _ in range(count):
        one = (await bench.routed(bench.event(entity)))[0]
        await bench.settle(one, DeliveryState.DEAD)
        claimed.append(one)
    return claimed


async def replayed(bench: Bench, one: ClaimedDelivery) -> None:
    await bench.store.reopen(one.id, "hours", now=T0, states=DEAD, replay="plan_1")


async def due(bench: Bench) -> tuple[list[str], int]:
    """What is due among what is new, and how much waits among the replays."""
    new = await command(bench.client, "ZRANGE", bench.keys.due_deliveries("hours"), 0, -1)
    return [one.decode() for one in new], await command(bench.client, "ZCARD", bench.keys.due_replays("hours"))


async def test_a_replay_is_not_due_twice_when_what_was_new_behind_it_ends(bench: Bench) -> None:
    """A replay goes with the new event behind it; when that one is cancelled, the replay still has one holder."""
    old = (await dead(bench, 1))[0]
    await replayed(bench, old)
    await bench.store.pause("hours", now=T0, by="test", reason="test")
    new = bench.event("1")
    await bench.routed(new)
    await bench.store.resume("hours", now=T0)
    await bench.store.cancel(new.id, "hours", now=T0, reason="test")
    claimed = (await bench.claim(lane(concurrency=8))).deliveries
    assert [one.id for one in claimed] == [old.id]
    await bench.settle(claimed[0])
    assert (await bench.claim(lane(concurrency=8))).deliveries == ()


async def test_an_event_that_is_erased_behind_another_does_not_make_that_one_due(bench: Bench) -> None:
    """Who holds the head of a lane goes on being the only one, also when what stands behind it goes."""
    first, second = bench.event("1"), bench.event("1")
    await bench.store.accept([first, second], now=T0)
    held = (await bench.claim()).events[0]
    erased = await ErasingStore(bench.client, bench.keys).end_event(
        second.id, now=T0, employee="7", lane="", read=b"", body=b"{}", reason="erased"
    )
    assert erased == "erased"
    assert (await bench.claim()).events == ()
    assert await bench.finish(held, "hours") == "routed"


async def test_what_is_new_behind_a_replay_goes_with_it_however_often_it_fails(bench: Bench) -> None:
    """A replay with something new behind it waits among what is new, also for its second attempt."""
    old = (await dead(bench, 1))[0]
    await replayed(bench, old)
    sending = (await bench.claim()).deliveries[0]
    await bench.routed(bench.event("1"))
    await bench.settle(sending, DeliveryState.WAITING, due=T0)
    assert await due(bench) == ([old.id], 0)


async def test_replays_of_one_record_wait_apart_together(bench: Bench) -> None:
    """Several of one record are replays all the same, and do not take the place of what is new."""
    for one in await dead(bench, 3):
        await replayed(bench, one)
    assert await due(bench) == ([], 1)


async def test_a_retry_by_hand_is_not_held_up_by_a_replay_before_it(bench: Bench) -> None:
    """Taken out of its plan, it is new again, and what stands before it goes with it."""
    first, second = await dead(bench, 2)
    for one in (first, second):
        await replayed(bench, one)
    await bench.store.reopen(second.id, "hours", now=T0, states=(DeliveryState.WAITING,))
    assert await due(bench) == ([first.id], 0)


async def test_what_was_on_the_wire_when_its_target_left_may_have_arrived(bench: Bench) -> None:
    """Its worker died too: it is parked with that as the reason, nothing older follows it, and a late word counts."""
    older = (await dead(bench, 1))[0]
    claimed = (await bench.routed(bench.event("1")))[0]
    assert (await bench.store.sweep(now=T0 + 200, rank=0, grace=60, most=100))[:2] == (0, 1)
    parked = await bench.reading.delivery(claimed.id, "hours")
    assert parked.state is DeliveryState.PARKED
    assert "may have it" in parked.reason
    answer = await bench.store.reopen(older.id, "hours", now=T0 + 200, states=DEAD)
    assert answer is DeliveryState.SUPERSEDED
    assert await bench.settle(claimed, now=T0 + 201)
    assert (await bench.reading.delivery(claimed.id, "hours")).state is DeliveryState.DELIVERED


async def test_what_was_on_the_wire_and_lost_its_lease_is_not_sent_again_blindly(bench: Bench) -> None:
    """The net under a lost write asks the same as a worker's death: a target that does not dedupe may have it."""
    pay = lane("pay", dedupes=False)
    await bench.served("pay")
    await bench.store.accept([bench.event()], now=T0)
    await bench.finish((await bench.claim(lane("nobody"))).events[0], "pay")
    claimed = (await bench.claim(pay)).deliveries[0]
    assert await bench.store.begin(claimed, now=T0)
    await bench.client.delete(bench.keys.leased_deliveries("pay"))
    assert (await bench.store.sweep(now=T0 + 20, rank=0, grace=60, most=100))[:2] == (1, 0)
    assert (await bench.claim(pay, now=T0 + 21)).deliveries == ()
    assert (await bench.reading.delivery(claimed.id, "pay")).state is DeliveryState.PARKED


async def test_giving_up_what_was_never_sent_supersedes_nothing(bench: Bench) -> None:
    """A delivery that was parked as its target left and is cancelled is no newer state that the target has."""
    older = (await dead(bench, 1))[0]
    await bench.store.pause("hours", now=T0, by="test", reason="test")
    await bench.routed(newer := bench.event("1"))
    await bench.store.sweep(now=T0 + 200, rank=0, grace=60, most=100)
    await bench.store.cancel(newer.id, "hours", now=T0, reason="test")
    assert await bench.store.reopen(older.id, "hours", now=T0, states=DEAD) is DeliveryState.WAITING


async def test_what_a_person_gave_up_after_a_try_counts_as_arrived(bench: Bench) -> None:
    """Whoever cancels a parked delivery found that the target has it, so nothing older follows."""
    older = (await dead(bench, 1))[0]
    parked = (await bench.routed(bench.event("1")))[0]
    await bench.settle(parked, DeliveryState.PARKED)
    await bench.store.cancel(parked.id, "hours", now=T0, reason="test")
    assert await bench.store.reopen(older.id, "hours", now=T0, states=DEAD) is DeliveryState.SUPERSEDED


async def test_a_force_is_for_one_round(bench: Bench) -> None:
    """What was forced once and is opened again without force gives way to what was on the wire meanwhile."""
    older = (await dead(bench, 1))[0]
    await bench.store.reopen(older.id, "hours", now=T0, states=DEAD, force=True)
    await bench.settle((await bench.claim()).deliveries[0], DeliveryState.DEAD)
    newer = (await bench.routed(bench.event("1")))[0]
    assert await bench.store.reopen(older.id, "hours", now=T0, states=DEAD) is DeliveryState.WAITING
    await bench.settle(newer)
    assert (await bench.claim()).deliveries == ()
    assert (await bench.reading.delivery(older.id, "hours")).state is DeliveryState.SUPERSEDED


# Targets that gather -------------------------------------------------------------------------------


async def test_a_poisonous_delivery_does_not_kill_those_that_it_is_sent_with(bench: Bench) -> None:
    """Workers die over one of three: the second time each is sent alone, and only the one at fault comes to nothing."""
    many = lane(gathers=10)
    claimed = await bench.routed(*(bench.event(str(n)) for n in range(3)))
    bad, now = claimed[1].id, T0
    for _ in range(8):
        now += LEASE + 1
        found = (await bench.claim(many, now=now)).deliveries
        if bad not in [one.id for one in found]:
            for one in found:
                await bench.settle(one, now=now)
    rows = (await bench.reading.list_deliveries(DeliveryFilter(state=DeliveryState.DELIVERED), limit=10)).rows
    assert {row.delivery.event for row in rows} == {one.id for one in claimed} - {bad}


async def test_a_worker_that_dies_once_does_not_break_a_call_up(bench: Bench) -> None:
    """A restart costs a gathering target no more than the same call again."""
    many = lane(gathers=10)
    await bench.routed(*(bench.event(str(n)) for n in range(3)))
    assert len((await bench.claim(many, now=T0 + LEASE + 1)).deliveries) == 3


async def test_replays_are_gathered_as_widely_as_what_is_new(bench: Bench) -> None:
    """One call takes as many of them as fit, however few calls the target may have at once."""
    old = [(await dead(bench, 1, str(n)))[0] for n in range(9)]
    for one in old:
        await replayed(bench, one)
    assert len((await bench.claim(lane(gathers=10, concurrency=2))).deliveries) == 9


async def test_a_delivery_that_was_sent_alone_once_is_gathered_again_when_it_is_opened(bench: Bench) -> None:
    """What made a call fail was mended: a replay of many is no longer one call for each."""
    claimed = await bench.routed(*(bench.event(str(n)) for n in range(3)))
    for one in claimed:
        await command(bench.client, "HSET", bench.keys.delivery(one.id, "hours"), "alone", "1")
        await bench.settle(one, DeliveryState.DEAD)
        await replayed(bench, one)
    assert len((await bench.claim(lane(gathers=10))).deliveries) == 3


async def test_a_call_that_fails_counts_once_however_many_it_was_for(bench: Bench) -> None:
    """The breaker counts calls: one failed call of twenty deliveries does not open it, five do."""
    clock = FakeClock()
    relay = Relay(bench.store, clock, slack={"breaker": {"failures": 5}})
    target = relay.targets["slack"]
    target.gathers = 20
    target.answer = lambda _: Result(outcome=Outcome.RETRY, reason="HTTP 500", status=500, tried=True)
    relay.rebuilt()
    await bench.store.accept([bench.event(str(n)) for n in range(20)], now=clock())
    standing = []
    for _ in range(5):
        await relay.work()
        standing.append((await bench.reading.stats(["slack"], now=clock()))["targets"]["slack"]["breaker"])
        clock.now += 100_000
    assert [len(call) for call in target.together] == [20] * 5
    assert standing[:4] == [None] * 4
    assert standing[4] is not None


# Breaker and rate ------------------------------------------------------------------------------------


async def test_a_probe_that_was_not_sent_gives_way_to_the_next_at_once(bench: Bench) -> None:
    """What is refused before anything is sent asks the target nothing: the breaker tries with another one."""
    clock = FakeClock()
    relay = Relay(bench.store, clock, hours={"breaker": {"failures": 1}})
    target = relay.targets["hours"]
    target.answer = lambda _: Result(outcome=Outcome.RETRY, reason="HTTP 500", status=500, tried=True)
    await bench.store.accept([bench.event("0")], now=clock())
    await relay.work()
    clock.now += 1
    await bench.store.accept([bench.event(str(n)) for n in range(1, 12)], now=clock())
    refused = 10

    def answer(_: Sending) -> Result:
        if len(target.sent) <= 1 + refused:
            return Result(outcome=Outcome.REJECTED, reason="not whole")
        return Result(outcome=Outcome.DELIVERED, reason="ok", status=202, tried=True)

    target.answer = answer
    await relay.work()
    clock.now += 15
    await relay.work()
    assert (await bench.reading.stats(["hours"], now=clock()))["targets"]["hours"]["breaker"] is None
    assert len(target.sent) >= 1 + 11


async def test_targets_with_one_limiter_take_turns(bench: Bench) -> None:
    """Two that share a rate both get some of it, however much the first one has to send."""
    events = [bench.event(str(n)) for n in range(40)]
    await bench.store.accept(events, now=T0)
    for event in (await bench.claim(lane("nobody"), deliveries=0)).events:
        await bench.finish(event, "a", "b")
    lanes = [lane(name, per_second=1.0, limiter="shared") for name in ("a", "b")]
    got: Counter[str] = Counter()
    for second in range(20):
        for part in (0.0, 0.5):
            found = await bench.claim(*lanes, now=T0 + second + part, events=0)
            got.update(one.target for one in found.deliveries)
            for one in found.deliveries:
                await bench.settle(one, now=T0 + second)
    assert got["a"] == got["b"] == 10


# What was read anew ------------------------------------------------------------------------------------


async def test_nothing_that_was_read_before_follows_what_was_read_anew(
    redis_client: aioredis.Redis, prefix: str
) -> None:
    """The first of three was sent as its record is now: the second, as it was then, would take the target back."""
    world = World(redis_client, prefix)
    first, second, third = await world.dead("1", "1", "1")
    await world.run(await world.planned(reread=True, until=T0 + 0.5))
    sent = world.relay.targets["hours"].sent
    assert [one.envelope["data"]["object"] for one in sent] == [world.records["shift/1"]]
    again = await world.store.reopen(second, "hours", now=world.clock(), states=DEAD)
    assert again is DeliveryState.SUPERSEDED
    assert await world.store.reopen(third, "hours", now=world.clock(), states=DEAD) is DeliveryState.WAITING
    await world.relay.work()
    mine = await world.store.reopen(first, "hours", now=world.clock(), states=(DeliveryState.DELIVERED,))
    assert mine is DeliveryState.WAITING, "it holds that newest state itself"
    await world.relay.work()
    assert [one.event_id for one in sent] == [first, third, first]


async def test_a_plan_knows_what_was_read_anew(redis_client: aioredis.Redis, prefix: str) -> None:
    """What an earlier re-reading overtook is told beforehand, and comes out so."""
    world = World(redis_client, prefix)
    await world.dead("1", "1", "1")
    await world.run(await world.planned(reread=True, until=T0 + 0.5))
    plan = await world.planned()
    assert [(one["first"], one["superseded"]) for one in plan["counts"]] == [(1, 1)]
    done = await world.run(plan)
    assert done["results"] == {"opened": 1, "superseded": 1}


async def test_a_cancelled_re_reading_leaves_no_envelope_of_its_own(redis_client: aioredis.Redis, prefix: str) -> None:
    """Nothing of it went out, so the delivery is what it was, also for a later retry."""
    world = World(redis_client, prefix)
    (one,) = await world.dead("1")
    was = dict(world.records["shift/1"])
    world.records["shift/1"] = {**was, "status": "Approved"}
    plan = str((await world.planned(reread=True))["id"])
    await world.replays.start(plan, by="test")
    await world.runner.run(plan)
    await world.replays.cancel(plan, by="test", reason="wrong month")
    await world.runner.run(plan)
    assert await command(redis_client, "EXISTS", world.keys.own_body(one, "hours")) == 0
    await world.store.reopen(one, "hours", now=world.clock(), states=DEAD)
    await world.relay.work()
    assert world.relay.targets["hours"].sent[-1].envelope["data"]["object"] == was


async def test_what_is_new_is_sent_though_a_re_reading_tells_of_it(redis_client: aioredis.Redis, prefix: str) -> None:
    """Every live event that means something of its own is delivered, behind what was read anew too."""
    world = World(redis_client, prefix)
    (first,) = await world.dead("1")
    second, third = world.event("1"), world.event("1")
    await world.store.pause("hours", now=T0, by="test", reason="test")
    for one in (second, third):
        world.records["shift/1"] = {"id": 1, "status": "Assigned", "dateTimeModified": one.id}
        await world.store.accept([one], now=world.clock())
        await world.relay.work()
    plan = await world.planned(reread=True)
    await world.replays.start(str(plan["id"]), by="test")
    await world.runner.run(str(plan["id"]))
    await world.store.resume("hours", now=world.clock())
    await world.relay.work()
    assert [one.event_id for one in world.relay.targets["hours"].sent] == [first, second.id, third.id]


async def reread_and_older(bench: Bench) -> ClaimedDelivery:
    """A delivery of an event that went through the line once more waits; returns a dead one that came between."""
    held = bench.event("1")
    await bench.store.accept([held], now=T0)
    given_up = (await bench.claim(lane("nobody"))).events[0]
    await bench.store.defer(given_up.id, given_up.token, now=T0, due_at=None, reason="test")
    older = (await dead(bench, 2))[0]
    await bench.store.reopen_event(held.id, now=T0, states=(EventState.DEAD,))
    await bench.finish((await bench.claim(lane("nobody"))).events[0], "hours")
    return older


async def test_an_event_that_was_read_anew_is_followed_by_nothing_older(bench: Bench) -> None:
    """It went through the line once more, after newer ones that are dead: it holds their state."""
    older = await reread_and_older(bench)
    await bench.settle((await bench.claim()).deliveries[0])
    assert await bench.store.reopen(older.id, "hours", now=T0, states=DEAD) is DeliveryState.SUPERSEDED


async def test_what_was_opened_before_it_was_overtaken_is_not_sent_after_all(bench: Bench) -> None:
    """Opened while the newer reading still waited before it: it is looked at once more when its turn comes."""
    older = await reread_and_older(bench)
    assert await bench.store.reopen(older.id, "hours", now=T0, states=DEAD) is DeliveryState.WAITING
    await bench.settle((await bench.claim()).deliveries[0])
    assert (await bench.claim()).deliveries == ()
    assert (await bench.reading.delivery(older.id, "hours")).state is DeliveryState.SUPERSEDED
