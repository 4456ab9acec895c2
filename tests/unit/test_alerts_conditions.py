"""What counts as wrong, as tables: how things stand in, conditions out."""

from __future__ import annotations

from dataclasses import replace

import pytest

from relay.alerts.conditions import KINDS, Condition, FeedState, Situation, conditions
from relay.catalog import CATALOG, Door
from relay.events import NO_PORTAL
from relay.fields import OPERATIONS
from relay.settings import Alerts
from relay.store.alerts import StoreState, TargetState, WorkerState

NOW = 1_790_000_000.0
SETTINGS = Alerts()


def found(
    store: StoreState | None = None,
    *,
    feeds: tuple[FeedState, ...] = (),
    findings: tuple[str, ...] = (),
    lost: frozenset[int] = frozenset(),
    limit: int = 1000,
) -> dict[str, Condition]:
    situation = Situation(
        now=NOW,
        store=store or StoreState(),
        feeds=feeds,
        findings=findings,
        lost_portals=lost,
        backlog_limit=limit,
    )
    return {one.key: one for one in conditions(situation, SETTINGS)}


def of_target(**state: object) -> dict[str, Condition]:
    return found(StoreState(targets={"hours": TargetState(**state)}))  # type: ignore[arg-type]


def test_nothing_is_wrong_where_nothing_is() -> None:
    """An empty store, and targets, workers and feeds that do their work."""
    assert found() == {}
    healthy = StoreState(
        targets={"hours": TargetState(due_since=NOW - 60, failures=2)},
        workers={"w:1": WorkerState(first_seen=NOW - 900, until=NOW + 10)},
        oldest_events={4100001: NOW - 60},
        open=900,
        quarantined_at=NOW - 601,
        memory_share=0.9,
    )
    assert found(healthy, feeds=(feed(),)) == {}


def test_every_kind_has_its_types_and_its_fields() -> None:
    """Each type is in the catalogue as one that the relay makes; its facts have a class."""
    for name, kind in KINDS.items():
        assert {CATALOG[kind.begins].door, CATALOG[kind.ends].door} == {Door.RELAY}
        assert CATALOG[kind.ends].entity == kind.entity == name.partition("_")[0]
        assert kind.entity in OPERATIONS


@pytest.mark.parametrize(
    ("state", "keys"),
    [
        ({"failing_since": NOW - 5}, ["target_failing:hours"]),
        ({"failures": 3}, ["target_failing:hours"]),
        ({"failures": 2}, []),
        ({"paused_since": NOW - 5}, ["target_paused:hours"]),
        ({"dead": 2}, ["delivery_exhausted:hours"]),
        ({"parked": 1}, ["delivery_parked:hours"]),
        ({"due_since": NOW - 899}, []),
        ({"due_since": NOW - 901}, ["backlog_growing:hours"]),
        ({"due_since": NOW - 901, "failing_since": NOW - 901}, ["target_failing:hours"]),
        ({"due_since": NOW - 901, "paused_since": NOW - 901}, ["target_paused:hours"]),
        (
            {"dead": 1, "parked": 1, "failing_since": NOW, "paused_since": NOW},
            ["target_failing:hours", "target_paused:hours", "delivery_exhausted:hours", "delivery_parked:hours"],
        ),
    ],
)
def test_what_is_wrong_with_a_target(state: dict[str, object], keys: list[str]) -> None:
    """Each fault by itself; a backlog is none where a pause or a failure explains it."""
    assert list(of_target(**state)) == keys


def test_who_paused_a_target_is_told_but_not_by_name() -> None:
    """The relay's own reason is passed on; what a person wrote is not, and neither is who it was."""
    (ours,) = of_target(paused_since=NOW, paused_by_relay=True, paused_why="it refuses us (401)").values()
    assert ours.facts == {"target": "hours", "by": "relay", "reason": "it refuses us (401)"}
    assert "it refuses us (401)" in ours.summary
    (theirs,) = of_target(paused_since=NOW).values()
    assert theirs.facts == {"target": "hours", "by": "person", "reason": None}


def test_one_and_many_read_well() -> None:
    """The numbers of a sentence agree."""
    assert of_target(dead=1)["delivery_exhausted:hours"].summary.startswith("1 delivery to target hours is dead")
    assert of_target(dead=2)["delivery_exhausted:hours"].summary.startswith("2 deliveries to target hours are dead")


def worker(first: float, until: float) -> WorkerState:
    return WorkerState(first_seen=NOW + first, until=NOW + until)


@pytest.mark.parametrize(
    ("workers", "silent", "left"),
    [
        ((worker(-900, 10), worker(-900, 5)), 0, 2),
        ((worker(-900, 10), worker(-900, -1)), 1, 1),
        ((worker(-900, 10), worker(-900, -1), worker(-900, -2)), 2, 1),
        # Another came soon after the last heartbeat, or while it still counted.
        ((worker(-300, 10), worker(-900, -300)), 0, 1),
        ((worker(-315, 10), worker(-900, -300)), 0, 1),
        # One filler fills one gap.
        ((worker(-300, 10), worker(-900, -300), worker(-900, -300)), 1, 1),
        # It came long before: it is no filler.
        ((worker(-800, 10), worker(-900, -300)), 1, 1),
        # It has only just come: the gap is still told.
        ((worker(-5, 10), worker(-9000, -600)), 1, 1),
        # The chain of a worker that is started again and again.
        ((worker(-60, 10), worker(-200, -60), worker(-400, -200)), 0, 1),
        ((worker(-200, -60), worker(-400, -200), worker(-900, 5)), 1, 1),
    ],
)
def test_workers_that_vanished(workers: tuple[WorkerState, ...], silent: int, left: int) -> None:
    """Those whose heartbeat ended without leave, less those that another came for."""
    wrong = found(StoreState(workers={f"w:{number}": one for number, one in enumerate(workers)}))
    assert [one.facts for one in wrong.values()] == ([{"count": silent, "workers": left}] if silent else [])


def feed(**changed: object) -> FeedState:
    state = FeedState(
        portal="bistro",
        portal_id=4100001,
        feed="shifts",
        failures=0,
        due=NOW - 30,
        first=False,
        why="",
        authorised=True,
    )
    return replace(state, **changed)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("state", "wrong", "after"),
    [
        ({"failures": 1, "why": "Planday answers 503"}, True, SETTINGS.feed_after),
        ({"failures": 1, "authorised": False}, False, 0),
        ({"due": NOW - 599}, False, 0),
        ({"due": NOW - 601}, True, 0),
        ({"due": 0.0, "first": True}, False, 0),
        ({"failures": 1, "first": True}, True, SETTINGS.feed_after),
    ],
)
def test_what_is_wrong_with_a_feed(state: dict[str, object], wrong: bool, after: float) -> None:
    """It fails, or nobody looks; a lost authorisation is told by another event, and a first reading may take long."""
    told = list(found(feeds=(feed(**state),)).values())
    assert [(one.key, one.portal, one.after) for one in told] == (
        [("feed_behind:bistro.shifts", 4100001, after)] if wrong else []
    )


def test_what_is_wrong_with_the_store() -> None:
    """What makes it unfit, and too little memory: both are critical, since a target may never hear of it."""
    wrong = found(StoreState(memory_share=0.91), findings=("appendonly is no", "x"))
    assert list(wrong) == ["store_unhealthy:redis", "store_unhealthy:memory"]
    assert all(one.critical for one in wrong.values())
    assert wrong["store_unhealthy:redis"].facts["findings"] == ["appendonly is no", "x"]
    assert "91%" in wrong["store_unhealthy:memory"].summary


def test_a_quarantine_that_grows() -> None:
    """So many bodies within the window."""
    assert list(found(StoreState(quarantined_at=NOW - 599))) == ["quarantine_growing:all"]


def test_a_backlog_that_grows() -> None:
    """Near the limit it is critical; events that wait for long are told but where the authorisation is lost."""
    near = found(StoreState(open=901))
    assert near["backlog_growing:limit"].critical
    late = StoreState(oldest_events={4100001: NOW - 901, 4100002: NOW - 901, NO_PORTAL: NOW - 901})
    assert list(found(late, lost=frozenset({4100001}))) == [
        "backlog_growing:events.4100002",
        "backlog_growing:events.0",
    ]


def test_every_sentence_says_what_to_do() -> None:
    """What happened, what it means, what to do: never shorter than a few words, never longer than a message takes."""
    store = StoreState(
        targets={"hours": TargetState(dead=1, parked=1, failing_since=NOW, paused_since=NOW)},
        workers={"w:1": worker(-900, -100)},
        oldest_events={1: 0.0},
        open=1000,
        quarantined_at=NOW,
        memory_share=1.0,
    )
    wrong = found(store, feeds=(feed(failures=2),), findings=("appendonly is no: what. Remedy: this",))
    assert {key.partition(":")[0] for key in wrong} == set(KINDS)
    for one in wrong.values():
        assert 60 < len(one.summary) < 600, one.key
        assert 40 < len(one.over) < 200, one.key
        assert one.summary.endswith((".", ")", "this")), one.key
