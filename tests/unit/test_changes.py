"""What differs between two states, what it is called, and which state it is: against the simulator's own names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.changes import DELETED, compared, difference, record_version, verbs
from relay.fields import NOT_COMPARED
from relay.simulator.verbs import verbs as names_of_the_simulator

Record = Mapping[str, Any]
_TIME = st.sampled_from(["2026-10-21T08:00", "2026-10-21T09:00", "2026-10-22T08:00"])
_MAYBE_ID = st.sampled_from([None, 1, 2])

RECORDS: Mapping[str, st.SearchStrategy[dict[str, Any]]] = {
    "shift": st.fixed_dictionaries(
        {
            "id": st.just(1),
            "status": st.sampled_from(["Draft", "Open", "Assigned", "Approved", "ForSale", "PendingSwapAcceptance"]),
            "employeeId": _MAYBE_ID,
            "departmentId": st.sampled_from([1, 2]),
            "startDateTime": _TIME,
            "dateTimeModified": _TIME,
        }
    ),
    "punchclock_entry": st.fixed_dictionaries(
        {
            "id": st.just(1),
            "isApproved": st.booleans(),
            "startDateTime": _TIME,
            "endDateTime": st.none() | _TIME,
            "shiftId": _MAYBE_ID,
            "shiftStartDateTime": st.none() | _TIME,
        }
    ),
    "absence_request": st.fixed_dictionaries(
        {
            "id": st.just(1),
            "status": st.sampled_from(["New", "Pending", "Approved", "Declined", "Cancelled"]),
            "absencePeriod": st.fixed_dictionaries({"start": _TIME, "end": _TIME}),
        }
    ),
    "employee": st.fixed_dictionaries(
        {
            "id": st.just(1),
            "isDeactivated": st.booleans(),
            "salaryIdentifier": st.sampled_from([None, "17", "18"]),
            "departments": st.lists(st.sampled_from([1, 2]), max_size=2),
        }
    ),
    "payroll_line": st.fixed_dictionaries(
        {"id": st.just(1), "isApproved": st.booleans(), "salary": st.integers(1, 2)},
    ),
    "department": st.fixed_dictionaries({"id": st.just(1), "name": st.sampled_from(["Bar", "Kitchen"])}),
}


@pytest.mark.parametrize("kind", RECORDS)
@given(data=st.data())
def test_names_agree_with_the_simulator(kind: str, data: st.DataObject) -> None:
    """Two readers of the same table of names, written apart, over any two states."""
    before, after = data.draw(RECORDS[kind]), data.draw(RECORDS[kind])
    found = difference(kind, before, after)
    if found.after:
        assert list(verbs(kind, before, after)) == names_of_the_simulator(kind, found.before, found.after)
    else:
        assert verbs(kind, before, after) == ()
    assert list(verbs(kind, None, after)) == names_of_the_simulator(kind, {}, after)
    assert list(verbs(kind, before, None)) == names_of_the_simulator(kind, before, {})


@pytest.mark.parametrize("kind", RECORDS)
@given(data=st.data())
def test_a_difference_is_what_has_to_be_put_on_the_state_before(kind: str, data: st.DataObject) -> None:
    """And nothing else is in it."""
    before, after = data.draw(RECORDS[kind]), data.draw(RECORDS[kind])
    found = difference(kind, before, after)
    assert {**compared(kind, before), **found.after} == compared(kind, after)
    assert found.before.keys() == found.after.keys() == set(found.changed)
    assert all(found.before[name] != found.after[name] for name in found.changed)


@pytest.mark.parametrize("kind", RECORDS)
@given(data=st.data())
def test_a_version_is_the_modified_time_and_what_is_compared(kind: str, data: st.DataObject) -> None:
    """Two states have one version exactly when neither differs."""
    one, other = data.draw(RECORDS[kind]), data.draw(RECORDS[kind])
    moved = data.draw(st.booleans())
    first = record_version(kind, one, modified="t1")
    second = record_version(kind, other, modified="t2" if moved else "t1")
    assert (first == second) == (not moved and not difference(kind, one, other).after)
    assert DELETED not in (first, second)


def test_null_is_as_missing_and_order_does_not_count() -> None:
    """Which of the two Planday sends is not documented."""
    one = record_version("shift", {"id": 1, "employeeId": None, "status": "Open"}, modified=None)
    assert one == record_version("shift", {"status": "Open", "id": 1}, modified=None)


@pytest.mark.parametrize("kind", sorted(NOT_COMPARED))
def test_what_only_one_view_shows_does_not_count(kind: str) -> None:
    """Neither as a difference, nor in the version."""
    odd = dict.fromkeys(NOT_COMPARED[kind], "x")
    assert difference(kind, {"id": 1}, {"id": 1, **odd}).changed == ()
    assert verbs(kind, {"id": 1}, {"id": 1, **odd}) == ()
    assert record_version(kind, {"id": 1}, modified=None) == record_version(kind, {"id": 1, **odd}, modified=None)


def test_a_change_that_is_several_things_has_several_names() -> None:
    """A draft that was published and handed to somebody else between two looks."""
    before = {"id": 1, "status": "Draft", "employeeId": 1, "startDateTime": "2026-10-21T08:00"}
    after = {"id": 1, "status": "Assigned", "employeeId": 2, "startDateTime": "2026-10-21T09:00"}
    assert verbs("shift", before, after) == ("published", "assigned", "updated")


def test_nothing_to_nothing_is_nothing() -> None:
    """No name for what was never there."""
    assert verbs("shift", None, None) == ()
