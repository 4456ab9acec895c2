"""Comparing: every step of a record's history is told once, however often and from wherever it is looked at."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from relay.changes import difference, record_version, verbs
from relay.feed.compare import Look, appeared_or_changed, chain, gone
from relay.planday.models import Record
from relay.simulator.verbs import verbs as simulated
from relay.store.feeds import Observation, Stored

KEPT = frozenset({"id", "status", "employeeId", "startDateTime", "isApproved", "dateTimeModified"})
STATES = st.fixed_dictionaries(
    {
        "status": st.sampled_from(["Draft", "Open", "Assigned", "Approved", "ForSale"]),
        "employeeId": st.sampled_from([None, 1, 2]),
        "startDateTime": st.sampled_from(["2026-10-24T20:00", "2026-10-24T21:00"]),
    }
)


class Memory:
    """One record's snapshot, as the store keeps it: replaced only if it is still the one that was compared with."""

    def __init__(self) -> None:
        self.stored: Stored | None = None
        self.events: list[str] = []
        self.told: list[tuple[str, ...]] = []

    def observe(self, found: Observation | None) -> bool:
        if found is None:
            return True
        if found.expected != (self.stored.version if self.stored else ""):
            return False
        assert found.snapshot is not None
        self.stored = Stored(version=found.version, read_at=found.read_at, body=found.snapshot)
        self.events += [event.id for event in found.events]
        self.told.append(tuple(event.type.rpartition(".")[2] for event in found.events))
        return True


def _look(at: float, *, quiet: bool = False, kind: str = "shift") -> Look:
    return Look(portal=1, kind=kind, at=at, kept=KEPT, quiet=quiet)


def _seen(memory: Memory, at: float, state: Mapping[str, Any] | None) -> Observation | None:
    if state is None:
        return gone(_look(at), "7", memory.stored)
    return appeared_or_changed(_look(at), "7", Record(fields={"id": 7, **state}), memory.stored)


@given(st.lists(st.none() | STATES, min_size=1, max_size=12), st.data())
def test_a_known_state_never_makes_an_event_again(history: list[dict[str, Any] | None], data: st.DataObject) -> None:
    """Looked at again from any earlier mark: what is remembered is newer, or the same, and nothing is told."""
    memory = Memory()
    at = 0.0
    for state in history:
        at += 1
        assert memory.observe(_seen(memory, at, state))
        before = list(memory.events)
        for _ in range(data.draw(st.integers(0, 2))):
            memory.observe(_seen(memory, at, state))  # the same look once more: a mark that was not written
        old = data.draw(st.integers(0, int(at) - 1))
        if old:
            memory.observe(_seen(memory, float(old), history[old - 1]))  # a slow runner with an old list
        assert memory.events == before
    assert len(memory.events) == len(set(memory.events)), "every step has an id of its own"


@given(st.lists(STATES, min_size=2, max_size=10))
def test_two_runners_never_tell_one_step_twice(history: list[dict[str, Any]]) -> None:
    """Both compared with the same snapshot; the second finds another one there and has to look again."""
    memory = Memory()
    memory.observe(appeared_or_changed(_look(0, quiet=True), "7", Record(fields={"id": 7, **history[0]}), None))
    for at, state in enumerate(history[1:], start=1):
        first, second = _seen(memory, at, state), _seen(memory, at, state)
        assert memory.observe(first)
        kept = list(memory.events)
        assert memory.observe(second) is (second is None)
        assert memory.events == kept


def test_approve_unapprove_approve_over_three_looks_are_three() -> None:
    """The third leads to a state that was there before, by another way."""
    memory = Memory()
    for at, status in enumerate(["Assigned", "Approved", "Assigned", "Approved"]):
        memory.observe(_seen(memory, float(at), {"status": status}))
    assert memory.told == [("created",), ("approved",), ("unapproved",), ("approved",)]
    assert len(set(memory.events)) == 4


def test_what_changes_there_and_back_between_two_looks_is_nothing() -> None:
    """Nobody saw it."""
    memory = Memory()
    for at in (1.0, 2.0):
        memory.observe(_seen(memory, at, {"status": "Assigned"}))
    assert memory.told == [("created",)]


def test_a_field_that_is_newly_kept_makes_no_event() -> None:
    """A new target may have more fields: that is no change of Planday's."""
    memory = Memory()
    memory.observe(_seen(memory, 1.0, {"status": "Assigned"}))
    memory.observe(_seen(memory, 2.0, {"status": "Assigned", "employeeId": 3}))
    memory.observe(_seen(memory, 3.0, {"status": "Assigned", "employeeId": 4}))
    assert memory.told == [("created",), (), ("assigned",)]


def test_a_list_from_before_a_deletion_brings_nothing_back() -> None:
    """Deletes and modifies are read in any order."""
    memory = Memory()
    memory.observe(_seen(memory, 1.0, {"status": "Open", "dateTimeModified": "2026-10-24T10:00:00Z"}))
    memory.observe(gone(_look(2.0), "7", memory.stored, at=1792836100.0))
    memory.observe(_seen(memory, 3.0, {"status": "Open", "dateTimeModified": "2026-10-24T10:00:00Z"}))
    assert memory.told == [("created",), ("deleted",)]


def test_an_event_holds_nothing_that_no_target_may_have() -> None:
    """Though the status of an absence is remembered, since the names of the events tell it."""
    look = Look(portal=1, kind="absence_request", at=1.0, kept=frozenset({"id", "employeeId"}))
    fields = {
        "id": 7,
        "employeeId": 1,
        "status": "Submitted",
        "absencePeriod": {"start": "2026-12-01", "end": "2026-12-03"},
    }
    found = appeared_or_changed(look, "7", Record(fields=fields), None)
    assert found is not None
    assert found.snapshot is not None
    assert b"2026-12" not in found.snapshot
    (event,) = found.events
    assert event.seen is not None
    assert event.seen.object == {"id": 7, "employeeId": 1}


# Names ---------------------------------------------------------------------------------------------


@given(STATES, STATES)
def test_shifts_are_named_as_the_simulator_names_them(before: dict[str, Any], after: dict[str, Any]) -> None:
    """Written twice, on purpose, by what Planday shows alone."""
    found = difference("shift", before, after)
    expected = simulated("shift", found.before, found.after) if found.after else []
    assert list(verbs("shift", before, after)) == expected


PUNCHES = st.fixed_dictionaries(
    {
        "startDateTime": st.sampled_from(["2026-10-24T20:00", "2026-10-24T21:00"]),
        "endDateTime": st.sampled_from([None, "2026-10-25T02:00", "2026-10-25T03:00"]),
        "isApproved": st.booleans(),
        "shiftId": st.sampled_from([None, 5]),
    }
)


@given(PUNCHES, PUNCHES)
def test_punches_are_named_as_the_simulator_names_them(before: dict[str, Any], after: dict[str, Any]) -> None:
    """In and out, approved and not, and edits."""
    found = difference("punchclock_entry", before, after)
    expected = simulated("punchclock_entry", found.before, found.after) if found.after else []
    assert list(verbs("punchclock_entry", before, after)) == expected
    assert list(verbs("punchclock_entry", None, after)) == simulated("punchclock_entry", {}, after)


@given(st.dictionaries(st.sampled_from(["status", "employeeId", "date"]), st.none() | st.integers(0, 3)))
def test_a_version_is_of_what_is_compared(fields: dict[str, Any]) -> None:
    """Not of the order of fields, nor of null and missing, nor of our own times; but of every other difference."""
    version = record_version("shift", fields, modified="t")
    assert record_version("shift", dict(reversed(list(fields.items()))), modified="t") == version
    assert record_version("shift", {**fields, "positionId": None, "start": {"local": "x"}}, modified="t") == version
    assert record_version("shift", {**fields, "positionId": 1}, modified="t") != version
    assert record_version("shift", fields, modified="t2") != version


def test_a_chain_knows_its_way() -> None:
    """The same state by another way is another name."""
    assert chain(chain("", "a"), "b") != chain(chain("", "c"), "b")
