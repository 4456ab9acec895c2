"""Plans and their runs over a real store: what a plan names is what happens, once, whoever is killed."""

from __future__ import annotations

import asyncio
from typing import Any

import pydantic_core
import pytest
import redis.asyncio as aioredis

from relay.errors import (
    AuthorizationLost,
    BudgetSpent,
    NotFoundError,
    PlandayUnavailable,
    RefusedError,
    StoreUnavailable,
)
from relay.events import DeliveryState, EventState, Outcome
from relay.planday.enrich import Enrichment
from relay.replay import PlanRequest
from relay.store.plans import Moved, Plans
from tests.integration.replay_world import PORTAL, T0, World

DEAD, DELIVERED = DeliveryState.DEAD, DeliveryState.DELIVERED


@pytest.fixture
def world(redis_client: aioredis.Redis, prefix: str) -> World:
    return World(redis_client, prefix)


# Plans -------------------------------------------------------------------------------------------------


async def test_a_plan_changes_nothing_and_says_what_would_happen(world: World) -> None:
    """Counted per target and state, with samples, with what is not taken, and what each is sent with."""
    dead = await world.dead("1", "2", "3")
    await world.happened("9")
    before = await world.states()
    plan = await world.planned(reason="mapping fixed")
    assert (plan["total"], plan["state"]) == (3, "planned")
    assert plan["counts"] == [
        {"target": "hours", "state": "dead", "count": 3, "first": 3, "reread": 0, "superseded": 0}
    ]
    assert plan["left"] == [{"target": "hours", "state": "delivered", "count": 1}]
    assert [one["event"] for one in plan["samples"]] == dead
    assert (plan["first_at"], plan["last_at"]) == (T0, T0 + 2)
    assert await world.states() == before
    assert world.sent() == []


async def test_a_plan_says_what_a_newer_delivered_state_supersedes(world: World) -> None:
    """What is older than what the target has is counted before, by the rule that the run goes by."""
    old = await world.dead("1", "2")
    await world.happened("1")
    plan = await world.planned()
    assert plan["counts"] == [
        {"target": "hours", "state": "dead", "count": 2, "first": 1, "reread": 0, "superseded": 1}
    ]
    status = await world.run(plan)
    assert (status["results"], status["ends"]) == ({"opened": 1, "superseded": 1}, {"delivered": 1})
    assert world.sent() == [old[1]]
    assert await world.state(old[0]) is DeliveryState.SUPERSEDED


async def test_forced_it_sends_what_is_older(world: World) -> None:
    """With a reason, an older state follows a newer one; without one it is refused."""
    old = await world.dead("1")
    await world.happened("1")
    with pytest.raises(RefusedError, match="give a reason"):
        await world.planned(force=True)
    status = await world.run(await world.planned(force=True, reason="they asked for all"))
    assert status["ends"] == {"delivered": 1}
    assert world.sent() == old


async def test_all_is_what_did_not_arrive(world: World) -> None:
    """Dead, cancelled, superseded and never made; what was delivered is counted as left alone."""
    await world.dead("1")
    (cancelled,) = await world.dead("2")
    await world.store.cancel(cancelled, "hours", now=world.clock(), reason="not needed")
    await world.happened("3")
    plan = await world.planned(states=("dead", "cancelled", "superseded", "missing"))
    assert {one["state"]: one["count"] for one in plan["counts"]} == {"dead": 1, "cancelled": 1}
    assert plan["left"] == [{"target": "hours", "state": "delivered", "count": 1}]


async def test_what_was_delivered_goes_again_only_by_name_and_with_a_reason(world: World) -> None:
    """A target that lost its data gets them again, under the same keys."""
    ids = await world.happened("1", "2")
    with pytest.raises(RefusedError, match="sent once more: give a reason"):
        await world.planned(states=("delivered",))
    status = await world.run(await world.planned(states=("delivered",), reason="they lost it"))
    assert status["ends"] == {"delivered": 2}
    assert sorted(world.sent()) == sorted(ids)


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({"since": T0 + 1, "until": T0 + 2}, ["b", "c"]),
        ({"type": "planday.shift.*"}, ["a", "b", "c", "d"]),
        ({"type": "planday.*.deleted"}, ["d"]),
        ({"type": "planday.employee.*"}, []),
        ({"portal": PORTAL}, ["a", "b", "c", "d"]),
        ({"portal": 77}, []),
        ({"entity": "shift/2"}, ["b"]),
        ({"portal": PORTAL, "entity": "shift/2"}, ["b"]),
        ({"employee": "910233"}, ["a"]),
        ({"portal": PORTAL, "employee": "910233"}, ["a"]),
        ({"portal": PORTAL, "employee": "91"}, []),
        ({"department": "4101"}, ["b", "c"]),
        ({"department": "4101", "since": T0 + 2}, ["c"]),
        ({"target": "hours"}, ["a", "b", "c", "d"]),
    ],
)
async def test_each_filter_takes_what_it_says(world: World, wanted: dict[str, Any], expected: list[str]) -> None:
    """Each filter alone and together, by the record's own index or by a look at each."""
    world.records["shift/1"] = {"id": 1, "employeeId": 910233}
    world.records["shift/2"] = {"id": 2, "departmentId": 4101}
    world.records["shift/3"] = {"id": 3, "departmentId": 4101}
    ids = await world.dead("1", "2", "3")
    ids += await world.dead("4", type_="planday.shift.deleted")
    plan = await world.planned(**wanted)
    items = await world.plans.items(plan["id"], start=0, most=10)
    assert [item.split(":")[0] for item in items] == [dict(zip("abcd", ids, strict=True))[name] for name in expected]


async def test_a_plan_is_refused_where_nobody_could_send_it(world: World) -> None:
    """A target that is not in the configuration is named, before a plan and before its start; others show it left."""
    await world.dead("1")
    plan = await world.planned()
    world.configure(other={})
    with pytest.raises(NotFoundError, match="hours is not in the configuration"):
        await world.planned(target="hours")
    with pytest.raises(RefusedError, match="hours left the configuration"):
        await world.replays.start(plan["id"], by="test")
    assert (await world.planned())["gone_targets"] == {"hours": 1}


@pytest.mark.parametrize(
    ("wanted", "why"),
    [
        ({"states": ("waiting",)}, "waiting cannot be replayed"),
        ({"states": ()}, "at least one state"),
        ({"new_key": True}, "give a reason"),
        ({"since": 2.0, "until": 1.0}, "ends before it begins"),
        ({"entity": "shift"}, "names no record"),
        ({"employee": "x"}, "no id of a employee"),
    ],
)
async def test_what_makes_no_sense_is_refused(world: World, wanted: dict[str, Any], why: str) -> None:
    """Each with what is wrong, and nothing is kept of it."""
    with pytest.raises(RefusedError, match=why):
        await world.replays.plan(PlanRequest(**wanted))
    assert await world.replays.newest(limit=5) == []


# Runs --------------------------------------------------------------------------------------------------


async def test_a_plan_runs_once_and_sends_exactly_what_it_named(world: World) -> None:
    """The same event ids go out again, marked as a replay; who did it and why is on record."""
    ids = await world.dead("1", "2", "3")
    plan = await world.planned(reason="mapping fixed")
    status = await world.run(plan)
    assert (status["state"], status["results"], status["ends"]) == ("ended", {"opened": 3}, {"delivered": 3})
    assert sorted(world.sent()) == sorted(ids)
    assert {one.replay for one in world.relay.targets["hours"].sent} == {plan["id"]}
    assert {one.salt for one in world.relay.targets["hours"].sent} == {""}
    assert (status["started_by"], status["reason"]) == ("test", "mapping fixed")
    with pytest.raises(RefusedError, match="a plan runs once"):
        await world.replays.start(plan["id"], by="test")
    acts = (await world.audit.list(limit=10)).rows
    assert [(one.act, one.on) for one in acts] == [("replay.run", plan["id"]), ("replay.plan", plan["id"])]


async def test_what_changed_since_the_plan_is_left_alone(world: World) -> None:
    """Delivered or cancelled by hand meanwhile: skipped, and the report says what it is now."""
    retried, cancelled, left = await world.dead("1", "2", "3")
    plan = await world.planned()
    await world.store.reopen(retried, "hours", now=world.clock(), states=[DEAD], reason="by hand")
    await world.relay.work_until_done()
    await world.store.cancel(cancelled, "hours", now=world.clock(), reason="not needed")
    world.relay.targets["hours"].sent.clear()
    status = await world.run(plan)
    assert status["results"] == {"now_cancelled": 1, "now_delivered": 1, "opened": 1}
    assert world.sent() == [left]


async def test_what_retention_or_an_erasure_took_is_told(world: World, redis_client: aioredis.Redis) -> None:
    """A record that is gone cannot be sent, and one of an erased person must not."""
    gone, erased = await world.dead("1", "2")
    plan = await world.planned()
    await redis_client.delete(world.keys.event(gone))
    await redis_client.hset(world.keys.event(erased), "er", "1")  # type: ignore[misc]
    status = await world.run(plan)
    assert (status["results"], status["ends"], world.sent()) == ({"erased": 1, "gone": 1}, {}, [])
    assert (await world.planned())["total"] == 0


async def test_no_more_than_the_window_is_open(redis_client: aioredis.Redis, prefix: str) -> None:
    """What was opened and has not ended is bounded per target, and a target that is away holds up no other."""
    world = World(redis_client, prefix, window=3, hours={}, slow={})
    rejected = {"hours": Outcome.REJECTED, "slow": Outcome.REJECTED}
    await world.happened(*(str(number) for number in range(10)), fails=rejected)
    plan = await world.planned()
    await world.store.pause("slow", now=world.clock(), by="test", reason="away")
    await world.replays.start(plan["id"], by="test")
    for _ in range(10):
        await world.runner.run(plan["id"])
        parts = {one["target"]: one for one in (await world.replays.status(plan["id"]))["parts"]}
        assert parts["hours"]["open"] <= 3
        await world.relay.work()
    assert (parts["hours"]["done"], parts["hours"]["ends"]) == (10, {"delivered": 10})
    assert (parts["slow"]["done"], parts["slow"]["open"]) == (3, 3)
    await world.store.resume("slow", now=world.clock())
    assert (await world.finish(plan["id"]))["ends"] == {"delivered": 20}


@pytest.mark.parametrize("rate", [2.0, 5.0, 40.0])
async def test_a_rate_is_kept(world: World, rate: float) -> None:
    """In no second are more opened than the rate says, but for the tenth that may come at once."""
    await world.dead(*(str(number) for number in range(30)))
    plan = await world.planned()
    opened: list[tuple[float, int]] = []

    class Watched(Plans):
        async def open(self, plan: str, target: str, **how: Any) -> Moved:
            moved = await super().open(plan, target, **how)
            opened.append((how["now"], moved.passed))
            return moved

    await world.replays.start(plan["id"], by="test", rate=rate)
    runner = world.another_runner(Watched(world.plans.client, world.keys))
    began = world.clock()
    for _ in range(20):
        await runner.run(plan["id"])
    assert sum(count for _, count in opened) == 30
    last = max(at for at, count in opened if count)
    assert 29 / rate - 0.2 <= last - began <= 30 / rate + 1
    for at, _ in opened:
        within = sum(count for other, count in opened if at <= other < at + 1)
        assert within <= rate * 1.1 + 1


async def test_a_plan_is_paused_and_goes_on(redis_client: aioredis.Redis, prefix: str) -> None:
    """Paused, nothing more is opened, by the sweep neither; resumed, it goes on where it stood."""
    world = World(redis_client, prefix, window=2)
    ids = await world.dead("1", "2", "3", "4")
    plan = (await world.planned())["id"]
    await world.replays.start(plan, by="test")
    await world.runner.run(plan)
    await world.replays.pause(plan, by="anna", reason="month end")
    assert await world.replays.unfinished() == []
    await world.relay.work_until_done()
    await world.runner.run(plan)
    status = await world.replays.status(plan)
    assert (status["state"], status["done"], status["paused_by"]) == ("paused", 2, "anna")
    with pytest.raises(RefusedError, match="is paused: only a running plan"):
        await world.replays.pause(plan, by="anna")
    await world.replays.resume(plan, by="anna")
    assert (await world.finish(plan))["ends"] == {"delivered": 4}
    assert sorted(world.sent()) == sorted(ids)


async def test_a_cancelled_plan_leaves_things_as_they_were(redis_client: aioredis.Redis, prefix: str) -> None:
    """What is not opened is not; what waits goes back to its state; what is on the wire comes to its own end."""
    world = World(redis_client, prefix, window=3)
    wire, waits, also, never = await world.dead("1", "2", "3", "4")
    plan = (await world.planned(new_key=True, reason="they asked"))["id"]
    await world.replays.start(plan, by="test")
    await world.runner.run(plan)
    (claimed,) = (
        await world.store.claim(
            world.relay.pipeline.lanes, now=world.clock(), lease=30, most_events=0, most_deliveries=1
        )
    ).deliveries
    await world.replays.cancel(plan, by="anna", reason="wrong month")
    await world.runner.run(plan)
    status = await world.replays.status(plan)
    assert (status["state"], status["done"], status["open"]) == ("cancelling", 3, 1)
    await world.relay.pipeline.deliver(claimed)
    await world.runner.run(plan)
    status = await world.replays.status(plan)
    assert (status["state"], status["ends"]) == ("cancelled", {"delivered": 1, "withdrawn": 2})
    assert world.sent() == [wire] == [claimed.id]
    for one in (waits, also, never):
        assert await world.state(one) is DEAD
    assert "cancelled by anna: wrong month" in (await world.reading.delivery(waits, "hours")).reason
    # Nothing went out under the new key, so a later replay takes the old one.
    await world.run(await world.planned())
    assert {one.salt for one in world.relay.targets["hours"].sent[1:]} == {""}
    assert set(world.sent()[1:]) == {waits, also, never}


async def test_a_plan_that_never_ran_is_cancelled_at_once(world: World) -> None:
    """Nothing was opened; it can never be started."""
    await world.dead("1")
    plan = (await world.planned())["id"]
    assert (await world.replays.cancel(plan, by="test"))["state"] == "cancelled"
    with pytest.raises(RefusedError, match="was started before and is cancelled"):
        await world.replays.start(plan, by="test")


async def test_a_new_key_is_of_the_plan_and_stays(world: World) -> None:
    """With a reason it goes out under another key, the same in every attempt; a later replay keeps it."""
    (one,) = await world.dead("1")
    world.answers[one, "hours"] = Outcome.RETRY
    plan = (await world.planned(new_key=True, reason="their system forgot the old one"))["id"]
    await world.replays.start(plan, by="test")
    await world.runner.run(plan)
    await world.relay.work()
    del world.answers[one, "hours"]
    assert (await world.finish(plan))["ends"] == {"delivered": 1}
    assert [sent.salt for sent in world.relay.targets["hours"].sent] == [plan, plan]


async def test_a_retry_by_hand_takes_a_delivery_out_of_its_plan(world: World) -> None:
    """The plan counts it as taken over and comes to its end."""
    (one,) = await world.dead("1")
    await world.store.pause("hours", now=world.clock(), by="test", reason="away")
    plan = (await world.planned())["id"]
    await world.replays.start(plan, by="test")
    await world.runner.run(plan)
    await world.store.reopen(one, "hours", now=world.clock(), states=[DeliveryState.WAITING], reason="now")
    await world.runner.run(plan)
    status = await world.replays.status(plan)
    assert (status["state"], status["ends"]) == ("ended", {"by_hand": 1})


async def test_a_runner_that_was_cut_off_anywhere_is_followed_by_another(world: World) -> None:
    """Killed after a step was written and before it was told: nothing is opened twice and nothing is passed over."""
    ids = await world.dead(*(str(number) for number in range(6)))
    plan = (await world.planned())["id"]
    await world.replays.start(plan, by="test")

    class Dying(Plans):
        async def open(self, plan: str, target: str, **how: Any) -> Moved:
            await super().open(plan, target, **{**how, "most": 2})
            raise StoreUnavailable("the connection broke")

    for _ in range(3):
        with pytest.raises(StoreUnavailable):
            await world.another_runner(Dying(world.plans.client, world.keys)).run(plan)
        assert await world.replays.unfinished() == [plan]
    status = await world.finish(plan)
    assert (status["results"], status["ends"]) == ({"opened": 6}, {"delivered": 6})
    assert sorted(world.sent()) == sorted(ids)


async def test_two_runners_of_one_plan_never_count_for_each_other(world: World) -> None:
    """Started many times at once, a plan is run by one; one that lost it notices and changes nothing."""
    ids = await world.dead(*(str(number) for number in range(6)))
    plan = (await world.planned())["id"]
    await world.replays.start(plan, by="test")
    await asyncio.gather(*(world.another_runner().run(plan) for _ in range(5)))
    moved = await world.plans.open(
        plan,
        "hours",
        owner="lost",
        seconds=10,
        number=0,
        most=9,
        window=9,
        interval=0,
        force=False,
        salt="",
        reason="",
        read=(),
        now=world.clock(),
    )
    assert moved.state == "lost"
    status = await world.finish(plan)
    assert (status["done"], status["results"]) == (6, {"opened": 6})
    assert sorted(world.sent()) == sorted(ids)


# Events that no target had -----------------------------------------------------------------------------


async def test_an_event_for_nobody_is_replayed_after_its_route_was_fixed(world: World) -> None:
    """It goes to whoever takes it now, with what is kept of it: Planday is not asked."""
    world.configure(hours={"events": ["planday.employee.*"]})
    (one,) = await world.happened("1")
    world.configure(hours={}, other={"departments": [9]})
    asked = len(world.relay.planday.asked)
    plan = await world.planned(states=("unrouted",))
    assert plan["counts"] == [
        {"target": "hours", "state": "unrouted", "count": 1, "first": 1, "reread": 0, "superseded": 0}
    ]
    status = await world.run(plan)
    assert (status["results"], status["ends"]) == ({"opened": 1}, {"delivered": 1})
    assert world.sent() == [one]
    assert len(world.relay.planday.asked) == asked
    record = await world.reading.event(one)
    assert (record.state, record.targets, set(record.routing)) == (EventState.ROUTED, ("hours",), set())
    assert (await world.planned(states=("unrouted", "missing")))["total"] == 0


async def test_a_target_that_came_later_gets_what_it_misses(world: World) -> None:
    """Events that went elsewhere before the target existed; each once, and older ones than it has are superseded."""
    first, second = await world.happened("1", "2")
    world.configure(hours={}, late={})
    await world.happened("1")
    plan = await world.planned(target="late", states=("missing",))
    assert [(one["count"], one["superseded"]) for one in plan["counts"]] == [(2, 1)]
    status = await world.run(plan)
    assert (status["results"], status["ends"]) == ({"opened": 1, "superseded": 1}, {"delivered": 1})
    assert world.sent("late") == [second]
    assert await world.state(first, "late") is DeliveryState.SUPERSEDED
    assert (await world.planned(target="late", states=("missing",)))["total"] == 0


async def test_what_was_cut_for_others_is_read_anew_for_a_target_that_may_have_more(world: World) -> None:
    """The record was kept for a target that may have less; the plan says that Planday will be asked, and it is."""
    pay = {"id": 1, "employeeId": 5, "comment": "swapped"}
    world.records["shift/1"] = pay
    (one,) = await world.happened("1")
    body = await world.plans.client.get(world.keys.body(one))
    assert b"swapped" not in body
    world.configure(hours={}, notes={"fields": ["class:A", "data.object.comment"]})
    world.records["shift/1"] = pay
    plan = await world.planned(target="notes", states=("missing",))
    assert (plan["counts"][0]["reread"], plan["cut"]) == (1, {"notes": 1})
    status = await world.run(plan)
    assert status["ends"] == {"delivered": 1}
    (sent,) = world.relay.targets["notes"].sent
    assert sent.envelope["data"]["object"]["comment"] == "swapped"
    assert b"swapped" not in await world.plans.client.get(world.keys.body(one)), "the others' envelope stays as it was"


async def test_where_what_is_kept_cannot_say_the_reading_decides(world: World) -> None:
    """A condition on what was cut: read anew, the target takes the one and not the other, and the report tells."""
    for number, comment in (("1", "urgent"), ("2", "calm")):
        world.records[f"shift/{number}"] = {"id": int(number), "comment": comment}
    yes, _no = await world.happened("1", "2")
    world.configure(
        hours={}, notes={"fields": ["class:A", "data.object.comment"], "when": "data.object.comment == 'urgent'"}
    )
    plan = await world.planned(target="notes", states=("missing",))
    assert plan["unclear"] == {"notes": 2}
    status = await world.run(plan)
    assert status["results"] == {"not_wanted": 1, "opened": 1}
    assert world.sent("notes") == [yes]


async def test_an_event_that_died_by_a_fault_of_ours_is_replayed(world: World) -> None:
    """A dead event is a dead letter like any other: once the fault is mended, a plan takes it through the line."""
    world.records["shift/1"] = ZeroDivisionError("boom")
    one = world.event("1")
    await world.store.accept([one], now=world.clock())
    await world.relay.work_until_done()
    del world.records["shift/1"]
    plan = await world.planned()
    assert plan["counts"] == [{"target": "", "state": "dead", "count": 1, "first": 1, "reread": 0, "superseded": 0}]
    status = await world.run(plan)
    assert (status["state"], status["results"]) == ("ended", {"opened": 1})
    assert world.sent() == [one.id]


# Read anew ---------------------------------------------------------------------------------------------


async def test_read_anew_it_is_the_newest_state_and_may_follow_a_newer_one(world: World) -> None:
    """What goes out is what Planday says now, cut to what the target may have; the event's own record stays."""
    (old,) = await world.dead("1")
    await world.happened("1")
    world.records["shift/1"] = {"id": 1, "status": "Approved", "comment": "private"}
    plan = await world.planned(reread=True)
    assert plan["counts"] == [
        {"target": "hours", "state": "dead", "count": 1, "first": 0, "reread": 1, "superseded": 0}
    ]
    status = await world.run(plan)
    assert (status["results"], status["ends"]) == ({"opened": 1}, {"delivered": 1})
    (sent,) = world.relay.targets["hours"].sent
    assert (sent.event_id, sent.envelope["data"]["object"]) == (old, {"id": 1, "status": "Approved"})
    record = await world.reading.event(old)
    assert record.envelope is not None
    assert record.envelope["data"]["object"]["status"] == "Assigned"


async def test_what_cannot_be_read_anew_is_skipped_with_the_reason(world: World) -> None:
    """Gone in Planday, or out of the app's scope: not sent as if it were the newest."""
    await world.dead("1", "2")
    world.records["shift/1"] = Enrichment(state="partial", missing=("object: gone",), fetched_at=T0)
    world.records["shift/2"] = Enrichment(state="partial", missing=("object: 403 scope shift:read",), fetched_at=T0)
    status = await world.run(await world.planned(reread=True))
    assert status["results"] == {"gone_in_planday": 1, "not_readable": 1}
    assert world.sent() == []


async def test_a_deletion_is_sent_as_it_was(world: World) -> None:
    """What was deleted cannot be read, and says all by itself."""
    await world.dead("1", type_="planday.shift.deleted")
    plan = await world.planned(reread=True)
    assert (plan["counts"][0]["first"], plan["counts"][0]["reread"]) == (1, 0)
    assert (await world.run(plan))["ends"] == {"delivered": 1}


@pytest.mark.parametrize(
    "trouble", [BudgetSpent("full", retry_after=5), PlandayUnavailable("503"), AuthorizationLost("a person must")]
)
async def test_waiting_for_planday_is_no_failure(world: World, trouble: Exception) -> None:
    """The budget, Planday or an authorisation: the plan waits, says for what, and goes on."""
    ids = await world.dead("1", "2")
    plan = (await world.planned(reread=True))["id"]
    await world.replays.start(plan, by="test")
    world.records["shift/2"] = trouble
    for _ in range(5):
        await world.runner.run(plan)
        world.clock.now += 60
    status = await world.replays.status(plan)
    assert (status["done"], status["waits_for"], status["state"]) == (1, str(trouble), "running")
    del world.records["shift/2"]
    status = await world.finish(plan)
    assert (status["ends"], status.get("waits_for")) == ({"delivered": 2}, None)
    assert sorted(world.sent()) == sorted(ids)


async def test_a_record_that_changes_while_it_is_read_is_read_again(world: World) -> None:
    """An event that is accepted between the reading and the opening may be newer than what was read."""
    (old,) = await world.dead("1")
    plan = (await world.planned(reread=True))["id"]
    await world.replays.start(plan, by="test")
    changes = 2

    class Busy(Plans):
        async def open(self, plan: str, target: str, **how: Any) -> Moved:
            nonlocal changes
            if how["read"] and changes:
                changes -= 1
                await world.store.accept([world.event("1")], now=world.clock())
            return await super().open(plan, target, **how)

    asked = len(world.relay.planday.asked)
    await world.another_runner(Busy(world.plans.client, world.keys)).run(plan)
    assert len(world.relay.planday.asked) - asked == 3
    assert (await world.finish(plan))["results"] == {"opened": 1}
    assert world.sent()[0] == old, "and it goes before the newer ones"


async def test_the_envelope_of_its_own_is_one_line_of_json(world: World) -> None:
    """It stands in its own key and is what the worker sends."""
    (one,) = await world.dead("1")
    plan = (await world.planned(reread=True))["id"]
    await world.replays.start(plan, by="test")
    await world.runner.run(plan)
    raw = await world.plans.client.get(world.keys.own_body(one, "hours"))
    assert b"\n" not in raw
    assert pydantic_core.from_json(raw)["id"] == one
