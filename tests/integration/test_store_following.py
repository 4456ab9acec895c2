"""Following the line: every new event once, however it is interleaved with the looks, and what becomes of it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence

import pytest
import redis.asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from relay.events import Attempt, DeliveryState, Event, Outcome, event_id
from relay.jobs import Jobs
from relay.store import following
from relay.store.client import connect
from relay.store.following import Came, Following, Handled, Happening, LetGo, Moved
from relay.store.keys import Keys
from relay.store.reading import Reading
from relay.store.store import Store
from relay.store.work import Finished, Lane, Settled

NOW = 1_790_000_000.0
LANE = Lane(target="hours", concurrency=1000, per_second=None, burst=1, limiter="hours", dedupes=True)


class World:
    """A store that events go through by its verbs, with one who follows."""

    def __init__(self, url: str, prefix: str) -> None:
        self.client = connect(url)
        self.keys = Keys(prefix)
        self.store = Store(self.client, self.keys, backlog_limit=100_000, bell=Jobs(prefix, self.keys.queue).bell)
        self.reading = Reading(self.client, self.keys)
        self.count = 0

    def follow(self, **wanted: object) -> Following:
        return Following(self.reading, self.keys, **wanted)  # type: ignore[arg-type]

    async def accept(self, *, at: float = NOW, type_: str = "planday.shift.approved", portal: int = 1) -> str:
        self.count += 1
        name = f"s-{self.count}"
        event = Event(
            id=event_id("planday", name),
            source="planday",
            sender_id=name,
            type=type_,
            portal=portal,
            entity="shift",
            entity_id=str(self.count),
            received_at=at,
        )
        await self.store.accept([event], now=at)
        return event.id

    async def route(self, *targets: str, now: float = NOW) -> None:
        """Everything that is due goes to these."""
        claim = await self.store.claim([], now=now, lease=10, most_events=1000, most_deliveries=0)
        for one in claim.events:
            finished = Finished(id=one.id, token=one.token, envelope=b'{"data":{}}', targets=targets)
            await self.store.finish(finished, now=now)

    async def settle(self, state: DeliveryState, *, due_at: float | None = None, now: float = NOW) -> int:
        """Everything that is due at `hours` ends in this state."""
        claim = await self.store.claim([LANE], now=now, lease=10, most_events=0, most_deliveries=1000)
        outcome = Outcome.DELIVERED if state is DeliveryState.DELIVERED else Outcome.RETRY
        for one in claim.deliveries:
            attempt = Attempt(
                number=one.attempt, started_at=now, ended_at=now + 0.1, outcome=outcome, reason="so it was", status=503
            )
            await self.store.settle(
                Settled(
                    id=one.id,
                    target="hours",
                    token=one.token,
                    state=state,
                    reason="why",
                    attempt=attempt,
                    due_at=due_at,
                ),
                now=now,
            )
        return len(claim.deliveries)


@pytest.fixture
async def world(redis_server: str, prefix: str) -> AsyncIterator[World]:
    made = World(redis_server, prefix)
    yield made
    await made.client.aclose()


def came(found: Sequence[Happening]) -> list[str]:
    return [one.record.event.id for one in found if isinstance(one, Came)]


async def test_an_event_is_told_from_its_coming_to_its_end(world: World) -> None:
    """It came, it was routed, it failed once, it was delivered: each once, with the attempt; then nothing more."""
    old = await world.accept(at=NOW - 1)
    follower = world.follow()
    await follower.begin(NOW)
    assert await follower.look() == []
    new = await world.accept()
    assert came(await follower.look()) == [new]
    await world.route("hours")
    (handled,) = await follower.look()
    assert isinstance(handled, Handled)
    assert (handled.record.targets, handled.record.envelope) == (("hours",), {"data": {}})
    assert handled.record.event.id != old
    await world.settle(DeliveryState.WAITING, due_at=NOW + 5)
    (failed,) = await follower.look()
    assert isinstance(failed, Moved)
    assert (failed.delivery.state, failed.delivery.attempts, failed.delivery.due_at) == ("waiting", 1, NOW + 5)
    assert failed.attempt is not None
    assert failed.attempt.status == 503
    assert await follower.look() == []
    await world.settle(DeliveryState.DELIVERED, now=NOW + 6)
    (ended,) = await follower.look()
    assert isinstance(ended, Moved)
    assert ended.delivery.state is DeliveryState.DELIVERED
    assert await follower.look() == []


async def test_what_was_over_before_the_first_look_is_told_whole(world: World) -> None:
    """A fast line is done between two looks: the event, its routing and its delivery come in one, in this order."""
    follower = world.follow()
    await follower.begin(NOW)
    await world.accept()
    await world.route("hours")
    await world.settle(DeliveryState.DELIVERED)
    assert [type(one) for one in await follower.look()] == [Came, Handled, Moved]
    await world.accept()
    await world.route()
    assert [type(one) for one in await follower.look()] == [Came, Handled], "no target takes it: that is its end"
    assert await follower.look() == []


async def test_what_is_written_late_is_told_too(world: World) -> None:
    """A receiver whose clock is behind, or that waited for the store, puts an event before the newest that is known."""
    follower = world.follow()
    await follower.begin(NOW)
    first = await world.accept(at=NOW + 3)
    assert came(await follower.look()) == [first]
    late = await world.accept(at=NOW - 2)
    assert came(await follower.look()) == [late]
    assert came(await follower.look()) == []


async def test_one_can_begin_in_the_past(world: World) -> None:
    """`since` tells all from there on, step by step, each once, also where more than a step share one instant."""
    early = [await world.accept(at=NOW - 7200) for _ in range(2)]
    many = [await world.accept(at=NOW - 60 * (n % 3)) for n in range(2300)]
    follower = world.follow()
    await follower.begin(NOW, since=NOW - 3600)
    found: list[str] = []
    looks = 0
    while looks == 0 or follower.behind:
        found += came(await follower.look())
        looks += 1
    assert Counter(found) == Counter(many)
    assert looks > 1
    assert not set(early) & set(found)


async def test_only_what_is_asked_for_is_told(world: World) -> None:
    """By type, by portal, by target; of a target only its own deliveries, and an event only once it is routed there."""
    by_type, by_portal, by_target = (
        world.follow(type="planday.shift.*"),
        world.follow(portal=2),
        world.follow(target="hours"),
    )
    for one in (by_type, by_portal, by_target):
        await one.begin(NOW)
    first = await world.accept(type_="planday.employee.updated", portal=1)
    second = await world.accept(portal=2)
    assert came(await by_type.look()) == [second]
    assert came(await by_portal.look()) == [second]
    assert await by_target.look() == []
    await world.route("hours", "chat")
    found = await by_target.look()
    assert [type(one) for one in found] == [Came, Handled, Came, Handled]
    assert sorted(came(found)) == sorted([first, second])
    await world.settle(DeliveryState.DELIVERED)
    assert [type(one) for one in await by_target.look()] == [Moved, Moved]
    assert await by_target.look() == []
    other = world.follow(target="mail")
    await other.begin(NOW, since=NOW - 1)
    assert await other.look() == []


async def test_too_much_that_is_open_is_let_go_of(world: World) -> None:
    """What is remembered is bounded; who follows is told how many are followed no more."""
    follower = world.follow(most=3)
    await follower.begin(NOW)
    for _ in range(5):
        await world.accept()
    found = await follower.look()
    assert len(came(found)) == 5
    assert found[-1] == LetGo(2)


async def test_all_that_is_open_has_its_turn(world: World) -> None:
    """However many wait, every end is told after a few looks."""
    follower = world.follow()
    await follower.begin(NOW)
    ids = [await world.accept() for _ in range(1400)]
    await world.route("hours")
    await world.route("hours")
    found = list(await follower.look())
    while follower.behind:
        found += await follower.look()
    while await world.settle(DeliveryState.DELIVERED):
        pass
    for _ in range(8):
        found += await follower.look()
    ended = Counter(one.record.event.id for one in found if isinstance(one, Moved))
    assert ended == Counter(ids)


async def test_a_store_that_was_away_makes_no_gap(world: World) -> None:
    """A look that fails tells nothing and forgets nothing."""
    broken = connect("redis://127.0.0.1:1", socket_timeout=0.2)
    follower = world.follow()
    await follower.begin(NOW)
    new = await world.accept()
    good, follower._reading.client = follower._reading.client, broken
    with pytest.raises(Exception, match="did not answer"):
        await follower.look()
    follower._reading.client = good
    assert came(await follower.look()) == [new]
    await broken.aclose()


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("accept"), st.integers(-4, 4)),
        st.tuples(st.sampled_from(["look", "route", "deliver", "fail", "cancel"]), st.just(0)),
    ),
    max_size=25,
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_nothing_is_missed_and_nothing_doubled(redis_server: str, steps: list[tuple[str, int]]) -> None:
    """Under any interleaving of looks with what happens: each event once, each of its ends once."""
    asyncio.run(_live(redis_server, steps))


async def _live(url: str, steps: list[tuple[str, int]]) -> None:
    client = redis.asyncio.Redis.from_url(url)
    prefix = "tfollow:"
    world = World(url, prefix)
    try:
        follower = world.follow()
        await follower.begin(NOW)
        ids, found = [], list[Happening]()
        now = NOW
        for what, shift in steps:
            now += 0.5
            match what:
                case "accept":
                    ids.append(await world.accept(at=now + shift))
                case "look":
                    found += await follower.look()
                case "route":
                    await world.route("hours", now=now + 5)
                case "deliver":
                    await world.settle(DeliveryState.DELIVERED, now=now + 5)
                case "fail":
                    await world.settle(DeliveryState.WAITING, due_at=now + 6, now=now + 5)
                case "cancel":
                    await world.settle(DeliveryState.DEAD, now=now + 5)
        found += await follower.look()
        await world.route("hours", now=now + 20)
        await world.settle(DeliveryState.DELIVERED, now=now + 20)
        found += await follower.look()
        assert Counter(came(found)) == Counter(ids)
        ends = Counter(
            one.record.event.id for one in found if isinstance(one, Moved) and one.delivery.state in following._ENDS
        )
        assert ends == Counter(ids)
        assert Counter(one.record.event.id for one in found if isinstance(one, Handled)) == Counter(ids)
        assert await follower.look() == []
    finally:
        left = [key async for key in client.scan_iter(match=f"{prefix}*", count=1000)]
        if left:
            await client.unlink(*left)
        await client.aclose()
        await world.client.aclose()
