"""Events are enriched from the simulated Planday: as it is now, cheaply, and with nothing that must not be kept."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import httpx
import pytest
import redis.asyncio

from relay.errors import PlandayUnavailable
from relay.fields import KINDS
from relay.simulator.faults import Fault
from relay.simulator.flavours import BISTRO, DEACTIVATED, HARBOUR, HIDDEN, HUGE_SHIFT_ID, IDA, SICK_LEAVE
from tests.integration.planday_world import World

SHIFT = 70010045
SICK_SHIFT = 70010056
EMPLOYEES = "/hr/v1.0/employees/{employeeId}"
SHIFTS = "/scheduling/v1.0/shifts/{shiftId}"
PUNCHES = "/punchclock/v1.0/punchclockshifts"
REQUESTS = "/absence/v1.0/absencerequests"


@pytest.fixture
def world(redis_client: redis.asyncio.Redis, prefix: str) -> World:
    made = World(redis_client, prefix)
    made.generous()
    return made


@pytest.mark.parametrize(
    ("type_", "number", "related"),
    [
        ("planday.shift.updated", 70010044, {"employee", "department", "employee_group", "position"}),
        ("planday.shift.updated", SHIFT, {"employee", "department", "employee_group"}),
        ("planday.shift.created", 70010051, {"department", "employee_group", "position"}),
        ("planday.shift.updated", 70010055, {"employee", "employee_group"}),
        ("planday.punchclock_entry.started", 8800123, {"employee", "department", "shift"}),
        ("planday.punchclock_entry.ended", 8800126, {"employee", "department", "shift"}),
        ("planday.absence_request.created", 66012, {"employee"}),
        ("planday.employee.updated", IDA, {"department"}),
        ("planday.employee.deactivated", DEACTIVATED, {"department"}),
        ("planday.department.updated", 4101, set()),
        ("planday.employee_group.updated", 5201, set()),
        ("planday.position.updated", 6301, set()),
        ("planday.shift_type.updated", 1, set()),
        ("planday.portal.updated", BISTRO, set()),
    ],
)
async def test_each_entity_comes_with_what_it_refers_to(
    world: World, type_: str, number: int, related: set[str]
) -> None:
    """Complete, with documented calls only."""
    found = await world.enrich(world.planday(), type_, number)
    assert (found.state, found.missing) == ("complete", ())
    assert set(found.related) == (related if ".portal." in type_ else related | {"portal"})
    assert found.object is not None
    assert found.object.get("id", number) == number
    assert found.zone == "Europe/Copenhagen"
    assert found.fetched_at == world.now()
    for kind, record in found.related.items():
        assert record["id"]
        assert all(KINDS[kind][name] in "AB" for name in record)
    assert world.unexpected() == []


async def test_a_shift_has_its_times_beside_what_planday_gave(world: World) -> None:
    """Overnight, into the night in which the clocks go back."""
    found = await world.enrich(world.planday(), "planday.shift.updated", SHIFT)
    assert found.object is not None
    assert found.object["startDateTime"] == "2026-10-24T20:00"
    assert found.object["start"] == {
        "local": "2026-10-24T20:00:00",
        "zone": "Europe/Copenhagen",
        "instant": "2026-10-24T18:00:00Z",
        "flag": None,
    }
    assert found.object["end"]["instant"] == "2026-10-25T02:30:00Z"
    assert found.modified == "2026-10-21T07:45:12Z"


@pytest.mark.parametrize("form", ["local", "local_seconds", "utc", "offset"])
async def test_every_date_form_means_the_same(world: World, form: str) -> None:
    """Planday may answer in any of them."""
    world.simulator.settings.change({"datetimes": form})
    found = await world.enrich(world.planday(), "planday.shift.updated", SHIFT)
    assert found.object is not None
    assert [found.object[side]["instant"] for side in ("start", "end")] == [
        "2026-10-24T18:00:00Z",
        "2026-10-25T02:30:00Z",
    ]
    assert found.object["start"]["local"] == "2026-10-24T20:00:00"


@pytest.mark.parametrize(("number", "flag"), [(70010047, "ambiguous"), (70010048, "missing")])
async def test_an_hour_that_cannot_be_resolved_is_flagged(world: World, number: int, flag: str) -> None:
    """Never guessed, and no reason to call the enrichment partial."""
    found = await world.enrich(world.planday(), "planday.shift.updated", number)
    assert found.object is not None
    assert (found.object["start"]["instant"], found.object["start"]["flag"]) == (None, flag)
    assert found.state == "complete"


@pytest.mark.parametrize("nulls", ["present", "omit", "as_seen"])
async def test_null_and_missing_are_alike(world: World, nulls: str) -> None:
    """The same keys in each mode."""
    world.simulator.settings.change({"nulls": nulls})
    found = await world.enrich(world.planday("*"), "planday.shift.updated", 70010051)
    assert found.object is not None
    assert set(found.object) == set(KINDS["shift"])
    assert found.object["employeeId"] is None
    assert found.state == "complete"


async def test_ids_are_exact_and_unknown_statuses_pass(world: World) -> None:
    """Beyond 2^53, through Redis and back."""
    planday = world.planday()
    for _ in range(2):
        found = await world.enrich(planday, "planday.shift.updated", HUGE_SHIFT_ID)
        assert found.object is not None
        assert found.object["id"] == HUGE_SHIFT_ID
    assert world.asked()[SHIFTS] == 1
    found = await world.enrich(planday, "planday.shift.updated", 70010058)
    assert found.object is not None
    assert found.object["status"] == "Cancelled"


async def test_portals_that_hold_the_same_ids_do_not_mix(world: World) -> None:
    """Two portals, one process, one Redis, other people."""
    planday = world.planday("*")
    for portal, name, zone in ((BISTRO, "Ida", "Europe/Copenhagen"), (HARBOUR, "Oliver", "Europe/London")) * 2:
        found = await world.enrich(planday, "planday.shift.updated", SHIFT, portal=portal)
        assert found.related["employee"]["firstName"] == name
        assert found.zone == zone


# What cannot be had ---------------------------------------------------------------------------


async def test_what_is_deleted_is_not_asked_for(world: World) -> None:
    """No record is what a deletion means: complete, without a call."""
    found = await world.enrich(world.planday(), "planday.shift.deleted", 70010046)
    assert (found.object, found.related, found.state, found.missing) == (None, {}, "complete", ())
    assert world.calls == []


@pytest.mark.parametrize(
    ("type_", "number", "more", "expected"),
    [
        ("planday.shift.updated", 70010046, {}, ("partial", "object: gone")),
        ("planday.employee.updated", 1, {}, ("partial", "object: gone")),
        ("planday.punchclock_entry.ended", 1, {}, ("partial", "object: gone")),
        ("planday.absence_request.created", 1, {}, ("partial", "object: gone")),
        ("planday.position.updated", 1, {}, ("partial", "object: gone")),
        ("planday.shift.updated", SHIFT, {"portal": 7}, ("none", "portal: not configured")),
        ("planday.payroll_period.locked", 1, {}, ("none", "payroll_period: not readable")),
        ("planday.shift.updated", "../../portal", {}, ("none", "object: its id is none of Planday's")),
        ("planday.shift.updated", "7e3", {}, ("none", "object: its id is none of Planday's")),
        ("planday.shift.updated", "", {}, ("none", "object: its id is none of Planday's")),
    ],
)
async def test_what_cannot_be_had_is_said(
    world: World, type_: str, number: Any, more: dict[str, Any], expected: tuple[str, str]
) -> None:
    """The event goes on without it."""
    found = await world.enrich(world.planday(), type_, number, **more)
    assert found.object is None
    assert (found.state, *found.missing) == expected


@pytest.mark.parametrize(
    ("status", "missing"),
    [("400", "employee: gone"), ("404", "employee: gone"), ("403", "employee: 403 scope employee:read")],
)
async def test_a_person_out_of_sight_makes_it_partial(world: World, status: str, missing: str) -> None:
    """The administrator may not see everybody whom shifts name; that is remembered for a minute."""
    world.simulator.settings.change({"hidden_employee": status})
    planday = world.planday()
    for _ in range(3):
        found = await world.enrich(planday, "planday.shift.updated", 70010059)
        assert found.object is not None
        assert found.object["employeeId"] == HIDDEN
        assert (found.state, found.missing) == ("partial", (missing,))
        assert "employee" not in found.related
    assert world.asked()[EMPLOYEES] == 1


async def test_every_missing_scope_is_named(world: World) -> None:
    """403 is a matter of configuration, and the event goes on."""
    authorisation = world.simulator.authorisation(BISTRO)
    authorisation.scopes = frozenset({"shift:read"})
    found = await world.enrich(world.planday(), "planday.shift.updated", 70010044)
    assert found.object is not None
    assert found.missing == (
        "employee: 403 scope employee:read",
        "department: 403 scope department:read",
        "employee_group: 403 scope employeegroup:read",
        "position: 403 scope shiftposition:read",
    )
    check = await world.planday("class:G").check("bistro")
    assert check.scopes["shift:read"] == "ok"
    assert set(check.missing) == {
        "employee:read",
        "department:read",
        "employeegroup:read",
        "shiftposition:read",
        "shifttype:read",
        "punchclockshift:read",
        "absence:read",
    }


async def test_a_field_of_an_odd_type_is_named(world: World) -> None:
    """By its name, never by its value."""
    world.simulator.portals[BISTRO].shifts[SHIFT]["status"] = {"MARKER": 1}
    world.simulator.portals[BISTRO].employees[IDA]["isDeactivated"] = "MARKER"
    world.simulator.portals[BISTRO].shifts[SHIFT]["endDateTime"] = "2026-10-20T08:00"
    found = await world.enrich(world.planday(), "planday.shift.updated", SHIFT)
    assert found.state == "partial"
    assert found.missing == (
        "object.status: unreadable",
        "object.end: unreadable",
        "employee.isDeactivated: unreadable",
    )
    assert "MARKER" not in await world.dump()


async def test_a_record_with_another_id_is_not_taken(world: World) -> None:
    """Whatever mixed it up, it is not the record that was asked for."""
    world.simulator.portals[BISTRO].shifts[SHIFT]["id"] = 70010044
    with pytest.raises(PlandayUnavailable, match="another record"):
        await world.enrich(world.planday(), "planday.shift.updated", SHIFT)


# Personal data --------------------------------------------------------------------------------

EVERY_EVENT = [
    ("planday.shift.updated", SHIFT),
    ("planday.shift.updated", SICK_SHIFT),
    ("planday.punchclock_entry.started", 8800123),
    ("planday.absence_request.created", 66012),
    ("planday.employee.updated", IDA),
    ("planday.employee.updated", DEACTIVATED),
    ("planday.department.updated", 4101),
    ("planday.shift_type.updated", SICK_LEAVE),
    ("planday.portal.updated", BISTRO),
]


async def test_nothing_of_the_classes_c_to_h_is_kept_when_no_target_may_have_it(world: World) -> None:
    """Not in Redis, not in what is handed on, not in what is reported: markers, names, pay, leave."""
    planday = world.planday()
    made = [await world.enrich(planday, type_, number) for type_, number in EVERY_EVENT]
    everything = await world.dump() + str(made) + str(world.calls)
    for text in ("MARKER", "Testrup", "bistro.example", "Sygdom", "shiftTypeId", "2026-12-21", "Female", "1901-02-03"):
        assert text not in everything
    assert "/scheduling/v1.0/shifttypes" not in world.asked()


async def test_class_f_is_not_kept_even_for_those_who_may_have_all(world: World) -> None:
    """And unknown fields are not either; what was asked for is there."""
    planday = world.planday("*")
    made = [await world.enrich(planday, type_, number) for type_, number in EVERY_EVENT]
    everything = await world.dump() + str(made)
    for text in ("MARKER-F", "MARKER-X", "Female", "1901-02-03"):
        assert text not in everything
    for text in ("MARKER-D-street", "MARKER-E-0233", "MARKER-H-comment", "MARKER-H-note", "Testrup", "Sygdom"):
        assert text in everything


async def test_a_place_gets_only_its_own_fields(world: World) -> None:
    """A name for the person a shift names is no name for the person an event is about."""
    planday = world.planday("class:A", "data.related.employee.firstName")
    shift = await world.enrich(planday, "planday.shift.updated", SHIFT)
    assert shift.related["employee"]["firstName"] == "Ida"
    person = await world.enrich(planday, "planday.employee.updated", IDA)
    assert person.object is not None
    assert "firstName" not in person.object


async def test_a_shift_type_comes_only_when_somebody_may_have_it(world: World) -> None:
    """Sick leave is an ordinary shift type, which its id alone gives away: the link is not handed on."""
    found = await world.enrich(world.planday("data.related.shift_type.name"), "planday.shift.updated", SICK_SHIFT)
    assert found.object is not None
    assert found.related["shift_type"] == {"name": "Sygdom"}
    assert "shiftTypeId" not in found.object
    authorisation = world.simulator.authorisation(BISTRO)
    authorisation.scopes -= {"shifttype:read"}
    world.clock.advance(7200)
    found = await world.enrich(world.planday("class:G"), "planday.shift.updated", SICK_SHIFT)
    assert "shift_type: 403 scope shifttype:read" in found.missing


async def test_an_absence_leads_to_its_kind_in_two_hops(world: World) -> None:
    """Account, then account type; both only when somebody may have them."""
    found = await world.enrich(world.planday("class:A", "class:G"), "planday.absence_request.approved", 66013)
    assert found.object is not None
    assert found.object["status"] == "Approved"
    assert found.object["requestedAccounts"][0]["cost"][0]["unit"] == {"type": "Hours"}
    assert found.related["account_type"]["absenceType"] in ("Vacation", "Absence", "Flextime", "Accrued")
    assert world.unexpected() == []
    world.simulator.portals[BISTRO].accounts.clear()
    world.clock.advance(1)
    found = await world.enrich(world.planday("class:A", "class:G"), "planday.absence_request.approved", 66013)
    assert found.missing == ("account_type: gone",)


# Records without a read by id -----------------------------------------------------------------


async def test_a_punch_takes_the_zone_of_its_shift_else_the_portals(world: World) -> None:
    """Punches have no zone of their own."""
    world.simulator.portals[BISTRO].shifts[70010050]["timeZone"] = "Europe/London"
    planday = world.planday()
    linked = await world.enrich(planday, "planday.punchclock_entry.started", 8800123)
    alone = await world.enrich(planday, "planday.punchclock_entry.ended", 8800125)
    assert linked.object is not None
    assert alone.object is not None
    assert (linked.zone, linked.object["start"]["instant"]) == ("Europe/London", "2026-10-21T07:57:00Z")
    assert linked.object["end"] is None
    assert (alone.zone, alone.object["start"]["instant"]) == ("Europe/Copenhagen", "2026-10-20T15:00:00Z")


@pytest.mark.parametrize(
    ("more", "calls"),
    [
        ({}, {PUNCHES: 1}),
        ({"extensions": {"employeeid": str(IDA)}}, {PUNCHES: 1}),
        ({"received": {"shiftId": 70010050}}, {PUNCHES + "/byShift/{shiftId}": 1}),
        # Hints come from a sender: wrong or senseless ones cost calls, never the truth.
        ({"received": {"shiftId": 70010042}}, {PUNCHES + "/byShift/{shiftId}": 1, PUNCHES: 1}),
        ({"received": {"shiftId": 1, "employeeId": 1}}, {PUNCHES + "/byShift/{shiftId}": 1, PUNCHES: 3}),
        ({"received": {"shiftId": "x' or 1=1", "employeeId": [1]}}, {PUNCHES: 1}),
        ({"received": ["no mapping"], "time": "0001-01-01T00:00:00Z"}, {PUNCHES: 1}),
        ({"time": "2026-11-10T08:00:00Z"}, {PUNCHES: 2}),
        ({"time": "2026-10-21T08:57:00+02:00"}, {PUNCHES: 1}),
    ],
)
async def test_a_punch_is_found_around_its_day(world: World, more: dict[str, Any], calls: dict[str, int]) -> None:
    """Windows of at most 31 days, an explicit limit, and hints that only save calls."""
    found = await world.enrich(world.planday(), "planday.punchclock_entry.started", 8800123, **more)
    assert found.object is not None
    assert found.object["id"] == 8800123
    assert {name: count for name, count in world.asked().items() if name.startswith(PUNCHES)} == calls
    assert world.unexpected() == []


@pytest.mark.parametrize(
    ("more", "calls"),
    [({}, 1), ({"extensions": {"employeeid": str(IDA)}}, 1), ({"received": {"employeeId": 910234}}, 2)],
)
async def test_an_absence_request_is_found_by_its_period(world: World, more: dict[str, Any], calls: int) -> None:
    """It may lie months ahead; a wrong hint costs one more call."""
    found = await world.enrich(world.planday(), "planday.absence_request.created", 66012, **more)
    assert found.object == {"id": 66012, "employeeId": IDA}
    assert world.asked()[REQUESTS] == calls
    assert world.unexpected() == []


async def test_lists_are_read_in_the_pages_that_planday_gives(world: World) -> None:
    """Lowered limits, no totals: the record on the last page is found."""
    world.simulator.settings.change({"page_size_cap": 1, "paging_null": True})
    planday = world.planday("*")
    assert (await world.enrich(planday, "planday.absence_request.created", 66016)).state == "complete"
    assert (await world.enrich(planday, "planday.punchclock_entry.ended", 8800126)).state == "complete"
    found = await world.enrich(planday, "planday.shift.updated", SICK_SHIFT)
    assert found.related["shift_type"]["name"] == "Sygdom"


async def test_a_shift_type_that_is_new_is_looked_for_once_more(world: World) -> None:
    """The table is kept an hour, but what is not in it may have been added since."""
    planday = world.planday("*")
    await world.enrich(planday, "planday.shift.updated", SICK_SHIFT)
    types = world.simulator.portals[BISTRO].shift_types
    types[99] = {**types[1], "id": 99, "name": "Kursus"}
    world.simulator.portals[BISTRO].shifts[SHIFT]["shiftTypeId"] = 99
    world.clock.advance(61)
    found = await world.enrich(planday, "planday.shift.updated", SHIFT)
    assert found.related["shift_type"]["name"] == "Kursus"
    del types[99]
    world.clock.advance(3)
    found = await world.enrich(planday, "planday.shift.updated", SHIFT)
    assert world.asked()["/scheduling/v1.0/shifttypes"] == 2


# Cost and freshness ---------------------------------------------------------------------------


def staff(world: World, count: int) -> list[int]:
    """Shifts of five people in two departments."""
    shifts = world.simulator.portals[BISTRO].shifts
    people = [IDA, 910234, 910235, 910236, 910237]
    for step in range(count):
        number = 71000000 + step
        shifts[number] = {
            **shifts[70010044],
            "id": number,
            "employeeId": people[step % 5],
            "departmentId": 4101 + step % 2,
            "positionId": 6301,
        }
    return [71000000 + step for step in range(count)]


async def test_fifty_shifts_of_five_people_at_once(world: World) -> None:
    """Each shift is read once, each person, department, group and position once, over two processes."""
    numbers = staff(world, 50)
    one, other = world.planday(), world.planday()
    events = [world.event("planday.shift.updated", number) for number in numbers]
    found = await asyncio.gather(
        *((one, other)[step % 2].enrich(event, now=world.now()) for step, event in enumerate(events))
    )
    assert {item.state for item in found} == {"complete"}
    asked = world.asked()
    assert asked.pop(SHIFTS) == 50
    # token, portal three times (each process confirms the token's, then it is cached), 5 people, 2 departments,
    # 1 group, 1 position
    assert sum(asked.values()) <= 13
    assert asked[EMPLOYEES] == 5


async def test_a_hundred_events_of_the_same_staff_cost_few_look_ups(world: World) -> None:
    """At most 15 beside the shifts themselves (design.md 6)."""
    numbers = staff(world, 100)
    planday = world.planday()
    events = [world.event("planday.shift.updated", number) for number in numbers]
    await asyncio.gather(*(planday.enrich(event, now=world.now()) for event in events))
    asked = world.asked()
    assert asked[SHIFTS] == 100
    assert sum(asked.values()) - 100 <= 15


async def test_an_events_own_record_is_never_older_than_the_event(world: World) -> None:
    """Read before it was accepted: not good enough. Read after: good for all that were accepted before that."""
    planday = world.planday()
    early = [world.event("planday.shift.updated", SHIFT) for _ in range(3)]
    world.clock.advance(2)
    for event in early:
        await planday.enrich(event, now=world.now())
    assert world.asked()[SHIFTS] == 1
    world.simulator.act(BISTRO, "shift", "edit", id=SHIFT, startDateTime="2026-10-24T21:00")
    world.clock.advance(1)
    found = await world.enrich(planday, "planday.shift.updated", SHIFT)
    assert found.object is not None
    assert found.object["start"]["local"] == "2026-10-24T21:00:00"
    assert world.asked()[SHIFTS] == 2
    world.clock.advance(1)
    await planday.enrich(early[0], now=world.now())
    assert world.asked()[SHIFTS] == 2
    await planday.enrich(early[0], now=world.now(), not_before=world.now())
    assert world.asked()[SHIFTS] == 3


async def test_a_receivers_clock_that_is_ahead_costs_one_read(world: World) -> None:
    """Nothing can be read in the future: the worker reads once and is content."""
    event = world.event("planday.shift.updated", SHIFT, received_at=world.now() + 0.8)
    planday = world.planday()
    await asyncio.gather(*(planday.enrich(event, now=world.now()) for _ in range(5)))
    assert world.asked()[SHIFTS] <= 5
    await planday.enrich(event, now=world.now())
    assert world.asked()[SHIFTS] <= 6


async def test_a_read_under_way_is_joined_only_by_those_it_is_fresh_enough_for(world: World) -> None:
    """The second event was accepted while the first one's read was on its way."""
    inner = httpx.ASGITransport(world.app)
    arrived, go_on = asyncio.Event(), asyncio.Event()

    class Slow(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            response = await inner.handle_async_request(request)
            if "/shifts/" in request.url.path and not arrived.is_set():
                arrived.set()
                await go_on.wait()
            return response

    planday = world.planday(transport=Slow())
    first = world.event("planday.shift.updated", SHIFT)
    reading = [asyncio.create_task(planday.enrich(first, now=world.now())) for _ in range(2)]
    await arrived.wait()
    world.simulator.act(BISTRO, "shift", "assign", id=SHIFT, employeeId=910234)
    world.clock.advance(1)
    late = asyncio.create_task(world.enrich(planday, "planday.shift.assigned", SHIFT))
    await asyncio.sleep(0)
    go_on.set()
    found = [await task for task in reading]
    assert [item.object and item.object["employeeId"] for item in found] == [IDA, IDA]
    last = (await late).object
    assert last is not None
    assert last["employeeId"] == 910234
    assert world.asked()[SHIFTS] == 2


async def test_a_change_of_a_person_is_seen_at_the_next_shift(world: World) -> None:
    """An event about a record replaces what was cached of it; without one it may be five minutes old."""
    planday, other = world.planday("*"), world.planday("*")

    async def first_name(number: int) -> Any:
        world.clock.advance(1)
        return (await world.enrich(other, "planday.shift.updated", number)).related["employee"]["firstName"]

    assert await first_name(SHIFT) == "Ida"
    world.simulator.portals[BISTRO].employees[IDA]["firstName"] = "Ada"
    assert await first_name(70010044) == "Ida"
    await world.enrich(planday, "planday.employee.updated", IDA)
    assert await first_name(70010050) == "Ada"
    world.simulator.portals[BISTRO].employees[IDA]["firstName"] = "Eda"
    world.clock.advance(1)
    await planday.forget(BISTRO, "employee", IDA, at=world.now())
    assert await first_name(SHIFT) == "Eda"
    del world.simulator.portals[BISTRO].employees[IDA]
    await world.enrich(planday, "planday.employee.deleted", IDA)
    world.clock.advance(1)
    found = await world.enrich(other, "planday.shift.updated", SHIFT)
    assert found.missing == ("employee: gone",)


async def test_a_reader_that_gives_up_does_not_take_the_others_with_it(world: World) -> None:
    """Ten wait for one read; the one who began it is cancelled."""
    planday = world.planday()
    event = world.event("planday.shift.updated", SHIFT)
    tasks = [asyncio.create_task(planday.enrich(event, now=world.now())) for _ in range(10)]
    await asyncio.sleep(0.01)
    tasks[0].cancel()
    done = await asyncio.gather(*tasks, return_exceptions=True)
    assert sum(isinstance(item, asyncio.CancelledError) for item in done) <= 1
    assert sum(getattr(item, "state", "") == "complete" for item in done) >= 9
    assert world.asked()[SHIFTS] == 1


async def test_other_settings_do_not_take_a_poorer_record_for_theirs(world: World) -> None:
    """A target that may have names was added: records cached without names do not serve."""
    await world.enrich(world.planday(), "planday.shift.updated", SHIFT)
    found = await world.enrich(world.planday("*"), "planday.shift.updated", SHIFT)
    assert found.related["employee"]["firstName"] == "Ida"


async def test_cached_records_that_nobody_can_read_are_read_anew(world: World) -> None:
    """Another release may have written them otherwise."""
    planday = world.planday()
    await world.enrich(planday, "planday.shift.updated", SHIFT)
    async for key in world.redis.scan_iter(match=f"{world.prefix}pd:cache:*"):
        await world.redis.set(key, b"0\n[1]")
    assert (await world.enrich(planday, "planday.shift.updated", SHIFT)).state == "complete"


async def test_closing_ends_what_is_under_way(world: World) -> None:
    """No task is left behind."""
    planday = world.planday()
    event = world.event("planday.shift.updated", SHIFT)
    task = asyncio.create_task(planday.enrich(event, now=world.now()))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await planday.aclose()
    await asyncio.gather(task, return_exceptions=True)
    assert {t for t in asyncio.all_tasks() if t is not asyncio.current_task()} == set()


# Rare answers ---------------------------------------------------------------------------------


async def test_a_hint_at_a_person_who_left_does_not_hide_a_punch(world: World) -> None:
    """Planday answers 400 for such a person; the search goes on without the hint."""
    world.simulator.faults.add(Fault(PUNCHES, "status", status=400, count=2))
    more = {"extensions": {"employeeid": str(IDA)}}
    found = await world.enrich(world.planday(), "planday.punchclock_entry.started", 8800123, **more)
    assert found.object is not None
    assert world.asked()[PUNCHES] == 3


async def test_a_list_that_does_not_hold_still_is_no_proof_that_something_is_gone(world: World) -> None:
    """Only a quiet list says that a record is not in it."""
    inner = httpx.ASGITransport(world.app)
    total = itertools.count(5)

    class Restless(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            if request.url.path != PUNCHES:
                return await inner.handle_async_request(request)
            rows = [{"id": next(total)}]
            return httpx.Response(200, json={"paging": {"total": next(total), "limit": 1}, "data": rows})

    with pytest.raises(PlandayUnavailable, match="hold still"):
        await world.enrich(world.planday(transport=Restless()), "planday.punchclock_entry.started", 1)


async def test_an_account_out_of_reach_makes_an_absence_partial(world: World) -> None:
    """The request itself is there."""
    world.simulator.faults.add(Fault("/absence/v1.0/accounts", "status", status=403, count=-1))
    planday = world.planday("class:A", "class:G")
    found = await world.enrich(planday, "planday.absence_request.approved", 66013)
    assert found.missing == ("account_type: 403 scope absence:read",)
    world.simulator.portals[BISTRO].absence_requests[66012]["employeeId"] = None
    found = await world.enrich(planday, "planday.absence_request.created", 66012)
    assert (found.state, set(found.related)) == ("complete", {"portal"})


async def test_a_check_says_what_it_could_not_find_out(world: World) -> None:
    """A read that fails otherwise proves nothing about its scope."""
    world.simulator.faults.add(Fault("/absence/*", "503", count=-1))
    world.simulator.faults.add(Fault("/hr/v1.0/departments", "status", status=400, count=-1))
    check = await world.planday("class:G").check("bistro")
    assert check.scopes["absence:read"] == check.scopes["department:read"] == "unknown"
    assert check.scopes["shifttype:read"] == "ok"
    assert check.missing == ()
    assert {(item.scope, item.window) for item in check.budget} == {
        ("portal", 1),
        ("portal", 60),
        ("client", 1),
        ("client", 60),
    }


async def test_being_away_for_one_related_record_lets_the_event_wait(world: World) -> None:
    """Later everything may be there: an event is not sent out poorer because of a hiccup."""
    world.simulator.faults.add(Fault("/hr/v1.0/departments/*", "503", count=3))
    planday = world.planday()
    with pytest.raises(PlandayUnavailable):
        await world.enrich(planday, "planday.shift.updated", SHIFT)
    assert (await world.enrich(planday, "planday.shift.updated", SHIFT)).state == "complete"
