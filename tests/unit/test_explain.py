"""Every state of an event and of a delivery has its sentence; what stops it and what to do is in it."""

from __future__ import annotations

import textwrap
from dataclasses import replace
from typing import Any

import pytest

from relay.events import Attempt, Delivery, DeliveryState, Event, EventRecord, EventState, Outcome
from relay.explain import Ahead, Around, explain

NOW = 1_790_000_000.0
EVENT = Event(
    id="evt_1",
    source="planday",
    sender_id="s1",
    type="planday.shift.updated",
    portal=4100001,
    entity="shift",
    entity_id="7",
    received_at=NOW - 180,
)
RECORD = EventRecord(event=EVENT, state=EventState.ACCEPTED, sequence=1)
ROUTED = replace(RECORD, state=EventState.ROUTED, targets=("hours",))
AROUND = Around(now=NOW, workers=1, targets=frozenset({"hours"}))


def delivery(state: DeliveryState, **changes: Any) -> Delivery:
    base = Delivery(
        event="evt_1", target="hours", state=state, attempts=2, sequence=1, updated_at=NOW - 60, reason="no"
    )
    return replace(base, **changes)


def said(record: EventRecord = RECORD, around: Around = AROUND, *deliveries: Delivery, tried: int = 0) -> str:
    attempt = Attempt(number=1, started_at=NOW, ended_at=NOW, outcome=Outcome.RETRY, reason="HTTP 503.")
    return " ".join(explain(record, deliveries, {"hours": [attempt] * tried}, around))


def test_what_the_relay_tells_of_itself_is_of_no_portal() -> None:
    """There is no portal 0."""
    ours = replace(EVENT, source="relay", type="relay.target.paused", portal=0, entity="target", entity_id="hours")
    sentence = explain(replace(RECORD, event=ours), (), {}, AROUND)[0]
    assert sentence.startswith("Event relay.target.paused of target/hours came from relay and was accepted at ")


@pytest.mark.parametrize("state", EventState)
def test_every_state_of_an_event_has_a_sentence(state: EventState) -> None:
    """It begins with what the event is and when it came, and goes on with where it stands."""
    sentences = explain(replace(RECORD, state=state, reason="why", duplicate_of="evt_0"), (), {}, AROUND)
    assert sentences[0] == (
        "Event planday.shift.updated of shift/7 in portal 4100001 came from planday "
        "and was accepted at 2026-09-21 14:10:20 UTC (3 min ago)."
    )
    assert len(sentences) == (1 if state is EventState.ROUTED else 2)


@pytest.mark.parametrize("state", DeliveryState)
def test_every_state_of_a_delivery_has_a_sentence(state: DeliveryState) -> None:
    """It begins with the target, and no sentence is empty."""
    sentences = explain(ROUTED, [delivery(state)], {}, AROUND)
    assert sentences[-1].startswith("hours: ")
    assert len(sentences[-1]) > len("hours: ")
    assert sentences[-1].endswith(".")


@pytest.mark.parametrize(
    ("changes", "around", "expected"),
    [
        ({}, {}, "It is due and waits for a worker"),
        ({}, {"workers": 0}, "No worker is running: start one with `relay worker`."),
        ({}, {"in_work": True, "workers": 0}, "A worker has it now"),
        ({}, {"ahead": {"": Ahead(event="evt_0")}}, "waits behind evt_0: events of shift/7 are taken one at a time"),
        ({"due_at": NOW + 40, "attempts": 3, "reason": "429."}, {}, "(in 40 s), after 3 attempts: 429."),
        ({"state": EventState.DEAD, "reason": "no record"}, {}, "no target has it: no record."),
        ({"state": EventState.DUPLICATE, "duplicate_of": "evt_0"}, {}, "had come in before as evt_0"),
        ({"state": EventState.UNROUTED, "routing": {"hours": "type x"}}, {}, "hours: not sent, because type x."),
    ],
)
def test_an_event_says_what_it_waits_for(changes: dict[str, Any], around: dict[str, Any], expected: str) -> None:
    """And what became of it."""
    assert expected in said(replace(RECORD, **changes), replace(AROUND, **around))


@pytest.mark.parametrize(
    ("changes", "around", "expected"),
    [
        ({}, {}, "hours: 2 attempts failed, the last with: HTTP 503. Due now; it"),
        ({"due_at": NOW + 300}, {}, "Attempt 3 is due at 2026-09-21 14:18:20 UTC (in 5 min)"),
        ({}, {"paused": {"hours": "401"}}, "the target is paused (401); resume it"),
        ({}, {"held": {"hours": NOW + 7200}}, "asked to be left alone; tried again at"),
        ({}, {"ahead": {"hours": Ahead(event="evt_0", state="parked")}}, "evt_0 (parked: a person has to decide"),
        ({}, {"ahead": {"hours": Ahead(event="evt_0", state="waiting")}}, "Waits behind evt_0: changes"),
        ({}, {"targets": frozenset()}, "not in the configuration any more"),
        ({}, {"workers": 0}, "No worker is running"),
        ({"round": 2, "replay": "plan_1"}, {}, "hours: opened again by plan_1, this is round 2. 2 attempts failed"),
    ],
)
def test_a_waiting_delivery_says_what_it_waits_for(
    changes: dict[str, Any], around: dict[str, Any], expected: str
) -> None:
    """The nearest reason, and the next time where there is one."""
    found = said(ROUTED, replace(AROUND, **around), delivery(DeliveryState.WAITING, **changes), tried=2)
    assert expected in found


@pytest.mark.parametrize(
    ("enrichment", "expected"),
    [
        ({"state": "complete"}, "Everything that Planday has on it was read."),
        ({"state": "partial", "missing": ["employee: gone"]}, "incomplete: employee: gone."),
        ({"state": "none", "missing": []}, "It carries nothing from Planday."),
        ({}, "It carries nothing from Planday."),
    ],
)
def test_it_says_how_much_planday_told(enrichment: dict[str, Any], expected: str) -> None:
    """In the words of the envelope."""
    assert expected in said(replace(ROUTED, envelope={"data": {"enrichment": enrichment}}))


def test_what_was_not_sent_says_itself_what_to_decide() -> None:
    """Payroll holds a line, or has it already: nobody is told to look for what was never sent."""
    held = "nothing was sent: release sends it, cancel drops it; a person must decide"
    text = said(ROUTED, AROUND, delivery(DeliveryState.PARKED, reason=held))
    assert held in text
    assert "Look whether the target has it" not in text
    assert "Look whether the target has it" in said(ROUTED, AROUND, delivery(DeliveryState.PARKED))
    there = "nothing was sent: the target has this line with this content already, by evt_0"
    assert there in said(ROUTED, AROUND, delivery(DeliveryState.DELIVERED, reason=there))


def test_what_refuses_for_one_reason_is_one_sentence() -> None:
    """Fifty targets of which none wants it are not fifty lines; each reason has its own."""
    refusals = {"a": "it wants other types", "b": "its `when` is not true", "c": "it wants other types"}
    sentences = explain(replace(RECORD, state=EventState.UNROUTED, routing=refusals), (), {}, AROUND)
    assert sentences[-2:] == [
        "a, c: not sent, because it wants other types.",
        "b: not sent, because its `when` is not true.",
    ]


def test_an_event_with_a_target_in_every_state_fits_one_screen() -> None:
    """80 columns and 24 lines, the line of the shell included."""
    deliveries = [delivery(state, target=f"target-{number}") for number, state in enumerate(DeliveryState)]
    names = frozenset(one.target for one in deliveries)
    record = replace(ROUTED, targets=tuple(names), routing={f"other-{n}": "it wants other types" for n in range(8)})
    sentences = explain(record, deliveries, {}, replace(AROUND, targets=names))
    lines = [line for one in sentences for line in textwrap.wrap(one, 80, subsequent_indent="  ")]
    assert len(lines) < 24, lines
