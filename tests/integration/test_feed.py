"""The change feed one case at a time: what dies, what runs twice, what is first seen, what does not hold still."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

import pytest
import redis.asyncio

from relay import telemetry
from relay.events import Event
from relay.feed.runner import Feeds
from relay.fields import Keep
from relay.simulator.faults import Fault
from relay.simulator.flavours import BISTRO, HARBOUR
from relay.simulator.identity import PAYROLL_SCOPES
from relay.store.feeds import FeedStore
from tests.integration.feed_line import FeedLine
from tests.integration.planday_world import World

SHIFT = 70010045
MINUTE = 60.0


class _Killed(BaseException):
    """The end of a process; no handler of ours sees it."""


class _DyingStore:
    """A store at one of whose verbs the process dies, before or after it was done."""

    def __init__(self, store: FeedStore, verb: str, *, done: bool) -> None:
        self._store, self._verb, self._done = store, verb, done
        self.armed = False

    def __getattr__(self, name: str) -> Any:
        verb = getattr(self._store, name)

        async def call(*args: Any, **named: Any) -> Any:
            dies = self.armed and name == self._verb
            if dies and not self._done:
                raise _Killed
            answer = await verb(*args, **named)
            if dies:
                raise _Killed
            return answer

        return call


class _NoLocks:
    """Locks that everybody gets: what they save are calls, not events."""

    async def take_lock(self, name: str, *, owner: str, seconds: float) -> bool:
        return True

    async def drop_lock(self, name: str, *, owner: str) -> None:
        return None


@pytest.fixture
def world(redis_client: redis.asyncio.Redis, prefix: str) -> World:
    return World(redis_client, prefix, scopes=PAYROLL_SCOPES)


def _without_locks(line: FeedLine, **portal: Any) -> None:
    """Other feeds for a process: without locks, or with other settings of its portals."""
    line.feeds = Feeds(
        {name: one.model_copy(update=portal) for name, one in line.portals.items()},
        planday=line.planday,
        store=line.feed_store,
        intake=line.intake,
        locks=_NoLocks(),
        keep=Keep([target.fields for target in line.targets.values()]),
        outside=line.outside,
    )


async def _told(world: World, subject: str = "") -> list[Event]:
    """Every event in the store, in the order of acceptance."""
    found = []
    for name in await world.redis.zrange(world.keys.events, 0, -1):
        body = await world.redis.get(world.keys.body(name.decode()))
        assert body is not None
        found.append(Event.from_json(body.split(b"\n")[0]))
    return [event for event in found if event.subject.startswith(subject)]


def _verbs(events: list[Event]) -> list[str]:
    return [event.type.rpartition(".")[2] for event in events]


async def _later(world: World, line: FeedLine, seconds: float = 3 * MINUTE) -> None:
    world.clock.advance(seconds)
    await line.look("bistro")


@pytest.mark.parametrize("verb", ["snapshots", "observe", "save_mark"])
@pytest.mark.parametrize("done", [False, True], ids=["before", "after"])
async def test_a_process_that_dies_in_a_look_loses_and_doubles_nothing(world: World, verb: str, done: bool) -> None:
    """Also between the events and the mark; the next process waits for the lock of the dead one, then looks."""
    stores: list[_DyingStore] = []

    def mortal(store: FeedStore) -> _DyingStore:
        stores.append(_DyingStore(store, verb, done=done))
        return stores[-1]

    line = FeedLine(world, feeds=("shifts",), mortal=mortal)
    await line.look("bistro")
    world.clock.advance(3 * MINUTE)
    world.simulator.act(BISTRO, "shift", "approve", id=SHIFT)
    world.simulator.act(BISTRO, "shift", "delete", id=70010050)
    stores[0].armed = True
    with pytest.raises(_Killed):
        await line.look("bistro")
    other = FeedLine(world, feeds=("shifts",))
    await _later(world, other)
    await _later(world, other)
    assert _verbs(await _told(world, f"shift/{SHIFT}")) == ["approved"]
    assert _verbs(await _told(world, "shift/70010050")) == ["deleted"]
    mark = await other.feed_store.mark(BISTRO, "shifts")
    assert float(mark["read_to"]) == pytest.approx(world.now())


async def test_two_runners_at_once_tell_each_change_once(world: World) -> None:
    """Without the lock: every snapshot is written by compare-and-set, together with its events."""
    lines = [FeedLine(world) for _ in range(3)]
    for line in lines:
        _without_locks(line)
    await asyncio.gather(*(line.look("bistro") for line in lines))
    for action in ("approve", "unapprove", "approve"):
        world.clock.advance(10 * MINUTE)
        world.simulator.act(BISTRO, "shift", action, id=SHIFT)
        await asyncio.gather(*(line.look("bistro") for line in lines))
    assert _verbs(await _told(world, f"shift/{SHIFT}")) == ["approved", "unapproved", "approved"]
    ids = [event.id for event in await _told(world)]
    assert len(ids) == len(set(ids))


async def test_the_lock_lets_one_runner_look(world: World) -> None:
    """Two processes at one instant cost the calls of one."""
    lines = [FeedLine(world, feeds=("shifts",)) for _ in range(2)]
    await asyncio.gather(*(line.look("bistro") for line in lines))
    assert sum(len(line.told(telemetry.FeedLooked)) for line in lines) == 1


async def test_a_first_look_is_quiet(world: World) -> None:
    """What is there was there before; afterwards only what changes is told."""
    line = FeedLine(world)
    await line.look()
    assert await _told(world) == []
    await _later(world, line, 2000)
    assert await _told(world) == []


async def test_backfill_tells_what_is_recent_at_the_first_look(world: World) -> None:
    """As far back as the portal's settings say, and each once."""
    line = FeedLine(world)
    _without_locks(line, backfill=7 * 86400.0)
    await line.look("bistro")
    first = [event.id for event in await _told(world)]
    assert first
    await _later(world, line, 2000)
    assert [event.id for event in await _told(world)] == first


async def test_another_field_to_keep_makes_no_event(world: World) -> None:
    """A target is given a field: nothing is told for it, and from then on it is compared."""
    await FeedLine(world, hours={"fields": ["class:A"]}).look("bistro")
    wider = FeedLine(world, hours={"fields": ["class:A", "class:B", "class:E"]})
    await _later(world, wider, 4000)
    await _later(world, wider, 90_000)  # and the whole look
    assert await _told(world) == []
    world.simulator.act(BISTRO, "employee", "edit", id=910233, salaryIdentifier="S-900")
    await _later(world, wider, 4000)
    assert _verbs(await _told(world, "employee/")) == ["salary_identifier_changed"]


async def test_a_shift_that_came_and_went_between_two_looks_is_one_deletion(world: World) -> None:
    """Planday lists deletions, so this one is seen although the shift never was."""
    line = FeedLine(world, feeds=("shifts",))
    await line.look("bistro")
    world.clock.advance(20)
    shift = world.simulator.portals[BISTRO].shifts[SHIFT]
    names = ("departmentId", "employeeGroupId", "employeeId", "date", "startDateTime", "endDateTime")
    _, made, _ = world.simulator.act(BISTRO, "shift", "create", **{name: shift[name] for name in names})
    world.clock.advance(20)
    world.simulator.act(BISTRO, "shift", "delete", id=made["id"])
    await _later(world, line)
    await _later(world, line)
    assert _verbs(await _told(world, f"shift/{made['id']}")) == ["deleted"]


async def test_a_list_that_does_not_hold_still_does_not_move_the_mark(world: World) -> None:
    """It is read again from the same mark; what was seen meanwhile is told once, nothing is taken for deleted."""
    world.simulator.settings.change({"page_size_cap": 7})
    world.generous()
    line = FeedLine(world, feeds=("absence",))
    await line.look("bistro")
    before = await line.feed_store.mark(BISTRO, "absence")

    def meddle(path: str, portal: int) -> None:
        world.simulator.act(
            portal, "absence_request", "create", employeeId=910233, start="2026-12-01", end="2026-12-02"
        )

    for _ in range(10):
        meddle("", BISTRO)
    world.clock.advance(1000)
    world.simulator.between_pages.append(_only("absencerequests", meddle))
    await line.look("bistro")
    moving = await line.feed_store.mark(BISTRO, "absence")
    assert moving["read_to"] == before["read_to"]
    assert "hold still" in moving["why"]
    world.simulator.between_pages.clear()
    await _later(world, line, 1000)
    assert float((await line.feed_store.mark(BISTRO, "absence"))["read_to"]) == pytest.approx(world.now())
    told = await _told(world, "absence_request/")
    assert set(_verbs(told)) == {"created"}
    made = [one for one in world.simulator.changes if one.entity == "absence_request" and one.action == "create"]
    assert sorted(event.entity_id for event in told) == sorted(str(one.id) for one in made)


def _only(path: str, deed: Callable[[str, int], None]) -> Callable[[str, int], None]:
    def meddle(there: str, portal: int) -> None:
        if path in there.lower():
            deed(there, portal)

    return meddle


@pytest.mark.parametrize(("action", "more"), [("approve", {}), ("assign", {"employeeId": 910235})])
async def test_a_change_that_planday_does_not_date_is_found_by_the_daily_look(
    world: World, action: str, more: dict[str, Any]
) -> None:
    """Which deeds move `dateTimeModified` is documented nowhere."""
    names = ("approval", "assignment", "publishing", "membership")
    world.simulator.settings.change({f"{name}_moves_modified": False for name in names})
    line = FeedLine(world, feeds=("shifts",))
    await line.look("bistro")
    world.clock.advance(3 * MINUTE)
    world.simulator.act(BISTRO, "shift", action, id=SHIFT, **more)
    await _later(world, line)
    assert await _told(world, f"shift/{SHIFT}") == []
    await _later(world, line, 86_400)
    assert _verbs(await _told(world, f"shift/{SHIFT}")) == [f"{action}d" if action == "approve" else "assigned"]


@pytest.mark.parametrize("days", [1, 5, 31])
async def test_a_punch_of_long_ago_is_told(world: World, days: int) -> None:
    """Within minutes for the last days, else by the daily look, as far back as Planday gives them."""
    day = (world.clock.now() - timedelta(days=days)).date()
    _, punch, _ = world.simulator.act(
        BISTRO, "punchclock_entry", "start", employeeId=910233, startDateTime=f"{day}T08:00"
    )
    world.simulator.act(BISTRO, "punchclock_entry", "end", id=punch["id"], endDateTime=f"{day}T16:00")
    line = FeedLine(world, feeds=("punchclock",))
    await line.look("bistro")
    world.simulator.act(BISTRO, "punchclock_entry", "edit", id=punch["id"], endDateTime=f"{day}T17:00")
    await _later(world, line)
    assert (_verbs(await _told(world, f"punchclock_entry/{punch['id']}")) == ["updated"]) is (days <= 3)
    await _later(world, line, 86_400 - 3 * MINUTE)
    assert _verbs(await _told(world, f"punchclock_entry/{punch['id']}")) == ["updated"]


async def test_one_portals_trouble_is_not_anothers(world: World) -> None:
    """Planday fails for one portal; the other's feeds go on, and the first catches up."""
    line = FeedLine(world, feeds=("shifts",))
    await line.look()
    world.clock.advance(3 * MINUTE)
    world.simulator.faults.add(Fault("/scheduling/*", "503", count=-1, portal=BISTRO))
    for portal in (BISTRO, HARBOUR):
        world.simulator.act(portal, "shift", "approve", id=SHIFT)
    await line.look()
    assert {event.portal for event in await _told(world)} == {HARBOUR}
    world.simulator.faults.clear()
    world.clock.advance(20 * MINUTE)
    await line.look()
    assert sorted(event.portal or 0 for event in await _told(world)) == sorted((BISTRO, HARBOUR))


async def test_what_differed_is_told_with_before_and_after(world: World) -> None:
    """Changed fields only, of those that may be kept."""
    line = FeedLine(world, feeds=("shifts",))
    await line.look("bistro")
    world.clock.advance(3 * MINUTE)
    was: Mapping[str, Any] = dict(world.simulator.portals[BISTRO].shifts[SHIFT])
    world.simulator.act(BISTRO, "shift", "edit", id=SHIFT, startDateTime="2026-10-24T19:00", comment="private")
    await line.look("bistro")
    (event,) = await _told(world, f"shift/{SHIFT}")
    assert event.seen is not None
    assert event.seen.changed == ("startDateTime",)
    assert event.seen.before == {"startDateTime": was["startDateTime"]}
    assert event.seen.after == {"startDateTime": "2026-10-24T19:00"}
