"""What managers and staff do to shifts."""

from relay.simulator.deeds import ActionError, Deed, Fields, Stage, assign, created, found, required
from relay.simulator.state import Record, public
from relay.simulator.times import settle, stamp
from relay.simulator.verbs import verbs


def create_shift(stage: Stage, fields: Fields) -> Deed:
    now = stamp(stage.clock.now())
    shift: Record = {
        "id": fields.get("id") or stage.portal.new_id("shift"),
        "departmentId": 4101,
        "employeeId": None,
        "employeeGroupId": 5201,
        "date": None,
        "positionId": None,
        "shiftTypeId": 1,
        "startDateTime": f"{stage.local_now()[:10]}T09:00",
        "endDateTime": f"{stage.local_now()[:10]}T17:00",
        "timeZone": stage.portal.zone,
        "status": "Assigned" if fields.get("employeeId") else "Open",
        "comment": None,
        "punchClockShiftId": None,
        "skillIds": [],
        "dateTimeCreated": now,
        "dateTimeModified": now,
    }
    assign(shift, fields, zone=stage.portal.zone)
    shift["date"] = shift["startDateTime"][:10]
    stage.portal.shifts[shift["id"]] = shift
    return created("shift", shift)


def edit_shift(stage: Stage, fields: Fields) -> Deed:
    shift = found(stage.portal.shifts, fields, "shift")
    if "startDateTime" in fields:
        local, _ = settle(str(fields["startDateTime"]), shift["timeZone"])
        fields = {"date": local[:10], **fields}
    return _change_shift(stage, shift, fields)


def assign_shift(stage: Stage, fields: Fields) -> Deed:
    shift = found(stage.portal.shifts, fields, "shift")
    employee_id = required(fields, "employeeId")
    status = shift["status"]
    if status in ("Open", "Assigned"):
        status = "Open" if employee_id is None else "Assigned"
    return _change_shift(stage, shift, {"employeeId": employee_id, "status": status})


def publish_shift(stage: Stage, fields: Fields) -> Deed:
    shift = found(stage.portal.shifts, fields, "shift")
    if shift["status"] != "Draft":
        raise ActionError("only a draft can be published")
    return _change_shift(stage, shift, {"status": "Open" if shift["employeeId"] is None else "Assigned"})


def approve_shift(stage: Stage, fields: Fields) -> Deed:
    return _change_shift(stage, found(stage.portal.shifts, fields, "shift"), {"status": "Approved"})


def unapprove_shift(stage: Stage, fields: Fields) -> Deed:
    return _change_shift(stage, found(stage.portal.shifts, fields, "shift"), {"status": "Assigned"})


def delete_shift(stage: Stage, fields: Fields) -> Deed:
    shift = found(stage.portal.shifts, fields, "shift")
    del stage.portal.shifts[shift["id"]]
    # A deleted shift keeps its last modified time.
    gone = {**shift, "dateTimeDeleted": stamp(stage.clock.now()), "deletedBy": fields.get("deletedBy", 900001)}
    stage.portal.deleted_shifts[shift["id"]] = gone
    return Deed(shift["id"], "planday.shift.deleted", before=public(shift), after={}, entity=gone)


def _change_shift(stage: Stage, shift: Record, fields: Fields) -> Deed:
    before, after = assign(shift, fields, zone=stage.portal.zone)
    verb = verbs("shift", before, after)[0] if after else "updated"
    if _moves_modified(stage, verb):
        stage.touch(shift)
    return Deed(shift["id"], f"planday.shift.{verb}", before, after, shift)


def _moves_modified(stage: Stage, verb: str) -> bool:
    chosen = stage.settings
    return {
        "published": chosen.publishing_moves_modified,
        "approved": chosen.approval_moves_modified,
        "unapproved": chosen.approval_moves_modified,
        "assigned": chosen.assignment_moves_modified,
        "unassigned": chosen.assignment_moves_modified,
    }.get(verb, True)
