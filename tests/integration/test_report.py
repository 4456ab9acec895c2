"""The report over a real store: numbers against a model of random histories, and lists against their numbers."""

from __future__ import annotations

import asyncio
import csv
import itertools
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
import redis.asyncio as aioredis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from relay.errors import NotFoundError, RefusedError
from relay.events import Attempt, DeliveryState, Outcome
from relay.pipeline import Outside
from relay.report import LISTS, WITHOUT, Report, ReportRequest, Reports, csv_line, row_cells
from relay.report.tally import AGAIN
from relay.settings import Settings, load_mapping
from relay.store.client import connect
from relay.store.reporting import ListedEvent, Reporting
from relay.store.work import ClaimedDelivery, Settled
from tests.integration.test_store import LEASE, T0, Bench, lane

DAY = 86400.0
# T0 is 2026-09-21 14:13:20 UTC.
FIRST, LAST = "2026-09-21", "2026-09-24"
TYPES = ("planday.shift.updated", "planday.shift.approved", "planday.absence_request.created")
CONFIG = {
    "targets": {
        "hours": {
            "type": "webhook",
            "url": "https://payroll.example/hooks",
            "signing_secret": "env:SECRET",
            "events": ["planday.shift.*"],
        }
    },
    "portals": {"bistro": {"id": 4100001, "client_id": "app", "refresh_token": "env:SECRET"}},
}

_numbers = itertools.count(1)


def loaded() -> Settings:
    secret = "whsec_" + "YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXowMTIzNDU="
    return load_mapping(CONFIG, environ={"SECRET": secret, "REDIS_URL": "redis://unused"}, role="store")


class Desk:
    """A bench with reports, and the few steps that these tests repeat."""

    def __init__(self, client: aioredis.Redis, prefix: str, *, now: float = T0 + 4 * DAY) -> None:
        self.bench = Bench(client, prefix)
        self.client = client
        self.keys = self.bench.keys
        self.reporting = Reporting(client, self.keys)
        self.reports = Reports(
            reporting=self.reporting,
            reading=self.bench.reading,
            settings=loaded(),
            outside=Outside(clock=lambda: now),
        )

    async def report(self, listed: str | None = None, **wanted: Any) -> tuple[Report, list[ListedEvent]]:
        request = {"target": "hours", "first": FIRST, "last": LAST, "zone": "UTC"} | wanted
        walk = await self.reports.begin(ReportRequest(listed=listed, **request))
        rows = [row async for some in walk.stretches() for row in some]
        return walk.report(), rows

    async def route(self, *targets: str, now: float = T0, type_: str = TYPES[0], entity: str | None = None) -> str:
        """One event, routed to these targets."""
        event = self.bench.event(entity or f"n{next(_numbers)}", type_=type_)
        await self.bench.store.accept([event], now=now)
        claim = await self.bench.claim(lane("nobody"), now=now)
        for one in claim.events:
            await self.bench.finish(one, *targets, now=now)
        return event.id

    async def attempt(self, outcome: Outcome, state: DeliveryState, *, now: float) -> None:
        """The one delivery that is due, tried once."""
        (claimed,) = (await self.bench.claim(now=now)).deliveries
        await self.settle(claimed, outcome, state, now=now)

    async def settle(self, claimed: ClaimedDelivery, outcome: Outcome, state: DeliveryState, *, now: float) -> None:
        attempt = Attempt(
            number=claimed.attempt, started_at=now, ended_at=now, outcome=outcome, reason="said", status=200
        )
        await self.bench.store.settle(
            Settled(
                id=claimed.id,
                target=claimed.target,
                token=claimed.token,
                state=state,
                reason="so it came",
                attempt=attempt,
                due_at=now if state is DeliveryState.WAITING else None,
            ),
            now=now,
        )


@pytest.fixture
def desk(redis_client: aioredis.Redis, prefix: str) -> Desk:
    return Desk(redis_client, prefix)


async def test_everything_got_there_once(desk: Desk) -> None:
    """The sentence that the clerk hopes for, and one row per day and type."""
    for number in range(4):
        await desk.route("hours", now=T0 + number % 2 * DAY)
        await desk.attempt(Outcome.DELIVERED, DeliveryState.DELIVERED, now=T0 + number % 2 * DAY)
    report, rows = await desk.report("delivered")
    assert report.complete
    assert [(tally.day.isoformat(), tally.accepted) for tally in report.tallies] == [(FIRST, 2), ("2026-09-22", 2)]
    assert len(rows) == 4
    assert [row.accepted_at for row in rows] == sorted(row.accepted_at for row in rows)


async def test_each_way_in_which_an_event_is_not_for_a_target_is_counted(desk: Desk) -> None:
    """Not routed yet, failed before, for nobody, a duplicate, for others only; a type not asked for stands apart."""
    await desk.route("other")
    await desk.route()
    event = desk.bench.event("lost")
    await desk.bench.store.accept([event], now=T0)
    (claimed,) = (await desk.bench.claim(events=1)).events
    await desk.bench.store.defer(claimed.id, claimed.token, now=T0, due_at=None, reason="a fault of ours")
    for number in range(2):
        twice = desk.bench.event("same", number=number + 100)
        await desk.bench.store.accept([twice], now=T0)
        (claimed,) = (await desk.bench.claim(lane("nobody"))).events
        await desk.bench.finish(claimed, "hours", version="v1")
    await desk.route("other", type_=TYPES[2])
    await desk.bench.store.accept([desk.bench.event("pending")], now=T0)
    report, rows = await desk.report("duplicate")
    assert {name: report.total.number(name) for name in WITHOUT} == dict.fromkeys(WITHOUT, 1)
    assert report.total.accepted == 1
    assert report.other_types == 1
    assert [row.what for row in rows] == ["duplicate"]
    assert not report.complete


async def test_a_newer_state_and_a_persons_no_are_no_failures(desk: Desk) -> None:
    """Superseded and cancelled are told, and the answer is still that everything got there."""
    old = await desk.route("hours", entity="one")
    await desk.bench.store.cancel(old, "hours", now=T0, reason="cancelled by a test")
    await desk.route("hours", entity="one")
    await desk.attempt(Outcome.DELIVERED, DeliveryState.DELIVERED, now=T0)
    await desk.bench.store.reopen(old, "hours", now=T0, states=[DeliveryState.CANCELLED])
    other = await desk.route("hours")
    await desk.bench.store.cancel(other, "hours", now=T0, reason="cancelled by a test")
    report, _ = await desk.report()
    assert report.complete
    assert report.total.counts == Counter(delivered=1, superseded=1, cancelled=1)


async def test_a_forced_new_key_is_told(desk: Desk) -> None:
    """Only a new key can make a target pay twice, so it is told whatever came of it; the list has that key."""
    event = await desk.route("hours")
    await desk.attempt(Outcome.DELIVERED, DeliveryState.DELIVERED, now=T0)
    await desk.client.hset(desk.keys.delivery(event, "hours"), "nk", "salt")  # type: ignore[misc]
    report, rows = await desk.report("repeated")
    assert report.total.again == Counter(new_key=1)
    assert rows[0].salt == "salt"


async def test_what_was_answered_without_sending_is_not_sent_twice(desk: Desk) -> None:
    """A target that is known to have it counts as delivered, and nothing went out a second time."""
    event = await desk.route("hours")
    await desk.attempt(Outcome.DELIVERED, DeliveryState.DELIVERED, now=T0)
    await desk.bench.store.reopen(event, "hours", now=T0, states=[DeliveryState.DELIVERED], force=True)
    (claimed,) = (await desk.bench.claim()).deliveries
    attempt = Attempt(number=1, started_at=T0, ended_at=T0, outcome=Outcome.DELIVERED, reason="it has this already")
    settled = Settled(
        id=event, target="hours", token=claimed.token, state=DeliveryState.DELIVERED, reason="", attempt=attempt
    )
    await desk.bench.store.settle(settled, now=T0)
    report, _ = await desk.report()
    assert report.total.repeated == 0


async def test_what_comes_in_meanwhile_is_left_out(desk: Desk) -> None:
    """A report of today ends at its beginning, however long it takes; what moves on the way is counted once."""
    for _ in range(5):
        await desk.route("hours")
    walk = await desk.reports.begin(ReportRequest(target="hours", first=FIRST, last="today", zone="UTC"))
    await desk.route("hours", now=T0 + 4 * DAY + 1)
    async for _ in walk.stretches():
        pass
    assert walk.report().total.accepted == 5


async def test_it_goes_on_when_its_place_is_removed(desk: Desk) -> None:
    """Retention may take away the very event at which a stretch ended, also among many of one instant."""
    ids = [await desk.route("hours") for _ in range(9)]
    seen: list[str] = []
    stretches = desk.reporting.stretches("hours", since=T0, until=T0 + 1, listed="accepted", at_once=2)
    async for stretch in stretches:
        seen += [row.event for row in stretch.rows]
        if stretch.rows:
            await desk.client.zrem(desk.keys.events, stretch.rows[-1].event)
    assert sorted(seen) == sorted(ids)


async def test_the_zone_is_the_portals(desk: Desk) -> None:
    """As the feed last saw it, else as the newest events tell it, else UTC, and the report says so."""
    report, _ = await desk.report(zone=None)
    assert (report.period.zone, bool(report.zone_from)) == ("UTC", True)
    event = await desk.route("hours")
    body = b'{}\n{"portalid":"4100001","data":{"object":{"start":{"zone":"Europe/Oslo"}}}}\n{}'
    await desk.client.set(desk.keys.body(event), body)
    report, _ = await desk.report(zone=None)
    assert (report.period.zone, report.zone_from) == ("Europe/Oslo", "portal bistro")
    snapshot = b'v\n1\n{"f":{"timeZone":"Europe/Copenhagen"}}'
    await desk.client.hset(desk.keys.snapshots(4100001, "portal"), "4100001", snapshot)  # type: ignore[arg-type,misc]
    report, _ = await desk.report(zone=None)
    assert report.period.zone == "Europe/Copenhagen"


async def test_what_makes_no_sense_is_refused(desk: Desk) -> None:
    """A target that nobody ever had, a list that there is not; each with what there is."""
    with pytest.raises(NotFoundError, match="there are hours"):
        await desk.reports.begin(ReportRequest(target="huors"))
    with pytest.raises(RefusedError, match="there are accepted, delivered"):
        await desk.reports.begin(ReportRequest(target="hours", listed="lost"))


async def test_it_says_what_retention_took(desk: Desk) -> None:
    """A period that begins before what is kept is told as such; one that does not, is not."""
    report, _ = await desk.report(first="2026-01-01", last="2026-09-24")
    assert set(report.kept_from) == {"delivered", "failed", "attempts"}
    report, _ = await desk.report()
    assert report.kept_from == {}


# A model ---------------------------------------------------------------------------------------------

STEPS = ("retry", "unknown", "delivered", "dead", "parked", "lost", "reopen", "cancel")
histories = st.lists(
    st.tuples(
        st.integers(0, 80),  # hours after T0, up to the end of LAST
        st.sampled_from(TYPES),
        st.one_of(
            st.sampled_from(["pending", "failed", "unrouted", "filtered"]),
            st.lists(st.sampled_from(STEPS), max_size=9),
        ),
    ),
    max_size=7,
)


@dataclass
class Model:
    """One delivery as a clerk would keep it in a notebook."""

    state: str = "waiting"
    tried: list[tuple[int, str]] = field(default_factory=list)
    in_round: int = 0
    lost: int = 0

    @property
    def again(self) -> str:
        outcomes = [outcome for _, outcome in self.tried]
        if outcomes.count("delivered") > 1:
            return "taken_twice"
        if "unknown" in outcomes[:-1]:
            return "unknown_retried"
        before, gaps = 0, 0
        for number, _ in self.tried:
            before = 0 if number <= before else before
            gaps += number > before + 1
            before = number
        return "worker_lost" if self.lost or gaps else ""


async def live(desk: Desk, model: Model, event: str, step: str, now: float) -> None:
    """One step of a delivery, in the store and in the notebook, where its state allows it."""
    store = desk.bench.store
    if step == "reopen" and model.state in ("dead", "delivered", "cancelled", "parked"):
        await store.reopen(event, "hours", now=now, states=[DeliveryState(model.state)], force=True)
        model.state, model.in_round, model.lost = "waiting", 0, 0
    elif step == "cancel" and model.state in ("waiting", "dead", "parked"):
        await store.cancel(event, "hours", now=now, reason="no")
        model.state = "cancelled"
    elif step == "lost" and model.state == "waiting" and not model.in_round:
        # Before any attempt of the round, so that the round itself knows of it to its end.
        await desk.bench.claim(now=now)
        await desk.bench.claim(lane("hours", concurrency=1), now=now + LEASE + 1, deliveries=0)
        model.lost += 1
    elif step in ("retry", "unknown", "delivered", "dead", "parked") and model.state == "waiting":
        outcome = Outcome(step) if step in ("unknown", "delivered") else Outcome.RETRY
        state = DeliveryState.WAITING if step in ("retry", "unknown") else DeliveryState(step)
        await desk.attempt(outcome, state, now=now + LEASE + 1)
        model.in_round += 1
        model.tried.append((model.in_round + model.lost, outcome.value))
        model.state = state.value


async def compare(desk: Desk, histories_: list[tuple[int, str, Any]]) -> None:
    expected: Counter[tuple[str, str, str]] = Counter()
    again: Counter[str] = Counter()
    other = 0
    for hours, type_, fate in sorted(histories_, key=lambda one: one[0]):
        now = T0 + hours * 3600
        day = datetime.fromtimestamp(now, UTC).date().isoformat()
        if isinstance(fate, list):
            event, model = await desk.route("hours", now=now, type_=type_), Model()
            for step in fate:
                await live(desk, model, event, step, now)
            if model.state == "waiting":
                # So that it is not taken for the next one's.
                await desk.client.zrem(desk.keys.due_deliveries("hours"), event)
            what = model.state
            again.update([model.again] if model.again else [])
        else:
            what = fate
            if fate in ("pending", "failed"):
                early = desk.bench.event(f"n{next(_numbers)}", type_=type_)
                await desk.bench.store.accept([early], now=now)
                (claimed,) = (await desk.bench.claim(lane("nobody"), now=now)).events
                due = now + 9 * DAY if fate == "pending" else None
                await desk.bench.store.defer(claimed.id, claimed.token, now=now, due_at=due, reason="so it came")
            else:
                await desk.route(*(["other"] if fate == "filtered" else []), now=now, type_=type_)
            if not type_.startswith("planday.shift."):
                other += 1
                continue
        expected[day, type_, what] += 1

    report, _ = await desk.report()
    found = Counter(
        {
            (tally.day.isoformat(), tally.type, what): count
            for tally in report.tallies
            for what, count in tally.counts.items()
        }
    )
    assert found == expected
    assert report.total.again == again
    assert report.other_types == other
    for name in LISTS:
        numbers, rows = await desk.report(name)
        assert len(rows) == numbers.total.number(name), name
        parsed = list(csv.reader(csv_line(row_cells(row, has_delivery=row.what not in WITHOUT)) for row in rows))
        assert [one[0] for one in parsed] == [row.event for row in rows]
    assert set(again) <= set(AGAIN)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_any_history_is_counted_as_the_model_has_it(redis_server: str) -> None:
    """Days, types, states, repeats and each list, after random histories through the store's own verbs."""

    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(histories)
    def run(histories_: list[tuple[int, str, Any]]) -> None:
        async def one() -> None:
            client = connect(redis_server)
            prefix = f"report{next(_numbers)}:"
            try:
                await compare(Desk(client, prefix), histories_)
            finally:
                left = [key async for key in client.scan_iter(match=f"{prefix}*", count=1000)]
                if left:
                    await client.unlink(*left)
                await client.aclose()

        asyncio.run(one())

    run()
