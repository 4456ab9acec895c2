"""The life of an incident, driven by hand: when it is told, when again, when it is over."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.alerts.conditions import EXHAUSTED, FAILING, Condition
from relay.alerts.incidents import PATIENCE, Incident, is_well, step
from relay.events import Event
from relay.settings import Alerts

T0 = 1_790_000_000.0
SETTINGS = Alerts()
FAULT = Condition(
    kind=FAILING,
    about="hours",
    summary="It fails.",
    over="It works.",
    since=T0,
    after=60,
    calm=300,
    facts={"target": "hours"},
)
DEAD = Condition(kind=EXHAUSTED, about="hours", summary="Dead.", over="None.", count=3, repeats=True, calm=300)


class Life:
    """One incident over time: what was told, and when."""

    def __init__(self) -> None:
        self.incident: Incident | None = None
        self.told: list[tuple[float, str]] = []
        self.events: list[Event] = []

    def at(self, seconds: float, condition: Condition | None) -> None:
        if self.incident is not None:  # as it comes back from the store
            self.incident = Incident.from_json(self.incident.to_json())
        following = step(self.incident, condition, now=T0 + seconds, settings=SETTINGS)
        self.incident = following.incident
        if following.event is not None:
            self.events.append(following.event)
            self.told.append((seconds, following.event.type.removeprefix("relay.")))


def test_a_fault_is_told_when_it_has_lasted_and_over_when_it_stays_away() -> None:
    """Once at its beginning, once at its end; both under ids of their own, in the lane of what they are about."""
    life = Life()
    for seconds in range(0, 600, 15):
        life.at(seconds, FAULT)
    for seconds in range(600, 1200, 15):
        life.at(seconds, None)
    assert life.told == [(60, "target.failing"), (900, "target.recovered")]
    began, over = life.events
    assert began.id != over.id
    assert began.lane == over.lane == "0:target:hours"
    assert began.seen is not None
    assert over.seen is not None
    assert began.seen.object == {
        "incident": "target_failing:hours",
        "summary": "It fails.",
        "since": "2026-09-21T14:13:20.000Z",
        "target": "hours",
    }
    assert over.seen.object == {
        **began.seen.object,
        "summary": "It works.",
        "until": "2026-09-21T14:23:20.000Z",
    }


def test_a_short_fault_is_not_told() -> None:
    """Neither its beginning nor its end."""
    life = Life()
    life.at(0, FAULT)
    life.at(45, FAULT)
    life.at(60, None)
    assert (life.incident, life.told) == (None, [])


def test_a_fault_that_does_not_know_its_beginning_is_remembered() -> None:
    """Its first sign counts, until it goes; what knows an earlier time is believed."""
    unknown = replace(FAULT, since=None)
    life = Life()
    life.at(0, unknown)
    life.at(45, None)
    life.at(50, unknown)
    life.at(105, unknown)
    assert life.told == []
    life.at(110, replace(FAULT, since=T0 + 100))
    assert life.told == [(110, "target.failing")]


def test_what_flaps_is_one_incident() -> None:
    """Away for less than the calm time, and back: nothing is told."""
    life = Life()
    life.at(60, FAULT)
    for seconds in range(100, 3000, 200):
        life.at(seconds, None)
        life.at(seconds + 100, replace(FAULT, since=T0 + seconds + 100))
    assert life.told == [(60, "target.failing")]


def test_more_of_the_same_is_told_again_but_not_at_once() -> None:
    """After an hour, then after two, and only where it has become more than was told."""
    life = Life()
    life.at(0, DEAD)
    life.at(15, replace(DEAD, count=5))
    life.at(3599, replace(DEAD, count=5))
    assert life.told == [(0, "delivery.exhausted")]
    life.at(3600, replace(DEAD, count=5))
    assert life.told[1:] == [(3600, "delivery.exhausted")]
    life.at(10_800, replace(DEAD, count=5))
    life.at(10_815, replace(DEAD, count=1))  # most of them were replayed
    life.at(10_830, replace(DEAD, count=2))
    assert life.told[2:] == [(10_830, "delivery.exhausted")]
    life.at(10_845, None)
    life.at(11_145, None)
    assert life.told[3:] == [(11_145, "delivery.cleared")]
    assert len({one.id for one in life.events}) == len(life.events)


def test_the_next_incident_has_events_of_its_own() -> None:
    """The same fault again, later: other ids, so that no target takes it for the one before."""
    life = Life()
    for start in (60, 5000):
        life.at(start, FAULT)
        life.at(start + 15, None)
        life.at(start + 315, None)
    assert len({one.id for one in life.events}) == 4


@given(st.lists(st.tuples(st.integers(1, 400), st.booleans()), max_size=60))
def test_beginnings_and_ends_take_turns(steps: list[tuple[int, bool]]) -> None:
    """Whatever comes and goes: an end is only told of what was told to begin, and nothing begins twice."""
    life, now = Life(), 0.0
    for wait, holds in steps:
        now += wait
        life.at(now, FAULT if holds else None)
    kinds = [kind for _, kind in life.told]
    assert kinds == ["target.failing", "target.recovered"] * (len(kinds) // 2) + ["target.failing"] * (len(kinds) % 2)
    assert (life.incident is not None and life.incident.began is not None) == bool(len(kinds) % 2)
    assert all(
        later - earlier >= SETTINGS.calm
        for (earlier, _), (later, _) in zip(life.told[::2], life.told[1::2], strict=False)
    )


@pytest.mark.parametrize(
    ("changed", "well"),
    [
        ({"taken": True}, True),
        ({"taken": True, "critical": True}, False),
        ({"told_at": T0 - PATIENCE + 1}, True),
        ({"told_at": T0 - PATIENCE - 1}, False),
        ({"began": None}, True),
    ],
)
def test_when_the_heartbeat_says_that_all_is_well(changed: dict[str, object], well: bool) -> None:
    """As long as nothing critical is open, and of everything somebody was told, or is being told just now."""
    life = Life()
    life.at(60, FAULT)
    assert life.incident is not None
    assert is_well([replace(life.incident, **changed)], now=T0) is well  # type: ignore[arg-type]
    assert is_well([], now=T0)


def test_a_record_of_a_newer_release_can_be_read() -> None:
    """What it has that we do not know is left out."""
    life = Life()
    life.at(60, FAULT)
    assert life.incident is not None
    raw = life.incident.to_json()[:-1] + b',"colour":"blue"}'
    assert Incident.from_json(raw) == life.incident
