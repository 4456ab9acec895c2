"""One person is erased from everything, proven by a search of every key and file; of others not a byte changes."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import redis.asyncio as aioredis

from relay import telemetry
from relay.erase import Erasures, Order
from relay.errors import NotFoundError, RefusedError, StoreUnfit
from relay.events import DeliveryState, Event, EventState, Outcome, event_id
from relay.persons import Needles
from relay.pipeline import Outside
from relay.replay import PlanRequest, Replays
from relay.simulator.flavours import BISTRO
from relay.simulator.identity import PAYROLL_SCOPES
from relay.simulator.life import Life
from relay.store.audit import Audit
from relay.store.cipher import FernetCipher
from relay.store.client import command
from relay.store.plans import Plans
from relay.store.reading import Reading
from relay.store.rewriting import search_files
from relay.store.server import EmbeddedServer
from relay.store.shelf import Quarantined, Shelf
from relay.store.tombstones import Tombstones
from relay.targets import Result
from tests.integration.feed_line import FeedLine
from tests.integration.planday_world import World

EVERYTHING = {"fields": ["*"]}


class Scene:
    """A relay that has seen a few hours of a restaurant, with a target that may have everything."""

    def __init__(self, world: World, line: FeedLine, *, data_dir: Path | None = None) -> None:
        self.world = world
        self.line = line
        self.audit = Audit(world.redis, world.keys)
        self.reading = Reading(world.redis, world.keys)
        self.shelf = Shelf(world.redis, world.keys)
        self.told: list[telemetry.Happening] = []
        self.data_dir = data_dir
        self.erasures = self.process()

    def process(self, **more: Any) -> Erasures:
        world = self.world
        return Erasures(
            client=world.redis,
            store=self.line.store,
            keys=world.keys,
            tombstones=world.tombstones,
            cipher=world.cipher,
            audit=self.audit,
            locks=world.shared,
            outside=Outside(clock=world.now, sleep=world.sleep, record=self.told.append),
            data_dir=self.data_dir,
            **more,
        )

    def order(self, employee: int, **more: Any) -> Order:
        return Order(portal="bistro", portal_id=BISTRO, employee=str(employee), by="cli:anna", **more)

    async def erase(self, employee: int, **more: Any) -> dict[str, Any]:
        erasure = await self.erasures.begin(self.order(employee, **more))
        found = await self.erasures.run(erasure)
        assert found is not None
        return found

    def person(self, employee: int) -> dict[str, Any]:
        return dict(self.world.simulator.portals[BISTRO].employees[employee])

    def values(self, employee: int) -> list[str]:
        """What in Planday tells who somebody is."""
        person = self.person(employee)
        names = ("email", "userName", "cellPhone", "phone", "salaryIdentifier")
        return [str(person[name]) for name in names if person.get(name) and len(str(person[name])) > 4]

    async def busiest(self) -> int:
        """The employee of whom there are most events."""
        events = await self.world.redis.zrange(self.world.keys.events, 0, -1)
        envelopes = [(await self.reading.event(one.decode())).envelope or {} for one in events]
        ((employee, _),) = Counter(one["employeeid"] for one in envelopes if "employeeid" in one).most_common(1)
        return int(employee)


async def live(world: World, *, hours: float = 1) -> FeedLine:
    """Some hours of all feeds, with everything delivered."""
    world.generous()
    life = Life(world.simulator, BISTRO, seed=3, people=15)
    line = FeedLine(world, hours=EVERYTHING)
    line.targets["hours"].answer = lambda _: Result(
        outcome=Outcome.DELIVERED, reason="ok", status=200, excerpt="thanks"
    )

    async def step(_clock: object) -> None:
        await line.look("bistro")
        await line.work()

    await life.run_async(world.clock.now() + timedelta(hours=hours), on_step=step)
    return line


@pytest.fixture
def world(redis_client: aioredis.Redis, prefix: str) -> World:
    return World(redis_client, prefix, scopes=PAYROLL_SCOPES)


@pytest.fixture
async def scene(world: World) -> Scene:
    return Scene(world, await live(world))


async def dump(world: World) -> dict[str, Any]:
    """Every key below the prefix, of every type."""
    client, found = world.redis, {}
    async for raw in client.scan_iter(match=f"{world.prefix}*", count=1000):
        kind = (await client.type(raw)).decode()
        key = raw.decode().removeprefix(world.prefix)
        match kind:
            case "string":
                found[key] = await client.get(raw)
            case "hash":
                found[key] = await client.hgetall(raw)  # type: ignore[misc]
            case "list":
                found[key] = await client.lrange(raw, 0, -1)  # type: ignore[misc]
            case "zset":
                found[key] = await client.zrange(raw, 0, -1, withscores=True)
            case _:
                found[key] = await client.smembers(raw)  # type: ignore[misc]
    return found


def text_of(found: Any) -> bytes:
    return str(found).encode()


async def test_nothing_of_a_person_is_left(scene: Scene) -> None:
    """Neither their id nor anything that tells who they are stands in any key or value."""
    employee = await scene.busiest()
    values = scene.values(employee)
    before = text_of(await dump(scene.world))
    assert sum(value.encode() in before for value in values) >= 3, "else this would prove nothing"
    result = (await scene.erase(employee))["result"]
    after = text_of(await dump(scene.world))
    needles = Needles(str(employee), values)
    assert not needles.within(after), after[max(0, needles._id.search(after).start() - 200) :][:400]  # type: ignore[union-attr]
    assert result["events"] > 3
    assert result["snapshots"] >= 1
    assert result["left"] == 0
    assert result["values"] >= 4
    assert result["deliveries_cancelled"] == 0
    assert not needles.within(str(scene.told).encode())


async def test_of_others_not_a_byte_changes(scene: Scene) -> None:
    """What has nothing of the person is the same before and after; what mentions them loses that alone."""
    employee = await scene.busiest()
    before = await dump(scene.world)
    await scene.erase(employee)
    after = await dump(scene.world)
    id_ = Needles(str(employee), scene.values(employee))
    theirs = {one.decode() for one, _ in before[f"ix:p:{BISTRO}:{employee}"]}
    changed = {key for key in before if after.get(key) != before[key]}
    allowed = ("count", "pd:", "erasure", "audit", "wake", "ix:", f"n:{BISTRO}:employee:{employee}", "fx:", "fs:")
    for key in changed:
        if not key.startswith(allowed):
            kind, _, rest = key.partition(":")
            assert kind in ("b", "e", "d", "a"), key
            assert rest.partition(":")[0] in theirs or id_.within(text_of(before[key])), key
    for key in (key for key in before if key.startswith("fs:")):
        for record, value in before[key].items():
            if not id_.within(value) and record != str(employee).encode():
                assert after[key][record] == value, (key, record)
    states = {key: value[b"st"] for key, value in before.items() if key.startswith(("e:", "d:"))}
    assert states == {key: value[b"st"] for key, value in after.items() if key.startswith(("e:", "d:"))}, "counts"


async def test_who_is_named_by_others_is_taken_out_of_their_events(scene: Scene) -> None:
    """A manager stands in everybody's record as their supervisor: there the id goes, and nothing else."""
    boss = 910239
    before = await dump(scene.world)
    result = (await scene.erase(boss))["result"]
    assert result["mentions"] > 10
    after = await dump(scene.world)
    assert not Needles(str(boss), scene.values(boss)).within(text_of(after))
    bodies = [key for key in before if key.startswith("b:") and before[key] != after[key]]
    assert bodies
    for key in bodies:
        was, now = before[key].replace(str(boss).encode(), b"null"), after[key]
        assert sorted(was.split(b",")) == sorted(now.split(b",")), key


async def test_events_keep_their_skeleton_and_cannot_be_replayed(scene: Scene) -> None:
    """The clerk's counts stay true; nothing about the person can be sent once more, and so nothing paid twice."""
    employee = await scene.busiest()
    sent = {one.event_id for one in scene.line.targets["hours"].sent}
    theirs = [
        one.decode() for one in await scene.world.redis.zrange(scene.world.keys.events_of(BISTRO, str(employee)), 0, -1)
    ]
    about = []
    for id_ in theirs:
        envelope = (await scene.reading.event(id_)).envelope
        assert envelope is not None
        if envelope.get("employeeid") == str(employee) and id_ in sent:
            about.append(id_)
    assert about
    await scene.erase(employee)
    for id_ in about:
        record = await scene.reading.event(id_)
        assert record.state is EventState.ROUTED
        assert record.envelope is None
        assert record.event.received is None
        assert record.event.seen is None
        (delivery,) = await scene.reading.deliveries_of(record)
        assert delivery.state is DeliveryState.DELIVERED
        (attempt,) = await scene.reading.attempts(id_, "hours")
        assert attempt.excerpt == ""
        assert attempt.status == 200
        with pytest.raises(RefusedError, match="erased"):
            await scene.line.store.reopen(
                id_, "hours", now=scene.world.now(), states=tuple(DeliveryState), force=True, reason="again"
            )
    count = len(scene.line.targets["hours"].sent)
    scene.world.clock.advance(600)
    await scene.line.work()
    assert len(scene.line.targets["hours"].sent) == count


async def test_no_replay_takes_them(scene: Scene) -> None:
    """A plan of everything that was ever delivered, forced: others are in it, the erased person is not."""
    plans = Plans(scene.world.redis, scene.world.keys)
    replays = Replays(
        plans=plans,
        reading=scene.reading,
        targets=scene.line.settings.targets,
        portals={},
        audit=scene.audit,
        outside=scene.line.outside,
    )
    wanted = PlanRequest(target="hours", states=("delivered",), force=True, reason="they lost it all", by="cli:anna")
    before = await replays.plan(wanted)
    employee = await scene.busiest()
    result = (await scene.erase(employee))["result"]
    after = await replays.plan(wanted)
    assert before["total"] - after["total"] == result["events"] > 0
    for item in await plans.items(str(before["id"]), start=0, most=1000):
        id_ = item.partition(":")[0]
        if (await scene.reading.event(id_)).envelope is None:
            states = tuple(DeliveryState)
            with pytest.raises(RefusedError, match="erased"):
                await scene.line.store.reopen(id_, "hours", now=scene.world.now(), states=states, force=True)


async def test_the_feed_does_not_bring_them_back(scene: Scene) -> None:
    """Planday still has them, and changes them; daily whole looks come by; nothing of them is told or kept."""
    employee = await scene.busiest()
    values = scene.values(employee)
    await scene.erase(employee)
    count = len(scene.line.targets["hours"].sent)
    scene.world.simulator.act(BISTRO, "employee", "edit", id=employee, cellPhone="+4599887766")
    for _ in range(3):
        scene.world.clock.advance(90000)
        await scene.line.look("bistro")
        await scene.line.work()
    needles = Needles(str(employee), [*values, "+4599887766"])
    assert not needles.within(text_of(await dump(scene.world)))
    later = scene.line.targets["hours"].sent[count:]
    assert not [one for one in later if needles.within(json.dumps(dict(one.envelope)).encode())]


@pytest.mark.parametrize("owner", ["employee", "shift"])
async def test_a_sender_does_not_bring_them_back(scene: Scene, owner: str) -> None:
    """Their event is taken and ends unrouted, without a look at Planday or a word of the sender kept."""
    employee = await scene.busiest()
    shifts = scene.world.simulator.portals[BISTRO].shifts
    shift = next(number for number, one in shifts.items() if one.get("employeeId") == employee)
    await scene.erase(employee)
    event = Event(
        id=event_id("hr", owner),
        source="hr",
        sender_id=f"hr-{employee}",
        type=f"planday.{owner}.updated",
        portal=BISTRO,
        entity=owner,
        entity_id=str(employee if owner == "employee" else shift),
        received_at=scene.world.now(),
        received={"employeeId": employee, "note": "Is ill"},
    )
    await scene.line.intake.accept([event])
    await scene.line.work()
    record = await scene.reading.event(event.id)
    assert record.state is EventState.UNROUTED
    assert "was erased" in record.reason
    text = text_of(await dump(scene.world))
    assert not Needles(str(employee), scene.values(employee)).within(text)
    assert b"Is ill" not in text
    with pytest.raises(RefusedError, match="erased"):
        await scene.line.store.reopen_event(event.id, now=scene.world.now(), states=(EventState.UNROUTED,))


async def test_what_a_sender_says_of_them_about_another_goes_alone(scene: Scene) -> None:
    """An event of somebody else is delivered, without the words that name the erased person."""
    employee = await scene.busiest()
    shifts = scene.world.simulator.portals[BISTRO].shifts
    shift = next(number for number, one in shifts.items() if one.get("employeeId") not in (None, employee))
    await scene.erase(employee)
    event = Event(
        id=event_id("hr", "swap"),
        source="hr",
        sender_id="swap",
        type="planday.shift.updated",
        portal=BISTRO,
        entity="shift",
        entity_id=str(shift),
        received_at=scene.world.now(),
        received={"swappedWith": {"employeeId": employee}},
    )
    await scene.line.intake.accept([event])
    await scene.line.work()
    (sent,) = [one for one in scene.line.targets["hours"].sent if one.event_id == event.id]
    assert sent.envelope["data"]["object"]["id"] == shift
    assert "received" not in sent.envelope["data"]
    assert not Needles(str(employee)).within(text_of(await dump(scene.world)))


async def test_what_waits_is_listed_cancelled_and_never_sent(world: World) -> None:
    """Pay may be among it: the dry run lists it and changes nothing; then it ends `cancelled`, with the reason."""
    line = await live(world, hours=0.5)
    scene = Scene(world, line)
    employee = await scene.busiest()
    line.targets["hours"].answer = lambda _: Result(outcome=Outcome.RETRY, reason="503", status=503)
    shifts = [n for n, one in world.simulator.portals[BISTRO].shifts.items() if one.get("employeeId") == employee]
    world.simulator.act(BISTRO, "shift", "edit", id=shifts[0], comment="MARKER-H-late")
    world.clock.advance(300)
    await line.look("bistro")
    await line.work()
    before = await dump(world)
    plan = await scene.erasures.plan(scene.order(employee))
    assert plan["open"]["waiting"] >= 1
    assert plan["open_deliveries"][0]["state"] == "waiting"
    assert plan["events"] >= 2
    assert await dump(world) == before, "a plan changes nothing"
    result = (await scene.erase(employee))["result"]
    assert result["deliveries_cancelled"] == plan["open"]["waiting"]
    assert result["left"] == 0
    waiting = plan["open_deliveries"][0]
    delivery = await scene.reading.delivery(waiting["event"], "hours")
    assert delivery.state is DeliveryState.CANCELLED
    assert delivery.reason == "the person was erased"


async def test_what_is_parked_is_decided_first(world: World) -> None:
    """Nobody knows whether the target has it: refused, and nothing changed, unless it is said otherwise."""
    line = await live(world, hours=0.5)
    scene = Scene(world, line)
    employee = await scene.busiest()
    line.targets["hours"].dedupes = False
    line.targets["hours"].answer = lambda _: Result(outcome=Outcome.UNKNOWN, reason="no answer")
    shifts = [n for n, one in world.simulator.portals[BISTRO].shifts.items() if one.get("employeeId") == employee]
    world.simulator.act(BISTRO, "shift", "edit", id=shifts[0], comment="MARKER-H-late")
    world.clock.advance(300)
    await line.look("bistro")
    await line.work()
    with pytest.raises(RefusedError, match=r"1 deliveries .* parked.*Nothing was changed"):
        await scene.erasures.begin(scene.order(employee))
    result = (await scene.erase(employee, cancel_parked=True))["result"]
    assert result["deliveries_cancelled"] == 1
    assert result["left"] == 0


async def test_what_lies_beside_the_line_goes_too(scene: Scene) -> None:
    """Quarantine, plans and the words of operators; each stays, without the person."""
    employee = await scene.busiest()
    email = scene.person(employee)["email"]
    keep = Quarantined(id="qua_1", source="hr", at=1.0, reason="not JSON", content_type="text/plain", body="other")
    await scene.shelf.quarantine(keep, most=10)
    body = f'{{"broken": "{email}"'
    await scene.shelf.quarantine(
        Quarantined(id="qua_2", source="hr", at=2.0, reason="not JSON", content_type="text/plain", body=body), most=10
    )
    await scene.audit.record(by="cli:anna", act="targets.pause", on="hours", reason=f"asked by {email}", now=1.0)
    await scene.erase(employee)
    assert await scene.shelf.quarantined_one("qua_1") == keep
    assert (await scene.shelf.quarantined_one("qua_2")).body == ""
    newest, older = (await scene.audit.list(limit=10)).rows
    assert (older.act, older.reason, older.number) == ("targets.pause", "asked by (erased)", 1)
    assert newest.act == "erase"
    assert newest.on.startswith("bistro:erased-")
    assert newest.by == "cli:anna"


async def test_twice_and_after_a_crash_is_the_same(scene: Scene) -> None:
    """A run that dies anywhere goes on; whom it is about is noted in no readable way, and not at all in the end."""
    employee = await scene.busiest()
    erasure = await scene.erasures.begin(scene.order(employee))
    assert await scene.erasures.unfinished() == [erasure]
    assert not Needles(str(employee)).within(
        text_of(await command(scene.world.redis, "HGETALL", scene.world.keys.erasure(erasure)))
    )

    class Dies(Exception):
        pass

    for after in (1, 5, 20, 60):
        process, steps = scene.process(), 0

        async def mortal(*args: Any, real: Any = process._erasing.swap, **named: Any) -> bool:
            nonlocal steps
            steps += 1
            if steps > after:  # noqa: B023
                raise Dies
            return bool(await real(*args, **named))

        process._erasing.swap = mortal  # type: ignore[method-assign]
        try:
            await process.run(erasure)
        except Dies:
            continue
    ended = await scene.process().run(erasure)
    assert ended is not None
    assert ended["result"]["left"] == 0
    assert await scene.erasures.unfinished() == []
    assert not Needles(str(employee), scene.values(employee)).within(text_of(await dump(scene.world)))
    again = (await scene.erase(employee))["result"]
    assert (again.get("events", 0), again["left"]) == (0, 0)
    with pytest.raises(NotFoundError):
        await scene.erasures.status("era_0")


async def test_the_tombstone_outlives_the_exchange_of_keys(scene: Scene) -> None:
    """A new encryption key, then without the old one: still erased. Without any that fits: no start."""
    world, employee = scene.world, await scene.busiest()
    await scene.erase(employee)
    from cryptography.fernet import Fernet

    new = Fernet.generate_key()
    both = Tombstones(world.redis, world.keys, FernetCipher([new, world.encryption_key]), world.now)
    await both.open()
    alone = Tombstones(world.redis, world.keys, FernetCipher([new]), world.now)
    await alone.open()
    gone = await alone.of(BISTRO)
    assert gone is not None
    assert gone(str(employee))
    assert not gone("1")
    assert not (await alone.of(BISTRO + 1))(str(employee)), "the same number of another portal is somebody else"  # type: ignore[misc]
    with pytest.raises(StoreUnfit, match="put the key that was in use before"):
        await Tombstones(world.redis, world.keys, FernetCipher([Fernet.generate_key()]), world.now).open()


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[EmbeddedServer]:
    with EmbeddedServer(tmp_path / "store", appendfsync="everysec") as server:
        yield server


@pytest.fixture
async def own_client(own_server: EmbeddedServer) -> AsyncIterator[aioredis.Redis]:
    client = aioredis.Redis.from_url(own_server.url)
    yield client
    await client.aclose()


async def test_the_embedded_store_has_it_in_no_file(own_server: EmbeddedServer, own_client: aioredis.Redis) -> None:
    """The append-only file is written anew, old files and stale snapshots are gone, no file has anything of them."""
    world = World(own_client, "relay:", scopes=PAYROLL_SCOPES)
    scene = Scene(world, await live(world, hours=1), data_dir=own_server.data_dir)
    employee = await scene.busiest()
    needles = Needles(str(employee), scene.values(employee))
    (own_server.data_dir / "dump.rdb").write_bytes(scene.person(employee)["email"].encode())
    _, found = search_files(own_server.data_dir, needles.within)
    assert len(found) >= 2, "else this would prove nothing"
    result = (await scene.erase(employee))["result"]
    assert result["proven"], result
    assert result["files"]["found"] == []
    assert result["files"]["searched"] >= 4
    count, found = search_files(own_server.data_dir, needles.within)
    assert (count, found) == (result["files"]["searched"], [])
    assert await own_client.config_get("aof-use-rdb-preamble") == {"aof-use-rdb-preamble": "yes"}
    told = [one for one in scene.told if isinstance(one, telemetry.Erased)]
    assert [one.proven for one in told] == [True]
