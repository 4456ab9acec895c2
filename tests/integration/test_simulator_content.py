"""The simulated Planday's records have the fields, forms and oddities of the real ones."""

from collections.abc import AsyncIterator

import pytest

from relay.simulator.flavours import (
    BISTRO,
    DEACTIVATED,
    EMPTY_EMAIL,
    FUTURE_DISMISSAL,
    HIDDEN,
    HUGE_SHIFT_ID,
    IDA,
    SICK_LEAVE,
)
from tests.integration.test_simulator import PUNCHES, REQUESTS, SHIFTS, WINDOW, Caller, in_process


@pytest.fixture
async def planday() -> AsyncIterator[Caller]:
    """A simulated Planday and a client of it."""
    async with in_process() as caller:
        yield caller


async def test_an_employee_differs_between_list_and_by_id(planday: Caller) -> None:
    """Each view has fields the other lacks, and phones carry their prefix only in the list."""
    listed = next(row for row in await planday.data("/hr/v1.0/employees", limit=50) if row["id"] == IDA)
    single = await planday.data(f"/hr/v1.0/employees/{IDA}")
    assert set(listed) - set(single) == {
        "hiredDate",
        "dateTimeDeleted",
        "cellPhoneWithoutCountryPrefix",
        "phoneWithoutCountryPrefix",
    }
    only_single = {name for name in set(single) - set(listed) if not name.startswith("custom_")}
    assert only_single == {
        "hiredFrom",
        "jobTitle",
        "gender",
        "countryId",
        "workHours",
        "contractRulesRuleId",
        "supervisorEmployeeId",
        "skillIds",
        "isDeactivated",
    }
    assert (listed["cellPhone"], single["cellPhone"]) == ("+4500000001", "00000001")
    assert listed["ssn"] == single["ssn"] == ""
    assert "birthDate" not in listed


async def test_security_groups_come_only_when_asked_for(planday: Caller) -> None:
    """`includeSecurityGroups=true` adds the field to the list of active people."""
    assert "securityGroups" not in (await planday.data("/hr/v1.0/employees", limit=1))[0]
    assert (await planday.data("/hr/v1.0/employees", limit=1, includeSecurityGroups="true"))[0]["securityGroups"] == [1]


async def test_special_fields_need_their_scope_and_are_noted(planday: Caller) -> None:
    """`special` without its scope is 403, with it shows the field, and is always unexpected."""
    assert (await planday.get(f"/hr/v1.0/employees/{IDA}", special="Ssn")).status_code == 403
    await planday.control(f"/portals/{BISTRO}/authorisation/scopes", scopes=["employee:read", "ssn:read"])
    assert (await planday.data(f"/hr/v1.0/employees/{IDA}", special="Ssn"))["ssn"] == "MARKER-F-ssn"
    assert "special sent" in await planday.unexpected()


async def test_the_deactivated_are_listed_apart(planday: Caller) -> None:
    """They are absent from the active list, lack three fields, and are found by `deactivatedFrom`."""
    active = await planday.data("/hr/v1.0/employees", limit=50)
    gone = await planday.data("/hr/v1.0/employees/deactivated", limit=50)
    assert DEACTIVATED not in [row["id"] for row in active]
    assert [row["id"] for row in gone] == [DEACTIVATED]
    assert not {"securityGroups", "supervisorId", "primaryDepartmentId"} & set(gone[0])
    late = await planday.data("/hr/v1.0/employees/deactivated", limit=50, deactivatedFrom="2026-10-02T00:00:00Z")
    assert late == []


@pytest.mark.parametrize("status", ["200", "400", "404"])
async def test_a_deactivated_person_by_id_is_a_switch(planday: Caller, status: str) -> None:
    """It is unknown what Planday answers, so all three are possible."""
    await planday.control("/settings", deactivated_employee=status)
    answer = await planday.get(f"/hr/v1.0/employees/{DEACTIVATED}")
    assert answer.status_code == int(status)
    if status == "200":
        assert answer.json()["data"]["isDeactivated"] is True


@pytest.mark.parametrize("status", ["400", "403", "404"])
async def test_a_person_outside_the_admins_departments_shows_in_shifts_only(planday: Caller, status: str) -> None:
    """Shifts name the person; lists do not, and the by-id read is refused."""
    await planday.control("/settings", hidden_employee=status)
    assert (await planday.data(f"{SHIFTS}/70010059"))["employeeId"] == HIDDEN
    assert HIDDEN not in [row["id"] for row in await planday.data("/hr/v1.0/employees", limit=50)]
    assert (await planday.get(f"/hr/v1.0/employees/{HIDDEN}")).status_code == int(status)


async def test_an_unknown_employee_is_400_and_an_unknown_shift_404(planday: Caller) -> None:
    """The errors guide's 400 for people; the spec's 404 for shifts."""
    assert (await planday.get("/hr/v1.0/employees/1")).status_code == 400
    assert (await planday.get(f"{SHIFTS}/1")).status_code == 404
    for path in ("/hr/v1.0/departments/1", "/hr/v1.0/employeegroups/1", "/scheduling/v1.0/positions/1"):
        assert (await planday.get(path)).status_code == 404
    assert (await planday.get(f"{PUNCHES}/byShift/1")).status_code == 404


async def test_the_odd_people_are_there(planday: Caller) -> None:
    """An empty email, a future dismissal, Danish letters and three forms of timestamps."""
    people = {row["id"]: row for row in await planday.data("/hr/v1.0/employees", limit=50)}
    assert people[EMPTY_EMAIL]["email"] == ""
    assert people[FUTURE_DISMISSAL]["deactivationDate"] == "2027-01-31"
    assert people[910234]["lastName"] == "Ægidius"
    assert people[910235]["dateTimeCreated"] == "2016-01-02"
    assert people[IDA]["dateTimeModified"] == "2026-10-20T08:14:09.1234567Z"


async def test_the_odd_shifts_are_there(planday: Caller) -> None:
    """Overnight over the clock change, no department, open, draft, sick leave, a status nobody knows, a huge id."""
    shifts = {row["id"]: row for row in await planday.data(SHIFTS, limit=5000)}
    night = shifts[70010045]
    assert (night["date"], night["startDateTime"], night["endDateTime"], night["timeZone"]) == (
        "2026-10-24",
        "2026-10-24T20:00",
        "2026-10-25T03:30",
        "Europe/Copenhagen",
    )
    assert "departmentId" not in shifts[70010055]
    assert "employeeId" not in shifts[70010051]
    assert shifts[70010052]["status"] == "Draft"
    assert shifts[70010056]["shiftTypeId"] == SICK_LEAVE
    assert shifts[70010058]["status"] == "Cancelled"
    assert HUGE_SHIFT_ID in shifts
    assert HUGE_SHIFT_ID > 2**53
    assert all(row["futureField"] for row in shifts.values())


async def test_one_shift_type_means_sick_leave(planday: Caller) -> None:
    """The name is health data in the portal's language."""
    names = {row["id"]: row["name"] for row in await planday.data("/scheduling/v1.0/shifttypes", limit=50)}
    assert names[SICK_LEAVE] == "Sygdom"
    active = await planday.data("/scheduling/v1.0/shifttypes", limit=50, isActive="true")
    assert len(active) == len(names) - 1


@pytest.mark.parametrize(("nulls", "shift_has", "person_has"), [("as_seen", 0, 1), ("present", 1, 1), ("omit", 0, 0)])
async def test_nulls_are_kept_or_left_out(planday: Caller, nulls: str, shift_has: int, person_has: int) -> None:
    """Live shifts leave nulls out and people keep them; either can be had for all."""
    await planday.control("/settings", nulls=nulls)
    assert ("shiftTypeId" in await planday.data(f"{SHIFTS}/70010045")) is bool(shift_has)
    assert ("deactivationDate" in await planday.data(f"/hr/v1.0/employees/{IDA}")) is bool(person_has)


@pytest.mark.parametrize(
    ("form", "start", "end"),
    [
        ("local", "2026-10-24T20:00", "2026-10-25T03:30"),
        ("local_seconds", "2026-10-24T20:00:00", "2026-10-25T03:30:00"),
        ("utc", "2026-10-24T18:00:00Z", "2026-10-25T02:30:00Z"),
        ("offset", "2026-10-24T20:00:00+02:00", "2026-10-25T03:30:00+01:00"),
        ("utc_bare", "2026-10-24T18:00:00", "2026-10-25T02:30:00"),
    ],
)
async def test_shift_times_come_in_each_form(planday: Caller, form: str, start: str, end: str) -> None:
    """One night shift over the autumn change, written five ways."""
    await planday.control("/settings", datetimes=form)
    shift = await planday.data(f"{SHIFTS}/70010045")
    assert (shift["startDateTime"], shift["endDateTime"]) == (start, end)


@pytest.mark.parametrize(("rule", "found"), [("strict", False), ("inclusive", True)])
async def test_modified_from_is_after_or_from(planday: Caller, rule: str, found: bool) -> None:
    """Whether the bound itself belongs to the answer is a switch, for shifts and for people."""
    await planday.control("/settings", modified_from=rule)
    shifts = await planday.data(SHIFTS, limit=50, modifiedFrom="2026-10-21T07:45:12Z")
    assert bool(shifts) is found
    people = await planday.data("/hr/v1.0/employees", limit=50, modifiedFrom="2026-10-20T08:14:09.1234567Z")
    assert bool(people) is found


async def test_drafts_may_be_hidden_unless_asked_for(planday: Caller) -> None:
    """Whether the plain list holds drafts is a switch; the status filter always finds them."""
    await planday.control("/settings", drafts_listed=False)
    assert "Draft" not in {row["status"] for row in await planday.data(SHIFTS, limit=50)}
    assert len(await planday.data(SHIFTS, limit=50, shiftStatus="Draft")) == 2


async def test_shift_dates_are_inclusive(planday: Caller) -> None:
    """`from` and `to` name days, both of which belong to the answer; an overnight shift belongs to its first."""
    rows = await planday.data(SHIFTS, limit=50, **{"from": "2026-10-24", "to": "2026-10-24"})
    assert [row["id"] for row in rows] == [70010045]


async def test_deleted_shifts_have_their_own_fields(planday: Caller) -> None:
    """No punch or skill fields, but who deleted it and when."""
    (row,) = await planday.data(f"{SHIFTS}/deleted", limit=50, deletedFrom="2026-10-21T09:02:33Z")
    assert (row["deletedBy"], row["dateTimeDeleted"]) == (900001, "2026-10-21T09:02:33Z")
    assert not {"punchClockShiftId", "skillIds"} & set(row)
    assert await planday.data(f"{SHIFTS}/deleted", limit=50, deletedFrom="2026-10-21T09:02:34Z") == []


async def test_a_punch_is_found_by_window_or_by_shift_and_never_by_id(planday: Caller) -> None:
    """There is no documented read of one punch."""
    rows = {row["id"]: row for row in await planday.data(PUNCHES, limit=50, **WINDOW)}
    assert rows[8800123]["endDateTime"] is None
    assert rows[8800125]["shiftId"] is None
    assert [row["id"] for row in await planday.data(f"{PUNCHES}/byShift/70010050")] == [8800123]
    assert (await planday.get(f"{PUNCHES}/8800123")).status_code == 404


async def test_breaks_are_counted_and_not_paged(planday: Caller) -> None:
    """Their paging holds only a total."""
    body = (await planday.get(f"{PUNCHES}/8800124/breaks")).json()
    assert body["paging"] == {"total": 1}
    assert body["data"][0]["punchClocksShiftId"] == 8800124


async def test_absence_needs_two_hops_to_its_kind(planday: Caller) -> None:
    """Request to account, account to type, type to absenceType."""
    (request,) = await planday.data(REQUESTS, Limit=50, employeeId=IDA, status="Submitted")
    accounts = {row["id"]: row for row in await planday.data("/absence/v1.0/accounts", Limit=50, employeeId=IDA)}
    types = {row["id"]: row for row in await planday.data("/absence/v1.0/accounttypes", Limit=50)}
    account = accounts[request["requestedAccounts"][0]["id"]]
    assert types[account["typeId"]]["absenceType"] == "Vacation"
    assert {row["status"] for row in accounts.values()} == {"Active", "Inactive"}


async def test_absence_is_windowed_by_period_and_filtered_by_repeated_status(planday: Caller) -> None:
    """A request counts when its days touch the window; `status` may be repeated, and nothing else may."""
    rows = await planday.data(REQUESTS, Limit=50, startDate="2026-12-23", endDate="2026-12-31")
    assert [row["id"] for row in rows] == [66012]
    both = await planday.data(REQUESTS, Limit=50, status=["Approved", "Declined"])
    assert {row["status"] for row in both} == {"Approved", "Declined"}
    assert await planday.unexpected() == []


async def test_skills_are_a_bare_array(planday: Caller) -> None:
    """No envelope, and the id is called skillId."""
    assert (await planday.get("/hr/v1.0/skills")).json()[0]["skillId"] == 31


async def test_members_are_ids_without_paging(planday: Caller) -> None:
    """Department and group membership come unpaged."""
    body = (await planday.get("/hr/v1.0/departments/4101/employees")).json()
    assert "paging" not in body
    assert all(set(row) == {"employeeId"} for row in body["data"])


async def test_every_class_from_d_to_h_carries_a_marker(planday: Caller) -> None:
    """A leak of any of these classes can be found by searching for one word."""
    await planday.control("/settings", portal_per_second=1000)
    texts = [
        (await planday.get(path)).text
        for path in (
            "/hr/v1.0/employees?limit=50",
            f"/hr/v1.0/employees/{IDA}",
            f"{SHIFTS}?limit=50",
            f"{PUNCHES}?limit=50&from=2026-10-15T00:00&to=2026-10-31T00:00",
            f"{REQUESTS}?Limit=50",
            "/scheduling/v1.0/shifttypes?limit=50",
        )
    ]
    for letter in "DEFGH":
        assert any(f"MARKER-{letter}-" in text for text in texts), letter
