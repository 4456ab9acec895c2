"""What happened to one record, as Planday tells it: `/shifts/{id}/history` and `/employees/{id}/history`."""

from datetime import date, timedelta

from starlette.responses import Response

from relay.simulator.answers import PageRule, not_found, page
from relay.simulator.api import Endpoint, Read, names
from relay.simulator.state import Record
from relay.simulator.times import parse_instant, stamp

_WHO = {"id": 900001, "name": "MARKER-C-modifier"}


def shift_history(read: Read) -> Response:
    """Who changed a shift when, and free text about what."""
    wanted = read.ids["shiftId"]
    if wanted not in read.portal.shifts and wanted not in read.portal.deleted_shifts:
        return not_found("The shift")
    rows: list[Record] = [
        {
            "modifiedAt": stamp(parse_instant(change.at)),
            "modifiedBy": _WHO,
            "changes": [f"MARKER-H-history: {name} changed" for name in change.after or change.before],
        }
        for change in read.changes
        if (change.portal_id, change.entity, change.id) == (read.portal.id, "shift", wanted)
    ]
    rule = PageRule(over=read.settings.scheduling_over_max)
    return page(rows, params=read.params, rule=rule, settings=read.settings)


def employee_history(read: Read) -> Response:
    """Every changed field with its raw new value, and a time without zone."""
    wanted = read.ids["employeeId"]
    if wanted not in read.portal.employees or wanted in read.portal.hidden_employees:
        return not_found("The employee")
    first, last = read.params.day("startDateTime") or date.min, read.params.day("endDateTime")
    before = (last or date.max - timedelta(days=1)) + timedelta(days=1)
    rows: list[Record] = [
        {
            "op": "replace" if name in change.before else "add",
            "path": f"/{name}",
            "value": value,
            "modificationDateTime": stamp(parse_instant(change.at)).removesuffix("Z"),
            "modifiedBy": _WHO["id"],
            "modifiedByUserGuid": "0b7e0a52-0000-4000-8000-000000900001",
        }
        for change in read.changes
        if (change.portal_id, change.entity, change.id) == (read.portal.id, "employee", wanted)
        and first <= parse_instant(change.at).date() < before
        for name, value in change.after.items()
    ]
    return page(rows, params=read.params, rule=PageRule(over=read.settings.hr_over_max), settings=read.settings)


ENDPOINTS = [
    Endpoint(
        "/scheduling/v1.0/shifts/{shiftId}/history", shift_history, "shift:read", names("limit offset"), limit="limit"
    ),
    Endpoint(
        "/hr/v1.0/employees/{employeeId}/history",
        employee_history,
        "employee:history",
        names("startDateTime endDateTime limit offset"),
        limit="limit",
    ),
]
