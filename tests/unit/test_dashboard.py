"""The dashboard's pure parts: the sentence on top, the timeline, and how values are written."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.alerts.incidents import Incident
from relay.cli.tokens import Role
from relay.events import Delivery, DeliveryState, Event, EventRecord, EventState
from relay.settings import UserRole
from relay.web import csrf
from relay.web.dashboard import rendering
from relay.web.dashboard.door import own_path
from relay.web.dashboard.headline import headline
from relay.web.dashboard.timeline import timeline

ROW = {
    **{"waiting": 0, "sending": 0, "dead": 0, "parked": 0, "delivered": 5, "oldest_waiting_seconds": None},
    **{"paused": None, "paused_since": None, "breaker": None},
}


def stats(*, workers: int = 1, accepted: int = 5, waiting: int = 0, **row: Any) -> dict[str, Any]:
    return {
        "workers": workers,
        "events_waiting": waiting,
        "totals": {"accepted": accepted},
        "targets": {"hours": {**ROW, **row}},
    }


def incident(**changes: Any) -> Incident:
    usual = {"kind": "target_failing", "about": "hours", "portal": 0, "since": 10.0, "began": 70.0, "calm": 300.0}
    return Incident(**{**usual, "summary": "hours fails since 03:12: 401", "over": "it is over", **changes})


@pytest.mark.parametrize(
    ("found", "level", "says"),
    [
        (stats(), "good", "Everything delivered"),
        (stats(waiting=3), "good", "Everything is on its way"),
        (stats(accepted=0), "calm", "Nothing has come in yet"),
        (stats(waiting=1, oldest_waiting_seconds=400.0), "calm", "Some deliveries wait longer than usual"),
        (stats(dead=1), "warn", "1 delivery to hours given up"),
        (stats(parked=2), "warn", "2 deliveries to hours parked"),
        (stats(paused="month end", paused_since=5.0), "warn", "hours is paused: month end"),
        (stats(breaker={"since": 5.0, "until": 9.0, "state": "open"}), "warn", "hours keeps failing"),
        (stats(workers=0), "bad", "No worker is running"),
    ],
)
def test_the_headline_says_what_matters_first(found: dict[str, Any], level: str, says: str) -> None:
    """Each state of the relay has its sentence."""
    top = headline(found, [], {"bistro": "ok"}, sources=1)
    assert top.level == level
    assert says in top.text


def test_an_incident_speaks_for_itself_and_nothing_is_said_twice() -> None:
    """What an incident says of a target is not said again; one that is over or not told yet is left out."""
    found = stats(breaker={"since": 5.0, "until": 9.0, "state": "open"}, dead=2)
    top = headline(found, [incident()], {}, sources=1)
    assert [point.text for point in top.points] == ["hours fails since 03:12: 401", "2 deliveries to hours given up"]
    assert headline(stats(), [incident(quiet=90.0)], {}, sources=1).level == "good"
    assert headline(stats(), [incident(began=None)], {}, sources=1).level == "good"
    assert headline(stats(), [incident(critical=True)], {}, sources=1).level == "bad"


@pytest.mark.parametrize(
    ("kind", "href"),
    [
        ("delivery_exhausted", "/deliveries?state=dead&target=hours"),
        ("delivery_parked", "/deliveries?state=parked&target=hours"),
        ("target_failing", "/targets/hours"),
        ("target_paused", "/targets/hours"),
    ],
)
def test_an_incident_of_a_target_leads_to_the_page_that_mends_it(kind: str, href: str) -> None:
    """Its first sentence and that page; its remedy for the terminal is left out."""
    told = incident(kind=kind, summary="It is so. Mend it: `relay targets list`.")
    point = headline(stats(), [told], {}, sources=1).points[0]
    assert (point.text, point.href) == ("It is so", href)
    assert "`" not in point.help


def test_a_lost_authorisation_leads_to_where_a_token_is_entered() -> None:
    """By name, with the page."""
    top = headline(stats(), [], {"bistro": "lost"}, sources=1)
    assert (top.level, top.points[0].href) == ("bad", "/portals/bistro")


@given(st.text())
def test_nobody_is_led_off_this_host(text: str) -> None:
    """Whatever an address says, what comes out is a path of ours, on one line."""
    found = own_path(text)
    assert found.startswith("/")
    assert not found.startswith(("//", "/\\"))
    assert found.isprintable()


@given(st.text())
def test_what_stands_between_backticks_is_text_all_the_same(text: str) -> None:
    """No markup of a stranger comes through, ticks or not."""
    made = str(rendering.ticks(text))
    assert made.count("<") == 2 * (text.count("`") // 2 if text.count("`") % 2 == 0 else 0)
    assert made.replace("<code>", "").replace("</code>", "").count("<") == 0


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0 s"),
        (59.9, "59 s"),
        (60, "1 min"),
        (3600, "1 h"),
        (3661, "1 h 1 min"),
        (86_400, "1 d"),
        (97_200, "1 d 3 h"),
    ],
)
def test_spans_are_said_in_their_largest_units(seconds: float, said: str) -> None:
    """And what lies ahead is said as that."""
    assert rendering.span(seconds) == said
    assert rendering.age(100.0, 100.0 + seconds) == f"{said} ago"
    assert seconds < 1 or rendering.age(100.0 + seconds, 100.0) == f"in {said}"


@pytest.mark.parametrize(
    ("headers", "same"),
    [
        ({"sec-fetch-site": "same-origin"}, True),
        ({"sec-fetch-site": "same-site", "origin": "https://relay.example", "host": "relay.example"}, False),
        ({"origin": "https://relay.example", "host": "RELAY.example"}, True),
        ({"origin": "https://relay.example", "host": "10.0.0.1:8000"}, True),
        ({"origin": "https://evil.example", "host": "relay.example"}, False),
        ({"origin": "null", "host": "null"}, False),
        ({"origin": "https://", "host": ""}, False),
        ({"host": "relay.example"}, False),
    ],
)
def test_a_form_is_ours_by_what_the_browser_says(headers: dict[str, str], same: bool) -> None:
    """Fetch metadata first; without it the origin, against the host or the public address; neither: no."""
    assert csrf.is_same_origin(headers, public_url="https://relay.example") is same


def test_roles_are_in_one_order_everywhere() -> None:
    """Each covers those before it; the command line knows the same ones."""
    roles = tuple(UserRole)
    assert tuple(role.value for role in Role) == tuple(role.value for role in roles)
    assert all(high.covers(low) == (roles.index(high) >= roles.index(low)) for high in roles for low in roles)


@pytest.mark.parametrize("state", list(EventState))
def test_the_timeline_begins_with_coming_in_and_knows_every_state(state: EventState) -> None:
    """Whatever an event has come to, its life can be told."""
    event = Event(
        id="evt_1",
        source="feed",
        sender_id="x",
        type="planday.shift.updated",
        portal=1,
        entity="shift",
        entity_id="1",
        received_at=100.0,
        time="2026-01-01T00:00:00Z",
    )
    record = EventRecord(event=event, state=state, sequence=1, targets=("hours",), duplicate_of="evt_0")
    deliveries = [
        Delivery(event="evt_1", target="hours", state=one, attempts=1, sequence=1, updated_at=200.0, due_at=300.0)
        for one in DeliveryState
    ]
    steps = timeline(record, deliveries, {})
    assert steps[0].text == "Happened, as the change feed says"
    assert steps[1].text.startswith("Found by the change feed")
    assert {step.level for step in steps} <= {"good", "bad", "warn", ""}
    assert any("Next attempt" in step.text for step in steps)
