"""A month of payroll: corrections, time-outs, a duplicate run; what the pay offices have is what Planday has."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from decimal import Decimal

import pytest
import redis.asyncio

from relay.desk import Desk
from relay.events import DeliveryState, idempotency_key
from relay.simulator.faults import Fault
from relay.simulator.server import running
from relay.store.audit import Audit
from relay.targets import Sending
from tests.integration.payroll_world import Month, PayLine, PayWorld, in_state, planday_totals

HALF_A_DAY = 12 * 3600


@pytest.fixture
async def world(redis_client: redis.asyncio.Redis, prefix: str) -> PayWorld:
    """A portal with its own history, and empty pay offices."""
    return PayWorld(redis_client, prefix)


@pytest.fixture
async def line(world: PayWorld) -> AsyncIterator[PayLine]:
    """A relay that has told both pay offices what was there before it."""
    async with running(world.app) as url:
        made = PayLine(world, url)
        await made.look("bistro")
        await made.work()
        yield made
        await made.aclose()


def booked(world: PayWorld) -> dict[str, dict[str, Decimal]]:
    """What each pay office would pay to whom."""
    office = world.simulator.pay_office
    return {"adding": office.totals("add", "month"), "keeping": office.totals("replace", "month")}


async def step(world: PayWorld, line: PayLine, *, times: int = 3) -> None:
    """Half a day passes; the feed looks, and what is due goes out."""
    for _ in range(times):
        world.clock.advance(HALF_A_DAY / times)
        await line.look("bistro")
        await line.work()


async def test_a_month_is_paid_to_the_cent(world: PayWorld, line: PayLine) -> None:
    """Hundreds of approvals, corrections and reversals; both pay offices have what Planday has, per person."""
    month = Month(world, seed=4)
    for _ in range(24):
        month.happen(12)
        await step(world, line, times=1)
    await step(world, line)
    assert min(month.done.values()) >= 10, month.done
    totals = await planday_totals(world)
    assert len(totals) >= 4
    assert booked(world) == {"adding": totals, "keeping": totals}
    kinds = {row["kind"] for row in world.simulator.pay_office.books["add", "month"].rows}
    assert kinds == {"new", "correction", "reversal"}
    for target in ("adding", "keeping"):
        for state in (DeliveryState.PARKED, DeliveryState.DEAD, DeliveryState.WAITING):
            assert [row.delivery.reason for row in await in_state(world, target, state)] == []


async def test_trouble_parks_lines_and_a_person_sets_it_right(world: PayWorld, line: PayLine) -> None:
    """Answers that never came: each such line is parked and listed, nothing is sent twice, and once a person has said
    of each whether it is there, the totals are Planday's."""
    month = Month(world, seed=11)
    desk = Desk(
        store=line.store,
        reading=world.reading,
        outside=line.outside,
        targets=line.settings.targets,
        audit=Audit(line.store.client, line.store.keys),
    )
    office = world.simulator.pay_office
    troubles = ("drop-after", "drop", "500", "delay:2.2", "503", "429-bare", "drop-after", "500")
    for trouble in (*troubles, *troubles[:3], *("" for _ in range(4))):
        if trouble:
            for path in ("/paylines/add/month", "/paylines/replace/month"):
                world.simulator.faults.add(Fault.read({"path": path, "kind": trouble}))
        month.happen(12)
        await step(world, line, times=1)
    parked = {target: await in_state(world, target, DeliveryState.PARKED) for target in ("adding", "keeping")}
    assert all(len(rows) >= 6 for rows in parked.values()), {name: len(rows) for name, rows in parked.items()}
    for target, rows in parked.items():
        assert all("may have" in row.delivery.reason for row in rows), target

    # The clerk looks each parked line up by its key and says what is true; what waited behind it may park as well.
    for _ in range(10):
        left = [(target, row) for target in parked for row in await in_state(world, target, DeliveryState.PARKED)]
        for target, row in left:
            log = office.books["add" if target == "adding" else "replace", "month"].log
            if _is_there(log, row.delivery.event, target):
                await desk.cancel(row.delivery.event, target, by="clerk", reason="seen in the pay office")
            else:
                await desk.release(row.delivery.event, target, by="clerk", reason="not in the pay office")
        await step(world, line)
    assert not left
    await step(world, line)
    totals = await planday_totals(world)
    assert booked(world) == {"adding": totals, "keeping": totals}
    assert not [key for key, count in office.books["add", "month"].keys.items() if count > 1]


async def test_a_duplicate_run_pays_nothing_twice(world: PayWorld, line: PayLine) -> None:
    """Everything that was delivered is forced once more: not one line reaches a pay office."""
    month = Month(world, seed=7)
    for _ in range(6):
        month.happen(10)
        await step(world, line, times=1)
    await step(world, line)
    office = world.simulator.pay_office
    before = {name: book.requests for name, book in office.books.items()}
    again = 0
    for target in ("adding", "keeping"):
        for row in await in_state(world, target, DeliveryState.DELIVERED):
            await line.store.reopen(
                row.delivery.event, target, now=world.now(), states=(DeliveryState.DELIVERED,), force=True
            )
            again += 1
    world.clock.advance(5)
    await line.work()
    assert again > 60
    assert {name: book.requests for name, book in office.books.items()} == before
    totals = await planday_totals(world)
    assert booked(world) == {"adding": totals, "keeping": totals}


def _is_there(log: list[tuple[str, int]], event: str, target: str) -> bool:
    """Whether a pay office booked what came under this delivery's key."""
    return any(key == idempotency_key(event, target) for key, _ in log)


async def test_a_worker_that_dies_after_sending_pays_nothing_twice(world: PayWorld, line: PayLine) -> None:
    """Lines were sent and nobody wrote down that they were: parked, and even a person who is mistaken and releases them
    pays none twice, since the ledger has them."""
    Month(world, seed=5).happen(30)
    world.clock.advance(HALF_A_DAY)
    await line.look("bistro")
    claim = await line.store.claim(line.pipeline.lanes, now=world.now(), lease=30, most_events=100, most_deliveries=0)
    for event in claim.events:
        await line.pipeline.process(event)
    claim = await line.store.claim(line.pipeline.lanes, now=world.now(), lease=30, most_events=0, most_deliveries=100)
    sent = [one for one in claim.deliveries if one.target == "adding"]
    for one in sent:
        assert await line.store.begin(one, now=world.now())
        envelope = json.loads(one.envelope)
        await line.real["adding"].send(
            Sending(event_id=one.id, target="adding", attempt=1, envelope=envelope, now=world.now())
        )
    world.clock.advance(60)
    await line.work()
    parked = await in_state(world, "adding", DeliveryState.PARKED)
    assert {row.delivery.event for row in parked} == {one.id for one in sent}
    assert len(parked) >= 4
    for row in parked:
        await line.store.reopen(
            row.delivery.event, "adding", now=world.now(), states=(DeliveryState.PARKED,), force=True
        )
    await line.work()
    assert await in_state(world, "adding", DeliveryState.PARKED) == []
    keys = [key for key, _ in world.simulator.pay_office.books["add", "month"].log]
    assert len(keys) == len(set(keys))
    await step(world, line)
    totals = await planday_totals(world)
    assert booked(world) == {"adding": totals, "keeping": totals}
