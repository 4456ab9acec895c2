"""Long outages, rates and asked-for waits in simulated time: nothing dies, all stays in order, nobody is pressed."""

from __future__ import annotations

import asyncio
import itertools
from collections import defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

import httpx
import pytest
import redis.asyncio as aioredis

from relay.events import Event, event_id
from relay.targets import Result, Sending
from relay.targets.answers import judge
from tests.fakes import Relay
from tests.integration.test_alerts import OPS, World

HOUR = 3600.0
START = 1_790_000_000.0
_numbers = itertools.count(1)


def event(entity_id: str | None = None, *, at: float = START) -> Event:
    """One that no newer one takes the place of."""
    number = f"o{next(_numbers)}"
    return Event(
        id=event_id("test", number),
        source="test",
        sender_id=number,
        type="planday.punchclock_entry.approved",
        portal=4100001,
        entity="punchclock_entry",
        entity_id=entity_id or number,
        received_at=at,
    )


class Far:
    """The far side: takes what comes but where `refuses` has an answer, and remembers when it was sent what."""

    def __init__(self, world: World, name: str = "hours") -> None:
        self.clock = world.clock
        self.sent: list[tuple[float, str, int]] = []
        self.refuses: Callable[[], httpx.Response | None] = lambda: None
        self.serve(world.relay, name)

    def serve(self, relay: Relay, name: str = "hours") -> None:
        """Be the far side of this worker as well."""
        relay.targets[name].answer = self._answer

    def _answer(self, sending: Sending) -> Result:
        response = self.refuses() or httpx.Response(202)
        self.sent.append((self.clock(), sending.event_id, response.status_code))
        verdict = judge(response, now=self.clock())
        return Result(
            outcome=verdict.outcome,
            reason=verdict.reason,
            status=response.status_code,
            retry_after=verdict.retry_after,
            tried=True,
        )

    @property
    def times(self) -> list[float]:
        return [at for at, _, _ in self.sent]

    @property
    def taken(self) -> list[str]:
        return [one for _, one, status in self.sent if status == 202]

    def refused(self, status: int) -> list[float]:
        return [at for at, _, answered in self.sent if answered == status]


@pytest.fixture
def make(redis_client: aioredis.Redis, prefix: str) -> Callable[..., World]:
    return lambda **targets: World(redis_client, prefix, **targets)


Make = Callable[..., World]


async def run(
    world: World,
    until: float,
    *,
    arrivals: Sequence[tuple[float, Event]] = (),
    workers: Sequence[Relay] = (),
    watch: float | None = None,
) -> None:
    """Go from one thing to do to the next until `until`: work that is due, arrivals, and the watch each so many s."""
    clock, coming = world.clock, deque(sorted(arrivals, key=lambda pair: pair[0]))
    looked, team = clock.now, deque([world.relay, *workers])
    while True:
        while coming and coming[0][0] <= clock.now:
            _, one = coming.popleft()
            # Each is a change of its own.
            world.relay.planday.records[one.subject] = {"id": one.entity_id, "approvedAt": clock.now}
            await world.store.accept([one], now=clock.now)
        team.rotate(1)  # whoever comes first gets most
        dues = await asyncio.gather(*(one.work() for one in team))
        if watch and clock.now - looked >= watch:
            looked = clock.now
            await world.watch.look()
            continue
        moments = [due for due in dues if due is not None] + [coming[0][0] for _ in coming]
        following = min([*moments, until, *([looked + watch] if watch else [])])
        if clock.now >= until:
            return
        clock.now = min(max(following, clock.now + 0.001), until)


async def counts(world: World, name: str = "hours") -> Mapping[str, Any]:
    stats = await world.reading.stats([name], now=world.clock())
    return dict(stats["targets"][name])


def most_within(times: Sequence[float], span: float) -> int:
    """The most calls in any stretch of time of this length, its end not counted."""
    window: deque[float] = deque()
    most = 0
    for at in sorted(times):
        while window and window[0] <= at - span + 0.0005:
            window.popleft()
        window.append(at)
        most = max(most, len(window))
    return most


# An outage of two days -----------------------------------------------------------------------------


async def test_two_days_of_outage_cost_nothing_but_time(make: Make) -> None:
    """With the default schedule and the default breaker: all that came before and meanwhile is delivered, in order for
    each record, nothing is dead, somebody was told within five minutes and again at the end."""
    world = make(hours={"rate": {"per_second": 5}}, ops=OPS)
    far = Far(world)
    back = START + 48 * HOUR
    far.refuses = lambda: httpx.Response(503) if world.clock() < back else None
    arrivals = [(START + n * 600.0, event(str(n % 30), at=START + n * 600.0)) for n in range(48 * 6)]
    await run(world, START + 300, arrivals=arrivals[:1], watch=15)
    assert world.told() == ["target.failing"], "within five minutes"
    await run(world, back, arrivals=arrivals[1:], watch=900)
    down = await counts(world)
    assert (down["delivered"], down["dead"], down["parked"]) == (0, 0, 0)
    # A far side that is down is asked about each five minutes, however much waits for it.
    assert len(far.sent) <= 48 * 12 + 20
    assert world.told() == ["target.failing"]

    await run(world, back + HOUR, watch=60)
    found = await counts(world)
    assert (found["delivered"], found["dead"], found["waiting"]) == (len(arrivals), 0, 0)
    told = [one for one in world.told() if one.startswith("target.")]
    assert told == ["target.failing", "target.recovered"]
    assert most_within([at for at in far.times if at >= back], 1.0) <= 5
    order: dict[str, list[int]] = defaultdict(list)
    place = {one.id: (one.entity_id, number) for number, (_, one) in enumerate(arrivals)}
    for id_ in far.taken:
        entity, number = place[id_]
        order[entity].append(number)
    assert all(numbers == sorted(numbers) for numbers in order.values())
    assert sorted(far.taken) == sorted(one.id for _, one in arrivals), "each once"


# A wait that the far side asks for -----------------------------------------------------------------


def in_seconds(_now: float) -> str:
    return "600"


def as_a_date(now: float) -> str:
    return format_datetime(datetime.fromtimestamp(now + 600, UTC), usegmt=True)


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("form", [in_seconds, as_a_date])
async def test_a_wait_that_is_asked_for_is_given_by_the_whole_target(
    make: Make, status: int, form: Callable[[float], str]
) -> None:
    """After one answer with Retry-After of ten minutes nobody sends anything for ten minutes, not even what is new;
    then all of it goes out."""
    world = make(hours={"rate": {"concurrency": 1}})
    far = Far(world)
    busy = httpx.Response(status, headers={"retry-after": form(START)})
    far.refuses = lambda: busy if world.clock() < START + 600 else None
    arrivals = [(START + n * 30.0, event(str(n))) for n in range(20)]
    other = Relay(world.store, world.clock, hours={"rate": {"concurrency": 1}})
    far.serve(other)
    await run(world, START + 599.9, arrivals=arrivals, workers=[other])
    assert [at for at in far.times if at < START + 599.9] == [START]
    assert (await counts(world))["held_until"] == pytest.approx(START + 600, abs=1)
    await run(world, START + 700, workers=[other])
    assert (await counts(world))["delivered"] == 20
    assert min(far.times[1:]) >= START + 600


async def test_a_far_side_that_takes_sixty_a_minute_gets_six_hundred(make: Make) -> None:
    """Above its limit it answers 429 and says when to come back: all 600 arrive, none is given up, and after each
    refusal it is left alone until then."""
    world = make(hours={})
    far = Far(world)

    def limited() -> httpx.Response | None:
        minute = world.clock() // 60
        if sum(1 for at, _, status in far.sent if status == 202 and at // 60 == minute) < 60:
            return None
        return httpx.Response(429, headers={"retry-after": str(int((minute + 1) * 60 - world.clock()) + 1)})

    far.refuses = limited
    events = [event() for _ in range(600)]
    await world.store.accept(events, now=START)
    await run(world, START + HOUR)
    found = await counts(world)
    assert (found["delivered"], found["dead"], found["waiting"]) == (600, 0, 0)
    assert sorted(far.taken) == sorted(one.id for one in events)
    last = max(at for at, _, status in far.sent if status == 202)
    assert last - START <= 11 * 61, "as fast as it lets us"
    assert len(far.refused(429)) <= 11 * 20, "no more refusals a minute than calls that may be under way"


# Rates ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("per_second", "burst"), [(0.5, 1), (3.0, 1), (10.0, 5), (50.0, 20)])
async def test_two_workers_together_keep_to_one_rate(make: Make, per_second: float, burst: int) -> None:
    """However much waits, two workers start no more calls than the setting in any stretch of time, and no less."""
    rate = {"rate": {"per_second": per_second, "burst": burst, "concurrency": 100}}
    world = make(hours=rate)
    other = Relay(world.store, world.clock, hours=rate)
    far = Far(world)
    far.serve(other)
    seconds = max(4, 10 / per_second)
    count = int(per_second * seconds) + burst
    await world.store.accept([event() for _ in range(count)], now=START)
    await run(world, START + seconds * 1.2, workers=[other])
    assert len(far.sent) == count
    for span in (1.0, 2.0, 20.0):
        assert most_within(far.times, span) <= per_second * span + burst
    assert far.times[-1] - START == pytest.approx((count - burst) / per_second, rel=0.05, abs=0.1)
    assert all(one.targets["hours"].sent for one in (world.relay, other))


# The breaker, with workers -------------------------------------------------------------------------

QUICK = {"failures": 3, "wait": "10s", "longest": "1m"}
PATIENT = {"schedule": ["1s"] * 50}


async def broken(make: Make, count: int = 30) -> tuple[World, Far]:
    """A target that fails, with an open breaker and so much that waits."""
    world = make(hours={"breaker": QUICK, "retry": PATIENT, "rate": {"concurrency": 1}})
    far = Far(world)
    far.refuses = lambda: httpx.Response(500)
    await world.store.accept([event() for _ in range(count)], now=START)
    await world.relay.work()
    assert len(far.sent) == 3
    assert (await counts(world))["breaker"]["state"] == "open"
    return world, far


async def test_while_it_is_open_only_probes_are_sent_each_after_its_wait(make: Make) -> None:
    """Three failures, then one call after 10, 20, 40, 60, 60 ... seconds, by two workers together."""
    world, far = await broken(make)
    other = Relay(world.store, world.clock, hours={"breaker": QUICK, "retry": PATIENT, "rate": {"concurrency": 1}})
    far.serve(other)
    await run(world, START + 260, workers=[other])
    probes = [round(at - START) for at in far.times[3:]]
    assert probes == [10, 30, 70, 130, 190, 250]
    assert (await counts(world))["dead"] == 0


async def test_the_success_of_a_probe_lets_everything_out_by_the_rate(make: Make) -> None:
    """What waited goes out at once, as wide as the target is served, and the breaker is closed."""
    world, far = await broken(make)
    far.refuses = lambda: None
    await run(world, START + 12)
    found = await counts(world)
    assert (found["delivered"], found["breaker"]) == (30, None)


async def test_a_worker_that_dies_with_the_probe_leaves_it_to_the_next(make: Make) -> None:
    """Its lease ends, another one tries; the breaker is never half open for ever."""
    world, far = await broken(make)
    far.refuses = lambda: None
    world.clock.now += 10
    dead = await world.store.claim(
        world.relay.pipeline.lanes, now=world.clock(), lease=30, most_events=0, most_deliveries=10
    )
    assert len(dead.deliveries) == 1, "one probe; its worker dies now"
    await run(world, world.clock() + 29.9)
    assert len(far.sent) == 3, "nobody else probes while the lease may be alive"
    await run(world, world.clock() + 5)
    found = await counts(world)
    assert (found["delivered"], found["breaker"]) == (30, None)


async def test_a_sample_of_failures_opens_it_though_some_succeed(make: Make) -> None:
    """Every second call fails: never three in a row, but half of them."""
    world = make(hours={"breaker": {"failures": 100, "sample": 10, "share": 0.5}, "retry": PATIENT})
    far = Far(world)
    far.refuses = lambda: httpx.Response(502) if len(far.sent) % 2 else None
    await world.store.accept([event() for _ in range(60)], now=START)
    await run(world, START + 5)
    assert (await counts(world))["breaker"]["state"] == "open"
    assert len(far.sent) <= 10 + 20, "a sample, and what was under way already"


async def test_a_person_closes_it(make: Make) -> None:
    """`targets resume` does not wait for the next probe."""
    world, far = await broken(make)
    far.refuses = lambda: None
    assert await world.store.resume("hours", now=world.clock())
    await run(world, START + 2)
    found = await counts(world)
    assert (found["delivered"], found["breaker"]) == (30, None)


async def test_refusals_of_single_events_open_nothing(make: Make) -> None:
    """A far side that answers 422 works: the events are dead letters, and the next ones are sent."""
    world = make(hours={"breaker": QUICK})
    far = Far(world)
    far.refuses = lambda: httpx.Response(422) if len(far.sent) < 20 else None
    await world.store.accept([event() for _ in range(30)], now=START)
    await run(world, START + 1)
    found = await counts(world)
    assert (found["dead"], found["delivered"], found["breaker"]) == (20, 10, None)


# After an outage -----------------------------------------------------------------------------------


async def test_when_it_is_back_nothing_waits_for_its_schedule(make: Make) -> None:
    """What failed while the target was down goes out when the first probe succeeds, not hours later by its schedule."""
    world = make(hours={"rate": {"per_second": 10}})
    far = Far(world)
    back = START + 7 * HOUR
    far.refuses = lambda: httpx.Response(503) if world.clock() < back else None
    await world.store.accept([event() for _ in range(50)], now=START)
    await run(world, back)
    await run(world, back + 5 * HOUR)
    found = await counts(world)
    assert (found["delivered"], found["dead"], found["waiting"]) == (50, 0, 0)
    taken = [at for at, _, status in far.sent if status == 202]
    assert taken[-1] - taken[0] <= 50 / 10 + 1


async def test_a_target_that_comes_and_goes_shortens_no_schedule(make: Make) -> None:
    """One delivery that always fails, at a target that breaks and mends all the time: it has its whole schedule."""
    schedule = ["10s", "1m", "10m", "1h"]
    world = make(hours={"breaker": QUICK, "retry": {"schedule": schedule}})
    far = Far(world)
    poison = event("poison")
    up = itertools.cycle([True] * 5 + [False] * 5)
    state = {"id": "", "up": True}
    original = far._answer

    def answer(sending: Sending) -> Result:
        state["id"], state["up"] = sending.event_id, next(up)
        return original(sending)

    world.relay.targets["hours"].answer = answer
    far.refuses = lambda: httpx.Response(500) if state["id"] == poison.id or not state["up"] else None
    arrivals = [(START + n * 20.0, event()) for n in range(1, 400)]
    await run(world, START + 2 * HOUR + 600, arrivals=[(START, poison), *arrivals])
    tries = [at for at, id_, _ in far.sent if id_ == poison.id]
    assert tries[-1] - START >= 10 + 60 + 600 + 3600
