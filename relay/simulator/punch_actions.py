"""What happens at the punch clock, and what managers do to punches afterwards."""

from datetime import datetime, timedelta

from relay.simulator.deeds import ActionError, Deed, Fields, Stage, along, assign, created, found, required
from relay.simulator.state import Record, public
from relay.simulator.work_actions import create_shift


def start_punch(stage: Stage, fields: Fields) -> Deed:
    shift_id = fields.get("shiftId")
    shift = found(stage.portal.shifts, {"id": shift_id}, "shift") if shift_id is not None else None
    entry: Record = {
        "id": fields.get("id") or stage.portal.new_id("punchclock_entry"),
        "shiftId": shift_id,
        "departmentId": fields.get("departmentId", shift["departmentId"] if shift else 4101),
        "employeeId": fields.get("employeeId", shift["employeeId"] if shift else None),
        "startDateTime": None,
        "endDateTime": None,
        "shiftStartDateTime": shift["startDateTime"] if shift else None,
        "shiftEndDateTime": shift["endDateTime"] if shift else None,
        "description": fields.get("description"),
        "isApproved": False,
    }
    assign(entry, {"startDateTime": fields.get("startDateTime", stage.exact_now())}, zone=stage.portal.zone)
    stage.portal.punches[entry["id"]] = entry
    stage.hold_back(entry["id"], None)
    deed = created("punchclock_entry", entry, verb="started")
    deed.also = _move_shift(stage, entry, status="PunchclockStarted")
    return deed


def end_punch(stage: Stage, fields: Fields) -> Deed:
    entry = found(stage.portal.punches, fields, "punchclock_entry")
    if entry["endDateTime"] is not None:
        raise ActionError("this punch has ended already")
    deed = _change(stage, entry, {"endDateTime": fields.get("endDateTime", stage.exact_now())}, "ended")
    deed.also = _move_shift(stage, entry, status="PunchclockFinished")
    return deed


def approve_punch(stage: Stage, fields: Fields) -> Deed:
    entry = found(stage.portal.punches, fields, "punchclock_entry")
    if entry["endDateTime"] is None:
        raise ActionError("this punch has not ended")
    # A punch without a shift gets one by being approved (planday-api.md 6.9).
    made = [] if entry["shiftId"] is not None else [_shift_for(stage, entry)]
    shift_id = made[0]["id"] if made else entry["shiftId"]
    values: Record = {"isApproved": True, "shiftId": shift_id}
    times = {name: entry[name] for name in ("startDateTime", "endDateTime")}
    if made or stage.settings.approval_moves_times:
        values |= {"shiftStartDateTime": times["startDateTime"], "shiftEndDateTime": times["endDateTime"]}
    deed = _change(stage, entry, values, "approved")
    deed.also = [along("shift", row["id"], {}, public(row)) for row in made]
    moved = times | {"date": times["startDateTime"][:10]} if stage.settings.approval_moves_times else {}
    deed.also += _move_shift(stage, entry, status="PunchclockApproved", **moved)
    return deed


def unapprove_punch(stage: Stage, fields: Fields) -> Deed:
    entry = found(stage.portal.punches, fields, "punchclock_entry")
    deed = _change(stage, entry, {"isApproved": False}, "unapproved")
    deed.also = _move_shift(stage, entry, status="PunchclockFinished")
    return deed


def edit_punch(stage: Stage, fields: Fields) -> Deed:
    return _change(stage, found(stage.portal.punches, fields, "punchclock_entry"), fields, "updated")


def delete_punch(stage: Stage, fields: Fields) -> Deed:
    entry = found(stage.portal.punches, fields, "punchclock_entry")
    stage.hold_back(entry["id"], dict(entry))
    breaks = stage.portal.punch_breaks.pop(entry["id"], [])
    also = [along("punchclock_break", row["id"], public(row), {}) for row in breaks]
    also += _move_shift(stage, {**entry, "id": None}, status="Assigned")
    del stage.portal.punches[entry["id"]]
    deed = Deed(entry["id"], "planday.punchclock_entry.deleted", before=public(entry), after={}, entity=entry)
    deed.also = also
    return deed


def start_break(stage: Stage, fields: Fields) -> Deed:
    entry = found(stage.portal.punches, {"id": required(fields, "punchId")}, "punchclock_entry")
    row: Record = {
        "id": stage.portal.new_id("punchclock_break"),
        "punchClocksShiftId": entry["id"],
        "startDateTime": None,
        "endDateTime": None,
        "duration": None,
    }
    assign(row, {"startDateTime": fields.get("startDateTime", stage.exact_now())}, zone=stage.portal.zone)
    stage.portal.punch_breaks.setdefault(entry["id"], []).append(row)
    return created("punchclock_break", row, verb="started")


def end_break(stage: Stage, fields: Fields) -> Deed:
    row = found(stage.portal.breaks(), fields, "punchclock_break")
    if row["endDateTime"] is not None:
        raise ActionError("this break has ended already")
    return _change_break(stage, row, {"endDateTime": fields.get("endDateTime", stage.exact_now())}, "ended")


def edit_break(stage: Stage, fields: Fields) -> Deed:
    return _change_break(stage, found(stage.portal.breaks(), fields, "punchclock_break"), fields, "updated")


def _change_break(stage: Stage, row: Record, fields: Fields, verb: str) -> Deed:
    before, after = assign(row, fields, zone=stage.portal.zone)
    if row["endDateTime"] is not None:
        length = datetime.fromisoformat(row["endDateTime"]) - datetime.fromisoformat(row["startDateTime"])
        was, now = assign(row, {"duration": round(length / timedelta(hours=1), 2)})
        before, after = before | was, after | now
    return Deed(row["id"], f"planday.punchclock_break.{verb}", before, after, row)


def _change(stage: Stage, entry: Record, fields: Fields, verb: str) -> Deed:
    stage.hold_back(entry["id"], dict(entry))
    before, after = assign(entry, fields, zone=stage.portal.zone)
    return Deed(entry["id"], f"planday.punchclock_entry.{verb}", before, after, entry)


def _shift_for(stage: Stage, entry: Record) -> Record:
    times = {name: entry[name] for name in ("employeeId", "departmentId", "startDateTime", "endDateTime")}
    return create_shift(stage, times).entity


def _move_shift(stage: Stage, entry: Record, **values: object) -> list[Record]:
    shift = stage.portal.shifts.get(entry["shiftId"])
    if shift is None:
        return []
    before, after = assign(shift, {**values, "punchClockShiftId": entry["id"]})
    if stage.settings.punch_moves_modified:
        stage.touch(shift)
    return [along("shift", shift["id"], before, after)] if after else []
