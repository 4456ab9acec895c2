"""What makes two states of a record different, what such a change is called, and which state it is.

A state is identified by Planday's own modified time, where there is one, and by the fields that both views of a record
(in a list, by id) show alike; so a change has the same version through both doors (design.md 4). Pure: values in, names
out. The names are those of targets-and-events.md 2.3; a change that is several things at once has several.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from relay.fields import NOT_COMPARED

Fields = Mapping[str, Any]

_DECISIONS = {"Approved": "approved", "Declined": "declined", "Cancelled": "cancelled"}
# What approving a punch does to it besides: the shift that is made for a loose one, and its times.
_BY_APPROVAL = frozenset({"shiftId", "shiftStartDateTime", "shiftEndDateTime"})


def compared(kind: str, fields: Fields) -> dict[str, Any]:
    """The part of a record by which two states of it are told apart."""
    skipped = NOT_COMPARED.get(kind, frozenset())
    return {name: value for name, value in fields.items() if name not in skipped}


def record_version(kind: str, fields: Fields, *, modified: str | None) -> str:
    """A short hash of one state of a record: its modified time and what is compared of it; null is as missing."""
    content = {name: value for name, value in compared(kind, fields).items() if value is not None}
    body = json.dumps({"m": modified, "c": content}, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.blake2b(body.encode(), digest_size=10).hexdigest()


DELETED = hashlib.blake2b(b"deleted", digest_size=10).hexdigest()
"""The version of every record that is gone."""


@dataclass(frozen=True, slots=True)
class Difference:
    """What differs between two states: changed fields only, arrays whole; an absent field is None."""

    before: dict[str, Any]
    after: dict[str, Any]

    @property
    def changed(self) -> tuple[str, ...]:
        return tuple(sorted(self.after))


def difference(kind: str, before: Fields, after: Fields) -> Difference:
    """What differs of what is compared."""
    was, now = compared(kind, before), compared(kind, after)
    names = [name for name in {**was, **now} if was.get(name) != now.get(name)]
    return Difference({name: was.get(name) for name in names}, {name: now.get(name) for name in names})


def verbs(kind: str, before: Fields | None, after: Fields | None) -> tuple[str, ...]:
    """Every name that is true of a change, the most telling first; none where nothing differs.

    `before` None: the record appeared; `after` None: it is gone.
    """
    if after is None:
        return () if before is None else ("reversed" if kind == "payroll_line" else "deleted",)
    if before is None:
        appeared = _APPEARED.get(kind)
        return appeared(after) if appeared else ("created",)
    found = difference(kind, before, after)
    if not found.after:
        return ()
    changed = _CHANGED.get(kind)
    return changed(found.before, found.after) if changed else ("updated",)


def _shift_changed(before: Fields, after: Fields) -> tuple[str, ...]:
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
    told = now is None or "Approved" in (was, now) or was == "Draft" or {was, now} == {"Open", "Assigned"}
    return _with_updated(found, set(after) - {"status", "employeeId"}, also=not told)


def _punch_appeared(after: Fields) -> tuple[str, ...]:
    found = ("started",) if after.get("endDateTime") is None else ("started", "ended")
    return (*found, "approved") if after.get("isApproved") else found


def _punch_changed(before: Fields, after: Fields) -> tuple[str, ...]:
    found: list[str] = []
    ended = "endDateTime" in after and before.get("endDateTime") is None
    if bool(after.get("isApproved")) != bool(before.get("isApproved")):
        found.append("approved" if after.get("isApproved") else "unapproved")
    if ended:
        found.append("ended")
    rest = set(after) - {"isApproved"} - ({"endDateTime"} if ended else set())
    return _with_updated(found, rest - _BY_APPROVAL if "approved" in found else rest)


def _request_appeared(after: Fields) -> tuple[str, ...]:
    decision = _DECISIONS.get(str(after.get("status")))
    return ("created", decision) if decision else ("created",)


def _request_changed(before: Fields, after: Fields) -> tuple[str, ...]:
    decision = _DECISIONS.get(str(after.get("status")))
    undecided = "status" in after and decision is None
    return _with_updated([decision] if decision else [], set(after) - {"status"}, also=undecided)


def _employee_appeared(after: Fields) -> tuple[str, ...]:
    return ("deactivated",) if after.get("isDeactivated") else ("created",)


def _employee_changed(before: Fields, after: Fields) -> tuple[str, ...]:
    found: list[str] = []
    if bool(after.get("isDeactivated")) != bool(before.get("isDeactivated")):
        found.append("deactivated" if after.get("isDeactivated") else "reactivated")
    if "salaryIdentifier" in after:
        found.append("salary_identifier_changed")
    return _with_updated(found, set(after) - {"salaryIdentifier", "isDeactivated"})


def _with_updated(found: list[str], rest: set[str], *, also: bool = False) -> tuple[str, ...]:
    """`updated` too where something differs that no other name tells."""
    return (*found, "updated") if rest or also or not found else tuple(found)


_APPEARED: Mapping[str, Callable[[Fields], tuple[str, ...]]] = {
    "punchclock_entry": _punch_appeared,
    "absence_request": _request_appeared,
    "employee": _employee_appeared,
}
_CHANGED: Mapping[str, Callable[[Fields, Fields], tuple[str, ...]]] = {
    "shift": _shift_changed,
    "punchclock_entry": _punch_changed,
    "absence_request": _request_changed,
    "employee": _employee_changed,
    "payroll_line": lambda _before, _after: ("corrected",),
}
