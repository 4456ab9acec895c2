"""A person is erased after their lines were paid: amounts go, what was paid stays known, and nothing is paid twice."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
import redis.asyncio as aioredis

from relay.events import DeliveryState, Event, EventState, event_id
from relay.persons import Needles
from relay.replay import PlanRequest, Replays, Rereading, Runner
from relay.simulator.flavours import BISTRO
from relay.simulator.identity import PAYROLL_SCOPES
from relay.simulator.server import running
from relay.store.plans import Plans
from tests.integration.payroll_world import Month, PayLine, PayWorld, in_state, planday_totals
from tests.integration.planday_world import World
from tests.integration.test_erase import Scene, dump, live, text_of
from tests.integration.test_payroll_month import HALF_A_DAY, booked, step

KEPT = (b"x", b"px")


class Paid:
    """Some days that were paid, and what makes and runs replay plans over them."""

    def __init__(self, world: PayWorld, line: PayLine) -> None:
        self.world = world
        self.line = line
        self.scene = Scene(world, line)
        self.scene.erasures = self.scene.process(amounts=world.ledger)
        self.plans = Plans(world.redis, world.keys)
        self.replays = Replays(
            plans=self.plans,
            reading=world.reading,
            targets=line.settings.targets,
            portals=line.portals,
            audit=self.scene.audit,
            outside=line.outside,
        )

    async def person(self) -> int:
        """Whoever was paid most."""
        totals = await planday_totals(self.world)
        return int(max(totals, key=lambda one: totals[one]))

    async def ledger(self) -> dict[str, Mapping[bytes, bytes]]:
        """Every line of the ledger."""
        return {key: value for key, value in (await dump(self.world)).items() if key.startswith("lg:")}

    def calls(self) -> dict[tuple[str, str], int]:
        """How often each pay office was called with lines."""
        return {name: book.requests for name, book in self.world.simulator.pay_office.books.items()}

    async def everything_again(self, target: str) -> str:
        """A plan that sends all that was delivered to a target once more, by force."""
        wanted = PlanRequest(target=target, states=("delivered",), force=True, reason="they lost it", by="cli:anna")
        return str((await self.replays.plan(wanted))["id"])

    async def run(self, plan: str) -> dict[str, Any]:
        rereading = Rereading(
            self.line.planday,
            self.line.settings.targets,
            plans=self.plans,
            reading=self.world.reading,
            outside=self.line.outside,
        )
        return await ended(self.replays, Runner(plans=self.plans, outside=self.line.outside, rereading=rereading), plan,
                           self.line)  # fmt: skip


async def ended(replays: Replays, runner: Runner, plan: str, line: Any) -> dict[str, Any]:
    """Start a plan and work until it has ended."""
    await replays.start(plan, by="cli:anna")
    for _ in range(50):
        await runner.run(plan)
        await line.work()
        line.world.clock.advance(1)
        status = await replays.status(plan)
        if status["state"] == "ended":
            return status
    raise AssertionError(f"still {status}")


@pytest.fixture
async def paid(redis_client: aioredis.Redis, prefix: str) -> AsyncIterator[Paid]:
    world = PayWorld(redis_client, prefix)
    async with running(world.app) as url:
        line = PayLine(world, url)
        await line.look("bistro")
        await line.work()
        month = Month(world, seed=7)
        for _ in range(6):
            month.happen(10)
            await step(world, line, times=1)
        await step(world, line)
        yield Paid(world, line)
        await line.aclose()


async def test_the_amounts_go_and_what_was_paid_stays_known(paid: Paid) -> None:
    """Of the person's lines only hashes are left; of everybody else's the ledger is the very same."""
    person = await paid.person()
    before = await paid.ledger()
    theirs = {key.decode() for key in (await dump(paid.world))[f"lgp:{BISTRO}:{person}"]}
    assert len(theirs) >= 4
    result = (await paid.scene.erase(person))["result"]
    assert (result["amounts"], result["left"]) == (len(theirs), 0)
    after = await paid.ledger()
    assert after.keys() == before.keys()
    for key, was in before.items():
        if key.removeprefix("lg:") in theirs:
            assert KEPT[0] in was
            assert after[key] == {name: value for name, value in was.items() if name not in KEPT}
        else:
            assert after[key] == was
    everything = text_of(await dump(paid.world))
    assert not Needles(str(person), paid.scene.values(person)).within(everything)


async def test_no_replay_and_no_duplicate_pays_them_twice(paid: Paid) -> None:
    """A plan made before, one made after, a whole month by force, and the sender's own copies: no line goes out."""
    person = await paid.person()
    totals, calls = booked(paid.world), paid.calls()
    early = {target: await paid.everything_again(target) for target in ("adding", "keeping")}
    lines = await _lines(paid, person)
    result = (await paid.scene.erase(person))["result"]
    for target, plan in early.items():
        status = await paid.run(plan)
        assert status["results"]["erased"] == len(lines[target])
        assert sum(status["results"].values()) == status["total"]
        late = await paid.run(await paid.everything_again(target))
        assert late["total"] == status["ends"]["delivered"]
        assert late["ends"] == {"delivered": late["total"]}
    assert result["events"] >= len(lines["adding"])
    telling = [_copy(paid, number, "created", {"employeeId": person}) for number in lines["adding"].values()]
    thin = [_copy(paid, number, "corrected", None) for number in lines["adding"].values()]
    await paid.line.intake.accept([*telling, *thin])
    await paid.line.work()
    assert {(await paid.world.reading.event(one.id)).state for one in telling} == {EventState.UNROUTED}
    assert (paid.calls(), booked(paid.world)) == (calls, totals)


async def test_what_planday_changes_about_them_is_not_sent(paid: Paid) -> None:
    """Their shifts are approved, corrected and deleted further: the feed tells nothing, of the others everything."""
    person = await paid.person()
    await paid.scene.erase(person)
    before = booked(paid.world)
    shifts = paid.world.simulator.portals[BISTRO].shifts
    for number in [number for number, one in shifts.items() if one.get("employeeId") == person][:6]:
        paid.world.simulator.act(BISTRO, "shift", "unapprove", id=number)
    Month(paid.world, seed=8).happen(20)
    await step(paid.world, paid.line)
    await step(paid.world, paid.line)
    after, totals = booked(paid.world), await planday_totals(paid.world)
    for office in ("adding", "keeping"):
        assert after[office][str(person)] == before[office][str(person)]
        others = {one: total for one, total in after[office].items() if one != str(person)}
        assert others == {one: total for one, total in totals.items() if one != str(person)}
    assert not Needles(str(person), paid.scene.values(person)).within(text_of(await dump(paid.world)))


async def test_a_person_who_comes_back_is_not_paid_again_for_what_was_paid(paid: Paid) -> None:
    """The tombstone is taken away, retention took the events, and the feed tells of all lines anew: the ledger has each
    of them, and none goes out."""
    person = await paid.person()
    totals, calls, ledger = booked(paid.world), paid.calls(), await paid.ledger()
    about = (await _lines(paid, person))["adding"]
    await paid.scene.erase(person)
    assert await paid.world.tombstones.remove(BISTRO, str(person))
    for event in about:
        await paid.world.redis.delete(paid.world.keys.event(event), paid.world.keys.body(event))
    paid.world.clock.advance(HALF_A_DAY)
    await paid.line.look("bistro")
    await paid.line.work()
    told = await _lines(paid, person)
    assert set(told["adding"].values()) == set(about.values())
    assert (paid.calls(), booked(paid.world)) == (calls, totals)
    assert (await paid.ledger()).keys() == ledger.keys()


async def test_reading_an_erased_person_anew_says_so(redis_client: aioredis.Redis, prefix: str) -> None:
    """A plan that reads anew was made before the erasure: its items end as erased, and Planday is not asked."""
    world = World(redis_client, prefix, scopes=PAYROLL_SCOPES)
    line = await live(world)
    scene = Scene(world, line)
    person = await scene.busiest()
    plans = Plans(world.redis, world.keys)
    replays = Replays(
        plans=plans,
        reading=scene.reading,
        targets=line.settings.targets,
        portals=line.portals,
        audit=scene.audit,
        outside=line.outside,
    )
    wanted = PlanRequest(
        target="hours", states=("delivered",), force=True, reread=True, reason="they lost it all", by="cli:anna"
    )
    plan = await replays.plan(wanted)
    events = (await scene.erase(person))["result"]["events"]
    count, calls = len(line.targets["hours"].sent), len(world.calls)
    rereading = Rereading(line.planday, line.settings.targets, plans=plans, reading=scene.reading, outside=line.outside)
    status = await ended(replays, Runner(plans=plans, outside=line.outside, rereading=rereading), str(plan["id"]), line)
    assert status["results"]["erased"] == events
    needles = Needles(str(person), scene.values(person))
    sent = line.targets["hours"].sent[count:]
    assert sent
    assert not [one for one in sent if needles.within(str(dict(one.envelope)).encode())]
    assert not [call for call in world.calls[calls:] if str(person) in str(call)]


async def _lines(paid: Paid, person: int) -> dict[str, dict[str, str]]:
    """Per pay office, event and line id of what was delivered of a person."""
    found: dict[str, dict[str, str]] = {}
    for target in ("adding", "keeping"):
        rows = await in_state(paid.world, target, DeliveryState.DELIVERED)
        records = [await paid.world.reading.event(row.delivery.event) for row in rows]
        found[target] = {
            one.event.id: one.event.entity_id
            for one in records
            if (one.envelope or {}).get("employeeid") == str(person)
        }
    return found


def _copy(paid: Paid, number: str, type_: str, received: dict[str, Any] | None) -> Event:
    """What a sender would say about a line, whose it is included or not."""
    sender_id = f"{type_}-{number}"
    return Event(
        id=event_id("hr", sender_id),
        source="hr",
        sender_id=sender_id,
        type=f"planday.payroll_line.{type_}",
        portal=BISTRO,
        entity="payroll_line",
        entity_id=number,
        received_at=paid.world.now(),
        received=received,
    )
