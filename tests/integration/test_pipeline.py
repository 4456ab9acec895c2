"""An event's life over a real store, with Planday and the targets played by hand and the clock stepped."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pydantic_core
import pytest
import redis.asyncio as aioredis

from relay import telemetry
from relay.errors import AuthorizationLost, BudgetSpent, PlandayUnavailable
from relay.events import DeliveryState, Event, EventState, Outcome, event_id
from relay.jobs import Jobs
from relay.pipeline import Intake
from relay.planday.enrich import Enrichment
from relay.store.client import command
from relay.store.keys import Keys
from relay.store.reading import EventFilter, Reading
from relay.store.store import Store
from relay.store.work import Body
from relay.targets import Result
from tests.fakes import FakeClock, Relay

_numbers = itertools.count(1)


def event(
    entity_id: str = "1", *, type_: str = "planday.shift.updated", at: float = 1_790_000_000.0, received: object = None
) -> Event:
    number = f"n{next(_numbers)}"
    return Event(
        id=event_id("test", number),
        source="test",
        sender_id=number,
        type=type_,
        portal=4100001,
        entity="shift",
        entity_id=entity_id,
        received_at=at,
        received=received,
    )


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def store(redis_client: aioredis.Redis, prefix: str) -> Store:
    keys = Keys(prefix)
    return Store(redis_client, keys, backlog_limit=10_000, bell=Jobs(prefix, keys.queue).bell)


@pytest.fixture
def reading(store: Store) -> Reading:
    return Reading(store.client, store.keys)


async def test_an_event_is_enriched_routed_and_delivered(store: Store, reading: Reading, clock: FakeClock) -> None:
    """The straight way: what Planday says stands in the envelope that the target gets, beside the sender's id."""
    relay = Relay(store, clock, hours={})
    one = event()
    relay.planday.records["shift/1"] = {"id": 1, "departmentId": 4101, "employeeId": 910233, "status": "Approved"}
    await store.accept([one], now=clock())
    await relay.work()
    (sent,) = relay.targets["hours"].sent
    assert sent.envelope["data"]["object"]["status"] == "Approved"
    assert sent.envelope["departmentid"] == "4101"
    assert sent.envelope["employeeid"] == "910233"
    assert sent.envelope["senderid"] == one.sender_id
    record = await reading.event(one.id)
    assert record.state is EventState.ROUTED
    assert [row.state for row in await reading.deliveries_of(record)] == [DeliveryState.DELIVERED]
    assert (await reading.stats(["hours"], now=clock()))["open"] == 0


async def test_a_failing_target_gets_its_schedule_and_then_the_delivery_is_dead(
    store: Store, reading: Reading, clock: FakeClock
) -> None:
    """One attempt and one per wait, at the times of the schedule, each on record."""
    relay = Relay(store, clock, hours={"retry": {"schedule": ["5s", "30s", "2m"]}})
    relay.targets["hours"].answer = lambda _: Result(outcome=Outcome.RETRY, reason="503", status=503)
    one = event()
    began = clock()
    await store.accept([one], now=began)
    await relay.work_until_done()
    assert [sent.now - began for sent in relay.targets["hours"].sent] == pytest.approx([0, 5, 35, 155], abs=0.1)
    delivery = await reading.delivery(one.id, "hours")
    assert (delivery.state, delivery.attempts) == (DeliveryState.DEAD, 4)
    attempts = await reading.attempts(one.id, "hours")
    assert [attempt.number for attempt in attempts] == [1, 2, 3, 4]
    assert [attempt.outcome for attempt in attempts] == [Outcome.RETRY] * 4


async def test_an_unknown_outcome_is_sent_again_only_where_the_target_dedupes(
    store: Store, reading: Reading, clock: FakeClock
) -> None:
    """A target that recognises the key gets it again; one that does not is parked for a person."""
    relay = Relay(store, clock, known={}, wages={"dedupes": False})
    for target in relay.targets.values():
        target.answer = lambda sending: Result(
            outcome=Outcome.UNKNOWN if sending.attempt == 1 else Outcome.DELIVERED, reason="no answer"
        )
    one = event()
    await store.accept([one], now=clock())
    await relay.work_until_done()
    assert (await reading.delivery(one.id, "known")).state is DeliveryState.DELIVERED
    assert (await reading.delivery(one.id, "wages")).state is DeliveryState.PARKED
    assert len(relay.targets["wages"].sent) == 1


async def test_a_broken_target_is_paused_and_nothing_more_is_burnt(
    store: Store, reading: Reading, clock: FakeClock
) -> None:
    """A refused credential kills one delivery, pauses the target, tells it once; the rest waits."""
    relay = Relay(store, clock, hours={"rate": {"concurrency": 1}})
    relay.targets["hours"].answer = lambda _: Result(outcome=Outcome.TARGET_BROKEN, reason="401", status=401)
    await store.accept([event(str(n)) for n in range(5)], now=clock())
    await relay.work()
    assert len(relay.targets["hours"].sent) == 1
    stats = (await reading.stats(["hours"], now=clock()))["targets"]["hours"]
    assert (stats["dead"], stats["waiting"], stats["paused"]) == (1, 4, "401")
    assert len([one for one in relay.heard if isinstance(one, telemetry.TargetPaused)]) == 1


async def test_planday_away_makes_events_wait_and_then_go_partial(
    store: Store, reading: Reading, clock: FakeClock
) -> None:
    """5xx and 429 wait, fifteen minutes at most; then the event goes on with what is known, and says so."""
    relay = Relay(store, clock, hours={})
    relay.planday.records["shift/1"] = PlandayUnavailable("Planday answers 503")
    one = event()
    began = clock()
    await store.accept([one], now=began)
    await relay.work()
    assert (await reading.event(one.id)).state is EventState.ACCEPTED
    await relay.work_until_done()
    assert 900 <= clock() - began <= 1000
    (sent,) = relay.targets["hours"].sent
    assert sent.envelope["data"]["enrichment"]["state"] == "none"
    assert "503" in sent.envelope["data"]["enrichment"]["missing"][0]


async def test_a_target_that_takes_whole_events_only_waits_for_planday(
    store: Store, reading: Reading, clock: FakeClock
) -> None:
    """Where a target must have the record, the event waits past the quarter of an hour, and is then whole."""
    relay = Relay(store, clock, wages={"require_complete": True})
    relay.planday.records["shift/1"] = PlandayUnavailable("away")
    one = event()
    await store.accept([one], now=clock())
    for _ in range(60):
        due = await relay.work()
        assert due is not None
        clock.now = max(clock.now, due)
    assert clock() - 1_790_000_000.0 > 1200
    assert relay.targets["wages"].sent == []
    del relay.planday.records["shift/1"]
    await relay.work_until_done()
    assert relay.targets["wages"].sent[0].envelope["data"]["enrichment"]["state"] == "complete"


@pytest.mark.parametrize("condition", [{"departments": [4101]}, {"when": "data.object.id"}, {"employee_groups": [1]}])
async def test_a_target_that_chooses_by_the_record_never_loses_an_event_to_an_outage(
    store: Store, reading: Reading, clock: FakeClock, condition: dict[str, object]
) -> None:
    """Without the record nobody can say whether such a target wants the event: it waits, it does not end unrouted."""
    relay = Relay(store, clock, wages=condition)
    relay.planday.records["shift/1"] = PlandayUnavailable("away")
    one = event()
    await store.accept([one], now=clock())
    for _ in range(60):
        due = await relay.work()
        assert due is not None
        clock.now = max(clock.now, due)
    assert (await reading.event(one.id)).state is EventState.ACCEPTED
    relay.planday.records["shift/1"] = {"id": 1, "departmentId": 4101, "employeeGroupId": 1}
    await relay.work_until_done()
    assert [sent.event_id for sent in relay.targets["wages"].sent] == [one.id]


async def test_a_dead_authorisation_makes_events_wait_for_a_person(
    store: Store, reading: Reading, clock: FakeClock
) -> None:
    """No event of a portal without authorisation is spent: all wait, for days if need be, and then go whole."""
    relay = Relay(store, clock, hours={})
    relay.planday.records["shift/1"] = AuthorizationLost("portal bistro: its token no longer works")
    one = event()
    await store.accept([one], now=clock())
    for _ in range(3):
        clock.now += 86400
        await relay.work()
    record = await reading.event(one.id)
    assert (record.state, record.reason) == (EventState.ACCEPTED, "portal bistro: its token no longer works")
    del relay.planday.records["shift/1"]
    clock.now += 100
    await relay.work()
    assert len(relay.targets["hours"].sent) == 1


async def test_a_fault_of_ours_is_retried_and_then_dead_and_others_go_on(
    store: Store, reading: Reading, clock: FakeClock
) -> None:
    """An event over which our code fails is tried again, ends dead and visible, and hurts no other."""
    relay = Relay(store, clock, hours={})
    relay.planday.records["shift/1"] = ZeroDivisionError("boom")
    bad, good = event("1"), event("2")
    await store.accept([bad, good], now=clock())
    await relay.work_until_done()
    record = await reading.event(bad.id)
    assert record.state is EventState.DEAD
    assert "ZeroDivisionError" in record.reason
    assert [sent.event_id for sent in relay.targets["hours"].sent] == [good.id]
    assert any(isinstance(one, telemetry.OwnFault) for one in relay.heard)


async def test_the_same_change_under_two_ids_is_delivered_once(
    store: Store, reading: Reading, clock: FakeClock
) -> None:
    """Two events of one type that show the same record, modified at the same time, are one change."""
    relay = Relay(store, clock, hours={})
    relay.planday.records["shift/1"] = {"id": 1, "dateTimeModified": "2026-10-21T07:45:12Z"}
    first, second = event(), event()
    await store.accept([first, second], now=clock())
    await relay.work_until_done()
    assert [sent.event_id for sent in relay.targets["hours"].sent] == [first.id]
    record = await reading.event(second.id)
    assert (record.state, record.duplicate_of) == (EventState.DUPLICATE, first.id)


async def test_what_a_sender_pushed_is_kept_only_where_someone_may_have_it(
    store: Store, redis_client: aioredis.Redis, clock: FakeClock
) -> None:
    """`data.received` is untrusted free text: with no target that may have it, it is gone once the event is routed."""
    relay = Relay(store, clock, hours={})
    one = event(received={"note": "MARKER-H-received"})
    await store.accept([one], now=clock())
    await relay.work()
    assert b"MARKER" not in await command(redis_client, "GET", store.keys.body(one.id))

    relay = Relay(store, clock, hours={"fields": ["data.object", "data.received"]})
    two = event("2", received={"note": "MARKER-H-received", "ssn": "0101011234"})
    await store.accept([two], now=clock())
    await relay.work()
    sent = relay.targets["hours"].fields.apply(relay.targets["hours"].sent[0].envelope)
    assert sent["data"]["received"] == {"note": "MARKER-H-received"}


async def test_what_no_target_of_an_event_may_have_is_not_kept(
    store: Store, redis_client: aioredis.Redis, clock: FakeClock
) -> None:
    """Names are read since Slack may have them; an event that goes to payroll alone keeps none in the store."""
    relay = Relay(store, clock, slack={"events": ["planday.employee.*"], "fields": ["data.object.lastName"]}, hours={})
    relay.planday.records["shift/1"] = Enrichment(
        object={"id": 1},
        related={"employee": {"id": 7, "lastName": "MARKER-C-name"}},
        fetched_at=clock(),
    )
    one = event()
    await store.accept([one], now=clock())
    await relay.work()
    assert b"MARKER" not in await command(redis_client, "GET", store.keys.body(one.id))
    assert relay.targets["hours"].sent[0].envelope["data"]["related"]["employee"] == {"id": 7}


async def test_an_event_for_nobody_ends_unrouted_with_the_reasons(
    store: Store, reading: Reading, clock: FakeClock
) -> None:
    """Nothing is silent: each target's reason is kept with the event."""
    relay = Relay(store, clock, hours={"events": ["planday.employee.*"]}, other={"departments": [9]})
    one = event()
    await store.accept([one], now=clock())
    await relay.work()
    record = await reading.event(one.id)
    assert record.state is EventState.UNROUTED
    assert set(record.routing) == {"hours", "other"}
    page = await reading.list_events(EventFilter(state=EventState.UNROUTED), limit=10)
    assert [row.event.id for row in page.rows] == [one.id]


async def test_whole_events_only_means_no_partial_one_is_ever_sent(
    store: Store, reading: Reading, clock: FakeClock
) -> None:
    """A record that is gone for good cannot become whole: the delivery is a dead letter that says why."""
    relay = Relay(store, clock, wages={"require_complete": True})
    one = event()
    await store.accept([one], now=clock())
    gone = Enrichment(state="partial", missing=("object: gone",), fetched_at=clock())
    relay.planday.records["shift/1"] = gone
    await relay.work()
    delivery = await reading.delivery(one.id, "wages")
    assert delivery.state is DeliveryState.DEAD
    assert "object: gone" in delivery.reason
    assert relay.targets["wages"].sent == []


async def test_waits_for_a_person_or_for_our_own_budget_use_up_no_patience(
    store: Store, reading: Reading, clock: FakeClock
) -> None:
    """After an hour without authorisation and a long queue before Planday, an event still goes out whole."""
    relay = Relay(store, clock, hours={})
    one = event()
    await store.accept([one], now=clock())
    for trouble in (AuthorizationLost("dead"), BudgetSpent("full", retry_after=5), PlandayUnavailable("503")):
        relay.planday.records["shift/1"] = trouble
        for _ in range(70 if not isinstance(trouble, PlandayUnavailable) or isinstance(trouble, BudgetSpent) else 3):
            due = await relay.work()
            assert due is not None
            clock.now = max(clock.now, due)
    assert relay.targets["hours"].sent == []
    del relay.planday.records["shift/1"]
    await relay.work_until_done()
    assert relay.targets["hours"].sent[0].envelope["data"]["enrichment"]["state"] == "complete"


async def test_a_stalled_worker_sends_nothing_past_its_lease(store: Store, clock: FakeClock) -> None:
    """Between claim and send it slept: somebody else may have sent this and what follows it."""
    relay = Relay(store, clock, hours={})
    await store.accept([event()], now=clock())
    claim = await store.claim(relay.pipeline.lanes, now=clock(), lease=10, most_events=10, most_deliveries=10)
    await relay.pipeline.process(claim.events[0])
    claim = await store.claim(relay.pipeline.lanes, now=clock(), lease=10, most_events=10, most_deliveries=10)
    clock.now += 11
    await relay.pipeline.deliver(claim.deliveries[0])
    assert relay.targets["hours"].sent == []


async def test_class_f_and_foreign_words_do_not_stay(
    store: Store, redis_client: aioredis.Redis, clock: FakeClock
) -> None:
    """A number of a person's in a sender's data is never stored; of a duplicate nothing of the sender's stays."""
    relay = Relay(store, clock, hours={"fields": ["data.object", "data.received"]})
    relay.planday.records["shift/1"] = {"id": 1, "dateTimeModified": "2026-10-21T07:45:12Z"}
    intake = Intake(store, relay.outside)
    first = event(received={"ssn": "MARKER-F-ssn", "note": "MARKER-H-note"})
    second = event(received={"note": "MARKER-H-note"})
    await intake.accept([first, second])
    assert b"MARKER-F" not in await command(redis_client, "GET", store.keys.body(first.id))
    await relay.work_until_done()
    assert b"MARKER-H" in await command(redis_client, "GET", store.keys.body(first.id))
    assert b"MARKER-H" not in await command(redis_client, "GET", store.keys.body(second.id))


async def test_a_senders_own_attributes_stay_only_where_someone_may_have_them(
    store: Store, redis_client: aioredis.Redis, clock: FakeClock
) -> None:
    """Extension attributes are free words like `data`: neither envelope nor record keeps them for nobody."""
    relay = Relay(store, clock, hours={})
    one = replace(event(), extensions={"comment": "MARKER-H-comment"})
    await store.accept([one], now=clock())
    await relay.work()
    assert b"MARKER" not in await command(redis_client, "GET", store.keys.body(one.id))

    relay = Relay(store, clock, hours={"fields": ["*"]})
    two = replace(event("2"), extensions={"comment": "MARKER-H-comment"})
    await store.accept([two], now=clock())
    await relay.work()
    assert b"MARKER" in await command(redis_client, "GET", store.keys.body(two.id))


async def test_a_dead_authorisation_is_told_once_per_portal(store: Store, clock: FakeClock) -> None:
    """An operator hears of it, and is not told again with every event that waits."""
    relay = Relay(store, clock, hours={})
    for number in range(5):
        relay.planday.records[f"shift/{number}"] = AuthorizationLost("portal bistro: its token no longer works")
    await store.accept([event(str(number)) for number in range(5)], now=clock())
    await relay.work()
    assert len([one for one in relay.heard if isinstance(one, telemetry.AuthorizationLost)]) == 1


async def test_the_outgoing_envelope_is_json_that_keeps_its_order(store: Store, clock: FakeClock) -> None:
    """The stored envelope is what is sent: bytes that read back to the same object."""
    relay = Relay(store, clock, hours={})
    one = event()
    await store.accept([one], now=clock())
    await relay.work()
    body = Body.read(await command(store.client, "GET", store.keys.body(one.id)))
    assert pydantic_core.from_json(body.envelope or b"") == relay.targets["hours"].sent[0].envelope
