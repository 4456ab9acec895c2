"""JSON Schema (2020-12) of the envelope, one for each entity: what `dataschema` names and `/schemas/` serves.

A field is there only if Planday gave it and the target's `fields` let it through, so none of a record is required. A
change of a schema is a new version of it (`VERSIONS`), held by a frozen copy in tests/unit/frozen/.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from relay.catalog.types import CATALOG
from relay.fields import KINDS, OPERATIONS

Json = dict[str, Any]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
VERSIONS: Mapping[str, int] = {}
"""Entity -> version of its schema, where it is not 1."""

RELATED = ("portal", "employee", "department", "employee_group", "position", "shift", "shift_type", "account_type")
"""What records refer to."""

ENTITIES: tuple[str, ...] = tuple(dict.fromkeys(row.entity for row in CATALOG.values()))

_CLASSES = {
    "A": "neutral",
    "B": "pseudonymous",
    "C": "identity",
    "D": "contact and private",
    "E": "employment and pay",
    "G": "may reveal health",
    "H": "free text",
}
_REVEALED = "data.object, its changes and related records hold what the target's `fields` let through."


def _maybe(type_: str, **more: Any) -> Json:
    return {"type": [type_, "null"], **more}


def _list(items: Json) -> Json:
    return _maybe("array", items=items)


def _fields(**properties: Json) -> Json:
    return _maybe("object", properties=properties)


def _parts(*names: str) -> Json:
    """A list of objects whose values are as Planday gave them."""
    return _list({"type": "object", "properties": {name: {} for name in names}})


_WHOLE, _NUMBER, _FLAG, _TEXT = _maybe("integer"), _maybe("number"), _maybe("boolean"), _maybe("string")
_TIME: Json = {"$ref": "#/$defs/time"}
_COST = _fields(value=_NUMBER, unit=_fields(type=_TEXT))
_PERIOD = _fields(start=_TEXT, end=_TEXT)

# Field -> its form; what is not here is text. The readers (relay/planday/models.py) see to it.
FORMS: Mapping[str, Json] = {
    **dict.fromkeys(
        (
            *("id", "departmentId", "employeeGroupId", "positionId", "shiftTypeId", "employeeId", "shiftId"),
            *("punchClockShiftId", "deletedBy", "supervisorId", "supervisorEmployeeId", "primaryDepartmentId"),
            *("contractRulesRuleId", "countryId", "employeeTypeId"),
        ),
        _WHOLE,
    ),
    **dict.fromkeys(("departments", "employeeGroups", "skillIds"), _list({"type": "integer"})),
    **dict.fromkeys(("isDeactivated", "isPublic", "isApproved", "isActive"), _FLAG),
    **dict.fromkeys(("workHours", "payPercentage", "payMonetary"), _NUMBER),
    "absencePeriod": _PERIOD,
    **dict.fromkeys(("salary", "units"), _NUMBER),
    # An hourly rate with its type in one list, a number in another: as Planday gave it.
    "wage": {},
    "supplements": _parts("id", "name", "duration", "salaryCode", "modification", "start", "end"),
    "breaks": _parts("id", "start", "end", "duration", "amount", "modification", "isPaid"),
    "registrations": _list(
        {
            "type": "object",
            "properties": {"date": _TEXT, "time": _PERIOD, "account": _fields(id=_WHOLE, costs=_list(_COST))},
        }
    ),
    "requestedAccounts": _list({"type": "object", "properties": {"id": _WHOLE, "name": _TEXT, "cost": _list(_COST)}}),
}
# What the relay tells of itself.
_TOLD: Mapping[str, Json] = {
    **dict.fromkeys(("count", "workers", "seconds", "limit"), _WHOLE),
    "findings": _list({"type": "string"}),
}
# Made by the relay of Planday's local times.
_OURS: Mapping[str, frozenset[str]] = {
    "shift": frozenset({"start", "end"}),
    "punchclock_entry": frozenset({"start", "end", "shiftStart", "shiftEnd"}),
    "payroll_line": frozenset({"start", "end"}),
}


def schema_id(entity: str) -> str:
    """What `dataschema` says: "urn:planday-relay:schema:punchclock-entry:1"."""
    return f"urn:planday-relay:schema:{entity.replace('_', '-')}:{VERSIONS.get(entity, 1)}"


def schema(entity: str) -> Json | None:
    """The schema of the envelopes about one entity, by its name ("punchclock_entry"); None where we know none such."""
    if entity not in ENTITIES:
        return None
    about = "relay" if entity == "relay" else f"relay\\.{entity}" if entity in OPERATIONS else f"planday\\.{entity}"
    related = {kind: {"$ref": f"#/$defs/{kind}"} for kind in RELATED if kind != entity}
    data: Json = {
        "object": {
            "description": "The record as it is now; null after its deletion, or when it could not be read.",
            **_of(entity),
        },
        "related": {"description": "What the record refers to, by kind.", "type": "object", "properties": related},
        "changes": {
            "description": "Changed fields only, arrays whole; of a deletion `before` is the record as last known.",
            "type": "object",
            "properties": {"before": _of(entity), "after": _of(entity)},
        },
        "changed": {"description": "Names of the changed fields.", "type": "array", "items": {"type": "string"}},
        "enrichment": {"$ref": "#/$defs/enrichment"},
        "received": {"description": "The sender's own data, unchecked."},
    }
    return {
        "$schema": DIALECT,
        "$id": schema_id(entity),
        "title": f"Events about {entity.replace('_', ' ')}",
        "description": f"A CloudEvents 1.0 object. {_REVEALED}",
        "type": "object",
        "required": ["specversion", "id", "source", "type", "data"],
        "properties": _attributes(entity, f"^{about}\\.[a-z_]+$")
        | {"data": {"type": "object", "properties": data, "required": ["enrichment"]}},
        "$defs": _definitions(entity),
    }


# An event of the relay about itself may concern a portal, or none.
_OF_PORTAL, _OF_ANY = "^urn:planday:portal:[0-9]+$", "^urn:planday(:portal:[0-9]+|-relay)$"


def _attributes(entity: str, pattern: str) -> Json:
    text: Json = {"type": "string"}
    return {
        "specversion": {"const": "1.0"},
        "id": {"type": "string", "pattern": "^evt_", "description": "The same on every retry and replay."},
        "source": {"type": "string", "pattern": _OF_ANY if entity in OPERATIONS else _OF_PORTAL},
        "type": {"type": "string", "pattern": pattern},
        "subject": {"type": "string", "pattern": f"^{entity}/"},
        "time": {"type": "string", "format": "date-time", "description": "When it happened, in UTC."},
        "timestamp": {"type": "string", "format": "date-time", "description": "The same as `time`."},
        "datacontenttype": {"const": "application/json"},
        "dataschema": {"const": schema_id(entity)},
        "portalid": text,
        "departmentid": text,
        "employeeid": text,
        "sequence": {"type": "string", "description": "Counts the events of one record."},
        "relayorigin": {"enum": ["native", "derived", "replay", "test"]},
        "correlationid": text,
    }


def _of(entity: str) -> Json:
    if entity in KINDS or entity in OPERATIONS:
        return {"oneOf": [{"$ref": f"#/$defs/{entity}"}, {"type": "null"}]}
    return {"type": ["object", "null"]}


def _definitions(entity: str) -> Json:
    kinds = dict.fromkeys((entity, *RELATED) if entity in KINDS or entity in OPERATIONS else RELATED)
    return {kind: _record(kind) for kind in kinds} | {
        "time": {
            "description": "A wall-clock time of Planday's with its zone; `flag` says why `instant` is not known.",
            "type": ["object", "null"],
            "properties": {
                "local": _TEXT,
                "zone": _TEXT,
                "instant": _TEXT,
                "flag": _TEXT,
            },
        },
        "enrichment": {
            "description": "How much could be read in Planday, and what not.",
            "type": "object",
            "properties": {
                "state": {"enum": ["complete", "partial", "none"]},
                "missing": {"type": "array", "items": {"type": "string"}},
                "fetched_at": {"type": "string", "format": "date-time"},
            },
        },
    }


def _record(kind: str) -> Json:
    properties = {
        name: {**field_form(kind, name), "description": f"class {letter}: {_CLASSES[letter]}"}
        for name, letter in (KINDS.get(kind) or OPERATIONS[kind]).items()
    }
    return {"type": "object", "properties": properties}


def field_form(kind: str, name: str) -> Json:
    """The form of one field's value."""
    if kind in OPERATIONS:
        return _TOLD.get(name, _TEXT)
    return _TIME if name in _OURS.get(kind, frozenset()) else FORMS.get(name, _TEXT)
