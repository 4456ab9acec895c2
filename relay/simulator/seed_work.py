"""The work of the seed world: schedule, punches and absence."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta

from relay.simulator.flavours import EMPTY_EMAIL, HIDDEN, HOLIDAY, HUGE_SHIFT_ID, IDA, SICK_LEAVE, Flavour
from relay.simulator.state import Portal, Record, table

# department, employee, group, position, shift type, start, hours, status, minutes since creation
_SHIFTS: Sequence[tuple[int, int | None, int | None, int | None, int | None, int | None, str, float, str]] = (
    (70010041, 4101, 910234, 5202, 6302, 1, "2026-10-19T09:00", 8, "Approved"),
    (70010042, 4101, 910235, 5202, None, 1, "2026-10-19T15:00", 7.5, "PunchclockApproved"),
    (70010043, 4102, 910236, 5203, 6303, 1, "2026-10-20T07:00", 8, "PunchclockFinished"),
    (70010044, 4101, IDA, 5201, 6301, 1, "2026-10-20T09:00", 8, "Approved"),
    # Overnight, into the night the clocks go back.
    (70010045, 4101, IDA, 5202, None, None, "2026-10-24T20:00", 7.5, "Assigned"),
    # Begins in the hour that happens twice.
    (70010047, 4103, 910237, 5202, 6304, 1, "2026-10-25T02:30", 6, "Assigned"),
    # Begins in the spring hour that does not happen, and one across it.
    (70010048, 4103, 910237, 5202, 6304, 1, "2027-03-28T02:30", 6, "Assigned"),
    (70010049, 4101, 910234, 5202, 6302, 1, "2027-03-27T22:00", 8, "Assigned"),
    (70010050, 4101, IDA, 5201, 6301, 1, "2026-10-21T09:00", 8, "PunchclockStarted"),
    # Open, draft and for sale.
    (70010051, 4101, None, 5201, 6301, 1, "2026-10-28T10:00", 6, "Open"),
    (70010052, 4102, 910238, 5203, None, 1, "2026-10-29T10:00", 6, "Draft"),
    (70010053, 4102, None, 5203, 6303, 1, "2026-10-30T16:00", 8, "Draft"),
    (70010054, 4102, 910236, 5203, 6303, 1, "2026-10-31T08:00", 8, "ForSale"),
    # Without a department.
    (70010055, None, 910239, 5204, None, 1, "2026-10-27T08:00", 8, "Assigned"),
    # Health data in plain sight.
    (70010056, 4101, 910240, 5204, None, SICK_LEAVE, "2026-10-22T09:00", 8, "Assigned"),
    (70010057, 4103, 910234, 5202, 6302, HOLIDAY, "2026-10-23T09:00", 8, "Assigned"),
    # A status no spec knows, and a person the administrator may not see.
    (70010058, 4103, 910237, 5202, None, 1, "2026-10-26T12:00", 4, "Cancelled"),
    (70010059, 4101, HIDDEN, 5201, None, 1, "2026-10-26T09:00", 5, "Assigned"),
    (70010060, 4102, 910238, 5203, 6303, 1, "2026-11-02T00:00", 24, "PendingApproval"),
    (HUGE_SHIFT_ID, 4101, EMPTY_EMAIL, 5203, 6303, 1, "2026-11-03T17:00", 6, "Assigned"),
)


def add_schedule(portal: Portal, flavour: Flavour) -> None:
    """Positions, shift types and the shifts of the table above."""
    portal.positions = table(
        {
            "id": 6301 + i,
            "name": name,
            "startDate": "2024-01-01",
            "endDate": None,
            "isActive": i < 3,
            "departmentId": 4101 + i % 3,
            "sectionId": None,
            "employeeGroupId": 5201 + i,
            "affectRevenue": False,
            "revenueUnitId": None,
            "skillIds": [],
        }
        for i, name in enumerate(flavour.positions)
    )
    sick, holiday = flavour.leave
    portal.shift_types = table(
        {
            "id": key,
            "name": name,
            "color": "#21E56E",
            "salaryCode": f"MARKER-E-code-{key}",
            "isActive": key != 15,
            "payPercentage": 100.0,
            "payMonetary": None,
            "paymentType": "Percentage",
            "allowsBreaks": True,
            "allowBooking": True,
            "includeInSchedulePrint": True,
        }
        for key, name in ((1, "Normal"), (SICK_LEAVE, sick), (HOLIDAY, holiday), (15, "Old"))
    )
    for shift_id, department, employee, group, position, kind, start, hours, status in _SHIFTS:
        begins = datetime.fromisoformat(start) + timedelta(hours=flavour.later)
        portal.shifts[shift_id] = {
            "id": shift_id,
            "departmentId": department,
            "employeeId": employee,
            "employeeGroupId": group,
            "positionId": position,
            "shiftTypeId": kind,
            "date": begins.date().isoformat(),
            "startDateTime": _minutes(begins),
            "endDateTime": _minutes(begins + timedelta(hours=hours)),
            "timeZone": portal.zone,
            "status": status,
            "comment": "MARKER-H-comment" if shift_id % 2 else None,
            "punchClockShiftId": None,
            "skillIds": [],
            "dateTimeCreated": "2026-10-10T11:00:00Z",
            "dateTimeModified": "2026-10-21T07:45:12Z",
        }
    portal.deleted_shifts[70010046] = {
        **portal.shifts[70010059],
        "id": 70010046,
        "employeeId": 910240,
        "comment": "MARKER-H-deleted",
        "dateTimeModified": "2026-10-11T08:00:00Z",
        "dateTimeDeleted": "2026-10-21T09:02:33Z",
        "deletedBy": 900001,
    }


def add_punches(portal: Portal) -> None:
    """Punches on duty, finished, approved, and one without a shift."""
    # entry, shift, person if there is no shift, minutes early, minutes worked (None: still on duty), approved
    rows: Sequence[tuple[int, int | None, int, int, int | None, bool]] = (
        (8800123, 70010050, IDA, 3, None, False),
        (8800124, 70010042, 910235, 5, 457, True),
        (8800125, None, 910240, 0, 240, False),
        (8800126, 70010043, 910236, -7, 490, False),
    )
    for entry_id, shift_id, employee_id, early, worked, approved in rows:
        shift: Mapping[str, str | None] = portal.shifts[shift_id] if shift_id else {"startDateTime": "2026-10-20T17:00"}
        begins = datetime.fromisoformat(shift["startDateTime"] or "") - timedelta(minutes=early)
        portal.punches[entry_id] = {
            "id": entry_id,
            "shiftId": shift_id,
            "departmentId": 4101,
            "employeeId": employee_id,
            "startDateTime": _minutes(begins),
            "endDateTime": None if worked is None else _minutes(begins + timedelta(minutes=worked)),
            "shiftStartDateTime": shift["startDateTime"] if shift_id else None,
            "shiftEndDateTime": shift["endDateTime"] if shift_id else None,
            "description": "MARKER-H-punch",
            "isApproved": approved,
        }
        if shift_id:
            portal.shifts[shift_id]["punchClockShiftId"] = entry_id
    portal.punch_breaks[8800124] = [
        {
            "id": 9900001,
            "punchClocksShiftId": 8800124,
            "startDateTime": "2026-10-19T18:00",
            "endDateTime": "2026-10-19T18:30",
            "duration": 0.5,
        }
    ]


def add_absence(portal: Portal) -> None:
    """Accounts of every kind and a request in every state."""
    kinds = ((41, "Vacation"), (42, "Absence"), (43, "Flextime"), (44, "Accrued"))
    portal.account_types = table(
        {
            "id": key,
            "name": f"MARKER-G-accounttype-{key}",
            "unit": "Hours",
            "absenceType": kind,
            "accruingRate": {"value": 2.08, "unit": {"type": "Days"}} if kind == "Accrued" else None,
        }
        for key, kind in kinds
    )
    people = [IDA, 910234, 910235, 910236]
    portal.accounts = table(
        {
            "id": 3300451 + i,
            "name": "MARKER-G-account",
            "employeeId": employee_id,
            "typeId": 41 + i % 4,
            "status": "Active" if i < 4 else "Inactive",
            "validityPeriod": {"start": "2026-09-01" if i < 4 else "2025-09-01", "end": "2027-12-31"},
        }
        for i, employee_id in enumerate([*people, IDA])
    )
    rows = (
        (66012, IDA, "Submitted", "2026-12-21", 3, 3300451),
        (66013, 910234, "Approved", "2026-11-02", 1, 3300452),
        (66014, 910235, "Declined", "2026-10-26", 5, 3300453),
        (66015, 910236, "Cancelled", "2027-07-05", 15, 3300454),
        # A status nobody documents.
        (66016, IDA, "Withdrawn", "2027-02-08", 5, 3300451),
    )
    for request_id, employee_id, status, start, days, account_id in rows:
        ends = date.fromisoformat(start) + timedelta(days=days - 1)
        portal.absence_requests[request_id] = {
            "id": request_id,
            "employeeId": employee_id,
            "status": status,
            "absencePeriod": {"start": start, "end": ends.isoformat()},
            "note": "MARKER-H-note",
            "requestedAccounts": [requested_account(account_id, hours=7.4 * days)],
        }
    portal.absence_records[54001] = absence_record(54001, portal.absence_requests[66013])


def requested_account(account_id: int, *, hours: float) -> Record:
    """What a request takes from one account."""
    cost = [{"value": round(hours, 2), "unit": {"type": "Hours"}}]
    return {"id": account_id, "name": "MARKER-G-account", "cost": cost}


def absence_record(record_id: int, request: Record) -> Record:
    """The booked absence that an approved request becomes, with one registration a day."""
    (asked,) = request["requestedAccounts"]
    period = request["absencePeriod"]
    first, last = date.fromisoformat(period["start"]), date.fromisoformat(period["end"])
    days = [first + timedelta(days=number) for number in range((last - first).days + 1)]
    each = [{"value": round(cost["value"] / len(days), 2), "unit": cost["unit"]} for cost in asked["cost"]]
    return {
        "id": record_id,
        "employeeId": request["employeeId"],
        "status": "Approved",
        "note": request["note"],
        "absencePeriod": dict(period),
        "registrations": [
            {
                "date": day.isoformat(),
                "time": {"start": "00:00", "end": "24:00"},
                "account": {"id": asked["id"], "costs": each},
            }
            for day in days
        ],
    }


def _minutes(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M")
