"""The breaker of a target: when it opens, what goes out meanwhile, and what closes it (docs/decisions/0015)."""

from __future__ import annotations

import pytest
import redis.asyncio as aioredis

from relay.events import Attempt, DeliveryState, Outcome
from relay.store.work import BreakerPolicy, ClaimedDelivery, Finished, Kept, Settled, Verdict
from tests.integration.test_store import LEASE, T0, Bench, lane

POLICY = BreakerPolicy(failures=3, sample=10, share=0.5, span=60.0, wait=10.0, longest=40.0)


class BreakerBench(Bench):
    """A store with a target of which each attempt says something."""

    async def tried(self, claimed: ClaimedDelivery, verdict: Verdict, *, now: float = T0, due: float = T0) -> Kept:
        good = verdict == "good"
        return await self.store.settle(
            Settled(
                id=claimed.id,
                target=claimed.target,
                token=claimed.token,
                state=DeliveryState.DELIVERED if good else DeliveryState.WAITING,
                reason="test",
                attempt=Attempt(
                    number=claimed.attempt,
                    started_at=now,
                    ended_at=now,
                    outcome=Outcome.DELIVERED if good else Outcome.RETRY,
                    reason="test",
                ),
                due_at=None if good else due,
                verdict=verdict,
                breaker=POLICY,
            ),
            now=now,
        )

    async def waiting(self, count: int) -> list[ClaimedDelivery]:
        """So many deliveries of as many entities, claimed."""
        return await self.routed(*(self.event(str(n)) for n in range(count)))

    async def opened(self, count: int = 5) -> list[ClaimedDelivery]:
        """A target whose breaker has just opened, with so many deliveries, all of them due."""
        claimed = await self.waiting(count)
        for one in claimed[:3]:
            await self.tried(one, "bad")
        for one in claimed[3:]:
            await self.tried(one, "")
        return claimed

    async def standing(self, *, now: float = T0) -> str:
        found = await self.reading.stats(["hours"], now=now)
        return str(found["targets"]["hours"]["state"])

    async def sent(self, now: float) -> list[ClaimedDelivery]:
        return list((await self.claim(now=now)).deliveries)


@pytest.fixture
def bench(redis_client: aioredis.Redis, prefix: str) -> BreakerBench:
    return BreakerBench(redis_client, prefix)


async def test_failures_in_a_row_open_it_and_nothing_is_sent(bench: BreakerBench) -> None:
    """The third of three in a row opens it; until the wait is over nobody gets any of what is due."""
    claimed = await bench.waiting(5)
    assert [await bench.tried(one, "bad") for one in claimed[:3]] == ["kept", "kept", "opened"]
    for one in claimed[3:]:
        await bench.tried(one, "")
    found = await bench.claim(now=T0 + 9.9)
    assert found.deliveries == ()
    assert found.next_due == pytest.approx(T0 + 10)
    assert await bench.standing() == "failing"


async def test_a_success_in_between_starts_the_count_anew(bench: BreakerBench) -> None:
    """Failures of single events among many that succeed do not stop the target."""
    for verdict in ("bad", "bad", "good", "bad", "bad", "good"):
        claimed = await bench.routed(bench.event(verdict + str(next(bench._numbers))))
        assert await bench.tried(claimed[0], verdict, due=T0 + 1000) == "kept"
    assert await bench.standing() == "open"


async def test_a_sample_opens_it_though_no_three_fail_in_a_row(bench: BreakerBench) -> None:
    """Half of ten calls within the span is enough; what failed longer ago does not count."""
    verdicts: list[Verdict] = ["bad", "good"] * 5
    for number, verdict in enumerate(verdicts):
        claimed = await bench.routed(bench.event(f"a{number}"))
        answer = await bench.tried(claimed[0], verdict, now=T0 + number * 61, due=T0 + 10_000)
        assert answer == "kept"
    answers = []
    for number, verdict in enumerate([*verdicts, "bad"]):
        claimed = await bench.routed(bench.event(f"b{number}"))
        answers.append(await bench.tried(claimed[0], verdict, now=T0 + 1000, due=T0 + 10_000))
    assert answers == ["kept"] * 10 + ["opened"], "the first failure after ten calls finds six of eleven"


async def test_one_probe_at_a_time_however_many_drains_ask(bench: BreakerBench) -> None:
    """After the wait one delivery goes out; the next only when that one has come back."""
    await bench.opened()
    first = await bench.sent(T0 + 10)
    assert len(first) == 1
    assert await bench.sent(T0 + 11) == []
    assert await bench.standing() == "failing"
    await bench.tried(first[0], "bad", now=T0 + 12, due=T0 + 500)
    assert await bench.sent(T0 + 31) == [], "a failed probe doubles the wait"
    second = await bench.sent(T0 + 32)
    assert [one.id for one in second] != [first[0].id], "another one tries it next"


async def test_waits_between_probes_double_up_to_the_longest(bench: BreakerBench) -> None:
    """10, 20, 40, 40 seconds: a target that comes back is found within the longest wait."""
    await bench.opened(1 + 8)
    now, waits = T0, []
    for _ in range(5):
        until = (await bench.reading.stats(["hours"], now=now))["targets"]["hours"]["breaker"]["until"]
        waits.append(round(until - now))
        now = until
        await bench.tried((await bench.sent(now))[0], "bad", now=now, due=now)
    assert waits == [10, 20, 40, 40, 40]


async def test_a_probe_that_succeeds_closes_it(bench: BreakerBench) -> None:
    """Then all of it goes out, oldest first, at once."""
    await bench.opened()
    probe = await bench.sent(T0 + 10)
    assert await bench.tried(probe[0], "good", now=T0 + 11) == "closed"
    assert await bench.standing() == "open"
    assert len(await bench.sent(T0 + 11)) == 4


async def test_what_was_on_the_wire_before_decides_nothing(bench: BreakerBench) -> None:
    """A late success of a call that began before it opened does not close it, a late failure prolongs nothing."""
    claimed = await bench.waiting(6)
    for one in claimed[:3]:
        await bench.tried(one, "bad", due=T0 + 5)
    assert await bench.tried(claimed[3], "good", now=T0 + 1) == "kept"
    assert await bench.tried(claimed[4], "bad", now=T0 + 1) == "kept"
    found = (await bench.reading.stats(["hours"], now=T0))["targets"]["hours"]["breaker"]
    assert found == {"state": "open", "since": T0, "until": T0 + 10}


async def test_a_probe_whose_worker_died_gives_way_to_the_next(bench: BreakerBench) -> None:
    """Its lease ends, and the target is tried again: nothing stays half open for ever."""
    await bench.opened()
    probe = (await bench.sent(T0 + 10))[0]
    assert await bench.sent(T0 + 10 + LEASE - 0.1) == []
    again = await bench.sent(T0 + 10 + LEASE + 0.1)
    assert len(again) == 1
    assert await bench.tried(probe, "good", now=T0 + 21) != "closed" or again[0].id == probe.id


async def test_an_answer_that_says_nothing_of_the_target_keeps_it_open(bench: BreakerBench) -> None:
    """Who answers a probe with 429 is neither well nor broken: it is tried again after the same wait."""
    await bench.opened()
    probe = (await bench.sent(T0 + 10))[0]
    await bench.tried(probe, "", now=T0 + 10, due=T0 + 10)
    assert await bench.sent(T0 + 19) == []
    assert len(await bench.sent(T0 + 20)) == 1


async def test_a_person_who_resumes_it_closes_it(bench: BreakerBench) -> None:
    """`targets resume` ends a pause, a hold and an open breaker alike."""
    await bench.opened()
    assert await bench.store.resume("hours", now=T0)
    assert len(await bench.sent(T0)) == 5
    assert not await bench.store.resume("hours", now=T0)


async def test_another_target_is_not_touched(bench: BreakerBench) -> None:
    """The breaker is the target's own."""
    await bench.store.accept([bench.event(f"x{n}") for n in range(4)], now=T0)
    for one in (await bench.claim(lane("nobody"), deliveries=0)).events:
        await bench.finish(one, "hours", "slack")
    for delivery in (await bench.claim(lane("hours"))).deliveries[:3]:
        await bench.tried(delivery, "bad")
    assert len((await bench.claim(lane("slack"))).deliveries) == 4


async def test_a_target_that_is_back_is_found_though_nothing_is_due(bench: BreakerBench) -> None:
    """What waits for hours tries it ahead of its time; a failure then costs it neither an attempt nor its time."""
    claimed = await bench.waiting(3)
    for one in claimed:
        await bench.tried(one, "bad", due=T0 + 7200)
    probe = (await bench.sent(T0 + 10))[0]
    assert (probe.attempt, probe.step, probe.ahead) == (2, 2, T0 + 7200)
    await bench.tried(probe, "bad", now=T0 + 11, due=T0 + 7200)
    later = (await bench.sent(T0 + 40))[0]
    assert later.ahead == T0 + 7200
    assert await bench.tried(later, "good", now=T0 + 41) == "closed"
    rest = await bench.sent(T0 + 42)
    assert len(rest) == 2, "and what waits goes out at once"
    assert {one.step for one in rest} == {1}, "the attempts that failed while it was down are not counted"


async def test_what_is_put_off_for_another_reason_stays_put_off(bench: BreakerBench) -> None:
    """A digest's window or quiet hours are no failure: what never failed is not brought forward."""
    await bench.opened(4)
    put_off = bench.event("quiet")
    await bench.store.accept([put_off], now=T0)
    for one in (await bench.claim(lane("nobody"), deliveries=0)).events:
        await bench.store.finish(
            Finished(id=one.id, token=one.token, envelope=b"{}", targets=("hours",), dues={"hours": T0 + 7200}), now=T0
        )
    probe = (await bench.sent(T0 + 10))[0]
    assert await bench.tried(probe, "good", now=T0 + 10) == "closed"
    assert put_off.id not in {one.id for one in await bench.sent(T0 + 11)}
