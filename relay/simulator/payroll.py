"""`/payroll/v1.0/payroll`: what a period pays; not paged, and without the usual envelope."""

from calendar import monthrange
from datetime import date, timedelta

from starlette.responses import JSONResponse, Response

from relay.simulator.answers import UNKNOWN_FIELD, BadParameterError
from relay.simulator.api import Endpoint, Read, names
from relay.simulator.payroll_lines import MONTHLY, approved, deduction, earns, line
from relay.simulator.state import Record
from relay.simulator.times import show_local

_CURRENCIES = {"GB": ("£", "£{0:0.00}")}


def payroll(read: Read) -> Response:
    """Departments and period are required; without `shiftStatus` approved and other shifts come together."""
    departments = read.params.needed_ids("departmentIds")
    first, last = read.params.window("from", "to")
    status = read.params.text("shiftStatus")
    if status not in (None, "Approved", "Nonapproved"):
        raise BadParameterError("shiftStatus", f"The value '{status}' is not valid.")
    shifts = [
        row
        for _, row in sorted(read.portal.shifts.items())
        if first.isoformat() <= row["date"] <= last.isoformat()
        and row["departmentId"] in departments
        and earns(read.portal, row)
        and (status is None or approved(row, read.settings) == (status == "Approved"))
    ]
    whole = read.params.flag("returnFullSalaryForMonthlyPaid") or False
    symbol, form = _CURRENCIES.get(read.portal.info["country"], ("kr.", "{0:0.00} kr."))
    meals = [meal for row in shifts if (meal := deduction(read.portal, row))]
    return JSONResponse(
        {
            "currencySymbol": symbol,
            "currencyFormatString": form,
            "shiftsPayroll": [_shown(read, line(read.portal, row)) for row in shifts],
            "supplementsPayroll": [_shown(read, meal) for meal in meals],
            # These stay whatever the status asked for: their presence proves nothing about approval.
            "salariedPayroll": [
                _dressed(read, row) for row in _salaries(read, departments, first=first, last=last, whole=whole)
            ],
        }
    )


def _shown(read: Read, row: Record) -> Record:
    form = "local_seconds" if read.settings.datetimes == "local" else read.settings.datetimes
    times = {name: show_local(row[name], zone=read.portal.zone, form=form) for name in ("start", "end")}
    return _dressed(read, row | times)


def _dressed(read: Read, row: Record) -> Record:
    return {**row, **UNKNOWN_FIELD} if read.settings.unknown_fields else row


def _salaries(read: Read, departments: set[int], *, first: date, last: date, whole: bool) -> list[Record]:
    people = [
        row
        for key, row in sorted(read.portal.employees.items())
        if row["employeeTypeId"] == MONTHLY
        and row["primaryDepartmentId"] in departments
        and key not in read.portal.hidden_employees
        and (not row["isDeactivated"] or (row["deactivationDate"] or "") >= first.isoformat())
    ]
    shares = _month_shares(first, last)
    units = len(shares) if whole else sum(days / in_month for days, in_month in shares)
    return [
        {
            "employeeId": row["id"],
            "date": first.isoformat(),
            "start": first.isoformat(),
            "end": last.isoformat(),
            "salaryCode": "MARKER-E-monthly",
            "units": round(units, 4),
            "wage": _monthly(row["id"]),
            "salary": round(_monthly(row["id"]) * units, 2),
        }
        for row in people
    ]


def _monthly(employee_id: int) -> float:
    return 28000.0 + employee_id % 5 * 1000


def _month_shares(first: date, last: date) -> list[tuple[int, int]]:
    """For every calendar month the window touches: days inside it, and days of the month."""
    shares = []
    while first <= last:
        in_month = monthrange(first.year, first.month)[1]
        month_end = first.replace(day=in_month)
        shares.append(((min(month_end, last) - first).days + 1, in_month))
        first = month_end + timedelta(days=1)
    return shares


ENDPOINTS = [
    Endpoint(
        "/payroll/v1.0/payroll",
        payroll,
        "payroll:read",
        names("departmentIds from to shiftStatus returnFullSalaryForMonthlyPaid"),
    )
]
