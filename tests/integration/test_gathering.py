"""Targets that gather: what is due together is sent by one call, and each delivery still has an end of its own."""

from __future__ import annotations

import itertools

import pytest
import redis.asyncio as aioredis

from relay.events import DeliveryState, Event, Outcome, event_id
from relay.jobs import Jobs
from relay.store.keys import Keys
from relay.store.reading import DeliveryFilter, Reading
from relay.store.store import Store
from relay.targets import Result, Sending
from tests.fakes import FakeClock, RecordingTarget, Relay

_numbers = itertools.count(1)


def event(entity_id: str, *, type_: str = "planday.shift.created") -> Event:
    number = f"g{next(_numbers)}"
    return Event(
        id=event_id("test", number),
        source="test",
        sender_id=number,
        type=type_,
        portal=4100001,
        entity="shift",
        entity_id=entity_id,
        received_at=1_790_000_000.0,
    )


class Gathering:
    """A line with one target that gathers up to 100 within half a minute."""

    def __init__(self, client: aioredis.Redis, prefix: str) -> None:
        keys = Keys(prefix)
        self.clock = FakeClock()
        self.store = Store(client, keys, backlog_limit=10_000, bell=Jobs(prefix, keys.queue).bell)
        self.reading = Reading(client, keys)
        self.relay = Relay(self.store, self.clock, slack={"rate": {"per_second": 1, "burst": 1}})
        self.target: RecordingTarget = self.relay.targets["slack"]
        self.target.gathers = 100
        self.target.gap = 30.0
        self.relay.rebuilt()

    async def happen(self, *events: Event) -> None:
        await self.store.accept(events, now=self.clock())
        await self.relay.work()

    async def states(self) -> dict[str, int]:
        found = await self.reading.stats(["slack"], now=self.clock())
        return {name: count for name, count in found["targets"]["slack"].items() if count and isinstance(count, int)}

    @property
    def calls(self) -> list[int]:
        return [len(one) for one in self.target.together] + [1] * len(self.target.sent)


@pytest.fixture
def line(redis_client: aioredis.Redis, prefix: str) -> Gathering:
    return Gathering(redis_client, prefix)


async def test_a_burst_goes_out_in_few_calls_and_none_is_missed(line: Gathering) -> None:
    """500 changes at once: nothing before the window ends, then five calls of 100, one a second."""
    events = [event(str(n)) for n in range(500)]
    await line.happen(*events)
    assert line.calls == []
    began = line.clock.now
    await line.relay.work_until_done()
    assert line.calls == [100] * 5
    assert {one.event_id for call in line.target.together for one in call} == {one.id for one in events}
    assert await line.states() == {"delivered": 500}
    assert 33.0 <= line.clock.now - began <= 36.0


async def test_what_changes_all_the_time_is_not_put_off_for_ever(line: Gathering) -> None:
    """The newest of many updates goes out when the first one's window ends."""
    began = line.clock.now
    for number in range(4):
        line.relay.planday.records["shift/1"] = {"id": "1", "dateTimeModified": f"2026-09-01T00:00:0{number}"}
        await line.happen(event("1", type_="planday.shift.updated"))
        line.clock.now += 9.0
    await line.relay.work_until_done()
    assert line.clock.now == began + 36.0
    assert line.calls == [1]
    assert await line.states() == {"delivered": 1, "superseded": 3}


async def test_changes_of_one_record_keep_their_order(line: Gathering) -> None:
    """Two of one record never share a call: the second follows when the first was taken."""
    first, second = event("1"), event("1", type_="planday.shift.deleted")
    await line.happen(first, second, event("2"))
    await line.relay.work_until_done()
    assert [sorted(one.envelope["subject"] for one in call) for call in line.target.together] == [
        ["shift/1", "shift/2"]
    ]
    assert [one.event_id for one in line.target.sent] == [second.id]


async def test_a_refused_call_costs_only_the_one_that_is_at_fault(line: Gathering) -> None:
    """What was refused together is sent alone; then only what is refused alone is dead."""
    bad = event("13")

    def answer(sending: Sending) -> Result:
        refused = len(line.target.together[-1]) > 1 and not line.target.sent
        if refused or (line.target.sent and sending.event_id == bad.id):
            return Result(outcome=Outcome.REJECTED, reason="HTTP 400", status=400, tried=True)
        return Result(outcome=Outcome.DELIVERED, reason="ok", status=200, tried=True)

    line.target.answer = answer
    line.target.gap = 0.0
    await line.happen(*(event(str(n)) for n in range(12)), bad)
    await line.relay.work_until_done()
    assert await line.states() == {"delivered": 12, "dead": 1}
    dead = (await line.reading.list_deliveries(DeliveryFilter(state=DeliveryState.DEAD), limit=10)).rows
    assert [row.delivery.event for row in dead] == [bad.id]


async def test_one_call_is_under_way_at_a_time(line: Gathering) -> None:
    """A second worker gets nothing while the first one's call is out, however much is due."""
    await line.happen(*(event(str(n)) for n in range(150)))
    line.clock.now += 60.0
    lanes = line.relay.pipeline.lanes
    first = await line.store.claim(lanes, now=line.clock(), lease=30, most_events=10, most_deliveries=200)
    line.clock.now += 5.0
    second = await line.store.claim(lanes, now=line.clock(), lease=30, most_events=10, most_deliveries=200)
    assert (len(first.deliveries), len(second.deliveries)) == (100, 0)
    await line.relay.pipeline.deliver(*first.deliveries)
    third = await line.store.claim(lanes, now=line.clock(), lease=30, most_events=10, most_deliveries=200)
    assert len(third.deliveries) == 50
