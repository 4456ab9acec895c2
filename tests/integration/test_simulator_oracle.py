"""The judge of a change feed tells what a perfect comparing reader would: checked by hand, and against snapshots."""

import copy
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from relay.simulator import Clock, Expected, Life, coalesced
from relay.simulator.flavours import BISTRO, DEACTIVATED, HARBOUR, IDA
from relay.simulator.oracle import IncompleteRecordError, Look
from relay.simulator.payroll_lines import entries
from relay.simulator.simulator import Simulator
from relay.simulator.verbs import verbs

START = datetime(2026, 10, 21, 10, tzinfo=UTC)
SHIFT = 70010045
# What a reader of shifts compares, in most of these tests.
FIELDS = ("id", "status", "employeeId", "startDateTime", "endDateTime", "departmentId")


class World:
    """A simulator on a stopped clock, and a reader that only notes when it looked."""

    def __init__(self) -> None:
        self.clock = Clock(stopped_at=START)
        self.simulator = Simulator(clock=self.clock)
        self.looks: list[Look] = [0]

    def act(self, what: str, /, portal: int = BISTRO, **fields: Any) -> dict[str, Any]:
        self.clock.advance(10)
        entity, action = what.split("/")
        return self.simulator.act(portal, entity, action, **fields)[1]

    def look(self) -> None:
        self.looks.append(len(self.simulator.changes))

    def told(self, *entities: str, portal: int = BISTRO, **options: Any) -> list[Expected]:
        return coalesced(
            self.simulator.changes,
            self.looks,
            portal=self.simulator.portals[portal],
            settings=self.simulator.settings,
            entities=entities or ("shift",),
            **{"fields": FIELDS} | options,
        )

    def short(self, *entities: str, **options: Any) -> list[tuple[int, int, str]]:
        return [
            (one.look, one.id, " ".join(kind.rpartition(".")[2] for kind in one.types))
            for one in self.told(*entities, **options)
        ]


@pytest.fixture
def world() -> World:
    """A fresh one."""
    return World()


# By hand


def test_nobody_looked_so_nothing_is_told(world: World) -> None:
    """Without a second look there is no difference; the first is a quiet baseline."""
    world.act("shift/approve", id=SHIFT)
    assert world.told() == []
    world.looks = []
    assert world.told() == []


def test_what_changes_twice_between_two_looks_is_one(world: World) -> None:
    """First before and last after, and which changes it stands for."""
    world.act("shift/edit", id=SHIFT, endDateTime="2026-10-25T04:00")
    world.act("shift/edit", id=SHIFT, endDateTime="2026-10-25T05:00")
    world.look()
    (one,) = world.told()
    assert one == Expected(
        look=1,
        portal_id=BISTRO,
        entity="shift",
        id=SHIFT,
        types=("planday.shift.updated",),
        before={"endDateTime": "2026-10-25T03:30"},
        after={"endDateTime": "2026-10-25T05:00"},
        sequences=(1, 2),
    )


def test_there_and_back_is_nothing(world: World) -> None:
    """Nobody who compares can tell."""
    world.act("shift/approve", id=SHIFT)
    world.act("shift/unapprove", id=SHIFT)
    world.look()
    assert world.told() == []


def test_approve_unapprove_approve_over_three_looks_are_three(world: World) -> None:
    """And over one look they are one."""
    for what in ("approve", "unapprove", "approve"):
        world.act(f"shift/{what}", id=SHIFT)
        world.look()
    assert world.short() == [(1, SHIFT, "approved"), (2, SHIFT, "unapproved"), (3, SHIFT, "approved")]
    world.looks = [0, 3]
    assert world.short() == [(1, SHIFT, "approved")]


def test_a_shift_made_and_deleted_between_looks_is_only_deleted(world: World) -> None:
    """Planday lists deletions; of anything else that came and went nothing is left."""
    shift = world.act("shift/create", employeeId=IDA)
    world.act("shift/delete", id=shift["id"])
    request = world.act("absence_request/create", employeeId=IDA, start="2027-01-04")
    world.act("absence_request/remove", id=request["id"])
    world.look()
    assert world.short("shift", "absence_request") == [(1, shift["id"], "deleted")]
    (one,) = world.told()
    assert (one.before, one.after) == ({}, {})


def test_a_known_shift_is_deleted_with_what_was_known(world: World) -> None:
    """`before` is as it stood at the last look, not as it was deleted."""
    world.act("shift/edit", id=SHIFT, endDateTime="2026-10-25T04:00")
    world.act("shift/delete", id=SHIFT)
    world.look()
    (one,) = world.told()
    assert (one.types, one.before["endDateTime"], one.after) == (
        ("planday.shift.deleted",),
        "2026-10-25T03:30",
        {},
    )


def test_a_new_shift_is_told_as_it_stands_at_the_look(world: World) -> None:
    """Created and edited is created; the edit is inside."""
    shift = world.act("shift/create", employeeId=IDA)
    world.act("shift/edit", id=shift["id"], departmentId=4102)
    world.look()
    (one,) = world.told()
    assert (one.types, one.before, one.after["departmentId"]) == (("planday.shift.created",), {}, 4102)


def test_every_true_name_is_told_the_most_telling_first(world: World) -> None:
    """A draft that was published, handed on and moved is all of it."""
    world.act("shift/assign", id=70010052, employeeId=IDA)
    world.act("shift/publish", id=70010052)
    world.act("shift/edit", id=70010052, endDateTime="2026-10-29T20:00")
    world.look()
    assert world.short() == [(1, 70010052, "published assigned updated")]


def test_what_moves_along_is_told_as_well(world: World) -> None:
    """A punch moves its shift; approving a loose one makes a shift; payroll follows."""
    world.act("punchclock_entry/end", id=8800123)
    world.look()
    world.act("punchclock_entry/approve", id=8800125)
    world.look()
    assert world.short("punchclock_entry", "shift", fields=None) == [
        (1, 8800123, "ended"),
        (1, 70010050, "updated"),
        (2, 8800125, "approved"),
        (2, 70020001, "created"),
    ]
    world.act("shift/approve", id=70010050)
    world.look()
    assert world.short("payroll_line", fields=None)[-1] == (3, 70010050, "corrected")


def test_a_reader_without_a_field_does_not_see_it_change(world: World) -> None:
    """A comment is not among what it compares."""
    world.act("shift/edit", id=SHIFT, comment="MARKER-H-new")
    world.look()
    assert world.told() == []
    assert world.short(fields=None) == [(1, SHIFT, "updated")]


def test_what_is_not_listed_is_not_there(world: World) -> None:
    """Without drafts in the list, publishing is an appearance; the draft's own edits are nothing."""

    def listed(_: str, record: dict[str, Any]) -> bool:
        return bool(record["status"] != "Draft")

    world.act("shift/edit", id=70010052, endDateTime="2026-10-29T20:00")
    world.look()
    world.act("shift/publish", id=70010052)
    world.look()
    world.act("shift/delete", id=70010053)
    world.look()
    assert world.short(lists=listed) == [(2, 70010052, "created"), (3, 70010053, "deleted")]


def test_what_a_look_does_not_cover_waits_for_one_that_does(world: World) -> None:
    """Edits of old days are found by the daily look, as one change."""
    daily = {3, 6}

    def reads(_: str, record: dict[str, Any], look: int) -> bool:
        return look in daily or record["startDateTime"] >= "2026-10-20"

    for minutes in (10, 20):
        world.act("punchclock_entry/edit", id=8800124, endDateTime=f"2026-10-19T22:{minutes}")
        world.act("punchclock_entry/edit", id=8800126, endDateTime=f"2026-10-20T15:{minutes}")
        world.look()
    world.look()
    assert world.short("punchclock_entry", fields=None, reads=reads) == [
        (1, 8800126, "updated"),
        (2, 8800126, "updated"),
        (3, 8800124, "updated"),
    ]
    world.looks.pop()
    assert 8800124 not in [one.id for one in world.told("punchclock_entry", fields=None, reads=reads)]


def test_looks_may_be_instants(world: World) -> None:
    """A look sees what happened up to and at it."""
    world.looks = [START]
    world.act("shift/approve", id=SHIFT)
    world.looks += [START + timedelta(seconds=9), START + timedelta(seconds=10)]
    assert world.short() == [(2, SHIFT, "approved")]
    world.looks.reverse()
    with pytest.raises(ValueError, match="in order"):
        world.told()


def test_portals_do_not_mix(world: World) -> None:
    """The same ids in another portal are another story."""
    world.act("shift/approve", portal=HARBOUR, id=SHIFT)
    world.look()
    assert world.told() == []
    assert world.short(portal=HARBOUR) == [(1, SHIFT, "approved")]


def test_people_are_told_by_what_became_of_them(world: World) -> None:
    """Leaving, coming back, a new payroll number; a dismissal to come is nothing to a reader without those fields."""
    fields = ("id", "lastName", "salaryIdentifier", "isDeactivated", "departments")
    world.act("employee/deactivate", id=IDA)
    world.act("employee/reactivate", id=DEACTIVATED)
    world.act("employee/edit", id=910234, salaryIdentifier="MARKER-E-new", lastName="Nyt")
    world.act("employee/dismiss", id=910235, on="2026-12-31")
    hired = world.act("employee/create", firstName="Åge")
    world.look()
    assert world.short("employee", fields=fields) == [
        (1, IDA, "deactivated"),
        (1, DEACTIVATED, "reactivated"),
        (1, 910234, "salary_identifier_changed updated"),
        (1, hired["id"], "created"),
    ]


def test_reference_data_and_days_are_told(world: World) -> None:
    """Also what our catalogue has no event for."""
    made = world.act("department/create", name="Ny")["id"]
    world.look()
    world.act("department/delete", id=made)
    world.act("position/edit", id=6301, name="Ny")
    world.act("portal/edit", name="Ny")
    world.act("schedule_day/edit", departmentId=4101, date="2026-10-22", isVisible=False)
    world.look()
    entities = ("department", "position", "portal", "schedule_day")
    assert world.short(*entities, fields=None) == [
        (1, made, "created"),
        (2, made, "deleted"),
        (2, 6301, "updated"),
        (2, BISTRO, "updated"),
        (2, 410120261022, "updated"),
    ]


def test_a_change_past_the_record_is_noticed(world: World) -> None:
    """The judge does not guess: whoever deletes behind its back is told."""
    world.act("shift/approve", id=SHIFT)
    world.look()
    del world.simulator.portals[BISTRO].shifts[SHIFT]
    with pytest.raises(IncompleteRecordError, match=f"shift {SHIFT}"):
        world.told()


@pytest.mark.parametrize(
    ("entity", "before", "after", "names"),
    [
        ("shift", {"status": "Draft"}, {"status": "Approved"}, "published approved"),
        ("shift", {"status": "Approved"}, {"status": "PunchclockFinished"}, "unapproved"),
        ("shift", {"status": "Open", "employeeId": None}, {"status": "Assigned", "employeeId": 1}, "assigned"),
        ("shift", {"status": "Assigned"}, {"status": "ForSale"}, "updated"),
        ("shift", {"employeeId": 1}, {"employeeId": None}, "unassigned"),
        ("punchclock_entry", {}, {"endDateTime": None, "isApproved": False}, "started"),
        ("punchclock_entry", {}, {"endDateTime": "x", "isApproved": True}, "started ended approved"),
        ("punchclock_entry", {"endDateTime": None}, {"endDateTime": "x"}, "ended"),
        ("punchclock_entry", {"endDateTime": "x", "isApproved": True}, {"endDateTime": "y", "isApproved": False},
         "unapproved updated"),
        ("punchclock_break", {"endDateTime": None, "duration": None}, {"endDateTime": "x", "duration": 1}, "ended"),
        ("punchclock_break", {"startDateTime": "x"}, {"startDateTime": "y"}, "updated"),
        ("absence_request", {}, {"status": "Approved"}, "created approved"),
        ("absence_request", {"status": "Submitted", "note": 1}, {"status": "Declined", "note": 2}, "declined updated"),
        ("absence_request", {"status": "Approved"}, {"status": "Submitted"}, "updated"),
        ("employee", {}, {"isDeactivated": True}, "deactivated"),
        ("payroll_line", {}, {"id": 1}, "created"),
        ("payroll_line", {"salary": 1}, {"salary": 2}, "corrected"),
        ("payroll_line", {"id": 1}, {}, "reversed"),
    ],
)  # fmt: skip
def test_a_difference_has_its_names(entity: str, before: dict[str, Any], after: dict[str, Any], names: str) -> None:
    """One table for the record of changes and for the judge."""
    assert " ".join(verbs(entity, before, after)) == names


# Against snapshots


def snapshot(simulator: Simulator) -> dict[tuple[str, int], dict[str, Any]]:
    """Everything there is now, copied: what a reader of every list would hold."""
    portal = simulator.portals[BISTRO]
    tables = {
        "shift": portal.shifts,
        "punchclock_entry": portal.punches,
        "punchclock_break": portal.breaks(),
        "absence_request": portal.absence_requests,
        "absence_record": portal.absence_records,
        "employee": portal.employees,
        "department": {key: row for key, row in portal.departments.items() if not row["isDeleted"]},
        "employee_group": portal.groups,
        "position": portal.positions,
        "shift_type": portal.shift_types,
    }
    found = {(entity, key): row for entity, rows in tables.items() for key, row in rows.items()}
    found |= entries(portal, portal.shifts, simulator.settings)
    return copy.deepcopy(found)


def differences(
    before: dict[tuple[str, int], dict[str, Any]], after: dict[tuple[str, int], dict[str, Any]]
) -> dict[tuple[str, int], tuple[dict[str, Any], dict[str, Any]]]:
    """What differs between two snapshots, whole where something came or went."""

    def kept(row: dict[str, Any]) -> dict[str, Any]:
        return {k: v for k, v in row.items() if not k.startswith("_") and k != "dateTimeModified"}

    found = {}
    for key in before.keys() | after.keys():
        was, now = kept(before.get(key, {})), kept(after.get(key, {}))
        if was and now:
            names = {name for name in was if was[name] != now[name]}
            was, now = ({name: side[name] for name in names} for side in (was, now))
        if was or now:
            was.pop("dateTimeCreated", None)
            now.pop("dateTimeCreated", None)
            found[key] = (was, now)
    return found


@pytest.mark.parametrize("seed", [1, 2])
def test_the_judge_agrees_with_snapshots(seed: int) -> None:
    """Over a day of fifty people, every two hours: the same entities, the same values before and after."""
    simulator = Simulator(clock=Clock(stopped_at=datetime(2026, 10, 24, 22, tzinfo=UTC)))
    life = Life(simulator, BISTRO, seed=seed, people=50, changes_per_day=1500)
    looks: list[Look] = [len(simulator.changes)]
    snapshots = [snapshot(simulator)]
    for number, _ in enumerate(life.steps(simulator.clock.now() + timedelta(days=1)), start=1):
        if number % 120 == 0:
            looks.append(len(simulator.changes))
            snapshots.append(snapshot(simulator))
    told = life.coalesced(looks)
    deleted = set(simulator.portals[BISTRO].deleted_shifts)
    transient = 0
    for look in range(1, len(looks)):
        by_judge = {(one.entity, one.id): (one.before, one.after) for one in told if one.look == look}
        for key in [key for key, sides in by_judge.items() if sides == ({}, {})]:
            # Came and went between two looks: only Planday's list of deletions knows.
            assert key[0] == "shift"
            assert key[1] in deleted
            del by_judge[key]
            transient += 1
        assert by_judge == differences(snapshots[look - 1], snapshots[look])
    assert len(told) > 1000
    assert transient > 0
