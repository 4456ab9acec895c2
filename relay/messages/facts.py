"""What a message can say about an event: plain strings made of the envelope that the target may see.

Everything here is total: whatever the envelope holds, there is an answer, so that no event is too odd to tell about.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from relay.messages import times

LONGEST_VALUE = 200
# What the relay tells of itself is a few sentences.
LONGEST_SUMMARY = 1000
_LONGEST_RAW = 2000
_DEEPEST = 20
_MOST_CHANGED = 8
_BRIEF = dict.fromkeys(("department", "group", "position", "shift_type", "leave", "portal", "job", "id"), 30) | {
    "employee": 40,
    "who": 40,
    "place": 60,
    "status": 40,
    "changed": 60,
    "was": 80,
    "reason": 100,
    "summary": 200,
}
_MOST_BITS = 63

_WHAT = {
    "punchclock_entry": "Punch clock entry",
    "punchclock_break": "Break",
    "absence_request": "Absence request",
    "absence_record": "Absence",
    "payroll_line": "Payroll line",
    "employee_group": "Employee group",
}
_TECHNICAL = frozenset({"dateTimeModified", "dateTimeCreated", "dateTimeDeleted", "punchClockShiftId", "timeZone"})
_OPEN = "Open"
_NONE_READ = "Details could not be read from Planday."
_SOME_READ = "Some details could not be read from Planday."
# What turns the reading direction around or hides, and halves of characters; joiners that emoji are made of stay.
_HIDING = re.compile("[\u00ad\u061c\u200b\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff\ud800-\udfff]")
# Control characters, and what separates lines and paragraphs.
_BREAKING = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_CAPITAL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def facts(envelope: Mapping[str, Any]) -> dict[str, Any]:
    """Every name a template can use. All are strings, empty if not known, but `event`: the envelope as plain data."""
    type_ = clean(envelope.get("type"))
    stem, _, verb = type_.rpartition(".")
    entity = stem.rpartition(".")[2]
    record, related = _record(envelope), _mapping(_mapping(envelope.get("data")).get("related"))
    named = {kind: clean(_mapping(related.get(kind)).get("name")) for kind in _NAMED}
    what = _WHAT.get(entity) or entity.replace("_", " ").capitalize() or "Event"
    identity = clean(envelope.get("subject")).partition("/")[2]
    employee = _name(record if entity == "employee" else _mapping(related.get("employee")))
    portal = _mapping(related.get("portal"))
    start, end = _time(record, "start"), _time(record, "end")
    when = times.span(start, end)
    return {
        "type": type_,
        "entity": entity,
        "verb": verb,
        "what": what,
        "happened": verb.replace("_", " "),
        "id": identity,
        "employee": employee,
        "who": employee or _own_name(entity, record) or f"{what} {identity}".strip(),
        "job": clean(record.get("jobTitle")) if entity == "employee" else "",
        "department": named["department"],
        "group": named["employee_group"],
        "position": named["position"],
        "shift_type": named["shift_type"],
        "leave": named["account_type"],
        "place": _joined((named["department"], named["employee_group"], named["position"])),
        "portal": clean(portal.get("name")) or clean(portal.get("companyName")) or _portal(envelope),
        "when": when,
        "start": times.moment(start),
        "end": times.moment(end),
        "length": times.length(start, end),
        "planned": times.hours(_time(record, "shiftStart"), _time(record, "shiftEnd")),
        "period": times.period(record.get("absencePeriod")),
        "zone": (_zone(start) or clean(record.get("timeZone")) or clean(portal.get("timeZone"))) if when else "",
        "status": _words(clean(record.get("status"))),
        "changed": _changed(envelope),
        "was": _was(envelope, record),
        "since": f"{since} UTC" if (since := times.moment(record.get("since"))) else "",
        "reason": clean(record.get("reason")) if entity == "portal" else "",
        "summary": clean(record.get("summary"), LONGEST_SUMMARY) if type_.startswith("relay.") else "",
        "note": _note(envelope, type_, record),
        "event": plain(envelope),
    }


def in_brief(known: Mapping[str, Any]) -> dict[str, Any]:
    """The same names with what is long cut short, for one line among many: no value pushes the others out."""
    return {
        name: clean(value, _BRIEF[name]) if isinstance(value, str) and name in _BRIEF else value
        for name, value in known.items()
    }


def begins(envelope: Mapping[str, Any]) -> str:
    """The wall clock at which what an event is about begins, to sort by; empty if it is not known."""
    start = _time(_record(envelope), "start")
    return clean(start.get("local") if isinstance(start, Mapping) else start)


_NAMED = ("department", "employee_group", "position", "shift_type", "account_type")


def clean(value: Any, limit: int = LONGEST_VALUE) -> str:
    """One line of text of bounded length: no control characters, nothing that hides or turns text around."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return ""
    if isinstance(value, int) and value.bit_length() > _MOST_BITS:
        return ""  # no id is that long, and Python refuses to write out the longest
    text = str(value)[: limit * 4]
    if not text.isascii() or not text.isprintable():
        text = _BREAKING.sub(" ", _HIDING.sub("", text))
    text = " ".join(text.split())
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"


def plain(value: Any, depth: int = 0) -> Any:
    """A copy made of nothing but dicts, lists, numbers, booleans and clean strings: templates may call methods."""
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, int):
        return value if value.bit_length() < _MOST_BITS else ""
    if isinstance(value, str):
        return clean(value, _LONGEST_RAW)
    if depth < _DEEPEST:
        if isinstance(value, Mapping):
            return {clean(str(name)): plain(inner, depth + 1) for name, inner in value.items()}
        if isinstance(value, list | tuple):
            return [plain(inner, depth + 1) for inner in value]
    return ""


def _record(envelope: Mapping[str, Any]) -> Mapping[str, Any]:
    """The record as it is now; of a deleted one, what is still known of it."""
    data = _mapping(envelope.get("data"))
    return _mapping(data.get("object")) or _mapping(_mapping(data.get("changes")).get("before"))


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _name(employee: Mapping[str, Any]) -> str:
    return f"{clean(employee.get('firstName'))} {clean(employee.get('lastName'))}".strip()


def _own_name(entity: str, record: Mapping[str, Any]) -> str:
    if entity in (*_NAMED, "portal"):
        return clean(record.get("name"))
    nobody = "employeeId" in record and record["employeeId"] is None
    return "Open shift" if entity == "shift" and (record.get("status") == _OPEN or nobody) else ""


def _time(record: Mapping[str, Any], name: str) -> Any:
    return record.get(name) or record.get(f"{name}DateTime")


def _zone(start: Any) -> str:
    return clean(_mapping(start).get("zone"))


def _portal(envelope: Mapping[str, Any]) -> str:
    number = clean(envelope.get("portalid"))
    return f"Portal {number}" if number else ""


def _joined(parts: Iterable[str]) -> str:
    return " · ".join(part for part in parts if part)


def _words(name: str) -> str:
    """A field's or a status' name as words: "startDateTime" is "start", "ForSale" is "for sale"."""
    for ending in ("DateTime", "Id"):
        if len(name) > len(ending):
            name = name.removesuffix(ending)
    return _CAPITAL.sub(" ", name).replace("_", " ").lower()


def _changed(envelope: Mapping[str, Any]) -> str:
    names = _mapping(envelope.get("data")).get("changed")
    if not isinstance(names, list | tuple):
        return ""
    cleaned = (clean(name) for name in names)
    words = list(dict.fromkeys(_words(name) for name in cleaned if name and name not in _TECHNICAL))
    more = len(words) - _MOST_CHANGED
    return ", ".join(words[:_MOST_CHANGED]) + (f" and {more} more" if more > 0 else "")


def _was(envelope: Mapping[str, Any], record: Mapping[str, Any]) -> str:
    """What was there before the change, as far as words can say it; ids of others have no names here."""
    before = _mapping(_mapping(_mapping(envelope.get("data")).get("changes")).get("before"))
    if not before or not _mapping(_mapping(envelope.get("data")).get("object")):
        return ""
    renamed = before.keys() & {"firstName", "lastName"}
    parts = [_name({**record, **before}) if renamed else "", clean(before.get("name"))]
    if before.keys() & {"startDateTime", "endDateTime"}:
        start, end = (_old(before, record, name) for name in ("startDateTime", "endDateTime"))
        same_day = times.on_one_day(start, record.get("startDateTime"))
        parts.append((times.hours(start, end) if same_day else "") or times.span(start, end))
    parts.append(times.period(before.get("absencePeriod")))
    parts.append(_words(clean(before.get("status"))))
    return ", ".join(part for part in parts if part)


def _old(before: Mapping[str, Any], record: Mapping[str, Any], name: str) -> Any:
    return before[name] if name in before else record.get(name)


def _note(envelope: Mapping[str, Any], type_: str, record: Mapping[str, Any]) -> str:
    state = _mapping(_mapping(envelope.get("data")).get("enrichment")).get("state")
    if type_.startswith("relay."):
        return ""  # about ourselves: there is nothing to read
    return {"none": _NONE_READ, "partial": _SOME_READ if record else _NONE_READ}.get(clean(state), "")


NAMES = frozenset(facts({}))
