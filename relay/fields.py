"""Which fields of Planday's records exist for us, how personal each is, and what a target may have of them.

The classes are those of planday-api.md 10: A neutral, B pseudonymous, C identity, D contact and private,
E employment and pay, F never leaves the worker, G may reveal health, H free text. A field that stands in
no table here is dropped when an answer is parsed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

CLASSES = ("A", "B", "C", "D", "E", "G", "H")

_TIMES = {"dateTimeCreated": "A", "dateTimeModified": "A", "dateTimeDeleted": "A"}

# kind -> field -> class. `start`, `end` and the like are ours: local time, zone, instant and a flag.
KINDS: Mapping[str, Mapping[str, str]] = {
    "portal": {"id": "A", "name": "A", "companyName": "A", "country": "A", "timeZone": "A"},
    "employee": {
        "id": "B",
        "firstName": "C",
        "lastName": "C",
        "jobTitle": "C",
        "email": "C",
        "departments": "A",
        "employeeGroups": "A",
        "primaryDepartmentId": "A",
        "isDeactivated": "A",
        "supervisorId": "B",
        "supervisorEmployeeId": "B",
        "salaryIdentifier": "E",
        "workHours": "E",
        "contractRulesRuleId": "E",
        "userName": "D",
        "cellPhone": "D",
        "phone": "D",
        "street1": "D",
        "street2": "D",
        "zip": "D",
        "city": "D",
        "countryId": "D",
        "hiredFrom": "D",
        "employeeTypeId": "D",
        "isPublic": "D",
        "skillIds": "D",
        **_TIMES,
    },
    "shift": {
        "id": "A",
        "departmentId": "A",
        "employeeGroupId": "A",
        "positionId": "A",
        "shiftTypeId": "G",
        "employeeId": "B",
        "date": "A",
        "startDateTime": "A",
        "endDateTime": "A",
        "start": "A",
        "end": "A",
        "timeZone": "A",
        "status": "A",
        "comment": "H",
        "punchClockShiftId": "B",
        "skillIds": "D",
        "deletedBy": "B",
        **_TIMES,
    },
    "punchclock_entry": {
        "id": "A",
        "shiftId": "A",
        "departmentId": "A",
        "employeeId": "B",
        "startDateTime": "A",
        "endDateTime": "A",
        "shiftStartDateTime": "A",
        "shiftEndDateTime": "A",
        "start": "A",
        "end": "A",
        "shiftStart": "A",
        "shiftEnd": "A",
        "timeZone": "A",
        "isApproved": "A",
        "description": "H",
    },
    "absence_request": {
        "id": "A",
        "employeeId": "B",
        "status": "G",
        "absencePeriod": "G",
        "requestedAccounts": "G",
        "note": "H",
    },
    "department": {"id": "A", "name": "A", "number": "A"},
    "employee_group": {"id": "A", "name": "A"},
    "position": {"id": "A", "name": "A", "departmentId": "A", "employeeGroupId": "A", "isActive": "A"},
    # An ordinary shift type can mean sick leave (planday-api.md 10), so all of it counts as health data.
    "shift_type": {
        "id": "G",
        "name": "G",
        "isActive": "G",
        "salaryCode": "E",
        "payPercentage": "E",
        "payMonetary": "E",
    },
    "account_type": {"id": "G", "name": "G", "absenceType": "G", "unit": "G"},
}

# Class F, wherever it stands in what a sender pushed. Planday's own answers never get this far.
NEVER = frozenset({"ssn", "birthDate", "bankAccount", "gender", "deactivationReason", "deactivationDate"})
_NEVER_PREFIXES = ("custom_", "terminationType")

# Plain attributes of an envelope; `employeeid` is the one that is personal (class B).
_ATTRIBUTES_OF_CLASS_B = frozenset({"employeeid"})
_DATA_ALWAYS = ("enrichment",)


def is_never(name: str) -> bool:
    """Whether a field of this name is class F: it never leaves the worker, whatever a target's list says."""
    return name in NEVER or name.startswith(_NEVER_PREFIXES)


def check_entry(entry: str) -> str | None:
    """What is wrong with one entry of a target's `fields`, or None."""
    if entry == "*":
        return None
    if entry.startswith("class:"):
        letter = entry.removeprefix("class:")
        if letter == "F":
            return "class F never leaves the worker"
        return None if letter in CLASSES else f"there is no class {letter!r}; the classes are {', '.join(CLASSES)}"
    parts = entry.split(".")
    if parts[0] != "data" or len(parts) < 2:
        return 'an entry is "*", "class:A", or a path that starts with "data."'
    if any(is_never(part) for part in parts):
        return "class F never leaves the worker"
    if parts[1] not in ("object", "related", "received", "changes"):
        return "a path starts with data.object, data.related, data.changes or data.received"
    if parts[1] == "related" and len(parts) > 2 and parts[2] not in KINDS:
        return f"there is no data.related.{parts[2]}; there are {', '.join(sorted(KINDS))}"
    if parts[1] == "related" and len(parts) > 3 and parts[3] not in KINDS[parts[2]]:
        return f"{parts[2]} has no field {parts[3]!r}"
    if parts[1] == "object" and len(parts) > 2 and not any(parts[2] in fields for fields in KINDS.values()):
        return f"no record has a field {parts[2]!r}"
    return None


class FieldList:
    """What one target may have: default deny.

    `*` gives everything but class F; `class:X` all fields of that class; a path to a leaf gives that leaf;
    a path to a whole record (`data.object`, `data.related.employee`) gives its classes A and B only, so that
    nobody sends pay, health or free text by naming a branch.
    """

    def __init__(self, entries: Iterable[str]) -> None:
        self.entries = tuple(entries)
        self._all = "*" in self.entries
        self._classes = frozenset(entry.removeprefix("class:") for entry in self.entries if entry.startswith("class:"))
        self._paths = frozenset(tuple(entry.split(".")[1:]) for entry in self.entries if entry.startswith("data."))
        self.received = self._all or "H" in self._classes or any(path[0] == "received" for path in self._paths)
        self._kept = lru_cache(maxsize=None)(self._kept_uncached)

    def kept(self, kind: str, where: tuple[str, ...]) -> frozenset[str]:
        """The fields of a record of `kind` that may stay, when it stands at `where` below `data`."""
        return self._kept(kind, where)

    def _kept_uncached(self, kind: str, where: tuple[str, ...]) -> frozenset[str]:
        fields = KINDS.get(kind, {})
        if self._all:
            return frozenset(fields)
        branch = any(where[: len(path)] == path for path in self._paths)
        return frozenset(
            name
            for name, letter in fields.items()
            if letter in self._classes or (branch and letter in "AB") or (*where, name) in self._paths
        )

    def apply(self, envelope: Mapping[str, Any]) -> dict[str, Any]:
        """The envelope with nothing in it but what this target may have."""
        pseudonymous = self._all or "B" in self._classes or any(path[0] == "object" for path in self._paths)
        out = {
            name: value
            for name, value in envelope.items()
            if name != "data" and (pseudonymous or name not in _ATTRIBUTES_OF_CLASS_B)
        }
        data: Mapping[str, Any] = envelope.get("data") or {}
        kind = str(envelope.get("subject", "")).partition("/")[0]
        out["data"] = self._data(data, kind)
        return out

    def _data(self, data: Mapping[str, Any], kind: str) -> dict[str, Any]:
        kept = self.kept(kind, ("object",))
        out: dict[str, Any] = {}
        if "object" in data:
            out["object"] = _pick(data["object"], kept)
        related = {
            name: _pick(record, self.kept(name, ("related", name)))
            for name, record in (data.get("related") or {}).items()
        }
        if related := {name: record for name, record in related.items() if record}:
            out["related"] = related
        if "changed" in data:
            out["changed"] = [name for name in data["changed"] if name in kept]
        if "changes" in data:
            out["changes"] = {side: _pick(record, kept) for side, record in data["changes"].items()}
        for name in _DATA_ALWAYS:
            if name in data:
                out[name] = data[name]
        if self.received and data.get("received") is not None:
            out["received"] = without_never(data["received"])
        return out


def _pick(record: Any, kept: frozenset[str]) -> Any:
    if not isinstance(record, Mapping):
        return None
    return {name: value for name, value in record.items() if name in kept}


def without_never(value: Any) -> Any:
    """A copy of a sender's data with class F taken out at any depth."""
    if isinstance(value, Mapping):
        return {name: without_never(inner) for name, inner in value.items() if not is_never(str(name))}
    if isinstance(value, list):
        return [without_never(inner) for inner in value]
    return value


class Keep:
    """The union of what the configured targets may have: all that is kept when an answer is parsed."""

    # What routing, ordering and time zones need; all of class A or B.
    _OURS: Mapping[str, frozenset[str]] = {
        kind: frozenset(name for name, letter in fields.items() if letter in "AB") for kind, fields in KINDS.items()
    }

    def __init__(self, lists: Iterable[FieldList]) -> None:
        self._lists = tuple(lists)
        self._fields = lru_cache(maxsize=None)(self._fields_uncached)
        self.received = any(fields.received for fields in self._lists)

    def fields(self, kind: str, where: tuple[str, ...]) -> frozenset[str]:
        """The fields to keep of a record of `kind` that will stand at `where` below `data`."""
        return self._fields(kind, where)

    def _fields_uncached(self, kind: str, where: tuple[str, ...]) -> frozenset[str]:
        kept = self._OURS.get(kind, frozenset())
        for fields in self._lists:
            kept |= fields.kept(kind, where)
        return kept
