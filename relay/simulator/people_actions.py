"""What happens to people and to their absence."""

from collections.abc import Callable

from relay.simulator.deeds import Deed, Fields, Stage, along, assign, created, found, required
from relay.simulator.seed_people import new_employee
from relay.simulator.seed_work import absence_record, requested_account
from relay.simulator.state import Record, public
from relay.simulator.times import stamp

_DISMISSAL = (
    "deactivationDate",
    "dateTimeDeleted",
    "deactivationReason",
    "terminationTypeId",
    "terminationTypeName",
)

# Absence


def create_request(stage: Stage, fields: Fields) -> Deed:
    employee_id = required(fields, "employeeId")
    owned = [row["id"] for row in stage.portal.accounts.values() if row["employeeId"] == employee_id]
    account_id = fields.get("accountId", owned[0] if owned else 3300451)
    request: Record = {
        "id": stage.portal.new_id("absence_request"),
        "employeeId": employee_id,
        "status": "Submitted",
        "absencePeriod": {"start": required(fields, "start"), "end": fields.get("end", fields["start"])},
        "note": fields.get("note"),
        "requestedAccounts": [requested_account(account_id, hours=fields.get("hours", 7.4))],
    }
    stage.portal.absence_requests[request["id"]] = request
    return created("absence_request", request)


def edit_request(stage: Stage, fields: Fields) -> Deed:
    request = found(stage.portal.absence_requests, fields, "absence_request")
    values = {name: value for name, value in fields.items() if name not in ("start", "end")}
    if "start" in fields:
        values["absencePeriod"] = {"start": fields["start"], "end": fields.get("end", fields["start"])}
    before, after = assign(request, values)
    return Deed(request["id"], "planday.absence_request.updated", before, after, request)


def decide(status: str, verb: str) -> Callable[[Stage, Fields], Deed]:
    def decide(stage: Stage, fields: Fields) -> Deed:
        request = found(stage.portal.absence_requests, fields, "absence_request")
        before, after = assign(request, {"status": status})
        deed = Deed(request["id"], f"planday.absence_request.{verb}", before, after, request)
        if after:
            deed.also = _book(stage, request)
        return deed

    return decide


def remove_request(stage: Stage, fields: Fields) -> Deed:
    request = found(stage.portal.absence_requests, fields, "absence_request")
    del stage.portal.absence_requests[request["id"]]
    # Planday shows no trace of it; only the disappearance can be noticed.
    return Deed(request["id"], None, before=dict(request), after={}, entity=request)


def edit_record(stage: Stage, fields: Fields) -> Deed:
    record = found(stage.portal.absence_records, fields, "absence_record")
    before, after = assign(record, fields)
    return Deed(record["id"], "planday.absence_record.updated", before, after, record)


def delete_record(stage: Stage, fields: Fields) -> Deed:
    record = found(stage.portal.absence_records, fields, "absence_record")
    del stage.portal.absence_records[record["id"]]
    return Deed(record["id"], "planday.absence_record.deleted", before=public(record), after={}, entity=record)


def _book(stage: Stage, request: Record) -> list[Record]:
    """Approval books an absence; taking it back declines or deletes what was booked."""
    records = stage.portal.absence_records
    booked = next((row for row in records.values() if row.get("_request") == request["id"]), None)
    if request["status"] == "Approved" and booked is None:
        record = absence_record(stage.portal.new_id("absence_record"), request) | {"_request": request["id"]}
        records[record["id"]] = record
        return [along("absence_record", record["id"], {}, public(record))]
    if booked is None:
        return []
    if request["status"] == "Cancelled":
        del records[booked["id"]]
        return [along("absence_record", booked["id"], public(booked), {})]
    before, after = assign(booked, {"status": request["status"]})
    return [along("absence_record", booked["id"], before, after)] if after else []


# People


def create_employee(stage: Stage, fields: Fields) -> Deed:
    person = new_employee(
        stage.portal,
        employee_id=fields.get("id") or stage.portal.new_id("employee"),
        first=fields.get("firstName", "Nova"),
        last=fields.get("lastName", "Newcomer"),
    )
    assign(person, fields)
    person["dateTimeCreated"] = stamp(stage.clock.now())
    stage.touch(person)
    stage.portal.employees[person["id"]] = person
    return created("employee", person)


def edit_employee(stage: Stage, fields: Fields) -> Deed:
    return _change_employee(stage, fields, "updated", fields)


def deactivate_employee(stage: Stage, fields: Fields) -> Deed:
    now = stage.clock.now()
    return _change_employee(
        stage,
        fields,
        "deactivated",
        {
            "isDeactivated": True,
            "deactivationDate": stage.local_now()[:10],
            "dateTimeDeleted": stamp(now),
            "deactivationReason": fields.get("reason", "MARKER-F-reason"),
        },
    )


def dismiss_employee(stage: Stage, fields: Fields) -> Deed:
    """From a day to come; until then the person stays active."""
    values = {
        "deactivationDate": required(fields, "on"),
        "terminationTypeId": 3,
        "terminationTypeName": "MARKER-F-termination",
        "deactivationReason": fields.get("reason", "MARKER-F-reason"),
    }
    return _change_employee(stage, fields, "updated", values)


def reactivate_employee(stage: Stage, fields: Fields) -> Deed:
    return _change_employee(stage, fields, "reactivated", {"isDeactivated": False, **dict.fromkeys(_DISMISSAL)})


def _change_employee(stage: Stage, fields: Fields, verb: str, values: Fields) -> Deed:
    person = found(stage.portal.employees, fields, "employee")
    before, after = assign(person, values)
    if stage.settings.membership_moves_modified or not set(after) <= {"departments", "employeeGroups"}:
        stage.touch(person)
    if stage.settings.rename_moves_shifts and {"firstName", "lastName"} & set(after):
        for shift in stage.portal.shifts.values():
            if shift["employeeId"] == person["id"]:
                stage.touch(shift)
    return Deed(person["id"], f"planday.employee.{verb}", before, after, person)
