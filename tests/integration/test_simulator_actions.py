"""The second half of what can be done in a simulated portal: reference data, records, breaks, hours that repeat."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from relay.simulator.flavours import BISTRO, IDA
from tests.integration.test_simulator import PUNCHES, REQUESTS, SHIFTS, Caller, in_process

RECORDS = "/absence/v1.0/absencerecords"
LISTS = {
    "department": "/hr/v1.0/departments",
    "employee_group": "/hr/v1.0/employeegroups",
    "position": "/scheduling/v1.0/positions",
    "shift_type": "/scheduling/v1.0/shifttypes",
}


@pytest.fixture
async def planday() -> AsyncIterator[Caller]:
    """A simulated Planday and a client of it."""
    async with in_process() as caller:
        yield caller


async def act(planday: Caller, what: str, **fields: Any) -> dict[str, Any]:
    """One action through the control endpoint."""
    answer: dict[str, Any] = await planday.control(f"/portals/{BISTRO}/{what}", **fields)
    return answer


@pytest.mark.parametrize(("entity", "path"), LISTS.items())
async def test_reference_data_is_made_renamed_and_deleted(planday: Caller, entity: str, path: str) -> None:
    """Each step shows in the list and in the record of changes."""

    async def named() -> dict[int, str]:
        return {row["id"]: row["name"] for row in await planday.data(path, limit=50)}

    before = await named()
    made = (await act(planday, f"{entity}/create", name="Ny"))["entity"]["id"]
    assert await named() == before | {made: "Ny"}
    await act(planday, f"{entity}/edit", id=made, name="Nyere")
    assert (await named())[made] == "Nyere"
    change = (await act(planday, f"{entity}/delete", id=made))["change"]
    assert await named() == before
    assert (change["before"]["name"], change["after"]) == ("Nyere", {})
    announced = entity in ("department", "employee_group")
    assert change["type"] == (f"planday.{entity}.deleted" if announced else None)


async def test_a_deleted_department_is_read_only_on_request(planday: Caller) -> None:
    """By id with `includeDeleted`; deleting it again makes no sense."""
    await act(planday, "department/delete", id=4103)
    assert (await planday.get("/hr/v1.0/departments/4103")).status_code == 404
    assert (await planday.get("/hr/v1.0/departments/4103", includeDeleted="true")).is_success
    again = await planday.http.post(f"/control/portals/{BISTRO}/department/delete", json={"id": 4103})
    assert again.status_code == 400


async def test_the_portal_is_renamed(planday: Caller) -> None:
    """Its info is reference data as well."""
    await act(planday, "portal/edit", name="Bistro Nord")
    assert (await planday.data("/portal/v1.0/info"))["name"] == "Bistro Nord"


async def test_a_day_is_hidden(planday: Caller) -> None:
    """Days have titles, visibility and a lock; a hidden one may hide its shifts from the API, by switch."""
    window: dict[str, Any] = {"departmentId": 4101, "from": "2026-10-19", "to": "2026-10-22", "limit": 50}
    days = await planday.data("/scheduling/v1.0/scheduleDay", **window)
    assert [(day["date"], day["isVisible"]) for day in days] == [
        (f"2026-10-{number}", True) for number in range(19, 23)
    ]
    await act(planday, "schedule_day/edit", departmentId=4101, date="2026-10-20", isVisible=False)
    days = await planday.data("/scheduling/v1.0/scheduleDay", **window)
    assert [day["isVisible"] for day in days] == [True, False, True, True]
    assert 70010044 in [row["id"] for row in await planday.data(SHIFTS, limit=50)]
    planday.simulator.settings.hidden_days_hide_shifts = True
    assert 70010044 not in [row["id"] for row in await planday.data(SHIFTS, limit=50)]
    for missing in ("departmentId", "from", "to"):
        params = {name: value for name, value in window.items() if name != missing}
        assert (await planday.get("/scheduling/v1.0/scheduleDay", **params)).status_code == 400


async def test_an_approved_request_books_an_absence(planday: Caller) -> None:
    """One registration a day; cancelling takes the record away, declining marks it."""
    change = (await act(planday, "absence_request/approve", id=66012))["change"]
    ((entity, record_id),) = [(row["entity"], row["id"]) for row in change["also"]]
    assert entity == "absence_record"
    record = await planday.data(f"{RECORDS}/{record_id}")
    assert (record["employeeId"], record["status"], record["absencePeriod"]) == (
        IDA,
        "Approved",
        {"start": "2026-12-21", "end": "2026-12-23"},
    )
    assert [day["date"] for day in record["registrations"]] == ["2026-12-21", "2026-12-22", "2026-12-23"]
    assert not {"futureField", *record} & {"_request"}
    await act(planday, "absence_request/decline", id=66012)
    assert (await planday.data(f"{RECORDS}/{record_id}"))["status"] == "Declined"
    await act(planday, "absence_request/cancel", id=66012)
    assert (await planday.get(f"{RECORDS}/{record_id}")).status_code == 404


async def test_absence_records_are_found_by_period_person_and_status(planday: Caller) -> None:
    """The same filters as requests, but `statuses`."""
    (row,) = await planday.data(RECORDS, Limit=50, startDate="2026-11-01", endDate="2026-11-30")
    assert row["id"] == 54001
    assert await planday.data(RECORDS, Limit=50, startDate="2026-12-01") == []
    assert await planday.data(RECORDS, Limit=50, employeeId=IDA) == []
    assert await planday.data(RECORDS, Limit=50, statuses="Declined") == []
    edited = await act(planday, "absence_record/edit", id=54001, note="MARKER-H-edited")
    assert edited["change"]["type"] == "planday.absence_record.updated"
    await act(planday, "absence_record/delete", id=54001)
    assert await planday.data(RECORDS, Limit=50) == []
    assert await planday.unexpected() == []


async def test_a_request_is_moved(planday: Caller) -> None:
    """Another period, and another type of event than a decision."""
    answer = await act(planday, "absence_request/edit", id=66012, start="2027-06-01", end="2027-06-02")
    assert answer["change"]["after"] == {"absencePeriod": {"start": "2027-06-01", "end": "2027-06-02"}}
    (row,) = await planday.data(REQUESTS, Limit=50, startDate="2027-06-01", endDate="2027-06-30")
    assert row["id"] == 66012


async def test_a_balance_is_what_was_not_taken(planday: Caller) -> None:
    """Approved absence on the account is taken on its days; an unknown account is 404."""
    path = "/absence/v1.0/accounts/3300452"
    assert (await planday.data(f"{path}/balance", balanceDate="2026-11-01"))["balance"][0]["value"] == 185.0
    assert (await planday.data(f"{path}/balance"))["balance"] == [{"value": 177.6, "unit": {"type": "Hours"}}]
    (taken,) = await planday.data(f"{path}/transactions")
    assert (taken["date"], taken["costs"][0]["value"]) == ("2026-11-02", -7.4)
    for what in ("balance", "transactions"):
        assert (await planday.get(f"/absence/v1.0/accounts/1/{what}")).status_code == 404


async def test_a_break_begins_ends_and_is_corrected(planday: Caller) -> None:
    """It shows under its punch, with a duration once it is over."""
    punch = 8800123
    started = await act(planday, "punchclock_break/start", punchId=punch)
    assert started["change"]["type"] == "planday.punchclock_break.started"
    planday.simulator.clock.advance(1800)
    ended = await act(planday, "punchclock_break/end", id=started["entity"]["id"])
    assert ended["change"]["after"] == {"endDateTime": "2026-10-21T12:30", "duration": 0.5}
    edited = await act(planday, "punchclock_break/edit", id=started["entity"]["id"], endDateTime="2026-10-21T12:45")
    assert edited["change"]["type"] == "planday.punchclock_break.updated"
    answer = (await planday.get(f"{PUNCHES}/{punch}/breaks")).json()
    assert answer["paging"] == {"total": 1}
    assert (answer["data"][0]["punchClocksShiftId"], answer["data"][0]["duration"]) == (punch, 0.75)
    again = await planday.http.post(f"/control/portals/{BISTRO}/punchclock_break/end", json={"id": 9900001})
    assert again.status_code == 400


async def test_a_punch_is_unapproved_and_deleted(planday: Caller) -> None:
    """The shift follows back; the breaks go with the punch."""
    answer = await act(planday, "punchclock_entry/unapprove", id=8800124)
    assert answer["change"]["type"] == "planday.punchclock_entry.unapproved"
    assert (await planday.data(f"{SHIFTS}/70010042"))["status"] == "PunchclockFinished"
    answer = await act(planday, "punchclock_entry/delete", id=8800124)
    gone = {row["entity"] for row in answer["change"]["also"]}
    assert gone == {"punchclock_break", "shift", "payroll_line"}
    shift = await planday.data(f"{SHIFTS}/70010042")
    assert shift["status"] == "Assigned"
    assert "punchClockShiftId" not in shift
    assert (await planday.get(f"{PUNCHES}/byShift/70010042")).status_code == 404


async def test_todays_shifts_of_a_person(planday: Caller) -> None:
    """A short form, under a scheduling scope."""
    (row,) = await planday.data("/punchclock/v1.0/employeeshifts/today", employeeId=IDA)
    assert (row["id"], row["startDateTime"]) == (70010050, "2026-10-21T09:00")


async def test_history_tells_which_field_changed(planday: Caller) -> None:
    """For employees by path and raw value, under a scope of its own; for shifts in free text."""
    await act(planday, "employee/edit", id=IDA, lastName="Nyt")
    path = f"/hr/v1.0/employees/{IDA}/history"
    assert (await planday.get(path, limit=50)).status_code == 403
    await planday.control(f"/portals/{BISTRO}/authorisation/scopes", scopes=["employee:history", "shift:read"])
    (row,) = await planday.data(path, limit=50, startDateTime="2026-10-21", endDateTime="2026-10-21")
    assert (row["op"], row["path"], row["value"]) == ("replace", "/lastName", "Nyt")
    assert row["modificationDateTime"] == "2026-10-21T10:00:00"
    assert await planday.data(path, limit=50, startDateTime="2026-10-22") == []
    await act(planday, "shift/approve", id=70010045)
    (row,) = await planday.data(f"{SHIFTS}/70010045/history", limit=50)
    assert row["changes"] == ["MARKER-H-history: status changed"]
    for unknown in (f"{SHIFTS}/1/history", "/hr/v1.0/employees/1/history"):
        assert (await planday.get(unknown, limit=50)).status_code == 404


# The hours that repeat, and those that are missing


async def test_a_shift_in_the_repeated_hour_is_one_or_the_other(planday: Caller) -> None:
    """On the wall both look alike; where a form has an offset, it is the instant that was meant."""
    made = [
        (await act(planday, "shift/create", startDateTime=start, endDateTime="2026-10-25T09:00"))["entity"]["id"]
        for start in ("2026-10-25T02:30+02:00", "2026-10-25T02:30+01:00", "2026-10-25T01:30Z", "2026-10-25T02:30")
    ]
    local = [(await planday.data(f"{SHIFTS}/{one}"))["startDateTime"] for one in made]
    assert local == ["2026-10-25T02:30"] * 4
    planday.simulator.settings.datetimes = "offset"
    offsets = [(await planday.data(f"{SHIFTS}/{one}"))["startDateTime"][-6:] for one in made]
    assert offsets == ["+02:00", "+01:00", "+01:00", "+02:00"]
    await act(planday, "shift/edit", id=made[1], startDateTime="2026-10-25T02:30")
    assert (await planday.data(f"{SHIFTS}/{made[1]}"))["startDateTime"].endswith("+02:00")


async def test_a_shift_may_begin_in_an_hour_that_never_was(planday: Caller) -> None:
    """The spring hour is stored as it was typed; what it means in UTC is anybody's guess."""
    answer = await act(planday, "shift/create", startDateTime="2027-03-28T02:30", endDateTime="2027-03-28T09:00")
    assert answer["entity"]["startDateTime"] == "2027-03-28T02:30"
    assert (answer["entity"]["date"], answer["change"]["after"]["date"]) == ("2027-03-28", "2027-03-28")


async def test_punches_an_hour_apart_can_read_the_same(planday: Caller) -> None:
    """In at 02:30 and out at 02:30, an hour later: only the forms with an offset can tell."""
    clock = planday.simulator.clock
    clock.advance(3 * 86400 + 14.5 * 3600)
    entry = (await act(planday, "punchclock_entry/start", employeeId=IDA))["entity"]
    clock.advance(3600)
    ended = (await act(planday, "punchclock_entry/end", id=entry["id"]))["entity"]
    assert (entry["startDateTime"], ended["endDateTime"]) == ("2026-10-25T02:30", "2026-10-25T02:30")
    planday.simulator.settings.datetimes = "utc"
    window: dict[str, Any] = {"from": "2026-10-25T00:00", "to": "2026-10-26T00:00"}
    (row,) = await planday.data(PUNCHES, limit=50, **window)
    assert (row["startDateTime"], row["endDateTime"]) == ("2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z")


async def test_a_future_dismissal_leaves_the_person_active(planday: Caller) -> None:
    """Until its day; reactivating takes it back."""
    await act(planday, "employee/dismiss", id=IDA, on="2026-12-31")
    row = next(row for row in await planday.data("/hr/v1.0/employees", limit=50) if row["id"] == IDA)
    assert (row["deactivationDate"], row["terminationTypeName"]) == ("2026-12-31", "MARKER-F-termination")
    await act(planday, "employee/reactivate", id=IDA)
    row = next(row for row in await planday.data("/hr/v1.0/employees", limit=50) if row["id"] == IDA)
    assert (row["deactivationDate"], row["terminationTypeId"]) == (None, None)
