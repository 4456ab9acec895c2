"""Every script of the store, against a real Redis: what must hold when two reach for the same work, or one is late."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from dataclasses import replace
from urllib.parse import urlsplit

import pytest
import redis.asyncio as aioredis
from redis.exceptions import RedisError

from relay.errors import BacklogFull, NotFoundError, RefusedError, StoreUnavailable
from relay.events import Attempt, DeliveryState, Event, EventState, Outcome, event_id
from relay.jobs import Jobs
from relay.store.client import connect
from relay.store.keys import Keys
from relay.store.reading import DeliveryFilter, EventFilter, Reading
from relay.store.store import MOST_LOST_LEASES, Store
from relay.store.work import Claim, ClaimedDelivery, ClaimedEvent, Finished, Held, Lane, Settled
from tests.servers import Server, silent

T0 = 1_790_000_000.0
PORTAL = 4100001
LEASE = 10.0


def lane(target: str = "hours", **changes: object) -> Lane:
    wide = Lane(target=target, concurrency=50, per_second=None, burst=1, limiter=target, dedupes=True)
    return replace(wide, **changes)  # type: ignore[arg-type]


class Bench:
    """A store below its own prefix, with the few steps that tests repeat."""

    def __init__(self, client: aioredis.Redis, prefix: str, *, backlog_limit: int = 1000) -> None:
        self.client = client
        self.keys = Keys(prefix)
        jobs = Jobs(prefix, self.keys.queue)
        self.store = Store(client, self.keys, backlog_limit=backlog_limit, bell=jobs.bell)
        self.reading = Reading(client, self.keys)
        self._numbers = itertools.count(1)

    def event(self, entity_id: str = "1", *, type_: str = "planday.shift.updated", number: int | None = None) -> Event:
        sender_id = f"s{number or next(self._numbers)}"
        return Event(
            id=event_id("test", sender_id),
            source="test",
            sender_id=sender_id,
            type=type_,
            portal=PORTAL,
            entity="shift",
            entity_id=entity_id,
            received_at=T0,
        )

    async def claim(self, *lanes: Lane, now: float = T0, events: int = 100, deliveries: int = 100) -> Claim:
        return await self.store.claim(
            lanes or (lane(),), now=now, lease=LEASE, most_events=events, most_deliveries=deliveries
        )

    async def finish(
        self,
        claimed: ClaimedEvent,
        *targets: str,
        now: float = T0,
        version: str | None = None,
        undone: Sequence[str] = (),
        latest: Sequence[str] = (),
    ) -> str:
        return await self.store.finish(
            Finished(
                id=claimed.id,
                token=claimed.token,
                envelope=b'{"type":"planday.shift.updated"}',
                targets=targets,
                version=version,
                undone=tuple(undone),
                latest=frozenset(latest),
            ),
            now=now,
        )

    async def settle(
        self,
        claimed: ClaimedDelivery,
        state: DeliveryState = DeliveryState.DELIVERED,
        *,
        now: float = T0,
        due: float | None = None,
    ) -> bool:
        outcome = Outcome.DELIVERED if state is DeliveryState.DELIVERED else Outcome.RETRY
        attempt = Attempt(number=claimed.attempt, started_at=now, ended_at=now, outcome=outcome, reason="test")
        kept = await self.store.settle(
            Settled(
                id=claimed.id,
                target=claimed.target,
                token=claimed.token,
                state=state,
                reason="test",
                attempt=attempt,
                due_at=due,
            ),
            now=now,
        )
        return kept != "lost"

    async def served(self, *targets: str, now: float = T0) -> None:
        await self.store.heartbeat(now=now, life=15, worker="w", serves=targets)

    async def routed(self, *events: Event, targets: Sequence[str] = ("hours",)) -> list[ClaimedDelivery]:
        """Events all the way to claimed deliveries of the first target."""
        await self.store.accept(events, now=T0)
        while (claim := await self.claim(lane("nobody"), deliveries=0)).events:
            for one in claim.events:
                await self.finish(one, *targets)
        return list((await self.claim(lane(targets[0]))).deliveries)


class Cut:
    """A proxy before Redis that breaks the connection when told: before the next request, or before its answer."""

    def __init__(self, upstream: str) -> None:
        self._upstream = urlsplit(upstream)
        self.now = ""
        self.url = ""

    async def __aenter__(self) -> Cut:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        self.url = f"redis://:{self._upstream.password or ''}@127.0.0.1:{port}/0"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._upstream.scheme == "unix":
            up_reader, up_writer = await asyncio.open_unix_connection(self._upstream.path)
        else:
            up_reader, up_writer = await asyncio.open_connection(self._upstream.hostname, self._upstream.port or 6379)
        try:
            while request := await reader.read(1_000_000):
                if self.now == "request":
                    return
                up_writer.write(request)
                answer = await up_reader.read(1_000_000)
                if self.now == "answer":
                    return
                writer.write(answer)
        finally:
            for one in (writer, up_writer):
                one.close()


@pytest.fixture
def bench(redis_client: aioredis.Redis, prefix: str) -> Bench:
    return Bench(redis_client, prefix)


# Accept -------------------------------------------------------------------------------------------


async def test_an_event_is_accepted_once(bench: Bench) -> None:
    """The same source and sender id is one event, however often it comes; it keeps its sequence."""
    event = bench.event()
    first = await bench.store.accept([event], now=T0)
    second = await bench.store.accept([event], now=T0 + 1)
    assert [first[0].duplicate, second[0].duplicate] == [False, True]
    assert first[0].sequence == second[0].sequence == 1
    assert len((await bench.claim()).events) == 1


async def test_a_repeat_within_one_batch_is_a_duplicate(bench: Bench) -> None:
    """Two members with one id: the first is stored, the second answers duplicate."""
    event = bench.event()
    answers = await bench.store.accept([event, event], now=T0)
    assert [answer.duplicate for answer in answers] == [False, True]


async def test_sequences_run_per_entity(bench: Bench) -> None:
    """Each entity counts its own events from one."""
    answers = await bench.store.accept([bench.event("1"), bench.event("2"), bench.event("1")], now=T0)
    assert [answer.sequence for answer in answers] == [1, 1, 2]


async def test_requests_that_arrive_together_share_a_round_trip(bench: Bench) -> None:
    """Concurrent accepts are joined, and each caller gets its own answers."""
    before = (await bench.client.info("commandstats")).get("cmdstat_evalsha", {}).get("calls", 0)
    events = [bench.event(str(n)) for n in range(200)]
    answers = await asyncio.gather(*(bench.store.accept([event], now=T0) for event in events))
    after = (await bench.client.info("commandstats"))["cmdstat_evalsha"]["calls"]
    assert [answer[0].id for answer in answers] == [event.id for event in events]
    assert after - before <= 10


async def test_a_full_backlog_refuses_and_stores_nothing(redis_client: aioredis.Redis, prefix: str) -> None:
    """Above the limit the sender is told to come back, and the event is not there."""
    bench = Bench(redis_client, prefix, backlog_limit=2)
    await bench.store.accept([bench.event("1"), bench.event("2")], now=T0)
    late = bench.event("3")
    with pytest.raises(BacklogFull, match="more than 2 accepted events"):
        await bench.store.accept([late], now=T0)
    with pytest.raises(NotFoundError):
        await bench.reading.event(late.id)


async def test_a_dropped_connection_in_the_middle_is_an_error_and_again_is_safe(bench: Bench) -> None:
    """When the answer is lost nobody may say 202 or "duplicate"; handing in again stores it once."""
    event = bench.event()
    async with Server(silent) as hole:
        broken = Bench(connect(f"redis://127.0.0.1:{hole.port}/0", socket_timeout=0.2), bench.keys.prefix)
        with pytest.raises(StoreUnavailable):
            await broken.store.accept([event], now=T0)
        await broken.client.aclose()
    first = await bench.store.accept([event], now=T0)
    again = await bench.store.accept([event], now=T0)
    assert [first[0].duplicate, again[0].duplicate] == [False, True]


@pytest.mark.parametrize("lost", ["request", "answer"])
async def test_a_connection_that_breaks_is_an_error_whether_the_event_was_stored_or_not(
    bench: Bench, redis_server: str, lost: str
) -> None:
    """The caller cannot know on which side of the write it broke, so it is an error; handing in again is safe."""
    await bench.store.accept([bench.event("0")], now=T0)  # the script is loaded
    event = bench.event()
    async with Cut(redis_server) as cut:
        store = Bench(connect(cut.url, socket_timeout=1.0), bench.keys.prefix)
        await store.store.accept([], now=T0)  # it has looked whether there is room
        cut.now = lost
        with pytest.raises(StoreUnavailable):
            await store.store.accept([event], now=T0)
        await store.client.aclose()
    again = await bench.store.accept([event], now=T0)
    assert again[0].duplicate == (lost == "answer")
    assert len((await bench.reading.list_events(EventFilter(), limit=10)).rows) == 2


async def test_the_bell_rings_only_when_no_drain_lives(bench: Bench) -> None:
    """Without a live drain an arq job is written in the same step; with one, none is needed."""
    await bench.store.accept([bench.event("1")], now=T0)
    jobs = await bench.client.zrange(bench.keys.queue, 0, -1)
    assert len(jobs) == 1
    assert await bench.client.exists("arq:job:" + jobs[0].decode()) == 1
    await bench.client.delete(bench.keys.queue, "arq:job:" + jobs[0].decode())
    await bench.store.heartbeat(now=T0, life=10, worker="w", drain="w:1")
    await bench.store.accept([bench.event("2")], now=T0 + 6)
    assert await bench.client.zcard(bench.keys.queue) == 0


# Claim and fencing -----------------------------------------------------------------------------------


async def test_two_claimants_never_hold_the_same_work(bench: Bench, redis_server: str) -> None:
    """Two drains on two connections, claiming at once: every event goes to exactly one."""
    events = [bench.event(str(n)) for n in range(300)]
    await bench.store.accept(events[:100], now=T0)
    await bench.store.accept(events[100:200], now=T0)
    await bench.store.accept(events[200:], now=T0)
    other = Bench(connect(redis_server), bench.keys.prefix)
    claims = await asyncio.gather(*(who.claim(events=20) for _ in range(10) for who in (bench, other)))
    await other.client.aclose()
    ids = [one.id for claim in claims for one in claim.events]
    assert len(ids) == 300
    assert set(ids) == {event.id for event in events}


async def test_one_entity_is_worked_on_one_event_at_a_time_in_order(bench: Bench) -> None:
    """The second event of an entity is not due before the first is routed."""
    first, second = bench.event("7"), bench.event("7")
    await bench.store.accept([first, second], now=T0)
    claim = await bench.claim()
    assert [one.id for one in claim.events] == [first.id]
    assert (await bench.claim()).events == ()
    await bench.finish(claim.events[0], "hours")
    assert [one.id for one in (await bench.claim()).events] == [second.id]


async def test_an_expired_lease_is_taken_back_and_the_stalled_owner_changes_nothing(bench: Bench) -> None:
    """A worker that stalls past its lease and settles late must not touch what another one holds now."""
    await bench.store.accept([bench.event()], now=T0)
    stalled = (await bench.claim()).events[0]
    taken = (await bench.claim(now=T0 + LEASE + 1)).events[0]
    assert taken.id == stalled.id
    assert await bench.finish(stalled, "hours", now=T0 + LEASE + 1) == "lost"
    assert (await bench.reading.event(stalled.id)).state is EventState.ACCEPTED
    assert await bench.finish(taken, "hours", now=T0 + LEASE + 1) == "routed"


async def test_a_stalled_sender_settling_late_is_refused(bench: Bench) -> None:
    """The same for deliveries: the late outcome is refused, and the state is the new holder's."""
    stalled = (await bench.routed(bench.event()))[0]
    taken = (await bench.claim(now=T0 + LEASE + 1)).deliveries[0]
    assert (taken.attempt, taken.step) == (stalled.attempt + 1, stalled.step)
    assert not await bench.settle(stalled, DeliveryState.DEAD)
    assert await bench.settle(taken)
    assert (await bench.reading.delivery(taken.id, "hours")).state is DeliveryState.DELIVERED


async def test_a_late_delivery_that_nobody_took_over_counts(bench: Bench) -> None:
    """Taken back but not given out again: "it was delivered" is the best knowledge, and nothing is sent twice."""
    stalled = (await bench.routed(bench.event()))[0]
    released = await bench.claim(lane(per_second=0.001, burst=1), now=T0 + LEASE + 1, deliveries=0)
    assert released.released_deliveries == 1
    assert not await bench.settle(stalled, DeliveryState.DEAD)
    assert await bench.settle(stalled)
    assert (await bench.claim(now=T0 + LEASE + 2)).deliveries == ()
    assert (await bench.reading.stats(["hours"], now=T0))["open"] == 0


async def test_a_parked_delivery_of_a_stalled_worker_is_delivered_after_all(bench: Bench) -> None:
    """A payroll target's 200 that comes after the lease ran out settles what was parked as unknown."""
    stalled = (await bench.routed(bench.event()))[0]
    assert await bench.store.begin(stalled, now=T0)
    await bench.claim(lane(dedupes=False), now=T0 + LEASE + 1)
    assert await bench.settle(stalled)
    assert (await bench.reading.delivery(stalled.id, "hours")).state is DeliveryState.DELIVERED


async def test_a_renewed_lease_is_kept_and_a_lost_one_is_reported(bench: Bench) -> None:
    """A drain that lives keeps its work for as long as it says so."""
    held = (await bench.routed(bench.event()))[0]
    mine = Held(held.id, "hours", held.token)
    assert await bench.store.renew([mine], now=T0 + 8, lease=LEASE) == [True]
    assert (await bench.claim(now=T0 + LEASE + 1)).released_deliveries == 0
    assert (await bench.claim(now=T0 + 19)).released_deliveries == 1
    assert await bench.store.renew([mine], now=T0 + 19, lease=LEASE) == [False]


async def test_a_target_that_does_not_dedupe_is_parked_when_its_sender_dies_while_sending(bench: Bench) -> None:
    """A worker that died after it began to send leaves an unknown outcome: a person decides, nothing is sent again."""
    held = (await bench.routed(bench.event()))[0]
    assert await bench.store.begin(held, now=T0)
    claim = await bench.claim(lane(dedupes=False), now=T0 + LEASE + 1)
    assert claim.deliveries == ()
    delivery = await bench.reading.delivery(held.id, "hours")
    assert delivery.state is DeliveryState.PARKED
    assert "may have it" in delivery.reason


async def test_a_target_that_does_not_dedupe_is_sent_again_when_nothing_was_begun(bench: Bench) -> None:
    """Held but not begun is not sent: it is safe to hand it out again."""
    held = (await bench.routed(bench.event()))[0]
    claim = await bench.claim(lane(dedupes=False), now=T0 + LEASE + 1)
    assert [one.id for one in claim.deliveries] == [held.id]


async def test_begin_is_refused_after_the_lease_was_taken_over(bench: Bench) -> None:
    """A stalled sender learns before it sends that the delivery is no longer its own."""
    held = (await bench.routed(bench.event()))[0]
    await bench.claim(now=T0 + LEASE + 1)
    assert not await bench.store.begin(held, now=T0 + LEASE + 1)


async def test_work_that_kills_its_workers_leaves_the_line(bench: Bench) -> None:
    """A delivery over which worker after worker dies ends dead, so that it cannot stop the relay for ever."""
    held = (await bench.routed(bench.event()))[0]
    now = T0
    for _ in range(MOST_LOST_LEASES + 1):
        now += LEASE + 1
        await bench.claim(now=now)
    delivery = await bench.reading.delivery(held.id, "hours")
    assert delivery.state is DeliveryState.DEAD
    assert "died" in delivery.reason


# Finish --------------------------------------------------------------------------------------------


async def test_an_event_that_nobody_takes_ends_unrouted_and_visible(bench: Bench) -> None:
    """No target is an end of its own, found by its state."""
    await bench.store.accept([bench.event()], now=T0)
    claimed = (await bench.claim()).events[0]
    assert await bench.finish(claimed) == "unrouted"
    page = await bench.reading.list_events(EventFilter(state=EventState.UNROUTED), limit=5)
    assert [row.event.id for row in page.rows] == [claimed.id]
    assert (await bench.reading.stats(["hours"], now=T0))["open"] == 0


async def test_the_same_change_through_both_doors_is_one(bench: Bench) -> None:
    """The second event of one type and version ends duplicate and says of which; another type passes."""
    a, b, c = bench.event("9"), bench.event("9"), bench.event("9", type_="planday.shift.approved")
    await bench.store.accept([a, b, c], now=T0)
    results = []
    while (claim := await bench.claim()).events:
        results.append(await bench.finish(claim.events[0], "hours", version="v1"))
    assert results == ["routed", a.id, "routed"]
    record = await bench.reading.event(b.id)
    assert (record.state, record.duplicate_of) == (EventState.DUPLICATE, a.id)


async def test_approve_unapprove_approve_are_three_changes(bench: Bench) -> None:
    """An undoing type makes the undone one new again, although the record looks as before."""
    approved, unapproved = "planday.shift.approved", "planday.shift.unapproved"
    await bench.store.accept(
        [bench.event("9", type_=kind) for kind in (approved, unapproved, approved, approved)], now=T0
    )
    undone = [[unapproved], [approved], [unapproved], [unapproved]]
    results = []
    for one in undone:
        claimed = (await bench.claim()).events[0]
        results.append(await bench.finish(claimed, "hours", version="same", undone=one))
    assert results[:3] == ["routed"] * 3
    assert results[3].startswith("evt_")


async def test_a_version_that_comes_back_is_a_new_change(bench: Bench) -> None:
    """A record that goes from one state to another and back has changed twice."""
    await bench.store.accept([bench.event("9") for _ in range(3)], now=T0)
    results = [
        await bench.finish((await bench.claim()).events[0], "hours", version=version) for version in ("a", "b", "a")
    ]
    assert results == ["routed"] * 3


async def test_a_type_that_is_the_start_of_another_is_not_confused_with_it(bench: Bench) -> None:
    """Claimed types are told apart as whole words, whatever pattern characters they hold."""
    await bench.store.accept(
        [bench.event("9", type_="a.b-c"), bench.event("9", type_="a.b"), bench.event("9", type_="axb")], now=T0
    )
    for _ in range(3):
        assert await bench.finish((await bench.claim()).events[0], "hours", version="v") == "routed"


async def test_a_deferred_event_comes_back_at_its_time_and_its_lane_waits(bench: Bench) -> None:
    """An event that waits for Planday holds the later ones of its entity, and nobody else's."""
    first, second, other = bench.event("1"), bench.event("1"), bench.event("2")
    await bench.store.accept([first, second], now=T0)
    claim = await bench.claim()
    await bench.store.accept([other], now=T0)
    assert await bench.store.defer(
        claim.events[0].id, claim.events[0].token, now=T0, due_at=T0 + 30, reason="busy", counted="tries", patience=True
    )
    found = await bench.claim()
    assert [one.id for one in found.events] == [other.id]
    assert found.next_due == pytest.approx(T0 + 30, abs=0.01)
    await bench.finish(found.events[0], "hours")
    again = await bench.claim(now=T0 + 31)
    assert [(one.id, one.tries, one.since) for one in again.events] == [(first.id, 1, T0)]


async def test_a_dead_event_lets_its_lane_go_on(bench: Bench) -> None:
    """An event that cannot be handled ends dead and visible; the next of its entity is handled."""
    first, second = bench.event("1"), bench.event("1")
    await bench.store.accept([first, second], now=T0)
    claimed = (await bench.claim()).events[0]
    assert await bench.store.defer(claimed.id, claimed.token, now=T0, due_at=None, reason="broken")
    assert (await bench.reading.event(first.id)).state is EventState.DEAD
    assert [one.id for one in (await bench.claim()).events] == [second.id]


# Deliver and settle ---------------------------------------------------------------------------------


async def test_deliveries_of_one_entity_go_one_at_a_time_in_order(bench: Bench) -> None:
    """A retry keeps its place: nothing newer of its entity overtakes it at that target."""
    events = [bench.event("1"), bench.event("1"), bench.event("2")]
    claimed = await bench.routed(*events)
    assert [one.id for one in claimed] == [events[0].id, events[2].id]
    assert await bench.settle(claimed[0], DeliveryState.WAITING, due=T0 + 60)
    assert await bench.settle(claimed[1])
    assert (await bench.claim(now=T0 + 30)).deliveries == ()
    retried = (await bench.claim(now=T0 + 61)).deliveries
    assert [(one.id, one.attempt) for one in retried] == [(events[0].id, 2)]
    await bench.settle(retried[0], now=T0 + 61)
    assert [one.id for one in (await bench.claim(now=T0 + 61)).deliveries] == [events[1].id]


async def test_a_dead_delivery_frees_its_lane_and_a_parked_one_holds_it(bench: Bench) -> None:
    """After death the newer state goes; what a person has to decide is not overtaken."""
    dead, after_dead = bench.event("1"), bench.event("1")
    parked, after_parked = bench.event("2"), bench.event("2")
    first, second = await bench.routed(dead, parked, after_dead, after_parked)
    await bench.settle(first, DeliveryState.DEAD)
    await bench.settle(second, DeliveryState.PARKED)
    assert [one.id for one in (await bench.claim()).deliveries] == [after_dead.id]


async def test_one_target_does_not_hold_another(bench: Bench) -> None:
    """Lanes are per target: a retry at one leaves the other free."""
    events = [bench.event("1"), bench.event("1")]
    claimed = await bench.routed(*events, targets=("a", "b"))
    await bench.settle(claimed[0], DeliveryState.WAITING, due=T0 + 60)
    at_b = (await bench.claim(lane("b"))).deliveries
    await bench.settle(at_b[0])
    assert [one.id for one in (await bench.claim(lane("b"))).deliveries] == [events[1].id]


async def test_concurrency_is_counted_over_all_claimants(bench: Bench) -> None:
    """A target with three places never has four calls under way, whoever claims."""
    await bench.routed(*(bench.event(str(n)) for n in range(10)), targets=("other",))
    three = lane("other", concurrency=3)
    await bench.claim(three, now=T0 + LEASE + 1)
    assert (await bench.claim(three, now=T0 + LEASE + 1)).deliveries == ()
    assert (await bench.reading.stats(["other"], now=T0))["targets"]["other"]["sending"] == 3


async def test_rate_lets_through_what_it_says_over_time(bench: Bench) -> None:
    """Two a second with a burst of two: two at once, then one each half second; the wait is told."""
    await bench.store.accept([bench.event(str(n)) for n in range(10)], now=T0)
    for one in (await bench.claim(lane("nobody"))).events:
        await bench.finish(one, "slow")
    slow = lane("slow", per_second=2.0, burst=2)
    first = await bench.claim(slow)
    assert len(first.deliveries) == 2
    assert first.next_due == pytest.approx(T0 + 0.5, abs=0.01)
    counts = [len((await bench.claim(slow, now=T0 + tick / 10)).deliveries) for tick in range(1, 21)]
    assert sum(counts) == 4
    assert max(counts) == 1


async def test_targets_with_one_limiter_share_one_rate(bench: Bench) -> None:
    """Two targets on one Slack hook must not send twice as fast."""
    await bench.store.accept([bench.event(str(n)) for n in range(4)], now=T0)
    for one in (await bench.claim(lane("nobody"))).events:
        await bench.finish(one, "a", "b")
    lanes = [lane(name, per_second=1.0, limiter="hook") for name in ("a", "b")]
    assert len((await bench.claim(*lanes)).deliveries) == 1


async def test_a_paused_target_waits_and_goes_on_after_resume(bench: Bench) -> None:
    """A broken credential pauses the target: its deliveries wait, none is burnt."""
    claimed = await bench.routed(bench.event("1"), bench.event("2"))
    broken = Settled(
        id=claimed[0].id,
        target="hours",
        token=claimed[0].token,
        state=DeliveryState.DEAD,
        reason="401",
        attempt=Attempt(number=1, started_at=T0, ended_at=T0, outcome=Outcome.TARGET_BROKEN, reason="401"),
        pause="the target refuses our credential",
    )
    await bench.store.settle(broken, now=T0)
    await bench.settle(claimed[1], DeliveryState.WAITING, due=T0)
    assert (await bench.claim()).deliveries == ()
    assert (await bench.reading.stats(["hours"], now=T0))["targets"]["hours"]["paused"]
    assert await bench.store.resume("hours", now=T0)
    assert [one.id for one in (await bench.claim()).deliveries] == [claimed[1].id]


async def test_retry_after_holds_the_whole_target(bench: Bench) -> None:
    """One 429 with a wait is enough: no other delivery goes to that target before it ends."""
    claimed = await bench.routed(bench.event("1"))
    attempt = Attempt(number=1, started_at=T0, ended_at=T0, outcome=Outcome.RETRY, reason="429")
    await bench.store.settle(
        Settled(
            id=claimed[0].id,
            target="hours",
            token=claimed[0].token,
            state=DeliveryState.WAITING,
            reason="429",
            attempt=attempt,
            due_at=T0 + 1,
            hold_until=T0 + 30,
        ),
        now=T0,
    )
    held = await bench.claim(now=T0 + 5)
    assert held.deliveries == ()
    assert held.next_due == pytest.approx(T0 + 30, abs=0.01)
    assert len((await bench.claim(now=T0 + 31)).deliveries) == 1


# Reopen --------------------------------------------------------------------------------------------

_FAILED = (DeliveryState.DEAD, DeliveryState.PARKED)


async def test_a_dead_delivery_is_opened_again_with_a_new_round(bench: Bench) -> None:
    """A retry by hand starts the schedule anew and keeps the record of what was tried."""
    claimed = (await bench.routed(bench.event()))[0]
    await bench.settle(claimed, DeliveryState.DEAD)
    state = await bench.store.reopen(claimed.id, "hours", now=T0 + 5, states=_FAILED, replay="plan_1")
    assert state is DeliveryState.WAITING
    again = (await bench.claim(now=T0 + 5)).deliveries[0]
    assert again.step == 1
    assert (again.id, again.round, again.replay, again.attempt) == (claimed.id, 2, "plan_1", 1)
    await bench.settle(again, now=T0 + 5)
    assert len(await bench.reading.attempts(claimed.id, "hours")) == 2
    assert (await bench.reading.stats(["hours"], now=T0))["open"] == 0


async def test_a_replay_of_one_delivery_by_one_plan_happens_once(bench: Bench) -> None:
    """A plan that was cut off between opening and counting asks again, and nothing is opened twice."""
    claimed = (await bench.routed(bench.event()))[0]
    await bench.settle(claimed, DeliveryState.DEAD)
    for _ in range(2):
        await bench.store.reopen(claimed.id, "hours", now=T0, states=_FAILED, replay="plan_1")
    again = (await bench.claim()).deliveries
    assert len(again) == 1
    await bench.settle(again[0], DeliveryState.DEAD)
    await bench.store.reopen(claimed.id, "hours", now=T0, states=_FAILED, replay="plan_1")
    assert (await bench.claim()).deliveries == ()


async def test_an_older_state_is_not_sent_after_a_newer_one(bench: Bench) -> None:
    """Once something newer of the entity was delivered, the dead older one ends superseded unless forced."""
    older, newer = bench.event("1"), bench.event("1")
    first = (await bench.routed(older, newer))[0]
    await bench.settle(first, DeliveryState.DEAD)
    await bench.settle((await bench.claim()).deliveries[0])
    assert await bench.store.reopen(older.id, "hours", now=T0, states=_FAILED) is DeliveryState.SUPERSEDED
    assert (await bench.reading.delivery(older.id, "hours")).state is DeliveryState.SUPERSEDED
    states = (DeliveryState.SUPERSEDED,)
    assert await bench.store.reopen(older.id, "hours", now=T0, states=states, force=True) is DeliveryState.WAITING
    assert [one.id for one in (await bench.claim()).deliveries] == [older.id]


async def test_an_older_state_opened_while_a_newer_one_is_on_the_wire_ends_superseded(bench: Bench) -> None:
    """The check is made again when it is claimed, since what is on the wire may be delivered first."""
    older, newer = bench.event("1"), bench.event("1")
    await bench.settle((await bench.routed(older, newer))[0], DeliveryState.DEAD)
    on_the_wire = (await bench.claim()).deliveries[0]
    assert await bench.store.reopen(older.id, "hours", now=T0, states=_FAILED) is DeliveryState.WAITING
    assert (await bench.claim()).deliveries == ()
    await bench.settle(on_the_wire)
    assert (await bench.claim()).deliveries == ()
    assert (await bench.reading.delivery(older.id, "hours")).state is DeliveryState.SUPERSEDED
    assert (await bench.reading.stats(["hours"], now=T0))["open"] == 0


async def test_an_opened_delivery_goes_before_what_waits_in_its_lane(bench: Bench) -> None:
    """Older first: the reopened one is sent before the newer one that has been waiting for its retry."""
    older, newer = bench.event("1"), bench.event("1")
    await bench.settle((await bench.routed(older, newer))[0], DeliveryState.DEAD)
    await bench.settle((await bench.claim()).deliveries[0], DeliveryState.WAITING, due=T0 + 10)
    await bench.store.reopen(older.id, "hours", now=T0, states=_FAILED)
    first = (await bench.claim(now=T0 + 11)).deliveries
    assert [one.id for one in first] == [older.id]
    await bench.settle(first[0], now=T0 + 11)
    assert [one.id for one in (await bench.claim(now=T0 + 11)).deliveries] == [newer.id]


async def test_a_parked_delivery_is_released_in_its_place(bench: Bench) -> None:
    """What a person releases goes next in its lane."""
    parked, later = bench.event("1"), bench.event("1")
    await bench.settle((await bench.routed(parked, later))[0], DeliveryState.PARKED)
    await bench.store.reopen(parked.id, "hours", now=T0, states=_FAILED)
    assert [one.id for one in (await bench.claim()).deliveries] == [parked.id]


async def test_a_cancelled_delivery_ends_and_frees_its_lane(bench: Bench) -> None:
    """A person found that the target has it: nothing is sent, the newer state goes, and it can be opened again."""
    parked, later = bench.event("1"), bench.event("1")
    await bench.settle((await bench.routed(parked, later))[0], DeliveryState.PARKED)
    await bench.store.cancel(parked.id, "hours", now=T0, reason="they have it")
    assert [one.id for one in (await bench.claim()).deliveries] == [later.id]
    delivery = await bench.reading.delivery(parked.id, "hours")
    assert (delivery.state, delivery.reason) == (DeliveryState.CANCELLED, "they have it")
    await bench.store.reopen(parked.id, "hours", now=T0, states=(DeliveryState.CANCELLED,))


async def test_a_waiting_delivery_is_cancelled_before_it_is_sent_again(bench: Bench) -> None:
    """Nothing of a cancelled delivery is due any more, and its event is closed."""
    claimed = (await bench.routed(bench.event("1")))[0]
    with pytest.raises(RefusedError, match="is sending"):
        await bench.store.cancel(claimed.id, "hours", now=T0, reason="no")
    await bench.settle(claimed, DeliveryState.WAITING, due=T0 + 5)
    await bench.store.cancel(claimed.id, "hours", now=T0, reason="no")
    assert (await bench.claim(now=T0 + 6)).deliveries == ()
    assert (await bench.reading.stats(["hours"], now=T0))["open"] == 0


async def test_what_is_on_the_wire_or_unknown_is_not_opened(bench: Bench) -> None:
    """Only the named states can be opened again; the error says the present one."""
    claimed = (await bench.routed(bench.event()))[0]
    with pytest.raises(RefusedError, match="is sending"):
        await bench.store.reopen(claimed.id, "hours", now=T0, states=_FAILED)
    with pytest.raises(NotFoundError):
        await bench.store.reopen("evt_none", "hours", now=T0, states=_FAILED)


async def test_what_is_opened_again_goes_oldest_first(bench: Bench) -> None:
    """Several dead deliveries of one entity, opened in any order, are sent in the order of their events."""
    events = [bench.event("1") for _ in range(4)]
    await bench.store.accept(events, now=T0)
    for _ in events:
        await bench.finish((await bench.claim(lane("nobody"))).events[0], "hours")
        await bench.settle((await bench.claim(events=0)).deliveries[0], DeliveryState.DEAD)
    for one in (events[2], events[0], events[3], events[1]):
        await bench.store.reopen(one.id, "hours", now=T0, states=_FAILED)
    sent = []
    while claimed := (await bench.claim()).deliveries:
        sent.append(claimed[0].id)
        await bench.settle(claimed[0])
    assert sent == [event.id for event in events]


async def test_a_superseded_answer_leaves_nothing_to_send(bench: Bench) -> None:
    """Forced, then asked for again without force: it ends superseded, is not sent, and its event stays right."""
    older, newer = bench.event("1"), bench.event("1")
    first = (await bench.routed(older, newer, targets=("hours", "other")))[0]
    await bench.settle(first, DeliveryState.DEAD)
    await bench.settle((await bench.claim()).deliveries[0])
    await bench.store.reopen(older.id, "hours", now=T0, states=_FAILED, force=True)
    states = (DeliveryState.WAITING,)
    assert await bench.store.reopen(older.id, "hours", now=T0, states=states) is DeliveryState.SUPERSEDED
    assert (await bench.claim()).deliveries == ()
    assert (await bench.reading.stats(["hours"], now=T0))["open"] == 2  # both wait for the other target


async def test_a_full_drain_is_not_told_to_look_again_at_once(bench: Bench) -> None:
    """What is due and found no room is taken when something ends, not by asking over and over."""
    await bench.store.accept([bench.event(str(n)) for n in range(5)], now=T0)
    assert (await bench.claim(events=2)).next_due is None
    assert (await bench.claim(events=0)).next_due is None


# Sweep ---------------------------------------------------------------------------------------------


async def test_the_sweep_finds_work_that_nobody_would_find(bench: Bench) -> None:
    """Places lost with a due set or a lane are put back: whatever is open is worked on again."""
    await bench.served("hours")
    events = [bench.event(str(n)) for n in range(3)]
    deliveries = await bench.routed(*events[:2])
    await bench.store.accept([events[2]], now=T0)
    held = deliveries[0]
    await bench.settle(deliveries[1], DeliveryState.WAITING, due=T0)
    await bench.client.delete(
        bench.keys.due_events(PORTAL),
        bench.keys.due_deliveries("hours"),
        bench.keys.event_lane(events[2].lane),
        bench.keys.delivery_lane(events[1].lane, "hours"),
    )
    repaired, parked, following = await bench.store.sweep(now=T0, rank=0, grace=60, most=100)
    assert (repaired, parked, following) == (4, 0, -1)
    claim = await bench.claim()
    assert [one.id for one in claim.events] == [events[2].id]
    assert [one.id for one in claim.deliveries] == [events[1].id]
    assert await bench.settle(held)


async def test_a_sweep_of_a_sound_store_changes_nothing(bench: Bench) -> None:
    """Whatever is waiting, on the wire or in a lane in good order is left alone."""
    await bench.served("hours")
    await bench.routed(*(bench.event(str(n % 3)) for n in range(9)))
    assert await bench.store.sweep(now=T0, rank=0, grace=60, most=100) == (0, 0, -1)


async def test_deliveries_of_a_vanished_target_are_parked_after_a_grace(bench: Bench) -> None:
    """A target that left the settings is no black hole; while workers of two settings run, nothing is parked."""
    claimed = await bench.routed(bench.event())
    await bench.settle(claimed[0], DeliveryState.WAITING, due=T0)
    await bench.served("hours")
    assert (await bench.store.sweep(now=T0 + 70, rank=0, grace=60, most=100))[:2] == (0, 0)
    assert (await bench.store.sweep(now=T0 + 80, rank=0, grace=60, most=100))[:2] == (0, 1)
    delivery = await bench.reading.delivery(claimed[0].id, "hours")
    assert (delivery.state, delivery.reason) == (
        DeliveryState.PARKED,
        "target gone: no worker has hours in its settings",
    )


async def test_a_long_sweep_comes_round_to_every_event(bench: Bench) -> None:
    """A bounded sweep goes on where it stood, also through events that were accepted at one and the same time."""
    await bench.store.accept([bench.event(str(n)) for n in range(25)], now=T0)
    await bench.client.delete(bench.keys.due_events(PORTAL))
    rank, repaired = 0, 0
    while rank >= 0:
        found, _, rank = await bench.store.sweep(now=T0 + 99, rank=rank, grace=60, most=10)
        repaired += found
    assert repaired == 25


# Lists ---------------------------------------------------------------------------------------------


async def test_lists_page_through_everything_once_newest_first(bench: Bench) -> None:
    """Pages by cursor show each row once, also where many share one time."""
    for batch in range(5):
        await bench.store.accept([bench.event(str(n)) for n in range(50)], now=T0 + batch // 2)
    seen: list[str] = []
    cursor: str | None = None
    while True:
        page = await bench.reading.list_events(EventFilter(), limit=30, cursor=cursor)
        seen += [row.event.id for row in page.rows]
        cursor = page.cursor
        if cursor is None:
            break
    assert len(seen) == len(set(seen)) == 250


async def test_lists_filter_by_type_subject_state_and_time(bench: Bench) -> None:
    """Each filter narrows to what it says."""
    kinds = ["planday.shift.created", "planday.shift.updated", "planday.employee.created"]
    for number, kind in enumerate(kinds):
        await bench.store.accept([bench.event(str(number), type_=kind)], now=T0 + number)

    async def types(**wanted: object) -> list[str]:
        page = await bench.reading.list_events(EventFilter(**wanted), limit=10)  # type: ignore[arg-type]
        return [row.event.type for row in page.rows]

    assert await types(type="planday.shift.*") == kinds[1::-1]
    assert await types(portal=4100001, subject="shift/2") == [kinds[2]]
    assert await types(since=T0 + 0.5, until=T0 + 1.5) == [kinds[1]]
    assert await types(portal=1) == []


async def test_deliveries_are_listed_by_target_and_state(bench: Bench) -> None:
    """The dead letters of one target are one question."""
    claimed = await bench.routed(*(bench.event(str(n)) for n in range(4)), targets=("hours", "slack"))
    await bench.settle(claimed[0], DeliveryState.DEAD)
    await bench.settle(claimed[1])

    async def ids(**wanted: object) -> set[str]:
        page = await bench.reading.list_deliveries(DeliveryFilter(**wanted), limit=10)  # type: ignore[arg-type]
        return {f"{row.delivery.target}:{row.delivery.state}" for row in page.rows}

    assert await ids(state=DeliveryState.DEAD) == {"hours:dead"}
    assert await ids(target="hours") == {"hours:dead", "hours:delivered", "hours:sending"}
    assert await ids(target="slack") == {"slack:waiting"}


async def test_a_strange_cursor_is_refused(bench: Bench) -> None:
    """A cursor that no page gave is the asker's mistake and is told so."""
    with pytest.raises(RefusedError, match="cursor"):
        await bench.reading.list_events(EventFilter(), limit=1, cursor="x")


async def test_redis_errors_do_not_leak(bench: Bench) -> None:
    """Whatever redis-py raises becomes an error of ours."""
    await bench.client.set(bench.keys.leased_events, "not a sorted set")
    with pytest.raises(Exception) as caught:
        await bench.claim()
    assert not isinstance(caught.value, RedisError)
