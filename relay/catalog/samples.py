"""A sample envelope of each type: for checks at start, previews and test sends. Nobody in it is real."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from relay.catalog.schemas import schema_id
from relay.fields import KINDS, OPERATIONS


def sample(type_: str, *, every_field: bool = False) -> dict[str, Any]:
    """An enriched envelope of that type; `every_field` adds the fields that a usual record would not have."""
    stem, _, verb = type_.rpartition(".")
    entity = stem.rpartition(".")[2]
    if entity in OPERATIONS:
        return _operation(type_, entity, every_field)
    related = {kind: _complete(kind, _RELATED.get(kind, {}), every_field) for kind in _kinds(stem, verb, every_field)}
    data: dict[str, Any] = {
        "object": _complete(entity, _object(entity, verb), every_field) if verb not in _GONE or every_field else None,
        "related": related,
        "enrichment": {"state": "complete", "missing": [], "fetched_at": "2026-10-21T07:45:14.000Z"},
    }
    changes = _changes(entity, verb)
    if changes is not None or every_field:
        before, after = changes or ({}, {})
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
        "timestamp": "2026-10-21T07:45:12.000Z",
        "datacontenttype": "application/json",
        "dataschema": schema_id(entity),
        "portalid": "4100001",
        "departmentid": "4101",
        "employeeid": "910233",
        "sequence": "000042",
        "relayorigin": "test",
        "correlationid": "evt_5a3c0f5f1b1e4d0c8a7b6c5d4e3f2a1b",
        "data": data,
    }


def _operation(type_: str, entity: str, every_field: bool) -> dict[str, Any]:
    """What the relay tells of itself: about no portal, with nothing of Planday's."""
    about, record = _TOLD[entity]
    missing = dict.fromkeys(OPERATIONS[entity], "-") if every_field else {}
    return {
        "specversion": "1.0",
        "id": "evt_5a3c0f5f1b1e4d0c8a7b6c5d4e3f2a1c",
        "source": "urn:planday-relay",
        "type": type_,
        "subject": f"{entity}/{about}",
        "time": "2026-10-21T07:45:12.000Z",
        "timestamp": "2026-10-21T07:45:12.000Z",
        "datacontenttype": "application/json",
        "dataschema": schema_id(entity),
        "sequence": "000007",
        "relayorigin": "derived",
        "correlationid": "evt_5a3c0f5f1b1e4d0c8a7b6c5d4e3f2a1c",
        "data": {
            "object": {**missing, "since": "2026-10-21T07:40:12.000Z", **record},
            "related": {kind: _complete(kind, {}, True) for kind in KINDS} if every_field else {},
            "enrichment": {"state": "complete", "missing": [], "fetched_at": "2026-10-21T07:45:14.000Z"},
        },
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
    "payroll_line": 70010045,
    "position": 5301,
    "shift_type": 5401,
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
    "absence_record": {
        "id": 66013,
        "employeeId": 910233,
        "status": "Approved",
        "absencePeriod": {"start": "2026-12-21", "end": "2026-12-23"},
    },
    "payroll_line": {
        "id": 70010045,
        "employeeId": 910233,
        "departmentId": 4101,
        "employeeGroupId": 5202,
        "line": "shift",
        "isApproved": True,
        "date": "2026-10-24",
        "startDateTime": "2026-10-24T20:00:00",
        "endDateTime": "2026-10-25T03:30:00",
        "start": _time("2026-10-24T20:00:00", "2026-10-24T18:00:00Z"),
        "end": _time("2026-10-25T03:30:00", "2026-10-25T02:30:00Z"),
        "salaryCode": "1100",
        "salary": 1487.5,
        "wage": {"rate": 175, "type": "Hourly"},
    },
    "position": {"id": 5301, "name": "Bar", "departmentId": 4101, "employeeGroupId": 5202, "isActive": True},
    "shift_type": {"id": 5401, "name": "Normal", "isActive": True},
    "portal": _RELATED["portal"],
}
_CHANGES: Mapping[str, tuple[Mapping[str, Any], Mapping[str, Any]]] = {
    "shift": ({"startDateTime": "2026-10-24T19:00"}, {"startDateTime": "2026-10-24T20:00"}),
    "department": ({"name": "Harbor"}, {"name": "Harbour"}),
    "employee_group": ({"name": "Waiters"}, {"name": "Waiter"}),
    "position": ({"name": "Counter"}, {"name": "Bar"}),
    "shift_type": ({"isActive": False}, {"isActive": True}),
    "absence_request": (
        {"absencePeriod": {"start": "2026-12-21", "end": "2026-12-22"}},
        {"absencePeriod": {"start": "2026-12-21", "end": "2026-12-23"}},
    ),
    "absence_record": (
        {"absencePeriod": {"start": "2026-12-21", "end": "2026-12-22"}},
        {"absencePeriod": {"start": "2026-12-21", "end": "2026-12-23"}},
    ),
    "payroll_line": ({"salary": 1400}, {"salary": 1487.5}),
    "portal": ({"name": "Bistro"}, {"name": "Bistro Demo"}),
    "employee": ({"employeeGroups": []}, {"employeeGroups": [5202]}),
    "punchclock_entry": ({"endDateTime": "2026-10-21T17:00"}, {"endDateTime": "2026-10-21T17:05"}),
}
_OF_NOBODY = frozenset({"department", "employee_group", "position", "shift_type", "payroll_period", "portal"})
# What has become of the record: there is none any more.
_GONE = frozenset({"deleted", "reversed"})
# What one field tells by itself: the value before and after it.
_STEPS: Mapping[tuple[str, str], tuple[Mapping[str, Any], Mapping[str, Any]]] = {
    ("shift", "published"): ({"status": "Draft"}, {"status": "Assigned"}),
    ("shift", "assigned"): ({"employeeId": None, "status": "Open"}, {"employeeId": 910233, "status": "Assigned"}),
    ("shift", "unassigned"): ({"employeeId": 910233, "status": "Assigned"}, {"employeeId": None, "status": "Open"}),
    ("shift", "approved"): ({"status": "Assigned"}, {"status": "Approved"}),
    ("shift", "unapproved"): ({"status": "Approved"}, {"status": "Assigned"}),
    ("punchclock_entry", "ended"): ({"endDateTime": None}, {"endDateTime": "2026-10-21T17:05"}),
    ("punchclock_entry", "approved"): ({"isApproved": False}, {"isApproved": True}),
    ("punchclock_entry", "unapproved"): ({"isApproved": True}, {"isApproved": False}),
    ("employee", "deactivated"): ({"isDeactivated": False}, {"isDeactivated": True}),
    ("employee", "reactivated"): ({"isDeactivated": True}, {"isDeactivated": False}),
    ("employee", "salary_identifier_changed"): ({"salaryIdentifier": "P-0133"}, {"salaryIdentifier": "P-0233"}),
    ("absence_request", "approved"): ({"status": "Submitted"}, {"status": "Approved"}),
    ("absence_request", "declined"): ({"status": "Submitted"}, {"status": "Declined"}),
    ("absence_request", "cancelled"): ({"status": "Approved"}, {"status": "Cancelled"}),
}
_LOST: Mapping[str, Any] = {
    "name": "bistro",
    "reason": "401: the refresh token is not accepted",
    "since": "2026-10-21T07:45:12.000Z",
}
_CHANGED: Mapping[tuple[str, str], Mapping[str, Any]] = {
    ("shift", "unassigned"): {"employeeId": None, "status": "Open"},
    ("shift", "approved"): {"status": "Approved"},
    ("punchclock_entry", "started"): {"endDateTime": None, "end": None},
    ("punchclock_entry", "approved"): {"isApproved": True},
    ("employee", "deactivated"): {"isDeactivated": True},
    ("absence_request", "approved"): {"status": "Approved"},
    ("absence_request", "declined"): {"status": "Declined"},
    ("absence_request", "cancelled"): {"status": "Cancelled"},
    ("portal", "authorization_revoked"): _LOST,
    ("portal", "authorization_restored"): {**_LOST, "reason": None},
}
_TOLD: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "target": (
        "hours",
        {"incident": "target_failing:hours", "target": "hours", "summary": "Target hours keeps failing."},
    ),
    "delivery": (
        "hours",
        {
            "incident": "delivery_exhausted:hours",
            "target": "hours",
            "count": 3,
            "summary": "3 deliveries to target hours are dead.",
        },
    ),
    "worker": ("all", {"incident": "worker_silent:all", "count": 1, "workers": 1, "summary": "1 worker vanished."}),
    "feed": (
        "bistro.shifts",
        {
            "incident": "feed_behind:bistro.shifts",
            "portal": "bistro",
            "feed": "shifts",
            "reason": "Planday answers 503",
            "summary": "The feed shifts of portal bistro cannot read Planday.",
        },
    ),
    "store": ("redis", {"incident": "store_unhealthy:redis", "findings": ["appendonly is no"], "summary": "Not safe."}),
    "quarantine": ("all", {"incident": "quarantine_growing:all", "count": 10, "summary": "10 bodies are unreadable."}),
    "backlog": (
        "limit",
        {"incident": "backlog_growing:limit", "count": 190_000, "limit": 200_000, "summary": "Nearly full."},
    ),
}
# Made by us, never compared: what changed has Planday's own times only.
_MADE = frozenset({"start", "end", "shiftStart", "shiftEnd"})


def _changes(entity: str, verb: str) -> tuple[Mapping[str, Any], Mapping[str, Any]] | None:
    """What was and what is of the fields that changed; None where nothing was there before."""
    if verb in _GONE:
        return {name: value for name, value in _OBJECTS.get(entity, {}).items() if name not in _MADE}, {}
    if verb in ("updated", "corrected"):
        return _CHANGES.get(entity, ({}, {}))
    return _STEPS.get((entity, verb))


def _object(entity: str, verb: str) -> dict[str, Any]:
    if (entity, verb) in _CHANGED and entity == "portal":
        return {"id": _NUMBERS["portal"], **_CHANGED[entity, verb]}
    return {**_OBJECTS.get(entity, {}), **_CHANGED.get((entity, verb), {})}


def _kinds(stem: str, verb: str, every_field: bool) -> tuple[str, ...]:
    """What a record of that event refers to."""
    if every_field:
        return tuple(KINDS)
    entity = stem.removeprefix("planday.")
    if entity in _OF_NOBODY:
        return () if entity == "portal" else ("portal",)
    if not stem.startswith("planday."):
        return ()
    return tuple(kind for kind in _RELATED if kind != entity and (kind, verb) != ("employee", "unassigned"))


def _complete(kind: str, record: Mapping[str, Any], every_field: bool) -> dict[str, Any]:
    missing = dict.fromkeys(KINDS.get(kind, {}), "-") if every_field else {}
    return {**missing, **record}
