"""Records go to storage and back unchanged, and identities are the same wherever they are made."""

from __future__ import annotations

import dataclasses
import json
import re
from typing import Any

import pytest
from cloudevents.core.formats.json import JSONFormat
from hypothesis import given
from hypothesis import strategies as st

from relay import events
from relay.events import (
    NO_PORTAL,
    OPPOSITES,
    Attempt,
    Delivery,
    DeliveryState,
    Event,
    Origin,
    Outcome,
    enriched_envelope,
    event_id,
    idempotency_key,
    opposites,
    rfc3339,
)

TEXT = st.text(st.characters(codec="utf-8"), max_size=40)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
TIMES = st.floats(0, 4e9)
EVENTS = st.builds(
    Event,
    id=TEXT,
    source=TEXT,
    sender_id=TEXT,
    type=TEXT,
    portal=st.integers(1, 2**53),
    entity=TEXT,
    entity_id=TEXT,
    received_at=TIMES,
    time=st.none() | TEXT,
    origin=st.sampled_from(Origin),
    received=JSON,
    extensions=st.dictionaries(TEXT, TEXT, max_size=3),
)
ATTEMPTS = st.builds(
    Attempt,
    number=st.integers(1, 100),
    started_at=st.integers(0, 4_000_000_000_000).map(lambda ms: ms / 1000),
    ended_at=st.just(0.0),
    outcome=st.sampled_from(Outcome),
    reason=TEXT,
    status=st.none() | st.integers(100, 599),
    retry_at=st.none() | TIMES,
    replay=st.none() | st.text("abc", min_size=1),
    request_headers=st.dictionaries(TEXT, TEXT, max_size=3),
    response_headers=st.dictionaries(TEXT, TEXT, max_size=3),
    excerpt=TEXT,
)


def an_event(**more: Any) -> Event:
    plain = Event(
        id=event_id("planday", "x"),
        source="planday",
        sender_id="x",
        type="planday.shift.updated",
        portal=4100001,
        entity="shift",
        entity_id="70010045",
        received_at=1793000000.5,
    )
    return dataclasses.replace(plain, **more)


@given(EVENTS)
def test_an_event_comes_back_from_storage_as_it_went(event: Event) -> None:
    """Nothing is lost or changed, whatever a sender wrote."""
    assert Event.from_json(event.to_json()) == event


@given(ATTEMPTS, st.integers(0, 120_000))
def test_an_attempt_comes_back_from_storage(attempt: Attempt, milliseconds: int) -> None:
    """All but fractions of a millisecond survives; empty parts take no room."""
    attempt = dataclasses.replace(attempt, ended_at=attempt.started_at + milliseconds / 1000)
    back = Attempt.from_json(attempt.to_json())
    assert back.ended_at == pytest.approx(attempt.ended_at, abs=0.001)
    for name in Attempt.__dataclass_fields__:
        if name != "ended_at":
            assert getattr(back, name) == getattr(attempt, name), name


def test_a_plain_attempt_is_small() -> None:
    """Every delivery keeps at least one, so empty parts are left out."""
    attempt = Attempt(number=1, started_at=1793000000.0, ended_at=1793000000.1, outcome=Outcome.DELIVERED, reason="")
    assert json.loads(attempt.to_json()) == {"n": 1, "t": 1793000000.0, "ms": 100.0, "o": "delivered"}


@given(TEXT, TEXT, TEXT, TEXT)
def test_ids_are_the_same_for_the_same_and_differ_for_others(source: str, one: str, target: str, two: str) -> None:
    """Deterministic, of a fixed shape without a dot, and no two pairs run together into one."""
    assert event_id(source, one) == event_id(source, one)
    assert re.fullmatch(r"evt_[0-9a-f]{32}", event_id(source, one))
    assert re.fullmatch(r"rly_[0-9a-f]{32}", idempotency_key(one, target))
    if one != two:
        assert event_id(source, one) != event_id(source, two)
        assert idempotency_key(one, target) != idempotency_key(two, target)


def test_ids_do_not_change_between_releases() -> None:
    """Targets recognise a repeat by these values: changing how they are made would double what is under way."""
    assert event_id("planday", "msg_1") == "evt_91da359d44e975d4e48a6d647794b106"
    assert idempotency_key("evt_1", "hours") == "rly_389bb3655e79ae3f9c3975f85246c3f1"


def test_a_boundary_between_the_parts_is_part_of_the_id() -> None:
    """("a", "bc") is not ("ab", "c")."""
    assert event_id("a", "bc") != event_id("ab", "c")
    assert idempotency_key("a", "bc") != idempotency_key("ab", "c")


def test_opposites_undo_each_other() -> None:
    """Approve, unapprove, approve are three changes: what undoes a type is undone by it, where both are events."""
    assert opposites("planday.shift.approved") == (
        "planday.shift.unapproved",
        "planday.shift.declined",
        "planday.shift.cancelled",
    )
    assert opposites("planday.shift.updated") == ()
    for verb, others in OPPOSITES.items():
        assert verb not in others
        for other in others:
            assert other in OPPOSITES, (verb, other)
    for one, other in [("approved", "unapproved"), ("assigned", "unassigned"), ("deactivated", "reactivated")]:
        assert other in OPPOSITES[one]
        assert one in OPPOSITES[other]


@pytest.mark.parametrize(
    ("at", "text"),
    [
        (0.0, "1970-01-01T00:00:00.000Z"),
        (1793000000.5, "2026-10-26T07:33:20.500Z"),
        (1793000000.9996, "2026-10-26T07:33:20.999Z"),
    ],
)
def test_instants_are_rfc_3339_in_utc(at: float, text: str) -> None:
    """Always with milliseconds and Z."""
    assert rfc3339(at) == text


def test_what_goes_out_is_a_cloudevent() -> None:
    """The cloudevents package, a judge not ours, reads the envelope; a sender's extension never hides one of ours."""
    event = an_event(extensions={"tenant": "north", "sequence": "theirs", "type": "theirs"}, time=None)
    envelope = events.enriched_envelope(
        event, sequence=42, data={"object": {"departmentId": 4101, "employeeId": 910233}}
    )
    read = JSONFormat().read(None, json.dumps(envelope).encode())
    assert read.get_id() == event.id
    assert read.get_type() == "planday.shift.updated"
    assert read.get_source() == "urn:planday:portal:4100001"
    assert read.get_subject() == "shift/70010045"
    assert (envelope["sequence"], envelope["type"], envelope["tenant"]) == ("000042", "planday.shift.updated", "north")
    assert (envelope["departmentid"], envelope["employeeid"], envelope["portalid"]) == ("4101", "910233", "4100001")
    assert envelope["time"] == "2026-10-26T07:33:20.500Z"


def test_an_employees_envelope_names_the_employee() -> None:
    """For an employee's own event the id is that of the subject, even when the record is gone."""
    event = an_event(entity="employee", entity_id="910233", type="planday.employee.deleted")
    envelope = events.enriched_envelope(event, sequence=1, data={"object": None})
    assert envelope["employeeid"] == "910233"
    assert "departmentid" not in envelope


def test_lane_subject_and_delivery_id() -> None:
    """One entity of one portal is one lane; the same id in another portal is another."""
    assert an_event().lane == "4100001:shift:70010045"
    assert an_event(portal=4100002).lane != an_event().lane
    assert an_event().subject == "shift/70010045"
    delivery = Delivery(
        event="evt_1", target="hours", state=DeliveryState.WAITING, attempts=0, sequence=1, updated_at=0.0
    )
    assert delivery.id == "evt_1:hours"


def test_an_event_of_no_portal_names_the_relay_as_its_source() -> None:
    """What the relay tells of itself concerns no portal, and says so."""
    ours = Event(
        id="evt_1",
        source="relay",
        sender_id="1",
        type="relay.target.paused",
        portal=NO_PORTAL,
        entity="target",
        entity_id="hours",
        received_at=1.0,
    )
    envelope = enriched_envelope(ours, sequence=1, data={"object": {"target": "hours"}})
    assert envelope["source"] == "urn:planday-relay"
    assert "portalid" not in envelope
    assert envelope["dataschema"] == "urn:planday-relay:schema:target:1"
