"""What managers and staff do to shifts and punches."""

from relay.simulator.deeds import ActionError, Deed, Fields, Stage, assign, created, found, required
from relay.simulator.state import Record
from relay.simulator.times import stamp

# Shifts


def create_shift(stage: Stage, fields: Fields) -> Deed:
    now = stamp(stage.clock.now())
    shift: Record = {
        "id": stage.portal.new_id("shift"),
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
    assign(shift, fields)
    shift["date"] = shift["startDateTime"][:10]
    stage.portal.shifts[shift["id"]] = shift
    return created("shift", shift)


def edit_shift(stage: Stage, fields: Fields) -> Deed:
    shift = found(stage.portal.shifts, fields, "shift")
    if "startDateTime" in fields:
        fields = {"date": str(fields["startDateTime"])[:10], **fields}
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
    gone = {**shift, "dateTimeDeleted": stamp(stage.clock.now()), "deletedBy": fields.get("deletedBy", 900001)}
    stage.portal.deleted_shifts[shift["id"]] = gone
    return Deed(shift["id"], "planday.shift.deleted", before=dict(shift), after={}, entity=gone)


def _change_shift(stage: Stage, shift: Record, fields: Fields) -> Deed:
    before, after = assign(shift, fields)
    stage.touch(shift)
    return Deed(shift["id"], f"planday.shift.{_shift_verb(before, after)}", before, after, shift)


def _shift_verb(before: Record, after: Record) -> str:
    """The one name for a shift change: what staff and payroll care about first."""
    was, now = before.get("status"), after.get("status")
    if was == "Draft" and now in ("Open", "Assigned"):
        return "published"
    if now == "Approved":
        return "approved"
    if was == "Approved":
        return "unapproved"
    if "employeeId" in after:
        return "unassigned" if after["employeeId"] is None else "assigned"
    return "updated"


# Punches


def start_punch(stage: Stage, fields: Fields) -> Deed:
    shift_id = fields.get("shiftId")
    shift = found(stage.portal.shifts, {"id": shift_id}, "shift") if shift_id is not None else None
    employee_id = fields.get("employeeId", shift["employeeId"] if shift else None)
    entry: Record = {
        "id": stage.portal.new_id("punchclock_entry"),
        "shiftId": shift_id,
        "departmentId": fields.get("departmentId", shift["departmentId"] if shift else 4101),
        "employeeId": employee_id,
        "startDateTime": fields.get("startDateTime", stage.local_now()),
        "endDateTime": None,
        "shiftStartDateTime": shift["startDateTime"] if shift else None,
        "shiftEndDateTime": shift["endDateTime"] if shift else None,
        "description": fields.get("description"),
        "isApproved": False,
    }
    stage.portal.punches[entry["id"]] = entry
    deed = created("punchclock_entry", entry, verb="started")
    deed.also = _move_shift(stage, entry, status="PunchclockStarted")
    return deed


def end_punch(stage: Stage, fields: Fields) -> Deed:
    entry = found(stage.portal.punches, fields, "punchclock_entry")
    if entry["endDateTime"] is not None:
        raise ActionError("this punch has ended already")
    deed = _change_punch(entry, {"endDateTime": fields.get("endDateTime", stage.local_now())}, "ended")
    deed.also = _move_shift(stage, entry, status="PunchclockFinished")
    return deed


def approve_punch(stage: Stage, fields: Fields) -> Deed:
    entry = found(stage.portal.punches, fields, "punchclock_entry")
    if entry["endDateTime"] is None:
        raise ActionError("this punch has not ended")
    # A punch without a shift gets one by being approved (planday-api.md 6.9).
    shift_id = entry["shiftId"] if entry["shiftId"] is not None else _shift_for(stage, entry)
    deed = _change_punch(entry, {"isApproved": True, "shiftId": shift_id}, "approved")
    deed.also = _move_shift(stage, entry, status="PunchclockApproved")
    return deed


def edit_punch(stage: Stage, fields: Fields) -> Deed:
    return _change_punch(found(stage.portal.punches, fields, "punchclock_entry"), fields, "updated")


def _change_punch(entry: Record, fields: Fields, verb: str) -> Deed:
    before, after = assign(entry, fields)
    return Deed(entry["id"], f"planday.punchclock_entry.{verb}", before, after, entry)


def _shift_for(stage: Stage, entry: Record) -> int:
    times = {name: entry[name] for name in ("employeeId", "departmentId", "startDateTime", "endDateTime")}
    return create_shift(stage, times).id


def _move_shift(stage: Stage, entry: Record, *, status: str) -> list[Record]:
    shift = stage.portal.shifts.get(entry["shiftId"])
    if shift is None:
        return []
    before, after = assign(shift, {"status": status, "punchClockShiftId": entry["id"]})
    if stage.settings.punch_moves_modified:
        stage.touch(shift)
    return [{"entity": "shift", "id": shift["id"], "before": before, "after": after}]
