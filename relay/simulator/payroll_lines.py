"""What each shift earns: a pure function of the shift, its punch, its type and the person."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from relay.simulator.settings import Settings
from relay.simulator.state import Portal, Record
from relay.simulator.times import hours_between

MONTHLY = 72
_UNPAID = {"Draft", "Open", "Cancelled"}
# Evening money per hour from this hour of the day, and what a meal costs on long days.
_EVENING, _EVENING_RATE, _MEAL, _MEAL_FROM = 18, 25.0, -35.0, 6.0


def earns(portal: Portal, shift: Record) -> bool:
    """Whether payroll has a line for it at all: some types, drafts and shifts without a person never do."""
    return (
        shift["employeeId"] is not None
        and shift["departmentId"] is not None
        and shift["status"] not in _UNPAID
        and shift["shiftTypeId"] not in portal.unpaid_shift_types
    )


def approved(shift: Record, settings: Settings) -> bool:
    """Whether `shiftStatus=Approved` shows the line."""
    return shift["status"] == "Approved" or (settings.punch_approval_pays and shift["status"] == "PunchclockApproved")


def line(portal: Portal, shift: Record) -> Record:
    """One row of `shiftsPayroll`; `salary` is final money."""
    start, end, zone = shift["startDateTime"], shift["endDateTime"], shift["timeZone"] or portal.zone
    hours = hours_between(start, end, zone)
    kind = portal.shift_types.get(shift["shiftTypeId"], {})
    rate, basis = wage(portal, shift["employeeId"])
    breaks = [_break(row, rate, basis) for row in _breaks(portal, shift)]
    supplements = _evening(start, end) if rate else []
    paid = 0.0 if rate is None else rate * (hours if basis == "Hourly" else 1.0)
    paid *= (kind.get("payPercentage") or 100.0) / 100
    paid += sum(row["modification"] for row in [*supplements, *breaks])
    return {
        "id": shift["id"],
        "employeeId": shift["employeeId"],
        "departmentId": shift["departmentId"],
        "employeeGroupId": shift["employeeGroupId"],
        "positionId": shift["positionId"],
        "shiftTypeId": shift["shiftTypeId"],
        "date": shift["date"],
        "start": f"{start}:00",
        "end": f"{end}:00",
        "shiftDuration": f"{int(hours):02}:{round(hours % 1 * 60):02}:00",
        "salaryCode": kind.get("salaryCode", "MARKER-E-code"),
        "salary": round(paid, 2),
        "wage": {"rate": rate, "type": basis},
        "supplements": supplements,
        "breaks": breaks,
    }


def deduction(portal: Portal, shift: Record) -> Record | None:
    """One row of `supplementsPayroll`: a meal, whose price is negative; midnight to midnight."""
    hours = hours_between(shift["startDateTime"], shift["endDateTime"], shift["timeZone"] or portal.zone)
    if hours < _MEAL_FROM or wage(portal, shift["employeeId"])[0] is None:
        return None
    day = datetime.fromisoformat(shift["date"])
    return {
        "employeeId": shift["employeeId"],
        "date": shift["date"],
        "start": day.isoformat(),
        "end": (day + timedelta(days=1)).isoformat(),
        "salaryCode": "7001",
        "name": "Meal deduction",
        "units": 1,
        "wage": _MEAL,
        "salary": _MEAL,
    }


def wage(portal: Portal, employee_id: int) -> tuple[float | None, str]:
    """Rate and basis; people with a monthly salary have a null rate, some are paid by the shift."""
    person = portal.employees.get(employee_id)
    if person is not None and person["employeeTypeId"] == MONTHLY:
        return None, "Hourly"
    return (900.0, "Shift") if employee_id % 10 == 4 else (140.0 + employee_id % 7 * 5, "Hourly")


def entries(portal: Portal, shift_ids: Iterable[int], settings: Settings) -> dict[tuple[str, int], Record]:
    """What payroll says about some shifts, for the record of changes; `approved` is no field of Planday's."""
    found: dict[tuple[str, int], Record] = {}
    for shift_id in shift_ids:
        shift = portal.shifts.get(shift_id)
        if shift is not None and earns(portal, shift):
            counted = {"approved": approved(shift, settings)}
            found["payroll_line", shift_id] = line(portal, shift) | counted
            meal = deduction(portal, shift)
            if meal is not None:
                found["payroll_supplement", shift_id] = {"id": shift_id} | meal | counted
    return found


def touched(portal: Portal, entity: str, fields: Any) -> set[int]:
    """The shifts whose lines an action may move, as far as can be told beforehand."""
    wanted = fields.get("id")
    if entity == "shift":
        return {wanted}
    if entity == "punchclock_break":
        known = portal.breaks().get(wanted)
        entity, wanted = "punchclock_entry", known["punchClocksShiftId"] if known else fields.get("punchId")
    if entity == "punchclock_entry":
        return {portal.punches.get(wanted, {}).get("shiftId"), fields.get("shiftId")}
    if entity == "shift_type":
        return {row["id"] for row in portal.shifts.values() if row["shiftTypeId"] == wanted}
    if entity == "employee" and "employeeTypeId" in fields:
        return {row["id"] for row in portal.shifts.values() if row["employeeId"] == wanted}
    return set()


def _breaks(portal: Portal, shift: Record) -> list[Record]:
    rows = portal.punch_breaks.get(shift["punchClockShiftId"] or 0, [])
    return [row for row in rows if row["endDateTime"] is not None]


def _break(row: Record, rate: float | None, basis: str) -> Record:
    money = -round((rate or 0.0) * row["duration"], 2) if basis == "Hourly" else 0.0
    return {
        "id": row["id"],
        "start": f"{row['startDateTime']}:00",
        "end": f"{row['endDateTime']}:00",
        "duration": row["duration"],
        "title": "MARKER-H-break",
        "amount": money,
        "modification": money,
        "isPaid": False,
    }


def _evening(start: str, end: str) -> list[Record]:
    begins, ends = datetime.fromisoformat(start), datetime.fromisoformat(end)
    evening = begins.replace(hour=_EVENING, minute=0)
    hours = (ends - max(begins, evening)) / timedelta(hours=1)
    if hours <= 0:
        return []
    return [
        {
            "id": 501,
            "name": "Evening",
            "duration": round(hours, 2),
            "salaryCode": "MARKER-E-evening",
            "modification": round(hours * _EVENING_RATE, 2),
            "start": max(begins, evening).isoformat(),
            "end": ends.isoformat(),
        }
    ]
