"""What a change is called: every name that is true of it, the one that matters most first."""

from collections.abc import Callable

from relay.simulator.state import Record

_DECISIONS = {"Approved": "approved", "Declined": "declined", "Cancelled": "cancelled"}
_DISMISSAL = {
    "isDeactivated",
    "deactivationDate",
    "dateTimeDeleted",
    "deactivationReason",
    "terminationTypeId",
    "terminationTypeName",
}


def verbs(entity: str, before: Record, after: Record) -> list[str]:
    """Names for a difference: {} before is an appearance, {} after a disappearance, else only changed fields."""
    if not before:
        appeared = _APPEARED.get(entity)
        return appeared(after) if appeared else ["created"]
    if not after:
        return ["reversed" if entity.startswith("payroll_") else "deleted"]
    changed = _CHANGED.get(entity)
    return changed(before, after) if changed else ["updated"]


def _shift_changed(before: Record, after: Record) -> list[str]:
    was, now = before.get("status"), after.get("status")
    found: list[str] = []
    if was == "Draft":
        found.append("published")
    if now == "Approved":
        found.append("approved")
    if was == "Approved":
        found.append("unapproved")
    if "employeeId" in after:
        found.append("unassigned" if after["employeeId"] is None else "assigned")
    explained = not now or "Approved" in (was, now) or was == "Draft" or {was, now} == {"Open", "Assigned"}
    rest = set(after) - {"status", "employeeId"} or not explained
    return [*found, "updated"] if rest or not found else found


def _punch_appeared(after: Record) -> list[str]:
    found = ["started"] if after["endDateTime"] is None else ["started", "ended"]
    return [*found, "approved"] if after["isApproved"] else found


def _punch_changed(before: Record, after: Record) -> list[str]:
    found: list[str] = []
    ended = "endDateTime" in after and before["endDateTime"] is None
    if "isApproved" in after:
        found.append("approved" if after["isApproved"] else "unapproved")
    if ended:
        found.append("ended")
    # The shift that approval makes for a loose punch belongs to the approval.
    rest = set(after) - {"isApproved"} - ({"endDateTime"} if ended else set())
    if "approved" in found:
        rest -= {"shiftId", "shiftStartDateTime", "shiftEndDateTime"}
    return [*found, "updated"] if rest or not found else found


def _break_appeared(after: Record) -> list[str]:
    return ["started"] if after["endDateTime"] is None else ["started", "ended"]


def _break_changed(before: Record, after: Record) -> list[str]:
    ended = "endDateTime" in after and before["endDateTime"] is None
    rest = set(after) - ({"endDateTime", "duration"} if ended else set())
    return (["ended"] if ended else []) + (["updated"] if rest else [])


def _request_appeared(after: Record) -> list[str]:
    decision = _DECISIONS.get(after["status"])
    return ["created", decision] if decision else ["created"]


def _request_changed(before: Record, after: Record) -> list[str]:
    decision = _DECISIONS.get(after.get("status", ""))
    rest = set(after) - {"status"} or ("status" in after and decision is None)
    return ([decision] if decision else []) + (["updated"] if rest else [])


def _employee_appeared(after: Record) -> list[str]:
    return ["deactivated"] if after.get("isDeactivated") else ["created"]


def _employee_changed(before: Record, after: Record) -> list[str]:
    found: list[str] = []
    flipped = "isDeactivated" in after
    if flipped:
        found.append("deactivated" if after["isDeactivated"] else "reactivated")
    if "salaryIdentifier" in after:
        found.append("salary_identifier_changed")
    rest = set(after) - {"salaryIdentifier"} - (_DISMISSAL if flipped else set())
    return [*found, "updated"] if rest or not found else found


_APPEARED: dict[str, Callable[[Record], list[str]]] = {
    "punchclock_entry": _punch_appeared,
    "punchclock_break": _break_appeared,
    "absence_request": _request_appeared,
    "employee": _employee_appeared,
}
_CHANGED: dict[str, Callable[[Record, Record], list[str]]] = {
    "shift": _shift_changed,
    "punchclock_entry": _punch_changed,
    "punchclock_break": _break_changed,
    "absence_request": _request_changed,
    "employee": _employee_changed,
    "payroll_line": lambda *_: ["corrected"],
    "payroll_supplement": lambda *_: ["corrected"],
}
