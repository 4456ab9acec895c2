"""The events we know by name, and a sample envelope of each: for checks at start, previews and test sends.

Nobody in it is real. The names are the relay's own vocabulary (targets-and-events.md 2.3).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from relay.fields import KINDS

EVENTS: Mapping[str, tuple[str, ...]] = {
    "planday.employee": (
        "created",
        "updated",
        "deactivated",
        "reactivated",
        "deleted",
        "salary_identifier_changed",
    ),
    "planday.department": ("created", "updated", "deleted"),
    "planday.employee_group": ("created", "updated", "deleted"),
    "planday.shift": (
        "created",
        "updated",
        "deleted",
        "published",
        "assigned",
        "unassigned",
        "approved",
        "unapproved",
    ),
    "planday.punchclock_entry": ("started", "ended", "updated", "deleted", "approved", "unapproved"),
    "planday.punchclock_break": ("started", "ended", "updated"),
    "planday.absence_request": ("created", "updated", "approved", "declined", "cancelled"),
    "planday.absence_record": ("created", "updated", "deleted"),
    "planday.payroll_period": ("approved", "locked", "unlocked"),
    "planday.payroll_line": ("created", "corrected", "reversed"),
    "planday.portal": ("authorization_revoked",),
    "relay.delivery": ("failed", "exhausted"),
    "relay.target": ("paused", "resumed"),
    "relay.replay": ("started", "finished"),
    "relay": ("test",),
}
TYPES: tuple[str, ...] = tuple(f"{stem}.{verb}" for stem, verbs in EVENTS.items() for verb in verbs)


def types_of(entity: str) -> tuple[str, ...]:
    """The types of one entity ("shift"), or none if no event of it is known."""
    return tuple(type_ for type_ in TYPES if type_.rpartition(".")[0].rpartition(".")[2] == entity)


def sample(type_: str, *, every_field: bool = False) -> dict[str, Any]:
    """An enriched envelope of that type; `every_field` adds the fields that a usual record would not have."""
    stem, _, verb = type_.rpartition(".")
    entity = stem.rpartition(".")[2]
    related = {kind: _complete(kind, _RELATED.get(kind, {}), every_field) for kind in _kinds(stem, verb, every_field)}
    data: dict[str, Any] = {
        "object": _complete(entity, _object(entity, verb), every_field) if verb != "deleted" or every_field else None,
        "related": related,
        "enrichment": {"state": "complete", "missing": [], "fetched_at": "2026-10-21T07:45:14.000Z"},
    }
    if verb == "updated" or every_field:
        before, after = _CHANGES.get(entity, ({}, {}))
        data["changed"] = sorted(after)
        data["changes"] = {
            "before": _complete(entity, before, every_field),
            "after": _complete(entity, after, every_field),
        }
    if every_field:
        data["received"] = {}
    number = _NUMBERS.get(entity, 1)
    return {
        "specversion": "1.0",
        "id": "evt_5a3c0f5f1b1e4d0c8a7b6c5d4e3f2a1b",
        "source": "urn:planday:portal:4100001",
        "type": type_,
        "subject": f"{entity}/{number}",
        "time": "2026-10-21T07:45:12.000Z",
        "datacontenttype": "application/json",
        "dataschema": f"urn:planday-relay:schema:{entity}:1",
        "portalid": "4100001",
        "departmentid": "4101",
        "employeeid": "910233",
        "sequence": "000042",
        "relayorigin": "test",
        "data": data,
    }


def _time(local: str, instant: str) -> dict[str, Any]:
    return {"local": local, "zone": "Europe/Copenhagen", "instant": instant, "flag": None}


_NUMBERS = {
    "employee": 910233,
    "department": 4101,
    "employee_group": 5202,
    "shift": 70010045,
    "punchclock_entry": 8800123,
    "absence_request": 66012,
    "absence_record": 66013,
    "portal": 4100001,
}
_RELATED: Mapping[str, Mapping[str, Any]] = {
    "portal": {
        "id": 4100001,
        "name": "Bistro Demo",
        "companyName": "Bistro Demo ApS",
        "country": "DK",
        "timeZone": "Europe/Copenhagen",
    },
    "employee": {"id": 910233, "firstName": "Ida", "lastName": "Testrup", "departments": [4101]},
    "department": {"id": 4101, "name": "Harbour", "number": "10"},
    "employee_group": {"id": 5202, "name": "Waiter"},
}
_OBJECTS: Mapping[str, Mapping[str, Any]] = {
    "employee": {
        "id": 910233,
        "firstName": "Ida",
        "lastName": "Testrup",
        "departments": [4101],
        "employeeGroups": [5202],
        "primaryDepartmentId": 4101,
        "isDeactivated": False,
        "salaryIdentifier": "P-0233",
    },
    "department": {"id": 4101, "name": "Harbour", "number": "10"},
    "employee_group": {"id": 5202, "name": "Waiter"},
    "shift": {
        "id": 70010045,
        "departmentId": 4101,
        "employeeGroupId": 5202,
        "employeeId": 910233,
        "date": "2026-10-24",
        "startDateTime": "2026-10-24T20:00",
        "endDateTime": "2026-10-25T03:30",
        "start": _time("2026-10-24T20:00", "2026-10-24T18:00:00Z"),
        "end": _time("2026-10-25T03:30", "2026-10-25T02:30:00Z"),
        "timeZone": "Europe/Copenhagen",
        "status": "Assigned",
        "dateTimeModified": "2026-10-21T07:45:12Z",
    },
    "punchclock_entry": {
        "id": 8800123,
        "shiftId": 70010050,
        "departmentId": 4101,
        "employeeId": 910233,
        "startDateTime": "2026-10-21T08:57",
        "endDateTime": "2026-10-21T17:05",
        "start": _time("2026-10-21T08:57", "2026-10-21T06:57:00Z"),
        "end": _time("2026-10-21T17:05", "2026-10-21T15:05:00Z"),
        "shiftStart": _time("2026-10-21T09:00", "2026-10-21T07:00:00Z"),
        "shiftEnd": _time("2026-10-21T17:00", "2026-10-21T15:00:00Z"),
        "timeZone": "Europe/Copenhagen",
        "isApproved": False,
    },
    "absence_request": {
        "id": 66012,
        "employeeId": 910233,
        "status": "Submitted",
        "absencePeriod": {"start": "2026-12-21", "end": "2026-12-23"},
        "requestedAccounts": [{"id": 3300451, "name": "Holiday 2026", "cost": []}],
    },
    "portal": _RELATED["portal"],
}
_CHANGES: Mapping[str, tuple[Mapping[str, Any], Mapping[str, Any]]] = {
    "shift": ({"startDateTime": "2026-10-24T19:00"}, {"startDateTime": "2026-10-24T20:00"}),
    "employee": ({"employeeGroups": []}, {"employeeGroups": [5202]}),
    "punchclock_entry": ({"endDateTime": "2026-10-21T17:00"}, {"endDateTime": "2026-10-21T17:05"}),
}
_OF_NOBODY = frozenset({"department", "employee_group", "payroll_period", "portal"})
_CHANGED: Mapping[tuple[str, str], Mapping[str, Any]] = {
    ("shift", "unassigned"): {"employeeId": None, "status": "Open"},
    ("shift", "approved"): {"status": "Approved"},
    ("punchclock_entry", "started"): {"endDateTime": None, "end": None},
    ("punchclock_entry", "approved"): {"isApproved": True},
    ("employee", "deactivated"): {"isDeactivated": True},
    ("absence_request", "approved"): {"status": "Approved"},
    ("absence_request", "declined"): {"status": "Declined"},
    ("absence_request", "cancelled"): {"status": "Cancelled"},
}


def _object(entity: str, verb: str) -> dict[str, Any]:
    return {**_OBJECTS.get(entity, {}), **_CHANGED.get((entity, verb), {})}


def _kinds(stem: str, verb: str, every_field: bool) -> tuple[str, ...]:
    """What a record of that event refers to."""
    if every_field:
        return tuple(KINDS)
    entity = stem.removeprefix("planday.")
    if entity in _OF_NOBODY:
        return ("portal",)
    if not stem.startswith("planday."):
        return ()
    return tuple(kind for kind in _RELATED if kind != entity and (kind, verb) != ("employee", "unassigned"))


def _complete(kind: str, record: Mapping[str, Any], every_field: bool) -> dict[str, Any]:
    missing = dict.fromkeys(KINDS.get(kind, {}), "-") if every_field else {}
    return {**missing, **record}
