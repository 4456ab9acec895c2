"""Whatever the mix of states, and whoever is killed, paused or cancelled on the way: the result is what was planned."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import redis.asyncio as aioredis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from relay.errors import RefusedError, StoreUnavailable
from relay.events import DeliveryState, Outcome
from relay.store.plans import Moved, Plans
from tests.integration.replay_world import World

Answer = TypeVar("Answer")
TARGETS = ("hours", "hooks")
Key = tuple[str, str]


class Dying(Plans):
    """The plans of a worker that is killed at its n-th call of the store: before it, or after it was carried out."""

    calls = 0

    async def _or_die(self, call: Callable[[], Awaitable[Answer]]) -> Answer:
        self._tick()
        answer = await call()
        self._tick()
        return answer

    def _tick(self) -> None:
        self.calls -= 1
        if self.calls <= 0:
            raise StoreUnavailable("killed")

    async def take(self, plan: str, **how: Any) -> bool:
        return await self._or_die(lambda: Plans.take(self, plan, **how))

    async def get(self, plan: str) -> dict[str, Any]:
        return await self._or_die(lambda: Plans.get(self, plan))

    async def open(self, plan: str, target: str, **how: Any) -> Moved:
        return await self._or_die(lambda: Plans.open(self, plan, target, **{**how, "most": 3}))

    async def withdraw(self, plan: str, target: str, **how: Any) -> tuple[int, int] | None:
        return await self._or_die(lambda: Plans.withdraw(self, plan, target, **{**how, "most": 2}))

    async def end(self, plan: str, **how: Any) -> None:
        await self._or_die(lambda: Plans.end(self, plan, **how))

    async def leave(self, plan: str, **how: Any) -> None:
        """Who is killed leaves nothing in order."""
        await self._or_die(lambda: Plans.leave(self, plan, **how))


@dataclass(frozen=True, slots=True)
class Past:
    """One event and how each target took it."""

    entity: int
    outcomes: tuple[str, str]


pasts = st.builds(
    Past,
    entity=st.integers(1, 4),
    outcomes=st.tuples(*(st.sampled_from(("delivered", "rejected", "cancelled")) for _ in TARGETS)),
)
steps = st.one_of(
    st.tuples(st.just("killed"), st.integers(1, 12)),
    st.tuples(st.sampled_from(("run", "two", "work", "pause", "resume")), st.just(0)),
    st.tuples(st.just("live"), st.integers(1, 8)),
)
states = st.lists(
    st.sampled_from(("dead", "cancelled", "superseded", "delivered")), min_size=1, max_size=4, unique=True
)


class Story:
    """One history, one plan, and what the plan says of it."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.plan = ""
        self.expected: Counter[str] = Counter()
        self.items: set[Key] = set()
        self.before: dict[Key, str] = {}

    async def happen(self, past: Sequence[Past]) -> None:
        for one in past:
            fails = {
                target: Outcome.REJECTED
                for target, outcome in zip(TARGETS, one.outcomes, strict=True)
                if outcome != "delivered"
            }
            (event,) = await self.world.happened(str(one.entity), fails=fails)
            for target, outcome in zip(TARGETS, one.outcomes, strict=True):
                if outcome == "cancelled":
                    await self.world.store.cancel(event, target, now=self.world.clock(), reason="not needed")

    async def make(self, wanted: Sequence[str], *, force: bool) -> dict[str, Any]:
        """Plan, and work out by the plain rule what must come of it."""
        self.before = await self.world.states()
        facts = await self.world.planned(states=tuple(wanted), reason="test", force=force)
        self.plan = facts["id"]
        records = {event: await self.world.reading.event(event) for event, _ in self.before}
        newest: Counter[Key] = Counter()
        for (event, target), state in self.before.items():
            if state == "delivered":
                lane = records[event].event.lane
                newest[lane, target] = max(newest[lane, target], records[event].sequence)
        for (event, target), state in self.before.items():
            if state in wanted:
                self.items.add((event, target))
                older = records[event].sequence < newest[records[event].event.lane, target]
                self.expected["superseded" if older and not force else "opened"] += 1
        return facts

    async def step(self, what: str, number: int) -> None:
        world = self.world
        match what:
            case "run":
                await world.runner.run(self.plan)
            case "two":
                await asyncio.gather(*(world.another_runner().run(self.plan) for _ in range(2)))
            case "killed":
                dying = Dying(world.plans.client, world.keys)
                dying.calls = number
                with contextlib.suppress(StoreUnavailable):
                    await world.another_runner(dying).run(self.plan)
                await world.plans.client.delete(world.keys.plan_lock(self.plan))  # its time ran out
            case "work":
                await world.relay.work()
            case "live":
                await world.store.accept([world.event(str(number))], now=world.clock())
            case "pause" | "resume":
                with contextlib.suppress(RefusedError):  # it may not stand so
                    await getattr(world.replays, what)(self.plan, by="test")

    async def end(self) -> dict[str, Any]:
        status = await self.world.replays.status(self.plan)
        if status["state"] == "paused":
            await self.world.replays.resume(self.plan, by="test")
        return await self.world.finish(self.plan)

    def sent(self) -> Counter[Key]:
        """What went out by the plan, and how often."""
        return Counter(
            (one.event_id, target)
            for target in TARGETS
            for one in self.world.relay.targets[target].sent
            if one.replay == self.plan
        )


def play(server: str, window: int, scenario: Callable[[World], Awaitable[None]]) -> None:
    """A world of its own for one example."""

    async def run() -> None:
        prefix = f"t{secrets.token_hex(6)}:"
        client = aioredis.Redis.from_url(server)
        try:
            await scenario(World(client, prefix, window=window, **{name: {} for name in TARGETS}))
        finally:
            keys = [key async for key in client.scan_iter(match=f"{prefix}*", count=1000)]
            if keys:
                await client.unlink(*keys)
            await client.aclose()

    asyncio.run(run())


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    past=st.lists(pasts, min_size=1, max_size=12),
    wanted=st.tuples(states, st.booleans()),
    window=st.integers(1, 6),
    todo=st.lists(steps, max_size=14),
)
def test_the_plan_is_the_result(
    redis_server: str, past: list[Past], wanted: tuple[list[str], bool], window: int, todo: list[tuple[str, int]]
) -> None:
    """Counts and items are those that were planned, each sent once; new events of other records change nothing."""

    async def scenario(world: World) -> None:
        story = Story(world)
        await story.happen(past)
        facts = await story.make(wanted[0], force=wanted[1])
        planned = Counter(opened=0, superseded=0)
        for one in facts["counts"]:
            planned.update(opened=one["first"], superseded=one["superseded"])
        assert +planned == story.expected
        await world.replays.start(story.plan, by="test")
        for what, number in todo:
            await story.step(what, number + 4 if what == "live" else number)  # of other records
        status = await story.end()
        assert Counter(status["results"]) == story.expected
        assert (status["done"], status["open"]) == (len(story.items), 0)
        assert status["ends"].get("delivered", 0) == story.expected["opened"]
        sent = story.sent()
        assert set(sent.values()) <= {1}
        assert len(sent) == story.expected["opened"]
        assert set(sent) <= story.items
        for key, state in (await world.states()).items():
            if key in story.items and key not in sent:
                assert state in ("superseded", "delivered")
                assert story.before[key] in (state, "dead", "cancelled")
            elif key in story.before and key not in story.items:
                assert state == story.before[key], "what the plan does not name stays as it was"

    play(redis_server, window, scenario)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    past=st.lists(pasts, min_size=1, max_size=12),
    window=st.integers(1, 6),
    todo=st.lists(steps, max_size=16),
)
def test_new_events_of_the_same_records_stay_the_newest(
    redis_server: str, past: list[Past], window: int, todo: list[tuple[str, int]]
) -> None:
    """However replay and new events meet, nothing is passed over, and no target's last state is an older one."""

    async def scenario(world: World) -> None:
        story = Story(world)
        await story.happen(past)
        await story.make(("dead", "cancelled"), force=False)
        await world.replays.start(story.plan, by="test")
        for what, number in todo:
            await story.step(what, number)
        status = await story.end()
        assert sum(status["results"].values()) == len(story.items)
        assert set(story.sent().values()) <= {1}
        assert len(story.sent()) == status["ends"].get("delivered", 0)
        for target in TARGETS:
            last: dict[str, int] = {}
            for one in world.relay.targets[target].sent:
                record = await world.reading.event(one.event_id)
                assert record.sequence > last.get(record.event.lane, 0), "an older state after a newer one"
                last[record.event.lane] = record.sequence

    play(redis_server, window, scenario)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    past=st.lists(pasts, min_size=1, max_size=12),
    window=st.integers(1, 6),
    todo=st.lists(steps, max_size=10),
    after=st.lists(st.tuples(st.just("killed"), st.integers(1, 12)), max_size=4),
)
def test_a_plan_cancelled_anywhere_leaves_nothing_half_done(
    redis_server: str, past: list[Past], window: int, todo: list[tuple[str, int]], after: list[tuple[str, int]]
) -> None:
    """Each delivery was sent, or is again what it was; nothing waits, and all is counted."""

    async def scenario(world: World) -> None:
        story = Story(world)
        await story.happen(past)
        await story.make(("dead", "cancelled", "superseded"), force=True)
        await world.replays.start(story.plan, by="test")
        for what, number in todo:
            await story.step(what, number + 4 if what == "live" else number)
        if (await world.replays.status(story.plan))["state"] == "ended":
            return
        await world.replays.cancel(story.plan, by="test")
        for what, number in after:
            await story.step(what, number)
        status = await world.finish(story.plan)
        assert (status["state"], status["open"]) == ("cancelled", 0)
        sent = story.sent()
        assert set(sent.values()) <= {1}
        assert status["ends"].get("delivered", 0) == len(sent)
        assert sum(status["ends"].values()) == status["results"].get("opened", 0)
        for key, state in (await world.states()).items():
            if key in story.before:
                assert state == (DeliveryState.DELIVERED if key in sent else story.before[key])

    play(redis_server, window, scenario)
