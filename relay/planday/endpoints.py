"""The reads of Planday's Open API that we make, each with its scope and the page size we ask for.

Every list gets an explicit limit, because defaults differ and one of them is 0 (planday-api.md 4). Nothing here ever
sends `special` or `searchQuery`.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One documented read. The template, which holds no id, is what error texts, logs and metrics name."""

    template: str
    scope: str
    limit: int = 0
    limit_name: str = "limit"
    offset_name: str = "offset"

    def path(self, *ids: int) -> str:
        """The path with its ids filled in."""
        path = self.template
        for number in ids:
            path = path.replace("{id}", str(number), 1)
        return path


PORTAL = Endpoint("/portal/v1.0/info", "none documented")
EMPLOYEE = Endpoint("/hr/v1.0/employees/{id}", "employee:read")
DEPARTMENT = Endpoint("/hr/v1.0/departments/{id}", "department:read")
EMPLOYEE_GROUP = Endpoint("/hr/v1.0/employeegroups/{id}", "employeegroup:read")
SHIFT = Endpoint("/scheduling/v1.0/shifts/{id}", "shift:read")
POSITION = Endpoint("/scheduling/v1.0/positions/{id}", "shiftposition:read")
SHIFT_TYPES = Endpoint("/scheduling/v1.0/shifttypes", "shifttype:read", limit=50)
PUNCHES = Endpoint("/punchclock/v1.0/punchclockshifts", "punchclockshift:read", limit=500)
PUNCHES_OF_SHIFT = Endpoint("/punchclock/v1.0/punchclockshifts/byShift/{id}", "punchclockshift:read")
ABSENCE_REQUESTS = Endpoint(
    "/absence/v1.0/absencerequests", "absence:read", limit=50, limit_name="Limit", offset_name="Offset"
)
ACCOUNTS = Endpoint("/absence/v1.0/accounts", "absence:read", limit=50, limit_name="Limit", offset_name="Offset")
ACCOUNT_TYPES = Endpoint(
    "/absence/v1.0/accounttypes", "absence:read", limit=50, limit_name="Limit", offset_name="Offset"
)

# Asked only to see whether a scope is there, one record each.
EMPLOYEES = Endpoint("/hr/v1.0/employees", "employee:read", limit=50)
DEPARTMENTS = Endpoint("/hr/v1.0/departments", "department:read", limit=50)
EMPLOYEE_GROUPS = Endpoint("/hr/v1.0/employeegroups", "employeegroup:read", limit=50)
SHIFTS = Endpoint("/scheduling/v1.0/shifts", "shift:read", limit=50)
POSITIONS = Endpoint("/scheduling/v1.0/positions", "shiftposition:read", limit=50)

EMPLOYEES_DEACTIVATED = Endpoint("/hr/v1.0/employees/deactivated", "employee:read", limit=50)
# The documented maximum is 5000; a page of a thousand is read within a call's time.
SHIFTS_LISTED = Endpoint("/scheduling/v1.0/shifts", "shift:read", limit=1000)
SHIFTS_DELETED = Endpoint("/scheduling/v1.0/shifts/deleted", "shift:read", limit=1000)
ABSENCE_RECORD = Endpoint("/absence/v1.0/absencerecords/{id}", "absence:read")
ABSENCE_RECORDS = Endpoint(
    "/absence/v1.0/absencerecords", "absence:read", limit=50, limit_name="Limit", offset_name="Offset"
)
PAYROLL = Endpoint("/payroll/v1.0/payroll", "payroll:read")

TOKEN = Endpoint("/connect/token", "none")
