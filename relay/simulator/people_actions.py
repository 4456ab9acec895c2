"""What happens to people, their absence requests and the groups they belong to."""

from collections.abc import Callable

from relay.simulator.deeds import Deed, Fields, Stage, assign, created, found, required
from relay.simulator.seed_people import new_employee
from relay.simulator.seed_work import requested_account
from relay.simulator.state import Portal, Record, Table
from relay.simulator.times import stamp

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


def decide(status: str, verb: str) -> Callable[[Stage, Fields], Deed]:
    def decide(stage: Stage, fields: Fields) -> Deed:
        request = found(stage.portal.absence_requests, fields, "absence_request")
        before, after = assign(request, {"status": status})
        return Deed(request["id"], f"planday.absence_request.{verb}", before, after, request)

    return decide


def remove_request(stage: Stage, fields: Fields) -> Deed:
    request = found(stage.portal.absence_requests, fields, "absence_request")
    del stage.portal.absence_requests[request["id"]]
    # Planday shows no trace of it; only the disappearance can be noticed.
    return Deed(request["id"], None, before=dict(request), after={}, entity=request)


# People and what they belong to


def create_employee(stage: Stage, fields: Fields) -> Deed:
    person = new_employee(
        stage.portal,
        employee_id=stage.portal.new_id("employee"),
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


def reactivate_employee(stage: Stage, fields: Fields) -> Deed:
    cleared = {"deactivationDate": None, "dateTimeDeleted": None, "deactivationReason": None}
    return _change_employee(stage, fields, "reactivated", {"isDeactivated": False, **cleared})


def _change_employee(stage: Stage, fields: Fields, verb: str, values: Fields) -> Deed:
    person = found(stage.portal.employees, fields, "employee")
    before, after = assign(person, values)
    stage.touch(person)
    return Deed(person["id"], f"planday.employee.{verb}", before, after, person)


def edit_reference(
    tables: Callable[[Portal], Table], entity: str, *, announced: bool
) -> Callable[[Stage, Fields], Deed]:
    def edit(stage: Stage, fields: Fields) -> Deed:
        record = found(tables(stage.portal), fields, entity)
        before, after = assign(record, fields)
        return Deed(record["id"], f"planday.{entity}.updated" if announced else None, before, after, record)

    return edit
