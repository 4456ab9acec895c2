"""`/hr/v1.0`: employees, departments, employee groups, employee types, supervisors and skills."""

from collections.abc import Callable, Iterable
from datetime import datetime

from starlette.responses import JSONResponse, Response

from relay.simulator.answers import BadParameterError, PageRule, not_found, page, problem, show, single
from relay.simulator.api import Endpoint, Read, names
from relay.simulator.state import Record
from relay.simulator.times import parse_instant

# Fields that only one of the two views has (planday-api.md 6.2 to 6.4).
_ONLY_BY_ID = [
    "hiredFrom",
    "jobTitle",
    "gender",
    "countryId",
    "workHours",
    "contractRulesRuleId",
    "supervisorEmployeeId",
    "skillIds",
    "isDeactivated",
]
_ONLY_IN_LISTS = ("hiredDate", "dateTimeDeleted", "cellPhoneWithoutCountryPrefix", "phoneWithoutCountryPrefix")
_NOT_WHEN_DEACTIVATED = ("securityGroups", "supervisorId", "primaryDepartmentId")
# What `special` unlocks, and the scope each needs.
_SPECIAL = {
    "BankAccount": ("bankAccount", "bankaccount:read"),
    "BirthDate": ("birthDate", "birthdate:read"),
    "Ssn": ("ssn", "ssn:read"),
}


def employees(read: Read) -> Response:
    """Active employees."""
    rows = _changed(read, [row for row in _visible(read) if not row["isDeactivated"]])
    without = () if read.params.flag("includeSecurityGroups") else ("securityGroups",)
    return _employee_page(read, rows, without=without)


def deactivated(read: Read) -> Response:
    """Deactivated employees; what `deactivatedFrom` tests, and from when a dismissal counts, are guesses."""
    early = read.settings.future_dismissals_deactivated
    rows = [row for row in _visible(read) if row["isDeactivated"] or (early and row["deactivationDate"])]
    rows = _changed(read, rows)
    start, end = read.params.instant("deactivatedFrom"), read.params.instant("deactivatedTo")
    field, strict = read.settings.deactivated_by, read.settings.deactivated_from == "strict"
    rows = [row for row in rows if _inside(row[field], start=start, end=end, strict=strict)]
    return _employee_page(read, rows, without=_NOT_WHEN_DEACTIVATED)


def employee(read: Read) -> Response:
    """One employee, with other fields than in the list and phones without the prefix."""
    wanted = read.ids["employeeId"]
    if wanted in read.portal.hidden_employees:
        return _person_refused(int(read.settings.hidden_employee))
    record = read.portal.employees.get(wanted)
    if record is None:
        return _person_refused(int(read.settings.unknown_employee))
    if record["isDeactivated"] and read.settings.deactivated_employee != "200":
        return _person_refused(int(read.settings.deactivated_employee))
    refused = _special_refused(read)
    if refused is not None:
        return refused
    shown = _with_special(read, record)
    shown["cellPhone"], shown["phone"] = record["cellPhoneWithoutCountryPrefix"], record["phoneWithoutCountryPrefix"]
    without = (*_ONLY_IN_LISTS, "securityGroups")
    return single(show(shown, settings=read.settings, zone=read.portal.zone, without=without))


def departments(read: Read) -> Response:
    """All departments."""
    return _plain_page(read, (row for row in read.portal.departments.values() if not row["isDeleted"]))


def department(read: Read) -> Response:
    """One department; a deleted one only on request."""
    record = read.portal.departments.get(read.ids["departmentId"])
    if record is None or (record["isDeleted"] and not read.params.flag("includeDeleted")):
        return not_found("The department")
    return _plain(read, record)


def groups(read: Read) -> Response:
    """All employee groups."""
    return _plain_page(read, read.portal.groups.values())


def group(read: Read) -> Response:
    """One employee group; 400 for an id that cannot be one, 404 for a missing one."""
    wanted = read.ids["employeeGroupId"]
    if wanted <= 0:
        raise BadParameterError("employeeGroupId", "The employee group id is invalid.")
    record = read.portal.groups.get(wanted)
    return _plain(read, record) if record else not_found("The employee group")


def department_members(read: Read) -> Response:
    """The ids of a department's employees, not paged."""
    return _members(read, field="departments", wanted=read.ids["departmentId"])


def group_members(read: Read) -> Response:
    """The ids of a group's employees, not paged."""
    return _members(read, field="employeeGroups", wanted=read.ids["employeeGroupId"])


def employee_types(read: Read) -> Response:
    """All employee types."""
    return _plain_page(read, read.portal.employee_types.values())


def supervisors(read: Read) -> Response:
    """Supervisor records; their `id` is not an employee id."""
    people = [row for row in _visible(read) if row["supervisorEmployeeId"] is not None]
    chosen = {row["supervisorId"]: read.portal.employees[row["supervisorEmployeeId"]] for row in people}
    rows: list[Record] = [
        {"id": record_id, "employeeId": boss["id"], "name": f"{boss['firstName']} {boss['lastName']}"}
        for record_id, boss in sorted(chosen.items())
    ]
    return _plain_page(read, rows)


def skills(read: Read) -> Response:
    """A bare array, without any envelope."""
    return JSONResponse([show(row, settings=read.settings, zone=read.portal.zone) for row in read.portal.skills])


def _visible(read: Read) -> list[Record]:
    hidden = read.portal.hidden_employees
    return [row for key, row in sorted(read.portal.employees.items()) if key not in hidden]


def _changed(read: Read, rows: list[Record]) -> list[Record]:
    strict = read.settings.modified_from == "strict"
    for name in ("created", "modified"):
        start, end = read.params.instant(f"{name}From"), read.params.instant(f"{name}To")
        rows = [row for row in rows if _inside(row[f"dateTime{name.title()}"], start=start, end=end, strict=strict)]
    wanted = (read.params.text("searchQuery") or "").lower()
    searched = ("firstName", "lastName", "email", "cellPhone", "salaryIdentifier")
    return [row for row in rows if not wanted or any(wanted in str(row[name]).lower() for name in searched)]


def _inside(text: str | None, *, start: datetime | None, end: datetime | None, strict: bool) -> bool:
    if start is None and end is None:
        return True
    if text is None:
        return False
    moment = parse_instant(text)
    if start is not None and (moment < start or (strict and moment == start)):
        return False
    return end is None or moment <= end


def _employee_page(read: Read, rows: Iterable[Record], *, without: Iterable[str]) -> Response:
    refused = _special_refused(read)
    if refused is not None:
        return refused
    hidden = (*_ONLY_BY_ID, *without)
    return _plain_page(read, rows, without=hidden, dress=lambda row: _with_special(read, row))


def _special_refused(read: Read) -> Response | None:
    wanted = read.params.texts("special")
    if any(name not in _SPECIAL for name in wanted):
        raise BadParameterError("special", "The value is not valid.")
    missing = [name for name in wanted if _SPECIAL[name][1] not in read.scopes]
    return Response(status_code=403) if missing else None


def _with_special(read: Read, record: Record) -> Record:
    wanted = read.params.texts("special")
    shown = dict(record)
    for name, (field, _) in _SPECIAL.items():
        if name not in wanted:
            del shown[field]
    # Documented samples hold an empty `ssn` when it was not asked for.
    if read.settings.ssn_unasked != "omit":
        shown.setdefault("ssn", "" if read.settings.ssn_unasked == "empty" else None)
    return shown


def _members(read: Read, *, field: str, wanted: int) -> Response:
    rows = [{"employeeId": row["id"]} for row in _visible(read) if wanted in row[field] and not row["isDeactivated"]]
    return JSONResponse({"data": rows})


def _plain(read: Read, record: Record) -> Response:
    return single(show(record, settings=read.settings, zone=read.portal.zone, without=("isDeleted",)))


def _plain_page(
    read: Read, rows: Iterable[Record], *, without: Iterable[str] = (), dress: Callable[[Record], Record] = dict
) -> Response:
    hidden = (*without, "isDeleted")

    def shown(row: Record) -> Record:
        return show(dress(row), settings=read.settings, zone=read.portal.zone, without=hidden)

    rule = PageRule(over=read.settings.hr_over_max)
    return page(rows, params=read.params, rule=rule, settings=read.settings, shown=shown)


def _person_refused(status: int) -> Response:
    if status == 403:
        return Response(status_code=403)
    if status == 404:
        return not_found("The employee")
    return problem(400, "Bad Request", detail="The employee id is invalid.")


_CHANGED = "limit offset createdFrom createdTo modifiedFrom modifiedTo special searchQuery"

ENDPOINTS = [
    Endpoint(
        "/hr/v1.0/employees", employees, "employee:read", names(f"{_CHANGED} includeSecurityGroups"), limit="limit"
    ),
    Endpoint(
        "/hr/v1.0/employees/deactivated",
        deactivated,
        "employee:read",
        names(f"{_CHANGED} deactivatedFrom deactivatedTo"),
        limit="limit",
    ),
    Endpoint("/hr/v1.0/employees/supervisors", supervisors, "employee:read", names("limit offset"), limit="limit"),
    Endpoint("/hr/v1.0/employees/{employeeId}", employee, "employee:read", names("special")),
    Endpoint("/hr/v1.0/departments", departments, "department:read", names("limit offset"), limit="limit"),
    Endpoint(
        "/hr/v1.0/departments/{departmentId}",
        department,
        "department:read",
        names("includeDeleted managedEmployeesOnly"),
    ),
    Endpoint("/hr/v1.0/departments/{departmentId}/employees", department_members, "employee:read"),
    Endpoint("/hr/v1.0/employeegroups", groups, "employeegroup:read", names("limit offset"), limit="limit"),
    Endpoint("/hr/v1.0/employeegroups/{employeeGroupId}", group, "employeegroup:read"),
    Endpoint("/hr/v1.0/employeegroups/{employeeGroupId}/employees", group_members, "employee:read"),
    Endpoint("/hr/v1.0/employeetypes", employee_types, "employeetype:read", names("limit offset"), limit="limit"),
    Endpoint("/hr/v1.0/skills", skills, "skill:read"),
]
