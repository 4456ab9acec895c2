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
    # `reason` and `since` are ours: about the authorisation.
    "portal": {
        "id": "A",
        "name": "A",
        "companyName": "A",
        "country": "A",
        "timeZone": "A",
        "reason": "A",
        "since": "A",
    },
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
    "absence_record": {
        "id": "A",
        "employeeId": "B",
        "status": "G",
        "absencePeriod": "G",
        "registrations": "G",
        "note": "H",
    },
    # One row of a month's payroll; `line` (shift, supplement, salaried) and `isApproved` are ours, by where it stands.
    "payroll_line": {
        "id": "A",
        "line": "A",
        "isApproved": "A",
        "employeeId": "B",
        "departmentId": "A",
        "employeeGroupId": "A",
        "positionId": "A",
        "shiftTypeId": "G",
        "date": "A",
        "startDateTime": "A",
        "endDateTime": "A",
        "start": "A",
        "end": "A",
        "shiftDuration": "E",
        "salaryCode": "E",
        "salary": "E",
        "wage": "E",
        "units": "E",
        "name": "E",
        "supplements": "E",
        "breaks": "E",
        "currencySymbol": "E",
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

# What does not count when two states of a record are told apart: fields that a list shows otherwise than a read by id
# does (planday-api.md 6.4), our own times, and Planday's, which move without a change.
_MOMENTS = frozenset({"dateTimeCreated", "dateTimeModified", "dateTimeDeleted", "start", "end"})
LISTED_OTHERWISE = frozenset(
    (
        *("jobTitle", "hiredFrom", "workHours", "contractRulesRuleId", "supervisorId", "supervisorEmployeeId"),
        *("countryId", "skillIds", "cellPhone", "phone"),
    )
)
NOT_COMPARED: Mapping[str, frozenset[str]] = {
    **dict.fromkeys(KINDS, _MOMENTS),
    "employee": _MOMENTS | LISTED_OTHERWISE,
    "punchclock_entry": _MOMENTS | {"shiftStart", "shiftEnd", "timeZone"},
    "shift": _MOMENTS | {"deletedBy"},
}

# What the relay says of itself (`relay.*`): names from the configuration, states and numbers, nothing of anybody.
_OPERATION: Mapping[str, str] = dict.fromkeys(
    (
        *("incident", "summary", "since", "until", "target", "portal", "feed", "reason", "by", "count", "workers"),
        *("seconds", "limit", "findings"),
    ),
    "A",
)
OPERATIONS: Mapping[str, Mapping[str, str]] = dict.fromkeys(
    ("target", "delivery", "backlog", "worker", "feed", "store", "quarantine"), _OPERATION
)

# Class F, wherever it stands in what a sender pushed. Planday's own answers never get this far.
NEVER = frozenset({"ssn", "birthDate", "bankAccount", "gender", "deactivationReason", "deactivationDate"})

# The same as others write them: lower case, nothing but letters and digits.
_NEVER_PLAIN = frozenset({name.lower() for name in NEVER}) | {"sex", "iban", "dateofbirth", "birthday", "nationalid"}
_NEVER_STARTS = (
    *("customfield", "terminationtype", "bankaccount", "socialsecurity", "cpr", "personnummer", "personalnumber"),
    *("fodselsnummer", "fødselsnummer"),
)

# Attributes of an envelope that are ours; all others are the sender's words. `employeeid` is personal (class B).
_ATTRIBUTES = frozenset(
    (
        *("specversion", "id", "source", "type", "subject", "time", "timestamp", "datacontenttype", "dataschema"),
        *("portalid", "departmentid", "sequence", "correlationid", "causationid", "relayorigin"),
    )
)
_PERSONAL_ATTRIBUTE = "employeeid"
_DATA_ALWAYS = ("enrichment",)


@lru_cache(maxsize=1024)
def is_never(name: str) -> bool:
    """Whether a field of this name is class F: it never leaves the worker, whatever a target's list says."""
    plain = "".join(char for char in name.lower() if char.isalnum())
    if plain.startswith("custom") and plain.removeprefix("custom").isdigit():  # Planday's custom_1001
        return True
    return plain in _NEVER_PLAIN or plain.startswith(_NEVER_STARTS)


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
    if parts[1] == "received":
        return None if len(parts) == 2 else "data.received is had as a whole or not at all"
    if parts[1] == "related":
        if len(parts) > 2 and parts[2] not in KINDS:
            return f"there is no data.related.{parts[2]}; there are {', '.join(sorted(KINDS))}"
        if len(parts) > 3 and parts[3] not in KINDS[parts[2]]:
            return f"{parts[2]} has no field {parts[3]!r}"
        return None if len(parts) <= 4 else "a path ends at a field of a record"
    if len(parts) > 2 and not any(parts[2] in fields for fields in (*KINDS.values(), _OPERATION)):
        return f"no record has a field {parts[2]!r}"
    return None if len(parts) <= 3 else "a path ends at a field of a record"


class FieldList:
    """What one target may have: default deny.

    `*` gives everything but class F; `class:X` all fields of that class; a path to a leaf gives that leaf;
    a path to a whole record (`data.object`, `data.related.employee`) gives its classes A and B only, so that
    nobody sends pay, health or free text by naming a branch. What may be had of the object may be had of its
    changes; `data.changes` gives changes without the object. A sender's own words (`data.received`, attributes
    that are not ours) come with `data.received`, `class:H` or `*` only.
    """

    def __init__(self, entries: Iterable[str]) -> None:
        self.entries = tuple(entries)
        self._all = "*" in self.entries
        self._classes = frozenset(entry.removeprefix("class:") for entry in self.entries if entry.startswith("class:"))
        self._paths = frozenset(tuple(entry.split(".")[1:]) for entry in self.entries if entry.startswith("data."))
        self.received = self._all or "H" in self._classes or any(path[0] == "received" for path in self._paths)
        # A kind is the sender's word, so what is remembered has a bound.
        self._kept = lru_cache(maxsize=256)(self._kept_uncached)

    def kept(self, kind: str, where: tuple[str, ...]) -> frozenset[str]:
        """The fields of a record of `kind` that may stay, when it stands at `where` below `data`."""
        return self._kept(kind, where)

    def _kept_uncached(self, kind: str, where: tuple[str, ...]) -> frozenset[str]:
        fields = KINDS.get(kind) or OPERATIONS.get(kind, {})
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
        data: Mapping[str, Any] = envelope.get("data") or {}
        kind = str(envelope.get("subject", "")).partition("/")[0]
        person = "id" if kind == "employee" else "employeeId"
        pseudonymous = self._all or "B" in self._classes or person in self.kept(kind, ("object",))
        out = {
            name: value
            for name, value in envelope.items()
            if name in _ATTRIBUTES
            or (name == _PERSONAL_ATTRIBUTE and pseudonymous)
            or (self.received and name not in ("data", _PERSONAL_ATTRIBUTE) and not is_never(name))
        }
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
        told = kept | self.kept(kind, ("changes",))
        if "changed" in data:
            out["changed"] = [name for name in data["changed"] or () if name in told]
        if "changes" in data:
            changes = data["changes"] or {}
            out["changes"] = {side: _pick(changes.get(side), told) for side in ("before", "after") if side in changes}
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
        kind: frozenset(name for name, letter in fields.items() if letter in "AB")
        for kind, fields in {**KINDS, **OPERATIONS}.items()
    }

    def __init__(self, lists: Iterable[FieldList]) -> None:
        self._lists = tuple(lists)
        self._fields = lru_cache(maxsize=256)(self._fields_uncached)
        self.received = any(fields.received for fields in self._lists)

    def fields(self, kind: str, where: tuple[str, ...]) -> frozenset[str]:
        """The fields to keep of a record of `kind` that will stand at `where` below `data`."""
        return self._fields(kind, where)

    def prune(self, envelope: dict[str, Any]) -> None:
        """Take out of an envelope what none of the targets may have."""
        data = envelope["data"]
        if isinstance(record := data.get("object"), Mapping):
            kind = str(envelope["subject"]).partition("/")[0]
            data["object"] = _pick(record, self.fields(kind, ("object",)))
        if related := data.get("related"):
            data["related"] = {name: _pick(one, self.fields(name, ("related", name))) for name, one in related.items()}
        if changes := data.get("changes"):
            kept = self.fields(str(envelope["subject"]).partition("/")[0], ("object",))
            data["changes"] = {side: _pick(fields, kept) for side, fields in changes.items()}
            data["changed"] = [name for name in data["changed"] if name in kept]
        if not self.received:
            data.pop("received", None)
            # Whatever else a sender added to the envelope is its words too.
            for name in [
                name for name in envelope if name not in (*_ATTRIBUTES, _PERSONAL_ATTRIBUTE, "senderid", "data")
            ]:
                del envelope[name]

    def _fields_uncached(self, kind: str, where: tuple[str, ...]) -> frozenset[str]:
        kept = self._OURS.get(kind, frozenset())
        for fields in self._lists:
            kept |= fields.kept(kind, where)
            if where == ("object",):  # a target's changes are made of what was kept of the object
                kept |= fields.kept(kind, ("changes",))
        return kept
